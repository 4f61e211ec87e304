//! Where the requests of each wire format have what a rule may change, and how their providers
//! refuse a request.
//!
//! Data only: pointers of RFC 6901 into the body, and functions that write an error. What reads and
//! edits bodies by them is elsewhere.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Pointers to one thing that goes by several names: the first one is used where there is none yet.
pub type Pointers = &'static [&'static str];

/// The request of one wire format.
#[derive(Debug)]
pub struct RequestForm {
    /// The model; `None` where the body names none.
    pub model: Option<&'static str>,
    /// The system prompt.
    pub system: SystemPrompt,
    /// The most tokens that may be generated. Where nothing is said, a limit is written to the
    /// first of these places.
    pub output_tokens: Pointers,
    /// The most tokens that may be spent on thinking.
    pub thinking_tokens: ThinkingBudget,
    /// What asks for the usage at the end of a stream, where a stream has none unless asked.
    pub stream_usage: Option<&'static str>,
    /// Writes an error as the provider does.
    pub refuse: fn(&RequestRefusal<'_>) -> Response<Bytes>,
}

/// Where a system prompt stands, and in which shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemPrompt {
    /// A request of this form has none.
    None,
    /// One text.
    Text(Pointers),
    /// A list of blocks with a `text` each, or one text.
    Blocks {
        /// Where.
        at: Pointers,
        /// Each block says by `"type": "text"` what it is; without a prompt, one text is written.
        is_typed: bool,
    },
    /// A content with a list of `parts` that have a `text` each.
    Parts(Pointers),
    /// The messages at the beginning that have the role `system` or `developer`.
    Messages(&'static str),
}

/// How much a model may think. A request that says nothing of it is given a budget only where its
/// model thinks unasked: all others would refuse it.
#[derive(Debug, Clone, Copy)]
pub struct ThinkingBudget {
    /// Where the budget stands.
    pub at: Pointers,
    /// The least that the provider accepts.
    pub least: u64,
    /// It must be less than the limit of all tokens that are generated.
    pub is_below_output: bool,
    /// Words for how hard to think, beside which the provider refuses a budget.
    pub levels: Pointers,
    /// Whether a model of this name thinks when nothing is said of it, and takes a budget.
    pub is_unasked: fn(&str) -> bool,
}

impl ThinkingBudget {
    /// The form has no budget in tokens.
    pub(super) const NONE: Self = Self {
        at: &[],
        least: 0,
        is_below_output: false,
        levels: &[],
        is_unasked: |_| false,
    };
}

/// Why a request is refused before it reaches its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// Somebody does not want it to be made.
    Denied,
    /// No more requests are to be made for some time.
    RateLimited {
        /// How long.
        retry_after: Option<Duration>,
    },
    /// It is too large.
    TooLarge,
}

/// What the agent is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRefusal<'a> {
    /// Why.
    pub reason: RefusalReason,
    /// The same in words.
    pub message: &'a str,
}

impl RequestRefusal<'_> {
    fn status(self) -> StatusCode {
        match self.reason {
            RefusalReason::Denied => StatusCode::FORBIDDEN,
            RefusalReason::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            RefusalReason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// One of three words, by the reason.
    pub(super) fn by_reason<T>(self, denied: T, rate_limited: T, too_large: T) -> T {
        match self.reason {
            RefusalReason::Denied => denied,
            RefusalReason::RateLimited { .. } => rate_limited,
            RefusalReason::TooLarge => too_large,
        }
    }

    /// The status as a number.
    pub(super) fn code(self) -> u16 {
        self.status().as_u16()
    }

    /// The answer with this document.
    pub(super) fn response(self, document: &Value) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(document.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            HeaderName::from_static(REFUSED_BY),
            HeaderValue::from_static("gravimeter"),
        );
        if let RefusalReason::RateLimited {
            retry_after: Some(time),
        } = self.reason
        {
            // Rounded up, so that nobody comes back too early.
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The header field by which a person can see that an answer did not come from the provider.
const REFUSED_BY: &str = "x-refused-by";

/// The path with another model in it; `None` where it names none.
pub(super) fn with_model(path: &str, model: &str) -> Option<String> {
    let (marker, is_last) = MARKERS.into_iter().find_map(|(marker, is_end)| {
        let at = path.find(marker)?;
        Some((at + marker.len(), is_end))
    })?;
    let rest = path.get(marker..)?;
    let end = is_last(rest)?;
    let (before, after) = (path.get(..marker)?, rest.get(end..)?);
    let model = utf8_percent_encode(model, IN_SEGMENT);
    Some(format!("{before}{model}{after}"))
}

/// Where a name ends that a text begins with.
type FindEnd = fn(&str) -> Option<usize>;

/// What stands before a model in a path, and where the model ends.
const MARKERS: [(&str, FindEnd); 5] = [
    ("/openai/deployments/", |rest| rest.find('/')),
    // The name itself may have a colon.
    ("/model/", |rest| rest.rfind('/')),
    ("/models/", |rest| rest.rfind(':')),
    ("/tunedModels/", |rest| rest.rfind(':')),
    ("/dynamic/", |rest| rest.rfind(':')),
];

/// What is escaped in a segment of a path: all but the unreserved characters of RFC 3986, and the
/// `@` before the version of a model.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_of_a_path_is_replaced_and_nothing_else() {
        for (path, expected) in [
            (
                "/v1beta/models/gemini-a:streamGenerateContent",
                "/v1beta/models/new-1@2:streamGenerateContent",
            ),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:rawPredict",
                "/v1/projects/p/locations/l/publishers/anthropic/models/new-1@2:rawPredict",
            ),
            ("/model/a.b-v1:0/converse", "/model/new-1@2/converse"),
            (
                "/openai/deployments/d/chat/completions",
                "/openai/deployments/new-1@2/chat/completions",
            ),
        ] {
            assert_eq!(with_model(path, "new-1@2").as_deref(), Some(expected));
        }
        assert_eq!(
            with_model("/model/a/invoke", "b:0").as_deref(),
            Some("/model/b%3A0/invoke")
        );
        for none in ["/v1/messages", "/v1/models", "/models/x"] {
            assert_eq!(with_model(none, "m"), None, "{none}");
        }
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let refusal = RequestRefusal {
            reason: RefusalReason::RateLimited {
                retry_after: Some(Duration::from_millis(1200)),
            },
            message: "m",
        };
        let response = refusal.response(&Value::Null);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get(RETRY_AFTER).expect("a time"), "2");
    }
}
