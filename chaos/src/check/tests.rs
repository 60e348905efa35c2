//! Small histories by hand: each breaks one promise, beside a twin that keeps it.

use std::collections::BTreeSet;

use super::*;
use crate::history::{Action, RequestOutcome, Sender, ServedClients};

mod authority;
mod history_builder;
mod limits;
mod service;

use history_builder::*;

#[test]
fn a_history_of_legitimate_clients_has_no_violations() {
    let story = alice()
        .check("a", RequestOutcome::Ok)
        .refresh("a", 0, 1)
        .refresh("a", 0, 1)
        .refresh("a", 1, 2)
        .request(Action::LogOut, "a", RequestOutcome::Ok)
        .check("a", no("token_revoked"))
        .refused_refresh("a", 2, no("session_revoked"))
        .login("b", 0);
    assert_eq!(story.broken(), NO_VIOLATIONS);
}

#[test]
fn i1_a_response_after_the_end_is_found() {
    let ended = || alice().request(Action::LogOut, "a", RequestOutcome::Ok);
    assert_eq!(ended().check("a", RequestOutcome::Ok).broken(), [Rule::I1]);
    assert_eq!(ended().refresh("a", 0, 1).broken(), [Rule::I1]);
    assert_eq!(
        ended()
            .request(Action::LogOut, "a", RequestOutcome::Ok)
            .broken(),
        NO_VIOLATIONS
    );

    let by_another = alice().login("b", 0).request(
        Action::Revoke {
            target: "a".to_owned(),
        },
        "b",
        RequestOutcome::Ok,
    );
    assert_eq!(
        by_another.check("a", RequestOutcome::Ok).broken(),
        [Rule::I1]
    );

    for action in [Action::LogOutEverywhere, Action::Disable] {
        let everywhere = alice()
            .login("b", 0)
            .request(action, "b", RequestOutcome::Ok);
        assert_eq!(
            everywhere.check("a", RequestOutcome::Ok).broken(),
            [Rule::I1]
        );
    }
}

#[test]
fn i1_a_request_in_flight_at_the_end_may_succeed() {
    let story = alice().request(Action::LogOut, "a", RequestOutcome::Ok);
    let end = story.now + 500;
    let story = story
        .check("a", RequestOutcome::Ok)
        .change_last(|op| op.start = end - 1);
    assert_eq!(story.broken(), NO_VIOLATIONS);
}

#[test]
fn i1_a_changed_password_keeps_its_own_session() {
    let changed = || {
        alice().login("b", 0).request(
            Action::ChangePassword { password: 1 },
            "b",
            RequestOutcome::Ok,
        )
    };
    assert_eq!(
        changed().check("b", RequestOutcome::Ok).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(
        changed().check("a", RequestOutcome::Ok).broken(),
        [Rule::I1]
    );
}

#[test]
fn i2_two_successors_are_found() {
    let fork = alice()
        .refresh("a", 0, 1)
        .refresh("a", 0, 1)
        .change_last(|op| op.given.as_mut().unwrap().digest = 99);
    assert_eq!(fork.broken(), [Rule::I2]);
}

#[test]
fn i2_another_signature_is_found_unless_the_root_secret_was_rotated() {
    let signed_again = || {
        let retry = alice().refresh("a", 0, 1).refresh("a", 0, 1);
        retry.change_last(|op| op.given.as_mut().unwrap().digest = 99)
    };
    assert_eq!(signed_again().broken(), [Rule::I2]);
    assert_eq!(
        signed_again().root_secret_rotation(0, SECOND).broken(),
        NO_VIOLATIONS
    );
    let other_claims = signed_again()
        .change_last(|op| op.given.as_mut().unwrap().signed_digest = 99)
        .root_secret_rotation(0, SECOND);
    assert_eq!(other_claims.broken(), [Rule::I2]);
}

#[test]
fn i2_generations_that_do_not_increase_are_found() {
    let back = alice()
        .refresh("a", 0, 1)
        .refresh("a", 1, 2)
        .refresh("a", 0, 1);
    assert_eq!(back.broken(), [Rule::I2]);
    assert_eq!(alice().refresh("a", 0, 0).broken(), [Rule::I2]);
    let other = alice()
        .refresh("a", 0, 1)
        .change_last(|op| op.given = Some(token("b", 1)));
    assert_eq!(other.broken(), [Rule::I2]);
    assert_eq!(
        alice()
            .change_last(|op| op.given = Some(token("a", 7)))
            .broken(),
        [Rule::I2]
    );
}

#[test]
fn i2_a_retry_that_rotates_is_found() {
    assert_eq!(alice().refresh("a", 0, 2).broken(), [Rule::I2]);
}

#[test]
fn i3_a_token_accepted_after_grace_is_found() {
    let rotated = || alice().refresh("a", 0, 1).wait(3 * SECOND);
    assert_eq!(rotated().refresh("a", 0, 1).by_thief().broken(), [Rule::I3]);
    let lives_on = rotated()
        .refused_refresh("a", 0, no("invalid_token"))
        .by_thief();
    assert_eq!(lives_on.broken(), [Rule::I3]);
    let seen = || {
        rotated()
            .refused_refresh("a", 0, no("refresh_reused"))
            .by_thief()
    };
    assert_eq!(seen().broken(), NO_VIOLATIONS);
    assert_eq!(seen().check("a", RequestOutcome::Ok).broken(), [Rule::I1]);
    let within = alice()
        .refresh("a", 0, 1)
        .wait(SECOND)
        .refresh("a", 0, 1)
        .by_thief();
    assert_eq!(within.broken(), NO_VIOLATIONS);
}

#[test]
fn i3_a_retry_with_its_key_succeeds_until_the_successor_is_used() {
    let retried = || {
        alice()
            .refused_refresh("a", 0, unknown())
            .refresh("a", 0, 1)
            .wait(9 * SECOND)
    };
    assert_eq!(retried().refresh("a", 0, 1).broken(), NO_VIOLATIONS);
    let used = retried().refresh("a", 1, 2).refresh("a", 0, 2);
    assert_eq!(used.broken(), [Rule::I3]);
}

#[test]
fn i4_the_refusal_of_a_legitimate_client_is_found() {
    assert_eq!(alice().check("a", no("token_revoked")).broken(), [Rule::I4]);
    let one_of_two = alice()
        .login("b", 0)
        .refresh("b", 0, 1)
        .wait(3 * SECOND)
        .refused_refresh("b", 0, no("refresh_reused"))
        .by_thief();
    assert_eq!(
        one_of_two.check("a", no("token_revoked")).broken(),
        [Rule::I4]
    );
    let slow = alice()
        .refresh("a", 0, 1)
        .refused_refresh("a", 0, unknown())
        .change_last(|op| op.key = None);
    assert_eq!(slow.check("a", no("token_revoked")).broken(), NO_VIOLATIONS);
    let unanswered = alice().request(Action::LogOut, "a", unknown());
    assert_eq!(
        unanswered.check("a", no("token_revoked")).broken(),
        NO_VIOLATIONS
    );
}

#[test]
fn i2_a_changed_password_creates_a_successor() {
    assert_eq!(alice().refresh("a", 0, 2).broken(), [Rule::I2]);
    let changed = |outcome| alice().request(Action::ChangePassword { password: 1 }, "a", outcome);
    assert_eq!(
        changed(RequestOutcome::Ok).refresh("a", 0, 2).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(
        changed(unknown()).refresh("a", 0, 2).broken(),
        NO_VIOLATIONS
    );
    let refused = changed(no("invalid_credentials"));
    assert!(refused.refresh("a", 0, 2).broken().contains(&Rule::I2));
}

#[test]
fn i5_a_retry_that_fails_after_a_lost_response_is_found() {
    assert_eq!(
        alice().refused_refresh("a", 0, unknown()).broken(),
        [Rule::I5]
    );
    let recovered = alice().refused_refresh("a", 0, unknown());
    assert_eq!(recovered.refresh("a", 0, 1).broken(), NO_VIOLATIONS);
}

#[test]
fn i6_a_lost_or_old_password_is_found() {
    assert_eq!(alice().refused_login(0).broken(), [Rule::I6]);
    let changed = || {
        alice().request(
            Action::ChangePassword { password: 1 },
            "a",
            RequestOutcome::Ok,
        )
    };
    assert_eq!(changed().login("b", 1).broken(), NO_VIOLATIONS);
    assert_eq!(changed().refused_login(1).broken(), [Rule::I6]);
    assert_eq!(changed().login("b", 0).broken(), [Rule::I6]);
    let disabled = || alice().request(Action::Disable, "", RequestOutcome::Ok);
    assert_eq!(disabled().refused_login(0).broken(), NO_VIOLATIONS);
    assert_eq!(disabled().login("b", 0).broken(), [Rule::I6]);
    let enabled = || disabled().request(Action::Enable, "", RequestOutcome::Ok);
    assert_eq!(enabled().login("b", 0).broken(), NO_VIOLATIONS);
    assert_eq!(enabled().refused_login(0).broken(), [Rule::I6]);
    // What was asked before that, and not answered, may come last.
    let asked = || alice().request(Action::Disable, "", unknown());
    let enabled = asked().request(Action::Disable, "", RequestOutcome::Ok);
    let enabled = enabled.request(Action::Enable, "", RequestOutcome::Ok);
    assert_eq!(enabled.refused_login(0).broken(), NO_VIOLATIONS);
}

#[test]
fn i7_half_a_password_change_is_found() {
    let changed = || {
        alice()
            .login("b", 0)
            .request(Action::ChangePassword { password: 1 }, "b", unknown())
    };
    assert_eq!(
        changed().login("c", 0).refused_login(1).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(
        changed().refused_login(0).login("c", 1).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(changed().login("c", 1).login("d", 0).broken(), [Rule::I7]);
    assert_eq!(
        changed()
            .login("c", 1)
            .check("a", RequestOutcome::Ok)
            .broken(),
        [Rule::I7]
    );
}

#[test]
fn i8_an_ended_session_that_works_is_found() {
    let probed = alice()
        .request(Action::LogOut, "a", RequestOutcome::Ok)
        .check("a", RequestOutcome::Ok)
        .change_last(|op| op.sender = Sender::Prober);
    assert_eq!(probed.broken(), [Rule::I8]);
}

#[test]
fn i8_an_unacknowledged_end_may_reach_one_replica_first() {
    let told = || {
        let unanswered = alice().request(Action::LogOut, "a", unknown());
        unanswered.check("a", no("token_revoked"))
    };
    assert_eq!(
        told().check("a", RequestOutcome::Ok).broken(),
        NO_VIOLATIONS
    );
    let later = told().wait(3 * SECOND).check("a", RequestOutcome::Ok);
    assert_eq!(
        later.change_last(|op| op.sender = Sender::Prober).broken(),
        [Rule::I8]
    );
}

#[test]
fn operations_in_flight_are_left_out() {
    let story = alice().request(Action::LogOut, "a", RequestOutcome::Ok);
    let answered = story.now + 500;
    let lines = story.check("a", RequestOutcome::Ok).lines;
    let until = |time| {
        let mut history = History::new(std::iter::once(head()).chain(lines.clone())).unwrap();
        history.until(time);
        check(&history).broken()
    };
    assert!(until(answered + 501).is_empty());
    assert_eq!(until(u64::MAX), BTreeSet::from([Rule::I1]));
}

#[test]
fn a_written_history_is_read_back_unchanged() {
    for line in alice().refresh("a", 0, 1).fault(0, 1, None).lines {
        let text = serde_json::to_string(&line).unwrap();
        let read: HistoryLine = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
