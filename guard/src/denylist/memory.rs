//! A hash map with expiry, for one process. Its entries are lost with the process: the owner fills it
//! from the revocations in SQL before the first check.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::{Denial, DenialTarget, Denylist, DenylistUnavailable, TokenIds, TokenStatus};
use crate::clock::Time;

/// Enough that a purge of a large list blocks only a small part of the checks, for a moment.
const SHARDS: usize = 16;

/// A shard is not purged before it holds this many entries or this time has passed.
const PURGE_FROM: usize = 256;
const PURGE_EVERY: Duration = Duration::from_mins(1);

/// A denylist in this process's memory.
///
/// Entries are purged after their `not_after`: the list holds at most twice the entries that are still
/// needed, or those of one minute, and nothing runs in the background.
pub struct MemoryDenylist {
    shards: [RwLock<Shard>; SHARDS],
    hasher: RandomState,
}

/// A map for each kind rather than one keyed by [`Denied`], so that a check borrows its ids.
#[derive(Default)]
struct Shard {
    sessions: ExpiringMap,
    tokens: ExpiringMap,
    users: ExpiringMap,
}

impl Shard {
    fn maps(&self) -> [&ExpiringMap; 3] {
        [&self.sessions, &self.tokens, &self.users]
    }
}

#[derive(Clone, Copy)]
struct Entry {
    not_after: Time,
    /// Authority versions below this one are denied; [`ALL_VERSIONS`] for sessions and tokens.
    below: u64,
}

const ALL_VERSIONS: u64 = u64::MAX;

#[derive(Default)]
struct ExpiringMap {
    entries: HashMap<Box<str>, Entry>,
    /// Purge when this many entries are held, …
    purge_at: usize,
    /// … or at the first denial from this on.
    purge_after: Time,
}

impl ExpiringMap {
    fn denies(&self, id: &str, authority_version: u64, now: Time) -> bool {
        self.entries
            .get(id)
            .is_some_and(|entry| now <= entry.not_after && authority_version < entry.below)
    }

    /// The later end and the greater version are kept, in any order of denials: a repeated denial never
    /// weakens another.
    fn insert(&mut self, id: &str, entry: Entry, now: Time) {
        if let Some(existing) = self.entries.get_mut(id) {
            existing.not_after = existing.not_after.max(entry.not_after);
            existing.below = existing.below.max(entry.below);
            return;
        }
        if self.entries.len() >= self.purge_at || now >= self.purge_after {
            self.purge(now);
        }
        self.entries.insert(id.into(), entry);
    }

    /// Scans all entries, and leaves room for as many again before the next purge: constant cost per
    /// denial.
    fn purge(&mut self, now: Time) {
        self.entries.retain(|_, entry| now <= entry.not_after);
        self.purge_at = PURGE_FROM.max(2 * self.entries.len());
        self.entries.shrink_to(self.purge_at);
        self.purge_after = now + PURGE_EVERY;
    }
}

impl MemoryDenylist {
    /// Returns a list that denies nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of entries, including those that have expired but are not purged yet.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
                shard
                    .maps()
                    .map(|map| map.entries.len())
                    .iter()
                    .sum::<usize>()
            })
            .sum()
    }

    /// Returns whether the list has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one entry.
    pub fn insert(&self, denial: &Denial, now: Time) {
        if now > denial.not_after {
            return;
        }
        let (id, below) = match &denial.denied {
            DenialTarget::Session(id) | DenialTarget::Token(id) => (id, ALL_VERSIONS),
            DenialTarget::User { id, below } => (id, *below),
        };
        let mut shard = self
            .shard(id)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let map = match denial.denied {
            DenialTarget::Session(_) => &mut shard.sessions,
            DenialTarget::Token(_) => &mut shard.tokens,
            DenialTarget::User { .. } => &mut shard.users,
        };
        let not_after = denial.not_after;
        map.insert(id, Entry { not_after, below }, now);
    }

    /// Returns the status of a token.
    pub fn status(&self, ids: TokenIds<'_>, now: Time) -> TokenStatus {
        let is_session_denied = ids
            .sid
            .is_some_and(|sid| self.read(sid).sessions.denies(sid, 0, now));
        if is_session_denied || self.read(ids.jti).tokens.denies(ids.jti, 0, now) {
            return TokenStatus::Revoked;
        }
        let users = &self.read(ids.sub).users;
        if users.denies(ids.sub, ids.authority_version, now) {
            return TokenStatus::Outdated;
        }
        TokenStatus::NotDenied
    }

    fn read(&self, id: &str) -> RwLockReadGuard<'_, Shard> {
        self.shard(id)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, id: &str) -> &RwLock<Shard> {
        let hash = self.hasher.hash_one(id);
        &self.shards[usize::from(hash.to_le_bytes()[0]) % SHARDS]
    }
}

impl Default for MemoryDenylist {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
        }
    }
}

impl fmt::Debug for MemoryDenylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDenylist")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Denylist for MemoryDenylist {
    async fn check(
        &self,
        ids: TokenIds<'_>,
        now: Time,
    ) -> Result<TokenStatus, DenylistUnavailable> {
        Ok(self.status(ids, now))
    }

    async fn deny(&self, denials: &[Denial], now: Time) -> Result<(), DenylistUnavailable> {
        for denial in denials {
            self.insert(denial, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denylist::conformance;

    const NOW: Time = Time::from_secs(1_000_000);
    const MINUTE: Duration = Duration::from_mins(1);

    fn is_denied(list: &MemoryDenylist, jti: &str, now: Time) -> bool {
        let ids = TokenIds {
            sid: Some("s"),
            jti,
            sub: "u",
            authority_version: 0,
        };
        list.status(ids, now) != TokenStatus::NotDenied
    }

    fn token(id: impl Into<String>, not_after: Time) -> Denial {
        Denial {
            denied: DenialTarget::Token(id.into()),
            not_after,
        }
    }

    #[tokio::test]
    async fn the_memory_denylist_conforms() {
        conformance::check(&MemoryDenylist::new(), NOW)
            .await
            .unwrap();
    }

    #[test]
    fn an_entry_ends_after_its_not_after() {
        let list = MemoryDenylist::new();

        list.insert(&token("t", NOW + MINUTE), NOW);

        assert!(is_denied(&list, "t", NOW + MINUTE));
        assert!(!is_denied(
            &list,
            "t",
            NOW + MINUTE + Duration::from_millis(1)
        ));
    }

    #[test]
    fn expired_entries_are_not_added() {
        let list = MemoryDenylist::new();

        list.insert(&token("past", NOW), NOW + MINUTE);
        assert!(list.is_empty());

        list.insert(&token("now", NOW + MINUTE), NOW + MINUTE);
        assert!(!list.is_empty());
    }

    #[test]
    fn a_million_short_lived_denials_leave_a_bounded_list() {
        let list = MemoryDenylist::new();
        let mut most = 0;

        for n in 0..1_000_000_i64 {
            let now = NOW + Duration::from_millis(n.unsigned_abs());
            list.insert(&token(format!("t{n}"), now + Duration::from_secs(10)), now);
            if n % 10_000 == 0 {
                most = most.max(list.len());
            }
        }

        assert!(most <= 2 * 10_001 + SHARDS * PURGE_FROM, "{most} entries");
    }

    #[test]
    fn a_denial_does_not_scan_the_list() {
        let second = Duration::from_secs(1);
        for early in [100, 10_000] {
            let list = MemoryDenylist::new();

            for n in 0..early {
                list.insert(&token(format!("early{n}"), NOW + second), NOW);
            }
            for n in 0..100 {
                list.insert(&token(format!("late{n}"), NOW + MINUTE), NOW + 2 * second);
            }

            assert_eq!(
                list.len(),
                early + 100,
                "a denial scanned the list for expired entries"
            );
        }
    }

    #[test]
    fn a_purge_keeps_current_entries_and_frees_memory() {
        let list = MemoryDenylist::new();
        list.insert(&token("long", NOW + 60 * MINUTE), NOW);
        for n in 0..100_000 {
            list.insert(&token(format!("short{n}"), NOW + MINUTE), NOW);
        }

        let later = NOW + 10 * MINUTE;
        for n in 0..1_000 {
            list.insert(&token(format!("late{n}"), later + MINUTE), later);
        }

        assert!(is_denied(&list, "long", later));
        assert_eq!(list.len(), 1_001);
        let capacity: usize = list
            .shards
            .iter()
            .map(|shard| shard.read().unwrap().tokens.entries.capacity())
            .sum();
        assert!(
            capacity <= 8 * SHARDS * PURGE_FROM,
            "room for {capacity} entries"
        );
    }

    #[test]
    fn parallel_checks_see_every_denial() {
        let list = MemoryDenylist::new();

        std::thread::scope(|scope| {
            for writer in 0..4 {
                let list = &list;
                scope.spawn(move || {
                    for n in 0..5_000 {
                        let id = format!("w{writer}n{n}");
                        list.insert(&token(id.as_str(), NOW + MINUTE), NOW);
                        assert!(is_denied(list, &id, NOW));
                    }
                });
            }
        });

        assert_eq!(list.len(), 20_000);
    }
}
