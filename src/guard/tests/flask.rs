//! Responses in the format of Flask-JWT-Extended.

use super::places::Sent;
use super::*;
use crate::error::AuthError;
use crate::token::Typ;

struct FlaskApi;

struct Never;
impl Policy for Never {
    fn check(_: &Claims) -> Result<(), AuthError> {
        Err(AuthError::ClaimsRejected("never"))
    }
}

struct Gone;
impl CurrentUser for Gone {
    async fn load(
        _: &Claims,
        _: &Request,
    ) -> Result<Option<Self>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl FlaskApi {
    #[oai(path = "/required", method = "get", method = "post")]
    async fn required(&self, _jwt: JwtRequired) {}

    #[oai(path = "/fresh", method = "get")]
    async fn fresh(&self, _jwt: JwtFresh) {}

    #[oai(path = "/refresh", method = "get", method = "post")]
    async fn refresh(&self, _jwt: JwtRefresh) {}

    #[oai(path = "/verified", method = "get")]
    async fn verified(&self, _jwt: Jwt<(Required, Never)>) {}

    #[oai(path = "/user", method = "get")]
    async fn user(&self, _jwt: Jwt<Required, Gone>) {}

    #[oai(path = "/admin", method = "get")]
    async fn admin(&self, _jwt: Jwt<Role<Admin>>) {}
}

pub(super) fn app_of(guards: Guards) -> impl Endpoint {
    Route::new()
        .nest("/", OpenApiService::new(FlaskApi, "test", "1"))
        .data(guards.with_refusals(flask_jwt_extended_errors("msg")))
}

pub(super) fn msg(status: u16, text: &str) -> Seen {
    Seen(status, serde_json::json!({ "msg": text }).to_string())
}

#[tokio::test]
async fn the_header_is_refused_in_flask_jwt_extendeds_words() {
    let desk = Desk::new();
    let app = app_of(desk.guards());
    let scheme =
        "Missing 'Bearer' type in 'Authorization' header. Expected 'Authorization: Bearer <JWT>'";
    let shape = "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'";
    let good = format!("Bearer {} x", desk.token());
    let table = [
        ("", msg(401, "Missing Authorization Header")),
        ("  ", msg(401, "Missing Authorization Header")),
        ("Basic dTpw", msg(401, scheme)),
        ("Foo 1, Bar 2, Baz, 3", msg(401, scheme)),
        (" , , ", msg(401, scheme)),
        ("Bearer", msg(422, shape)),
        ("Bearer a b", msg(422, shape)),
        (&good, msg(422, shape)),
        ("Foo 1, Bearer, Baz, 3", msg(422, shape)),
        ("Bearer xxx", msg(422, "it does not have three parts")),
    ];

    for (value, expected) in table {
        let sent = Sent::get("/required").header("authorization", value);

        assert_eq!(sent.to(&app).await, expected, "{value:?}");
    }
    let none = Sent::get("/required").to(&app).await;
    assert_eq!(none, msg(401, "Missing Authorization Header"));
}

#[tokio::test]
async fn a_header_of_another_name_is_refused_by_that_name() {
    let desk = Desk::new();
    let named = |scheme: Option<&str>| {
        let location = Location::Header {
            name: HeaderName::from_static("x-my-token"),
            scheme: scheme.map(str::to_owned),
        };
        app_of(desk.guards().with_locations([location]))
    };
    let ask = async |scheme: Option<&str>, value: &str| {
        let sent = Sent::get("/required").header("x-my-token", value);
        sent.to(&named(scheme)).await
    };

    assert_eq!(
        ask(Some("JWT"), "").await,
        msg(401, "Missing X-My-Token Header")
    );
    assert_eq!(
        ask(Some("JWT"), "Bearer x").await,
        msg(
            401,
            "Missing 'JWT' type in 'X-My-Token' header. Expected 'X-My-Token: JWT <JWT>'"
        )
    );
    assert_eq!(
        ask(None, "Bearer x").await,
        msg(422, "Bad X-My-Token header. Expected 'X-My-Token: <JWT>'")
    );
}

#[tokio::test]
async fn tokens_are_refused_in_flask_jwt_extendeds_words() {
    let desk = Desk::new();
    let app = app_of(desk.guards());
    let refresh = Claims {
        kind: Kind::Refresh,
        ..desk.claims()
    };
    let ended = Claims {
        iat: 1,
        nbf: Some(1),
        exp: Some(2),
        ..desk.claims()
    };
    let revoked = desk.claims();
    desk.deny(Denied::Token(revoked.jti.clone()));
    let good = desk.claims();
    let table = [
        ("/required", &ended, msg(401, "Token has expired")),
        (
            "/required",
            &refresh,
            msg(422, "Only non-refresh tokens are allowed"),
        ),
        (
            "/refresh",
            &good,
            msg(422, "Only refresh tokens are allowed"),
        ),
        ("/fresh", &good, msg(401, "Fresh token required")),
        (
            "/fresh",
            &refresh,
            msg(422, "Only non-refresh tokens are allowed"),
        ),
        ("/fresh", &revoked, msg(401, "Fresh token required")),
        ("/required", &revoked, msg(401, "Token has been revoked")),
        (
            "/verified",
            &good,
            msg(400, "User claims verification failed"),
        ),
        ("/user", &good, msg(401, "Error loading the user alice")),
        (
            "/admin",
            &good,
            msg(
                403,
                "the token does not carry the role or scope that this needs",
            ),
        ),
    ];

    for (path, claims, expected) in table {
        let value = format!("Bearer {}", desk.sign(claims));

        assert_eq!(get(&app, path, Some(&value)).await, expected, "{path}");
    }
}

#[tokio::test]
async fn what_http_wants_in_headers_stays() {
    let desk = Desk::new();
    let guards = Guards::new(
        desk.verifier.clone(),
        Arc::new(Unreachable),
        desk.clock.clone(),
    );
    let app = app_of(guards);
    let good = format!("Bearer {}", desk.token());
    let ask = async |value: &str| {
        let headers = [(header::AUTHORIZATION, value)];
        app.get_response(request(Method::GET, "/required", &headers))
            .await
    };
    let (missing, bad, busy) = (ask("").await, ask("Bearer x").await, ask(&good).await);

    for response in [&missing, &bad, &busy] {
        assert_eq!(response.content_type(), Some("application/json"));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
    assert!(missing.headers().contains_key(header::WWW_AUTHENTICATE));
    assert!(!bad.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
    assert_eq!(
        see(busy).await,
        msg(503, "the check could not be completed")
    );
}

#[tokio::test]
async fn the_key_of_the_message_can_be_chosen() {
    let guards = Desk::new().guards();
    let app = Route::new()
        .at("/", poem::get(plain))
        .data(guards.with_refusals(flask_jwt_extended_errors("message")));

    let seen = get(&app, "/", None).await;

    assert_eq!(seen.1, r#"{"message":"Missing Authorization Header"}"#);
}

#[tokio::test]
async fn claims_that_are_missing_are_named_in_flask_jwt_extendeds_words() {
    let desk = Desk::new();
    let app = app_of(desk.guards());
    let key = desk.access.key();
    let mut header = jsonwebtoken::Header::new(key.algorithm().jose());
    header.typ = Some(Typ::Access.name().to_owned());
    header.kid = Some(key.kid().to_owned());

    for claim in ["sub", "jti", "type", "exp"] {
        let mut claims = serde_json::to_value(desk.claims()).unwrap();
        claims.as_object_mut().unwrap().remove(claim);
        let token = jsonwebtoken::encode(&header, &claims, key.encoding()).unwrap();

        let seen = get(&app, "/required", Some(&format!("Bearer {token}"))).await;

        assert_eq!(seen, msg(422, &format!("Missing claim: {claim}")));
    }
}
