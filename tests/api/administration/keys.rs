//! Signing keys, as administrators see and rotate them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Session, header};
use crate::support::http::HttpResponse;
use crate::support::local::InProcessServer;
use crate::support::{Backend, on_both, poll};

on_both! {
    a_new_key_takes_over_without_refusing_anyone,
    a_key_that_leaked_is_refused_at_once,
}

async fn keys(admin: &Session) -> Vec<Value> {
    let answer = admin.http.get("/v1/keys").bearer(&admin.access);
    let listed = answer.send().await.expect(200).json();
    listed["items"].as_array().expect("a list").clone()
}

async fn rotate(admin: &Session, body: &Value) -> HttpResponse {
    let request = admin.http.post("/v1/keys/rotate").bearer(&admin.access);
    request.json(body).send().await
}

fn states(keys: &[Value]) -> Vec<&str> {
    keys.iter()
        .map(|key| key["state"].as_str().expect("a state"))
        .collect()
}

async fn a_new_key_takes_over_without_refusing_anyone(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let old = keys(&admin).await;
    assert_eq!(states(&old), ["active"], "{old:?}");
    assert_eq!(old[0]["kid"], header(&admin.access)["kid"]);

    // Without a body, as without `at_once`.
    let request = admin.http.post("/v1/keys/rotate").bearer(&admin.access);
    let made = request.send().await.expect(200).json();
    assert_eq!(made["state"], "next", "{made}");
    rotate(&admin, &json!({}))
        .await
        .expect_problem(409, "conflict");
    assert_eq!(states(&keys(&admin).await), ["next", "active"]);

    server.pass(Duration::from_mins(10));
    let listed = keys(&admin).await;
    assert_eq!(states(&listed), ["active", "retiring"], "{listed:?}");
    assert_eq!(listed[1]["signs_until"], made["signs_from"]);
    assert_eq!(header(&admin.rotate().await.access)["kid"], made["kid"]);
}

async fn a_key_that_leaked_is_refused_at_once(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;
    let alice = server.http.person("alice").await.login().await;

    let made = rotate(&admin, &json!({"at_once": true}))
        .await
        .expect(200)
        .json();

    assert_eq!(made["state"], "active", "{made}");
    alice.check().await.expect_problem(401, "invalid_token");
    let alice = alice.rotate().await;
    assert_eq!(header(&alice.access)["kid"], made["kid"]);
    alice.check().await.expect(200);
    let listed = keys(&admin.rotate().await).await;
    assert_eq!(states(&listed), ["active"], "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_learns_the_new_key() {
    let backend = Backend::postgres();
    let server = InProcessServer::start(&backend).await;
    let replica = InProcessServer::start(&backend).await;
    let admin = server.http.admin().login().await;

    let made = rotate(&admin, &json!({"at_once": true}))
        .await
        .expect(200)
        .json();

    let admin = admin.rotate().await;
    assert_eq!(header(&admin.access)["kid"], made["kid"]);
    poll::until_some("the replica to know the new key", async || {
        let answer = admin.at(&replica.http).check().await;
        (answer.status == 200).then_some(())
    })
    .await;
}
