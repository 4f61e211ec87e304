//! A Connect stream over HTTP/1.1, read message by message.

use bytes::Bytes;
use http::header::HeaderName;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::task::yield_now;

use super::Client;
use super::answer::{self, Answer, Question};
use super::dial::Driver;
use super::error::{Malformation, RpcError};
use super::frames::{FrameEvent, Frames, envelope};

/// A stream of JSON messages.
pub struct JsonStream(MessageStream);

impl JsonStream {
    pub(super) fn new(stream: MessageStream) -> Self {
        Self(stream)
    }

    /// Waits for the next message and passes its JSON to `on`, in pieces of a few KiB as they
    /// arrive; `Some` means that it is complete, `None` that the stream has ended normally. After
    /// an error or the end every call returns the same again.
    ///
    /// Waits for ever while the language server sends nothing.
    ///
    /// Cancel safety: no byte is lost. When the future is dropped in the middle of a message, the
    /// next call continues with the rest of it, so the target of `on` must outlive the call.
    ///
    /// # Errors
    /// [`RpcError::Truncated`] when the stream stops without its last frame, the error in the last
    /// frame, or an unreadable frame.
    pub async fn next(
        &mut self,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Option<()>, RpcError> {
        self.0.next(on).await
    }
}

/// A stream of messages of either type.
pub(super) struct MessageStream {
    body: Incoming,
    /// Received and not parsed yet.
    arrived: Bytes,
    frames: Frames,
    over: Option<Result<(), RpcError>>,
    _driver: Driver,
}

/// Sends one message and opens the stream that answers it. `limit`: most bytes of one message.
pub(super) async fn open(
    client: &Client,
    path: String,
    content_type: &'static str,
    message: &[u8],
    limit: u64,
) -> Result<MessageStream, RpcError> {
    let body = envelope(message).ok_or(RpcError::Malformed(Malformation::TooLarge))?;
    let Answer {
        headers,
        body,
        driver,
    } = client
        .ask(Question {
            path,
            content_type,
            accept: ACCEPT_ENCODING,
            body,
        })
        .await?;
    let frames = Frames::new(answer::codings(&headers, &CONTENT_ENCODING), limit);
    Ok(MessageStream {
        body,
        arrived: Bytes::new(),
        frames,
        over: None,
        _driver: driver,
    })
}

impl MessageStream {
    /// As [`JsonStream::next`].
    pub(super) async fn next(
        &mut self,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Option<()>, RpcError> {
        if let Some(over) = self.over {
            return over.map(|()| None);
        }
        let event = self.advance(on).await;
        self.over = match event {
            Ok(FrameEvent::Message) => return Ok(Some(())),
            Ok(FrameEvent::End) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        event.map(|_| None)
    }

    /// Cancel-safe: awaits only frames of the body and its own turn, and keeps everything else in
    /// `self`.
    async fn advance(
        &mut self,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<FrameEvent, RpcError> {
        loop {
            if let Some(event) = self.frames.feed(&mut self.arrived, on)? {
                return Ok(event);
            }
            if !self.arrived.is_empty() {
                yield_now().await;
                continue;
            }
            let frame = self.body.frame().await.ok_or(RpcError::Truncated)?;
            self.arrived = answer::data(frame)?;
        }
    }
}

/// The type of a stream of JSON messages.
pub(super) const JSON: &str = "application/connect+json";
/// The type of a stream of protobuf messages.
pub(super) const PROTO: &str = "application/connect+proto";

/// Frames are compressed one by one, so the stream as a whole must not be.
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");
const CONTENT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
