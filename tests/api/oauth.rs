//! The standard shapes: RFC 6749, 7009, 7662, 8414.

use serde_json::Value;

use crate::support::backend::ISSUER;
use crate::support::http::{Http, HttpResponse};
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both};

on_both! {
    the_password_grant_takes_a_form_and_an_empty_client,
    the_refresh_grant_rotates,
    errors_have_the_shape_of_the_standard,
    revoking_a_refresh_token_ends_its_session,
    revoking_an_access_token_keeps_its_session,
    revoking_an_unknown_token_succeeds,
    introspection_reports_the_state_of_a_token,
    the_metadata_names_every_endpoint,
}

async fn token(http: &Http, fields: &[(&str, &str)]) -> HttpResponse {
    // What Swagger UI sends for an empty client id and secret.
    http.post("/oauth/token")
        .header("authorization", "Basic Og==")
        .form(fields)
        .send()
        .await
}

async fn the_password_grant_takes_a_form_and_an_empty_client(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;

    let fields = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", &alice.password),
        ("scope", ""),
    ];
    let answer = token(&server.http, &fields).await.expect(200);

    assert_eq!(answer.field("token_type").to_lowercase(), "bearer");
    assert!(
        answer.json()["expires_in"]
            .as_u64()
            .is_some_and(|seconds| seconds > 0)
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    server
        .http
        .get("/v1/me")
        .bearer(&answer.field("access_token"))
        .send()
        .await
        .expect(200);
}

async fn the_refresh_grant_rotates(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*session.refresh),
    ];
    let first = token(&server.http, &fields).await.expect(200);
    let second = token(&server.http, &fields).await.expect(200);

    assert_ne!(first.field("refresh_token"), session.refresh);
    assert_eq!(first.field("refresh_token"), second.field("refresh_token"));
    assert_eq!(
        session.rotate().await.refresh,
        first.field("refresh_token"),
        "one rotation for all routes"
    );
}

/// RFC 6749 section 5.2.
async fn errors_have_the_shape_of_the_standard(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    server.http.person("alice").await;

    let refused = [
        (&[][..], 400, "invalid_request"),
        (&[("grant_type", "password")], 400, "invalid_request"),
        (
            &[
                ("grant_type", "password"),
                ("username", "alice"),
                ("password", "not it at all"),
            ],
            400,
            "invalid_grant",
        ),
        (&[("grant_type", "refresh_token")], 400, "invalid_request"),
        (
            &[("grant_type", "refresh_token"), ("refresh_token", "junk")],
            400,
            "invalid_grant",
        ),
        (
            &[("grant_type", "client_credentials")],
            400,
            "unsupported_grant_type",
        ),
        (
            &[("grant_type", "authorization_code"), ("code", "x")],
            400,
            "unsupported_grant_type",
        ),
    ];
    for (fields, status, error) in refused {
        let answer = token(&server.http, fields).await;
        assert_eq!(
            (answer.status, answer.field("error").as_str()),
            (status, error),
            "{fields:?}: {}",
            answer.text
        );
        assert_eq!(
            answer.header("content-type").split(';').next(),
            Some("application/json")
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

async fn revoking_a_refresh_token_ends_its_session(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    server
        .http
        .post("/oauth/revoke")
        .form(&[("token", &session.refresh)])
        .send()
        .await
        .expect(200);

    session.check().await.expect_problem(401, "token_revoked");
    session
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
}

async fn revoking_an_access_token_keeps_its_session(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let newer = session.rotate().await;

    server
        .http
        .post("/oauth/revoke")
        .form(&[("token", &session.access)])
        .send()
        .await
        .expect(200);

    session.check().await.expect_problem(401, "token_revoked");
    newer.check().await.expect(200);
    newer.rotate().await;
}

/// RFC 7009 section 2.2: an invalid token is what the client wanted.
async fn revoking_an_unknown_token_succeeds(backend: Backend) {
    let server = InProcessServer::start(&backend).await;

    server
        .http
        .post("/oauth/revoke")
        .form(&[("token", "junk")])
        .send()
        .await
        .expect(200);
    let missing = server
        .http
        .post("/oauth/revoke")
        .form(&[("token_type_hint", "x")])
        .send()
        .await;
    assert_eq!(
        (missing.status, missing.field("error").as_str()),
        (400, "invalid_request")
    );
}

async fn introspection_reports_the_state_of_a_token(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let admin = server.http.admin().login().await.access;
    let introspect = async |token: &str| {
        let request = server
            .http
            .post("/oauth/introspect")
            .bearer(&admin)
            .form(&[("token", token)]);
        request.send().await.expect(200).json()
    };

    let live = introspect(&session.access).await;
    assert_eq!(live["active"], true, "{live}");
    assert_eq!(live["sub"], session.user_id(), "{live}");
    assert_eq!(live["sid"], session.id.as_str(), "{live}");

    session.logout().await.expect(204);
    for dead in [&session.access, &session.refresh, "junk"] {
        assert_eq!(introspect(dead).await, serde_json::json!({"active": false}));
    }
    let anonymous = server
        .http
        .post("/oauth/introspect")
        .form(&[("token", "x")])
        .send()
        .await;
    assert_eq!(anonymous.status, 401, "{}", anonymous.text);
}

async fn the_metadata_names_every_endpoint(backend: Backend) {
    let server = InProcessServer::start(&backend).await;

    let metadata = server
        .http
        .get("/.well-known/oauth-authorization-server")
        .send()
        .await
        .expect(200)
        .json();

    assert_eq!(metadata["issuer"], ISSUER);
    for name in [
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "jwks_uri",
    ] {
        let url = metadata[name].as_str().expect(name);
        let path = url
            .strip_prefix(server.http.base())
            .expect("our own address");
        let answer = server.http.request("OPTIONS", path).send().await;
        assert_ne!(answer.status, 404, "{name}");
    }
    let grants = metadata["grant_types_supported"]
        .as_array()
        .expect("a list");
    assert!(grants.contains(&Value::from("refresh_token")), "{metadata}");
    let jwks = server
        .http
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200);
    assert!(
        jwks.header("cache-control").contains("max-age="),
        "{:?}",
        jwks.headers
    );
    let keys = jwks.json()["keys"].as_array().expect("a list").clone();
    assert!(
        keys.iter()
            .all(|key| key["d"].is_null() && key["k"].is_null()),
        "{}",
        jwks.text
    );
    assert!(!keys.is_empty());
}
