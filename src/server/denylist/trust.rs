//! Conditions for trusting the copy in Redis. Pure: no I/O, and the time is an argument.
//!
//! `docs/denylist.md` explains why these conditions are sufficient.

use std::fmt;
use std::time::Duration;

use crate::denylist::redis::{Fault, Moment, Standing};

/// Time after which every process has noticed a change in SQL, or uses SQL alone.
pub(super) const NOTICED: Duration = Duration::from_millis(1_050);

/// Record in SQL about the copy in Redis.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    /// The copy is complete if Redis has this epoch marker.
    pub(super) epoch: String,
    /// The server that was backfilled, or is being backfilled, for this epoch; empty for none.
    pub(super) filled: String,
    /// Time of the request to SQL, not of the response.
    pub(super) asked: Moment,
}

impl Witness {
    pub(super) fn is_current(&self, now: Moment) -> bool {
        self.asked.is_within_lease(now)
    }

    /// Returns whether the record names this server with its current data.
    pub(super) fn names(&self, standing: &Standing) -> bool {
        standing.inspection.identity == self.filled
    }

    fn is_complete_in(&self, standing: &Standing) -> bool {
        self.names(standing) && standing.inspection.mark.as_deref() == Some(&self.epoch)
    }
}

/// Reason why Redis is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    NotConnected,
    Fault(Fault),
    NotInspected,
    NoWitness,
    OtherServer,
    NotFilled,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("it is not connected"),
            Self::Fault(fault) => fault.fmt(f),
            Self::NotInspected => f.write_str("it has not answered for a second"),
            Self::NoWitness => f.write_str("the database has not answered for a second"),
            Self::OtherServer => f.write_str(
                "it is not the server that was backfilled, or it may have lost data since",
            ),
            Self::NotFilled => f.write_str("it is being backfilled from the database"),
        }
    }
}

/// Returns the record whose epoch marker Redis must have for a lookup to be trusted, or the reason why
/// no lookup can be.
pub(super) fn believable<'a>(
    witness: Option<&'a Witness>,
    standing: Option<&Standing>,
    now: Moment,
) -> Result<&'a Witness, Doubt> {
    let standing = standing.ok_or(Doubt::NotConnected)?;
    if let Some(fault) = standing.fault() {
        return Err(Doubt::Fault(fault));
    }
    if !standing.is_current(now) {
        return Err(Doubt::NotInspected);
    }
    let witness = witness
        .filter(|witness| witness.is_current(now))
        .ok_or(Doubt::NoWitness)?;
    if !witness.names(standing) {
        return Err(Doubt::OtherServer);
    }
    Ok(witness)
}

/// Returns whether the connected server could hold the copy but has no complete one.
pub(super) fn wants_filling(
    witness: Option<&Witness>,
    standing: Option<&Standing>,
    now: Moment,
) -> bool {
    match believable(witness, standing, now) {
        Ok(witness) => standing.is_some_and(|standing| !witness.is_complete_in(standing)),
        Err(doubt) => doubt == Doubt::OtherServer,
    }
}

/// Returns the reason why checks do not use Redis now, if any.
pub(super) fn doubt(
    witness: Option<&Witness>,
    standing: Option<&Standing>,
    now: Moment,
) -> Option<Doubt> {
    match believable(witness, standing, now) {
        Err(doubt) => Some(doubt),
        Ok(_) => wants_filling(witness, standing, now).then_some(Doubt::NotFilled),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::clock::Time;
    use crate::denylist::redis::{Inspection, LEASE, Unfit};

    struct Scene {
        witness: Witness,
        standing: Standing,
        now: Moment,
    }

    fn good() -> Scene {
        let now = Moment {
            instant: Instant::now(),
            time: Time::from_secs(1_000),
        };
        Scene {
            witness: Witness {
                epoch: "e".into(),
                filled: "server".into(),
                asked: now,
            },
            standing: Standing {
                inspection: Inspection {
                    identity: "server".into(),
                    unfit: None,
                    time: now.time,
                    mark: Some("e".into()),
                    vouched: None,
                },
                asked: now,
            },
            now,
        }
    }

    impl Scene {
        fn doubt(&self) -> Option<Doubt> {
            doubt(Some(&self.witness), Some(&self.standing), self.now)
        }
    }

    fn later(moment: Moment, by: Duration) -> Moment {
        Moment {
            instant: moment.instant + by,
            time: moment.time + by,
        }
    }

    #[test]
    fn a_filled_server_is_believed_for_one_lease() {
        let mut scene = good();

        scene.now = later(scene.now, LEASE);
        assert_eq!(scene.doubt(), None);
        scene.now = later(scene.now, Duration::from_millis(1));
        assert_eq!(scene.doubt(), Some(Doubt::NotInspected));
        scene.standing.asked = scene.now;
        assert_eq!(scene.doubt(), Some(Doubt::NoWitness));
    }

    #[test]
    fn either_clock_ends_the_lease() {
        for (instant, time) in [(1, 1_001), (1_001, 1), (1_001, -500)] {
            let mut scene = good();
            scene.now.instant += Duration::from_millis(instant);
            scene.now.time = Time::from_millis(scene.now.time.millis() + time);
            scene.standing.asked = scene.now;

            assert_eq!(
                scene.doubt(),
                Some(Doubt::NoWitness),
                "{instant} and {time} ms"
            );
        }
    }

    #[test]
    fn each_condition_alone_is_reason_to_doubt() {
        type Spoil = fn(&mut Scene);
        let spoil: [(Spoil, Doubt); 5] = [
            (
                |scene| scene.standing.inspection.unfit = Some(Unfit::Replica),
                Doubt::Fault(Fault::Unfit(Unfit::Replica)),
            ),
            (
                |scene| {
                    scene.standing.inspection.time = scene.now.time + Duration::from_millis(30_001);
                },
                Doubt::Fault(Fault::ClockAhead),
            ),
            (
                |scene| scene.standing.inspection.identity = "restarted".into(),
                Doubt::OtherServer,
            ),
            (
                |scene| scene.witness.filled = String::new(),
                Doubt::OtherServer,
            ),
            (
                |scene| scene.standing.inspection.mark = None,
                Doubt::NotFilled,
            ),
        ];

        for (spoil, expected) in spoil {
            let mut scene = good();
            spoil(&mut scene);
            assert_eq!(scene.doubt(), Some(expected));
        }
        assert_eq!(doubt(None, None, good().now), Some(Doubt::NotConnected));
    }

    #[test]
    fn a_clock_may_be_ahead_by_half_a_minute() {
        let mut scene = good();

        scene.standing.inspection.time = scene.now.time + Duration::from_secs(30);

        assert_eq!(scene.doubt(), None);
    }

    #[test]
    fn only_a_fit_server_is_filled() {
        let mut scene = good();
        let wants =
            |scene: &Scene| wants_filling(Some(&scene.witness), Some(&scene.standing), scene.now);

        assert!(!wants(&scene));
        scene.standing.inspection.mark = Some("filling:e".into());
        assert!(wants(&scene));
        scene.standing.inspection.identity = "restarted".into();
        assert!(wants(&scene));
        scene.standing.inspection.unfit = Some(Unfit::Replica);
        assert!(!wants(&scene));
    }
}
