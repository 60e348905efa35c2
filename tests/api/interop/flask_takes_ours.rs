//! An app with Flask-JWT-Extended accepts tokens of Latchet.

use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::keys::Algorithm;
use latchet_guard::token::{Claims, FreshClaim, TokenKind};

use super::{FlaskAndLatchet, mutated, sign};
use crate::support::client::claims;
use crate::support::flask::Flask;

/// Returns status and body of a request with this token.
async fn ask(flask: &Flask, path: &str, token: &str) -> (u16, String) {
    let answer = flask.http.get(path).bearer(token).send().await;
    (answer.status, answer.text)
}

/// Returns status and body of a request whose token is a cookie, as pages send it.
async fn by_cookie(flask: &Flask, method: &str, token: &str, csrf: Option<&str>) -> (u16, String) {
    let cookie = format!("access_token_cookie={token}");
    let mut request = flask.http.request(method, "/me").header("cookie", &cookie);
    if let Some(csrf) = csrf {
        request = request.header("x-csrf-token", csrf);
    }
    let answer = request.send().await;
    (answer.status, answer.text)
}

#[track_caller]
fn assert_said(seen: &(u16, String), status: u16, text: &str, what: &str) {
    assert!(
        seen.0 == status && seen.1.contains(text),
        "{what}: {seen:?}"
    );
}

async fn assert_cookies_work(flask: &Flask, token: &str, what: &str) {
    let claims = claims(token);
    let csrf = claims["csrf"].as_str().expect("a token for cookies");
    let table = [
        ("GET", None, 200, "sub"),
        ("POST", Some(csrf), 200, "sub"),
        ("POST", None, 401, "Missing CSRF token"),
        (
            "POST",
            Some("x"),
            401,
            "CSRF double submit tokens do not match",
        ),
    ];
    for (method, csrf, status, text) in table {
        let seen = by_cookie(flask, method, token, csrf).await;
        assert_said(&seen, status, text, what);
    }
}

/// Tokens that the guard crate signs with the key that the app has too.
fn table(
    now: latchet_guard::clock::Time,
) -> [(&'static str, &'static str, Claims, u16, &'static str); 9] {
    let life = Duration::from_mins(15);
    let good = || Claims {
        iss: "https://issuer.test".to_owned(),
        aud: vec!["https://issuer.test".to_owned()],
        sub: "alice".to_owned(),
        ..Claims::access(now, life)
    };
    let fresh = |fresh| Claims { fresh, ..good() };
    let admin = Claims {
        roles: vec!["admin".to_owned()],
        ..good()
    };
    let refresh = Claims {
        kind: TokenKind::Refresh,
        ..good()
    };
    let expired = Claims {
        exp: Some(now.secs() - 1),
        ..good()
    };
    let minute = Duration::from_mins(1);
    [
        ("access", "/me", good(), 200, "alice"),
        ("not fresh", "/fresh", good(), 401, "Fresh token required"),
        ("fresh", "/fresh", fresh(FreshClaim::Yes), 200, "alice"),
        (
            "fresh for a minute",
            "/fresh",
            fresh(FreshClaim::until(now + minute)),
            200,
            "alice",
        ),
        (
            "lapsed",
            "/fresh",
            fresh(FreshClaim::until(now - minute)),
            401,
            "Fresh token required",
        ),
        ("admin", "/admin", admin, 200, "alice"),
        ("no admin", "/admin", good(), 403, "Admins only!"),
        (
            "refresh",
            "/me",
            refresh,
            422,
            "Only non-refresh tokens are allowed",
        ),
        ("expired", "/me", expired, 401, "Token has expired"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flask_jwt_extended_accepts_our_tokens_by_kind() {
    for algorithm in Algorithm::ALL {
        let FlaskAndLatchet {
            flask,
            key,
            server: _server,
            ..
        } = FlaskAndLatchet::start(algorithm).await;

        for (what, path, claims, status, text) in table(Clock::system().now()) {
            let token = sign(&key, &claims);

            let seen = ask(&flask, path, &token).await;

            assert_said(&seen, status, text, &format!("{algorithm} {what}"));
        }
        let (.., claims, _, _) = &table(Clock::system().now())[0];
        let forged = mutated(&sign(&key, claims));
        let seen = ask(&flask, "/me", &forged).await;
        assert_said(
            &seen,
            422,
            "Signature verification failed",
            algorithm.name(),
        );
        let in_cookie = sign(&key, &claims.clone().with_csrf());
        assert_cookies_work(&flask, &in_cookie, algorithm.name()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flask_jwt_extended_accepts_tokens_of_a_running_server_until_they_are_revoked() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let FlaskAndLatchet { server, flask, .. } = FlaskAndLatchet::start(algorithm).await;
        let session = server.http.person("alice").await.login().await;
        let later = session.rotate().await;
        let admin = server.http.admin().login().await;
        let user = session.user_id();
        let table = [
            ("/me", &session.access, 200, user.as_str()),
            ("/fresh", &session.access, 200, &user),
            ("/fresh", &later.access, 401, "Fresh token required"),
            ("/admin", &session.access, 403, "Admins only!"),
            ("/admin", &admin.access, 200, "sub"),
            (
                "/me",
                &mutated(&session.access),
                422,
                "Signature verification failed",
            ),
            (
                "/me",
                &session.refresh,
                422,
                "The specified alg value is not allowed",
            ),
        ];

        for (path, token, status, text) in table {
            let seen = ask(&flask, path, token).await;
            assert_said(&seen, status, text, &format!("{algorithm} {path}"));
        }
        assert_cookies_work(&flask, &session.access, algorithm.name()).await;
        session.logout().await.expect(204);
        let seen = ask(&flask, "/me", &later.access).await;
        assert_said(&seen, 401, "Token has been revoked", algorithm.name());
    }
}
