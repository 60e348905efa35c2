//! Networks of clients, and those that were recorded a short time ago.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

/// Maximum number of networks in memory; about 2 MiB.
const CAPACITY: usize = 16_384;

/// A set of recent networks of this process. A forgotten network, or one that another replica does not know,
/// is no risk: these sets determine only the order of logins, and save queries of the database.
pub(super) struct RecentNetworks {
    seen: Cache<String, Instant>,
    remembered: Duration,
}

impl RecentNetworks {
    /// Returns an empty set that keeps each network for this time.
    pub(super) fn new(remembered: Duration) -> Self {
        Self {
            seen: Cache::new(CAPACITY),
            remembered,
        }
    }

    pub(super) fn add(&self, network: &str, instant: Instant) {
        self.seen.insert(network.to_owned(), instant);
    }

    pub(super) fn contains(&self, network: &str, instant: Instant) -> bool {
        let seen = self.seen.get(network);
        seen.is_some_and(|at| instant.saturating_duration_since(at) < self.remembered)
    }
}

impl fmt::Debug for RecentNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecentNetworks").finish_non_exhaustive()
    }
}

/// Returns the network that counts as one address: an IPv6 customer has a whole /64.
pub(crate) fn network_of(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn only_the_recorded_network_is_remembered_and_not_for_ever() {
        let networks = RecentNetworks::new(MINUTE);
        let start = Instant::now();
        networks.add("192.0.2.7", start);

        let last = start + MINUTE.saturating_sub(Duration::from_millis(1));
        assert!(networks.contains("192.0.2.7", last));
        assert!(!networks.contains("192.0.2.8", last));
        assert!(!networks.contains("192.0.2.7", start + MINUTE));
    }

    #[test]
    fn memory_is_bounded_however_many_networks_there_are() {
        let networks = RecentNetworks::new(MINUTE);
        let start = Instant::now();
        for number in 0..CAPACITY * 2 {
            networks.add(&number.to_string(), start);
        }

        assert!(networks.seen.len() <= CAPACITY);
    }
}
