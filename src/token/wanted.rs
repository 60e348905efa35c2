//! Signal from checks to the task that fetches keys: a token names an unknown key.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Requests newer keys, rate-limited even if many tokens name unknown keys, and never waits for them.
/// Locked only when a token cannot be checked anyway.
#[derive(Debug)]
pub(crate) struct Wanted {
    state: Mutex<State>,
    asked: Notify,
    /// Time after a fetch during which a key that it did not contain counts as nonexistent.
    rest: Duration,
}

#[derive(Debug)]
enum State {
    /// Keys are being fetched.
    Fetching,
    /// They were fetched at this time.
    Known(Instant),
    /// The last attempt failed, or there was none: other keys may exist, and the next attempt begins by
    /// itself.
    Failed,
    /// Keys are no longer fetched.
    Ended,
}

impl Wanted {
    pub(crate) fn new(rest: Duration) -> Self {
        Self {
            state: Mutex::new(State::Failed),
            asked: Notify::new(),
            rest,
        }
    }

    /// Requests newer keys. Returns whether there may be any: false if the known keys were fetched a
    /// moment ago.
    pub(crate) fn ask(&self) -> bool {
        match *self.state() {
            State::Known(then) if then.elapsed() < self.rest => false,
            State::Ended => false,
            State::Fetching | State::Failed => true,
            State::Known(_) => {
                self.asked.notify_one();
                true
            }
        }
    }

    /// Waits until newer keys are requested.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(crate) fn fetching(&self) {
        *self.state() = State::Fetching;
    }

    pub(crate) fn fetched(&self) {
        *self.state() = State::Known(Instant::now());
    }

    pub(crate) fn failed(&self) {
        *self.state() = State::Failed;
    }

    pub(crate) fn end(&self) {
        *self.state() = State::Ended;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    async fn is_asked(wanted: &Wanted) -> bool {
        timeout(Duration::ZERO, wanted.asked()).await.is_ok()
    }

    #[tokio::test]
    async fn who_fetches_waits_until_somebody_asks() {
        let wanted = Wanted::new(Duration::ZERO);
        wanted.fetched();
        assert!(!is_asked(&wanted).await);

        assert!(wanted.ask());

        assert!(is_asked(&wanted).await);
    }

    #[tokio::test]
    async fn just_after_a_fetch_there_is_nothing_to_ask_for() {
        let wanted = Wanted::new(Duration::from_hours(1));
        assert!(wanted.ask(), "no keys are known yet");
        wanted.fetched();

        assert!(!wanted.ask());

        assert!(!is_asked(&wanted).await);
    }

    #[tokio::test]
    async fn while_keys_are_fetched_or_could_not_be_others_may_exist() {
        let wanted = Wanted::new(Duration::from_hours(1));
        for begin in [Wanted::fetching, Wanted::failed] {
            wanted.fetched();
            begin(&wanted);

            assert!(wanted.ask());

            assert!(
                !is_asked(&wanted).await,
                "the next attempt begins by itself"
            );
        }
        wanted.end();
        assert!(!wanted.ask(), "keys are no longer fetched");
    }
}
