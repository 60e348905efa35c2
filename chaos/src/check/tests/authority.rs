//! Histories that break what is promised of authority, I15 and I17, and twins that do not.

use super::*;
use crate::history::Span;

fn set_roles(roles: &[&str]) -> Act {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Act::SetRoles { roles }
}

/// An administrator replaces the roles of alice.
fn given(story: Story, roles: &[&str], outcome: Outcome) -> Story {
    let story = story.does(set_roles(roles), "", outcome);
    story.but(|op| op.session = None)
}

/// Presents an access token that was issued between these times.
fn with_token(story: Story, start: u64, end: u64) -> Story {
    story.but(|op| op.issued = Some(Span { start, end }))
}

fn says(story: Story, roles: &[&str]) -> Story {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    story.but(|op| op.roles = Some(roles))
}

fn deputy() -> Story {
    given(alice(), &["admin"], Outcome::Ok)
}

fn demoted() -> Story {
    given(deputy(), &["reader"], Outcome::Ok)
}

fn govern(story: Story, outcome: Outcome) -> Story {
    story.does(Act::Govern, "a", outcome)
}

#[test]
fn i15_a_demoted_administrator_governs() {
    assert_eq!(govern(deputy(), Outcome::Ok).broken(), NONE);
    assert_eq!(govern(demoted(), Outcome::Ok).broken(), [Rule::I15]);
    let refused = govern(demoted(), no("insufficient_scope"));
    assert_eq!(refused.broken(), NONE);
    let asked = || given(deputy(), &[], unknown());
    assert_eq!(govern(asked(), Outcome::Ok).broken(), NONE);
    assert_eq!(govern(asked(), no("insufficient_scope")).broken(), NONE);
    // What was not acknowledged may come last, but not long after the change that followed it.
    let followed = || given(asked(), &["admin"], Outcome::Ok);
    let refused = |story| govern(story, no("insufficient_scope")).broken();
    assert_eq!(refused(followed()), NONE);
    assert_eq!(refused(followed().wait(20 * SECOND)), [Rule::I4]);
}

#[test]
fn i15_a_request_under_way_at_the_demotion_may_be_served() {
    let story = demoted();
    let end = story.now + 500;
    let story = govern(story, Outcome::Ok).but(|op| op.start = end - 1);
    assert_eq!(story.broken(), NONE);
}

#[test]
fn i15_a_demoted_administrator_takes_the_role_back() {
    let take = |story: Story, outcome| {
        let story = story.does(set_roles(&["admin"]), "a", outcome);
        with_token(story, 1, 2).but(|op| op.who = Who::Prober)
    };
    assert_eq!(take(demoted(), Outcome::Ok).broken(), [Rule::I15]);
    assert_eq!(take(demoted(), no("token_outdated")).broken(), NONE);
}

#[test]
fn i15_roles_of_the_time_before() {
    let verify =
        |story: Story, roles: &[&str]| says(story.does(Act::Verify, "a", Outcome::Ok), roles);
    assert_eq!(verify(deputy(), &["admin"]).broken(), NONE);
    assert_eq!(verify(demoted(), &["reader"]).broken(), NONE);
    assert_eq!(verify(demoted(), &["admin"]).broken(), [Rule::I15]);
    assert_eq!(verify(demoted(), &[]).broken(), [Rule::I15]);
    let refresh = |story: Story, roles: &[&str]| says(story.refresh("a", 0, 1), roles);
    assert_eq!(refresh(demoted(), &["reader"]).broken(), NONE);
    assert_eq!(refresh(demoted(), &["admin"]).broken(), [Rule::I15]);
    let login = |roles: &[&str]| says(demoted().login("b", 0), roles);
    assert_eq!(login(&["reader"]).broken(), NONE);
    assert_eq!(login(&["admin"]).broken(), [Rule::I15]);
}

#[test]
fn i15_a_token_from_before_the_change_is_accepted() {
    let before = |outcome| with_token(demoted().check("a", outcome), 1, 2);
    assert_eq!(before(Outcome::Ok).broken(), [Rule::I15]);
    assert_eq!(before(no("token_outdated")).broken(), NONE);

    let changed = demoted();
    let (start, end) = (changed.now + 600, changed.now + 700);
    let after = |outcome| with_token(demoted().wait(1000).check("a", outcome), start, end);
    assert_eq!(after(Outcome::Ok).broken(), NONE);
    assert_eq!(after(no("token_outdated")).broken(), [Rule::I4]);

    let again = given(deputy(), &["admin"], Outcome::Ok);
    let (start, end) = (again.now - 400, again.now - 300);
    let unchanged = with_token(again.check("a", Outcome::Ok), start, end);
    assert_eq!(unchanged.broken(), NONE);
}

#[test]
fn i15_a_changed_password_outdates_the_tokens_of_its_own_session() {
    let changed = || alice().does(Act::ChangePassword { password: 1 }, "a", Outcome::Ok);
    let check = |outcome| with_token(changed().check("a", outcome), 1, 2);
    assert_eq!(check(Outcome::Ok).broken(), [Rule::I15]);
    assert_eq!(check(no("token_outdated")).broken(), NONE);
    let logout = with_token(changed().does(Act::LogOut, "a", Outcome::Ok), 1, 2);
    assert_eq!(logout.broken(), NONE);
}

#[test]
fn i17_the_last_administrators_disable_each_other() {
    let disable = |story: Story, name: &str, outcome: Outcome| {
        let story = story.does(Act::Disable, "", outcome);
        let name = name.to_owned();
        story.but(|op| {
            op.session = None;
            op.user = name;
        })
    };
    let alone = || disable(deputy(), "root", Outcome::Ok);
    assert_eq!(alone().broken(), NONE);
    let both = disable(alone(), "alice", Outcome::Ok);
    assert_eq!(both.broken(), [Rule::I17]);
    let refused = disable(alone(), "alice", no("conflict"));
    assert_eq!(refused.broken(), NONE);
    let demoted = given(alone(), &[], Outcome::Ok);
    assert_eq!(demoted.broken(), [Rule::I17]);
    let perhaps = disable(alone(), "alice", unknown());
    assert_eq!(perhaps.broken(), NONE);
}
