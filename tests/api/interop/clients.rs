//! Verifiers and OAuth clients in Python and JavaScript, against the running program.

use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::named_by_its_address;
use crate::support::Backend;
use crate::support::client::Session;
use crate::support::server::Replica;
use crate::support::tool::{assert_passes, installed, root};

const SECRET: &str = "nH6yUj2kOq8wXe5rVb1mTz7cPs4dLf9g";

/// Starts a server with a service, whose programs of a test get tokens for themselves.
async fn with_service() -> (Backend, Replica) {
    let backend = named_by_its_address();
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, SECRET.as_bytes()));
    let table = format!(
        "[token_services.nightly]\nsecret_hashes = [{hash:?}]\nscopes = [\"orders:read\"]\nintrospection = true\n"
    );
    let file = backend.folder.path().join("latchet.toml");
    std::fs::write(&file, table).unwrap();
    let backend = backend.with("LATCHET_CONFIG", file.to_str().unwrap());
    let server = Replica::start(&backend).await;
    (backend, server)
}

async fn alice(server: &Replica) -> Session {
    server.http.person("alice").await.login().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyjwt_and_joserfc_check_tokens_of_every_public_algorithm() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let backend = named_by_its_address().with("LATCHET_ALGORITHM", algorithm);
        let server = Replica::start(&backend).await;
        let session = alice(&server).await;

        let said = assert_passes(
            Command::new(installed("venv/bin/python"))
                .arg(root().join("tests/interop/verify.py"))
                .args([server.http.base(), algorithm, &session.access])
                .arg(session.user_id())
                .env_clear(),
        );

        let held: Vec<_> = said.lines().collect();
        assert_eq!(
            held,
            [
                "PyJWT finds the key by its kid",
                "PyJWT accepts the token",
                "PyJWT refuses a changed one",
                "joserfc accepts the token",
                "joserfc reads its type",
                "joserfc refuses a changed one",
            ],
            "{algorithm}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jose_and_oauth4webapi_work_with_a_server_that_they_discover() {
    let server = Replica::start(&named_by_its_address()).await;
    let session = alice(&server).await;
    let introspector = server.http.admin().login().await.access;

    let said = assert_passes(
        Command::new("node")
            .arg(root().join("tests/interop/oauth.mjs"))
            .env("TOOLS", installed("node_modules"))
            .env("URL", server.http.base())
            .env("ACCESS", &session.access)
            .env("REFRESH", &session.refresh)
            .env("USER", session.user_id())
            .env("INTROSPECTOR", introspector),
    );

    let held: Vec<_> = said.lines().collect();
    assert_eq!(
        held,
        [
            "oauth4webapi discovers the server",
            "jose accepts the token",
            "jose refuses a changed one",
            "oauth4webapi accepts the token (RFC 9068)",
            "oauth4webapi refuses a changed one and a refresh token",
            "oauth4webapi refreshes",
            "oauth4webapi understands a refused refresh",
            "oauth4webapi introspects",
            "oauth4webapi revokes, and the session is over",
            "oauth4webapi revokes what nobody knows",
        ]
    );
}

/// RFC 6749, 4.4; RFC 7662; RFC 7009.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_get_tokens_by_oauth4webapi_and_openid_client() {
    let (_backend, server) = with_service().await;

    let said = assert_passes(
        Command::new("node")
            .arg(root().join("tests/interop/service.mjs"))
            .env("TOOLS", installed("node_modules"))
            .env("URL", server.http.base())
            .env("NAME", "nightly")
            .env("SECRET", SECRET),
    );

    let held: Vec<_> = said.lines().collect();
    assert_eq!(
        held,
        [
            "oauth4webapi gets a token by client_secret_basic, and accepts it (RFC 9068)",
            "oauth4webapi introspects it, and revokes it by client_secret_basic",
            "oauth4webapi gets a token by client_secret_post, and accepts it (RFC 9068)",
            "oauth4webapi introspects it, and revokes it by client_secret_post",
            "oauth4webapi understands a refused client",
            "openid-client gets, introspects and revokes a token",
        ]
    );
}

/// The same for Python.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_get_tokens_by_authlib() {
    let (_backend, server) = with_service().await;

    let said = assert_passes(
        Command::new(installed("venv/bin/python"))
            .arg(root().join("tests/interop/service.py"))
            .env_clear()
            .env("URL", server.http.base())
            .env("NAME", "nightly")
            .env("SECRET", SECRET),
    );

    let held: Vec<_> = said.lines().collect();
    assert_eq!(
        held,
        [
            "Authlib gets, uses, introspects and revokes a token by client_secret_basic",
            "Authlib gets, uses, introspects and revokes a token by client_secret_post",
            "Authlib understands a refused client",
        ]
    );
}
