//! Bodies on their way: streamed, collected for a rule, or held until the provider wants them.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

use super::memory::{BodyMemory, Reserved};
use crate::rules::TooLarge;

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
    /// All of it.
    Whole(Whole),
    /// More than may be read of it: the body as it came, and why it is not read.
    TooLarge(BoxBody, TooLarge),
}

/// A whole body, and the memory that it takes.
pub(super) struct Whole {
    pub(super) content: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) reserved: Reserved,
}

/// Reads a body of at most `limit` bytes into `memory`.
///
/// # Errors
/// The agent's, when it breaks off.
pub(super) async fn collect(
    mut body: BoxBody,
    limit: usize,
    memory: &BodyMemory,
) -> Result<Collected, BoxError> {
    // One that is known to be too large is not even begun.
    if body.size_hint().lower() > limit as u64 {
        return Ok(Collected::TooLarge(body, TooLarge::Limit));
    }
    let (mut begun, mut reserved, mut trailers) = (Vec::new(), memory.reserve(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(piece) => {
                if let Err(why) = add(&mut begun, &piece, limit, &mut reserved) {
                    begun.shrink_to_fit();
                    let begun = [reserved.hold(Bytes::from(begun)), piece];
                    return Ok(Collected::TooLarge(continued(begun, body), why));
                }
            }
            Err(other) => trailers = other.into_trailers().ok(),
        }
    }
    begun.shrink_to_fit();
    Ok(Collected::Whole(Whole {
        content: Bytes::from(begun),
        trailers,
        reserved,
    }))
}

/// Adds a piece, for which memory is reserved first. The pieces are copied together: each by itself
/// would keep the buffer that it was read into, and one byte of a body could take a thousand.
fn add(
    content: &mut Vec<u8>,
    piece: &[u8],
    limit: usize,
    reserved: &mut Reserved,
) -> Result<(), TooLarge> {
    let length = content.len() + piece.len();
    if length > limit {
        return Err(TooLarge::Limit);
    }
    if length > content.capacity() {
        reserved.grow_up_to(length.max(content.capacity() * 2).min(limit));
        let Some(more) = reserved.bytes().checked_sub(content.len()) else {
            return Err(TooLarge::Memory);
        };
        if more < piece.len() {
            return Err(TooLarge::Memory);
        }
        content.reserve_exact(more);
    }
    content.extend_from_slice(piece);
    Ok(())
}

/// A body that was collected and goes as it came.
pub(super) fn uncollected(whole: Whole) -> BoxBody {
    let content = whole.reserved.hold(whole.content);
    match whole.trailers {
        None => full(content),
        Some(trailers) => Full::new(content)
            .map_err(|never| match never {})
            .with_trailers(std::future::ready(Some(Ok(trailers))))
            .boxed_unsync(),
    }
}

/// A body of which the beginning was taken already.
fn continued(beginning: [Bytes; 2], rest: BoxBody) -> BoxBody {
    let pieces = beginning.into_iter().filter(|piece| !piece.is_empty());
    let pieces = pieces.map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(stream::iter(pieces).chain(BodyStream::new(rest))).boxed_unsync()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&'static str], trailers: &HeaderMap) -> BoxBody {
        let data = pieces
            .iter()
            .map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
        let frames: Vec<_> = data.chain([Frame::trailers(trailers.clone())]).collect();
        StreamBody::new(stream::iter(frames.into_iter().map(Ok))).boxed_unsync()
    }

    /// Also where more came than may be read of it.
    #[tokio::test]
    async fn a_body_that_was_collected_goes_on_whole_with_its_trailers() {
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static("7"),
        )]);
        for (limit, memory, expected) in [
            (6, 6, None),
            (5, 6, Some(TooLarge::Limit)),
            (0, 6, Some(TooLarge::Limit)),
            (6, 5, Some(TooLarge::Memory)),
            (6, 0, Some(TooLarge::Memory)),
        ] {
            let (came, memory) = (body(&["abc", "def"], &trailers), BodyMemory::new(memory));
            let (went, why) = match collect(came, limit, &memory).await.unwrap() {
                Collected::Whole(whole) => (uncollected(whole), None),
                Collected::TooLarge(rest, why) => (rest, Some(why)),
            };
            assert_eq!(why, expected, "{limit} {memory:?}");
            let went = went.collect().await.unwrap();
            assert_eq!(went.trailers(), Some(&trailers));
            assert_eq!(went.to_bytes(), "abcdef");
        }
    }
}
