//! The service's session, at a minimal Latchet.

use std::sync::Mutex;

use poem::http::header::AUTHORIZATION;
use poem::web::{Data, Form};
use poem::{Response, post};

use super::*;

/// Issues tokens to one account.
#[derive(Clone)]
struct Desk {
    issuer: TestIssuer,
    said: Arc<Mutex<Vec<String>>>,
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

impl Desk {
    fn note(&self, what: &str) {
        self.said.lock().unwrap().push(what.to_owned());
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

#[handler]
fn issue(Data(desk): Data<&Desk>, Form(form): Form<TokenForm>) -> Response {
    desk.note(&form.grant_type);
    let verifier = desk.issuer.verifier();
    let now = desk.issuer.clock().now();
    let is_right = match &*form.grant_type {
        "password" => {
            form.username.as_deref() == Some("notes")
                && form.password.as_deref() == Some("correct horse")
        }
        _ => form.refresh_token.is_some_and(|token| {
            let claims = verifier.verify(&token, Expected::Refresh, now);
            claims.is_ok_and(|claims| !is_denied(desk, &claims, now))
        }),
    };
    if !is_right {
        let body = Json(json!({"error": "invalid_grant"}));
        return body.with_status(StatusCode::BAD_REQUEST).into_response();
    }
    let token = desk
        .issuer
        .token("notes")
        .session("service")
        .role("introspect");
    Json(json!({
        "access_token": token.clone().sign(),
        "expires_in": desk.expires_in,
        "refresh_token": token.refresh().sign(),
    }))
    .into_response()
}

fn is_denied(desk: &Desk, claims: &Claims, now: Time) -> bool {
    desk.issuer.denylist().status(claims.into(), now) != TokenStatus::NotDenied
}

/// Accepts only tokens of an account with an active session.
#[handler]
fn introspect(Data(desk): Data<&Desk>, request: &Request) -> Response {
    desk.note("introspect");
    let header = request.headers().get(AUTHORIZATION).unwrap();
    let own = header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let now = desk.issuer.clock().now();
    let claims = desk
        .issuer
        .verifier()
        .verify(own, Expected::Access, now)
        .unwrap();
    assert!(claims.has_role("introspect"));
    if is_denied(desk, &claims, now) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(json!({"active": true})).into_response()
}

struct Scene {
    _site: Site,
    desk: Desk,
    list: IntrospectionDenylist,
}

impl Scene {
    fn with(expires_in: u64, password: &str) -> Self {
        let mut site = Site::new();
        let desk = Desk {
            issuer: TestIssuer::at(&site.url()),
            said: Arc::default(),
            expires_in,
        };
        site.serve(
            Route::new()
                .at("/token", post(issue))
                .at("/introspect", post(introspect))
                .data(desk.clone()),
        );
        let list = list(IntrospectionSettings {
            active_for: Duration::ZERO,
            ..IntrospectionSettings::new(
                format!("{}/introspect", site.url()),
                Credential::Account {
                    token_endpoint: format!("{}/token", site.url()),
                    username: "notes".into(),
                    password: password.into(),
                },
            )
        });
        Self {
            _site: site,
            desk,
            list,
        }
    }

    async fn refuses(&self) -> Option<bool> {
        let token = self.desk.issuer.token("alice").sign();
        let now = self.desk.issuer.clock().now();
        let claims = self
            .desk
            .issuer
            .verifier()
            .verify(&token, Expected::Access, now)
            .unwrap();
        let status = self.list.check_token(&token, &claims, now).await;
        Some(status.ok()? != TokenStatus::NotDenied)
    }
}

#[tokio::test]
async fn it_signs_in_once() {
    let scene = Scene::with(900, "correct horse");

    for _ in 0..3 {
        assert_eq!(scene.refuses().await, Some(false));
    }

    assert_eq!(
        scene.desk.said(),
        ["password", "introspect", "introspect", "introspect"]
    );
}

#[tokio::test]
async fn it_refreshes_before_its_token_ends() {
    let scene = Scene::with(30, "correct horse");

    for _ in 0..2 {
        assert_eq!(scene.refuses().await, Some(false));
    }

    assert_eq!(
        scene.desk.said(),
        ["password", "introspect", "refresh_token", "introspect"]
    );
}

#[tokio::test]
async fn it_signs_in_again_when_its_session_was_ended() {
    let scene = Scene::with(900, "correct horse");
    assert_eq!(scene.refuses().await, Some(false));
    let own = scene.desk.issuer.token("notes").session("service").sign();
    scene.desk.said();

    scene.desk.issuer.revoke(&own);

    // The test server gives every session the same id, so that the new one is refused as well.
    assert_eq!(scene.refuses().await, None);
    assert_eq!(scene.desk.said(), ["introspect", "password", "introspect"]);
}

#[tokio::test]
async fn a_refused_refresh_token_is_followed_by_the_password() {
    let scene = Scene::with(30, "correct horse");
    assert_eq!(scene.refuses().await, Some(false));
    let own = scene.desk.issuer.token("notes").session("service").sign();
    scene.desk.said();

    scene.desk.issuer.revoke(&own);

    assert_eq!(scene.refuses().await, None);
    assert_eq!(scene.desk.said()[..2], ["refresh_token", "password"]);
}

#[tokio::test]
async fn with_a_wrong_password_there_is_no_answer() {
    let scene = Scene::with(900, "wrong");

    assert_eq!(scene.refuses().await, None);
    assert_eq!(scene.desk.said(), ["password"]);
}
