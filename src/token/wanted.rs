//! Word from checks to whoever fetches keys: a token names a key that is not known here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Asks for newer keys, at most once in a while however many tokens name unknown ones, and never
/// waits for them. Taken only where a token cannot be checked anyway.
#[derive(Debug)]
pub(crate) struct Wanted {
    state: Mutex<State>,
    asked: Notify,
    /// So long after a fetch, a key that was not in it does not exist.
    rest: Duration,
}

#[derive(Debug)]
enum State {
    /// Keys are being fetched.
    Fetching,
    /// They were fetched then.
    Known(Instant),
    /// The last attempt failed, or none has been made: nothing can be said about other keys, and
    /// the next attempt comes by itself.
    Failed,
    /// Nobody fetches any more.
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

    /// Asks for newer keys. Returns whether there may be any: false when those that are known were
    /// fetched just now.
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

    /// Waits until somebody asks.
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
        assert!(wanted.ask(), "nothing is known yet");
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

            assert!(!is_asked(&wanted).await, "the next attempt comes by itself");
        }
        wanted.end();
        assert!(!wanted.ask(), "nobody fetches any more");
    }
}
