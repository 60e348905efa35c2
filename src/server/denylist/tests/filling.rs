//! Backfill of the copy: its lock, events that abort it, and checks in the meantime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::Server;
use super::{Installation, MARK, Token};
use crate::denylist::redis::LEASE;
use crate::denylist::redis::{Answer, Connection, Target, Written};
use crate::denylist::{Denial, Denied, TokenIds};
use crate::server::denylist::seed::{self, Outcome};
use crate::server::denylist::tail::page_after;
use crate::server::denylist::trust::NOTICED;
use crate::server::denylist::{Health, keeper};

const SEEDER: &str = "latchet:{deny}:seeder";

async fn connection(server: &Server) -> Connection {
    let target: Target = server.url().parse().unwrap();
    target.connect().await.unwrap()
}

/// The result, as soon as there is one: a slow machine may exceed the deadline of a check.
async fn asked(connection: &Connection, sid: Option<&str>, jti: &str, epoch: &str) -> Answer {
    let ids = TokenIds {
        sid,
        jti,
        sub: "a user",
        authority_version: 0,
    };
    ask(connection, ids, epoch).await
}

async fn ask(connection: &Connection, ids: TokenIds<'_>, epoch: &str) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match connection.ask(ids, epoch).await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_filling_that_lost_something_is_never_complete() {
    let redis = Server::start();
    let connection = connection(&redis).await;
    assert!(connection.lock("me").await.unwrap());
    assert!(connection.begin("me", "e").await.unwrap());
    assert!(connection.go_on("me", "e").await.unwrap());

    redis.run::<()>(&["FLUSHALL"]);

    assert!(!connection.go_on("me", "e").await.unwrap());
    assert!(!connection.finish("me", "e").await.unwrap());
    assert!(!redis.run::<bool>(&["EXISTS", MARK]));
}

#[tokio::test]
async fn a_seeder_that_slept_too_long_spoils_nothing() {
    let redis = Server::start();
    let connection = connection(&redis).await;
    for sleeps_after_begin in [false, true] {
        redis.run::<()>(&["FLUSHALL"]);
        assert!(connection.lock("sleeper").await.unwrap());
        if sleeps_after_begin {
            assert!(connection.begin("sleeper", "old").await.unwrap());
        }
        redis.run::<()>(&["PEXPIRE", SEEDER, "0"]);
        assert!(connection.lock("other").await.unwrap());
        assert!(connection.begin("other", "new").await.unwrap());

        assert!(!connection.begin("sleeper", "old").await.unwrap());
        assert!(!connection.go_on("sleeper", "old").await.unwrap());
        assert!(!connection.finish("sleeper", "old").await.unwrap());
        connection.unlock("sleeper").await.unwrap();
        assert!(connection.finish("other", "new").await.unwrap());

        assert!(!connection.begin("sleeper", "old").await.unwrap());
        assert_eq!(redis.run::<String>(&["GET", MARK]), "new");
    }
}

#[tokio::test]
async fn one_fills_at_a_time() {
    let redis = Server::start();
    let connection = connection(&redis).await;

    assert!(connection.lock("one").await.unwrap());
    assert!(!connection.lock("other").await.unwrap());
    connection.unlock("one").await.unwrap();
    assert!(connection.lock("other").await.unwrap());
}

#[tokio::test]
async fn a_written_denial_tells_whose_copy_it_is_in() {
    let redis = Server::start();
    let connection = connection(&redis).await;
    let denial = Denial {
        denied: Denied::Token("t".to_owned()),
        not_after: crate::clock::Clock::system().now() + Duration::from_mins(1),
    };
    let written = async |epoch: &str| {
        connection
            .write(std::slice::from_ref(&denial), epoch)
            .await
            .unwrap()
    };

    assert_eq!(written("e").await, Written::OutsideEpoch);
    assert!(connection.lock("me").await.unwrap());
    assert!(connection.begin("me", "e").await.unwrap());
    assert_eq!(written("e").await, Written::InEpoch);
    assert!(connection.finish("me", "e").await.unwrap());
    assert_eq!(written("e").await, Written::InEpoch);
    assert_eq!(written("another").await, Written::OutsideEpoch);
}

#[tokio::test]
async fn a_mark_lives_on_when_it_is_vouched_for() {
    let redis = Server::start();
    let connection = connection(&redis).await;
    assert!(connection.lock("me").await.unwrap());
    assert!(connection.begin("me", "e").await.unwrap());
    assert!(connection.finish("me", "e").await.unwrap());
    redis.run::<()>(&["PEXPIRE", MARK, "10000"]);

    connection.vouch().await.unwrap();

    assert!((25_000..=30_000).contains(&redis.run::<i64>(&["PTTL", MARK])));
}

#[tokio::test]
async fn checks_asked_at_once_are_each_answered_for_their_own_token() {
    let redis = Server::start();
    let connection = connection(&redis).await;
    assert!(connection.lock("me").await.unwrap());
    assert!(connection.begin("me", "e").await.unwrap());
    let not_after = crate::clock::Clock::system().now() + Duration::from_mins(1);
    let tokens = (0..1_000).step_by(3);
    let tokens = tokens.map(|number| Denied::Token(format!("token-{number}")));
    let sessions = (0..1_000).step_by(5);
    let sessions = sessions.map(|number| Denied::Session(format!("session-{number}")));
    let denials = tokens.chain(sessions);
    let denials: Vec<Denial> = denials.map(|denied| Denial { denied, not_after }).collect();
    connection.write(&denials, "e").await.unwrap();
    assert!(connection.finish("me", "e").await.unwrap());

    let checks = (0..1_000).map(|number| {
        let connection = connection.clone();
        async move {
            let sid = (number % 2 == 0).then(|| format!("session-{number}"));
            let jti = format!("token-{number}");
            let answer = asked(&connection, sid.as_deref(), &jti, "e").await;
            (number, answer)
        }
    });

    for (number, answer) in futures_util::future::join_all(checks).await {
        let is_denied = number % 3 == 0 || number % 10 == 0;
        let expected = if is_denied {
            Answer::Revoked
        } else {
            Answer::Clear
        };
        assert_eq!(answer, expected, "{number}");
    }
    let of_another = asked(&connection, None, "token-1", "another").await;
    assert_eq!(of_another, Answer::Doubtful);
}

#[tokio::test]
async fn versions_asked_about_at_once_are_each_compared() {
    let redis = Server::start();
    let connection = connection(&redis).await;
    assert!(connection.lock("me").await.unwrap());
    assert!(connection.begin("me", "e").await.unwrap());
    let not_after = crate::clock::Clock::system().now() + Duration::from_mins(1);
    let users = (0..300).step_by(2).map(|number| Denied::User {
        id: format!("user-{number}"),
        below: VERSION,
    });
    let denials: Vec<Denial> = users.map(|denied| Denial { denied, not_after }).collect();
    connection.write(&denials, "e").await.unwrap();
    assert!(connection.finish("me", "e").await.unwrap());

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

    for (number, answer) in futures_util::future::join_all(checks).await {
        let expected = if number % 6 == 0 {
            Answer::Outdated
        } else {
            Answer::Clear
        };
        assert_eq!(answer, expected, "{number}");
    }
}

/// As large as the versions that servers write: milliseconds since the unix epoch.
const VERSION: u64 = 1_800_000_000_000;

#[tokio::test]
async fn whatever_is_in_sql_is_filled_in() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let tool = installation.tool().await;
    let mut tokens = Vec::new();
    for _ in 0..1_100 {
        tokens.push(tool.commit().await);
    }

    let server = installation.serve().await;

    let list = server.redis();
    let (link, witness) = (list.line.link().unwrap(), list.witness().unwrap());
    for token in &tokens {
        let answer = asked(&link.connection, None, &token.0, &witness.epoch).await;
        assert_eq!(answer, Answer::Revoked);
    }
}

#[tokio::test]
async fn what_has_just_ended_is_copied_for_those_whose_clock_is_behind() {
    let installation = Installation::at(None);
    let tool = installation.tool().await;
    let now = tool.clock.now();
    for (name, ago) in [("long past", 90), ("just now", 30)] {
        let ended = now - Duration::from_secs(ago);
        tool.store.revoke_token(name, ended, now).await.unwrap();
    }

    let page = page_after(&tool.store, 0, now).await.unwrap();

    let ids = page.into_iter().map(|entry| entry.denial.denied);
    assert!(ids.eq([Denied::Token("just now".into())]));
}

#[tokio::test]
async fn nobody_fills_what_another_has_filled() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let one = installation.serve().await;
    let epoch = one.epoch().await;

    let other = installation.serve().await;
    let connection = connection(&redis).await;
    let outcome = seed::fill(other.redis(), &connection).await.unwrap();

    assert_eq!(outcome, Outcome::LeftToAnother);
    assert_eq!(one.epoch().await, epoch);
    assert!(!redis.run::<bool>(&["EXISTS", SEEDER]), "the lock is free");
}

#[tokio::test]
async fn an_epoch_ended_by_another_process_is_noticed_within_a_lease() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let mut server = installation.serve().await;
    let token = server.revoke().await;
    server.tasks.shutdown().await;
    let list = Arc::clone(server.redis());
    server
        .tasks
        .spawn(async move { keeper::watch_sql(&list).await });
    redis.run::<()>(&["DEL", &token.key()]);

    let tool = installation.tool().await;
    tool.redis().begin_epoch("").await.unwrap();
    tokio::time::sleep(NOTICED).await;

    assert!(server.refuses(&token).await);
}

#[tokio::test]
async fn without_a_word_from_sql_redis_is_believed_for_one_lease_only() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let mut server = installation.serve().await;
    let token = server.commit().await;
    assert!(!server.refuses(&token).await, "Redis is trusted");

    server.tasks.shutdown().await;

    tokio::time::sleep(LEASE).await;
    assert!(server.refuses(&token).await, "SQL is used");
}

#[tokio::test]
async fn a_denial_before_the_filling_begins_waits_until_no_earlier_copy_is_believed() {
    let [earlier, later] = [Server::start(), Server::start()];
    let here = Installation::on(&earlier);
    let mut server = here.serve().await;
    let there = Installation {
        redis_url: Some(later.url()),
        ..here
    };
    let tool = there.tool().await;
    let link = tool.redis().line.connect().await.unwrap();
    server.redis().read_witness().await.unwrap();
    server.tasks.shutdown().await;

    let identity = &link.standing.inspection.identity;
    tool.redis().begin_epoch(identity).await.unwrap();
    let token = tool.revoke().await;

    assert!(server.refuses(&token).await);
    assert!(later.run::<bool>(&["EXISTS", &token.key()]));
}

#[tokio::test]
async fn a_user_with_the_rights_of_the_document_is_enough() {
    let document = include_str!("../../../../docs/how-to/databases.md");
    let command = document
        .lines()
        .find(|line| line.starts_with("ACL SETUSER"))
        .unwrap();
    let redis = Server::start();
    redis.run::<()>(&command.split(' ').collect::<Vec<_>>());
    let url = redis.url().replace("://", "://latchet:PASSWORD@");
    let installation = Installation::at(Some(url));
    let tool = installation.tool().await;
    let early = tool.commit().await;

    let server = installation.serve().await;
    let late = tool.revoke().await;

    for token in [early, late] {
        assert!(redis.run::<bool>(&["EXISTS", &token.key()]));
        assert!(server.refuses(&token).await);
    }
    assert_eq!(server.open.health(), Health::Good);
}

#[tokio::test]
async fn logouts_do_not_keep_the_copy_from_being_filled() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let [one, other] = [installation.start().await, installation.start().await];
    let deadline = Instant::now() + Duration::from_secs(20);

    let mut filled = false;
    while !filled {
        let token = one.revoke().await;
        assert!(other.refuses(&token).await);
        filled = other.open.health() == Health::Good && one.open.health() == Health::Good;
        assert!(Instant::now() < deadline, "the copy was never backfilled");
    }
}

#[tokio::test]
async fn fillings_undone_again_and_again_let_nothing_pass() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let [one, other] = [installation.serve().await, installation.serve().await];
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

    one.until_good().await;
    other.until_good().await;
    assert!(other.refuses(&token).await);
}

#[tokio::test]
async fn what_a_dead_process_left_in_sql_reaches_redis() {
    let redis = Server::start();
    let installation = Installation::on(&redis);
    let server = installation.serve().await;
    let dying = installation.tool().await;

    let token = dying.commit().await;

    let deadline = Instant::now() + Duration::from_secs(10);
    while !redis.run::<bool>(&["EXISTS", &token.key()]) {
        assert!(Instant::now() < deadline, "the denial never arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.refuses(&token).await);
}
