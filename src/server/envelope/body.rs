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

/// Smallest amount taken from the budget, and smallest buffer.
const LEAST: usize = 1 << 10;
/// Budget for limits up to the default body limit.
const BUDGET: usize = 16 << 20;
/// Bodies of the largest allowed size that the budget has room for at least.
const LARGEST_BODIES: usize = 4;
/// Extra time after the deadline of a body, so that its error response can still be sent.
const MARGIN: Duration = Duration::from_secs(1);
/// Time for the rest of a body to arrive after the response is known.
const DISCARD: Duration = Duration::from_millis(250);

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
        Self::new(limit.saturating_mul(LARGEST_BODIES).max(BUDGET))
    }

    /// Returns how many bytes are in use.
    pub fn held(&self) -> usize {
        self.bytes - self.free.available_permits()
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
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
    TooSlow { limit: Duration },
    #[error("the memory for incomplete bodies is used up")]
    BudgetExhausted,
    #[error("the body ended too early")]
    BrokenOff(#[source] io::Error),
}

impl BodyError {
    /// Returns the error of this module that the framework has wrapped in an I/O error.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        let inner = error.get_ref()?;
        inner
            .downcast_ref()
            .or_else(|| inner.downcast_ref().and_then(Self::of))
    }
}

impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        let kind = match &error {
            BodyError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            BodyError::TooSlow { .. } => io::ErrorKind::TimedOut,
            BodyError::BudgetExhausted => io::ErrorKind::OutOfMemory,
            BodyError::BrokenOff(source) => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// Limits of a body.
#[derive(Clone, Debug)]
pub(super) struct BodyRules {
    pub(super) limit: usize,
    pub(super) timeout: Duration,
    pub(super) budget: BodyBudget,
}

impl BodyRules {
    fn too_large(&self) -> BodyError {
        BodyError::TooLarge { limit: self.limit }
    }
}

/// The body of one request, shared by the handler that may read it and the layer around it.
#[derive(Clone, Debug)]
pub(super) struct IncomingBody(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Unread(Body),
    ReadingSince(Instant),
    ReadAt(Instant),
}

impl IncomingBody {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State::Unread(body))))
    }

    /// Returns the body for the handler: it is read when the handler polls it.
    pub(super) fn deferred(&self, rules: BodyRules, declared: Option<usize>) -> Body {
        let incoming = self.clone();
        let reading = async move {
            let Some(body) = incoming.begin() else {
                return Ok(Bytes::new());
            };
            let whole = async {
                if declared.is_some_and(|length| length > rules.limit) {
                    return Err(rules.too_large());
                }
                read(body.into_bytes_stream(), &rules).await
            };
            let read = tokio::time::timeout(rules.timeout, whole).await;
            *incoming.state() = State::ReadAt(Instant::now());
            let too_slow = BodyError::TooSlow {
                limit: rules.timeout,
            };
            Ok::<_, io::Error>(read.unwrap_or(Err(too_slow))?)
        };
        Body::from_bytes_stream(stream::once(Box::pin(reading)))
    }

    fn begin(&self) -> Option<Body> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::ReadingSince(Instant::now())) {
            State::Unread(body) => Some(body),
            known => {
                *state = known;
                None
            }
        }
    }

    /// Returns the deadline of the response. The time for reading the body does not count.
    pub(super) fn deadline(&self, rules: &BodyRules) -> Option<Instant> {
        match *self.state() {
            State::Unread(_) => None,
            State::ReadingSince(since) => Some(since + rules.timeout + MARGIN),
            State::ReadAt(at) => Some(at + rules.timeout),
        }
    }

    /// Reads and discards a body that no handler has read. If an HTTP/1.1 connection were closed while the
    /// client still sends, the client might never see the response.
    pub(super) async fn discard(&self) {
        let Some(body) = self.begin() else { return };
        let mut pieces = body.into_bytes_stream();
        let arriving = async { while let Ok(Some(_)) = pieces.try_next().await {} };
        let _late = tokio::time::timeout(DISCARD, arriving).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a body. Most bodies arrive in one chunk, which is in memory already and is used without a copy.
async fn read(
    pieces: impl Stream<Item = io::Result<Bytes>>,
    rules: &BodyRules,
) -> Result<Bytes, BodyError> {
    let mut pieces = std::pin::pin!(pieces.map_err(BodyError::BrokenOff));
    let first = pieces.try_next().await?.unwrap_or_default();
    let mut next = match pieces.try_next().now_or_never().transpose()? {
        Some(None) if first.len() <= rules.limit => return Ok(first),
        Some(next) => next,
        None => None,
    };
    let mut buffer = Buffer::new(rules);
    buffer.push(&first)?;
    // It may be a small slice of a large buffer.
    drop(first);
    if next.is_none() {
        next = pieces.try_next().await?;
    }
    while let Some(piece) = next {
        buffer.push(&piece)?;
        drop(piece);
        next = pieces.try_next().await?;
    }
    Ok(Bytes::from_owner(buffer.whole))
}

/// Buffer for a body that arrives in chunks.
struct Buffer<'r> {
    rules: &'r BodyRules,
    whole: Counted,
}

/// Bytes that hold their share of the budget until they are dropped.
struct Counted {
    bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'r> Buffer<'r> {
    fn new(rules: &'r BodyRules) -> Self {
        Self {
            rules,
            whole: Counted {
                bytes: Vec::new(),
                share: None,
            },
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        let limit = self.rules.limit;
        let bytes = &mut self.whole.bytes;
        let length = bytes.len().saturating_add(piece.len());
        if length > limit {
            return Err(self.rules.too_large());
        }
        let held = self
            .whole
            .share
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        if length > held {
            let capacity = length.next_power_of_two().max(LEAST).min(limit.max(LEAST));
            let more = self.rules.budget.take(capacity - held);
            let more = more.ok_or(BodyError::BudgetExhausted)?;
            match &mut self.whole.share {
                Some(share) => share.merge(more),
                None => self.whole.share = Some(more),
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
