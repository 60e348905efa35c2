//! Whatever data Redis loses, no revoked token passes and every other token does.

use std::time::{Duration, Instant};

use super::redis_server::RedisServer;
use super::{EPOCH_MARKER_KEY, TestInstallation, TestProcess, Token};
use crate::config::DatabaseKind;
use crate::denylist::{DenylistBackend, DenylistHealth};
use latchet_guard::clock::Clock;

/// Asserts that the copy is backfilled again after `epoch`, and that checks are correct before, during
/// and after the backfill.
async fn assert_recovers(process: &TestProcess, epoch: &str, revoked: &Token) {
    let valid = Token::valid();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(process.refuses(revoked).await, "a revoked token passed");
        assert!(!process.refuses(&valid).await, "a valid token was refused");
        if process.epoch().await != epoch && process.denylist.health() == DenylistHealth::Healthy {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the copy was not backfilled again"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_denial_is_lost_by_flushall() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let [one, other] = [
        installation.start_and_wait().await,
        installation.start_and_wait().await,
    ];
    let token = one.revoke().await;
    let epoch = one.epoch().await;

    redis.run::<()>(&["FLUSHALL"]);

    assert!(one.refuses(&token).await);
    assert_recovers(&other, &epoch, &token).await;
    one.until_healthy().await;
    assert!(one.refuses(&token).await);
}

#[tokio::test]
async fn no_denial_is_lost_by_an_empty_restart() {
    let mut redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;
    let epoch = process.epoch().await;

    redis.kill();
    assert!(process.refuses(&token).await);
    assert!(!process.refuses(&Token::valid()).await);
    redis.resume();

    assert_recovers(&process, &epoch, &token).await;
}

#[tokio::test]
async fn no_denial_is_lost_by_a_restart_from_an_old_dump() {
    let mut redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let early = process.revoke().await;
    let epoch = process.epoch().await;
    redis.run::<()>(&["SAVE"]);
    let late = process.revoke().await;

    redis.kill();
    redis.resume();

    assert_eq!(
        redis.run::<String>(&["GET", EPOCH_MARKER_KEY]),
        epoch,
        "the dump claims to be complete"
    );
    assert_recovers(&process, &epoch, &late).await;
    assert!(process.refuses(&early).await);
}

#[tokio::test]
async fn no_denial_is_lost_by_an_eviction_between_inspections() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;
    let epoch = process.epoch().await;

    redis.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    redis.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let _refused: Result<(), _> = redis.try_run(&["SET", "unrelated", "x"]);
    redis.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.run::<()>(&["SET", EPOCH_MARKER_KEY, &epoch]);
    assert!(!redis.run::<bool>(&["EXISTS", &token.key()]));

    assert_recovers_after_inspection(&process, &epoch, &token).await;
}

/// Like [`assert_recovers`], for losses that only an inspection of the server detects, which may take a
/// quarter of a second.
async fn assert_recovers_after_inspection(process: &TestProcess, epoch: &str, revoked: &Token) {
    process.until_distrusted("may have lost data").await;
    assert_recovers(process, epoch, revoked).await;
}

#[tokio::test]
async fn a_server_that_may_evict_is_not_trusted() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let installation = TestInstallation::on(&redis);
    let process = installation.start().await;

    process
        .until_distrusted("CONFIG SET maxmemory-policy noeviction")
        .await;
    let token = process.revoke().await;

    assert!(process.refuses(&token).await);
    assert!(!process.refuses(&Token::valid()).await);
    redis.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    process.until_healthy().await;
    assert!(process.refuses(&token).await);
}

#[tokio::test]
async fn a_replica_is_not_trusted() {
    let master = RedisServer::start();
    let replica =
        RedisServer::start_with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    let installation = TestInstallation::on(&replica);
    let process = installation.start().await;

    process.until_distrusted("replica").await;
    let token = process.revoke().await;

    assert!(process.refuses(&token).await);
}

#[tokio::test]
async fn no_denial_is_lost_by_a_promoted_stale_replica() {
    let master = RedisServer::start();
    let replica = RedisServer::start();
    let installation = TestInstallation::on(&replica);
    let process = installation.start_and_wait().await;
    let early = process.revoke().await;
    let epoch = process.epoch().await;
    // The server that clients use becomes a replica of another that has the marker but not the denials,
    // and then a master again: this resembles a failover that loses the latest writes.
    master.run::<()>(&["SET", EPOCH_MARKER_KEY, &epoch]);

    replica.run::<()>(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while replica.run::<bool>(&["EXISTS", &early.key()]) {
        assert!(Instant::now() < deadline, "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    replica.run::<()>(&["REPLICAOF", "NO", "ONE"]);

    assert_recovers_after_inspection(&process, &epoch, &early).await;
}

#[tokio::test]
async fn a_hung_server_delays_one_check_only() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let [one, other] = [
        installation.start_and_wait().await,
        installation.start_and_wait().await,
    ];
    let token = one.revoke().await;
    let epoch = one.epoch().await;

    redis.freeze();
    let start = Instant::now();
    assert!(one.refuses(&token).await);
    assert!(start.elapsed() < Duration::from_secs(1));
    let start = Instant::now();
    for _ in 0..10 {
        assert!(one.refuses(&token).await);
        assert!(!one.refuses(&Token::valid()).await);
    }
    assert!(start.elapsed() < Duration::from_millis(1_500));
    let start = Instant::now();
    let late = one.revoke().await;
    assert!(start.elapsed() < Duration::from_secs(4));
    redis.thaw();

    assert!(other.refuses(&late).await);
    assert_recovers(&other, &epoch, &late).await;
    assert!(one.refuses(&token).await);
}

#[tokio::test]
async fn a_denial_by_a_process_without_redis_takes_effect() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let server = installation.start_and_wait().await;
    let cut_off = TestInstallation {
        redis_url: Some("redis://127.0.0.1:1".to_owned()),
        ..installation
    };
    let cut_off = cut_off.start().await;

    for _ in 0..3 {
        server.until_healthy().await;
        let token = cut_off.revoke().await;
        assert!(server.refuses(&token).await);
    }
}

#[tokio::test]
async fn a_denial_by_a_process_without_a_copy_takes_effect() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let server = installation.start_and_wait().await;
    let (store, clock) = (server.store.clone(), server.clock.clone());
    let denylist = DenylistBackend::open(DatabaseKind::Postgres, None, store, clock).unwrap();
    let without_copy = TestProcess {
        denylist,
        ..installation.open_command_line().await
    };

    for _ in 0..3 {
        server.until_healthy().await;
        let token = without_copy.revoke().await;
        assert!(server.refuses(&token).await);
    }
}

#[tokio::test]
async fn denials_take_effect_with_two_masters() {
    let [old, new] = [RedisServer::start(), RedisServer::start()];
    let here = TestInstallation::on(&old);
    let left = here.start_and_wait().await;
    let there = TestInstallation {
        redis_url: Some(new.url()),
        ..here
    };
    let right = [there.start().await, there.start().await];
    let all = [&left, &right[0], &right[1]];

    // Each side backfills its server whenever the other has backfilled its own, and all processes deny
    // continuously.
    let end = Instant::now() + Duration::from_secs(10);
    let deny_and_look = async |one: &TestProcess| {
        while Instant::now() < end {
            let token = one.revoke().await;
            for other in all {
                assert!(other.refuses(&token).await);
            }
        }
    };
    tokio::join!(
        deny_and_look(all[0]),
        deny_and_look(all[1]),
        deny_and_look(all[2])
    );
}

#[tokio::test]
async fn while_redis_is_down_only_the_first_logout_waits() {
    let mut redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    redis.kill();
    process.revoke().await;

    let start = Instant::now();
    let token = process.revoke().await;

    assert!(start.elapsed() < Duration::from_millis(500));
    assert!(process.refuses(&token).await);
}

#[tokio::test]
async fn a_server_with_a_clock_ahead_is_not_trusted() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let clock = Clock::system();
    clock.shift(-60_000);
    let process = installation.start_at(clock.clone()).await;

    process.until_distrusted("clock").await;
    let token = process.revoke().await;

    assert!(process.refuses(&token).await);
    clock.shift(60_000);
    process.until_healthy().await;
    assert!(process.refuses(&token).await);
}

#[tokio::test]
async fn a_clock_step_expires_the_marker_before_any_denial() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;

    let epoch_marker: i64 = redis.run(&["PTTL", EPOCH_MARKER_KEY]);
    let denial: i64 = redis.run(&["PTTL", &token.key()]);

    assert!((1..=30_000).contains(&epoch_marker), "{epoch_marker}");
    assert!(
        (15 * 60_000 + 55_000..=16 * 60_000).contains(&denial),
        "{denial}"
    );
}
