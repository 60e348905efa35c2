//! Histories that break what is promised of limits, I16 and I18 to I20, and twins that do not.

use super::*;

/// Logs alice in until the limit of three sessions is reached: `a`, `b`, `c`.
fn full() -> HistoryBuilder {
    alice().login("b", 0).login("c", 0)
}

#[test]
fn i16_the_least_recently_used_session_ends() {
    let over = || full().login("d", 0);
    assert_eq!(over().check("a", RequestOutcome::Ok).broken(), [Rule::I16]);
    assert_eq!(
        over().check("a", no("token_revoked")).broken(),
        NO_VIOLATIONS
    );
    for newer in ["b", "c", "d"] {
        assert_eq!(
            over().check(newer, RequestOutcome::Ok).broken(),
            NO_VIOLATIONS
        );
        let refused = over().check(newer, no("token_revoked"));
        assert_eq!(refused.broken(), [Rule::I4], "{newer}");
    }
}

#[test]
fn i16_a_recently_used_session_is_kept() {
    let used = || full().refresh("a", 0, 1).login("d", 0);
    assert_eq!(
        used().check("a", RequestOutcome::Ok).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(used().check("a", no("token_revoked")).broken(), [Rule::I4]);
    assert_eq!(used().check("b", RequestOutcome::Ok).broken(), [Rule::I16]);
    assert_eq!(
        used().check("b", no("token_revoked")).broken(),
        NO_VIOLATIONS
    );
}

#[test]
fn i16_ended_sessions_do_not_count() {
    let freed = || {
        full()
            .request(Action::LogOut, "b", RequestOutcome::Ok)
            .login("d", 0)
    };
    assert_eq!(
        freed().check("a", RequestOutcome::Ok).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(freed().check("a", no("token_revoked")).broken(), [Rule::I4]);
}

#[test]
fn i16_a_login_without_a_response_may_have_created_a_session() {
    let lost = || {
        let login = Action::LogIn { password: 0 };
        full()
            .request(login, "", unknown())
            .change_last(|op| op.session = None)
    };
    assert_eq!(
        lost().check("a", RequestOutcome::Ok).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(
        lost().check("a", no("token_revoked")).broken(),
        NO_VIOLATIONS
    );
}

#[test]
fn i18_a_locked_out_known_device_is_found() {
    let refused_to = |story: HistoryBuilder, known| {
        let code = "too_many_requests".to_owned();
        let login = Action::LogIn { password: 0 };
        let story = story.request(login, "", RequestOutcome::Unknown { code });
        let mut story = story.change_last(|op| op.known_device = known);
        // One failure of many is no failure of the service.
        for _ in 0..100 {
            story = story.check("a", RequestOutcome::Ok);
        }
        story
    };
    assert_eq!(refused_to(alice(), true).broken(), [Rule::I18]);
    assert_eq!(refused_to(alice(), false).broken(), NO_VIOLATIONS);
    let of_its_own = alice().refused_login(5).refused_login(6);
    assert_eq!(refused_to(of_its_own, true).broken(), NO_VIOLATIONS);
}

#[test]
fn i19_a_server_that_starts_with_a_fast_clock_is_found() {
    let start = |ahead, exit_code: Option<i32>| {
        let mut story = alice();
        story.lines.push(HistoryLine::ProcessStart(ProcessStart {
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
    assert_eq!(start(1200, Some(1)), NO_VIOLATIONS);
    assert_eq!(start(30, None), NO_VIOLATIONS);
}

#[test]
fn i19_an_unnoticed_clock_jump_is_found() {
    let asked = |start, is_ready| {
        let mut story = alice();
        story
            .lines
            .push(HistoryLine::ReadinessCheck(ReadinessCheck {
                ahead: 1200,
                since: SECOND,
                start,
                is_ready,
            }));
        story.broken()
    };
    assert_eq!(asked(100 * SECOND, true), [Rule::I19]);
    assert_eq!(asked(100 * SECOND, false), NO_VIOLATIONS);
    assert_eq!(asked(30 * SECOND, true), NO_VIOLATIONS);
}

#[test]
fn i20_a_failed_end_of_many_sessions_is_found() {
    let during = |outcome| {
        let mut story = alice().fault(0, 9 * SECOND, None);
        if let Some(HistoryLine::InjectedFault(fault)) = story.lines.last_mut() {
            fault.name = "EndManySessions".to_owned();
        }
        story.request(Action::Disable, "", outcome).broken()
    };
    assert_eq!(during(failed()), [Rule::I20]);
    assert_eq!(during(RequestOutcome::Ok), NO_VIOLATIONS);
}

#[test]
fn i1_listed_ended_sessions_are_found() {
    let listed = |story: HistoryBuilder, count| {
        let story = story.request(Action::ListSessions, "", RequestOutcome::Ok);
        story.change_last(|op| {
            op.session = None;
            op.listed = Some(count);
        })
    };
    let ended = || alice().request(Action::Disable, "", RequestOutcome::Ok);
    assert_eq!(listed(ended(), 1).broken(), [Rule::I1]);
    assert_eq!(listed(ended(), 0).broken(), NO_VIOLATIONS);
    assert_eq!(listed(alice(), 1).broken(), NO_VIOLATIONS);
    let enabled = ended()
        .request(Action::Enable, "", RequestOutcome::Ok)
        .login("b", 0);
    assert_eq!(listed(enabled, 1).broken(), NO_VIOLATIONS);
}
