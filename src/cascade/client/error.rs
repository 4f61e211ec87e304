//! Why the language server gave no answer.
//!
//! Its error messages may quote a conversation: only an error's code is kept, and which of a few
//! known sentences the message contains.

use std::borrow::Cow;
use std::io;

use http::StatusCode;
use serde::Deserialize;

use crate::observe::coding::CodingError;
use crate::record::{FollowFailure, Label as _, label};

/// Why a request to the language server failed. No variant holds text that the server wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// It refused the token.
    #[error("the agent refuses the token")]
    BadToken,
    /// It hung up before it answered.
    #[error("the agent closed the connection before it answered")]
    Closed,
    /// No connection to its port.
    #[error("no connection to the agent's port: {0}")]
    Connect(io::ErrorKind),
    /// It has no such conversation.
    #[error("the agent has no such conversation")]
    Deleted,
    /// It has the method switched off.
    #[error("the agent has this method switched off")]
    Disabled,
    /// What it sent cannot be read.
    #[error("the agent's answer cannot be read: {0}")]
    Malformed(Malformation),
    /// Another certificate than the pinned one.
    #[error("the certificate on the agent's port is not the one that it showed first")]
    OtherCertificate,
    /// Any other error in its answer.
    #[error("the agent answered with the error {0}")]
    Refused(Code),
    /// It was silent for too long.
    #[error("the agent was silent for too long (step: {0})")]
    Timeout(RpcStep),
    /// No TLS session with its port.
    #[error("no TLS session with the agent's port")]
    Tls,
    /// The answer stops in the middle.
    #[error("the agent's answer stops in the middle")]
    Truncated,
    /// It does not have the method, or not in this form.
    #[error("the agent does not have this method")]
    Unimplemented,
}

impl RpcError {
    /// The reason that is counted.
    #[must_use]
    pub fn reason(&self) -> FollowFailure {
        match self {
            Self::BadToken => FollowFailure::BadToken,
            Self::Closed | Self::Connect(_) | Self::OtherCertificate | Self::Tls => {
                FollowFailure::Connect
            }
            Self::Deleted => FollowFailure::Deleted,
            Self::Disabled | Self::Unimplemented => FollowFailure::Disabled,
            Self::Malformed(_) => FollowFailure::Malformed,
            Self::Refused(_) => FollowFailure::Rpc,
            Self::Timeout(_) => FollowFailure::Timeout,
            Self::Truncated => FollowFailure::Truncated,
        }
    }

    /// Whether this language server does not offer the method at all, so that asking again is
    /// useless.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Disabled | Self::Unimplemented)
    }
}

impl From<CodingError> for RpcError {
    fn from(error: CodingError) -> Self {
        match error {
            CodingError::Budget | CodingError::Memory => Self::Malformed(Malformation::TooLarge),
            CodingError::Damaged | CodingError::Unsupported => {
                Self::Malformed(Malformation::Coding)
            }
        }
    }
}

label! {
    /// What is wrong with an answer.
    pub enum Malformation {
        /// Its compression is unknown or damaged.
        Coding => "compression",
        /// It is not of the requested type.
        ContentType => "content type",
        /// The flags of a frame are invalid.
        Frame => "frame",
        /// It is not HTTP.
        Http => "HTTP",
        /// A message, or the end-of-stream message, is not what its type requires.
        Message => "message",
        /// It is larger than anything that the agent sends.
        TooLarge => "size",
    }
}

label! {
    /// What was waited for.
    pub enum RpcStep {
        /// More of an answer.
        Body => "body",
        /// The connection, with its handshakes.
        Connect => "connect",
        /// The head of an answer.
        Head => "head",
    }
}

label! {
    /// The error codes of Connect, which are those of gRPC.
    pub enum Code {
        /// `aborted`
        Aborted => "aborted",
        /// `already_exists`
        AlreadyExists => "already_exists",
        /// `canceled`
        Canceled => "canceled",
        /// `data_loss`
        DataLoss => "data_loss",
        /// `deadline_exceeded`
        DeadlineExceeded => "deadline_exceeded",
        /// `failed_precondition`
        FailedPrecondition => "failed_precondition",
        /// `internal`
        Internal => "internal",
        /// `invalid_argument`
        InvalidArgument => "invalid_argument",
        /// `not_found`
        NotFound => "not_found",
        /// `out_of_range`
        OutOfRange => "out_of_range",
        /// `permission_denied`
        PermissionDenied => "permission_denied",
        /// `resource_exhausted`
        ResourceExhausted => "resource_exhausted",
        /// `unauthenticated`
        Unauthenticated => "unauthenticated",
        /// `unavailable`
        Unavailable => "unavailable",
        /// `unimplemented`
        Unimplemented => "unimplemented",
        /// `unknown`, and whatever is not one of these.
        Unknown => "unknown",
    }
}

impl Code {
    fn of_name(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == name)
            .unwrap_or(Self::Unknown)
    }
}

impl From<tonic::Code> for Code {
    fn from(code: tonic::Code) -> Self {
        match code {
            tonic::Code::Aborted => Self::Aborted,
            tonic::Code::AlreadyExists => Self::AlreadyExists,
            tonic::Code::Cancelled => Self::Canceled,
            tonic::Code::DataLoss => Self::DataLoss,
            tonic::Code::DeadlineExceeded => Self::DeadlineExceeded,
            tonic::Code::FailedPrecondition => Self::FailedPrecondition,
            tonic::Code::Internal => Self::Internal,
            tonic::Code::InvalidArgument => Self::InvalidArgument,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::OutOfRange => Self::OutOfRange,
            tonic::Code::PermissionDenied => Self::PermissionDenied,
            tonic::Code::ResourceExhausted => Self::ResourceExhausted,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::Unimplemented => Self::Unimplemented,
            tonic::Code::Ok | tonic::Code::Unknown => Self::Unknown,
        }
    }
}

/// Connect's error object.
#[derive(Deserialize)]
struct WireError<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// The end-of-stream message.
#[derive(Deserialize)]
struct EndOfStream<'a> {
    #[serde(borrow)]
    error: Option<WireError<'a>>,
}

/// The error in an unsuccessful answer: its body if that is Connect's error object, else its
/// status.
pub(super) fn of_answer(status: StatusCode, body: &[u8]) -> RpcError {
    match serde_json::from_slice::<WireError<'_>>(body) {
        Ok(error) => refusal(Code::of_name(&error.code), &error.message),
        Err(_) => of_status(status),
    }
}

/// The result in the last frame of a Connect stream.
///
/// # Errors
/// The error that it holds.
pub(super) fn of_end(payload: &[u8]) -> Result<(), RpcError> {
    let end: EndOfStream<'_> =
        serde_json::from_slice(payload).map_err(|_| RpcError::Malformed(Malformation::Message))?;
    match end.error {
        None => Ok(()),
        Some(error) => Err(refusal(Code::of_name(&error.code), &error.message)),
    }
}

/// Classifies an error by its code and by those messages that are known to say more than the code,
/// then drops the message.
pub(super) fn refusal(code: Code, message: &str) -> RpcError {
    let says = |sentence: &str| message.to_ascii_lowercase().contains(sentence);
    match code {
        _ if says("csrf token") => RpcError::BadToken,
        _ if says("reactive state is disabled") => RpcError::Disabled,
        _ if says("trajectory not found") => RpcError::Deleted,
        Code::NotFound => RpcError::Deleted,
        Code::Unimplemented => RpcError::Unimplemented,
        code => RpcError::Refused(code),
    }
}

/// Connect's table of what a bare HTTP status means. Only a check in front of the methods answers
/// 401 or 403 this way, and the token is all that it checks; 415 means that the method exists but
/// not in this form.
fn of_status(status: StatusCode) -> RpcError {
    match status.as_u16() {
        400 => RpcError::Refused(Code::Internal),
        401 | 403 => RpcError::BadToken,
        404 | 415 => RpcError::Unimplemented,
        429 | 502..=504 => RpcError::Refused(Code::Unavailable),
        _ => RpcError::Refused(Code::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> RpcError {
        of_answer(
            StatusCode::from_u16(status).expect("a status"),
            body.as_bytes(),
        )
    }

    #[test]
    fn known_sentences_say_more_than_the_code() {
        let disabled = r#"{"code":"unknown","message":"reactive state is disabled"}"#;
        assert_eq!(answered(500, disabled), RpcError::Disabled);
        let deleted = r#"{"code":"unknown","message":"Trajectory not found: 7"}"#;
        assert_eq!(answered(500, deleted), RpcError::Deleted);
        assert_eq!(
            answered(404, r#"{"code":"not_found","message":"x"}"#),
            RpcError::Deleted
        );
        let token = r#"{"code":"unauthenticated","message":"missing CSRF token"}"#;
        assert_eq!(answered(401, token), RpcError::BadToken);
        let login = r#"{"code":"unauthenticated","message":"not signed in"}"#;
        assert_eq!(
            answered(401, login),
            RpcError::Refused(Code::Unauthenticated)
        );
        assert_eq!(
            answered(501, r#"{"code":"unimplemented"}"#),
            RpcError::Unimplemented
        );
        assert_eq!(
            answered(500, r#"{"code":"new","message":""}"#),
            RpcError::Refused(Code::Unknown)
        );
    }

    #[test]
    fn without_an_error_object_the_status_speaks() {
        assert_eq!(answered(403, "forbidden"), RpcError::BadToken);
        assert_eq!(answered(404, "404 page not found"), RpcError::Unimplemented);
        assert_eq!(answered(415, ""), RpcError::Unimplemented);
        assert_eq!(answered(503, "{"), RpcError::Refused(Code::Unavailable));
        assert_eq!(answered(302, "{}"), RpcError::Refused(Code::Unknown));
    }

    #[test]
    fn the_end_of_a_stream_is_read() {
        assert_eq!(of_end(b"{}"), Ok(()));
        assert_eq!(of_end(br#"{"metadata":{"a":["b"]}}"#), Ok(()));
        assert_eq!(
            of_end(br#"{"error":{"code":"canceled"}}"#),
            Err(RpcError::Refused(Code::Canceled))
        );
        assert_eq!(
            of_end(b"end"),
            Err(RpcError::Malformed(Malformation::Message))
        );
    }

    #[test]
    fn nothing_of_a_message_survives() {
        for code in Code::ALL {
            let error = refusal(*code, "the prompt of a person");
            assert!(!format!("{error:?} {error}").contains("prompt"));
        }
    }
}
