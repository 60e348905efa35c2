//! Filter for steps of the system's clock (RFC 5905 calls a sudden change of the clock a step).
//!
//! Pure: both clocks are arguments.

use std::time::Duration;

/// Smaller changes are normal corrections by NTP and take effect at once.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Time for which a step must persist before it takes effect.
///
/// Long enough that a clock which is set by mistake and then corrected ends no session and lets no
/// expired token in. Short enough that a machine which was paused together with its programs, and
/// notices that only by its clock, does not lag for long.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Values of the two clocks at one moment, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Monotonic clock, which cannot be set, since an arbitrary moment.
    pub steady: i64,
    /// System's clock, which users and NTP set, since the unix epoch.
    pub system: i64,
}

/// Filtered time: kept by the monotonic clock, and adjusted to the system's clock when a step is
/// confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    /// Offset of the filtered time from the monotonic clock.
    ahead: i64,
    /// Step of the system's clock that is not confirmed yet.
    jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    /// Offset of the system's clock from the filtered time.
    by: i64,
    /// Start of the step, by the monotonic clock.
    since: i64,
}

/// Result of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// No change.
    Nothing,
    /// The system's clock was stepped by this many milliseconds; the step is not confirmed yet.
    Jump(i64),
    /// The step was reverted.
    Return,
    /// The step persisted; the filtered time changed by this many milliseconds.
    Move(i64),
}

impl Course {
    /// Starts with the time of the system's clock.
    pub(super) const fn begin(at: Reading) -> Self {
        Self {
            ahead: at.system - at.steady,
            jump: None,
        }
    }

    /// Returns the filtered time, since the unix epoch.
    pub(super) const fn time(&self, at: Reading) -> i64 {
        at.steady + self.ahead
    }

    /// Returns the offset of the system's clock from the monotonic one; `None` while a step is
    /// unconfirmed.
    pub(super) const fn agreed(&self) -> Option<i64> {
        match self.jump {
            None => Some(self.ahead),
            Some(_) => None,
        }
    }

    /// Updates the filtered time with a reading. A step is confirmed after `patience`.
    pub(super) fn follow(&mut self, at: Reading, patience: Duration) -> Seen {
        let by = at.system - self.time(at);
        if by.unsigned_abs() <= millis(TOLERANCE) {
            self.ahead += by;
            return match self.jump.take() {
                Some(_) => Seen::Return,
                None => Seen::Nothing,
            };
        }
        let known = self
            .jump
            .filter(|jump| by.abs_diff(jump.by) <= millis(TOLERANCE));
        let since = known.map_or(at.steady, |jump| jump.since);
        if at.steady.abs_diff(since) >= millis(patience) {
            self.ahead += by;
            self.jump = None;
            return Seen::Move(by);
        }
        self.jump = Some(Jump { by, since });
        match known {
            Some(_) => Seen::Nothing,
            None => Seen::Jump(by),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;
    const MINUTE: i64 = 60_000;
    /// Value of the system's clock when the monotonic one is zero.
    const EPOCH: i64 = 1_800_000_000_000;

    fn at(steady: i64, set: i64) -> Reading {
        Reading {
            steady,
            system: EPOCH + steady + set,
        }
    }

    fn course() -> Course {
        Course::begin(at(0, 0))
    }

    /// Reads the clocks, and returns the result and the offset of the filtered time from an undisturbed
    /// clock.
    fn read(course: &mut Course, steady: i64, set: i64) -> (Seen, i64) {
        let reading = at(steady, set);
        let seen = course.follow(reading, PATIENCE);
        (seen, course.time(reading) - EPOCH - steady)
    }

    #[test]
    fn a_clock_that_is_set_right_within_a_minute_was_never_wrong() {
        for by in [DAY, -DAY, DAY / 24, -DAY / 24, 2_000, -2_000] {
            let mut course = course();
            assert_eq!(read(&mut course, 10, by), (Seen::Jump(by), 0));
            assert_eq!(course.agreed(), None);
            assert_eq!(read(&mut course, MINUTE / 2, by), (Seen::Nothing, 0));
            assert_eq!(read(&mut course, MINUTE, by), (Seen::Nothing, 0));
            assert_eq!(read(&mut course, MINUTE + 5, 0), (Seen::Return, 0));
            assert_eq!(course.agreed(), Some(EPOCH));
            // The same step again is a new one, not the continuation of the first.
            assert_eq!(read(&mut course, 9 * MINUTE, by), (Seen::Jump(by), 0));
        }
    }

    #[test]
    fn a_clock_that_stays_is_followed() {
        for by in [DAY, -DAY] {
            let mut course = course();
            assert_eq!(read(&mut course, 10, by), (Seen::Jump(by), 0));
            assert_eq!(read(&mut course, MINUTE + 10, by), (Seen::Move(by), by));
            assert_eq!(read(&mut course, MINUTE + 11, by), (Seen::Nothing, by));
            assert_eq!(course.agreed(), Some(EPOCH + by));
        }
    }

    #[test]
    fn what_ntp_does_is_followed_at_once() {
        let mut course = course();
        assert_eq!(read(&mut course, 10, 900), (Seen::Nothing, 900));
        // Each change is small, their sum is not.
        assert_eq!(read(&mut course, 20, 1_800), (Seen::Nothing, 1_800));
        assert_eq!(read(&mut course, 30, 1_000), (Seen::Nothing, 1_000));
    }

    #[test]
    fn a_clock_that_is_set_again_has_to_stay_again() {
        let mut course = course();
        assert_eq!(read(&mut course, 0, DAY), (Seen::Jump(DAY), 0));
        assert_eq!(
            read(&mut course, MINUTE - 1, 2 * DAY),
            (Seen::Jump(2 * DAY), 0)
        );
        assert_eq!(
            read(&mut course, 2 * MINUTE - 2, 2 * DAY),
            (Seen::Nothing, 0)
        );
        // NTP may correct the clock in the meantime.
        assert_eq!(
            read(&mut course, 2 * MINUTE - 1, 2 * DAY + 500),
            (Seen::Move(2 * DAY + 500), 2 * DAY + 500)
        );
    }

    proptest! {
        /// However the clock is set, the filtered time moves only to a value that the system's clock has
        /// had for a minute, or by at most a second at a time.
        #[test]
        fn only_what_stays_moves_our_time(
            steps in prop::collection::vec((1..40_000_i64, prop::sample::select(vec![0, 700, DAY, -DAY])), 1..60)
        ) {
            let mut course = course();
            let (mut steady, mut ours, mut set, mut since) = (0, 0, 0, 0);
            for (pause, to) in steps {
                steady += pause;
                // A difference of a second counts as the same value.
                if (to - set).abs() > 1_000 {
                    since = steady;
                }
                set = to;
                let (_, next) = read(&mut course, steady, set);
                prop_assert!(next == ours || (next - ours).abs() <= 1_000 || steady - since >= MINUTE);
                prop_assert!(next == ours || next == set);
                prop_assert!(steady - since < MINUTE || next == set, "{} {}", next, set);
                ours = next;
            }
        }
    }
}
