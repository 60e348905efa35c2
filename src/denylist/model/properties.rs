//! Properties that must always hold, and states that must be reachable.

use stateright::Property;

use super::steps::{LogoutProgress, RefreshProgress};
use super::token_check::{CheckResult, ResultSource, Verdict};
use super::world::{FIRST_EPOCH, World};
use super::{DenylistModel, State, TABS_LOGOUT};

pub(super) const LOGOUT_TAKES_EFFECT: &str = "a check after a logout never admits";
pub(super) const ONLY_REVOKED_REFUSED: &str = "only revoked tokens are refused";
pub(super) const UNKNOWN_IS_UNAVAILABLE: &str =
    "a token of unknown status is neither admitted nor refused";
pub(super) const ENDED_SESSION_NOT_REFRESHED: &str =
    "a refresh after the end of its session issues no token";

pub(super) fn invariants() -> Vec<Property<DenylistModel>> {
    vec![
        Property::always(LOGOUT_TAKES_EFFECT, |_, state| {
            !is_checked(state, |result| {
                result.after_logout && result.verdict == Verdict::Admitted
            })
        }),
        Property::always(ONLY_REVOKED_REFUSED, |_, state| {
            !is_checked(state, |result| {
                !result.is_revoked && result.verdict == Verdict::Refused
            })
        }),
        Property::always(UNKNOWN_IS_UNAVAILABLE, |_, state| {
            !is_checked(state, |result| {
                result.by == ResultSource::NoSource && result.verdict != Verdict::Unavailable
            })
        }),
        Property::always(ENDED_SESSION_NOT_REFRESHED, |_, state| {
            !is_open(state, |world| {
                world.refresh == RefreshProgress::IssuedAfterEnd
            })
        }),
    ]
}

/// States that prove that the search covers the relevant cases.
pub(super) fn reachable_states(model: &DenylistModel) -> Vec<Property<DenylistModel>> {
    let mut properties = vec![
        Property::sometimes("an older access token is refused", |_, state| {
            is_checked(state, |result| {
                result.generation > 0 && result.verdict == Verdict::Refused
            })
        }),
        Property::sometimes("a new backfill is trusted", |_, state| {
            is_checked(state, |result| {
                result.by == ResultSource::Redis
                    && result.after_logout
                    && result.epoch_marker.is_complete_after(FIRST_EPOCH)
            })
        }),
        Property::sometimes("a backfill completes during a logout", |_, state| {
            is_open(state, |world| match world.logouts[TABS_LOGOUT] {
                LogoutProgress::HasRecord(row) => {
                    world.master.epoch_marker.is_complete_after(row.epoch)
                }
                _ => false,
            })
        }),
    ];
    if model.losses > 0 {
        properties.push(Property::sometimes("SQL replaces Redis", |_, state| {
            is_checked(state, |result| {
                result.by == ResultSource::Sql && result.after_logout && result.losses > 0
            })
        }));
    }
    if model.outages > 0 {
        properties.extend([
            Property::sometimes("only Redis is available", |_, state| {
                is_checked(state, |result| {
                    result.by == ResultSource::Redis && result.after_logout && !result.is_sql_up
                })
            }),
            Property::sometimes("a check is unavailable", |_, state| {
                is_checked(state, |result| result.verdict == Verdict::Unavailable)
            }),
        ]);
    }
    properties
}

fn is_open(state: &State, holds: impl Fn(&World) -> bool) -> bool {
    matches!(state, State::Open(world) if holds(world))
}

fn is_checked(state: &State, holds: impl Fn(&CheckResult) -> bool) -> bool {
    matches!(state, State::Checked(result) if holds(result))
}
