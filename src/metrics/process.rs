//! Metrics of the process, with the names that Prometheus uses for those of any program.
//!
//! They are read from `/proc`. Other systems than Linux have the start time alone.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use latchet_guard::clock::Time;

/// Unit of the times in `/proc`: Linux reports hundredths of a second to programs, whatever it counts itself.
const TICKS_PER_SECOND: f64 = 100.0;

/// Metrics of this process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    start_time: Gauge,
    cpu_seconds: Counter<f64, AtomicU64>,
    resident_bytes: Gauge,
    open_descriptors: Gauge,
}

impl ProcessMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            start_time: Gauge::default(),
            cpu_seconds: Counter::default(),
            resident_bytes: Gauge::default(),
            open_descriptors: Gauge::default(),
        };
        registry.register(
            "process_start_time_seconds",
            "Time at which the server started, in unix seconds",
            metrics.start_time.clone(),
        );
        if cfg!(target_os = "linux") {
            registry.register(
                "process_cpu_seconds",
                "Processor time of the process",
                metrics.cpu_seconds.clone(),
            );
            registry.register(
                "process_resident_memory_bytes",
                "Memory of the process",
                metrics.resident_bytes.clone(),
            );
            registry.register(
                "process_open_fds",
                "Open file descriptors",
                metrics.open_descriptors.clone(),
            );
        }
        metrics
    }

    pub(super) fn set_start_time(&self, time: Time) {
        self.start_time.set(time.secs());
    }

    /// Reads the values. A value that cannot be read stays as it is.
    pub(super) fn update(&self) {
        if let Some(ticks) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| cpu_ticks(&text))
        {
            let seconds = ticks / TICKS_PER_SECOND;
            let value = self.cpu_seconds.inner();
            value.store(seconds.to_bits(), Ordering::Relaxed);
        }
        if let Some(bytes) = fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|text| resident_bytes(&text))
        {
            self.resident_bytes.set(bytes);
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            let count = i64::try_from(descriptors.count()).unwrap_or(i64::MAX);
            self.open_descriptors.set(count);
        }
    }
}

/// Returns `utime` and `stime` of `/proc/self/stat`. The name of the program, in parentheses, may contain
/// anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(f64::from(user) + f64::from(system))
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_from_the_texts_of_linux() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1 2";

        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(cpu_ticks("42 (latchet) S 1"), None);
        assert_eq!(
            resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(resident_bytes("VmRSS: many"), None);
    }
}
