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
pub(super) const CONFIRM_AFTER: Duration = Duration::from_mins(1);

/// Values of the two clocks at one moment, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    /// Monotonic clock, which cannot be set, since an arbitrary moment.
    pub monotonic: i64,
    /// System's clock, which users and NTP set, since the unix epoch.
    pub system: i64,
}

/// Filtered time: kept by the monotonic clock, and adjusted to the system's clock when a step is
/// confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepFilter {
    /// Offset of the filtered time from the monotonic clock.
    offset: i64,
    /// Step of the system's clock that is not confirmed yet.
    pending: Option<PendingStep>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PendingStep {
    /// Offset of the system's clock from the filtered time.
    by: i64,
    /// Start of the step, by the monotonic clock.
    since: i64,
}

/// Result of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepEvent {
    /// No change.
    None,
    /// The system's clock was stepped by this many milliseconds; the step is not confirmed yet.
    Detected(i64),
    /// The step was reverted.
    Reverted,
    /// The step persisted; the filtered time changed by this many milliseconds.
    Confirmed(i64),
}

impl StepFilter {
    /// Starts with the time of the system's clock.
    pub(super) const fn begin(at: ClockReading) -> Self {
        Self {
            offset: at.system - at.monotonic,
            pending: None,
        }
    }

    /// Returns the filtered time, since the unix epoch.
    pub(super) const fn time(&self, at: ClockReading) -> i64 {
        at.monotonic + self.offset
    }

    /// Returns the offset of the system's clock from the monotonic one; `None` while a step is
    /// unconfirmed.
    pub(super) const fn confirmed_offset(&self) -> Option<i64> {
        match self.pending {
            None => Some(self.offset),
            Some(_) => None,
        }
    }

    /// Updates the filtered time with a reading. A step is confirmed after `confirm_after`.
    pub(super) fn observe(&mut self, at: ClockReading, confirm_after: Duration) -> StepEvent {
        let by = at.system - self.time(at);
        if by.unsigned_abs() <= millis(TOLERANCE) {
            self.offset += by;
            return match self.pending.take() {
                Some(_) => StepEvent::Reverted,
                None => StepEvent::None,
            };
        }
        let known = self
            .pending
            .filter(|pending| by.abs_diff(pending.by) <= millis(TOLERANCE));
        let since = known.map_or(at.monotonic, |pending| pending.since);
        if at.monotonic.abs_diff(since) >= millis(confirm_after) {
            self.offset += by;
            self.pending = None;
            return StepEvent::Confirmed(by);
        }
        self.pending = Some(PendingStep { by, since });
        match known {
            Some(_) => StepEvent::None,
            None => StepEvent::Detected(by),
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

    fn at(monotonic: i64, set: i64) -> ClockReading {
        ClockReading {
            monotonic,
            system: EPOCH + monotonic + set,
        }
    }

    fn filter() -> StepFilter {
        StepFilter::begin(at(0, 0))
    }

    /// Reads the clocks, and returns the result and the offset of the filtered time from an undisturbed
    /// clock.
    fn read(filter: &mut StepFilter, monotonic: i64, set: i64) -> (StepEvent, i64) {
        let reading = at(monotonic, set);
        let event = filter.observe(reading, CONFIRM_AFTER);
        (event, filter.time(reading) - EPOCH - monotonic)
    }

    #[test]
    fn a_step_that_is_reverted_within_a_minute_has_no_effect() {
        for by in [DAY, -DAY, DAY / 24, -DAY / 24, 2_000, -2_000] {
            let mut filter = filter();
            assert_eq!(read(&mut filter, 10, by), (StepEvent::Detected(by), 0));
            assert_eq!(filter.confirmed_offset(), None);
            assert_eq!(read(&mut filter, MINUTE / 2, by), (StepEvent::None, 0));
            assert_eq!(read(&mut filter, MINUTE, by), (StepEvent::None, 0));
            assert_eq!(read(&mut filter, MINUTE + 5, 0), (StepEvent::Reverted, 0));
            assert_eq!(filter.confirmed_offset(), Some(EPOCH));
            // The same step again is a new one, not the continuation of the first.
            assert_eq!(
                read(&mut filter, 9 * MINUTE, by),
                (StepEvent::Detected(by), 0)
            );
        }
    }

    #[test]
    fn a_step_that_persists_takes_effect() {
        for by in [DAY, -DAY] {
            let mut filter = filter();
            assert_eq!(read(&mut filter, 10, by), (StepEvent::Detected(by), 0));
            assert_eq!(
                read(&mut filter, MINUTE + 10, by),
                (StepEvent::Confirmed(by), by)
            );
            assert_eq!(read(&mut filter, MINUTE + 11, by), (StepEvent::None, by));
            assert_eq!(filter.confirmed_offset(), Some(EPOCH + by));
        }
    }

    #[test]
    fn small_corrections_take_effect_immediately() {
        let mut filter = filter();
        assert_eq!(read(&mut filter, 10, 900), (StepEvent::None, 900));
        // Each change is small, their sum is not.
        assert_eq!(read(&mut filter, 20, 1_800), (StepEvent::None, 1_800));
        assert_eq!(read(&mut filter, 30, 1_000), (StepEvent::None, 1_000));
    }

    #[test]
    fn a_second_step_must_persist_again() {
        let mut filter = filter();
        assert_eq!(read(&mut filter, 0, DAY), (StepEvent::Detected(DAY), 0));
        assert_eq!(
            read(&mut filter, MINUTE - 1, 2 * DAY),
            (StepEvent::Detected(2 * DAY), 0)
        );
        assert_eq!(
            read(&mut filter, 2 * MINUTE - 2, 2 * DAY),
            (StepEvent::None, 0)
        );
        // NTP may correct the clock in the meantime.
        assert_eq!(
            read(&mut filter, 2 * MINUTE - 1, 2 * DAY + 500),
            (StepEvent::Confirmed(2 * DAY + 500), 2 * DAY + 500)
        );
    }

    proptest! {
        /// However the clock is set, the filtered time moves only to a value that the system's clock has
        /// had for a minute, or by at most a second at a time.
        #[test]
        fn only_persistent_steps_move_the_filtered_time(
            steps in prop::collection::vec((1..40_000_i64, prop::sample::select(vec![0, 700, DAY, -DAY])), 1..60)
        ) {
            let mut filter = filter();
            let (mut monotonic, mut ours, mut set, mut since) = (0, 0, 0, 0);
            for (pause, to) in steps {
                monotonic += pause;
                // A difference of a second counts as the same value.
                if (to - set).abs() > 1_000 {
                    since = monotonic;
                }
                set = to;
                let (_, next) = read(&mut filter, monotonic, set);
                prop_assert!(next == ours || (next - ours).abs() <= 1_000 || monotonic - since >= MINUTE);
                prop_assert!(next == ours || next == set);
                prop_assert!(monotonic - since < MINUTE || next == set, "{} {}", next, set);
                ours = next;
            }
        }
    }
}
