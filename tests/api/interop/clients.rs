//! Verifiers and OAuth clients in Python and JavaScript, against the running program.

use std::process::Command;

use super::named_by_its_address;
use crate::support::client::Session;
use crate::support::server::Replica;
use crate::support::tool::{assert_passes, installed, root};

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
