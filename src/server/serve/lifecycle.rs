//! From "ready" over "draining" to "closed", and the work that must not be cut short.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;
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

    /// Returns `work` as something that comes to its end even when whoever waits for it stops
    /// waiting; a stopping server waits for it then.
    ///
    /// It runs where it is waited for. A task of its own for every request, though few are given
    /// up, would cost each of them a longer way there and back.
    pub fn see_through<F>(&self, work: Pin<Box<F>>) -> SeenThrough<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        SeenThrough {
            work: Some(work),
            lifecycle: self.clone(),
        }
    }

    /// Runs `work` in a task of its own; a stopping server waits for it.
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
    pub(in crate::server) async fn work_is_complete(&self) {
        self.work.close();
        self.work.wait().await;
    }

    pub(super) async fn finished(&self) {
        self.work.wait().await;
    }
}

/// See [`Lifecycle::see_through`].
#[derive(Debug)]
pub struct SeenThrough<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// Taken when it is done.
    work: Option<Pin<Box<F>>>,
    lifecycle: Lifecycle,
}

impl<F> Future for SeenThrough<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.work else {
            // Done already: nobody may ask again.
            return Poll::Pending;
        };
        let poll = work.as_mut().poll(cx);
        if poll.is_ready() {
            self.work = None;
        }
        poll
    }
}

impl<F> Drop for SeenThrough<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // What panicked cannot go on, and a runtime that has ended runs nothing.
        if let Some(work) = self.work.take()
            && !thread::panicking()
            && Handle::try_current().is_ok()
        {
            drop(self.lifecycle.track(work));
        }
    }
}
