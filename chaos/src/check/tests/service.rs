//! Histories that break what is promised of the service, I9 to I14, and twins that do not.

use super::*;
use crate::history::TimeSpan;

#[test]
fn i9_a_success_during_a_blackout_is_found() {
    let dark = || {
        alice()
            .fault(0, 9 * SECOND, Some(5 * SECOND))
            .wait(3 * SECOND)
    };
    assert_eq!(dark().check("a", RequestOutcome::Ok).broken(), [Rule::I9]);
    assert_eq!(dark().refused_login(0).broken(), [Rule::I6, Rule::I9]);
    assert_eq!(dark().check("a", unknown()).broken(), NO_VIOLATIONS);
    let expired = dark().check("a", no("token_expired"));
    assert_eq!(
        expired.change_last(|op| op.expires = Some(SECOND)).broken(),
        NO_VIOLATIONS
    );
    let light = dark().wait(2 * SECOND).check("a", RequestOutcome::Ok);
    assert_eq!(light.broken(), NO_VIOLATIONS);
}

#[test]
fn i10_an_accepted_expired_token_is_found() {
    let expires = |story: HistoryBuilder| story.change_last(|op| op.expires = Some(SECOND));
    let late = || alice().wait(3 * SECOND);
    assert_eq!(
        expires(late().check("a", RequestOutcome::Ok)).broken(),
        [Rule::I10]
    );
    assert_eq!(
        expires(late().check("a", no("token_expired"))).broken(),
        NO_VIOLATIONS
    );
    let young = alice()
        .check("a", no("token_expired"))
        .change_last(|op| op.expires = Some(9 * SECOND));
    assert_eq!(young.broken(), [Rule::I4]);
    // Another process issued it for longer than this one accepts.
    let aged = |wait| {
        let story = alice().wait(wait).check("a", no("token_expired"));
        story.change_last(|op| {
            op.issued = Some(TimeSpan {
                start: 0,
                end: 1000,
            });
            op.expires = Some(200 * SECOND);
        })
    };
    assert_eq!(aged(12 * SECOND).broken(), NO_VIOLATIONS);
    assert_eq!(aged(2 * SECOND).broken(), [Rule::I4]);
}

#[test]
fn i11_too_many_accepted_guesses_are_found() {
    let guess = |story: HistoryBuilder| {
        story.refused_login(7).change_last(|op| {
            op.sender = Sender::Guesser;
            op.user = "bob".to_owned();
        })
    };
    assert_eq!(guess(guess(alice())).broken(), NO_VIOLATIONS);
    assert_eq!(guess(guess(guess(alice()))).broken(), [Rule::I11]);
}

#[test]
fn i12_failures_without_a_fault_are_found() {
    assert_eq!(alice().check("a", failed()).broken(), [Rule::I12]);
    let excused = alice()
        .fault(0, SECOND, None)
        .wait(2 * SECOND)
        .check("a", failed());
    assert_eq!(excused.broken(), NO_VIOLATIONS);
    let too_late = alice()
        .fault(0, SECOND, None)
        .wait(4 * SECOND)
        .check("a", failed());
    assert_eq!(too_late.broken(), [Rule::I12]);
}

#[test]
fn i12_a_failure_needs_a_code_and_a_retry_time() {
    for (code, broken) in [
        ("unavailable", vec![]),
        ("internal", vec![Rule::I12]),
        ("no_retry_after", vec![Rule::I12]),
    ] {
        let code = code.to_owned();
        let during = alice().fault(0, 9 * SECOND, None);
        let story = during.check("a", RequestOutcome::Unknown { code });
        assert_eq!(story.broken(), broken);
    }
}

#[test]
fn i12_clients_that_a_fault_does_not_affect_are_served() {
    let during = |serves| {
        let mut story = alice().fault(0, 9 * SECOND, None);
        if let Some(HistoryLine::InjectedFault(fault)) = story.lines.last_mut() {
            fault.serves = serves;
        }
        story
    };
    let login = || Action::LogIn { password: 0 };
    let flood = || during(ServedClients::Sessions);
    assert_eq!(
        flood().request(login(), "b", failed()).broken(),
        NO_VIOLATIONS
    );
    assert_eq!(flood().check("a", failed()).broken(), [Rule::I12]);
    let jump = || during(ServedClients::Everybody);
    assert_eq!(jump().request(login(), "b", failed()).broken(), [Rule::I12]);
    assert_eq!(jump().check("a", failed()).broken(), [Rule::I12]);
}

#[test]
fn i12_a_flood_gets_401_429_or_503() {
    let answered = |outcome| {
        let story = alice().request(Action::LogIn { password: 0 }, "", outcome);
        let story = story.change_last(|op| {
            op.sender = Sender::Flooder;
            op.user = "nobody".to_owned();
            op.session = None;
        });
        story.broken()
    };
    assert_eq!(answered(no("invalid_credentials")), NO_VIOLATIONS);
    assert_eq!(answered(failed()), NO_VIOLATIONS);
    assert_eq!(answered(no("session_revoked")), [Rule::I12]);
    assert_eq!(answered(RequestOutcome::Ok), [Rule::I12]);
}

#[test]
fn i13_a_logged_secret_is_found() {
    let mut story = alice();
    story.lines.push(HistoryLine::LeakedSecret(LeakedSecret {
        place: "log".to_owned(),
        what: "a password".to_owned(),
    }));
    assert_eq!(story.broken(), [Rule::I13]);
}

#[test]
fn i14_a_run_that_proves_nothing_is_found() {
    let mut lines = vec![head()];
    if let HistoryLine::RunSettings(head) = &mut lines[0] {
        head.seconds = 60;
    }
    let report = check(&History::new(lines).unwrap());
    let rules: Vec<Rule> = report
        .violations
        .iter()
        .map(|violation| violation.rule)
        .collect();
    assert_eq!(rules, vec![Rule::I14; 12]);
}
