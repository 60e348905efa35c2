//! Capture of the log lines of one test.

use std::sync::Arc;

use serde_json::Value;
use tempfile::NamedTempFile;
use tracing::Dispatch;
use tracing::dispatcher::{DefaultGuard, set_default};
use tracing::subscriber::NoSubscriber;

use super::json_subscriber;

/// Log lines of this thread, captured while this value exists.
pub(crate) struct CapturedLog {
    file: NamedTempFile,
    _guard: DefaultGuard,
    /// A second subscriber. With a single one, tracing asks only the thread that reaches a log statement
    /// first whether it is enabled, and caches that for all threads.
    _other: Dispatch,
}

impl CapturedLog {
    /// Begins the capture of lines with the level `debug` and above.
    pub(crate) fn begin() -> Self {
        let file = NamedTempFile::new().unwrap();
        let writer = Arc::new(file.reopen().unwrap());
        let ours = Dispatch::new(json_subscriber("debug", writer));
        let other = Dispatch::new(NoSubscriber::new());
        Self {
            file,
            _guard: set_default(&ours),
            _other: other,
        }
    }

    /// Returns the text that was logged so far.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.file.path()).unwrap()
    }

    /// Returns the lines that were logged so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}
