//! A service without SQL that reads the servers' copy: a check may fail, but never passes a revoked
//! token because Redis lost data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::redis_server::RedisServer;
use super::{EPOCH_MARKER_KEY, TestInstallation, Token};
use latchet_guard::clock::Clock;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::denylist::redis::RedisReader;
use latchet_guard::denylist::{Denial, DenialTarget, Denylist, TokenStatus};
use latchet_guard::token::Claims;

fn reader(server: &RedisServer) -> RedisReader {
    RedisReader::start(server.url().parse().unwrap(), Clock::system())
}

async fn trusting_reader(server: &RedisServer) -> RedisReader {
    let reader = reader(server);
    until(&reader, "").await;
    reader
}

/// Waits until the copy is distrusted for a reason that contains this word; without a word, until it is
/// trusted.
pub(super) async fn until(reader: &RedisReader, word: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let distrust = reader.distrust();
        match &distrust {
            None if word.is_empty() => return,
            Some(distrust) if !word.is_empty() && distrust.contains(word) => return,
            _ => {}
        }
        assert!(
            Instant::now() < deadline,
            "timed out waiting for {word:?}: {distrust:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `None` without a result.
async fn refuses(reader: &RedisReader, token: &Token) -> Option<bool> {
    let now = Clock::system().now();
    let status = reader.check(token.ids(), now).await.ok()?;
    Some(status != TokenStatus::NotDenied)
}

/// The result, as soon as there is one: on a slow machine a copy may be out of date for a moment.
async fn result(reader: &RedisReader, token: &Token) -> bool {
    until_result(async || refuses(reader, token).await).await
}

async fn until_result(ask: impl AsyncFn() -> Option<bool>) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(result) = ask().await {
            return result;
        }
        assert!(Instant::now() < deadline, "no answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reader_sees_each_denial_immediately() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let reader = trusting_reader(&redis).await;

    for _ in 0..100 {
        let token = process.revoke().await;
        assert!(result(&reader, &token).await);
    }
    assert!(!result(&reader, &Token::valid()).await);
}

#[tokio::test]
async fn a_copy_without_backfill_is_not_trusted() {
    let redis = RedisServer::start();
    let reader = reader(&redis);

    until(&reader, "no Latchet server has backfilled it").await;

    assert_eq!(refuses(&reader, &Token::valid()).await, None);
}

#[tokio::test]
async fn a_token_is_checked_by_its_ids() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let revoked = process.revoke().await;
    let reader = trusting_reader(&redis).await;
    let now = Clock::system().now();

    for (token, expected) in [(revoked, true), (Token::valid(), false)] {
        let claims = Claims {
            jti: token.0,
            ..Claims::access(now, Duration::from_mins(15))
        };
        let ask = async || {
            let status = reader.check_token("", &claims, now).await.ok()?;
            Some(status != TokenStatus::NotDenied)
        };
        assert_eq!(until_result(ask).await, expected);
    }
}

#[tokio::test]
async fn a_reader_fails_between_a_flush_and_the_backfill() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;
    let reader = trusting_reader(&redis).await;
    let epoch = process.epoch().await;

    redis.run::<()>(&["FLUSHALL"]);

    let valid = refuses(&reader, &Token::valid()).await;
    assert!(valid.is_none() || process.epoch().await != epoch);
    let deadline = Instant::now() + Duration::from_secs(20);
    while process.epoch().await == epoch || reader.distrust().is_some() {
        assert_ne!(refuses(&reader, &token).await, Some(false), "it passed");
        assert!(
            Instant::now() < deadline,
            "the copy was not backfilled again"
        );
    }
    assert!(result(&reader, &token).await);
    assert!(!result(&reader, &Token::valid()).await);
}

/// The dump is newer than the last renewal by a server, and its marker claims to be complete; only the
/// name of the server in the epoch reveals the loss, also to a new reader.
#[tokio::test]
async fn a_restart_from_an_old_dump_is_detected_without_sql() {
    let mut redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let early = process.revoke().await;
    redis.run::<()>(&["SAVE"]);
    let late = process.revoke().await;
    let old = trusting_reader(&redis).await;
    drop(process);

    redis.kill();
    redis.resume();

    assert!(redis.run::<bool>(&["EXISTS", EPOCH_MARKER_KEY]));
    let new = reader(&redis);
    for reader in [&old, &new] {
        until(reader, "may have lost data").await;
        assert_eq!(refuses(reader, &late).await, None);
        assert_eq!(
            refuses(reader, &early).await,
            Some(true),
            "a denial that is found is true"
        );
    }
}

#[tokio::test]
async fn a_copy_without_marker_renewals_is_not_trusted() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let process = installation.start_and_wait().await;
    let token = process.revoke().await;
    let reader = trusting_reader(&redis).await;

    drop(process);
    // As if eleven of the thirty seconds of the marker's lifetime had passed.
    redis.run::<()>(&["PEXPIRE", EPOCH_MARKER_KEY, "19000"]);

    until(&reader, "renewed").await;
    assert_eq!(refuses(&reader, &Token::valid()).await, None);
    assert_eq!(refuses(&reader, &token).await, Some(true));
}

#[tokio::test]
async fn a_server_renews_the_marker() {
    let redis = RedisServer::start();
    let _server = TestInstallation::on(&redis).start_and_wait().await;
    redis.run::<()>(&["PEXPIRE", EPOCH_MARKER_KEY, "19000"]);

    let deadline = Instant::now() + Duration::from_secs(18);
    while redis.run::<i64>(&["PTTL", EPOCH_MARKER_KEY]) <= 19_000 {
        assert!(Instant::now() < deadline, "no server renewed the marker");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reader_does_not_renew_the_marker() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let mut process = installation.start_and_wait().await;
    process.tasks.shutdown().await;
    redis.run::<()>(&["CONFIG", "RESETSTAT"]);
    let reader = trusting_reader(&redis).await;

    let calls = || redis.run::<String>(&["INFO", "commandstats"]);
    let inspections = |stats: &str| {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_pttl:calls="));
        line.map_or(0, |line| {
            line.split(',').next().unwrap().parse::<u32>().unwrap()
        })
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while inspections(&calls()) < 4 {
        assert!(Instant::now() < deadline, "{}", calls());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    until(&reader, "").await;
    assert!(!calls().contains("pexpire"), "{}", calls());
}

#[tokio::test]
async fn the_fallback_is_used_while_redis_is_not_trusted() {
    let mut redis = RedisServer::start();
    let (denied, now) = (Token::valid(), Clock::system().now());
    let fallback = MemoryDenylist::new();
    fallback.insert(
        &Denial {
            denied: DenialTarget::Token(denied.0.clone()),
            not_after: now + Duration::from_mins(15),
        },
        now,
    );
    let reader = reader(&redis).with_fallback(Arc::new(fallback));

    redis.kill();

    assert_eq!(refuses(&reader, &denied).await, Some(true));
    assert_eq!(refuses(&reader, &Token::valid()).await, Some(false));
}

#[tokio::test]
async fn a_reader_cannot_deny() {
    let redis = RedisServer::start();
    let now = Clock::system().now();
    let denial = Denial {
        denied: DenialTarget::Token("t".into()),
        not_after: now,
    };

    let error = reader(&redis).deny(&[denial], now).await.unwrap_err();

    assert!(error.0.unwrap().to_string().contains("only reads"));
}
