//! A Connect stream over HTTP/1.1: its frames as they arrive, message by message.

use bytes::Bytes;
use http::header::HeaderName;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::Client;
use super::answer::{self, Answer, Question};
use super::dial::Driver;
use super::error::{Malformation, RpcError};
use super::frames::{FrameEvent, Frames, envelope};

/// JSON messages, as the language server sends them.
pub struct JsonStream(MessageStream);

impl JsonStream {
    pub(super) fn new(stream: MessageStream) -> Self {
        Self(stream)
    }

    /// Waits for the next message and lends its JSON to `on`, in pieces of a few KiB as they
    /// arrive; `Some` says that it is complete. `None`: the stream has ended well. After an error
    /// or the end every call answers the same again.
    ///
    /// Waits for ever while the language server has nothing to say.
    ///
    /// Cancel safety: no byte is lost. When the future is dropped in the middle of a message, the
    /// next call goes on with the rest of it, so whatever `on` feeds must outlive the call.
    ///
    /// # Errors
    /// [`RpcError::Truncated`] when the stream stops without its last frame, what the last frame
    /// says, or what cannot be read.
    pub async fn next(
        &mut self,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Option<()>, RpcError> {
        self.0.next(on).await
    }
}

/// Messages of either type.
pub(super) struct MessageStream {
    body: Incoming,
    /// What has arrived and is not taken apart yet.
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

    /// Awaits only frames of the body, which are not lost when that is given up; all else is kept
    /// in `self`.
    async fn advance(
        &mut self,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<FrameEvent, RpcError> {
        loop {
            if let Some(event) = self.frames.feed(&mut self.arrived, on)? {
                return Ok(event);
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
