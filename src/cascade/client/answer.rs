//! One request over HTTP/1.1 and its answer: an accepted one with its body still to come, or the
//! error that it is.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::Timeouts;
use super::dial::{Driver, Http1, Port};
use super::endpoint::Token;
use super::error::{self, Malformation, RpcError, RpcStep};
use crate::observe::coding::Decoder;
use crate::observe::memory::Memory;

/// What is asked.
pub(super) struct Question {
    pub(super) path: String,
    /// The type of the request and of the answer.
    pub(super) content_type: &'static str,
    /// Under which name compression is offered.
    pub(super) accept: HeaderName,
    pub(super) body: Bytes,
}

/// An accepted answer.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    /// Ends the connection with the answer.
    pub(super) driver: Driver,
}

/// Sends the request and waits for the head of its answer.
pub(super) async fn ask(
    connection: Http1,
    port: Port,
    token: Option<&Token>,
    question: Question,
    timeouts: &Timeouts,
) -> Result<Answer, RpcError> {
    let content_type = question.content_type;
    let Http1 { mut sender, driver } = connection;
    let answer = sender.send_request(request(port, token, question)?);
    let answer = timeout(timeouts.head, answer)
        .await
        .map_err(|_| RpcError::Timeout(RpcStep::Head))?;
    let (head, body) = answer.map_err(|error| unanswered(&error))?.into_parts();
    let answer = Answer {
        headers: head.headers,
        body,
        driver,
    };
    match head.status {
        StatusCode::OK if is_of_type(&answer.headers, content_type) => Ok(answer),
        StatusCode::OK => Err(RpcError::Malformed(Malformation::ContentType)),
        status => Err(answer.refusal(status, timeouts).await),
    }
}

impl Answer {
    /// Hands out the body piece by piece with its compression taken off.
    pub(super) async fn read(
        mut self,
        timeouts: &Timeouts,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), RpcError> {
        // One answer of the agent's own server at a time: a budget of its own bounds the window of
        // each.
        let mut decoder = Decoder::new(
            &codings(&self.headers, &CONTENT_ENCODING),
            &Memory::default(),
        )?;
        loop {
            let frame = timeout(timeouts.silence, self.body.frame()).await;
            match frame.map_err(|_| RpcError::Timeout(RpcStep::Body))? {
                None if decoder.is_complete() => return Ok(()),
                None => return Err(RpcError::Truncated),
                Some(frame) => decoder.feed(&data(frame)?, on)?,
            }
        }
    }

    /// The error in an answer that is none.
    async fn refusal(self, status: StatusCode, timeouts: &Timeouts) -> RpcError {
        let mut body = Vec::new();
        // What cannot be read of it, or is more than it should be, leaves the status to speak.
        let _ = self.read_up_to(MAX_ERROR, timeouts, &mut body).await;
        error::of_answer(status, &body)
    }

    async fn read_up_to(
        self,
        limit: usize,
        timeouts: &Timeouts,
        into: &mut Vec<u8>,
    ) -> Result<(), RpcError> {
        let mut on = |piece: &[u8]| {
            let room = limit.saturating_sub(into.len());
            into.extend_from_slice(piece.get(..room).unwrap_or(piece));
        };
        // A server that goes on and on is not listened to for longer than one that is silent.
        timeout(timeouts.silence, self.read(timeouts, &mut on))
            .await
            .unwrap_or(Err(RpcError::Timeout(RpcStep::Body)))
    }
}

/// The bytes of a frame of the body; trailers have none.
pub(super) fn data(
    frame: Result<hyper::body::Frame<Bytes>, hyper::Error>,
) -> Result<Bytes, RpcError> {
    // Whatever it was that broke, an end that is not announced as one is no end.
    let frame = frame.map_err(|_| RpcError::Truncated)?;
    Ok(frame.into_data().unwrap_or_default())
}

/// The codings that a header field lists, in lower case and in the order in which they were
/// applied.
pub(super) fn codings(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let names = values
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| name != "identity").collect()
}

fn request(
    port: Port,
    token: Option<&Token>,
    question: Question,
) -> Result<Request<Full<Bytes>>, RpcError> {
    let mut request = Request::post(question.path)
        .header(HOST, port.addr().to_string())
        .header(CONTENT_TYPE, question.content_type)
        .header(question.accept, GZIP)
        .header("connect-protocol-version", "1");
    if let Some(token) = token {
        request = request.header(TOKEN, token.value());
    }
    // Its parts are constants and checked values: a request that cannot be built was not sent.
    request
        .body(Full::new(question.body))
        .map_err(|_| RpcError::Closed)
}

/// Why no head came.
fn unanswered(error: &hyper::Error) -> RpcError {
    match error.is_parse() {
        true => RpcError::Malformed(Malformation::Http),
        false => RpcError::Closed,
    }
}

fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

/// The field that the language server wants its token in.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-codeium-csrf-token");

/// The one compression that the language server knows.
pub(super) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// An error object has a sentence or two, some with a stack trace.
pub(super) const MAX_ERROR: usize = 64 << 10;
