//! Request bodies: read on demand and as a whole, within limits of size, time and memory.
//!
//! If the handler needs no body, none is read: an unauthenticated client, an unknown path or a wrong method
//! costs no memory. A body that arrives in chunks is buffered until it is complete, and all such buffers
//! together take no more than the [`BodyBudget`] of the process.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, Stream, TryStreamExt, stream};
use hyper::body::Bytes;
use poem::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::queue_level::QueueLevel;

/// Smallest amount taken from the budget, and smallest buffer.
const MIN_BUFFER_BYTES: usize = 1 << 10;
/// Budget for limits up to the default body limit.
const MIN_BUDGET_BYTES: usize = 16 << 20;
/// Bodies of the largest allowed size that the budget has room for at least.
const MIN_LARGEST_BODIES: usize = 4;
/// Extra time after the deadline of a body, so that its error response can still be sent.
const ERROR_RESPONSE_MARGIN: Duration = Duration::from_secs(1);
/// Time for the rest of a body to arrive after the response is known.
const DISCARD_TIMEOUT: Duration = Duration::from_millis(250);

/// Memory budget for all bodies that are incomplete, and for buffered bodies that a handler still uses.
/// Clones share it.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl BodyBudget {
    /// Returns a budget of that many bytes.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    /// Returns the budget of a server that reads bodies of at most `limit` bytes.
    pub fn for_limit(limit: usize) -> Self {
        Self::new(
            limit
                .saturating_mul(MIN_LARGEST_BODIES)
                .max(MIN_BUDGET_BYTES),
        )
    }

    /// Returns how many bytes are in use.
    pub fn bytes_in_use(&self) -> usize {
        self.bytes - self.free.available_permits()
    }

    /// Returns the bytes in use, and the maximum.
    pub fn level(&self) -> QueueLevel {
        QueueLevel {
            used: self.bytes_in_use(),
            max: self.bytes,
        }
    }

    fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.free).try_acquire_many_owned(bytes).ok()
    }
}

/// Failure to read a body to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {limit} bytes (LATCHET_BODY_LIMIT)")]
    TooLarge { limit: usize },
    #[error("the body did not arrive within {} s (LATCHET_REQUEST_TIMEOUT)", limit.as_secs_f32())]
    Timeout { limit: Duration },
    #[error("the memory for incomplete bodies is used up")]
    BudgetExhausted,
    #[error("the body ended too early")]
    Truncated(#[source] io::Error),
}

impl BodyError {
    /// Returns the error of this module that the framework has wrapped in an I/O error.
    pub(super) fn find_in(error: &io::Error) -> Option<&Self> {
        let inner = error.get_ref()?;
        inner
            .downcast_ref()
            .or_else(|| inner.downcast_ref().and_then(Self::find_in))
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        let kind = match &error {
            BodyError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            BodyError::Timeout { .. } => io::ErrorKind::TimedOut,
            BodyError::BudgetExhausted => io::ErrorKind::OutOfMemory,
            BodyError::Truncated(source) => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// Limits of a body.
#[derive(Clone, Debug)]
pub(super) struct BodyLimits {
    pub(super) limit: usize,
    pub(super) timeout: Duration,
    pub(super) budget: BodyBudget,
}

impl BodyLimits {
    fn too_large(&self) -> BodyError {
        BodyError::TooLarge { limit: self.limit }
    }
}

/// The body of one request, shared by the handler that may read it and the layer around it.
#[derive(Clone, Debug)]
pub(super) struct IncomingBody(Arc<Mutex<ReadState>>);

#[derive(Debug)]
enum ReadState {
    Unread(Body),
    ReadingSince(Instant),
    ReadAt(Instant),
}

impl IncomingBody {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(ReadState::Unread(body))))
    }

    /// Returns the body for the handler: it is read when the handler polls it.
    pub(super) fn deferred(&self, limits: BodyLimits, declared: Option<usize>) -> Body {
        let incoming = self.clone();
        let reading = async move {
            let Some(body) = incoming.take_unread() else {
                return Ok(Bytes::new());
            };
            let whole = async {
                if declared.is_some_and(|length| length > limits.limit) {
                    return Err(limits.too_large());
                }
                read_chunks(body.into_bytes_stream(), &limits).await
            };
            let read = tokio::time::timeout(limits.timeout, whole).await;
            *incoming.lock() = ReadState::ReadAt(Instant::now());
            let timed_out = BodyError::Timeout {
                limit: limits.timeout,
            };
            Ok::<_, io::Error>(read.unwrap_or(Err(timed_out))?)
        };
        Body::from_bytes_stream(stream::once(Box::pin(reading)))
    }

    fn take_unread(&self) -> Option<Body> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, ReadState::ReadingSince(Instant::now())) {
            ReadState::Unread(body) => Some(body),
            known => {
                *state = known;
                None
            }
        }
    }

    /// Returns the deadline of the response. The time for reading the body does not count.
    pub(super) fn deadline(&self, limits: &BodyLimits) -> Option<Instant> {
        match *self.lock() {
            ReadState::Unread(_) => None,
            ReadState::ReadingSince(since) => Some(since + limits.timeout + ERROR_RESPONSE_MARGIN),
            ReadState::ReadAt(at) => Some(at + limits.timeout),
        }
    }

    /// Reads and discards a body that no handler has read. If an HTTP/1.1 connection were closed while the
    /// client still sends, the client might never see the response.
    pub(super) async fn discard(&self) {
        let Some(body) = self.take_unread() else {
            return;
        };
        let mut chunks = body.into_bytes_stream();
        let arriving = async { while let Ok(Some(_)) = chunks.try_next().await {} };
        let _late = tokio::time::timeout(DISCARD_TIMEOUT, arriving).await;
    }

    fn lock(&self) -> MutexGuard<'_, ReadState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a body. Most bodies arrive in one chunk, which is in memory already and is used without a copy.
async fn read_chunks(
    chunks: impl Stream<Item = io::Result<Bytes>>,
    limits: &BodyLimits,
) -> Result<Bytes, BodyError> {
    let mut chunks = std::pin::pin!(chunks.map_err(BodyError::Truncated));
    let first = chunks.try_next().await?.unwrap_or_default();
    let mut next = match chunks.try_next().now_or_never().transpose()? {
        Some(None) if first.len() <= limits.limit => return Ok(first),
        Some(next) => next,
        None => None,
    };
    let mut buffer = ChunkBuffer::new(limits);
    buffer.push(&first)?;
    // It may be a small slice of a large buffer.
    drop(first);
    if next.is_none() {
        next = chunks.try_next().await?;
    }
    while let Some(chunk) = next {
        buffer.push(&chunk)?;
        drop(chunk);
        next = chunks.try_next().await?;
    }
    Ok(Bytes::from_owner(buffer.whole))
}

/// Buffer for a body that arrives in chunks.
struct ChunkBuffer<'r> {
    limits: &'r BodyLimits,
    whole: BudgetedBytes,
}

/// Bytes that hold their share of the budget until they are dropped.
struct BudgetedBytes {
    bytes: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'r> ChunkBuffer<'r> {
    fn new(limits: &'r BodyLimits) -> Self {
        Self {
            limits,
            whole: BudgetedBytes {
                bytes: Vec::new(),
                permit: None,
            },
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        let limit = self.limits.limit;
        let bytes = &mut self.whole.bytes;
        let length = bytes.len().saturating_add(chunk.len());
        if length > limit {
            return Err(self.limits.too_large());
        }
        let reserved = self
            .whole
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        if length > reserved {
            let capacity = length
                .next_power_of_two()
                .max(MIN_BUFFER_BYTES)
                .min(limit.max(MIN_BUFFER_BYTES));
            let more = self.limits.budget.reserve(capacity - reserved);
            let more = more.ok_or(BodyError::BudgetExhausted)?;
            match &mut self.whole.permit {
                Some(permit) => permit.merge(more),
                None => self.whole.permit = Some(more),
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(chunk);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
