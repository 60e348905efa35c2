//! Configured names of token locations, and the token header in handlers.

use super::locations::{TestRequest, app_of};
use super::*;

#[tokio::test]
async fn header_and_scheme_names_are_configurable() {
    let service = TestService::new();
    let named = |name: &'static str, scheme: Option<&str>| {
        let location = Location::Header {
            name: HeaderName::from_static(name),
            scheme: scheme.map(str::to_owned),
        };
        app_of(service.guards().with_locations([location]))
    };
    let token = service.token();
    let table = [
        ("x-token", Some("JWT"), format!("JWT {token}"), ok("Header")),
        ("x-token", Some("JWT"), format!("jwt {token}"), ok("Header")),
        (
            "x-token",
            Some("JWT"),
            format!("Bearer {token}"),
            ok("nowhere"),
        ),
        (
            "x-token",
            Some("JWT"),
            "JWT".to_owned(),
            refused(401, "malformed_token"),
        ),
        ("x-token", None, token.clone(), ok("Header")),
        ("x-token", None, format!("  {token} "), ok("Header")),
        ("x-token", None, String::new(), ok("nowhere")),
        (
            "x-token",
            None,
            format!("Bearer {token}"),
            refused(401, "malformed_token"),
        ),
        (
            "x-token",
            None,
            format!("{token} x"),
            refused(401, "malformed_token"),
        ),
        (
            "x-token",
            None,
            format!("{token},"),
            refused(401, "malformed_token"),
        ),
    ];

    for (name, scheme, value, expected) in table {
        let sent = TestRequest::get("/place").header(name, value.clone());

        assert_eq!(
            sent.to(&named(name, scheme)).await,
            expected,
            "{scheme:?} {value}"
        );
    }
    let other = TestRequest::get("/place").header("authorization", format!("JWT {token}"));
    assert_eq!(
        other.to(&named("x-token", Some("JWT"))).await,
        ok("nowhere")
    );
}

#[tokio::test]
async fn name_and_prefix_of_the_query_parameter_are_configurable() {
    let service = TestService::new();
    let named = |name: &str, prefix: &str| {
        let location = Location::Query {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        };
        app_of(service.guards().with_locations([location]))
    };
    let token = service.token();
    let table = [
        ("jwt", "", format!("?jwt={token}"), ok("Query")),
        ("jwt", "", format!("?a=1&jwt={token}&b"), ok("Query")),
        ("jwt", "", format!("?other={token}"), ok("nowhere")),
        ("jwt", "", "?jwt=".to_owned(), ok("nowhere")),
        (
            "jwt",
            "",
            "?jwt=%FF%00".to_owned(),
            refused(401, "malformed_token"),
        ),
        ("key", "", format!("?key={token}"), ok("Query")),
        (
            "jwt",
            "Bearer ",
            format!("?jwt=Bearer%20{token}"),
            ok("Query"),
        ),
        (
            "jwt",
            "Bearer ",
            format!("?jwt=Bearer+{token}"),
            ok("Query"),
        ),
        (
            "jwt",
            "Bearer ",
            format!("?jwt={token}"),
            refused(401, "malformed_token"),
        ),
        ("jwt", "Bearer ", "?other=1".to_owned(), ok("nowhere")),
    ];

    for (name, prefix, query, expected) in table {
        let app = named(name, prefix);

        assert_eq!(
            TestRequest::get(&format!("/place{query}")).to(&app).await,
            expected,
            "{query}"
        );
        let by_header =
            TestRequest::get("/place").header("authorization", format!("Bearer {token}"));
        assert_eq!(by_header.to(&app).await, ok("nowhere"));
    }
}

#[tokio::test]
async fn the_kind_selects_the_member_of_the_body() {
    let service = TestService::new();
    let location = Location::Json {
        access: "token".to_owned(),
        refresh: "again".to_owned(),
        limit: 4096,
    };
    let app = app_of(service.guards().with_locations([location]));
    let access = service.token();
    let refresh = service.sign(&Claims {
        kind: TokenKind::Refresh,
        ..service.claims()
    });
    let both = serde_json::json!({"again": refresh, "token": access});
    let again = serde_json::json!({"again": refresh});

    assert_eq!(
        TestRequest::post("/place").json(&both).to(&app).await,
        ok("Json")
    );
    assert_eq!(
        TestRequest::post("/place").json(&again).to(&app).await,
        ok("nowhere")
    );
    assert_eq!(
        TestRequest::post("/refresh-place")
            .json(&both)
            .to(&app)
            .await,
        ok("Json")
    );
    assert_eq!(
        TestRequest::post("/either-place")
            .json(&both)
            .to(&app)
            .await,
        ok("Access Json")
    );
    assert_eq!(
        TestRequest::post("/either-place")
            .json(&again)
            .to(&app)
            .await,
        ok("Refresh Json")
    );
}

#[tokio::test]
async fn handlers_receive_the_header_of_the_token() {
    let service = TestService::new();
    let issuer = service.access.clone().with_header("tenant", "acme".into());
    let token = issuer.unwrap().sign(&service.claims()).unwrap();
    let app = app_of(service.guards());

    for _ in 0..2 {
        let value = format!("Bearer {token}");

        assert_eq!(get(&app, "/header", Some(&value)).await, ok("\"acme\""));
    }
    assert_eq!(get(&app, "/header", None).await, ok("none"));
}
