//! The login throttle: attempts are counted before anything is looked at, so that a flood of them
//! costs no hashing and tells nothing.

use std::net::IpAddr;

use unicode_normalization::UnicodeNormalization;

use super::App;
use super::error::ApiError;
use super::store::{Allowance, Attempt};
use crate::clock::Time;

/// The counters that one attempt was counted on, so that a success can be taken off them.
pub(super) struct CountedAttempt {
    names: [String; 2],
}

impl App {
    /// Counts a login attempt before anything is looked at, so that a flood costs no hashing.
    pub(super) async fn count_attempt(
        &self,
        username: &str,
        ip: IpAddr,
        now: Time,
    ) -> Result<CountedAttempt, ApiError> {
        let account: String = username.nfkc().flat_map(char::to_lowercase).collect();
        let counters = [
            (
                self.derived.throttle_name("ip", &network(ip)),
                self.config.throttle_ip,
            ),
            (
                self.derived.throttle_name("account", &account),
                self.config.throttle_account,
            ),
        ];
        for (name, rate) in &counters {
            let allowance = Allowance {
                attempts: rate.limit,
                window: rate.window,
            };
            if let Attempt::Refused { retry_after } =
                self.store.attempt(name, allowance, now).await?
            {
                return Err(ApiError::TooManyRequests { retry_after });
            }
        }
        Ok(CountedAttempt {
            names: counters.map(|(name, _)| name),
        })
    }

    /// Takes a successful attempt off the counters: only failures use them up.
    pub(super) async fn forgive_attempt(&self, attempt: CountedAttempt, now: Time) {
        for name in &attempt.names {
            if let Err(error) = self.store.give_back_attempt(name, now).await {
                tracing::warn!(%error, "a successful login stays counted against the throttle");
            }
        }
    }
}

/// What is counted as one address: an IPv6 customer has a whole /64.
fn network(ip: IpAddr) -> String {
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

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let ip = |text: &str| network(text.parse().unwrap());
        assert_eq!(ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"));
        assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    }
}
