//! The format of Flask-JWT-Extended for tokens in other locations than the header, and for the CSRF
//! check.

use super::flask::{app_of, msg};
use super::places::Sent;
use super::*;
use crate::cookies::Cookies;

#[tokio::test]
async fn other_places_are_refused_in_flask_jwt_extendeds_words() {
    let desk = Desk::new();
    let only = |location: Location| app_of(desk.guards().with_locations([location]));
    let cookies = || only(Location::cookies(Cookies::flask_jwt_extended()));
    let query = only(Location::Query {
        name: "jwt".to_owned(),
        prefix: "Bearer ".to_owned(),
    });
    let json = only(Location::json());
    let object = |value: Value| Sent::post("/required").json(&value);

    let missing = Sent::get("/required").to(&cookies()).await;
    assert_eq!(missing, msg(401, r#"Missing cookie "access_token_cookie""#));
    let missing = Sent::get("/refresh").to(&cookies()).await;
    assert_eq!(
        missing,
        msg(401, r#"Missing cookie "refresh_token_cookie""#)
    );

    let missing = Sent::get("/required").to(&query).await;
    assert_eq!(missing, msg(401, "Missing 'jwt' query paramater"));
    let prefix =
        "Invalid value for query parameter 'jwt'. Expected the value to start with 'Bearer '";
    assert_eq!(
        Sent::get("/required?jwt=x").to(&query).await,
        msg(422, prefix)
    );
    assert_eq!(
        Sent::get("/required?jwt=Bearer%20x").to(&query).await,
        msg(422, "it does not have three parts")
    );

    let content_type = "Invalid content-type. Must be application/json.";
    assert_eq!(
        Sent::post("/required").to(&json).await,
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
    let refresh = Sent::post("/refresh").json(&serde_json::json!({}));
    assert_eq!(
        refresh.to(&json).await,
        msg(401, r#"Missing "refresh_token" key in json data."#)
    );
}

#[tokio::test]
async fn several_places_are_named_together() {
    let desk = Desk::new();
    let all = [
        Location::header(),
        Location::cookies(Cookies::flask_jwt_extended()),
        Location::query(),
        Location::json(),
    ];
    let two = [Location::header(), Location::query()];

    let of_all = Sent::get("/required")
        .to(&app_of(desk.guards().with_locations(all)))
        .await;
    let of_two = Sent::get("/required")
        .to(&app_of(desk.guards().with_locations(two)))
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
async fn csrf_is_refused_in_flask_jwt_extendeds_words() {
    let desk = Desk::new();
    let location = Location::cookies(Cookies::flask_jwt_extended());
    let app = app_of(desk.guards().with_locations([location]));
    let with = Claims {
        csrf: Some("proof".to_owned()),
        ..desk.claims()
    };
    let post = |claims: &Claims, csrf: &str| {
        Sent::post("/required")
            .header(
                "cookie",
                format!("access_token_cookie={}", desk.sign(claims)),
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
        post(&desk.claims(), "proof").to(&app).await,
        msg(422, "Missing claim: csrf")
    );
    assert_eq!(
        foreign.to(&app).await,
        msg(401, "the request comes from another site")
    );
}
