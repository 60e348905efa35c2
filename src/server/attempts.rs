//! The login throttle: attempts are counted before anything is looked at, so that a flood of them
//! costs no hashing and tells nothing. Wrong credentials of services are counted with them.

use std::net::IpAddr;

use unicode_normalization::UnicodeNormalization;

use super::App;
use super::config::Rate;
use super::error::ApiError;
use super::store::{Attempt, Counter, fold_username};
use crate::clock::Time;

/// What attempts on one user name are counted as.
const ACCOUNT: &str = "account";

/// The counters that one attempt was counted on, so that a success can be taken off them.
pub(super) struct CountedAttempt {
    pub(super) counters: [Counter; 2],
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
        self.count((ACCOUNT, &account), ip, now).await
    }

    /// Counts wrong credentials of a service, at the rates of logins.
    pub(super) async fn count_service_failure(
        &self,
        name: &str,
        ip: IpAddr,
        now: Time,
    ) -> Result<(), ApiError> {
        self.count(("service", name), ip, now).await.map(drop)
    }

    async fn count(
        &self,
        (kind, name): (&str, &str),
        ip: IpAddr,
        now: Time,
    ) -> Result<CountedAttempt, ApiError> {
        let counter = |kind, name: &str, rate: Rate| Counter {
            key: self.derived.throttle_name(kind, name),
            attempts: rate.limit,
            window: rate.window,
            username: (kind == ACCOUNT).then(|| fold_username(name)),
        };
        // An address that is refused does not use up the account's attempts as well.
        let counters = [
            counter("ip", &network(ip), self.config.throttle_ip),
            counter(kind, name, self.config.throttle_account),
        ];
        match self.store.attempt(&counters, ip, now).await? {
            Attempt::Allowed => Ok(CountedAttempt { counters }),
            Attempt::Refused { retry_after } => Err(ApiError::TooManyRequests { retry_after }),
        }
    }

    /// Takes a successful attempt off the counters: only failures use them up.
    pub(super) async fn forgive_attempt(&self, attempt: CountedAttempt, now: Time) {
        if let Err(error) = self.store.give_back_attempt(&attempt.counters, now).await {
            tracing::warn!(%error, "a successful attempt stays counted against the throttle");
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
