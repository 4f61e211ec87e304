//! Sends one request over HTTP/1.1 and returns its answer: a successful one with its body still to
//! be read, or the error that it reports.

use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Timeouts;
use super::dial::{Driver, Http1, Port};
use super::endpoint::Token;
use super::error::{self, Malformation, RpcError, RpcStep};
use crate::observe::coding::{DecodeLimit, Decoder};
use crate::observe::memory::Memory;

/// A request to send.
pub(super) struct Question {
    pub(super) path: String,
    /// The type of the request and of the answer.
    pub(super) content_type: &'static str,
    /// The header field in which compression is offered.
    pub(super) accept: HeaderName,
    pub(super) body: Bytes,
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    /// Dropping it closes the connection.
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
    /// Passes on the decompressed body piece by piece.
    pub(super) async fn read(
        mut self,
        timeouts: &Timeouts,
        on: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), RpcError> {
        // One answer of the agent's own server at a time: each has its own memory budget.
        let mut decoder = Decoder::new(
            &codings(&self.headers, &CONTENT_ENCODING),
            &Memory::default(),
        )?;
        loop {
            let frame = timeout(timeouts.silence, self.body.frame()).await;
            match frame.map_err(|_| RpcError::Timeout(RpcStep::Body))? {
                None if decoder.is_complete() => return Ok(()),
                None => return Err(RpcError::Truncated),
                Some(frame) => {
                    let mut rest = data(frame)?;
                    loop {
                        let step = &mut DecodeLimit::default();
                        rest.advance(decoder.feed_some(&rest, step, on)?);
                        if rest.is_empty() {
                            break;
                        }
                        // Others can run between steps of decompressing.
                        yield_now().await;
                    }
                }
            }
        }
    }

    /// The error that an unsuccessful answer reports.
    async fn refusal(self, status: StatusCode, timeouts: &Timeouts) -> RpcError {
        let mut body = Vec::new();
        // Where its body is unreadable or too long, the status alone decides.
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
        // A server that sends without end gets no more time than one that is silent.
        timeout(timeouts.silence, self.read(timeouts, &mut on))
            .await
            .unwrap_or(Err(RpcError::Timeout(RpcStep::Body)))
    }
}

/// The data of a body frame; trailers have none.
pub(super) fn data(
    frame: Result<hyper::body::Frame<Bytes>, hyper::Error>,
) -> Result<Bytes, RpcError> {
    // Whatever broke: a body without its announced end is truncated.
    let frame = frame.map_err(|_| RpcError::Truncated)?;
    Ok(frame.into_data().unwrap_or_default())
}

/// The codings that a header field lists, in lower case and in order of application.
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
    // Cannot fail, as its parts are constants and checked values; a request that cannot be built
    // was not sent.
    request
        .body(Full::new(question.body))
        .map_err(|_| RpcError::Closed)
}

/// Why no response head came.
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

/// The header field of the token.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-codeium-csrf-token");

/// The only compression that the language server supports.
pub(super) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Most bytes of an error body: it has a sentence or two, sometimes with a stack trace.
pub(super) const MAX_ERROR: usize = 64 << 10;
