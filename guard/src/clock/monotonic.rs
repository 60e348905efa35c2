//! The monotonic clock, which cannot be set.

/// Returns the milliseconds since an arbitrary moment, including the time in which the machine was
/// suspended.
#[cfg(unix)]
pub(super) fn millis() -> i64 {
    use rustix::time::ClockId;
    // Name of the clock that includes suspension on Linux; on other systems the monotonic clock includes
    // it, or no clock does.
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = rustix::time::clock_gettime(CLOCK);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Returns the milliseconds since an arbitrary moment.
#[cfg(not(unix))]
pub(super) fn millis() -> i64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(i64::MAX)
}
