//! Histories that break what is promised of the service, I9 to I14, and twins that do not.

use super::*;
use crate::history::Span;

#[test]
fn i9_an_answer_out_of_nothing() {
    let dark = || {
        alice()
            .fault(0, 9 * SECOND, Some(5 * SECOND))
            .wait(3 * SECOND)
    };
    assert_eq!(dark().check("a", Outcome::Ok).broken(), [Rule::I9]);
    assert_eq!(dark().no_login(0).broken(), [Rule::I6, Rule::I9]);
    assert_eq!(dark().check("a", unknown()).broken(), NONE);
    let expired = dark().check("a", no("token_expired"));
    assert_eq!(expired.but(|op| op.expires = Some(SECOND)).broken(), NONE);
    let light = dark().wait(2 * SECOND).check("a", Outcome::Ok);
    assert_eq!(light.broken(), NONE);
}

#[test]
fn i10_an_expired_token() {
    let expires = |story: Story| story.but(|op| op.expires = Some(SECOND));
    let late = || alice().wait(3 * SECOND);
    assert_eq!(
        expires(late().check("a", Outcome::Ok)).broken(),
        [Rule::I10]
    );
    assert_eq!(
        expires(late().check("a", no("token_expired"))).broken(),
        NONE
    );
    let young = alice()
        .check("a", no("token_expired"))
        .but(|op| op.expires = Some(9 * SECOND));
    assert_eq!(young.broken(), [Rule::I4]);
    // Another process issued it for longer than this one accepts.
    let aged = |wait| {
        let story = alice().wait(wait).check("a", no("token_expired"));
        story.but(|op| {
            op.issued = Some(Span {
                start: 0,
                end: 1000,
            });
            op.expires = Some(200 * SECOND);
        })
    };
    assert_eq!(aged(12 * SECOND).broken(), NONE);
    assert_eq!(aged(2 * SECOND).broken(), [Rule::I4]);
}

#[test]
fn i11_too_many_guesses() {
    let guess = |story: Story| {
        story.no_login(7).but(|op| {
            op.who = Who::Guesser;
            op.user = "bob".to_owned();
        })
    };
    assert_eq!(guess(guess(alice())).broken(), NONE);
    assert_eq!(guess(guess(guess(alice()))).broken(), [Rule::I11]);
}

#[test]
fn i12_failures_apart_from_faults() {
    assert_eq!(alice().check("a", failed()).broken(), [Rule::I12]);
    let excused = alice()
        .fault(0, SECOND, None)
        .wait(2 * SECOND)
        .check("a", failed());
    assert_eq!(excused.broken(), NONE);
    let too_late = alice()
        .fault(0, SECOND, None)
        .wait(4 * SECOND)
        .check("a", failed());
    assert_eq!(too_late.broken(), [Rule::I12]);
}

#[test]
fn i12_a_failure_says_what_and_when() {
    for (code, broken) in [
        ("unavailable", vec![]),
        ("internal", vec![Rule::I12]),
        ("no_retry_after", vec![Rule::I12]),
    ] {
        let code = code.to_owned();
        let during = alice().fault(0, 9 * SECOND, None);
        let story = during.check("a", Outcome::Unknown { code });
        assert_eq!(story.broken(), broken);
    }
}

#[test]
fn i12_whom_a_fault_spares_is_served() {
    let during = |spares| {
        let mut story = alice().fault(0, 9 * SECOND, None);
        if let Some(Line::Fault(fault)) = story.lines.last_mut() {
            fault.spares = spares;
        }
        story
    };
    let login = || Act::LogIn { password: 0 };
    let flood = || during(Spares::Sessions);
    assert_eq!(flood().does(login(), "b", failed()).broken(), NONE);
    assert_eq!(flood().check("a", failed()).broken(), [Rule::I12]);
    let jump = || during(Spares::Everybody);
    assert_eq!(jump().does(login(), "b", failed()).broken(), [Rule::I12]);
    assert_eq!(jump().check("a", failed()).broken(), [Rule::I12]);
}

#[test]
fn i12_a_flood_is_refused_or_put_off() {
    let answered = |outcome| {
        let story = alice().does(Act::LogIn { password: 0 }, "", outcome);
        let story = story.but(|op| {
            op.who = Who::Flooder;
            op.user = "nobody".to_owned();
            op.session = None;
        });
        story.broken()
    };
    assert_eq!(answered(no("invalid_credentials")), NONE);
    assert_eq!(answered(failed()), NONE);
    assert_eq!(answered(no("session_revoked")), [Rule::I12]);
    assert_eq!(answered(Outcome::Ok), [Rule::I12]);
}

#[test]
fn i13_a_secret_in_a_log() {
    let mut story = alice();
    story.lines.push(Line::Leak(Leak {
        place: "log".to_owned(),
        what: "a password".to_owned(),
    }));
    assert_eq!(story.broken(), [Rule::I13]);
}

#[test]
fn i14_a_run_in_which_nothing_happened() {
    let mut lines = vec![head()];
    if let Line::Head(head) = &mut lines[0] {
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
