//! Networks in which logins failed a short time ago: they wait in a line of their own.

use std::fmt;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

/// Networks in memory at most; about 2 MiB.
const CAPACITY: usize = 16_384;

/// Time for which a failure is remembered.
const REMEMBERED: Duration = Duration::from_mins(15);

/// Networks with recent failures, as this process has seen them. They decide the order of logins alone,
/// so that one that is forgotten, or unknown to another replica, opens nothing.
pub(super) struct FailedNetworks(Cache<String, Instant>);

impl FailedNetworks {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Records a failure.
    pub(super) fn add(&self, network: &str, instant: Instant) {
        self.0.insert(network.to_owned(), instant);
    }

    /// Returns whether a login from this network failed a short time ago.
    pub(super) fn contains(&self, network: &str, instant: Instant) -> bool {
        let failed_at = self.0.get(network);
        failed_at.is_some_and(|at| instant.saturating_duration_since(at) < REMEMBERED)
    }
}

impl fmt::Debug for FailedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedNetworks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_for_its_network_alone_and_not_for_ever() {
        let failed = FailedNetworks::new();
        let start = Instant::now();
        failed.add("192.0.2.7", start);

        let last = start + REMEMBERED.saturating_sub(Duration::from_millis(1));
        assert!(failed.contains("192.0.2.7", last));
        assert!(!failed.contains("192.0.2.8", last));
        assert!(!failed.contains("192.0.2.7", start + REMEMBERED));
    }

    #[test]
    fn memory_is_bounded_however_many_networks_fail() {
        let failed = FailedNetworks::new();
        let start = Instant::now();
        for number in 0..CAPACITY * 2 {
            failed.add(&number.to_string(), start);
        }

        assert!(failed.0.len() <= CAPACITY);
    }
}
