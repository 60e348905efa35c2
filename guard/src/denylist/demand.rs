//! Demand for a copy that is kept current by polling: an idle service need not poll often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Time after the last check from which on a copy is not in demand.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// Precision of the time of the last check: checks need not write to shared memory each time.
const PRECISION_MILLIS: u64 = 100;

/// Time of the last check that asked for a copy.
#[derive(Debug)]
pub struct Demand {
    started: Instant,
    /// In milliseconds since `started`.
    last_asked: AtomicU64,
    returned: Notify,
}

impl Default for Demand {
    /// Returns a demand that begins now.
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_asked: AtomicU64::new(0),
            returned: Notify::new(),
        }
    }
}

impl Demand {
    /// Returns the demand for a copy that no check has asked for recently.
    #[cfg(test)]
    pub(super) fn idle() -> Self {
        let started = Instant::now().checked_sub(IDLE_AFTER);
        Self {
            started: started.expect("the machine has run for longer than that"),
            ..Self::default()
        }
    }

    /// Records that a check asks for the copy, which ends the [waits](Self::wait) of an idle copy.
    pub fn record(&self) {
        let now = self.elapsed_millis();
        let last = self.last_asked.load(Ordering::Relaxed);
        if now.saturating_sub(last) < PRECISION_MILLIS {
            return;
        }
        self.last_asked.store(now, Ordering::Relaxed);
        // Earlier than the copy counts as idle: another thread may wait from a moment later on.
        if Duration::from_millis(now.saturating_sub(last)) >= IDLE_AFTER / 2 {
            self.returned.notify_waiters();
        }
    }

    /// Returns whether no check has asked for the copy recently.
    pub fn is_idle(&self) -> bool {
        is_idle(
            self.elapsed_millis(),
            self.last_asked.load(Ordering::Relaxed),
        )
    }

    /// Waits until the copy is to be read again: for `busy` while it is in demand, otherwise for at most `idle`, or
    /// until a check asks for it.
    ///
    /// All waits for the same `idle` end at the same moments, so that an idle process wakes up once for them.
    pub async fn wait(&self, busy: Duration, idle: Duration) {
        // From here on it notices a check, also before it waits.
        let returned = self.returned.notified();
        if !self.is_idle() {
            return tokio::time::sleep(busy).await;
        }
        tokio::select! {
            () = returned => {}
            () = tokio::time::sleep(until_next_multiple(self.started.elapsed(), idle)) => {}
        }
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn is_idle(now_millis: u64, last_millis: u64) -> bool {
    Duration::from_millis(now_millis.saturating_sub(last_millis)) >= IDLE_AFTER
}

/// Returns the time from `elapsed` to the next multiple of `interval`: zero for an interval of zero.
fn until_next_multiple(elapsed: Duration, interval: Duration) -> Duration {
    let into_interval = elapsed.as_nanos().checked_rem(interval.as_nanos());
    let into_interval = into_interval.and_then(|nanos| u64::try_from(nanos).ok());
    interval.saturating_sub(Duration::from_nanos(into_interval.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn waits_of_one_interval_end_together() {
        let seconds = Duration::from_secs;
        let interval = seconds(7);
        for (elapsed, wait) in [(0, 7), (1, 6), (6, 1), (7, 7), (8, 6), (700, 7), (706, 1)] {
            assert_eq!(
                until_next_multiple(seconds(elapsed), interval),
                seconds(wait),
                "{elapsed}"
            );
        }
        assert_eq!(
            until_next_multiple(seconds(3), Duration::ZERO),
            Duration::ZERO
        );
    }

    #[test]
    fn a_copy_is_idle_a_while_after_its_last_check() {
        assert!(!Demand::default().is_idle());
        let demand = Demand::idle();
        assert!(demand.is_idle());

        demand.record();

        assert!(!demand.is_idle());
    }

    async fn ends(wait: impl Future<Output = ()>) {
        let ended = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(ended.is_ok(), "it waits for another interval");
    }

    #[tokio::test]
    async fn each_state_has_its_own_interval() {
        ends(Demand::default().wait(Duration::ZERO, LONG)).await;
        ends(Demand::idle().wait(LONG, Duration::ZERO)).await;
    }

    #[tokio::test]
    async fn a_check_ends_the_wait_of_an_idle_copy() {
        let demand = Demand::idle();

        ends(async {
            tokio::join!(demand.wait(LONG, LONG), async {
                tokio::task::yield_now().await;
                demand.record();
            });
        })
        .await;
    }
}
