//! Status of the connected server, and its validity. Pure: no I/O, and the time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

use super::{ServerInfo, UnsuitableRedis};
use crate::clock::Time;

/// Time for which the response of the server, and that of the [authority](super::EpochAuthority), is
/// relied upon, from the time of the request.
pub const LEASE: Duration = Duration::from_secs(1);

/// Lead of the clock of Redis over this process beyond which entries may expire too early.
const CLOCK_AHEAD: Duration = Duration::from_secs(30);

/// A moment on two clocks. The monotonic clock may stop while a machine is suspended, the other may be
/// set back: a recent moment must be recent on both.
#[derive(Clone, Copy, Debug)]
pub struct DualInstant {
    /// On the monotonic clock.
    pub instant: Instant,
    /// On the wall clock.
    pub time: Time,
}

impl DualInstant {
    /// Returns the present moment, which is `time` on the wall clock.
    pub fn at(time: Time) -> Self {
        Self {
            instant: Instant::now(),
            time,
        }
    }

    /// Returns whether this moment is no more than one [lease](LEASE) before `now`.
    pub fn is_within_lease(self, now: Self) -> bool {
        now.instant.saturating_duration_since(self.instant) <= LEASE
            && now.time.since(self.time) <= LEASE
    }
}

/// Last inspection of the connected server.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// Response of the server.
    pub server_info: ServerInfo,
    /// Time of the request, not of the response.
    pub requested_at: DualInstant,
}

/// Reason why a server cannot hold the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFault {
    /// It may lose denials although it keeps running.
    Unsuitable(UnsuitableRedis),
    /// Its clock is so far ahead that entries may expire too early.
    ClockAhead,
}

impl ServerStatus {
    /// Returns whether the server was inspected within the last lease.
    pub fn is_current(&self, now: DualInstant) -> bool {
        self.requested_at.is_within_lease(now)
    }

    /// Returns the reason why this server cannot hold the copy, if any.
    pub fn fault(&self) -> Option<ServerFault> {
        if let Some(unsuitable) = &self.server_info.unsuitable {
            return Some(ServerFault::Unsuitable(unsuitable.clone()));
        }
        (self.server_info.time.since(self.requested_at.time) > CLOCK_AHEAD)
            .then_some(ServerFault::ClockAhead)
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsuitable(unsuitable) => unsuitable.fmt(f),
            Self::ClockAhead => f.write_str(
                "its clock is ahead of this machine's: synchronise both, with NTP for example",
            ),
        }
    }
}
