//! Responses to refusals from a function of the service.

use poem::Response;

use super::*;
use latchet_guard::error::AuthError;

struct CustomErrorApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl CustomErrorApi {
    #[oai(path = "/required", method = "get")]
    async fn required(&self, _jwt: JwtRequired) -> PlainText<String> {
        PlainText("in".to_owned())
    }

    #[oai(path = "/fresh", method = "get")]
    async fn fresh(&self, _jwt: JwtFresh) -> PlainText<String> {
        PlainText("in".to_owned())
    }

    #[oai(path = "/bobs", method = "get")]
    async fn bobs(&self, jwt: JwtRequired) -> poem::Result<PlainText<String>> {
        jwt.owner_or::<Admin>("bob")?;
        Ok(PlainText("in".to_owned()))
    }

    #[oai(path = "/never", method = "get")]
    async fn never(&self, jwt: JwtOptional) -> poem::Result<PlainText<String>> {
        Err(jwt.refuse(&AuthError::ClaimsRejected("never")))
    }
}

/// Responds with the code, the user of the token, and the path.
fn app_of(guards: Guards) -> impl Endpoint {
    let guards = guards.with_refusals(|refusal| {
        let code = refusal.error().problem().code;
        let sub = refusal.claims().map_or("?", |claims| &claims.sub);
        let path = refusal
            .request()
            .map_or("-", |request| request.uri().path());
        Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .header("x-words", "own")
            .body(format!("{code} {sub} {path}"))
    });
    Route::new()
        .at("/plain", poem::get(plain))
        .nest("/", OpenApiService::new(CustomErrorApi, "test", "1"))
        .data(guards)
}

fn custom_response(words: &str) -> TestResponse {
    refused(418, words)
}

#[tokio::test]
async fn one_function_builds_the_response_to_every_refusal() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let good = format!("Bearer {}", service.token());
    let table = [
        (
            "/required",
            "",
            custom_response("missing_token ? /required"),
        ),
        ("/plain", "", custom_response("missing_token ? /plain")),
        (
            "/required",
            "Bearer junk",
            custom_response("malformed_token ? /required"),
        ),
        (
            "/fresh",
            &good,
            custom_response("fresh_token_required alice /fresh"),
        ),
        ("/bobs", &good, custom_response("insufficient_scope ? -")),
        ("/never", "", custom_response("invalid_token ? -")),
        ("/required", &good, ok("in")),
    ];

    for (path, authorization, expected) in table {
        let seen = get(&app, path, Some(authorization)).await;

        assert_eq!(seen, expected, "{path} {authorization}");
    }
}

#[tokio::test]
async fn the_service_decides_status_and_headers_of_refusals() {
    let app = app_of(TestService::new().guards());

    let response = app
        .get_response(request(Method::GET, "/required", &[]))
        .await;

    assert_eq!(response.headers()["x-words"], "own");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
}

#[tokio::test]
async fn custom_responses_receive_the_claims_of_expired_but_not_of_forged_tokens() {
    let service = TestService::new();
    let app = app_of(service.guards());
    let ended = service.sign(&Claims {
        iat: 1,
        nbf: Some(1),
        exp: Some(2),
        ..service.claims()
    });
    let revoked = service.claims();
    service.deny(DenialTarget::Token(revoked.jti.clone()));
    let table = [
        (ended, custom_response("token_expired alice /required")),
        (
            service.sign(&revoked),
            custom_response("token_revoked alice /required"),
        ),
        (
            TestService::new().token(),
            custom_response("invalid_token ? /required"),
        ),
    ];

    for (token, expected) in table {
        let seen = get(&app, "/required", Some(&format!("Bearer {token}"))).await;

        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn middleware_can_read_the_reason_of_every_refusal() {
    let service = TestService::new();
    let reason = async |app: &dyn Fn() -> poem::endpoint::BoxEndpoint<'static>| {
        let error = app()
            .call(request(Method::GET, "/required", &[]))
            .await
            .unwrap_err();
        error
            .downcast_ref::<AuthError>()
            .or_else(|| error.data::<AuthError>())
            .cloned()
    };
    let guards = service.guards();
    let own_words = || app_of(guards.clone()).map_to_response().boxed();
    let problems = || app(guards.clone()).map_to_response().boxed();

    assert_eq!(reason(&own_words).await, Some(AuthError::MissingToken));
    assert_eq!(reason(&problems).await, Some(AuthError::MissingToken));
}

#[tokio::test]
async fn guards_return_the_bare_reason_on_request() {
    let service = TestService::new();
    let guards = service.guards();
    let (name, value) = bearer(&service.token());
    let with = request(Method::GET, "/", &[(name, &value)]);
    let without = request(Method::GET, "/", &[]);

    let claims = guards.authenticate::<Required>(&with).await.unwrap();
    let nobody = guards.authenticate::<Optional>(&without).await.unwrap();
    let refusal = guards.authenticate::<Required>(&without).await;

    assert_eq!((claims.sub.as_str(), nobody), ("alice", None));
    assert_eq!(refusal, Err(AuthError::MissingToken));
}
