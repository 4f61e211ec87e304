//! A response body that is complete at once, or comes from a task frame by frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// The body.
pub(in crate::demo::agent) enum ResponseBody {
    /// The complete body, until it was sent.
    Complete(Option<Bytes>),
    /// Frames until the task ends; a task that ends without a frame ends the body.
    Frames(mpsc::Receiver<Result<Frame<Bytes>, Cut>>),
}

/// The body breaks off here.
#[derive(Debug, thiserror::Error)]
#[error("the demo cut this stream")]
pub(in crate::demo::agent) struct Cut;

impl ResponseBody {
    /// A body of known length.
    pub(super) fn complete(bytes: impl Into<Bytes>) -> Self {
        Self::Complete(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Complete(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Frames(frames) => Poll::Ready(ready!(frames.poll_recv(cx))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Complete(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Complete(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Frames(_) => SizeHint::default(),
        }
    }
}
