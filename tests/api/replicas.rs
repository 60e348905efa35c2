//! Several processes on one PostgreSQL and one Redis.

use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::support::Backend;
use crate::support::server::Replica;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_refreshes_over_three_replicas_have_one_successor() {
    let backend = Backend::postgres();
    let replicas = [
        Replica::start(&backend).await,
        Replica::start(&backend).await,
        Replica::start(&backend).await,
    ];
    let session = replicas[0].http.person("alice").await.login().await;

    let mut shown = JoinSet::new();
    for replica in replicas.iter().cycle().take(100) {
        let session = session.at(&replica.http);
        shown.spawn(async move { session.rotate().await.refresh });
    }
    let successors: HashSet<_> = shown.join_all().await.into_iter().collect();

    assert_eq!(successors.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_an_empty_database_make_one_key_set_and_one_administrator() {
    let backend = Backend::postgres();
    let (one, other) = tokio::join!(Replica::start(&backend), Replica::start(&backend));

    let sets = [&one, &other].map(async |replica| {
        replica
            .http
            .get("/.well-known/jwks.json")
            .send()
            .await
            .expect(200)
            .json()
    });
    let [first, second] = sets;
    let (first, second) = (first.await, second.await);

    assert_eq!(first, second);
    let access = one.http.admin().login().await.access;
    let users = other
        .http
        .get("/v1/users")
        .bearer(&access)
        .send()
        .await
        .expect(200);
    assert_eq!(
        users.json()["items"].as_array().expect("a list").len(),
        1,
        "{}",
        users.text
    );
    let session = other.http.admin().login().await;
    session.at(&one.http).check().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_dies_takes_no_session_along() {
    let backend = Backend::postgres();
    let (one, other) = (
        Replica::start(&backend).await,
        Replica::start(&backend).await,
    );
    let session = one.http.person("alice").await.login().await;
    one.kill();

    let session = session.at(&other.http).rotate().await;

    session.check().await.expect(200);
}
