//! Lifecycle of a server: ready, draining, closing; and the work that must finish before it stops.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LifecyclePhase {
    Ready,
    Draining,
    Closing,
}

/// Phase of a server and its tracked work. Clones share it.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<LifecyclePhase>,
    work: TaskTracker,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(LifecyclePhase::Ready),
            work: TaskTracker::new(),
        }
    }
}

impl Lifecycle {
    /// Returns whether the server is about to stop, so that proxies should send it no new requests.
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() > LifecyclePhase::Ready
    }

    /// Wraps `work` in a future that runs to completion even when it is dropped: a drop moves the work to
    /// a tracked task, and a stopping server waits for that.
    ///
    /// Until then the work runs in the task that polls it. Few requests are dropped, and a separate task
    /// for every request would slow all of them down.
    pub fn run_to_completion<F>(&self, work: Pin<Box<F>>) -> DetachOnDrop<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        DetachOnDrop {
            work: Some(work),
            lifecycle: self.clone(),
        }
    }

    /// Runs `work` in a separate task; a stopping server waits for it.
    pub fn track<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.work.spawn(work)
    }

    pub(super) fn start_draining(&self) {
        self.phase.send_replace(LifecyclePhase::Draining);
    }

    /// Tells connections to close after their running requests.
    pub(super) fn start_closing(&self) {
        self.phase.send_replace(LifecyclePhase::Closing);
        self.work.close();
    }

    pub(super) async fn wait_until_closing(&self) {
        let mut phase = self.phase.subscribe();
        // Fails only when the sender is dropped, and `self` owns it.
        let _ = phase
            .wait_for(|phase| *phase == LifecyclePhase::Closing)
            .await;
    }

    /// Waits for the tracked work to finish, without telling connections to close.
    #[cfg(test)]
    pub(crate) async fn close_and_finish_work(&self) {
        self.work.close();
        self.work.wait().await;
    }

    pub(super) async fn work_finished(&self) {
        self.work.wait().await;
    }
}

/// See [`Lifecycle::run_to_completion`].
#[derive(Debug)]
pub struct DetachOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// `None` once the work is complete.
    work: Option<Pin<Box<F>>>,
    lifecycle: Lifecycle,
}

impl<F> Future for DetachOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.work else {
            // Complete already: a future must not be polled after that.
            return Poll::Pending;
        };
        let poll = work.as_mut().poll(cx);
        if poll.is_ready() {
            self.work = None;
        }
        poll
    }
}

impl<F> Drop for DetachOnDrop<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Work that panicked cannot continue, and a runtime that has shut down runs nothing.
        if let Some(work) = self.work.take()
            && !thread::panicking()
            && Handle::try_current().is_ok()
        {
            drop(self.lifecycle.track(work));
        }
    }
}
