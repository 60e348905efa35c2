//! Several processes on one PostgreSQL and one Redis.

use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::support::Backend;
use crate::support::client::Session;
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

/// Two replicas that rotate a session in one millisecond write the same row, which each might take for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_grace_one_refresh_of_each_session_is_answered_on_three_replicas() {
    let backend = Backend::postgres().with("LATCHET_GRACE", "0s");
    let replicas = [
        Replica::start(&backend).await,
        Replica::start(&backend).await,
        Replica::start(&backend).await,
    ];
    let alice = replicas[0].http.person("alice").await;

    for round in 0..20 {
        let session = alice.login().await;
        let mut presented = JoinSet::new();
        for replica in replicas.iter().cycle().take(50) {
            let session = session.at(&replica.http);
            presented.spawn(async move { session.refresh().await });
        }
        let answers = presented.join_all().await;

        let (answered, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(answered.len(), 1, "in round {round}");
        for answer in refused {
            let code = answer.code();
            let known = ["refresh_reused", "session_revoked"];
            assert!(known.contains(&code.as_str()), "{}", answer.text);
        }
        // A token that is presented twice is theft: the one who was answered is signed out too.
        let winner = Session::of(alice.http.clone(), answered[0]);
        winner
            .refresh()
            .await
            .expect_problem(401, "session_revoked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_on_an_empty_database_create_one_key_set_and_one_administrator() {
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
async fn a_replica_that_dies_ends_no_session() {
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
