//! Queue of requests that are processed in batches: many in one statement, or in one commit.
//!
//! A statement and a commit cost nearly the same for one row as for hundreds. One task takes all requests that
//! wait (it never waits for more) and processes them together, then all that arrived meanwhile.

use tokio::sync::{mpsc, oneshot};

use super::{StoreError, with_deadline};
use crate::queue_level::QueueLevel;

/// Capacity of a queue; further requests are refused and may be retried.
const CAPACITY: usize = 4096;

/// Channel on which the caller of a request receives its result.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Queue of the requests `R`, with the task that processes them.
#[derive(Debug)]
pub(super) struct BatchQueue<R>(mpsc::Sender<R>);

impl<R: Send + 'static> BatchQueue<R> {
    /// Starts the task, which ends when the queue is dropped. `process` responds to at most `max_batch_size`
    /// requests, and returns what it keeps for a next batch that waits already, such as a connection.
    pub(super) fn start<K, P, F>(max_batch_size: usize, process: P) -> Self
    where
        K: Send + 'static,
        P: Fn(Option<K>, Vec<R>) -> F + Send + 'static,
        F: Future<Output = Option<K>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        #[expect(
            clippy::disallowed_methods,
            reason = "each request carries the channel on which its caller waits; the task ends with the queue"
        )]
        tokio::spawn(process_batches(receiver, max_batch_size, process));
        Self(sender)
    }

    /// Returns a queue that nothing processes, and its other end.
    #[cfg(test)]
    pub(super) fn without_task() -> (Self, mpsc::Receiver<R>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(sender), receiver)
    }

    /// Adds the request that `make` returns, and waits for its result. Once added, it is processed even when the
    /// caller stops waiting.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the queue is full, or there is no result in time.
    pub(super) async fn run<T>(&self, make: impl FnOnce(Reply<T>) -> R) -> Result<T, StoreError> {
        let (reply, result) = oneshot::channel();
        self.send(make(reply))?;
        with_deadline(async {
            let result = result.await;
            result.unwrap_or_else(|_| Err(StoreError::unavailable()))
        })
        .await
    }

    fn send(&self, request: R) -> Result<(), StoreError> {
        let sent = self.0.try_send(request);
        sent.map_err(|_| StoreError::unavailable())
    }

    /// Returns the number of requests that wait.
    pub(super) fn level(&self) -> QueueLevel {
        QueueLevel {
            used: self.0.max_capacity() - self.0.capacity(),
            max: self.0.max_capacity(),
        }
    }
}

/// Sends the results of a batch to its callers, in order; of a failed batch, the error to all of them. A caller
/// may have stopped waiting.
pub(super) fn reply_to_all<T>(
    replies: impl IntoIterator<Item = Reply<T>>,
    results: Result<Vec<Result<T, StoreError>>, StoreError>,
) {
    match results {
        Ok(results) => {
            for (reply, result) in replies.into_iter().zip(results) {
                let _ = reply.send(result);
            }
        }
        Err(error) => {
            for reply in replies {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}

async fn process_batches<R, K, P, F>(
    mut queue: mpsc::Receiver<R>,
    max_batch_size: usize,
    process: P,
) where
    R: Send + 'static,
    K: Send + 'static,
    P: Fn(Option<K>, Vec<R>) -> F,
    F: Future<Output = Option<K>> + Send + 'static,
{
    let mut requests = Vec::with_capacity(max_batch_size);
    let mut kept = None;
    while queue.recv_many(&mut requests, max_batch_size).await > 0 {
        let batch = process(kept, std::mem::take(&mut requests));
        // In a separate task, a batch that panics fails its own callers, whose channels it drops, and
        // no others.
        #[expect(
            clippy::disallowed_methods,
            reason = "it is awaited in the same statement"
        )]
        let processed = tokio::spawn(batch).await;
        kept = processed.unwrap_or_else(|error| {
            tracing::error!(%error, "batch failed");
            None
        });
        // Dropped when no request waits: an idle connection may break, and its pool tests it.
        kept = kept.filter(|_| !queue.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn the_task_ends_when_its_queue_is_dropped() {
        let (sender, receiver) = mpsc::channel::<()>(1);
        drop(sender);

        let task = process_batches(receiver, 1, |_: Option<()>, _| async { None });

        let ended = tokio::time::timeout(DEADLINE, task).await;
        assert!(ended.is_ok(), "it waits although its queue is dropped");
    }

    #[tokio::test]
    async fn all_requests_that_wait_are_one_batch() {
        let (release, gate) = oneshot::channel::<()>();
        let gate = std::sync::Mutex::new(Some(gate));
        let (sizes, mut seen) = mpsc::unbounded_channel();
        let queue = BatchQueue::start(4, move |_: Option<()>, batch: Vec<u8>| {
            let sizes = sizes.clone();
            let gate = gate.lock().unwrap().take();
            async move {
                if let Some(gate) = gate {
                    gate.await.unwrap();
                }
                sizes.send(batch.len()).unwrap();
                None
            }
        });
        queue.send(0).unwrap();
        while queue.level().used > 0 {
            tokio::task::yield_now().await;
        }

        for request in 1..=6 {
            queue.send(request).unwrap();
        }
        let level = queue.level();
        assert_eq!((level.used, level.max), (6, CAPACITY));
        release.send(()).unwrap();

        for size in [1, 4, 2] {
            assert_eq!(seen.recv().await, Some(size));
        }
    }

    #[tokio::test]
    async fn a_batch_that_panics_fails_its_own_callers_only() {
        let queue = BatchQueue::start(
            1,
            |_: Option<()>, batch: Vec<Option<oneshot::Sender<()>>>| async move {
                for reply in batch {
                    let reply = reply.expect("no request without a caller");
                    reply.send(()).unwrap();
                }
                None
            },
        );

        queue.send(None).unwrap();
        let (reply, replied) = oneshot::channel();
        queue.send(Some(reply)).unwrap();

        assert_eq!(replied.await, Ok(()));
    }
}
