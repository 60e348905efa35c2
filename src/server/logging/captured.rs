//! The log of one test, to be read by it.

use std::sync::Arc;

use serde_json::Value;
use tempfile::NamedTempFile;
use tracing::Dispatch;
use tracing::dispatcher::{DefaultGuard, set_default};
use tracing::subscriber::NoSubscriber;

use super::objects;

/// What this thread logs as long as this lives.
pub(in crate::server) struct Captured {
    file: NamedTempFile,
    _guard: DefaultGuard,
    /// While there is one subscriber only, tracing asks the thread that comes to a line first whether
    /// anybody wants it, and remembers that for all threads. So there are two.
    _other: Dispatch,
}

impl Captured {
    /// Begins, with lines of every level from `debug` on.
    pub(in crate::server) fn begin() -> Self {
        let file = NamedTempFile::new().unwrap();
        let writer = Arc::new(file.reopen().unwrap());
        let ours = Dispatch::new(objects("debug", writer));
        let other = Dispatch::new(NoSubscriber::new());
        Self {
            file,
            _guard: set_default(&ours),
            _other: other,
        }
    }

    /// Returns all that was logged so far.
    pub(in crate::server) fn text(&self) -> String {
        std::fs::read_to_string(self.file.path()).unwrap()
    }

    /// Returns its lines.
    pub(in crate::server) fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}
