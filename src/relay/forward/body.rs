//! Bodies on their way: streamed, collected for a rule, or held until the provider wants them.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

/// Any failure of a message; the reason for which HTTP/2 resets a stream is found among its sources.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is being passed on.
pub(super) type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body as it comes.
pub(super) fn streamed(body: Incoming) -> BoxBody {
    body.map_err(BoxError::from).boxed_unsync()
}

/// A body of known content.
pub(super) fn full(content: Bytes) -> BoxBody {
    Full::new(content)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What was read of a body.
pub(super) enum Collected {
    /// All of it, and the trailers behind it.
    Whole(Bytes, Option<HeaderMap>),
    /// More than was asked for: the body as it came.
    TooLarge(BoxBody),
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// The agent's, when it breaks off.
pub(super) async fn collect(mut body: BoxBody, limit: usize) -> Result<Collected, BoxError> {
    // One that is known to be too large is not even begun.
    if body.size_hint().lower() > limit as u64 {
        return Ok(Collected::TooLarge(body));
    }
    let (mut pieces, mut length, mut trailers) = (Vec::new(), 0, None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(piece) => {
                length += piece.len();
                pieces.push(piece);
            }
            Err(other) => trailers = other.into_trailers().ok(),
        }
        if length > limit {
            return Ok(Collected::TooLarge(begun(pieces, body)));
        }
    }
    Ok(Collected::Whole(joined(pieces, length), trailers))
}

/// A body that was collected and goes as it came.
pub(super) fn uncollected(content: Bytes, trailers: Option<HeaderMap>) -> BoxBody {
    match trailers {
        None => full(content),
        Some(trailers) => Full::new(content)
            .map_err(|never| match never {})
            .with_trailers(std::future::ready(Some(Ok(trailers))))
            .boxed_unsync(),
    }
}

/// A body of which some pieces were taken already.
fn begun(pieces: Vec<Bytes>, rest: BoxBody) -> BoxBody {
    let pieces = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(stream::iter(pieces).chain(BodyStream::new(rest))).boxed_unsync()
}

/// One piece stays where it is.
fn joined(mut pieces: Vec<Bytes>, length: usize) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(length);
    pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    all.freeze()
}

/// A body that waits until the provider wants it (`Expect: 100-continue`), or says nothing for
/// [`CONTINUE_LIMIT`].
pub(super) fn after_continue(body: BoxBody, is_wanted: watch::Receiver<bool>) -> BoxBody {
    let hint = body.size_hint();
    let mut waiting = is_wanted;
    let wanted = async move {
        // Without the word the provider has answered: the body is not wanted any more, and to ask the
        // agent for it now could come before that answer.
        if waiting.wait_for(|is_wanted| *is_wanted).await.is_err() {
            pending::<()>().await;
        }
    };
    let waited = async {
        let _ = timeout(CONTINUE_LIMIT, wanted).await;
    };
    Gated {
        waited: Some(Box::pin(waited)),
        body,
        hint,
    }
    .boxed_unsync()
}

struct Gated {
    waited: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    body: BoxBody,
    hint: SizeHint,
}

impl Body for Gated {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(waited) = &mut self.waited {
            ready!(waited.as_mut().poll(cx));
            self.waited = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.waited.is_some() {
            self.hint
        } else {
            self.body.size_hint()
        }
    }
}

/// Agents that expect word before they send a body wait a second for it, and then send it (curl).
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);
