//! Carries the requests of one exporter to a collector, and notes what the collector answers.
//!
//! `opentelemetry-otlp` makes the requests and reads the answers, but says of an answer only whether
//! it was a success: not how many spans were rejected, and not how soon a request may be repeated.
//! Here both are read as they pass.

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, TE, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use opentelemetry_http::{HttpClient, HttpError};

use super::answer::Answer;
use super::connections::Client;
use super::{Compression, Destination, Headers, Signal};

/// One collector's connection, for the requests of one signal.
#[derive(Debug)]
pub(super) struct Carrier {
    client: Client,
    signal: Signal,
    is_grpc: bool,
    origin: Uri,
    fields: HeaderMap,
    compression: Compression,
    /// What the collector has answered to the last request. Locked briefly.
    answer: Mutex<Option<Answer>>,
}

impl Carrier {
    pub(super) fn new(signal: Signal, destination: &Destination, client: Client) -> Self {
        Self {
            client,
            signal,
            is_grpc: destination.is_grpc(),
            origin: destination.endpoint.origin(),
            fields: fields(&destination.headers),
            compression: destination.compression,
            answer: Mutex::default(),
        }
    }

    /// The answer to the last request; `None` when there is none, or it was taken already.
    pub(super) fn take_answer(&self) -> Option<Answer> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.take()
    }

    /// Sends a request and reads its whole answer, whose trailers are among its parts.
    ///
    /// # Errors
    /// [`NoAnswer`] when none came, or one that cannot be read.
    pub(super) async fn exchange(&self, request: Request<Bytes>) -> Result<Received, NoAnswer> {
        let received = match self.prepared(request) {
            Ok(request) => self.received(request).await,
            Err(_) => Err(Answer::unreachable()),
        };
        let (answer, received) = match received {
            Ok(received) => (self.answer_of(&received), Ok(received)),
            Err(answer) => (answer, Err(NoAnswer)),
        };
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        received
    }

    /// The request as it is sent. Of its fields only those that describe its body remain: the
    /// library adds headers that it reads from the environment, also where a key of ours overrides
    /// them.
    fn prepared(&self, request: Request<Bytes>) -> std::io::Result<Request<Full<Bytes>>> {
        let (mut head, mut body) = request.into_parts();
        let mut fields = self.fields.clone();
        for name in [CONTENT_TYPE, CONTENT_ENCODING, GRPC_ENCODING, TE] {
            if let Some(value) = head.headers.remove(&name) {
                fields.insert(name, value);
            }
        }
        if self.compression == Compression::None {
            let was_compressed = [CONTENT_ENCODING, GRPC_ENCODING]
                .map(|name| fields.remove(name))
                .iter()
                .any(Option::is_some);
            if was_compressed {
                body = uncompressed(self.is_grpc, &body)?;
            }
        }
        head.headers = fields;
        if self.is_grpc {
            head.uri = self.at(head.uri.path_and_query());
        }
        Ok(Request::from_parts(head, Full::new(body)))
    }

    fn at(&self, path: Option<&PathAndQuery>) -> Uri {
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = path.cloned();
        // Scheme, authority and path are all there.
        Uri::from_parts(parts).unwrap_or_else(|_| self.origin.clone())
    }

    async fn received(&self, request: Request<Full<Bytes>>) -> Result<Received, Answer> {
        let response = self.client.request(request).await;
        let (head, body) = response.map_err(|_| Answer::unreachable())?.into_parts();
        if !head.status.is_success() {
            // What a refusal says is not read: its status counts.
            return Ok(Received {
                head: Response::from_parts(head, ()),
                body: Bytes::new(),
                trailers: None,
            });
        }
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| {
            let is_cut_off = self.is_grpc && !error.is::<LengthLimitError>();
            if is_cut_off {
                Answer::unreachable()
            } else {
                Answer::unreadable()
            }
        })?;
        let trailers = body.trailers().cloned();
        Ok(Received {
            head: Response::from_parts(head, ()),
            body: body.to_bytes(),
            trailers,
        })
    }

    fn answer_of(&self, received: &Received) -> Answer {
        let Received {
            head,
            body,
            trailers,
        } = received;
        if !head.status().is_success() {
            // Of gRPC, too, where a gateway on the way refuses.
            Answer::of_refusal(head.status(), head.headers(), SystemTime::now())
        } else if self.is_grpc {
            let status = trailers.as_ref().unwrap_or(head.headers());
            Answer::of_grpc(self.signal, status, body.clone())
        } else {
            Answer::of_body(self.signal, head.headers(), body.clone())
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) head: Response<()>,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

/// No answer came, or none that can be read.
#[derive(Debug, thiserror::Error)]
#[error("the collector has not answered")]
pub(super) struct NoAnswer;

#[async_trait]
impl HttpClient for Carrier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let Received { head, body, .. } = self.exchange(request).await?;
        Ok(head.map(|()| body))
    }
}

/// The header fields of each request; the operator's fields take precedence.
fn fields(given: &Headers) -> HeaderMap {
    let mut fields = given.fields().clone();
    let own = HeaderValue::from_static(concat!(
        env!("CARGO_PKG_NAME"),
        "/",
        env!("CARGO_PKG_VERSION")
    ));
    fields.entry(USER_AGENT).or_insert(own);
    fields
}

/// Undoes the compression that the library has read from the environment where a key of ours
/// overrides it.
fn uncompressed(is_grpc: bool, body: &[u8]) -> std::io::Result<Bytes> {
    let mut plain = Vec::new();
    if !is_grpc {
        GzDecoder::new(body).read_to_end(&mut plain)?;
        return Ok(plain.into());
    }
    // One message behind its prefix: whether it is compressed, and its length.
    let message = body.get(GRPC_PREFIX..).unwrap_or_default();
    GzDecoder::new(message).read_to_end(&mut plain)?;
    let mut framed = BytesMut::with_capacity(GRPC_PREFIX + plain.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(plain.len()).map_err(std::io::Error::other)?);
    framed.extend_from_slice(&plain);
    Ok(framed.freeze())
}

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The length of what precedes a message of gRPC.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
const GRPC_PREFIX: usize = 5;

/// An answer is a number and a sentence; a collector that sends megabytes is something else.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests;
