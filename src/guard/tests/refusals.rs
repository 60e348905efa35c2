//! Responses to refusals from a function of the service.

use poem::Response;

use super::*;
use crate::error::AuthError;

struct Words;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl Words {
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
        .nest("/", OpenApiService::new(Words, "test", "1"))
        .data(guards)
}

fn own(words: &str) -> Seen {
    refused(418, words)
}

#[tokio::test]
async fn one_function_words_every_refusal() {
    let desk = Desk::new();
    let app = app_of(desk.guards());
    let good = format!("Bearer {}", desk.token());
    let table = [
        ("/required", "", own("missing_token ? /required")),
        ("/plain", "", own("missing_token ? /plain")),
        (
            "/required",
            "Bearer junk",
            own("malformed_token ? /required"),
        ),
        ("/fresh", &good, own("fresh_token_required alice /fresh")),
        ("/bobs", &good, own("insufficient_scope ? -")),
        ("/never", "", own("invalid_token ? -")),
        ("/required", &good, ok("in")),
    ];

    for (path, authorization, expected) in table {
        let seen = get(&app, path, Some(authorization)).await;

        assert_eq!(seen, expected, "{path} {authorization}");
    }
}

#[tokio::test]
async fn status_and_headers_are_the_services_own() {
    let app = app_of(Desk::new().guards());

    let response = app
        .get_response(request(Method::GET, "/required", &[]))
        .await;

    assert_eq!(response.headers()["x-words"], "own");
    assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
}

#[tokio::test]
async fn the_words_may_name_whose_token_has_ended_but_never_whose_was_forged() {
    let desk = Desk::new();
    let app = app_of(desk.guards());
    let ended = desk.sign(&Claims {
        iat: 1,
        nbf: Some(1),
        exp: Some(2),
        ..desk.claims()
    });
    let revoked = desk.claims();
    desk.deny(Denied::Token(revoked.jti.clone()));
    let table = [
        (ended, own("token_expired alice /required")),
        (desk.sign(&revoked), own("token_revoked alice /required")),
        (Desk::new().token(), own("invalid_token ? /required")),
    ];

    for (token, expected) in table {
        let seen = get(&app, "/required", Some(&format!("Bearer {token}"))).await;

        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn middleware_can_tell_why_whatever_the_words() {
    let desk = Desk::new();
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
    let guards = desk.guards();
    let own_words = || app_of(guards.clone()).map_to_response().boxed();
    let problems = || app(guards.clone()).map_to_response().boxed();

    assert_eq!(reason(&own_words).await, Some(AuthError::MissingToken));
    assert_eq!(reason(&problems).await, Some(AuthError::MissingToken));
}

#[tokio::test]
async fn the_bare_reason_can_be_asked_for() {
    let desk = Desk::new();
    let guards = desk.guards();
    let (name, value) = bearer(&desk.token());
    let with = request(Method::GET, "/", &[(name, &value)]);
    let without = request(Method::GET, "/", &[]);

    let claims = guards.authenticate::<Required>(&with).await.unwrap();
    let nobody = guards.authenticate::<Optional>(&without).await.unwrap();
    let refusal = guards.authenticate::<Required>(&without).await;

    assert_eq!((claims.sub.as_str(), nobody), ("alice", None));
    assert_eq!(refusal, Err(AuthError::MissingToken));
}
