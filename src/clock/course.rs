//! What time it is when the system's clock is set.
//!
//! Pure: both clocks are arguments.

use std::time::Duration;

/// Below this it is the ordinary work of NTP, and followed at once.
const TOLERANCE: Duration = Duration::from_secs(1);

/// How long the system's clock has to stay where it was set until it is believed.
///
/// Long enough that a clock which is set by mistake, and set right again, ends no session and lets no
/// expired token in; short enough that a machine which was paused with its programs, and learns that from
/// its clock alone, is not behind for long.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// What two clocks say at one moment, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// The one that nobody can set, since any moment.
    pub steady: i64,
    /// The one that people and NTP set, since the unix epoch.
    pub system: i64,
}

/// The course that our time takes: by the steady clock, and by the system's as far as that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Course {
    /// How far our time is ahead of the steady clock.
    ahead: i64,
    /// How the system's clock was set, while that is not believed.
    jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    /// How far the system's clock is ahead of our time.
    by: i64,
    /// Since when, by the steady clock.
    since: i64,
}

/// What came of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing new.
    Nothing,
    /// The system's clock was set by so many milliseconds, which is not believed yet.
    Jump(i64),
    /// The system's clock was set right again.
    Return,
    /// The system's clock stayed where it was set; our time has moved by so many milliseconds.
    Move(i64),
}

impl Course {
    /// Begins where the system's clock is.
    pub(super) const fn begin(at: Reading) -> Self {
        Self {
            ahead: at.system - at.steady,
            jump: None,
        }
    }

    /// Returns our time, since the unix epoch.
    pub(super) const fn time(&self, at: Reading) -> i64 {
        at.steady + self.ahead
    }

    /// Returns how far the system's clock is ahead of the steady one; `None` while it is not believed.
    pub(super) const fn agreed(&self) -> Option<i64> {
        match self.jump {
            None => Some(self.ahead),
            Some(_) => None,
        }
    }

    /// Goes on by what the clocks say now. The system's clock is believed after `patience`.
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
    /// What the system's clock said when the steady one said nothing.
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

    /// Reads the clocks, and returns what was seen and how far our time is from the untouched one.
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
            // The same again is another jump, not the end of this one.
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
        // Each is small, together they are not.
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
        // NTP may pull at it meanwhile.
        assert_eq!(
            read(&mut course, 2 * MINUTE - 1, 2 * DAY + 500),
            (Seen::Move(2 * DAY + 500), 2 * DAY + 500)
        );
    }

    proptest! {
        /// However the clock is set, our time leaves the steady clock only for a place where the system's
        /// clock has been for a minute, or by a second at a time.
        #[test]
        fn only_what_stays_moves_our_time(
            steps in prop::collection::vec((1..40_000_i64, prop::sample::select(vec![0, 700, DAY, -DAY])), 1..60)
        ) {
            let mut course = course();
            let (mut steady, mut ours, mut set, mut since) = (0, 0, 0, 0);
            for (pause, to) in steps {
                steady += pause;
                // A second more or less is the same place.
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
