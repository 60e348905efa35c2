//! Body of a response that counts as unsent until the connection has taken all of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::stall_guard::RunningRequest;

/// A body, and its request.
#[derive(Debug)]
pub(super) struct TrackedBody<B> {
    body: B,
    _request: RunningRequest,
}

impl<B> TrackedBody<B> {
    /// Records that the request of `body` has its response.
    pub(super) fn new(body: B, mut request: RunningRequest) -> Self {
        request.record_response();
        Self {
            body,
            _request: request,
        }
    }
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
