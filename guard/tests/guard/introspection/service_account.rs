//! The service's session, at a minimal Latchet.

use std::sync::Mutex;

use poem::http::header::AUTHORIZATION;
use poem::web::{Data, Form};
use poem::{Response, post};

use super::*;

/// Issues tokens to one account.
#[derive(Clone)]
struct TestLatchet {
    issuer: TestIssuer,
    requests: Arc<Mutex<Vec<String>>>,
    /// Lifetime of the tokens in seconds.
    expires_in: u64,
}

#[derive(serde::Deserialize)]
struct TokenForm {
    grant_type: String,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
}

impl TestLatchet {
    fn record(&self, what: &str) {
        self.requests.lock().unwrap().push(what.to_owned());
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

#[handler]
fn issue(Data(latchet): Data<&TestLatchet>, Form(form): Form<TokenForm>) -> Response {
    latchet.record(&form.grant_type);
    let verifier = latchet.issuer.verifier();
    let now = latchet.issuer.clock().now();
    let is_accepted = match &*form.grant_type {
        "password" => {
            form.username.as_deref() == Some("notes")
                && form.password.as_deref() == Some("correct horse")
        }
        _ => form.refresh_token.is_some_and(|token| {
            let claims = verifier.verify(&token, ExpectedKind::Refresh, now);
            claims.is_ok_and(|claims| !is_denied(latchet, &claims, now))
        }),
    };
    if !is_accepted {
        let body = Json(json!({"error": "invalid_grant"}));
        return body.with_status(StatusCode::BAD_REQUEST).into_response();
    }
    let token = latchet
        .issuer
        .token("notes")
        .session("service")
        .role("introspect");
    Json(json!({
        "access_token": token.clone().sign(),
        "expires_in": latchet.expires_in,
        "refresh_token": token.refresh().sign(),
    }))
    .into_response()
}

fn is_denied(latchet: &TestLatchet, claims: &Claims, now: Time) -> bool {
    latchet.issuer.denylist().status(claims.into(), now) != TokenStatus::NotDenied
}

/// Accepts only tokens of an account with an active session.
#[handler]
fn introspect(Data(latchet): Data<&TestLatchet>, request: &Request) -> Response {
    latchet.record("introspect");
    let header = request.headers().get(AUTHORIZATION).unwrap();
    let access_token = header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let now = latchet.issuer.clock().now();
    let claims = latchet
        .issuer
        .verifier()
        .verify(access_token, ExpectedKind::Access, now)
        .unwrap();
    assert!(claims.has_role("introspect"));
    if is_denied(latchet, &claims, now) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(json!({"active": true})).into_response()
}

struct ServiceWithAccount {
    _server: KillableServer,
    latchet: TestLatchet,
    list: IntrospectionDenylist,
}

impl ServiceWithAccount {
    fn with(expires_in: u64, password: &str) -> Self {
        let mut server = KillableServer::new();
        let latchet = TestLatchet {
            issuer: TestIssuer::at(&server.url()),
            requests: Arc::default(),
            expires_in,
        };
        server.serve(
            Route::new()
                .at("/token", post(issue))
                .at("/introspect", post(introspect))
                .data(latchet.clone()),
        );
        let list = list(IntrospectionSettings {
            active_for: Duration::ZERO,
            ..IntrospectionSettings::new(
                format!("{}/introspect", server.url()),
                IssuerCredential::Account {
                    token_endpoint: format!("{}/token", server.url()),
                    username: "notes".into(),
                    password: password.into(),
                },
            )
        });
        Self {
            _server: server,
            latchet,
            list,
        }
    }

    async fn refuses(&self) -> Option<bool> {
        let token = self.latchet.issuer.token("alice").sign();
        let now = self.latchet.issuer.clock().now();
        let claims = self
            .latchet
            .issuer
            .verifier()
            .verify(&token, ExpectedKind::Access, now)
            .unwrap();
        let status = self.list.check_token(&token, &claims, now).await;
        Some(status.ok()? != TokenStatus::NotDenied)
    }
}

#[tokio::test]
async fn the_service_signs_in_once() {
    let service = ServiceWithAccount::with(900, "correct horse");

    for _ in 0..3 {
        assert_eq!(service.refuses().await, Some(false));
    }

    assert_eq!(
        service.latchet.requests(),
        ["password", "introspect", "introspect", "introspect"]
    );
}

#[tokio::test]
async fn the_service_refreshes_its_token_before_expiry() {
    let service = ServiceWithAccount::with(30, "correct horse");

    for _ in 0..2 {
        assert_eq!(service.refuses().await, Some(false));
    }

    assert_eq!(
        service.latchet.requests(),
        ["password", "introspect", "refresh_token", "introspect"]
    );
}

#[tokio::test]
async fn the_service_signs_in_again_after_its_session_was_ended() {
    let service = ServiceWithAccount::with(900, "correct horse");
    assert_eq!(service.refuses().await, Some(false));
    let access_token = service
        .latchet
        .issuer
        .token("notes")
        .session("service")
        .sign();
    service.latchet.requests();

    service.latchet.issuer.revoke(&access_token);

    // The test server gives every session the same id, so that the new one is refused as well.
    assert_eq!(service.refuses().await, None);
    assert_eq!(
        service.latchet.requests(),
        ["introspect", "password", "introspect"]
    );
}

#[tokio::test]
async fn the_service_signs_in_after_a_refused_refresh_token() {
    let service = ServiceWithAccount::with(30, "correct horse");
    assert_eq!(service.refuses().await, Some(false));
    let access_token = service
        .latchet
        .issuer
        .token("notes")
        .session("service")
        .sign();
    service.latchet.requests();

    service.latchet.issuer.revoke(&access_token);

    assert_eq!(service.refuses().await, None);
    assert_eq!(
        service.latchet.requests()[..2],
        ["refresh_token", "password"]
    );
}

#[tokio::test]
async fn with_a_wrong_password_the_check_fails() {
    let service = ServiceWithAccount::with(900, "wrong");

    assert_eq!(service.refuses().await, None);
    assert_eq!(service.latchet.requests(), ["password"]);
}
