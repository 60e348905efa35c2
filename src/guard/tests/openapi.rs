//! What the OpenAPI document says of guards.

use serde_json::json;

use super::*;

fn document() -> Value {
    serde_json::from_str(&OpenApiService::new(Api, "test", "1").spec()).unwrap()
}

#[test]
fn the_scheme_takes_user_name_and_password() {
    assert_eq!(
        document()["components"]["securitySchemes"][SECURITY_SCHEME]["flows"]["password"],
        json!({"tokenUrl": "/oauth/token", "refreshUrl": "/oauth/token"})
    );
}

#[test]
fn every_guard_is_documented_and_optional_ones_as_optional() {
    let document = document();
    let security = |path: &str| document["paths"][path]["get"]["security"].clone();

    for path in [
        "/required",
        "/fresh",
        "/refresh",
        "/either",
        "/admin",
        "/scope",
        "/all",
    ] {
        assert_eq!(security(path), json!([{"password": []}]), "{path}");
    }
    for path in ["/optional", "/optional-fresh"] {
        assert_eq!(security(path), json!([{"password": []}, {}]), "{path}");
    }
}
