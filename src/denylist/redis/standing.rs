//! Status of the connected server, and its validity. Pure: no I/O, and the time is an argument.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Inspection, Unfit};
use crate::clock::Time;

/// Validity of an inspection, from the time of the request.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// Lead of the clock of Redis over this process beyond which entries may expire too early.
const CLOCK_AHEAD: Duration = Duration::from_secs(30);

/// A moment on two clocks. The monotonic clock may stop while a machine is suspended, the other may be
/// set back: a recent moment must be recent on both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) time: Time,
}

impl Moment {
    pub(crate) fn is_within_lease(self, now: Self) -> bool {
        now.instant.saturating_duration_since(self.instant) <= LEASE
            && now.time.since(self.time) <= LEASE
    }
}

/// Last inspection of the connected server.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) inspection: Inspection,
    /// Time of the request, not of the response.
    pub(crate) asked: Moment,
}

/// Reason why a server cannot hold the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unfit(Unfit),
    ClockAhead,
}

impl Standing {
    pub(crate) fn is_current(&self, now: Moment) -> bool {
        self.asked.is_within_lease(now)
    }

    /// Returns the reason why this server cannot hold the copy, if any.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if let Some(unfit) = &self.inspection.unfit {
            return Some(Fault::Unfit(unfit.clone()));
        }
        (self.inspection.time.since(self.asked.time) > CLOCK_AHEAD).then_some(Fault::ClockAhead)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::ClockAhead => f.write_str(
                "its clock is ahead of this machine's: synchronise both, with NTP for example",
            ),
        }
    }
}
