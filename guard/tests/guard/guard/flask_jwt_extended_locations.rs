//! The format of Flask-JWT-Extended for tokens in other locations than the header, and for the CSRF
//! check.

use super::flask_jwt_extended::{app_of, msg};
use super::locations::TestRequest;
use super::*;
use latchet_guard::cookies::Cookies;

#[tokio::test]
async fn refusals_for_other_locations_use_the_texts_of_flask_jwt_extended() {
    let service = TestService::new();
    let only = |location: Location| app_of(service.guards().with_locations([location]));
    let cookies = || only(Location::cookies(Cookies::flask_jwt_extended()));
    let query = only(Location::Query {
        name: "jwt".to_owned(),
        prefix: "Bearer ".to_owned(),
    });
    let json = only(Location::json());
    let object = |value: Value| TestRequest::post("/required").json(&value);

    let missing = TestRequest::get("/required").to(&cookies()).await;
    assert_eq!(missing, msg(401, r#"Missing cookie "access_token_cookie""#));
    let missing = TestRequest::get("/refresh").to(&cookies()).await;
    assert_eq!(
        missing,
        msg(401, r#"Missing cookie "refresh_token_cookie""#)
    );

    let missing = TestRequest::get("/required").to(&query).await;
    assert_eq!(missing, msg(401, "Missing 'jwt' query paramater"));
    let prefix =
        "Invalid value for query parameter 'jwt'. Expected the value to start with 'Bearer '";
    assert_eq!(
        TestRequest::get("/required?jwt=x").to(&query).await,
        msg(422, prefix)
    );
    assert_eq!(
        TestRequest::get("/required?jwt=Bearer%20x")
            .to(&query)
            .await,
        msg(422, "it does not have three parts")
    );

    let content_type = "Invalid content-type. Must be application/json.";
    assert_eq!(
        TestRequest::post("/required").to(&json).await,
        msg(401, content_type)
    );
    let key = r#"Missing "access_token" key in json data."#;
    for body in [
        serde_json::json!({}),
        serde_json::json!({"access_token": null}),
        serde_json::json!([]),
    ] {
        assert_eq!(object(body).to(&json).await, msg(401, key));
    }
    let refresh = TestRequest::post("/refresh").json(&serde_json::json!({}));
    assert_eq!(
        refresh.to(&json).await,
        msg(401, r#"Missing "refresh_token" key in json data."#)
    );
}

#[tokio::test]
async fn several_locations_are_listed_in_one_message() {
    let service = TestService::new();
    let all = [
        Location::header(),
        Location::cookies(Cookies::flask_jwt_extended()),
        Location::query(),
        Location::json(),
    ];
    let two = [Location::header(), Location::query()];

    let of_all = TestRequest::get("/required")
        .to(&app_of(service.guards().with_locations(all)))
        .await;
    let of_two = TestRequest::get("/required")
        .to(&app_of(service.guards().with_locations(two)))
        .await;

    assert_eq!(
        of_all,
        msg(
            401,
            "Missing JWT in headers, cookies, query_string or json (Missing Authorization Header; \
             Missing cookie \"access_token_cookie\"; Missing 'jwt' query paramater; \
             Invalid content-type. Must be application/json.)"
        )
    );
    assert_eq!(
        of_two,
        msg(
            401,
            "Missing JWT in headers or query_string (Missing Authorization Header; \
             Missing 'jwt' query paramater)"
        )
    );
}

#[tokio::test]
async fn csrf_refusals_use_the_texts_of_flask_jwt_extended() {
    let service = TestService::new();
    let location = Location::cookies(Cookies::flask_jwt_extended());
    let app = app_of(service.guards().with_locations([location]));
    let with = Claims {
        csrf: Some("proof".to_owned()),
        ..service.claims()
    };
    let post = |claims: &Claims, csrf: &str| {
        TestRequest::post("/required")
            .header(
                "cookie",
                format!("access_token_cookie={}", service.sign(claims)),
            )
            .header("x-csrf-token", csrf)
    };
    let foreign = post(&with, "proof").header("sec-fetch-site", "cross-site");

    assert_eq!(post(&with, "proof").to(&app).await.0, 200);
    assert_eq!(
        post(&with, "").to(&app).await,
        msg(401, "Missing CSRF token")
    );
    assert_eq!(
        post(&with, "x").to(&app).await,
        msg(401, "CSRF double submit tokens do not match")
    );
    assert_eq!(
        post(&service.claims(), "proof").to(&app).await,
        msg(422, "Missing claim: csrf")
    );
    assert_eq!(
        foreign.to(&app).await,
        msg(401, "the request comes from another site")
    );
}
