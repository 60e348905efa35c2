//! The rate limit of refusals.
//!
//! A refusal costs little, but thousands of clients that retry as soon as they are refused would use
//! the whole processor, and all other requests would wait behind theirs. So refusals are sent at a limited
//! rate, in the order of the requests. Without a flood none of them waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two refusals of a flood: 2,000 per second, which takes some percent of a core.
const INTERVAL: Duration = Duration::from_micros(500);

/// Number of refusals that may be sent at once.
const BURST: u32 = 100;

/// Longest wait. A longer queue needs more clients than this server accepts connections from.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// The rate limiter of refusals.
#[derive(Debug)]
pub(super) struct RefusalPacer {
    /// Time of the next refusal, if no burst were allowed.
    next: Mutex<Instant>,
}

impl RefusalPacer {
    pub(super) fn new() -> Self {
        Self {
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until a refusal may be sent.
    pub(super) async fn wait(&self) {
        let now = Instant::now();
        let turn = self.turn(now);
        if turn > now {
            tokio::time::sleep_until(turn).await;
        }
    }

    fn turn(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).clamp(now, now + MAX_WAIT + INTERVAL * BURST) + INTERVAL;
        (*next).checked_sub(INTERVAL * BURST).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_refusals_are_sent_at_once_and_a_flood_at_a_limited_rate() {
        let pace = RefusalPacer::new();
        let now = Instant::now();

        let turns: Vec<_> = (0..BURST + 3).map(|_| pace.turn(now)).collect();

        assert!(turns[..BURST as usize].iter().all(|turn| *turn <= now));
        assert!(turns[BURST as usize] > now);
        assert_eq!(
            turns[BURST as usize + 2] - turns[BURST as usize + 1],
            INTERVAL
        );
        let later = now + MAX_WAIT;
        assert!(pace.turn(later) <= later);
    }

    #[test]
    fn no_refusal_waits_longer_than_the_longest() {
        let pace = RefusalPacer::new();
        let now = Instant::now();

        let last = (0..50_000).map(|_| pace.turn(now)).last().unwrap();

        assert!(last <= now + MAX_WAIT + INTERVAL);
    }
}
