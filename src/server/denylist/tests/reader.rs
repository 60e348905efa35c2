//! A service without SQL that reads the servers' copy: a check may fail, but never passes a revoked
//! token because Redis lost data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::Server;
use super::{Installation, MARK, Token};
use crate::clock::Clock;
use crate::denylist::memory::MemoryDenylist;
use crate::denylist::redis::RedisReader;
use crate::denylist::{Denial, Denied, Denylist, TokenStatus};
use crate::token::Claims;

fn reader(server: &Server) -> RedisReader {
    RedisReader::start(server.url().parse().unwrap(), Clock::system())
}

async fn believing(server: &Server) -> RedisReader {
    let reader = reader(server);
    until(&reader, "").await;
    reader
}

/// Waits until the copy is distrusted for a reason that contains this word; without a word, until it is
/// trusted.
pub(super) async fn until(reader: &RedisReader, word: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let doubt = reader.doubt();
        match &doubt {
            None if word.is_empty() => return,
            Some(doubt) if !word.is_empty() && doubt.contains(word) => return,
            _ => {}
        }
        assert!(
            Instant::now() < deadline,
            "timed out waiting for {word:?}: {doubt:?}"
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
async fn answer(reader: &RedisReader, token: &Token) -> bool {
    settled(async || refuses(reader, token).await).await
}

async fn settled(ask: impl AsyncFn() -> Option<bool>) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reader_sees_each_denial_at_once() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let reader = believing(&redis).await;

    for _ in 0..100 {
        let token = process.revoke().await;
        assert!(answer(&reader, &token).await);
    }
    assert!(!answer(&reader, &Token::valid()).await);
}

#[tokio::test]
async fn a_copy_that_nobody_has_filled_is_not_believed() {
    let redis = Server::start();
    let reader = reader(&redis);

    until(&reader, "no Latchet server has backfilled it").await;

    assert_eq!(refuses(&reader, &Token::valid()).await, None);
}

#[tokio::test]
async fn a_token_is_refused_as_its_ids_are() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let revoked = process.revoke().await;
    let reader = believing(&redis).await;
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
        assert_eq!(settled(ask).await, expected);
    }
}

#[tokio::test]
async fn a_reader_refuses_to_answer_between_a_flush_and_the_filling() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let token = process.revoke().await;
    let reader = believing(&redis).await;
    let epoch = process.epoch().await;

    redis.run::<()>(&["FLUSHALL"]);

    let valid = refuses(&reader, &Token::valid()).await;
    assert!(valid.is_none() || process.epoch().await != epoch);
    let deadline = Instant::now() + Duration::from_secs(20);
    while process.epoch().await == epoch || reader.doubt().is_some() {
        assert_ne!(refuses(&reader, &token).await, Some(false), "it passed");
        assert!(
            Instant::now() < deadline,
            "the copy was not backfilled again"
        );
    }
    assert!(answer(&reader, &token).await);
    assert!(!answer(&reader, &Token::valid()).await);
}

/// The dump is newer than the last renewal by a server, and its marker claims to be complete; only the
/// name of the server in the epoch reveals the loss, also to a new reader.
#[tokio::test]
async fn a_restart_from_an_old_dump_is_noticed_without_sql() {
    let mut redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let early = process.revoke().await;
    redis.run::<()>(&["SAVE"]);
    let late = process.revoke().await;
    let old = believing(&redis).await;
    drop(process);

    redis.kill();
    redis.resume();

    assert!(redis.run::<bool>(&["EXISTS", MARK]));
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
async fn a_copy_that_no_server_vouches_for_is_not_believed() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let process = installation.serve().await;
    let token = process.revoke().await;
    let reader = believing(&redis).await;

    drop(process);
    // As if eleven of the thirty seconds of the marker's lifetime had passed.
    redis.run::<()>(&["PEXPIRE", MARK, "19000"]);

    until(&reader, "renewed").await;
    assert_eq!(refuses(&reader, &Token::valid()).await, None);
    assert_eq!(refuses(&reader, &token).await, Some(true));
}

#[tokio::test]
async fn where_redis_is_not_believed_the_fallback_answers() {
    let mut redis = Server::start();
    let (denied, now) = (Token::valid(), Clock::system().now());
    let fallback = MemoryDenylist::new();
    fallback.insert(
        &Denial {
            denied: Denied::Token(denied.0.clone()),
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
async fn a_reader_denies_nothing() {
    let redis = Server::start();
    let now = Clock::system().now();
    let denial = Denial {
        denied: Denied::Token("t".into()),
        not_after: now,
    };

    let error = reader(&redis).deny(&[denial], now).await.unwrap_err();

    assert!(error.0.unwrap().to_string().contains("only reads"));
}
