//! Answers that never arrive: Zitadel #9631, MAS #2795 and audiobookshelf #5281 log people out.

use crate::support::http::Http;
use crate::support::proxy::{Proxy, Weather};
use crate::support::server::Replica;
use crate::support::{Backend, on_both};

on_both! {
    a_lost_answer_is_made_good_by_the_retry,
    a_server_killed_after_its_commit_answers_the_retry_alike,
    a_client_that_hangs_up_has_still_rotated,
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

async fn a_client_that_hangs_up_has_still_rotated(backend: Backend) {
    let server = Replica::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    for _ in 0..20 {
        session.refresh_and_hang_up().await;
    }

    let current = session.rotate().await;
    current.check().await.expect(200);
    current.rotate().await;
}
