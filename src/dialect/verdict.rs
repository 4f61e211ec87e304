//! Decides how a call ended (its outcome) and how far its tokens can be trusted (their quality).
//!
//! Outcome. A status other than 2xx decides, however the exchange ended. A complete answer is `ok`,
//! whatever happened to the connection after that. Otherwise the side that broke off decides; a
//! message that ended in order before its answer was complete is `truncated`, because the provider
//! broke off. What Gravimeter itself could not read to its end (`Lost`, `Upgraded`, a part that cannot
//! be read) counts as `ok`: the outcome is about agent and provider, the quality about Gravimeter.
//!
//! Quality. `exact`: the final figures were seen and nothing contradicts them, or there are none
//! because nothing was generated (a refusal, a count of tokens). `partial`: figures were seen, but
//! not the end of the answer, or part of it was unreadable, or they contradict the provider's own
//! total, or leave out what was generated. `unknown`: tokens may have been spent, and no figure was
//! seen.

use crate::observe::exchange::ExchangeEnd;
use crate::record::{Operation, Outcome, Quality};

/// What both depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence {
    pub(super) operation: Operation,
    /// The status of the response, if there was one.
    pub(super) status: Option<u16>,
    /// The response is, or holds, an error that is a rate limit.
    pub(super) rate_limited: bool,
    /// There was an error inside an answer that began as a success.
    pub(super) error_in_answer: bool,
    pub(super) has_usage: bool,
    /// Nothing contradicts the figures.
    pub(super) is_sound: bool,
    /// The answer has said that it is over, and nothing of it can be missing.
    pub(super) has_ended: bool,
    /// Part of the answer could not be read.
    pub(super) unreadable: bool,
    pub(super) end: ExchangeEnd,
}

impl Evidence {
    pub(super) fn outcome(self) -> Outcome {
        if self.rate_limited {
            return Outcome::RateLimited;
        }
        match (self.status, self.end) {
            (Some(500..=599), _) => Outcome::ServerError,
            (Some(status), _) if !is_success(status) => Outcome::ClientError,
            _ if self.error_in_answer => Outcome::StreamError,
            _ if self.has_ended => Outcome::Ok,
            (_, ExchangeEnd::Lost | ExchangeEnd::Upgraded) => Outcome::Ok,
            (_, ExchangeEnd::Complete) if self.unreadable => Outcome::Ok,
            (_, ExchangeEnd::AgentGone | ExchangeEnd::AgentLeft) => Outcome::Aborted,
            (_, ExchangeEnd::ProviderReset) => Outcome::StreamError,
            (_, ExchangeEnd::Complete | ExchangeEnd::Shutdown | ExchangeEnd::Truncated) => {
                Outcome::Truncated
            }
        }
    }

    pub(super) fn quality(self) -> Quality {
        let refused = self.status.is_some_and(|status| !is_success(status));
        if refused || self.operation == Operation::CountTokens {
            return Quality::Exact;
        }
        let is_final = self.has_ended && self.is_sound && !self.unreadable && !self.error_in_answer;
        match (self.has_usage, is_final) {
            (true, true) => Quality::Exact,
            (true, false) => Quality::Partial,
            (false, _) => Quality::Unknown,
        }
    }
}

/// Whether the status says that the body is the answer. A redirect or an interim status is none.
pub(super) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of which everything was seen.
    const WHOLE: Evidence = Evidence {
        operation: Operation::Chat,
        status: Some(200),
        rate_limited: false,
        error_in_answer: false,
        has_usage: true,
        is_sound: true,
        has_ended: true,
        unreadable: false,
        end: ExchangeEnd::Complete,
    };

    const ENDS: [(ExchangeEnd, Outcome); 8] = [
        (ExchangeEnd::AgentGone, Outcome::Aborted),
        (ExchangeEnd::AgentLeft, Outcome::Aborted),
        (ExchangeEnd::Complete, Outcome::Truncated),
        (ExchangeEnd::Lost, Outcome::Ok),
        (ExchangeEnd::ProviderReset, Outcome::StreamError),
        (ExchangeEnd::Shutdown, Outcome::Truncated),
        (ExchangeEnd::Truncated, Outcome::Truncated),
        (ExchangeEnd::Upgraded, Outcome::Ok),
    ];

    #[test]
    fn what_was_wholly_seen_is_ok_and_exact_however_it_ended() {
        for (end, _) in ENDS {
            let seen = Evidence { end, ..WHOLE };
            assert_eq!(
                (seen.outcome(), seen.quality()),
                (Outcome::Ok, Quality::Exact),
                "{end:?}"
            );
            let unreported = Evidence {
                has_usage: false,
                ..seen
            };
            assert_eq!(
                (unreported.outcome(), unreported.quality()),
                (Outcome::Ok, Quality::Unknown),
                "{end:?}"
            );
            let contradicted = Evidence {
                is_sound: false,
                ..seen
            };
            assert_eq!(
                (contradicted.outcome(), contradicted.quality()),
                (Outcome::Ok, Quality::Partial),
                "{end:?}"
            );
        }
    }

    #[test]
    fn what_was_cut_off_is_told_by_who_broke_off() {
        for (end, outcome) in ENDS {
            let unfinished = Evidence {
                end,
                has_ended: false,
                ..WHOLE
            };
            assert_eq!(
                (unfinished.outcome(), unfinished.quality()),
                (outcome, Quality::Partial),
                "{end:?}"
            );
            let headless = Evidence {
                end,
                status: None,
                has_usage: false,
                has_ended: false,
                ..WHOLE
            };
            assert_eq!(
                (headless.outcome(), headless.quality()),
                (outcome, Quality::Unknown),
                "{end:?}"
            );
        }
    }

    #[test]
    fn a_refusal_is_the_providers_word_and_costs_nothing() {
        for (end, _) in ENDS {
            for (status, outcome) in [
                (302, Outcome::ClientError),
                (400, Outcome::ClientError),
                (500, Outcome::ServerError),
            ] {
                let refused = Evidence {
                    status: Some(status),
                    has_usage: false,
                    has_ended: false,
                    unreadable: true,
                    end,
                    ..WHOLE
                };
                assert_eq!(
                    (refused.outcome(), refused.quality()),
                    (outcome, Quality::Exact),
                    "{status} {end:?}"
                );
            }
        }
        let limited = Evidence {
            status: Some(503),
            rate_limited: true,
            has_usage: false,
            ..WHOLE
        };
        assert_eq!(
            (limited.outcome(), limited.quality()),
            (Outcome::RateLimited, Quality::Exact)
        );
    }

    #[test]
    fn an_error_inside_the_answer_makes_it_partial() {
        let error = Evidence {
            error_in_answer: true,
            ..WHOLE
        };
        assert_eq!(
            (error.outcome(), error.quality()),
            (Outcome::StreamError, Quality::Partial)
        );
        let limited = Evidence {
            rate_limited: true,
            has_usage: false,
            ..error
        };
        assert_eq!(
            (limited.outcome(), limited.quality()),
            (Outcome::RateLimited, Quality::Unknown)
        );
    }

    #[test]
    fn what_could_not_be_read_is_never_exact() {
        let unreadable = Evidence {
            unreadable: true,
            ..WHOLE
        };
        assert_eq!(
            (unreadable.outcome(), unreadable.quality()),
            (Outcome::Ok, Quality::Partial)
        );
        let unseen = Evidence {
            has_ended: false,
            ..unreadable
        };
        assert_eq!(
            (unseen.outcome(), unseen.quality()),
            (Outcome::Ok, Quality::Partial),
            "its end may be what is lost"
        );
    }

    #[test]
    fn counting_tokens_spends_none() {
        let count = Evidence {
            operation: Operation::CountTokens,
            has_usage: false,
            ..WHOLE
        };
        assert_eq!(
            (count.outcome(), count.quality()),
            (Outcome::Ok, Quality::Exact)
        );
        let cut = Evidence {
            has_ended: false,
            end: ExchangeEnd::AgentGone,
            ..count
        };
        assert_eq!(
            (cut.outcome(), cut.quality()),
            (Outcome::Aborted, Quality::Exact)
        );
    }
}
