//! Writes the history, and tells the time of the run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use chaos::history::{Fault, Head, Leak, Line, Op};

/// The history of a run, being written.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    /// Begins a history.
    pub(crate) fn start(file: &Path, head: Head) -> Self {
        let recorder = Self {
            began: Instant::now(),
            file: Mutex::new(BufWriter::new(
                File::create(file).expect("the history can be written"),
            )),
        };
        recorder.write(&Line::Head(head));
        recorder
    }

    /// Returns the time since the run began, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("runs are short")
    }

    pub(crate) fn op(&self, op: Op) {
        self.write(&Line::Op(Box::new(op)));
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.write(&Line::Fault(fault));
    }

    pub(crate) fn leak(&self, leak: Leak) {
        self.write(&Line::Leak(leak));
    }

    fn write(&self, line: &Line) {
        let mut file = self.file.lock().expect("no holder panics");
        serde_json::to_writer(&mut *file, line).expect("the history can be written");
        file.write_all(b"\n").expect("the history can be written");
    }

    /// Writes out what is kept in memory.
    pub(crate) fn flush(&self) {
        let mut file = self.file.lock().expect("no holder panics");
        file.flush().expect("the history can be written");
    }
}
