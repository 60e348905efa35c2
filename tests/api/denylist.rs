//! Logout takes effect on the next request on every replica, whatever Redis forgets.

use std::time::Duration;

use crate::support::client::Session;
use crate::support::http::Http;
use crate::support::local::InProcessServer;
use crate::support::proxy::{NetworkFault, Proxy};
use crate::support::redis::Redis;
use crate::support::server::{Replica, run};
use crate::support::{Backend, on_both};

on_both! {
    a_logout_takes_effect_on_the_next_request,
    logging_out_everywhere_ends_every_session_of_one_person,
    a_logout_survives_a_restart,
    commands_take_effect_on_a_running_server,
}

async fn a_logout_takes_effect_on_the_next_request(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let alice = server.http.person("alice").await;
    let (session, other) = (alice.login().await, alice.login().await);
    let newer = session.rotate().await;

    session.logout().await.expect(204);

    session.check().await.expect_problem(401, "token_revoked");
    newer.check().await.expect_problem(401, "token_revoked");
    newer.refresh().await.expect_problem(401, "session_revoked");
    other.check().await.expect(200);
}

async fn logging_out_everywhere_ends_every_session_of_one_person(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let (alice, bob) = (
        server.http.person("alice").await,
        server.http.person("bob").await,
    );
    let (phone, laptop, stranger) = (alice.login().await, alice.login().await, bob.login().await);

    phone.logout_everywhere().await.expect(204);

    for ended in [&phone, &laptop] {
        ended.check().await.expect_problem(401, "token_outdated");
        ended.refresh().await.expect_problem(401, "session_revoked");
    }
    stranger.check().await.expect(200);
}

async fn a_logout_survives_a_restart(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;
    session.logout().await.expect(204);
    server.stop().await;

    let server = InProcessServer::start(&backend).await;

    session
        .at(&server.http)
        .check()
        .await
        .expect_problem(401, "token_revoked");
}

async fn commands_take_effect_on_a_running_server(backend: Backend) {
    let server = InProcessServer::start(&backend).await;
    let session = server.http.person("alice").await.login().await;

    run(&backend, &["user", "disable", "alice"]);

    // The program writes SQL alone, and the server looks there about every second.
    until_refused(&session).await;
    session
        .refresh()
        .await
        .expect_problem(401, "session_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_on_one_replica_takes_effect_on_all() {
    for backend in [Backend::postgres(), Backend::postgres_alone()] {
        let replicas = [
            Replica::start(&backend).await,
            Replica::start(&backend).await,
            Replica::start(&backend).await,
        ];
        let alice = replicas[0].http.person("alice").await;

        for (round, replica) in replicas.iter().cycle().take(9).enumerate() {
            let session = alice.login().await;
            for other in &replicas {
                session.at(&other.http).check().await.expect(200);
            }

            session.at(&replica.http).logout().await.expect(204);

            for other in &replicas {
                let answer = session.at(&other.http).check().await;
                assert_eq!(answer.code(), "token_revoked", "in round {round}");
                session
                    .at(&other.http)
                    .refresh()
                    .await
                    .expect_problem(401, "session_revoked");
            }
        }
    }
}

/// A server with one session that was ended and one that was not.
struct Ended {
    backend: Backend,
    http: Http,
    revoked: Session,
    valid: Session,
    _server: InProcessServer,
}

impl Ended {
    async fn new() -> Self {
        Self::behind(Backend::postgres()).await
    }

    async fn behind(backend: Backend) -> Self {
        let server = InProcessServer::start(&backend).await;
        let alice = server.http.person("alice").await;
        let (revoked, valid) = (alice.login().await, alice.login().await);
        revoked.logout().await.expect(204);
        Self {
            backend,
            http: server.http.clone(),
            revoked,
            valid,
            _server: server,
        }
    }

    /// Asserts, many times over while the server notices and repairs what happened to Redis, that the
    /// ended session stays ended and the other is accepted.
    async fn assert_promises_hold(&self) {
        for _ in 0..40 {
            self.revoked
                .check()
                .await
                .expect_problem(401, "token_revoked");
            self.valid.check().await.expect(200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.assert_logouts_work().await;
    }

    async fn assert_logouts_work(&self) {
        let session = self
            .http
            .person(&format!("bob{}", latchet_guard::keys::random_id()))
            .await
            .login()
            .await;
        session.check().await.expect(200);
        session.logout().await.expect(204);
        session.check().await.expect_problem(401, "token_revoked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushall_revives_nothing() {
    let ended = Ended::new().await;

    ended.backend.redis().ask::<()>(&["FLUSHALL"]);

    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_that_comes_back_empty_revives_nothing() {
    let ended = Ended::new().await;

    ended.backend.redis().kill();
    ended
        .revoked
        .check()
        .await
        .expect_problem(401, "token_revoked");
    ended.valid.check().await.expect(200);
    ended.backend.redis().resume();

    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_restarted_from_an_old_dump_revives_nothing() {
    let ended = Ended::new().await;
    ended.backend.redis().save();
    let late = ended.http.person("late").await.login().await;
    late.check().await.expect(200);
    late.logout().await.expect(204);

    ended.backend.redis().kill();
    ended.backend.redis().resume();

    for _ in 0..40 {
        late.check().await.expect_problem(401, "token_revoked");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_down_sql_is_asked() {
    let ended = Ended::new().await;

    ended.backend.redis().kill();

    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_hung_sql_is_asked_within_the_deadline() {
    let ended = Ended::new().await;
    ended.backend.redis().freeze();

    for _ in 0..5 {
        let start = std::time::Instant::now();
        ended
            .revoked
            .check()
            .await
            .expect_problem(401, "token_revoked");
        ended.valid.check().await.expect(200);
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "two checks took {:?}",
            start.elapsed()
        );
    }
    ended.assert_logouts_work().await;

    ended.backend.redis().thaw();
    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_evict_is_not_trusted() {
    let ended = Ended::new().await;
    let redis = ended.backend.redis();
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let keys: Vec<String> = redis.ask(&["KEYS", "*deny*"]);
    redis.kill();
    redis.resume();
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    for key in &keys {
        redis.ask::<()>(&["DEL", key]);
    }

    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cut_off_in_the_middle_of_a_logout_revives_nothing() {
    let redis = Redis::start();
    let proxy = Proxy::start(&redis.address()).await;
    let backend =
        Backend::postgres_alone().with("REDIS_URL", &format!("redis://{}", proxy.address()));
    let ended = Ended::behind(backend).await;
    let session = ended.http.person("bob").await.login().await;

    proxy.set(NetworkFault::LoseAnswers);
    let answer = session.logout().await;
    proxy.set(NetworkFault::Fair);

    if answer.status == 204 {
        session.check().await.expect_problem(401, "token_revoked");
    } else {
        answer.expect_problem(503, "unavailable");
        session.logout().await.expect(204);
    }
    session.check().await.expect_problem(401, "token_revoked");
    ended.assert_promises_hold().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_and_sql_down_every_check_is_503() {
    let postgres = crate::support::postgres::Postgres::start();
    let redis = Redis::start();
    let backend = Backend::on(&postgres).with("REDIS_URL", &redis.url());
    let ended = Ended::behind(backend).await;

    postgres.kill();
    redis.kill();

    for session in [&ended.valid, &ended.revoked] {
        let answer = session.check().await.expect_problem(503, "unavailable");
        assert_ne!(answer.header("retry-after"), "");
        session.refresh().await.expect_problem(503, "unavailable");
    }

    postgres.resume();
    redis.resume();
    crate::support::poll::until_some("PostgreSQL to be reached again", async || {
        (ended.valid.check().await.status == 200).then_some(())
    })
    .await;
    ended.assert_promises_hold().await;
}

async fn until_refused(session: &Session) {
    crate::support::poll::until_some("the session to be refused", async || {
        let answer = session.check().await;
        (answer.code() == "token_outdated").then_some(())
    })
    .await;
}
