//! Lost responses: Zitadel #9631, MAS #2795 and audiobookshelf #5281 log users out.

use crate::support::http::Http;
use crate::support::local::Local;
use crate::support::poll;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Proxy, Weather};
use crate::support::server::Replica;
use crate::support::{Backend, on_both};

on_both! {
    a_lost_answer_is_made_good_by_the_retry,
    a_server_killed_after_its_commit_answers_the_retry_alike,
}

async fn a_lost_answer_is_made_good_by_the_retry(backend: Backend) {
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let proxy = Proxy::start(server.http.address()).await;
    proxy.set(Weather::LoseAnswers);

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

async fn a_server_killed_after_its_commit_answers_the_retry_alike(backend: Backend) {
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let proxy = Proxy::start(server.http.address()).await;
    proxy.set(Weather::LoseAnswers);
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
async fn a_client_that_hangs_up_in_the_middle_has_still_rotated() {
    let backend = Backend::postgres_alone();
    let server = Local::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    let database = backend.database();
    let held = Postgres::shared().hold(&database, "sessions");

    let connection = session.refresh_unread().await;
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
