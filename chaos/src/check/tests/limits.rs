//! Histories that break what is promised of limits, I16 and I18 to I20, and twins that do not.

use super::*;

/// Logs alice in until the limit of three sessions is reached: `a`, `b`, `c`.
fn full() -> Story {
    alice().login("b", 0).login("c", 0)
}

#[test]
fn i16_the_least_recently_used_session_ends() {
    let over = || full().login("d", 0);
    assert_eq!(over().check("a", Outcome::Ok).broken(), [Rule::I16]);
    assert_eq!(over().check("a", no("token_revoked")).broken(), NONE);
    for newer in ["b", "c", "d"] {
        assert_eq!(over().check(newer, Outcome::Ok).broken(), NONE);
        let refused = over().check(newer, no("token_revoked"));
        assert_eq!(refused.broken(), [Rule::I4], "{newer}");
    }
}

#[test]
fn i16_a_session_that_is_used_is_spared() {
    let used = || full().refresh("a", 0, 1).login("d", 0);
    assert_eq!(used().check("a", Outcome::Ok).broken(), NONE);
    assert_eq!(used().check("a", no("token_revoked")).broken(), [Rule::I4]);
    assert_eq!(used().check("b", Outcome::Ok).broken(), [Rule::I16]);
    assert_eq!(used().check("b", no("token_revoked")).broken(), NONE);
}

#[test]
fn i16_what_has_ended_takes_no_place() {
    let freed = || full().does(Act::LogOut, "b", Outcome::Ok).login("d", 0);
    assert_eq!(freed().check("a", Outcome::Ok).broken(), NONE);
    assert_eq!(freed().check("a", no("token_revoked")).broken(), [Rule::I4]);
}

#[test]
fn i16_a_login_without_an_answer_may_have_made_a_session() {
    let lost = || {
        let login = Act::LogIn { password: 0 };
        full()
            .does(login, "", unknown())
            .but(|op| op.session = None)
    };
    assert_eq!(lost().check("a", Outcome::Ok).broken(), NONE);
    assert_eq!(lost().check("a", no("token_revoked")).broken(), NONE);
}

#[test]
fn i18_strangers_lock_out_a_known_device() {
    let refused_to = |story: Story, known| {
        let code = "too_many_requests".to_owned();
        let login = Act::LogIn { password: 0 };
        let story = story.does(login, "", Outcome::Unknown { code });
        let mut story = story.but(|op| op.known_device = known);
        // One failure of many is no failure of the service.
        for _ in 0..100 {
            story = story.check("a", Outcome::Ok);
        }
        story
    };
    assert_eq!(refused_to(alice(), true).broken(), [Rule::I18]);
    assert_eq!(refused_to(alice(), false).broken(), NONE);
    let of_its_own = alice().no_login(5).no_login(6);
    assert_eq!(refused_to(of_its_own, true).broken(), NONE);
}

#[test]
fn i19_a_fast_clock_starts() {
    let start = |ahead, exit_code: Option<i32>| {
        let mut story = alice();
        story.lines.push(Line::Start(Start {
            replica: 0,
            ahead,
            start: 1,
            end: 2,
            is_ready: exit_code.is_none(),
            exit_code,
        }));
        story.broken()
    };
    assert_eq!(start(1200, None), [Rule::I19]);
    assert_eq!(start(1200, Some(0)), [Rule::I19]);
    assert_eq!(start(1200, Some(1)), NONE);
    assert_eq!(start(30, None), NONE);
}

#[test]
fn i19_a_clock_that_was_set_goes_unnoticed() {
    let asked = |start, is_ready| {
        let mut story = alice();
        story.lines.push(Line::Readiness(Readiness {
            ahead: 1200,
            since: SECOND,
            start,
            is_ready,
        }));
        story.broken()
    };
    assert_eq!(asked(100 * SECOND, true), [Rule::I19]);
    assert_eq!(asked(100 * SECOND, false), NONE);
    assert_eq!(asked(30 * SECOND, true), NONE);
}

#[test]
fn i20_many_sessions_are_not_ended() {
    let during = |outcome| {
        let mut story = alice().fault(0, 9 * SECOND, None);
        if let Some(Line::Fault(fault)) = story.lines.last_mut() {
            fault.name = "EndManySessions".to_owned();
        }
        story.does(Act::Disable, "", outcome).broken()
    };
    assert_eq!(during(failed()), [Rule::I20]);
    assert_eq!(during(Outcome::Ok), NONE);
}

#[test]
fn i1_ended_sessions_are_listed() {
    let listed = |story: Story, count| {
        let story = story.does(Act::ListSessions, "", Outcome::Ok);
        story.but(|op| {
            op.session = None;
            op.listed = Some(count);
        })
    };
    let ended = || alice().does(Act::Disable, "", Outcome::Ok);
    assert_eq!(listed(ended(), 1).broken(), [Rule::I1]);
    assert_eq!(listed(ended(), 0).broken(), NONE);
    assert_eq!(listed(alice(), 1).broken(), NONE);
    let enabled = ended().does(Act::Enable, "", Outcome::Ok).login("b", 0);
    assert_eq!(listed(enabled, 1).broken(), NONE);
}
