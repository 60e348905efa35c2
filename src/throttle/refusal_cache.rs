//! Budgets that are known to be used up: a flood of attempts on them costs no SQL.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use latchet_guard::clock::Time;

/// Maximum number of refusals in memory; about 2 MiB.
const CAPACITY: usize = 16_384;

/// Time for which a refusal is repeated without a query of the database, although a password reset at another
/// replica may have lifted it. With [`REQUERY_PERIOD`] it is five seconds.
const REPEAT_PERIOD: Duration = Duration::from_secs(4);

/// Time for which other attempts are refused while one attempt queries the database.
const REQUERY_PERIOD: Duration = Duration::from_secs(1);

/// Remembered refusals. New ones replace the oldest.
#[derive(Debug, Default)]
pub(super) struct RefusalCache(Mutex<CacheEntries>);

#[derive(Debug, Default)]
struct CacheEntries {
    by_key: HashMap<String, CachedRefusal>,
    /// Each key once, the oldest first.
    order: VecDeque<String>,
}

#[derive(Debug)]
struct CachedRefusal {
    resets_at: Time,
    remembered_at: Instant,
    repeated_until: Instant,
}

impl RefusalCache {
    /// Returns the time that an attempt has to wait; `None` if it has to query the database.
    pub(super) fn find(&self, key: &str, now: Time, instant: Instant) -> Option<Duration> {
        let mut entries = self.lock();
        let refusal = entries.by_key.get_mut(key)?;
        if refusal.resets_at <= now {
            return None;
        }
        if refusal.repeated_until <= instant {
            refusal.repeated_until = instant + REQUERY_PERIOD;
            return None;
        }
        Some(refusal.resets_at.since(now))
    }

    /// Returns the time that an attempt has to wait, if the database has refused another attempt since
    /// `looked_at`.
    pub(super) fn find_newer(&self, key: &str, now: Time, looked_at: Instant) -> Option<Duration> {
        let entries = self.lock();
        let refusal = entries.by_key.get(key)?;
        let is_newer = refusal.resets_at > now && refusal.remembered_at > looked_at;
        is_newer.then(|| refusal.resets_at.since(now))
    }

    /// Records that the database refuses attempts on a budget.
    pub(super) fn remember(&self, key: &str, resets_at: Time, instant: Instant) {
        let mut entries = self.lock();
        let refusal = CachedRefusal {
            resets_at,
            remembered_at: instant,
            repeated_until: instant + REPEAT_PERIOD,
        };
        if entries.by_key.insert(key.to_owned(), refusal).is_some() {
            return;
        }
        entries.order.push_back(key.to_owned());
        if entries.order.len() > CAPACITY
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.by_key.remove(&oldest);
        }
    }

    /// Records that the database refuses no more. The key keeps its place in the order.
    pub(super) fn forget(&self, key: &str, now: Time) {
        if let Some(refusal) = self.lock().by_key.get_mut(key) {
            refusal.resets_at = now;
        }
    }

    fn lock(&self) -> MutexGuard<'_, CacheEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_refusal_is_repeated_for_a_while_and_then_one_attempt_queries_the_database() {
        let refusals = RefusalCache::default();
        let start = Instant::now();
        refusals.remember("a", NOW + MINUTE, start);

        let just_before = start + Duration::from_millis(3_999);
        assert_eq!(refusals.find("a", NOW, just_before), Some(MINUTE));
        assert_eq!(refusals.find("b", NOW, just_before), None);
        assert_eq!(refusals.find("a", NOW, start + REPEAT_PERIOD), None);
        assert_eq!(refusals.find("a", NOW, start + REPEAT_PERIOD), Some(MINUTE));
        assert!(REPEAT_PERIOD + REQUERY_PERIOD <= Duration::from_secs(5));
    }

    #[test]
    fn an_attempt_that_queries_is_refused_by_a_newer_refusal() {
        let refusals = RefusalCache::default();
        let start = Instant::now();
        refusals.remember("a", NOW + MINUTE, start);
        let looked_at = start + REPEAT_PERIOD;
        assert_eq!(refusals.find("a", NOW, looked_at), None);

        assert_eq!(refusals.find_newer("a", NOW, looked_at), None);
        let after = looked_at + Duration::from_millis(1);
        refusals.remember("a", NOW + MINUTE, after);
        assert_eq!(refusals.find_newer("a", NOW, looked_at), Some(MINUTE));
    }

    #[test]
    fn a_refusal_ends_with_its_window_or_when_it_is_lifted() {
        let refusals = RefusalCache::default();
        let start = Instant::now();
        refusals.remember("a", NOW + MINUTE, start);

        assert_eq!(refusals.find("a", NOW + MINUTE, start), None);
        assert_eq!(refusals.find("a", NOW, start), Some(MINUTE));
        refusals.forget("a", NOW);
        assert_eq!(refusals.find("a", NOW, start), None);
    }

    #[test]
    fn memory_is_bounded_however_many_are_refused() {
        let refusals = RefusalCache::default();
        let start = Instant::now();
        for number in 0..CAPACITY + 10 {
            refusals.remember(&number.to_string(), NOW + MINUTE, start);
        }

        let entries = refusals.lock();
        assert_eq!(
            (entries.by_key.len(), entries.order.len()),
            (CAPACITY, CAPACITY)
        );
        assert!(!entries.by_key.contains_key("0"));
    }
}
