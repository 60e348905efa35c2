//! Clients of Flask-JWT at Latchet, held against Flask-JWT 0.3.2 itself.

use std::time::Duration;

use latchet_guard::clock::Clock;
use latchet_guard::keys::{Algorithm, SigningKey, random_id};
use latchet_guard::token::Claims;
use serde_json::{Value, json};

use super::{mutated, named_by_its_address, sign};
use crate::support::Backend;
use crate::support::client::{Person, claims};
use crate::support::flask::Flask;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::server::Replica;

/// A Latchet with Flask-JWT's ways, and an app that has the same user.
async fn both() -> (InProcessServer, Person, Flask) {
    let server =
        InProcessServer::start(&Backend::sqlite().with("LATCHET_COMPAT_FLASK_JWT", "true")).await;
    let alice = server.http.person("alice").await;
    let key = random_id() + &random_id();
    let settings = [
        ("NAME", alice.name.as_str()),
        ("PASSWORD", &alice.password),
        ("SIGNING_KEY", &key),
    ];
    let flask = Flask::start("flask-jwt", "flask_jwt_app.py", &settings).await;
    (server, alice, flask)
}

async fn auth(http: &Http, body: impl Into<Vec<u8>>) -> HttpResponse {
    http.post("/auth")
        .body("application/json", body)
        .send()
        .await
}

async fn log_in(http: &Http, person: &Person) -> String {
    let body = json!({"username": person.name, "password": person.password});
    let answer = auth(http, body.to_string()).await.expect(200);
    let members: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["access_token"]);
    answer.field("access_token")
}

async fn me(http: &Http, authorization: Option<&str>) -> HttpResponse {
    let mut request = http.get("/v1/me");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.send().await
}

/// Returns the members of a refusal that a client of Flask-JWT reads.
fn words(answer: &HttpResponse) -> (u16, Value) {
    let body = answer.json();
    let [status, error, description] = ["status_code", "error", "description"].map(|n| &body[n]);
    (answer.status, json!([status, error, description]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_responds_as_flask_jwt_does() {
    let (server, alice, flask) = both().await;
    let (name, password) = (&alice.name, &alice.password);
    let refused = [
        json!({"username": name, "password": "not the password of alice"}),
        json!({"username": "nobody", "password": password}),
        json!({"username": name}),
        json!({"password": password}),
        json!({"username": name, "password": password, "remember": true}),
        json!({"username": "", "password": password}),
        json!({"username": name, "password": null}),
        json!({}),
    ];

    for http in [&server.http, &flask.http] {
        log_in(http, &alice).await;
    }
    for body in refused {
        let ours = auth(&server.http, body.to_string()).await;
        let theirs = auth(&flask.http, body.to_string()).await;

        assert_eq!(words(&ours), words(&theirs), "{body}");
        assert_eq!(
            words(&ours),
            (401, json!([401, "Bad Request", "Invalid credentials"]))
        );
    }
    for http in [&server.http, &flask.http] {
        assert_eq!(auth(http, "{ not json").await.status, 400);
        let get = http.get("/auth").send().await;
        assert_eq!(get.status, 405);
        assert!(get.header("allow").contains("POST"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_use_the_texts_of_flask_jwt() {
    let (server, alice, flask) = both().await;
    let ours = log_in(&server.http, &alice).await;
    let theirs = log_in(&flask.http, &alice).await;
    let expired = flask.http.get("/expired").send().await.expect(200).text;
    let same = [
        None,
        Some("Basic dTpw"),
        Some("JWT"),
        Some("JWT a b"),
        Some("JWT x"),
    ];

    for (http, token) in [(&server.http, &ours), (&flask.http, &theirs)] {
        me(http, Some(&format!("JWT {token}"))).await.expect(200);
        me(http, Some(&format!("jwt {token}"))).await.expect(200);
    }
    for authorization in same {
        let ours = me(&server.http, authorization).await;
        let theirs = me(&flask.http, authorization).await;

        assert_eq!(words(&ours), words(&theirs), "{authorization:?}");
        assert!(ours.json()["code"].is_string(), "our own clients read on");
    }
    let no_token = (me(&server.http, None).await, me(&flask.http, None).await);
    let challenge = no_token.1.header("www-authenticate");
    assert!(no_token.0.header("www-authenticate").ends_with(challenge));
    let forged = [&ours, &theirs].map(|token| format!("JWT {}", mutated(token)));
    assert_eq!(
        words(&me(&server.http, Some(&forged[0])).await),
        words(&me(&flask.http, Some(&forged[1])).await)
    );
    server.pass(Duration::from_mins(16));
    assert_eq!(
        words(&me(&server.http, Some(&format!("JWT {ours}"))).await),
        words(&me(&flask.http, Some(&format!("JWT {expired}"))).await)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_at_auth_creates_an_ordinary_session() {
    let (server, alice, _flask) = both().await;
    let token = log_in(&server.http, &alice).await;
    let other = log_in(&server.http, &alice).await;

    let said = claims(&token);
    assert_eq!(said["identity"], said["sub"]);
    let as_jwt = format!("JWT {token}");
    let logout = server
        .http
        .post("/v1/logout")
        .header("authorization", &as_jwt);
    logout.send().await.expect(204);

    let refused = me(&server.http, Some(&as_jwt))
        .await
        .expect_problem(401, "token_revoked");
    assert_eq!(
        words(&refused).1,
        json!([401, "Invalid token", "the token was revoked"])
    );
    me(&server.http, Some(&format!("JWT {other}")))
        .await
        .expect(200);
    me(&server.http, Some(&format!("Bearer {other}")))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_counts_attempts_like_any_other_login() {
    let backend = Backend::sqlite()
        .with("LATCHET_COMPAT_FLASK_JWT", "true")
        .with("LATCHET_THROTTLE_ACCOUNT", "2/1h");
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let body = json!({"username": "alice", "password": "not the password of alice"});

    alice
        .try_login("not the password of alice")
        .await
        .expect(401);
    auth(&server.http, body.to_string()).await.expect(401);

    let right = json!({"username": "alice", "password": alice.password});
    let late = auth(&server.http, right.to_string())
        .await
        .expect_problem(429, "too_many_requests");
    assert!(late.headers.contains_key("retry-after"));
    assert_eq!(late.json()["status_code"], 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flask_jwt_routes_exist_only_with_their_setting() {
    let server = InProcessServer::start(&Backend::sqlite()).await;
    let alice = server.http.person("alice").await.login().await;

    let body = json!({"username": "alice", "password": "a long password of alice"});
    let auth = auth(&server.http, body.to_string()).await;
    let refused = me(&server.http, Some(&format!("JWT {}", alice.access))).await;

    assert_eq!(auth.status, 404);
    let refused = refused.expect_problem(401, "missing_token");
    assert!(refused.json()["status_code"].is_null());
    assert!(claims(&alice.access)["identity"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flask_jwt_accepts_our_tokens() {
    let key = random_id() + &random_id();
    let shared = SigningKey::from_private_bytes(Algorithm::Hs256, key.as_bytes()).unwrap();
    let settings = [("NAME", "alice"), ("PASSWORD", "x"), ("SIGNING_KEY", &*key)];
    let untouched = Flask::start("flask-jwt", "flask_jwt_app.py", &settings).await;
    let mut by_shared_key = Claims {
        sub: "alice".to_owned(),
        ..Claims::access(Clock::system().now(), Duration::from_mins(15)).with_nbf()
    };
    by_shared_key
        .extra
        .insert("identity".to_owned(), "alice".into());

    let backend = named_by_its_address()
        .with("LATCHET_ALGORITHM", "RS256")
        .with("LATCHET_COMPAT_FLASK_JWT", "true")
        .with("LATCHET_COMPAT_FLASK_JWT_IDENTITY", "identity");
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let jwks = server
        .http
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200);
    let settings = [
        ("NAME", "nobody"),
        ("PASSWORD", "x"),
        ("SIGNING_KEY", &key),
        ("VERIFYING_KEY", &jwks.json()["keys"][0].to_string()),
        ("AUDIENCE", server.http.base()),
    ];
    let following = Flask::start("flask-jwt", "flask_jwt_app.py", &settings).await;

    for (flask, token, user) in [
        (
            &untouched,
            sign(&shared, &by_shared_key),
            "alice".to_owned(),
        ),
        (&following, session.access.clone(), session.user_id()),
    ] {
        let answer = me(&flask.http, Some(&format!("JWT {token}")))
            .await
            .expect(200);
        assert_eq!(answer.json()["identity"], user);
        let forged = format!("JWT {}", mutated(&token));
        let refused = words(&me(&flask.http, Some(&forged)).await).1;
        assert_eq!(
            refused,
            json!([401, "Invalid token", "Signature verification failed"])
        );
    }
}
