//! Values in the examples of several operations. A test sends the requests.

use serde_json::{Value, json};

pub(in crate::api) const ACCESS: &str =
    "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl";
pub(in crate::api) const REFRESH: &str =
    "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJzaWQiOiIuLi4ifQ.c2lnbmF0dXJl";
pub(in crate::api) const USER: &str = "Qm9vbGVhbkFkYUxvdmVsYQ";
pub(in crate::api) const KID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
pub(in crate::api) const LINK: &str = "q83vEjRWeJCrze8SNFZ4kA";
pub(in crate::api) const PASSWORD: &str = "an otter reads the morning paper";
pub(in crate::api) const SESSION: &str = "c2Vzc2lvbi1vZi1hZGEtMQ";

/// Returns the tokens of a session, in a body.
pub(in crate::api) fn tokens() -> Value {
    json!({
        "access_token": ACCESS, "token_type": "Bearer", "expires_in": 900,
        "refresh_token": REFRESH, "refresh_expires_in": 1_209_600, "session_id": SESSION,
    })
}

/// Returns the two forms of a response with the tokens of a session.
pub(in crate::api) fn session_tokens() -> [(&'static str, &'static str, Value); 2] {
    let beside_cookies = json!({
        "access_token": ACCESS, "token_type": "Bearer", "expires_in": 900,
        "refresh_expires_in": 1_209_600, "session_id": SESSION,
        "csrf_token": "mYw0bP2yQmJ4y1J2d0mE3A.3q2-7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs",
    });
    [
        ("in_body", "Tokens in the body", tokens()),
        ("cookie", "The refresh token as a cookie", beside_cookies),
    ]
}

/// Returns the two forms of a request with a refresh token.
pub(in crate::api) fn refresh_requests() -> [(&'static str, &'static str, Value); 2] {
    [
        (
            "cookie",
            "The refresh token is a cookie or in `Authorization`",
            json!({}),
        ),
        (
            "in_body",
            "The refresh token is in the body",
            json!({ "refresh_token": REFRESH }),
        ),
    ]
}

/// Returns an account.
pub(in crate::api) fn user() -> Value {
    json!({
        "id": USER, "username": "ada", "roles": ["editor"], "disabled": false,
        "created_at": "2026-11-24T06:00:00Z", "password_changed_at": "2026-11-24T06:00:00Z",
    })
}
