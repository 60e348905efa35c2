//! Lost responses: Zitadel #9631, MAS #2795 and audiobookshelf #5281 log users out.

use crate::support::http::Http;
use crate::support::local::InProcessServer;
use crate::support::poll;
use crate::support::postgres::Postgres;
use crate::support::proxy::{NetworkFault, Proxy};
use crate::support::server::Replica;
use crate::support::{Backend, on_both};

on_both! {
    a_retry_after_a_lost_response_gets_the_successor,
    a_retry_after_a_server_was_killed_gets_the_committed_successor,
}

async fn a_retry_after_a_lost_response_gets_the_successor(backend: Backend) {
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let proxy = Proxy::start(server.http.address()).await;
    proxy.set(NetworkFault::LoseAnswers);

    let lost = session
        .at(&Http::new(format!("http://{}", proxy.address())))
        .try_refresh()
        .await;
    assert!(lost.is_err(), "the answer was lost: {lost:?}");

    let retried = session.rotate().await;
    assert!(
        proxy.lost().await.contains(&retried.refresh),
        "the retry gets what was lost"
    );
    retried.rotate().await;
}

async fn a_retry_after_a_server_was_killed_gets_the_committed_successor(backend: Backend) {
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let proxy = Proxy::start(server.http.address()).await;
    proxy.set(NetworkFault::LoseAnswers);
    assert!(
        session
            .at(&Http::new(format!("http://{}", proxy.address())))
            .try_refresh()
            .await
            .is_err()
    );
    let lost = proxy.lost().await;

    server.kill();
    let server = Replica::start(&backend).await;

    let retried = session.at(&server.http).rotate().await;
    assert!(
        lost.contains(&retried.refresh),
        "the retry gets what was lost"
    );
    retried.check().await.expect(200);
    retried.rotate().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_completes_when_its_client_disconnects() {
    let backend = Backend::postgres_alone();
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let database = backend.database();
    let held = Postgres::shared().hold(&database, "sessions");

    let connection = session.send_refresh().await;
    poll::until("the rotation to wait for the table", || {
        held.is_waited_for()
    });
    drop(connection);
    held.release();

    let generation = format!(
        "SELECT generation FROM sessions WHERE id = '{}'",
        session.id
    );
    poll::until("the rotation that nobody waits for", || {
        Postgres::shared().sql(&database, &generation).trim() == "1"
    });
    session
        .rotate()
        .await
        .rotate()
        .await
        .check()
        .await
        .expect(200);
}
