//! Responses in the format of Flask-JWT-Extended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::locations::TestRequest;
use super::*;
use crate::raw_signature::sign_message;
use latchet_guard::error::AuthError;
use latchet_guard::token::Typ;

struct FlaskApi;

struct Never;
impl TokenPolicy for Never {
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
    async fn admin(&self, _jwt: Jwt<HasRole<Admin>>) {}
}

pub(super) fn app_of(guards: Guards) -> impl Endpoint {
    Route::new()
        .nest("/", OpenApiService::new(FlaskApi, "test", "1"))
        .data(guards.with_refusals(flask_jwt_extended_errors("msg")))
}

pub(super) fn msg(status: u16, text: &str) -> TestResponse {
    TestResponse(status, serde_json::json!({ "msg": text }).to_string())
}

#[tokio::test]
async fn header_refusals_use_the_texts_of_flask_jwt_extended() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let scheme =
        "Missing 'Bearer' type in 'Authorization' header. Expected 'Authorization: Bearer <JWT>'";
    let shape = "Bad Authorization header. Expected 'Authorization: Bearer <JWT>'";
    let good = format!("Bearer {} x", service.token());
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
        let sent = TestRequest::get("/required").header("authorization", value);

        assert_eq!(sent.to(&app).await, expected, "{value:?}");
    }
    let none = TestRequest::get("/required").to(&app).await;
    assert_eq!(none, msg(401, "Missing Authorization Header"));
}

#[tokio::test]
async fn a_header_of_another_name_is_refused_by_that_name() {
    let service = TestService::new();
    let named = |scheme: Option<&str>| {
        let location = Location::Header {
            name: HeaderName::from_static("x-my-token"),
            scheme: scheme.map(str::to_owned),
        };
        app_of(service.guards().with_locations([location]))
    };
    let ask = async |scheme: Option<&str>, value: &str| {
        let sent = TestRequest::get("/required").header("x-my-token", value);
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
async fn token_refusals_use_the_texts_of_flask_jwt_extended() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let refresh = Claims {
        kind: TokenKind::Refresh,
        ..service.claims()
    };
    let ended = Claims {
        iat: 1,
        nbf: Some(1),
        exp: Some(2),
        ..service.claims()
    };
    let revoked = service.claims();
    service.deny(DenialTarget::Token(revoked.jti.clone()));
    let good = service.claims();
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
        let value = format!("Bearer {}", service.sign(claims));

        assert_eq!(get(&app, path, Some(&value)).await, expected, "{path}");
    }
}

#[tokio::test]
async fn headers_required_by_http_are_kept() {
    let service = TestService::new();
    let guards = Guards::new(
        service.verifier.clone(),
        Arc::new(Unreachable),
        service.clock.clone(),
    );
    let app = app_of(guards);
    let good = format!("Bearer {}", service.token());
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
        read_response(busy).await,
        msg(503, "the check could not be completed")
    );
}

#[tokio::test]
async fn the_message_key_is_configurable() {
    let guards = TestService::new().guards();
    let app = Route::new()
        .at("/", poem::get(plain))
        .data(guards.with_refusals(flask_jwt_extended_errors("message")));

    let seen = get(&app, "/", None).await;

    assert_eq!(seen.1, r#"{"message":"Missing Authorization Header"}"#);
}

#[tokio::test]
async fn missing_claims_use_the_texts_of_flask_jwt_extended() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let key = service.access.key();
    let header = json!({
        "alg": key.algorithm().name(), "typ": Typ::Access.name(), "kid": key.kid()
    });

    for claim in ["sub", "jti", "type", "exp"] {
        let mut claims = serde_json::to_value(service.claims()).unwrap();
        claims.as_object_mut().unwrap().remove(claim);
        let parts = [&header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        let token = format!("{message}.{}", sign_message(key, &message));

        let seen = get(&app, "/required", Some(&format!("Bearer {token}"))).await;

        assert_eq!(seen, msg(422, &format!("Missing claim: {claim}")));
    }
}
