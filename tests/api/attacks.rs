//! Tokens that an attacker would try. None is accepted, none makes the server fail.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::client::{Session, claims, header};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    forged_tokens_are_refused,
    a_refresh_token_is_no_access_token_and_the_other_way_round,
    two_tokens_in_one_request_are_refused,
    tokens_of_one_server_are_refused_by_another,
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Returns `token` with its header changed and its signature kept.
fn with_header(token: &str, change: Value) -> String {
    let mut changed = header(token);
    merge(&mut changed, change);
    let rest = token.split_once('.').expect("tokens have three parts").1;
    format!("{}.{rest}", encode(&changed))
}

/// Returns `token` with its claims changed and its signature kept.
fn with_claims(token: &str, change: Value) -> String {
    let mut changed = claims(token);
    merge(&mut changed, change);
    let parts: Vec<_> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], encode(&changed), parts[2])
}

fn merge(object: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        panic!("a change is an object");
    };
    object
        .as_object_mut()
        .expect("headers and claims are objects")
        .extend(change);
}

fn hmac(token: &str, header: Value, key: &[u8]) -> String {
    let changed = with_header(token, header);
    let signed = changed.rsplit_once('.').expect("tokens have three parts").0;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A forged token, and what is forged about it.
type Forgery = (String, String);

fn other_algorithms(good: &str) -> Vec<Forgery> {
    let names = [
        "none", "None", "NONE", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "PS256",
    ];
    let forge = |algorithm: &str| {
        let token = with_header(good, json!({"alg": algorithm}));
        let (bare, _) = token.rsplit_once('.').expect("tokens have three parts");
        let bare = format!("{bare}.");
        [
            (format!("alg {algorithm:?}"), token),
            (format!("alg {algorithm:?}, no signature"), bare),
        ]
    };
    names.into_iter().flat_map(forge).collect()
}

/// HMAC with the public key as its secret.
fn hmac_with_the_public_key(good: &str, jwk: &Value) -> Vec<Forgery> {
    let text = |name: &str| {
        jwk[name]
            .as_str()
            .expect("an Ed25519 key has x and kid")
            .to_owned()
    };
    let secrets = [
        (
            "its bytes",
            URL_SAFE_NO_PAD.decode(text("x")).expect("x is base64url"),
        ),
        ("its text", text("x").into_bytes()),
        ("its JWK", jwk.to_string().into_bytes()),
        ("its id", text("kid").into_bytes()),
        ("nothing at all", Vec::new()),
    ];
    let forge = |(name, secret): (&str, Vec<u8>)| {
        let token = hmac(good, json!({"alg": "HS256"}), &secret);
        (format!("HMAC with the public key: {name}"), token)
    };
    secrets.into_iter().map(forge).collect()
}

/// A header that leads to a key of the attacker's.
fn keys_of_the_attacker(good: &str) -> Vec<Forgery> {
    let secret = [7; 32];
    let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret)});
    let headers = [
        ("embedded jwk", json!({"alg": "HS256", "jwk": jwk})),
        (
            "jku",
            json!({"alg": "HS256", "jku": "http://127.0.0.1:1/jwks.json"}),
        ),
        (
            "x5u",
            json!({"alg": "HS256", "x5u": "http://127.0.0.1:1/x"}),
        ),
        (
            "kid of a file",
            json!({"alg": "HS256", "kid": "../../../../dev/null"}),
        ),
        (
            "kid of SQL",
            json!({"alg": "HS256", "kid": "x' UNION SELECT 'secret"}),
        ),
        ("kid with NUL", json!({"alg": "HS256", "kid": "a\u{0}b"})),
        ("kid that is no text", json!({"alg": "HS256", "kid": 7})),
        ("no kid", json!({"alg": "HS256", "kid": null})),
    ];
    let forge = |(name, header): (&str, Value)| (name.to_owned(), hmac(good, header, &secret));
    headers.into_iter().map(forge).collect()
}

/// A genuine token that was changed after it was signed.
fn changed(good: &str) -> Vec<Forgery> {
    let headers = [
        ("crit", json!({"crit": ["exp"]})),
        ("unencoded payload", json!({"b64": false, "crit": ["b64"]})),
        ("typ of a refresh token", json!({"typ": "rt+jwt"})),
        ("typ of an id token", json!({"typ": "JWT"})),
    ];
    let claims = [
        ("another subject", json!({"sub": "someone-else"})),
        ("another role", json!({"roles": ["admin"]})),
        ("a late end", json!({"exp": 99_999_999_999_i64})),
        ("an end as text", json!({"exp": "never"})),
        ("no end", json!({"exp": null})),
        ("another session", json!({"sid": "another"})),
        ("refresh", json!({"type": "refresh"})),
    ];
    let headers = headers.map(|(name, change)| (name.to_owned(), with_header(good, change)));
    let claims = claims.map(|(name, change)| (name.to_owned(), with_claims(good, change)));
    headers.into_iter().chain(claims).collect()
}

fn misshapen(good: &str) -> Vec<Forgery> {
    let (unsigned, signature) = good.rsplit_once('.').expect("tokens have three parts");
    let bomb = encode(&json!({"alg": "EdDSA", "x": "[".repeat(4000)}));
    [
        ("no signature", format!("{unsigned}.")),
        ("two parts", unsigned.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        (
            "five parts, as JWE",
            format!("{good}.{signature}.{signature}"),
        ),
        ("padding", format!("{good}==")),
        ("a half", good[..good.len() / 2].to_owned()),
        (
            "another signature",
            format!("{unsigned}.{}", "A".repeat(signature.len())),
        ),
        ("dots", "..".to_owned()),
        ("oversize", format!("{unsigned}.{}", "A".repeat(9000))),
        ("a header of brackets", format!("{bomb}.e30.x")),
    ]
    .map(|(name, token)| (name.to_owned(), token))
    .into()
}

async fn forged_tokens_are_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let jwks = server
        .http
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200)
        .json();
    let good = &session.access;

    let forged = [
        other_algorithms(good),
        hmac_with_the_public_key(good, &jwks["keys"][0]),
        keys_of_the_attacker(good),
        changed(good),
        misshapen(good),
    ];
    for (name, token) in forged.into_iter().flatten() {
        let answer = server.http.get("/v1/me").bearer(&token).send().await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text);
        let code = answer.code();
        assert!(
            ["invalid_token", "malformed_token"].contains(&code.as_str()),
            "{name}: {code}"
        );
    }
    session.check().await.expect(200);
}

async fn a_refresh_token_is_no_access_token_and_the_other_way_round(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let swapped = Session {
        access: session.refresh.clone(),
        refresh: session.access.clone(),
        ..session.clone()
    };

    assert_eq!(swapped.check().await.status, 401);
    assert_eq!(swapped.refresh().await.status, 401);
    session.rotate().await.check().await.expect(200);
}

async fn two_tokens_in_one_request_are_refused(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let request = server
        .http
        .get("/v1/me")
        .bearer(&session.access)
        .bearer(&session.access);

    request.send().await.expect(400);
}

async fn tokens_of_one_server_are_refused_by_another(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let other = InProcessServer::start(&Backend::sqlite()).await;
    let session = server.http.person("alice").await.login().await;
    let foreign = session.at(&other.http);

    assert_eq!(foreign.check().await.status, 401);
    assert_eq!(foreign.refresh().await.status, 401);
}
