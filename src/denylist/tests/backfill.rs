//! Backfill of the copy: its lock, events that abort it, and checks in the meantime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::redis_server::RedisServer;
use super::{EPOCH_MARKER_KEY, TestInstallation, Token};
use crate::denylist::backfill::{self, BackfillOutcome};
use crate::denylist::revocation_feed::read_page;
use crate::denylist::trust::PROPAGATION_DELAY;
use crate::denylist::{DenylistHealth, background};
use latchet_guard::denylist::redis::LEASE;
use latchet_guard::denylist::redis::{Lookup, RedisConnection, RedisUrl, WriteOutcome};
use latchet_guard::denylist::{Denial, DenialTarget, TokenIds};

const BACKFILL_LOCK_KEY: &str = "latchet:{deny}:seeder";

async fn connection(server: &RedisServer) -> RedisConnection {
    let target: RedisUrl = server.url().parse().unwrap();
    target.connect().await.unwrap()
}

/// The result, as soon as there is one: a slow machine may exceed the deadline of a check.
async fn lookup_token(
    connection: &RedisConnection,
    sid: Option<&str>,
    jti: &str,
    epoch: &str,
) -> Lookup {
    let ids = TokenIds {
        sid,
        jti,
        sub: "a user",
        authority_version: 0,
    };
    ask(connection, ids, epoch).await
}

async fn ask(connection: &RedisConnection, ids: TokenIds<'_>, epoch: &str) -> Lookup {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match connection.lookup(ids, epoch).await {
            Ok(result) => return result,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_backfill_with_data_loss_never_completes() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;
    assert!(connection.acquire_backfill_lock("me").await.unwrap());
    assert!(connection.begin_backfill("me", "e").await.unwrap());
    assert!(connection.continue_backfill("me", "e").await.unwrap());

    redis.run::<()>(&["FLUSHALL"]);

    assert!(!connection.continue_backfill("me", "e").await.unwrap());
    assert!(!connection.finish_backfill("me", "e").await.unwrap());
    assert!(!redis.run::<bool>(&["EXISTS", EPOCH_MARKER_KEY]));
}

#[tokio::test]
async fn a_backfill_with_an_expired_lock_does_no_harm() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;
    for sleeps_after_begin in [false, true] {
        redis.run::<()>(&["FLUSHALL"]);
        assert!(connection.acquire_backfill_lock("sleeper").await.unwrap());
        if sleeps_after_begin {
            assert!(connection.begin_backfill("sleeper", "old").await.unwrap());
        }
        redis.run::<()>(&["PEXPIRE", BACKFILL_LOCK_KEY, "0"]);
        assert!(connection.acquire_backfill_lock("other").await.unwrap());
        assert!(connection.begin_backfill("other", "new").await.unwrap());

        assert!(!connection.begin_backfill("sleeper", "old").await.unwrap());
        assert!(
            !connection
                .continue_backfill("sleeper", "old")
                .await
                .unwrap()
        );
        assert!(!connection.finish_backfill("sleeper", "old").await.unwrap());
        connection.release_backfill_lock("sleeper").await.unwrap();
        assert!(connection.finish_backfill("other", "new").await.unwrap());

        assert!(!connection.begin_backfill("sleeper", "old").await.unwrap());
        assert_eq!(redis.run::<String>(&["GET", EPOCH_MARKER_KEY]), "new");
    }
}

#[tokio::test]
async fn only_one_process_backfills_at_a_time() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;

    assert!(connection.acquire_backfill_lock("one").await.unwrap());
    assert!(!connection.acquire_backfill_lock("other").await.unwrap());
    connection.release_backfill_lock("one").await.unwrap();
    assert!(connection.acquire_backfill_lock("other").await.unwrap());
}

#[tokio::test]
async fn writing_a_denial_reports_the_epoch_of_the_copy() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;
    let denial = Denial {
        denied: DenialTarget::Token("t".to_owned()),
        not_after: latchet_guard::clock::Clock::system().now() + Duration::from_mins(1),
    };
    let written = async |epoch: &str| {
        connection
            .write_denials(std::slice::from_ref(&denial), epoch)
            .await
            .unwrap()
    };

    assert_eq!(written("e").await, WriteOutcome::OutsideEpoch);
    assert!(connection.acquire_backfill_lock("me").await.unwrap());
    assert!(connection.begin_backfill("me", "e").await.unwrap());
    assert_eq!(written("e").await, WriteOutcome::InEpoch);
    assert!(connection.finish_backfill("me", "e").await.unwrap());
    assert_eq!(written("e").await, WriteOutcome::InEpoch);
    assert_eq!(written("another").await, WriteOutcome::OutsideEpoch);
}

#[tokio::test]
async fn a_renewed_marker_does_not_expire() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;
    assert!(connection.acquire_backfill_lock("me").await.unwrap());
    assert!(connection.begin_backfill("me", "e").await.unwrap());
    assert!(connection.finish_backfill("me", "e").await.unwrap());
    redis.run::<()>(&["PEXPIRE", EPOCH_MARKER_KEY, "10000"]);

    connection.renew_marker().await.unwrap();

    assert!((25_000..=30_000).contains(&redis.run::<i64>(&["PTTL", EPOCH_MARKER_KEY])));
}

#[tokio::test]
async fn concurrent_lookups_return_the_status_of_their_own_token() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;
    assert!(connection.acquire_backfill_lock("me").await.unwrap());
    assert!(connection.begin_backfill("me", "e").await.unwrap());
    let not_after = latchet_guard::clock::Clock::system().now() + Duration::from_mins(1);
    let tokens = (0..1_000).step_by(3);
    let tokens = tokens.map(|number| DenialTarget::Token(format!("token-{number}")));
    let sessions = (0..1_000).step_by(5);
    let sessions = sessions.map(|number| DenialTarget::Session(format!("session-{number}")));
    let denials = tokens.chain(sessions);
    let denials: Vec<Denial> = denials.map(|denied| Denial { denied, not_after }).collect();
    connection.write_denials(&denials, "e").await.unwrap();
    assert!(connection.finish_backfill("me", "e").await.unwrap());

    let checks = (0..1_000).map(|number| {
        let connection = connection.clone();
        async move {
            let sid = (number % 2 == 0).then(|| format!("session-{number}"));
            let jti = format!("token-{number}");
            let result = lookup_token(&connection, sid.as_deref(), &jti, "e").await;
            (number, result)
        }
    });

    for (number, result) in futures_util::future::join_all(checks).await {
        let is_denied = number % 3 == 0 || number % 10 == 0;
        let expected = if is_denied {
            Lookup::Revoked
        } else {
            Lookup::NotDenied
        };
        assert_eq!(result, expected, "{number}");
    }
    let of_another = lookup_token(&connection, None, "token-1", "another").await;
    assert_eq!(of_another, Lookup::Incomplete);
}

#[tokio::test]
async fn concurrent_lookups_compare_their_own_version() {
    let redis = RedisServer::start();
    let connection = connection(&redis).await;
    assert!(connection.acquire_backfill_lock("me").await.unwrap());
    assert!(connection.begin_backfill("me", "e").await.unwrap());
    let not_after = latchet_guard::clock::Clock::system().now() + Duration::from_mins(1);
    let users = (0..300).step_by(2).map(|number| DenialTarget::User {
        id: format!("user-{number}"),
        below: VERSION,
    });
    let denials: Vec<Denial> = users.map(|denied| Denial { denied, not_after }).collect();
    connection.write_denials(&denials, "e").await.unwrap();
    assert!(connection.finish_backfill("me", "e").await.unwrap());

    let checks = (0..300).map(|number| {
        let connection = connection.clone();
        async move {
            let ids = TokenIds {
                sid: (number % 5 == 0).then_some("a session"),
                jti: "a token",
                sub: &format!("user-{number}"),
                authority_version: VERSION - u64::from(number % 3 == 0),
            };
            (number, ask(&connection, ids, "e").await)
        }
    });

    for (number, result) in futures_util::future::join_all(checks).await {
        let expected = if number % 6 == 0 {
            Lookup::Outdated
        } else {
            Lookup::NotDenied
        };
        assert_eq!(result, expected, "{number}");
    }
}

/// As large as the versions that servers write: milliseconds since the unix epoch.
const VERSION: u64 = 1_800_000_000_000;

#[tokio::test]
async fn a_backfill_copies_every_denial_in_sql() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let open_command_line = installation.open_command_line().await;
    let mut tokens = Vec::new();
    for _ in 0..1_100 {
        tokens.push(open_command_line.revoke_in_sql_only().await);
    }

    let server = installation.start_and_wait().await;

    let list = server.redis();
    let (inspected, epoch_record) = (list.handle.current().unwrap(), list.epoch_record().unwrap());
    for token in &tokens {
        let result = lookup_token(&inspected.connection, None, &token.0, &epoch_record.epoch).await;
        assert_eq!(result, Lookup::Revoked);
    }
}

#[tokio::test]
async fn recently_expired_denials_are_copied_for_slow_clocks() {
    let installation = TestInstallation::at(None);
    let open_command_line = installation.open_command_line().await;
    let now = open_command_line.clock.now();
    for (name, ago) in [("long past", 90), ("just now", 30)] {
        let ended = now - Duration::from_secs(ago);
        open_command_line
            .store
            .revoke_token(name, ended, now)
            .await
            .unwrap();
    }

    let page = read_page(&open_command_line.store, 0, now).await.unwrap();

    let ids = page.into_iter().map(|entry| entry.denial.denied);
    assert!(ids.eq([DenialTarget::Token("just now".into())]));
}

#[tokio::test]
async fn a_complete_copy_is_not_backfilled_again() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let one = installation.start_and_wait().await;
    let epoch = one.epoch().await;

    let other = installation.start_and_wait().await;
    let connection = connection(&redis).await;
    let outcome = backfill::backfill(other.redis(), &connection)
        .await
        .unwrap();

    assert_eq!(outcome, BackfillOutcome::NotNeeded);
    assert_eq!(one.epoch().await, epoch);
    assert!(
        !redis.run::<bool>(&["EXISTS", BACKFILL_LOCK_KEY]),
        "the lock is free"
    );
}

#[tokio::test]
async fn an_epoch_ended_elsewhere_takes_effect_within_a_lease() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let mut server = installation.start_and_wait().await;
    let token = server.revoke().await;
    server.tasks.shutdown().await;
    let list = Arc::clone(server.redis());
    server
        .tasks
        .spawn(async move { background::keep_epoch_record_current(&list).await });
    redis.run::<()>(&["DEL", &token.key()]);

    let open_command_line = installation.open_command_line().await;
    open_command_line.redis().begin_epoch("").await.unwrap();
    tokio::time::sleep(PROPAGATION_DELAY).await;

    assert!(server.refuses(&token).await);
}

#[tokio::test]
async fn without_sql_redis_is_trusted_for_one_lease_only() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let mut server = installation.start_and_wait().await;
    let token = server.revoke_in_sql_only().await;
    assert!(!server.refuses(&token).await, "Redis is trusted");

    server.tasks.shutdown().await;

    tokio::time::sleep(LEASE).await;
    assert!(server.refuses(&token).await, "SQL is used");
}

#[tokio::test]
async fn a_denial_before_a_backfill_waits_until_no_earlier_copy_is_trusted() {
    let [earlier, later] = [RedisServer::start(), RedisServer::start()];
    let here = TestInstallation::on(&earlier);
    let mut server = here.start_and_wait().await;
    let there = TestInstallation {
        redis_url: Some(later.url()),
        ..here
    };
    let open_command_line = there.open_command_line().await;
    let inspected = open_command_line.redis().handle.connect().await.unwrap();
    server.redis().read_epoch_record().await.unwrap();
    server.tasks.shutdown().await;

    let identity = &inspected.server_status.server_info.identity;
    open_command_line
        .redis()
        .begin_epoch(identity)
        .await
        .unwrap();
    let token = open_command_line.revoke().await;

    assert!(server.refuses(&token).await);
    assert!(later.run::<bool>(&["EXISTS", &token.key()]));
}

#[tokio::test]
async fn the_documented_redis_permissions_are_sufficient() {
    let document = include_str!("../../../docs/how-to/databases.md");
    let command = document
        .lines()
        .find(|line| line.starts_with("ACL SETUSER"))
        .unwrap();
    let redis = RedisServer::start();
    redis.run::<()>(&command.split(' ').collect::<Vec<_>>());
    let url = redis.url().replace("://", "://latchet:PASSWORD@");
    let installation = TestInstallation::at(Some(url));
    let open_command_line = installation.open_command_line().await;
    let early = open_command_line.revoke_in_sql_only().await;

    let server = installation.start_and_wait().await;
    let late = open_command_line.revoke().await;

    for token in [early, late] {
        assert!(redis.run::<bool>(&["EXISTS", &token.key()]));
        assert!(server.refuses(&token).await);
    }
    assert_eq!(server.denylist.health(), DenylistHealth::Healthy);
}

#[tokio::test]
async fn logouts_do_not_prevent_a_backfill() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let [one, other] = [installation.start().await, installation.start().await];
    let deadline = Instant::now() + Duration::from_secs(20);

    let mut is_backfilled = false;
    while !is_backfilled {
        let token = one.revoke().await;
        assert!(other.refuses(&token).await);
        is_backfilled = other.denylist.health() == DenylistHealth::Healthy
            && one.denylist.health() == DenylistHealth::Healthy;
        assert!(Instant::now() < deadline, "the copy was never backfilled");
    }
}

#[tokio::test]
async fn repeatedly_aborted_backfills_let_no_revoked_token_pass() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let [one, other] = [
        installation.start_and_wait().await,
        installation.start_and_wait().await,
    ];
    let token = one.revoke().await;
    let valid = Token::valid();

    let end = Instant::now() + Duration::from_secs(4);
    let mut late = None;
    while Instant::now() < end {
        redis.run::<()>(&["FLUSHALL"]);
        for process in [&one, &other] {
            assert!(process.refuses(&token).await);
            assert!(!process.refuses(&valid).await);
        }
        if late.is_none() {
            late = Some(one.revoke().await);
        }
        assert!(other.refuses(late.as_ref().unwrap()).await);
    }

    one.until_healthy().await;
    other.until_healthy().await;
    assert!(other.refuses(&token).await);
}

#[tokio::test]
async fn denials_of_a_dead_process_are_copied_to_redis() {
    let redis = RedisServer::start();
    let installation = TestInstallation::on(&redis);
    let server = installation.start_and_wait().await;
    let dying = installation.open_command_line().await;

    let token = dying.revoke_in_sql_only().await;

    let deadline = Instant::now() + Duration::from_secs(10);
    while !redis.run::<bool>(&["EXISTS", &token.key()]) {
        assert!(Instant::now() < deadline, "the denial never arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.refuses(&token).await);
}
