//! Waits for a state with a deadline, never by a fixed sleep.

use std::time::{Duration, Instant};

/// Longest wait for an expected state, or for a response. Only a failing test waits so long; a test that queues
/// hundreds of passwords needs it while other programs use the machine.
pub const DEADLINE: Duration = Duration::from_mins(2);

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `is_true`, blocking; panics with `what` after [`DEADLINE`].
#[track_caller]
pub fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(
            start.elapsed() < DEADLINE,
            "waited {DEADLINE:?} for: {what}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// Waits until `attempt` gives a value, and returns it; panics with `what` after [`DEADLINE`].
pub async fn until_some<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "waited {DEADLINE:?} for: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
