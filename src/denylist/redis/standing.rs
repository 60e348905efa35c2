//! What is known about the connected server, and for how long that counts. Pure: no I/O, and the time
//! is an argument.

use std::fmt;
use std::time::{Duration, Instant};

use super::{Inspection, Unfit};
use crate::clock::Time;

/// How long an inspection is relied upon, from the moment of asking.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// How far the clock of Redis may run ahead of this process before entries may expire too early.
const CLOCK_AHEAD: Duration = Duration::from_secs(30);

/// A moment on both clocks. The monotonic one may stand still while a machine is suspended, the
/// other may be set back: what is recent must be recent on both.
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

/// What the connected server said about itself.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) inspection: Inspection,
    /// When it was asked, not when it answered.
    pub(crate) asked: Moment,
}

/// Why a server cannot hold the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unfit(Unfit),
    ClockAhead,
}

impl Standing {
    pub(crate) fn is_current(&self, now: Moment) -> bool {
        self.asked.is_within_lease(now)
    }

    /// Returns why this server cannot hold the copy, if so.
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
