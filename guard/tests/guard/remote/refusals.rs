//! Responses of an issuer that are refused.

use std::time::Duration;

use poem::http::StatusCode;
use poem::http::header::{CONTENT_TYPE, LOCATION};
use poem::{Response, Route, endpoint};
use serde_json::{Value, json};

use super::server::KillableServer;
use super::{ServedIssuer, unknown_key};
use latchet_guard::Guards;
use latchet_guard::keys::{Algorithm, SigningKey};
use latchet_guard::remote::{RemoteKeys, RemoteSettings};
use latchet_guard::testing::TestIssuer;

const METADATA: &str = "/.well-known/oauth-authorization-server";

fn answering(status: StatusCode, body: String) -> Response {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .body(body)
}

/// Serves these documents, and returns the reason for their refusal.
async fn refusal(metadata: impl FnOnce(&str) -> Response, jwks: Response) -> String {
    let mut server = KillableServer::new();
    let (metadata, jwks) = (Once::new(metadata(&server.url())), Once::new(jwks));
    server.serve(
        Route::new()
            .at(METADATA, endpoint::make_sync(move |_| metadata.take()))
            .at("/jwks", endpoint::make_sync(move |_| jwks.take())),
    );
    let keys = RemoteKeys::start(RemoteSettings {
        deadline: Duration::from_secs(5),
        ..RemoteSettings::new(server.url(), ["x"])
    })
    .unwrap();
    let error = keys.ready().await.unwrap_err();
    error.to_string().replace(&server.url(), "ISSUER")
}

/// A response is not `Clone`; a second request receives 410.
struct Once(std::sync::Mutex<Option<Response>>);

impl Once {
    fn new(response: Response) -> Self {
        Self(std::sync::Mutex::new(Some(response)))
    }

    fn take(&self) -> Response {
        let response = self.0.lock().unwrap().take();
        response.unwrap_or_else(|| answering(StatusCode::GONE, String::new()))
    }
}

fn metadata(url: &str) -> Value {
    json!({"issuer": url, "jwks_uri": format!("{url}/jwks")})
}

fn ok(body: &Value) -> Response {
    answering(StatusCode::OK, body.to_string())
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    for name in ["https://evil.example", "URL/", ""] {
        let error = refusal(
            |url| {
                let mut metadata = metadata(url);
                metadata["issuer"] = json!(name.replace("URL", url));
                ok(&metadata)
            },
            ok(&json!({"keys": []})),
        )
        .await;

        let name = name.replace("URL", "ISSUER");
        assert_eq!(
            error,
            format!("the issuer at ISSUER has the name {name}: write its URL exactly like that")
        );
    }
}

#[tokio::test]
async fn unusable_responses_are_refused() {
    let found = |_: &str| {
        let mut response = answering(StatusCode::FOUND, String::new());
        let elsewhere = "http://127.0.0.1:1/".parse().unwrap();
        response.headers_mut().insert(LOCATION, elsewhere);
        response
    };
    let empty = || ok(&json!({"keys": []}));
    assert_eq!(
        refusal(found, empty()).await,
        format!("ISSUER{METADATA} responded with status 302")
    );
    assert_eq!(
        refusal(|_| ok(&json!(["no"])), empty()).await,
        format!("ISSUER{METADATA} did not send the expected JSON")
    );
    assert_eq!(
        refusal(|url| ok(&metadata(url)), empty()).await,
        "ISSUER/jwks has no key that can be used here"
    );
    assert_eq!(
        refusal(
            |url| ok(&metadata(url)),
            ok(&json!({"keys": ["x".repeat(256 * 1024)]}))
        )
        .await,
        "ISSUER/jwks sent more than 256 KiB"
    );
    assert_eq!(
        refusal(
            |url| ok(&metadata(url)),
            answering(StatusCode::NOT_FOUND, String::new())
        )
        .await,
        "ISSUER/jwks responded with status 404"
    );
    let elsewhere = |url: &str| ok(&json!({"issuer": url, "jwks_uri": "http://keys.example/"}));
    assert_eq!(
        refusal(elsewhere, empty()).await,
        "an address in the issuer's metadata cannot be used"
    );
}

#[tokio::test]
async fn a_slow_response_is_refused() {
    let mut server = KillableServer::new();
    server.serve(endpoint::make(async |_| {
        std::future::pending::<poem::Result<Response>>().await
    }));
    let keys = RemoteKeys::start(RemoteSettings {
        deadline: Duration::from_millis(50),
        ..RemoteSettings::new(server.url(), ["x"])
    })
    .unwrap();

    let error = keys.ready().await.unwrap_err();

    assert!(error.to_string().starts_with("request failed"), "{error}");
}

/// All keys in the set but one are unusable, and this one works.
#[tokio::test]
async fn only_usable_keys_and_no_secrets_are_accepted() {
    let mut server = KillableServer::new();
    let url = server.url();
    let secret = SigningKey::generate(Algorithm::Hs256).unwrap();
    let [good, enc, misnamed, broken] =
        std::array::from_fn(|_| SigningKey::generate(Algorithm::EdDsa).unwrap());
    let changed = |key: &SigningKey, name: &str, value: &str| {
        let mut jwk = key.verifying_key().jwk().unwrap();
        jwk[name] = json!(value);
        jwk
    };
    let shared = base64_of(secret.private_bytes());
    let keys = json!({"keys": [
        {"kty": "oct", "k": shared, "kid": secret.kid(), "alg": "HS256", "use": "sig"},
        changed(&enc, "use", "enc"),
        changed(&misnamed, "alg", "HS256"),
        changed(&broken, "x", "AAAA"),
        {"kty": "EC", "crv": "secp256k1"},
        "not a key",
        good.verifying_key().jwk().unwrap(),
    ]});
    let of = {
        let url = url.clone();
        move |_| poem::web::Json(metadata(&url))
    };
    server.serve(Route::new().at(METADATA, endpoint::make_sync(of)).at(
        "/jwks",
        endpoint::make_sync(move |_| poem::web::Json(keys.clone())),
    ));
    let followed = RemoteKeys::start(RemoteSettings::new(&url, [&url])).unwrap();
    followed.ready().await.unwrap();

    let served_issuer = |key: &SigningKey| ServedIssuer {
        server: KillableServer::new(),
        issuer: TestIssuer::with_key(&url, key.clone()),
    };
    let accepted = served_issuer(&good);
    let token = accepted.issuer.token("alice").sign();
    assert_eq!(accepted.check(&followed, &token), Ok("alice".into()));
    for key in [&secret, &enc, &misnamed, &broken] {
        let refused = served_issuer(key);
        let token = refused.issuer.token("mallory").sign();
        assert_eq!(refused.check(&followed, &token), Err(unknown_key()));
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn an_empty_key_set_does_not_remove_the_keys() {
    let mut served_issuer = ServedIssuer::new();
    served_issuer.serve();
    let token = served_issuer.issuer.token("alice").sign();
    let keys = RemoteKeys::start(RemoteSettings {
        max_fetch_interval: Duration::from_millis(20),
        ..served_issuer.settings()
    })
    .unwrap();
    keys.ready().await.unwrap();

    served_issuer.server.kill();
    let url = served_issuer.server.url();
    served_issuer.server.serve(
        Route::new()
            .at(
                METADATA,
                endpoint::make_sync(move |_| poem::web::Json(metadata(&url))),
            )
            .at(
                "/jwks",
                endpoint::make_sync(|_| poem::web::Json(json!({"keys": []}))),
            ),
    );
    while !matches!(keys.failure(), Some(error) if error.to_string().contains("no key")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(served_issuer.check(&keys, &token), Ok("alice".into()));
}

/// Serves these metadata, and returns the reason for which guards cannot be connected.
async fn connect_refusal(metadata: impl FnOnce(&str) -> Value) -> String {
    let mut server = KillableServer::new();
    let metadata = metadata(&server.url());
    server.serve(Route::new().at(
        METADATA,
        endpoint::make_sync(move |_| answering(StatusCode::OK, metadata.to_string())),
    ));
    let error = Guards::from_issuer(&server.url()).await.unwrap_err();
    error.to_string().replace(&server.url(), "ISSUER")
}

#[tokio::test]
async fn guards_are_connected_to_a_latchet_only() {
    assert_eq!(
        connect_refusal(metadata).await,
        "the issuer at ISSUER is not a Latchet of this version"
    );
    let elsewhere = |url: &str| {
        let mut metadata = metadata(url);
        metadata["latchet_audience"] = json!([url]);
        metadata["latchet_verify_endpoint"] = json!("http://check.example/v1/verify");
        metadata
    };
    assert_eq!(
        connect_refusal(elsewhere).await,
        "an address in the issuer's metadata cannot be used"
    );
    let other = |_: &str| metadata("http://127.0.0.1:1");
    let refusal = connect_refusal(other).await;
    assert!(
        refusal.contains("has the name http://127.0.0.1:1"),
        "{refusal}"
    );
    let plain = Guards::from_issuer("http://auth.example")
        .await
        .unwrap_err();
    assert!(plain.to_string().contains("not encrypted"), "{plain}");
}
