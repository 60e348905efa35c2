//! From "ready" over "draining" to "closed", and the work that must not be cut short.

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Ready,
    Draining,
    Closing,
}

/// Where in its life a server is. Clones share it.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    work: TaskTracker,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Ready),
            work: TaskTracker::new(),
        }
    }
}

impl Lifecycle {
    /// Returns whether the server is about to stop, so that it should get no new requests.
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() > Phase::Ready
    }

    /// Runs `work` to its end, whoever stops waiting for it; a stopping server waits.
    pub fn track<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.work.spawn(work)
    }

    pub(super) fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Asks connections to end after the requests they run.
    pub(super) fn close(&self) {
        self.phase.send_replace(Phase::Closing);
        self.work.close();
    }

    pub(super) async fn closing(&self) {
        let mut phase = self.phase.subscribe();
        // Fails when the sender is gone, and it lives in `self`.
        let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
    }

    /// Waits for the work without asking anything of it.
    #[cfg(test)]
    pub(super) async fn work_is_complete(&self) {
        self.work.close();
        self.work.wait().await;
    }

    pub(super) async fn finished(&self) {
        self.work.wait().await;
    }
}
