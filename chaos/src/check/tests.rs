//! Small histories by hand: each breaks one promise, beside a twin that keeps it.

use std::collections::BTreeSet;

use super::*;
use crate::history::{Act, Outcome, Spares, Who};

mod authority;
mod limits;
mod service;
mod story;

use story::*;

#[test]
fn an_honest_day_breaks_nothing() {
    let story = alice()
        .check("a", Outcome::Ok)
        .refresh("a", 0, 1)
        .refresh("a", 0, 1)
        .refresh("a", 1, 2)
        .does(Act::LogOut, "a", Outcome::Ok)
        .check("a", no("token_revoked"))
        .no_refresh("a", 2, no("session_revoked"))
        .login("b", 0);
    assert_eq!(story.broken(), NONE);
}

#[test]
fn i1_an_answer_after_the_end() {
    let ended = || alice().does(Act::LogOut, "a", Outcome::Ok);
    assert_eq!(ended().check("a", Outcome::Ok).broken(), [Rule::I1]);
    assert_eq!(ended().refresh("a", 0, 1).broken(), [Rule::I1]);
    assert_eq!(ended().does(Act::LogOut, "a", Outcome::Ok).broken(), NONE);

    let by_another = alice().login("b", 0).does(
        Act::Revoke {
            target: "a".to_owned(),
        },
        "b",
        Outcome::Ok,
    );
    assert_eq!(by_another.check("a", Outcome::Ok).broken(), [Rule::I1]);

    for act in [Act::LogOutEverywhere, Act::Disable] {
        let everywhere = alice().login("b", 0).does(act, "b", Outcome::Ok);
        assert_eq!(everywhere.check("a", Outcome::Ok).broken(), [Rule::I1]);
    }
}

#[test]
fn i1_a_request_under_way_at_the_end_may_be_answered() {
    let story = alice().does(Act::LogOut, "a", Outcome::Ok);
    let end = story.now + 500;
    let story = story.check("a", Outcome::Ok).but(|op| op.start = end - 1);
    assert_eq!(story.broken(), NONE);
}

#[test]
fn i1_a_changed_password_leaves_its_own_session() {
    let changed = || {
        alice()
            .login("b", 0)
            .does(Act::ChangePassword { password: 1 }, "b", Outcome::Ok)
    };
    assert_eq!(changed().check("b", Outcome::Ok).broken(), NONE);
    assert_eq!(changed().check("a", Outcome::Ok).broken(), [Rule::I1]);
}

#[test]
fn i2_a_fork() {
    let fork = alice()
        .refresh("a", 0, 1)
        .refresh("a", 0, 1)
        .but(|op| op.given.as_mut().unwrap().digest = 99);
    assert_eq!(fork.broken(), [Rule::I2]);
}

#[test]
fn i2_a_session_goes_forward_and_rotates() {
    let back = alice()
        .refresh("a", 0, 1)
        .refresh("a", 1, 2)
        .refresh("a", 0, 1);
    assert_eq!(back.broken(), [Rule::I2]);
    assert_eq!(alice().refresh("a", 0, 0).broken(), [Rule::I2]);
    let other = alice()
        .refresh("a", 0, 1)
        .but(|op| op.given = Some(token("b", 1)));
    assert_eq!(other.broken(), [Rule::I2]);
    assert_eq!(
        alice().but(|op| op.given = Some(token("a", 7))).broken(),
        [Rule::I2]
    );
}

#[test]
fn i2_a_replay_that_rotates() {
    assert_eq!(alice().refresh("a", 0, 2).broken(), [Rule::I2]);
}

#[test]
fn i3_a_late_token() {
    let rotated = || alice().refresh("a", 0, 1).wait(3 * SECOND);
    assert_eq!(rotated().refresh("a", 0, 1).by_thief().broken(), [Rule::I3]);
    let lives_on = rotated().no_refresh("a", 0, no("invalid_token")).by_thief();
    assert_eq!(lives_on.broken(), [Rule::I3]);
    let seen = || {
        rotated()
            .no_refresh("a", 0, no("refresh_reused"))
            .by_thief()
    };
    assert_eq!(seen().broken(), NONE);
    assert_eq!(seen().check("a", Outcome::Ok).broken(), [Rule::I1]);
    let within = alice()
        .refresh("a", 0, 1)
        .wait(SECOND)
        .refresh("a", 0, 1)
        .by_thief();
    assert_eq!(within.broken(), NONE);
}

#[test]
fn i3_the_key_of_a_lost_answer_opens_until_the_successor_is_used() {
    let retried = || {
        alice()
            .no_refresh("a", 0, unknown())
            .refresh("a", 0, 1)
            .wait(9 * SECOND)
    };
    assert_eq!(retried().refresh("a", 0, 1).broken(), NONE);
    let used = retried().refresh("a", 1, 2).refresh("a", 0, 2);
    assert_eq!(used.broken(), [Rule::I3]);
}

#[test]
fn i4_an_honest_client_is_refused() {
    assert_eq!(alice().check("a", no("token_revoked")).broken(), [Rule::I4]);
    let one_of_two = alice()
        .login("b", 0)
        .refresh("b", 0, 1)
        .wait(3 * SECOND)
        .no_refresh("b", 0, no("refresh_reused"))
        .by_thief();
    assert_eq!(
        one_of_two.check("a", no("token_revoked")).broken(),
        [Rule::I4]
    );
    let slow = alice()
        .refresh("a", 0, 1)
        .no_refresh("a", 0, unknown())
        .but(|op| op.key = None);
    assert_eq!(slow.check("a", no("token_revoked")).broken(), NONE);
    let unanswered = alice().does(Act::LogOut, "a", unknown());
    assert_eq!(unanswered.check("a", no("token_revoked")).broken(), NONE);
}

#[test]
fn i2_a_new_password_makes_a_successor_too() {
    assert_eq!(alice().refresh("a", 0, 2).broken(), [Rule::I2]);
    let changed = |outcome| alice().does(Act::ChangePassword { password: 1 }, "a", outcome);
    assert_eq!(changed(Outcome::Ok).refresh("a", 0, 2).broken(), NONE);
    assert_eq!(changed(unknown()).refresh("a", 0, 2).broken(), NONE);
    let refused = changed(no("invalid_credentials"));
    assert!(refused.refresh("a", 0, 2).broken().contains(&Rule::I2));
}

#[test]
fn i5_a_lost_answer_stays_lost() {
    assert_eq!(alice().no_refresh("a", 0, unknown()).broken(), [Rule::I5]);
    let recovered = alice().no_refresh("a", 0, unknown());
    assert_eq!(recovered.refresh("a", 0, 1).broken(), NONE);
}

#[test]
fn i6_a_password_is_lost_or_comes_back() {
    assert_eq!(alice().no_login(0).broken(), [Rule::I6]);
    let changed = || alice().does(Act::ChangePassword { password: 1 }, "a", Outcome::Ok);
    assert_eq!(changed().login("b", 1).broken(), NONE);
    assert_eq!(changed().no_login(1).broken(), [Rule::I6]);
    assert_eq!(changed().login("b", 0).broken(), [Rule::I6]);
    let disabled = || alice().does(Act::Disable, "", Outcome::Ok);
    assert_eq!(disabled().no_login(0).broken(), NONE);
    assert_eq!(disabled().login("b", 0).broken(), [Rule::I6]);
    let enabled = || disabled().does(Act::Enable, "", Outcome::Ok);
    assert_eq!(enabled().login("b", 0).broken(), NONE);
    assert_eq!(enabled().no_login(0).broken(), [Rule::I6]);
    // What was asked before that, and not answered, may come last.
    let asked = || alice().does(Act::Disable, "", unknown());
    let enabled = asked().does(Act::Disable, "", Outcome::Ok);
    let enabled = enabled.does(Act::Enable, "", Outcome::Ok);
    assert_eq!(enabled.no_login(0).broken(), NONE);
}

#[test]
fn i7_half_of_a_change_of_password() {
    let changed = || {
        alice()
            .login("b", 0)
            .does(Act::ChangePassword { password: 1 }, "b", unknown())
    };
    assert_eq!(changed().login("c", 0).no_login(1).broken(), NONE);
    assert_eq!(changed().no_login(0).login("c", 1).broken(), NONE);
    assert_eq!(changed().login("c", 1).login("d", 0).broken(), [Rule::I7]);
    assert_eq!(
        changed().login("c", 1).check("a", Outcome::Ok).broken(),
        [Rule::I7]
    );
}

#[test]
fn i8_a_dead_session_rises() {
    let probed = alice()
        .does(Act::LogOut, "a", Outcome::Ok)
        .check("a", Outcome::Ok)
        .but(|op| op.who = Who::Prober);
    assert_eq!(probed.broken(), [Rule::I8]);
}

#[test]
fn i8_an_end_without_an_answer_is_known_to_one_replica_first() {
    let told = || {
        let unanswered = alice().does(Act::LogOut, "a", unknown());
        unanswered.check("a", no("token_revoked"))
    };
    assert_eq!(told().check("a", Outcome::Ok).broken(), NONE);
    let later = told().wait(3 * SECOND).check("a", Outcome::Ok);
    assert_eq!(later.but(|op| op.who = Who::Prober).broken(), [Rule::I8]);
}

#[test]
fn what_was_not_over_is_left_out() {
    let story = alice().does(Act::LogOut, "a", Outcome::Ok);
    let answered = story.now + 500;
    let lines = story.check("a", Outcome::Ok).lines;
    let until = |time| {
        let mut history = History::new(std::iter::once(head()).chain(lines.clone())).unwrap();
        history.until(time);
        check(&history).broken()
    };
    assert!(until(answered + 501).is_empty());
    assert_eq!(until(u64::MAX), BTreeSet::from([Rule::I1]));
}

#[test]
fn a_history_survives_being_written() {
    for line in alice().refresh("a", 0, 1).fault(0, 1, None).lines {
        let text = serde_json::to_string(&line).unwrap();
        let read: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
