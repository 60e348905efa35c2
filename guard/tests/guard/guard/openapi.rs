//! Guards in the OpenAPI document.

use poem_openapi::ApiResponse;
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

#[test]
fn refusals_are_documented_on_guarded_operations() {
    let spec = OpenApiService::new(Mixed, "test", "1").spec();
    let document: Value = serde_json::from_str(&document_refusals(&spec).unwrap()).unwrap();
    let answers = |path: &str| document["paths"][path]["get"]["responses"].clone();
    let reference = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});

    for path in ["/guarded", "/optional"] {
        assert_eq!(answers(path)["401"], reference("TokenRefused"), "{path}");
        assert_eq!(answers(path)["403"], reference("NotAllowed"), "{path}");
        assert_eq!(answers(path)["503"], reference("TryAgain"), "{path}");
    }
    assert_eq!(
        answers("/open")
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["200"]
    );
    assert_eq!(answers("/own")["401"]["description"], "Own words.");
    for name in ["TokenRefused", "NotAllowed", "TryAgain"] {
        let answer = &document["components"]["responses"][name];
        let schema = &answer["content"]["application/problem+json"]["schema"];
        assert_eq!(schema, &json!({"$ref": "#/components/schemas/Problem"}));
    }
    assert!(document["components"]["schemas"]["Problem"].is_object());
}

#[test]
fn a_document_without_operations_is_accepted() {
    assert!(document_refusals("{}").is_ok());
    for other in ["not json", "[]", "7", "null"] {
        assert!(document_refusals(other).is_err(), "{other}");
    }
}

struct Mixed;

#[derive(ApiResponse)]
enum Own {
    #[oai(status = 200)]
    Fine,
    /// Own words.
    #[oai(status = 401)]
    Refused,
}

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl Mixed {
    #[oai(path = "/guarded", method = "get")]
    async fn guarded(&self, _jwt: Jwt<HasRole<Admin>>) {}

    #[oai(path = "/optional", method = "get")]
    async fn optional(&self, _jwt: JwtOptional) {}

    #[oai(path = "/open", method = "get")]
    async fn open(&self) {}

    #[oai(path = "/own", method = "get")]
    async fn own(&self, jwt: JwtOptional) -> Own {
        jwt.claims.map_or(Own::Refused, |_| Own::Fine)
    }
}
