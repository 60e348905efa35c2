//! Allowed differences between clocks. Pure: both readings are arguments.

use std::time::Duration;

use latchet_guard::clock::Time;

/// Largest allowed difference between the clocks of two replicas: by its `iat`, an access token may begin
/// after the end of its session, or arrive at a replica before it was issued.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Largest allowed difference between the clock of one process and that of the database: half of
/// `CLOCK_SKEW`, because one replica may be ahead of the database and another one behind it.
pub const MAX_DEVIATION: Duration = match CLOCK_SKEW.checked_div(2) {
    Some(half) => half,
    None => Duration::ZERO,
};

/// A reading of the process's clock and one of the database's that differ by more than
/// [`MAX_DEVIATION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine reads {own} and the clock of the database reads {database}, {} s apart; at most {} s are allowed: set both clocks, preferably by NTP, and start again",
    self.apart().as_secs(),
    MAX_DEVIATION.as_secs()
)]
pub struct ClockDeviation {
    /// Time by the clock of this process.
    pub own: Time,
    /// Time by the clock of the database.
    pub database: Time,
}

impl ClockDeviation {
    /// Compares the clock of the database, which was read between two readings of our own. The duration
    /// of the query is not a deviation.
    pub(super) fn between(before: Time, database: Time, after: Time) -> Option<Self> {
        let own = database.clamp(before.min(after), after.max(before));
        let deviation = Self { own, database };
        (deviation.apart() > MAX_DEVIATION).then_some(deviation)
    }

    /// Returns the difference between the clocks.
    pub fn apart(&self) -> Duration {
        self.own
            .since(self.database)
            .max(self.database.since(self.own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn clocks_may_differ_by_half_a_minute_either_way() {
        let apart = |database| ClockDeviation::between(NOW, database, NOW);

        for by in [Duration::ZERO, SECOND, MAX_DEVIATION] {
            assert_eq!(apart(NOW + by), None);
            assert_eq!(apart(NOW - by), None);
        }
        for by in [MAX_DEVIATION + Duration::from_millis(1), SECOND * 1200] {
            assert_eq!(apart(NOW + by).map(|found| found.apart()), Some(by));
            assert_eq!(apart(NOW - by).map(|found| found.apart()), Some(by));
        }
    }

    #[test]
    fn a_slow_response_is_no_deviation() {
        let after = NOW + MAX_DEVIATION * 4;

        for database in [NOW, NOW + MAX_DEVIATION * 2, after] {
            assert_eq!(ClockDeviation::between(NOW, database, after), None);
        }
        assert!(ClockDeviation::between(NOW, after + MAX_DEVIATION * 2, after).is_some());
    }

    #[test]
    fn two_replicas_within_the_limit_differ_by_at_most_the_clock_skew() {
        assert!(MAX_DEVIATION * 2 <= CLOCK_SKEW);
        assert!(!MAX_DEVIATION.is_zero());
    }

    #[test]
    fn the_error_names_both_times_and_what_to_do() {
        let deviation = ClockDeviation {
            own: NOW + SECOND * 1200,
            database: NOW,
        };

        let text = deviation.to_string();

        for part in [
            deviation.own.to_string(),
            deviation.database.to_string(),
            "1200 s apart".to_owned(),
            "at most 30 s".to_owned(),
            "NTP".to_owned(),
        ] {
            assert!(text.contains(&part), "{part}: {text}");
        }
    }
}
