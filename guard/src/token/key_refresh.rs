//! Signal from checks to the task that fetches keys: a token names an unknown key.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Requests newer keys, rate-limited even if many tokens name unknown keys, and never waits for them.
/// Locked only when a token cannot be checked anyway.
#[derive(Debug)]
pub(crate) struct KeyRefreshSignal {
    state: Mutex<KeyRefreshState>,
    requested: Notify,
    /// Time after a fetch during which a key that it did not contain counts as nonexistent.
    min_age: Duration,
}

#[derive(Debug)]
enum KeyRefreshState {
    /// Keys are being fetched.
    Fetching,
    /// They were fetched at this time.
    Fetched(Instant),
    /// The last attempt failed, or there was none: other keys may exist, and the next attempt begins by
    /// itself.
    Failed,
    /// Keys are no longer fetched.
    Ended,
}

impl KeyRefreshSignal {
    pub(crate) fn new(min_age: Duration) -> Self {
        Self {
            state: Mutex::new(KeyRefreshState::Failed),
            requested: Notify::new(),
            min_age,
        }
    }

    /// Requests newer keys. Returns whether there may be any: false if the known keys were fetched a
    /// moment ago.
    pub(crate) fn request_refresh(&self) -> bool {
        match *self.state() {
            KeyRefreshState::Fetched(then) if then.elapsed() < self.min_age => false,
            KeyRefreshState::Ended => false,
            KeyRefreshState::Fetching | KeyRefreshState::Failed => true,
            KeyRefreshState::Fetched(_) => {
                self.requested.notify_one();
                true
            }
        }
    }

    /// Waits until newer keys are requested.
    pub(crate) async fn refresh_requested(&self) {
        self.requested.notified().await;
    }

    pub(crate) fn set_fetching(&self) {
        *self.state() = KeyRefreshState::Fetching;
    }

    pub(crate) fn set_fetched(&self) {
        *self.state() = KeyRefreshState::Fetched(Instant::now());
    }

    pub(crate) fn set_failed(&self) {
        *self.state() = KeyRefreshState::Failed;
    }

    pub(crate) fn close(&self) {
        *self.state() = KeyRefreshState::Ended;
    }

    fn state(&self) -> MutexGuard<'_, KeyRefreshState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    async fn is_refresh_requested(signal: &KeyRefreshSignal) -> bool {
        timeout(Duration::ZERO, signal.refresh_requested())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn the_fetching_task_waits_for_a_request() {
        let signal = KeyRefreshSignal::new(Duration::ZERO);
        signal.set_fetched();
        assert!(!is_refresh_requested(&signal).await);

        assert!(signal.request_refresh());

        assert!(is_refresh_requested(&signal).await);
    }

    #[tokio::test]
    async fn keys_are_not_requested_again_right_after_a_fetch() {
        let signal = KeyRefreshSignal::new(Duration::from_hours(1));
        assert!(signal.request_refresh(), "no keys are known yet");
        signal.set_fetched();

        assert!(!signal.request_refresh());

        assert!(!is_refresh_requested(&signal).await);
    }

    #[tokio::test]
    async fn other_keys_may_exist_during_a_fetch_and_after_a_failed_one() {
        let signal = KeyRefreshSignal::new(Duration::from_hours(1));
        for begin in [KeyRefreshSignal::set_fetching, KeyRefreshSignal::set_failed] {
            signal.set_fetched();
            begin(&signal);

            assert!(signal.request_refresh());

            assert!(
                !is_refresh_requested(&signal).await,
                "the next attempt begins by itself"
            );
        }
        signal.close();
        assert!(!signal.request_refresh(), "keys are no longer fetched");
    }
}
