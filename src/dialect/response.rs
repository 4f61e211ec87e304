//! The response to a call while it comes in: its head, the reader of its body, and what both say
//! together.

use std::time::Duration;

use super::answer::{ReadBody, Said};
use super::reports::time_of_head;
use super::verdict::is_success;
use crate::observe::exchange::ResponseHead;
use crate::record::{RateLimit, Reported};

/// A response that is under way.
pub(super) struct Response {
    /// `None` for an answer over a socket, which has none of its own.
    pub(super) status: Option<u16>,
    pub(super) body: Box<dyn ReadBody>,
    retry_after: Option<Duration>,
    /// The provider's own time until it sent the head.
    time_of_head: Option<Duration>,
}

impl Response {
    /// A response with this head, whose body is read by this reader. Without a status it comes over
    /// a socket, and the head is that of the socket: it says nothing of the time that this answer
    /// has taken.
    pub(super) fn new(status: Option<u16>, head: &ResponseHead, body: Box<dyn ReadBody>) -> Self {
        Self {
            status,
            body,
            retry_after: head.fields.retry_after_seconds.map(Duration::from_secs),
            time_of_head: status.and_then(|_| time_of_head(head)),
        }
    }

    /// Whether it is an answer that comes in parts.
    pub(super) fn is_stream(&self) -> bool {
        self.status.is_none_or(is_success) && self.body.is_stream()
    }

    /// The rate limit that the response is, or that an error inside it tells of.
    pub(super) fn rate_limit(&self, said: &Said) -> Option<RateLimit> {
        if said.error.is_none() && self.is_answer(said) {
            return None;
        }
        let (error, status) = (said.error.unwrap_or_default(), said.status.or(self.status));
        error.rate_limit(status.unwrap_or(SUCCESS), self.retry_after)
    }

    /// Whether the status, be it one inside of the answer, says that the request was not refused.
    pub(super) fn is_answer(&self, said: &Said) -> bool {
        said.status.or(self.status).is_none_or(is_success)
    }

    /// What the answer reports beside tokens. The time in the head of a stream is that until its
    /// first byte; a single document is made before its head is sent, so there it is all of the
    /// time.
    pub(super) fn reported(&self, said: &Said) -> Reported {
        let mut reported = said.reported.clone();
        let time = &mut reported.time;
        let place = if self.is_stream() {
            &mut time.first_byte
        } else {
            &mut time.total
        };
        *place = place.or(self.time_of_head);
        reported
    }
}

/// What stands for the status of an answer over a socket.
const SUCCESS: u16 = 200;
