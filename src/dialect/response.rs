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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::answer::Fed;
    use crate::dialect::reports::PROCESSING_MS;
    use crate::observe::coding::DecodeLimit;
    use crate::observe::exchange::{ExchangeEnd, Fields};
    use crate::record::{ObserverFailure, ProviderTime};

    /// A body of which nothing is known but its form.
    struct Form {
        is_stream: bool,
    }

    impl ReadBody for Form {
        fn feed(&mut self, bytes: &[u8], _: &mut DecodeLimit) -> Fed {
            Fed {
                read: bytes.len(),
                contents: 0,
            }
        }

        fn finish(&mut self, _: ExchangeEnd) -> usize {
            0
        }

        fn failure(&self) -> Option<ObserverFailure> {
            None
        }

        fn is_stream(&self) -> bool {
            self.is_stream
        }

        fn is_whole(&self, _: ExchangeEnd) -> bool {
            true
        }

        fn said(&self, _: std::time::SystemTime) -> Said {
            Said::default()
        }
    }

    /// Milliseconds to the first byte and to the end, of a response whose head tells of 420 and
    /// whose body tells of these.
    fn times(
        status: Option<u16>,
        is_stream: bool,
        [first_byte, total]: [Option<u64>; 2],
    ) -> [Option<u128>; 2] {
        let head = ResponseHead {
            status: status.unwrap_or(101),
            fields: Fields {
                listed: vec![(PROCESSING_MS, "420".to_owned())],
                ..Fields::default()
            },
        };
        let mut said = Said::default();
        said.reported.time = ProviderTime {
            first_byte: first_byte.map(Duration::from_millis),
            total: total.map(Duration::from_millis),
        };
        let response = Response::new(status, &head, Box::new(Form { is_stream }));
        let ProviderTime { first_byte, total } = response.reported(&said).time;
        [first_byte, total].map(|time| time.map(|time| time.as_millis()))
    }

    #[test]
    fn the_time_of_a_head_is_that_to_the_first_byte_of_a_stream_and_all_of_a_document() {
        let none = [None, None];
        assert_eq!(times(Some(200), true, none), [Some(420), None]);
        assert_eq!(times(Some(200), false, none), [None, Some(420)]);
        assert_eq!(
            times(Some(500), true, none),
            [None, Some(420)],
            "a refusal is a document, whatever its form"
        );
        assert_eq!(
            times(None, true, none),
            [None, None],
            "the head of a socket tells of no call"
        );
    }

    #[test]
    fn what_the_body_says_of_times_goes_before_the_head() {
        let both = [Some(300), Some(4_100)];
        for is_stream in [true, false] {
            let expected = both.map(|time| time.map(u128::from));
            assert_eq!(times(Some(200), is_stream, both), expected, "{is_stream}");
        }
        let total = [None, Some(4_100)];
        assert_eq!(times(Some(200), true, total), [Some(420), Some(4_100)]);
    }
}
