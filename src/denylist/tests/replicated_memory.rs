//! The copy in memory follows the revocations of other processes.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::poll;

use super::{TestInstallation, Token};
use crate::denylist::DenylistHealth;
use crate::denylist::replicated_memory::status_in_copy;
use latchet_guard::clock::Time;
use latchet_guard::denylist::memory::MemoryDenylist;
use latchet_guard::denylist::{Denial, DenialTarget, TokenIds, TokenStatus};

#[tokio::test]
async fn tokens_revoked_before_the_start_are_refused_immediately() {
    let installation = TestInstallation::at(None);
    let open_command_line = installation.open_command_line().await;
    let token = open_command_line.revoke_in_sql_only().await;

    let server = installation.start().await;

    assert!(server.refuses(&token).await);
    assert!(!server.refuses(&Token::valid()).await);
}

#[tokio::test]
async fn the_server_refuses_tokens_denied_by_the_command_line() {
    let installation = TestInstallation::at(None);
    let server = installation.start_and_wait().await;
    let open_command_line = installation.open_command_line().await;

    for _ in 0..3 {
        let token = open_command_line.revoke().await;
        assert!(server.refuses(&token).await);
    }
}

#[tokio::test]
async fn the_command_line_waits_for_the_server_but_the_server_does_not_wait() {
    let installation = TestInstallation::at(None);
    let [server, open_command_line] = [
        installation.start_and_wait().await,
        installation.open_command_line().await,
    ];
    let now = server.clock.now();
    let denials = [Denial {
        denied: DenialTarget::Token("t".into()),
        not_after: now + Duration::from_mins(15),
    }];

    assert!(poll!(pin!(server.denylist.deny(&denials, now))).is_ready());
    assert!(poll!(pin!(open_command_line.denylist.deny(&denials, now))).is_pending());
    // A process that has nothing to deny waits for no one, such as a server at its start.
    assert!(poll!(pin!(open_command_line.denylist.deny(&[], now))).is_ready());
}

#[tokio::test]
async fn a_copy_that_does_not_follow_sql_is_not_used() {
    let installation = TestInstallation::at(None);
    let mut server = installation.start_and_wait().await;
    let open_command_line = installation.open_command_line().await;
    server.tasks.shutdown().await;

    let token = open_command_line.revoke().await;

    assert!(matches!(
        server.denylist.health(),
        DenylistHealth::UsingSql(_)
    ));
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
        denied: DenialTarget::Token("t".into()),
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
