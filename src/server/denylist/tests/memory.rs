//! The copy in memory follows the revocations of other processes.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::poll;

use super::{Installation, Token};
use crate::clock::Time;
use crate::denylist::memory::MemoryDenylist;
use crate::denylist::{Denial, Denied, TokenIds, TokenStatus};
use crate::server::denylist::Health;
use crate::server::denylist::memory::status_in_copy;

#[tokio::test]
async fn what_was_revoked_before_the_start_is_refused_at_once() {
    let installation = Installation::at(None);
    let tool = installation.tool().await;
    let token = tool.commit().await;

    let server = installation.start().await;

    assert!(server.refuses(&token).await);
    assert!(!server.refuses(&Token::valid()).await);
}

#[tokio::test]
async fn when_the_command_line_has_denied_the_server_refuses() {
    let installation = Installation::at(None);
    let server = installation.serve().await;
    let tool = installation.tool().await;

    for _ in 0..3 {
        let token = tool.revoke().await;
        assert!(server.refuses(&token).await);
    }
}

#[tokio::test]
async fn the_command_line_waits_until_the_server_has_noticed_and_the_server_for_nobody() {
    let installation = Installation::at(None);
    let [server, tool] = [installation.serve().await, installation.tool().await];
    let now = server.clock.now();
    let denials = [Denial {
        denied: Denied::Token("t".into()),
        not_after: now + Duration::from_mins(15),
    }];

    assert!(poll!(pin!(server.open.deny(&denials, now))).is_ready());
    assert!(poll!(pin!(tool.open.deny(&denials, now))).is_pending());
}

#[tokio::test]
async fn a_copy_that_no_longer_follows_is_not_relied_upon() {
    let installation = Installation::at(None);
    let mut server = installation.serve().await;
    let tool = installation.tool().await;
    server.tasks.shutdown().await;

    let token = tool.revoke().await;

    assert!(matches!(server.open.health(), Health::AskingSql(_)));
    assert!(server.refuses(&token).await);
}

/// Between two steps of a check the copy may learn of a revocation that is older than the check.
#[test]
fn a_copy_that_becomes_current_during_a_check_is_not_relied_upon_for_what_it_lacked() {
    let now = Time::from_secs(1_000_000);
    let ids = TokenIds {
        sid: None,
        jti: "t",
        sub: "u",
        authority_version: 0,
    };
    let denial = Denial {
        denied: Denied::Token("t".into()),
        not_after: now + Duration::from_mins(15),
    };
    let copy = MemoryDenylist::new();
    let is_current = Cell::new(false);
    let follow = || {
        copy.insert(&denial, now);
        is_current.set(true);
    };

    let status = status_in_copy(
        || {
            let seen = is_current.get();
            follow();
            seen
        },
        || {
            let seen = copy.status(ids, now);
            follow();
            seen
        },
    );

    assert_ne!(status, Some(TokenStatus::NotDenied));
}

#[test]
fn what_the_copy_denies_counts_though_it_may_be_old_and_what_it_lacks_does_not() {
    for (is_current, status, wanted) in [
        (true, TokenStatus::NotDenied, Some(TokenStatus::NotDenied)),
        (false, TokenStatus::NotDenied, None),
        (true, TokenStatus::Revoked, Some(TokenStatus::Revoked)),
        (false, TokenStatus::Revoked, Some(TokenStatus::Revoked)),
        (false, TokenStatus::Outdated, Some(TokenStatus::Outdated)),
    ] {
        assert_eq!(status_in_copy(|| is_current, || status), wanted);
    }
}
