//! Histories that break what is promised of authority, I15 and I17, and twins that do not.

use super::*;
use crate::history::TimeSpan;

fn set_roles(roles: &[&str]) -> Action {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Action::SetRoles { roles }
}

/// An administrator replaces the roles of alice.
fn given(story: HistoryBuilder, roles: &[&str], outcome: RequestOutcome) -> HistoryBuilder {
    let story = story.request(set_roles(roles), "", outcome);
    story.change_last(|op| op.session = None)
}

/// Presents an access token that was issued between these times.
fn with_token(story: HistoryBuilder, start: u64, end: u64) -> HistoryBuilder {
    story.change_last(|op| op.issued = Some(TimeSpan { start, end }))
}

fn says(story: HistoryBuilder, roles: &[&str]) -> HistoryBuilder {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    story.change_last(|op| op.roles = Some(roles))
}

fn deputy() -> HistoryBuilder {
    given(alice(), &["admin"], RequestOutcome::Ok)
}

fn demoted() -> HistoryBuilder {
    given(deputy(), &["reader"], RequestOutcome::Ok)
}

fn govern(story: HistoryBuilder, outcome: RequestOutcome) -> HistoryBuilder {
    story.request(Action::Govern, "a", outcome)
}

#[test]
fn i15_an_action_of_a_demoted_administrator_is_found() {
    assert_eq!(govern(deputy(), RequestOutcome::Ok).broken(), NO_VIOLATIONS);
    assert_eq!(govern(demoted(), RequestOutcome::Ok).broken(), [Rule::I15]);
    let refused = govern(demoted(), no("insufficient_scope"));
    assert_eq!(refused.broken(), NO_VIOLATIONS);
    let asked = || given(deputy(), &[], unknown());
    assert_eq!(govern(asked(), RequestOutcome::Ok).broken(), NO_VIOLATIONS);
    assert_eq!(
        govern(asked(), no("insufficient_scope")).broken(),
        NO_VIOLATIONS
    );
    // What was not acknowledged may come last, but not long after the change that followed it.
    let followed = || given(asked(), &["admin"], RequestOutcome::Ok);
    let refused = |story| govern(story, no("insufficient_scope")).broken();
    assert_eq!(refused(followed()), NO_VIOLATIONS);
    assert_eq!(refused(followed().wait(20 * SECOND)), [Rule::I4]);
}

#[test]
fn i15_a_request_in_flight_at_the_demotion_may_succeed() {
    let story = demoted();
    let end = story.now + 500;
    let story = govern(story, RequestOutcome::Ok).change_last(|op| op.start = end - 1);
    assert_eq!(story.broken(), NO_VIOLATIONS);
}

#[test]
fn i15_a_demoted_administrator_who_regains_the_role_is_found() {
    let take = |story: HistoryBuilder, outcome| {
        let story = story.request(set_roles(&["admin"]), "a", outcome);
        with_token(story, 1, 2).change_last(|op| op.sender = Sender::Prober)
    };
    assert_eq!(take(demoted(), RequestOutcome::Ok).broken(), [Rule::I15]);
    assert_eq!(
        take(demoted(), no("token_outdated")).broken(),
        NO_VIOLATIONS
    );
}

#[test]
fn i15_a_new_token_with_old_roles_is_found() {
    let verify = |story: HistoryBuilder, roles: &[&str]| {
        says(
            story.request(Action::Verify, "a", RequestOutcome::Ok),
            roles,
        )
    };
    assert_eq!(verify(deputy(), &["admin"]).broken(), NO_VIOLATIONS);
    assert_eq!(verify(demoted(), &["reader"]).broken(), NO_VIOLATIONS);
    assert_eq!(verify(demoted(), &["admin"]).broken(), [Rule::I15]);
    assert_eq!(verify(demoted(), &[]).broken(), [Rule::I15]);
    let refresh = |story: HistoryBuilder, roles: &[&str]| says(story.refresh("a", 0, 1), roles);
    assert_eq!(refresh(demoted(), &["reader"]).broken(), NO_VIOLATIONS);
    assert_eq!(refresh(demoted(), &["admin"]).broken(), [Rule::I15]);
    let login = |roles: &[&str]| says(demoted().login("b", 0), roles);
    assert_eq!(login(&["reader"]).broken(), NO_VIOLATIONS);
    assert_eq!(login(&["admin"]).broken(), [Rule::I15]);
}

#[test]
fn i15_an_accepted_outdated_token_is_found() {
    let before = |outcome| with_token(demoted().check("a", outcome), 1, 2);
    assert_eq!(before(RequestOutcome::Ok).broken(), [Rule::I15]);
    assert_eq!(before(no("token_outdated")).broken(), NO_VIOLATIONS);

    let changed = demoted();
    let (start, end) = (changed.now + 600, changed.now + 700);
    let after = |outcome| with_token(demoted().wait(1000).check("a", outcome), start, end);
    assert_eq!(after(RequestOutcome::Ok).broken(), NO_VIOLATIONS);
    assert_eq!(after(no("token_outdated")).broken(), [Rule::I4]);

    let again = given(deputy(), &["admin"], RequestOutcome::Ok);
    let (start, end) = (again.now - 400, again.now - 300);
    let unchanged = with_token(again.check("a", RequestOutcome::Ok), start, end);
    assert_eq!(unchanged.broken(), NO_VIOLATIONS);
}

#[test]
fn i15_a_changed_password_outdates_the_tokens_of_its_own_session() {
    let changed = || {
        alice().request(
            Action::ChangePassword { password: 1 },
            "a",
            RequestOutcome::Ok,
        )
    };
    let check = |outcome| with_token(changed().check("a", outcome), 1, 2);
    assert_eq!(check(RequestOutcome::Ok).broken(), [Rule::I15]);
    assert_eq!(check(no("token_outdated")).broken(), NO_VIOLATIONS);
    let logout = with_token(
        changed().request(Action::LogOut, "a", RequestOutcome::Ok),
        1,
        2,
    );
    assert_eq!(logout.broken(), NO_VIOLATIONS);
}

#[test]
fn i17_a_service_without_administrators_is_found() {
    let disable = |story: HistoryBuilder, name: &str, outcome: RequestOutcome| {
        let story = story.request(Action::Disable, "", outcome);
        let name = name.to_owned();
        story.change_last(|op| {
            op.session = None;
            op.user = name;
        })
    };
    let alone = || disable(deputy(), "root", RequestOutcome::Ok);
    assert_eq!(alone().broken(), NO_VIOLATIONS);
    let both = disable(alone(), "alice", RequestOutcome::Ok);
    assert_eq!(both.broken(), [Rule::I17]);
    let refused = disable(alone(), "alice", no("conflict"));
    assert_eq!(refused.broken(), NO_VIOLATIONS);
    let demoted = given(alone(), &[], RequestOutcome::Ok);
    assert_eq!(demoted.broken(), [Rule::I17]);
    let perhaps = disable(alone(), "alice", unknown());
    assert_eq!(perhaps.broken(), NO_VIOLATIONS);
}
