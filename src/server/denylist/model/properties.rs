//! Properties that must always hold, and states that must be reachable.

use stateright::Property;

use super::check::{Answer, Source, Verdict};
use super::steps::{Logout, Refresh};
use super::world::{FIRST, World};
use super::{Denials, State, TABS};

pub(super) const FELT: &str = "a check after a logout never admits";
pub(super) const REVOKED: &str = "only revoked tokens are refused";
pub(super) const UNKNOWN: &str = "a token of unknown status is neither admitted nor refused";
pub(super) const ENDED: &str = "a refresh after the end of its session issues no token";

pub(super) fn always() -> Vec<Property<Denials>> {
    vec![
        Property::always(FELT, |_, state| {
            !answered(state, |answer| {
                answer.after_logout && answer.verdict == Verdict::Admitted
            })
        }),
        Property::always(REVOKED, |_, state| {
            !answered(state, |answer| {
                !answer.is_revoked && answer.verdict == Verdict::Refused
            })
        }),
        Property::always(UNKNOWN, |_, state| {
            !answered(state, |answer| {
                answer.by == Source::Nobody && answer.verdict != Verdict::Unavailable
            })
        }),
        Property::always(ENDED, |_, state| {
            !open(state, |world| world.refresh == Refresh::Wrong)
        }),
    ]
}

/// States that prove that the search covers the relevant cases.
pub(super) fn sometimes(model: &Denials) -> Vec<Property<Denials>> {
    let mut properties = vec![
        Property::sometimes("an older access token is refused", |_, state| {
            answered(state, |answer| {
                answer.generation > 0 && answer.verdict == Verdict::Refused
            })
        }),
        Property::sometimes("a new backfill is trusted", |_, state| {
            answered(state, |answer| {
                answer.by == Source::Redis
                    && answer.after_logout
                    && answer.mark.is_complete_after(FIRST)
            })
        }),
        Property::sometimes("a backfill completes during a logout", |_, state| {
            open(state, |world| match world.logouts[TABS] {
                Logout::Knows(row) => world.master.mark.is_complete_after(row.epoch),
                _ => false,
            })
        }),
    ];
    if model.losses > 0 {
        properties.push(Property::sometimes("SQL replaces Redis", |_, state| {
            answered(state, |answer| {
                answer.by == Source::Sql && answer.after_logout && answer.losses > 0
            })
        }));
    }
    if model.outages > 0 {
        properties.extend([
            Property::sometimes("only Redis is available", |_, state| {
                answered(state, |answer| {
                    answer.by == Source::Redis && answer.after_logout && !answer.is_sql_up
                })
            }),
            Property::sometimes("a check is unavailable", |_, state| {
                answered(state, |answer| answer.verdict == Verdict::Unavailable)
            }),
        ]);
    }
    properties
}

fn open(state: &State, holds: impl Fn(&World) -> bool) -> bool {
    matches!(state, State::Open(world) if holds(world))
}

fn answered(state: &State, holds: impl Fn(&Answer) -> bool) -> bool {
    matches!(state, State::Answered(answer) if holds(answer))
}
