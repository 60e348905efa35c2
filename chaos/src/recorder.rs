//! Writes the history, and keeps the time of the run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use chaos::history::{
    HistoryLine, InjectedFault, LeakedSecret, Operation, ProcessStart, ReadinessCheck, RunSettings,
};

/// The history of a run, being written.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
    /// Start times of the requests and faults that are not in the file yet.
    under_way: Mutex<Vec<u64>>,
}

impl Recorder {
    /// Begins a history.
    pub(crate) fn start(file: &Path, head: RunSettings) -> Self {
        let recorder = Self {
            began: Instant::now(),
            path: file.to_owned(),
            file: Mutex::new(BufWriter::new(
                File::create(file).expect("the history can be written"),
            )),
            under_way: Mutex::default(),
        };
        recorder.write(&HistoryLine::RunSettings(head));
        recorder
    }

    /// Returns the time since the run began, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("runs are short")
    }

    /// Begins a request or a fault, which is written when it ends; returns the time.
    pub(crate) fn begin(&self) -> u64 {
        let mut under_way = self.under_way();
        let start = self.now();
        under_way.push(start);
        start
    }

    /// Returns the time until which the history is complete: it holds everything that began earlier.
    pub(crate) fn complete_until(&self) -> u64 {
        let under_way = self.under_way();
        under_way
            .iter()
            .copied()
            .min()
            .unwrap_or_else(|| self.now())
    }

    pub(crate) fn op(&self, op: Operation) {
        let start = op.start;
        self.write(&HistoryLine::Operation(Box::new(op)));
        self.is_over(start);
    }

    pub(crate) fn fault(&self, fault: InjectedFault) {
        let start = fault.start;
        self.write(&HistoryLine::InjectedFault(fault));
        self.is_over(start);
    }

    pub(crate) fn started(&self, started: ProcessStart) {
        let start = started.start;
        self.write(&HistoryLine::ProcessStart(started));
        self.is_over(start);
    }

    pub(crate) fn readiness(&self, readiness: ReadinessCheck) {
        self.write(&HistoryLine::ReadinessCheck(readiness));
    }

    pub(crate) fn leak(&self, leak: LeakedSecret) {
        self.write(&HistoryLine::LeakedSecret(leak));
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<u64>> {
        self.under_way.lock().expect("no holder panics")
    }

    fn is_over(&self, start: u64) {
        let mut under_way = self.under_way();
        if let Some(place) = under_way.iter().position(|other| *other == start) {
            under_way.swap_remove(place);
        }
    }

    fn write(&self, line: &HistoryLine) {
        let mut file = self.file.lock().expect("no holder panics");
        serde_json::to_writer(&mut *file, line).expect("the history can be written");
        file.write_all(b"\n").expect("the history can be written");
    }

    /// Writes out what is kept in memory, and reads all of it.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut file = self.file.lock().expect("no holder panics");
        file.flush().expect("the history can be written");
        std::fs::read(&self.path).expect("it was just written")
    }
}

#[cfg(test)]
mod tests {
    use chaos::history::ServedClients;

    use super::*;

    #[test]
    fn a_history_is_complete_until_the_oldest_open_request() {
        let folder = tempfile::tempdir().unwrap();
        let head = RunSettings {
            topology: "c".to_owned(),
            seed: 1,
            seconds: 0,
            grace: 0,
            recovery: 0,
            guesses: 0,
            shortest_life: None,
            max_sessions: None,
            administrators: Vec::new(),
        };
        let recorder = Recorder::start(&folder.path().join("history"), head);
        let fault = |start| InjectedFault {
            name: "Test".to_owned(),
            start,
            end: recorder.now(),
            blackout: None,
            serves: ServedClients::Nobody,
        };
        let (first, second) = (recorder.begin(), recorder.begin());

        recorder.fault(fault(second));
        let while_one_is = recorder.complete_until();
        recorder.fault(fault(first));

        assert_eq!(while_one_is, first);
        assert!(recorder.complete_until() >= second);
        assert_eq!(recorder.read().split(|byte| *byte == b'\n').count(), 4);
    }
}
