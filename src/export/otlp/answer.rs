//! What a collector's answer means, as the OTLP specification has it: taken, lost, or to be tried
//! again. Pure.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde::Deserialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Loss, Signal};

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It may be tried again.
    Again {
        /// What it is lost for if it is not.
        loss: Loss,
        /// When, where the collector has said so.
        after: Option<Duration>,
        /// Why.
        cause: Cause,
    },
    /// It must not be tried again.
    Lost(Loss, Cause),
    /// It was taken, except for so many of its spans or points.
    Taken {
        /// How many the collector does not want.
        rejected: u64,
    },
}

/// Why a request failed, in words that hold nothing of the collector's own and nothing of the
/// request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// What came cannot be read.
    BadAnswer,
    /// The gRPC status.
    Grpc(Code),
    /// The HTTP status.
    Http(StatusCode),
    /// No connection, or none any more.
    NoConnection,
    /// No answer in time.
    Timeout,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAnswer => {
                f.write_str("its answer is no OTLP: check otlp.endpoint and otlp.protocol")
            }
            // Debug is the code's name, Display a sentence about it.
            Self::Grpc(code) => write!(f, "it answered with gRPC status {code:?}"),
            Self::Http(status) => write!(f, "it answered with HTTP status {}", status.as_u16()),
            Self::NoConnection => {
                f.write_str("no connection to it stands: check otlp.endpoint and otlp.protocol")
            }
            Self::Timeout => f.write_str("it did not answer in time"),
        }
    }
}

impl Answer {
    /// There was no connection, or it was lost before the answer had come.
    pub(super) fn unreachable() -> Self {
        Self::Again {
            loss: Loss::Unreachable,
            after: None,
            cause: Cause::NoConnection,
        }
    }

    /// No answer came in time.
    pub(super) fn too_late() -> Self {
        Self::Again {
            loss: Loss::Timeout,
            after: None,
            cause: Cause::Timeout,
        }
    }

    /// The response is unreadable; whether the message was accepted is unknown, and to send it
    /// again might duplicate it.
    pub(super) fn unreadable() -> Self {
        Self::Lost(Loss::BadAnswer, Cause::BadAnswer)
    }

    /// By the status of an HTTP response that is no success.
    pub(super) fn of_refusal(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        let cause = Cause::Http(status);
        match status.as_u16() {
            429 | 502 | 503 | 504 => Self::Again {
                loss: Loss::Busy,
                after: retry_after(headers, now),
                cause,
            },
            _ => Self::Lost(Loss::Rejected, cause),
        }
    }

    /// By the body of a successful HTTP response. JSON is not what was asked for, but some
    /// collectors know no other answer.
    pub(super) fn of_body(signal: Signal, headers: &HeaderMap, body: Bytes) -> Self {
        if body.is_empty() {
            return Self::Taken { rejected: 0 };
        }
        let kind = headers
            .get(CONTENT_TYPE)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        let is = |name: &str| {
            kind.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        let partial = if is("application/x-protobuf") {
            Rejected::decode(signal, body)
        } else if is("application/json") {
            serde_json::from_slice::<JsonAnswer>(&body)
                .ok()
                .map(Rejected::from)
        } else {
            None
        };
        partial.map_or_else(Self::unreadable, |Rejected(rejected)| Self::Taken {
            rejected,
        })
    }

    /// By the trailers and the body of a successful HTTP response to a call of gRPC.
    pub(super) fn of_grpc(signal: Signal, trailers: &HeaderMap, body: Bytes) -> Self {
        let Some(status) = Status::from_header_map(trailers) else {
            return Self::unreadable();
        };
        if status.code() != Code::Ok {
            return Self::of_status(&status);
        }
        let partial = only_message(body).and_then(|message| Rejected::decode(signal, message));
        partial.map_or_else(Self::unreadable, |Rejected(rejected)| Self::Taken {
            rejected,
        })
    }

    /// By a gRPC status that the collector itself has sent.
    pub(super) fn of_status(status: &Status) -> Self {
        let after = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        let cause = Cause::Grpc(status.code());
        let is_retryable = match status.code() {
            Code::Aborted
            | Code::Cancelled
            | Code::DataLoss
            | Code::DeadlineExceeded
            | Code::OutOfRange
            | Code::Unavailable => true,
            // The collector may recover only where it says when.
            Code::ResourceExhausted => after.is_some(),
            _ => false,
        };
        if is_retryable {
            Self::Again {
                loss: Loss::Busy,
                after,
                cause,
            }
        } else {
            Self::Lost(Loss::Rejected, cause)
        }
    }
}

/// How many spans or points of a message the collector does not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejected(pub(super) u64);

impl Rejected {
    /// `None` for what is no response of the collector.
    fn decode(signal: Signal, message: Bytes) -> Option<Self> {
        match signal {
            Signal::Metrics => ExportMetricsServiceResponse::decode(message)
                .ok()
                .map(Self::from),
            Signal::Traces => ExportTraceServiceResponse::decode(message)
                .ok()
                .map(Self::from),
        }
    }
}

impl From<ExportMetricsServiceResponse> for Rejected {
    fn from(answer: ExportMetricsServiceResponse) -> Self {
        let rejected = answer
            .partial_success
            .map(|partial| partial.rejected_data_points);
        Self(rejected.unwrap_or(0).try_into().unwrap_or(0))
    }
}

impl From<ExportTraceServiceResponse> for Rejected {
    fn from(answer: ExportTraceServiceResponse) -> Self {
        let rejected = answer.partial_success.map(|partial| partial.rejected_spans);
        Self(rejected.unwrap_or(0).try_into().unwrap_or(0))
    }
}

/// The message of a body of gRPC that has one, uncompressed: no other was asked for.
fn only_message(mut body: Bytes) -> Option<Bytes> {
    let is_compressed = body.try_get_u8().ok()? != 0;
    let length = usize::try_from(body.try_get_u32().ok()?).ok()?;
    (!is_compressed && body.len() == length).then_some(body)
}

/// Seconds or a date, as HTTP has it (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()
    })
}

/// Either response in the JSON mapping of protobuf, in which 64-bit numbers are texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonAnswer {
    #[serde(default)]
    partial_success: Option<JsonPartialSuccess>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonPartialSuccess {
    #[serde(default, alias = "rejectedDataPoints")]
    rejected_spans: serde_json::Value,
}

impl From<JsonAnswer> for Rejected {
    fn from(answer: JsonAnswer) -> Self {
        let count = answer
            .partial_success
            .map(|partial| partial.rejected_spans)
            .unwrap_or_default();
        Self(
            count
                .as_u64()
                .or_else(|| count.as_str()?.parse().ok())
                .unwrap_or(0),
        )
    }
}
