//! The body of every answer: it counts as in progress, and keeps its slot, until the server has
//! released it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

use super::limiter::Slot;
use super::peer::Answer;

/// The slot of an answer, passed from its handler to its body in the response's extensions.
#[derive(Debug, Clone)]
pub(super) struct ResponseSlot {
    _slot: Arc<Slot>,
}

impl ResponseSlot {
    /// Keeps the slot until the answer's body is dropped.
    pub(super) fn keep(slot: Slot, response: &mut Response) {
        response.extensions_mut().insert(Self {
            _slot: Arc::new(slot),
        });
    }
}

/// A body that is passed on piece by piece: the server buffers as much as it is given, and would
/// drop a body in one piece before its reader has taken any of it.
pub(super) struct PacedBody {
    body: Body,
    /// Data from the body that the server has not taken yet.
    rest: Bytes,
    answer: Answer,
    _place: Option<ResponseSlot>,
}

impl PacedBody {
    pub(super) fn wrap(mut response: Response, answer: Answer) -> Response {
        answer.leaves();
        let place = response.extensions_mut().remove();
        response.map(|body| {
            Body::new(Self {
                body,
                rest: Bytes::new(),
                answer,
                _place: place,
            })
        })
    }

    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(self.rest.len().min(PIECE)))
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // The time until the next piece is Gravimeter's, not the reader's.
        if frame.is_pending() {
            self.answer.is_being_made();
        } else {
            self.answer.leaves();
        }
        let Some(frame) = ready!(frame) else {
            return Poll::Ready(None);
        };
        let frame = frame.map(|frame| match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.piece()
            }
            Err(frame) => frame,
        });
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

/// Size of a piece: as much as the server buffers of an answer.
const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::web::origin::Origin;
    use crate::web::peer::Peer;

    #[tokio::test]
    async fn a_body_leaves_whole_in_pieces_of_a_known_length() {
        let text: Vec<u8> = (0..3 * PIECE + 1).map(|n| n as u8).collect();
        let answer = Peer::new(Origin::Socket).answer();
        let mut body = PacedBody::wrap(Response::new(text.clone().into()), answer).into_body();
        let mut read = Vec::new();
        while !body.is_end_stream() {
            assert_eq!(
                body.size_hint().exact(),
                Some((text.len() - read.len()) as u64)
            );
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, text);
    }
}
