//! Custom policies, owners, and routes that skip the denylist.

use super::*;
use latchet_guard::error::AuthError;

struct Paying;
impl TokenPolicy for Paying {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        match claims.extra.get("plan").and_then(Value::as_str) {
            Some("gold") => Ok(()),
            Some(_) => Err(AuthError::InsufficientScope),
            None => Err(AuthError::ClaimsRejected("the claim `plan` is missing")),
        }
    }
}

struct RulesApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi]
impl RulesApi {
    #[oai(path = "/paying", method = "get")]
    async fn paying(&self, jwt: Jwt<(Required, Paying)>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/fresh-paying", method = "get")]
    async fn fresh_paying(&self, jwt: Jwt<(Fresh, Paying)>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/maybe-paying", method = "get")]
    async fn maybe_paying(&self, jwt: Jwt<Optional<Paying>>) -> PlainText<String> {
        PlainText(name_or_nobody(jwt.claims.as_deref()))
    }

    #[oai(path = "/unrevoked", method = "get")]
    async fn unrevoked(&self, jwt: Jwt<(Required, SkipRevocation)>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/both", method = "get")]
    async fn both(&self, jwt: Jwt<(Required, Fresh)>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/logout", method = "get")]
    async fn logout(&self, jwt: Jwt<(EitherKind, SkipRevocation)>) -> PlainText<String> {
        PlainText(jwt.claims.sub.clone())
    }

    #[oai(path = "/notes-of-alice", method = "get")]
    async fn notes(&self, jwt: JwtRequired) -> poem::Result<PlainText<String>> {
        jwt.owner_or::<Admin>("alice")?;
        Ok(PlainText("her notes".to_owned()))
    }

    #[oai(path = "/drafts-of-alice", method = "get")]
    async fn drafts(&self, jwt: JwtFresh) -> poem::Result<PlainText<String>> {
        jwt.owner_or::<Admin>("alice")?;
        Ok(PlainText("her drafts".to_owned()))
    }
}

#[handler]
async fn plain_notes(request: &Request) -> poem::Result<String> {
    let jwt = Jwt::<Required>::authenticate(request).await?;
    jwt.owner_or::<Admin>("alice")?;
    Ok("her notes".to_owned())
}

fn app_of(guards: Guards) -> impl Endpoint {
    Route::new()
        .at("/plain-notes", poem::get(plain_notes))
        .nest("/", OpenApiService::new(RulesApi, "test", "1"))
        .data(guards)
}

async fn ask(service: &TestService, path: &str, change: impl FnOnce(&mut Claims)) -> TestResponse {
    let mut claims = service.claims();
    change(&mut claims);
    let value = format!("Bearer {}", service.sign(&claims));
    get(&app_of(service.guards()), path, Some(&value)).await
}

fn plan(plan: &str) -> impl FnOnce(&mut Claims) {
    let plan = Value::from(plan);
    move |claims| {
        claims.extra.insert("plan".to_owned(), plan);
    }
}

#[tokio::test]
async fn a_custom_policy_applies_to_required_and_optional_routes() {
    let service = TestService::new();
    for path in ["/paying", "/maybe-paying"] {
        assert_eq!(ask(&service, path, plan("gold")).await, ok("alice"));
        assert_eq!(
            ask(&service, path, plan("free")).await,
            refused(403, "insufficient_scope")
        );
        assert_eq!(
            ask(&service, path, |_| ()).await,
            refused(401, "invalid_token")
        );
    }
    assert_eq!(
        get(&app_of(service.guards()), "/maybe-paying", None).await,
        ok("nobody")
    );
}

/// A program that an administrator lets read mail has the rights of its scope alone.
#[tokio::test]
async fn a_token_that_is_limited_to_some_scopes_has_the_rights_of_no_role() {
    let service = TestService::new();
    let token = |is_narrowed| {
        let mut claims = Claims {
            sub: "root".to_owned(),
            roles: vec![Admin::NAME.to_owned()],
            scope: Some(ReadMail::NAME.to_owned()),
            ..service.claims()
        };
        if is_narrowed {
            let name = token::NARROWED_CLAIM.to_owned();
            claims.extra.insert(name, true.into());
        }
        format!("Bearer {}", service.sign(&claims))
    };
    let (full, narrowed) = (token(false), token(true));
    let routes = service.app();
    let rules = app_of(service.guards());

    assert_eq!(get(&routes, "/scope", Some(&narrowed)).await, ok("root"));
    let refusal = refused(403, "insufficient_scope");
    assert_eq!(get(&routes, "/admin", Some(&full)).await, ok("root"));
    assert_eq!(get(&routes, "/admin", Some(&narrowed)).await, refusal);
    for (path, notes) in [
        ("/notes-of-alice", "her notes"),
        ("/plain-notes", "her notes"),
    ] {
        assert_eq!(get(&rules, path, Some(&full)).await, ok(notes), "{path}");
        assert_eq!(get(&rules, path, Some(&narrowed)).await, refusal, "{path}");
    }
}

#[tokio::test]
async fn two_policies_with_the_same_kind_can_be_combined() {
    let service = TestService::new();

    let fresh = ask(&service, "/both", |claims| {
        claims.fresh = token::FreshClaim::Yes;
    })
    .await;
    let not_fresh = ask(&service, "/both", |_| ()).await;

    assert_eq!(fresh, ok("alice"));
    assert_eq!(not_fresh, refused(401, "fresh_token_required"));
}

#[tokio::test]
async fn custom_policies_run_last() {
    let service = TestService::new();

    let not_fresh = ask(&service, "/fresh-paying", |_| ()).await;
    let revoked = ask(&service, "/paying", |claims| {
        service.deny(DenialTarget::Session(claims.sid.clone().unwrap()));
    });

    assert_eq!(not_fresh, refused(401, "fresh_token_required"));
    assert_eq!(revoked.await, refused(401, "token_revoked"));
}

#[tokio::test]
async fn revocation_is_skipped_only_with_skip_revocation() {
    let service = TestService::new();
    let revoke = |claims: &mut Claims| service.deny(DenialTarget::Token(claims.jti.clone()));
    let revoke_refresh = |claims: &mut Claims| {
        claims.kind = TokenKind::Refresh;
        service.deny(DenialTarget::Token(claims.jti.clone()));
    };

    assert_eq!(ask(&service, "/unrevoked", revoke).await, ok("alice"));
    assert_eq!(ask(&service, "/logout", revoke).await, ok("alice"));
    assert_eq!(ask(&service, "/logout", revoke_refresh).await, ok("alice"));
    assert_eq!(
        ask(&service, "/notes-of-alice", revoke).await,
        refused(401, "token_revoked")
    );
    assert_eq!(
        ask(&service, "/unrevoked", revoke_refresh).await,
        refused(401, "wrong_token_type")
    );
}

#[tokio::test]
async fn a_route_that_skips_revocation_needs_no_denylist() {
    let service = TestService::new();
    let guards = Guards::new(
        service.verifier.clone(),
        Arc::new(Unreachable),
        service.clock.clone(),
    );
    let app = app_of(guards);
    let value = format!("Bearer {}", service.token());

    assert_eq!(get(&app, "/unrevoked", Some(&value)).await, ok("alice"));
    assert_eq!(
        get(&app, "/notes-of-alice", Some(&value)).await,
        refused(503, "unavailable")
    );
}

#[tokio::test]
async fn only_the_owner_or_an_administrator_is_admitted() {
    let service = TestService::new();
    let bob = |claims: &mut Claims| claims.sub = "bob".to_owned();
    let admin_bob = |claims: &mut Claims| {
        claims.sub = "bob".to_owned();
        claims.roles = vec!["admin".to_owned()];
    };

    for path in ["/notes-of-alice", "/plain-notes"] {
        assert_eq!(ask(&service, path, |_| ()).await, ok("her notes"), "{path}");
        assert_eq!(
            ask(&service, path, admin_bob).await,
            ok("her notes"),
            "{path}"
        );
        assert_eq!(
            ask(&service, path, bob).await,
            refused(403, "insufficient_scope"),
            "{path}"
        );
    }
    assert_eq!(
        ask(&service, "/drafts-of-alice", admin_bob).await,
        refused(401, "fresh_token_required")
    );
}
