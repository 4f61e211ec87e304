//! A body made of given pieces: what the demo sends, and when.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Yields its pieces one by one.
pub(super) struct Pieces {
    left: VecDeque<Bytes>,
    sized: bool,
    held: bool,
    pause: Duration,
    nap: Option<Pin<Box<Sleep>>>,
}

impl Pieces {
    /// One piece of known length: goes out with `Content-Length`.
    pub(super) fn complete(bytes: impl Into<Bytes>) -> Self {
        Self {
            sized: true,
            ..Self::chunked([bytes.into()], Duration::ZERO)
        }
    }

    /// Pieces of unannounced length, with a pause before each but the first.
    pub(super) fn chunked(pieces: impl IntoIterator<Item = Bytes>, pause: Duration) -> Self {
        Self {
            left: pieces.into_iter().collect(),
            sized: false,
            held: false,
            pause,
            nap: None,
        }
    }

    /// The first piece waits for so long.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self {
            nap: (!wait.is_zero()).then(|| Box::pin(sleep(wait))),
            ..self
        }
    }

    /// After the last piece the body stays open until its connection or stream is dropped.
    pub(super) fn hold_open(&mut self) {
        self.held = true;
    }

    fn bytes_left(&self) -> u64 {
        self.left.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(nap) = self.nap.as_mut() {
            std::task::ready!(nap.as_mut().poll(cx));
            self.nap = None;
        }
        match self.left.pop_front() {
            Some(piece) => {
                if !self.pause.is_zero() && !self.left.is_empty() {
                    self.nap = Some(Box::pin(sleep(self.pause)));
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            // Nothing will ever wake this body: only its drop ends it, which is the point.
            None if self.held => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.held
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.bytes_left())
        } else {
            SizeHint::default()
        }
    }
}
