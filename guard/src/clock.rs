//! The current time. Nothing else in the crate reads the system's clock.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use step_filter::{ClockReading, StepEvent, StepFilter};

mod monotonic;
mod step_filter;

/// A point in time, in unix milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// Later than any other time.
    pub const MAX: Self = Self(i64::MAX);

    /// Returns the time `millis` milliseconds after the unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the time `secs` seconds after the unix epoch, as JWTs count (RFC 7519, `NumericDate`).
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns milliseconds since the unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since the unix epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns how long after `earlier` this time is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

/// RFC 3339 in UTC, for people and JSON.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Source of the current time, read once per request. Clones share one clock.
///
/// It follows the system's clock, except for steps: if the system's clock is set by more than a second,
/// this clock follows only after the step has persisted for a minute. Otherwise a clock that is set
/// wrong by mistake and then corrected would let expired tokens in, or look like hours that have passed.
/// The clock starts with the system's time and is kept by a monotonic clock that cannot be set and
/// includes the time in which the machine was suspended.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<ClockState>,
}

#[derive(Debug)]
struct ClockState {
    shift_millis: AtomicI64,
    /// Confirmed offset of the system's clock from the monotonic one, or [`UNCONFIRMED`]: a reading with the
    /// same offset takes no lock.
    confirmed_offset: AtomicI64,
    filter: Mutex<StepFilter>,
}

/// Marks an unconfirmed offset; no real offset is so large.
const UNCONFIRMED: i64 = i64::MIN;

/// Deviation of the two clocks, in milliseconds, that is ignored: they are not read at the same instant,
/// and each value is rounded.
const IGNORED_DEVIATION: u64 = 50;

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// Returns a clock that starts with the system's time.
    pub fn system() -> Self {
        let filter = StepFilter::begin(read_clocks());
        Self {
            shared: Arc::new(ClockState {
                shift_millis: AtomicI64::new(0),
                confirmed_offset: AtomicI64::new(filter.confirmed_offset().unwrap_or(UNCONFIRMED)),
                filter: Mutex::new(filter),
            }),
        }
    }

    /// Returns the current time.
    pub fn now(&self) -> Time {
        let at = read_clocks();
        let confirmed_offset = self.shared.confirmed_offset.load(Ordering::Relaxed);
        let millis = if (at.system - at.monotonic).abs_diff(confirmed_offset) <= IGNORED_DEVIATION {
            at.system
        } else {
            self.observe_clocks()
        };
        Time(millis + self.shared.shift_millis.load(Ordering::Relaxed))
    }

    /// Reads both clocks again, since a program that was paused between the two readings sees a step
    /// where there is none.
    fn observe_clocks(&self) -> i64 {
        let shared = &self.shared;
        // Nothing that holds the lock can panic.
        let mut filter = shared.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let at = read_clocks();
        let event = filter.observe(at, step_filter::CONFIRM_AFTER);
        let confirmed_offset = filter.confirmed_offset().unwrap_or(UNCONFIRMED);
        shared
            .confirmed_offset
            .store(confirmed_offset, Ordering::Relaxed);
        let millis = filter.time(at);
        drop(filter);
        log_step(event);
        millis
    }

    /// Moves this clock and its clones by `millis`, so that tests need not wait.
    pub fn shift(&self, millis: i64) {
        self.shared
            .shift_millis
            .fetch_add(millis, Ordering::Relaxed);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
fn read_clocks() -> ClockReading {
    ClockReading {
        monotonic: monotonic::millis(),
        system: jiff::Timestamp::now().as_millisecond(),
    }
}

fn log_step(event: StepEvent) {
    match event {
        StepEvent::None => {}
        StepEvent::Detected(by) => tracing::warn!(
            by_ms = by,
            "the system's clock was stepped; the step takes effect if it persists for a minute"
        ),
        StepEvent::Reverted => tracing::info!("the step of the system's clock was reverted"),
        StepEvent::Confirmed(by) => tracing::warn!(
            by_ms = by,
            "the step of the system's clock persisted and took effect"
        ),
    }
}
