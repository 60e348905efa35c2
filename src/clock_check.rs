//! Comparison of the clock of this process with the clock of the database, which all replicas share.
//!
//! A replica whose clock is wrong signs tokens with wrong times and would delete revocations that other
//! replicas still need. It does not start; a running one is not ready, and deletes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::clock_skew::ClockDeviation;
use super::store::{Store, StoreError};
use latchet_guard::clock::Clock;

/// Time between two comparisons. Readiness checks and garbage collection compare on their own.
const INTERVAL: Duration = Duration::from_secs(10);

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// The clocks agree, or there is only one: SQLite uses the clock of this machine.
    Agrees,
    /// They are further apart than allowed.
    Deviates(ClockDeviation),
}

/// Compares the clocks, and logs when the result changes. Clones share the logged state.
#[derive(Clone, Debug)]
pub struct ClockCheck {
    store: Store,
    clock: Clock,
    log: Arc<ClockStateLog>,
}

impl ClockCheck {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            log: Arc::default(),
        }
    }

    /// Refuses a clock that deviates.
    pub(super) async fn require_agreement(&self) -> Result<(), ClockCheckError> {
        match self.compare().await? {
            ClockState::Agrees => Ok(()),
            ClockState::Deviates(deviation) => Err(deviation.into()),
        }
    }

    /// Compares the clock with that of the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not respond.
    pub async fn state(&self) -> Result<ClockState, StoreError> {
        let state = self.compare().await?;
        self.log.log_change(state);
        Ok(state)
    }

    async fn compare(&self) -> Result<ClockState, StoreError> {
        let before = self.clock.now();
        let database = self.store.database_time().await?;
        let after = self.clock.now();
        let deviation =
            database.and_then(|database| ClockDeviation::between(before, database, after));
        Ok(deviation.map_or(ClockState::Agrees, ClockState::Deviates))
    }

    /// Compares the clocks periodically, without end.
    pub(super) async fn watch(self) {
        loop {
            // A database that does not respond is logged by other tasks, which need it more.
            let _unavailable = self.state().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// The result that was logged last.
#[derive(Debug)]
struct ClockStateLog(Mutex<ClockState>);

impl Default for ClockStateLog {
    fn default() -> Self {
        Self(Mutex::new(ClockState::Agrees))
    }
}

impl ClockStateLog {
    /// Logs the first of several deviations, and the end of the last.
    fn log_change(&self, state: ClockState) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (*logged, state) {
            (ClockState::Agrees, ClockState::Deviates(deviation)) => tracing::error!(
                own = %deviation.own,
                database = %deviation.database,
                "the clock of this machine is too far from that of the database: this server is not ready and deletes no old rows until both clocks are set"
            ),
            (ClockState::Deviates(_), ClockState::Agrees) => {
                tracing::info!("the clock of this machine agrees with that of the database again");
            }
            _ => {}
        }
        *logged = state;
    }
}

/// The clock of this process cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClockCheckError {
    #[error(transparent)]
    Deviates(#[from] ClockDeviation),
    #[error("cannot read the time of the database")]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::captured_log::CapturedLog;
    use latchet_guard::clock::Time;

    #[test]
    fn a_deviation_is_logged_once_and_so_is_its_end() {
        let states = ClockStateLog::default();
        let deviation = ClockDeviation {
            own: Time::from_secs(2_000),
            database: Time::from_secs(1_000),
        };
        let log = CapturedLog::begin();

        for state in [
            ClockState::Agrees,
            ClockState::Deviates(deviation),
            ClockState::Deviates(deviation),
            ClockState::Agrees,
            ClockState::Agrees,
        ] {
            states.log_change(state);
        }

        let lines = log.lines();
        let levels: Vec<&str> = lines
            .iter()
            .filter_map(|line| line["level"].as_str())
            .collect();
        assert_eq!(levels, ["ERROR", "INFO"], "{lines:?}");
        assert_eq!(lines[0]["own"], "1970-01-01T00:33:20Z");
        assert_eq!(lines[0]["database"], "1970-01-01T00:16:40Z");
    }
}
