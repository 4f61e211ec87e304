//! Errors of the RPC server in the forms of both protocols.
//!
//! Names and HTTP statuses: the Connect protocol; numbers: gRPC's status codes.

use http::StatusCode;
use serde_json::{Value, json};

/// Why there is no answer, or no further one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: &'static str,
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    NotFound,
    Unauthenticated,
    Unimplemented,
    Unknown,
}

impl Fault {
    pub(super) const DISABLED: Self = Self {
        code: Code::Unknown,
        message: "reactive state is disabled",
    };
    pub(super) const MALFORMED: Self = Self {
        code: Code::InvalidArgument,
        message: "the request cannot be read",
    };
    pub(super) const NO_METHOD: Self = Self {
        code: Code::Unimplemented,
        message: "the method is not implemented",
    };
    pub(super) const NO_TOKEN: Self = Self {
        code: Code::Unauthenticated,
        message: "missing CSRF token",
    };
    pub(super) const NO_TRAJECTORY: Self = Self {
        code: Code::NotFound,
        message: "trajectory not found",
    };

    /// The body of a unary Connect error.
    pub(super) fn document(self) -> Value {
        json!({"code": self.code.name(), "message": self.message})
    }
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Unimplemented => "unimplemented",
            Self::Unknown => "unknown",
        }
    }

    /// Of a unary Connect error; that of "unimplemented" is the one of a path that does not exist.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::NotFound | Self::Unimplemented => StatusCode::NOT_FOUND,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `grpc-status`
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::NotFound => 5,
            Self::Unimplemented => 12,
            Self::Unauthenticated => 16,
        }
    }
}
