//! Waits between the attempts to reach a service that fails.

use std::time::Duration;

/// Waits that double from the first to the longest.
///
/// ```
/// use std::time::Duration;
///
/// use latchet_guard::backoff::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
/// let waits = [backoff.wait(), backoff.wait(), backoff.wait()];
/// assert_eq!(waits.map(|wait| wait.as_secs()), [1, 2, 3]);
/// ```
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Returns a backoff whose first wait is `first`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// Returns the wait after one more failure.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }

    /// Begins with the first wait again, because an attempt has succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_until_an_attempt_succeeds() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let mut waits = |count| -> Vec<u128> {
            let waits = std::iter::repeat_with(|| backoff.wait().as_millis());
            waits.take(count).collect()
        };

        assert_eq!(waits(5), [50, 100, 200, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.wait(), Duration::from_millis(50));
    }
}
