//! The queue between log statements and the output: a write may fail or wait for ever without an effect
//! on requests.
//!
//! The queue has a limit in bytes. Lines beyond it are lost, and so are lines that cannot be written. Lost
//! lines are counted, and reported in the log once lines can be written again.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::queue_level::QueueLevel;

/// Size of the lines that may wait, in bytes: about a minute of a server under attack.
const CAPACITY: usize = 4 << 20;
/// Memory of a waiting line in addition to its text.
const LINE_OVERHEAD: usize = 64;
/// Minimum time between two reports of lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which a non-blocking output that accepted nothing is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// The sending end of the queue. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct LogQueue {
    lines: Sender<Vec<u8>>,
    counts: Arc<QueueCounters>,
}

#[derive(Debug, Default)]
struct QueueCounters {
    waiting_bytes: AtomicUsize,
    lost_lines: AtomicU64,
    /// The writing thread. Its own lines are never dropped: they are the reports of lost lines.
    writer: OnceLock<ThreadId>,
}

impl LogQueue {
    /// Starts the thread that writes to `output`. It calls `report` with the number of lines lost since
    /// the previous report.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let counts = Arc::<QueueCounters>::default();
        let writer = LogWriter {
            output,
            report,
            lines: receiver,
            counts: Arc::clone(&counts),
            reported: 0,
            report_at: Instant::now(),
            can_write: false,
            is_line_incomplete: false,
        };
        let name = "log".to_owned();
        thread::Builder::new()
            .name(name)
            .spawn(move || writer.run())?;
        Ok(Self {
            lines: sender,
            counts,
        })
    }

    /// Returns the number of lines that were lost since the start.
    pub(super) fn lost_lines(&self) -> u64 {
        self.counts.lost_lines.load(Ordering::Relaxed)
    }

    /// Returns the size of the lines that wait, and the maximum, in bytes.
    pub(super) fn level(&self) -> QueueLevel {
        QueueLevel {
            used: self.counts.waiting_bytes.load(Ordering::Relaxed),
            max: CAPACITY,
        }
    }

    /// Waits until every line is written or lost, but not longer than `limit`.
    pub(super) fn wait_until_empty(&self, limit: Duration) {
        let start = Instant::now();
        while self.counts.waiting_bytes.load(Ordering::Acquire) > 0 && start.elapsed() < limit {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn push(&self, line: &[u8]) {
        let counts = &self.counts;
        let size = line.len() + LINE_OVERHEAD;
        let waiting = counts.waiting_bytes.fetch_add(size, Ordering::AcqRel);
        let is_report = counts.writer.get() == Some(&thread::current().id());
        let fits = is_report || waiting + size <= CAPACITY;
        if !fits || self.lines.send(line.to_vec()).is_err() {
            counts.waiting_bytes.fetch_sub(size, Ordering::AcqRel);
            counts.lost_lines.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writer that puts one line at a time, as `tracing-subscriber` writes them, into the queue. Never fails.
#[derive(Debug)]
pub(super) struct LineWriter<'a>(&'a LogQueue);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self)
    }
}

/// The receiving end of the queue, in the writing thread.
struct LogWriter<W, R> {
    output: W,
    report: R,
    lines: Receiver<Vec<u8>>,
    counts: Arc<QueueCounters>,
    /// Number of lost lines that were reported.
    reported: u64,
    report_at: Instant,
    /// True if the latest line was written.
    can_write: bool,
    /// True if a line was written in part only, as happens when a disk is full.
    is_line_incomplete: bool,
}

impl<W: Write, R: Fn(u64)> LogWriter<W, R> {
    fn run(mut self) {
        // Cannot fail: the `OnceLock` is new.
        let _ = self.counts.writer.set(thread::current().id());
        while let Ok(line) = self.next() {
            if let Some(line) = line {
                self.can_write = self.write_line(&line).is_ok();
                if !self.can_write {
                    self.counts.lost_lines.fetch_add(1, Ordering::Relaxed);
                }
                let size = line.len() + LINE_OVERHEAD;
                self.counts.waiting_bytes.fetch_sub(size, Ordering::AcqRel);
            }
            self.report_lost_lines();
        }
    }

    /// Waits for a line; `None` when it is time for a report instead.
    fn next(&self) -> Result<Option<Vec<u8>>, RecvTimeoutError> {
        if !self.can_write || self.lost_lines() == self.reported {
            let line = self.lines.recv();
            return line.map(Some).map_err(|_| RecvTimeoutError::Disconnected);
        }
        let time = self.report_at.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(None),
            received => received.map(Some),
        }
    }

    fn report_lost_lines(&mut self) {
        let lost = self.lost_lines();
        let now = Instant::now();
        if self.can_write && lost > self.reported && now >= self.report_at {
            (self.report)(lost - self.reported);
            self.reported = lost;
            self.report_at = now + REPORT_INTERVAL;
        }
    }

    fn lost_lines(&self) -> u64 {
        self.counts.lost_lines.load(Ordering::Relaxed)
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_line_incomplete {
            self.write(b"\n")?;
        }
        self.write(line)
    }

    fn write(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.is_line_incomplete = !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W, R> fmt::Debug for LogWriter<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
