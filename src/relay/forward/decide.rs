//! What becomes of a request before it is sent: the one place where it may be changed or refused.

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tracing::debug;

use super::body::{BoxBody, BoxError, Collected, Whole, collect, streamed, uncollected};
use super::exchange::Exchanges;
use crate::record::{AppliedRules, Fact, Host};
use crate::rules::{BodyPlan, Decision, Outcome, Plan, RequestHead};

/// What becomes of a request.
pub(super) enum Decided {
    /// It is sent.
    Send {
        request: Request<BoxBody>,
        /// The rules that have changed it.
        rules: Option<AppliedRules>,
    },
    /// It is refused, with this answer.
    Answer(Response<Bytes>),
}

impl Exchanges {
    /// Applies the rules that hold now. A body is read only where a rule needs it.
    ///
    /// # Errors
    /// The agent's, when it breaks off in a body that is read.
    pub(super) async fn decide(
        &self,
        host: &Host,
        request: Request<Incoming>,
    ) -> Result<Decided, BoxError> {
        let rules = self.rules();
        let (mut head, body) = request.into_parts();
        let plan = match head.uri.path_and_query() {
            Some(target) => rules.plan(&RequestHead {
                host,
                method: &head.method,
                target,
                headers: &head.headers,
                caller: &self.caller(),
            }),
            None => Plan::Pass,
        };
        let (outcome, body) = match plan {
            Plan::Pass => return Ok(Decided::as_it_is(head, streamed(body))),
            Plan::Head(plan) => (plan.apply(&mut head.headers), streamed(body)),
            Plan::Body { limit, with } => {
                match collect(streamed(body), limit, &self.bodies).await? {
                    Collected::Whole(whole) => apply(with, limit, &mut head.headers, whole),
                    Collected::TooLarge(body, why) => {
                        (with.too_large(&mut head.headers, why), body)
                    }
                }
            }
        };
        let Outcome { decision, uses } = outcome;
        for rule_use in uses {
            debug!(rule = %rule_use.rule, result = ?rule_use.result, "a rule matched a request");
            self.record().record(Fact::RuleUsed(rule_use));
        }
        Ok(match decision {
            Decision::Unchanged => Decided::as_it_is(head, body),
            Decision::Changed { target, rules, .. } => {
                if let Some(target) = target {
                    head.uri = with_target(head.uri, target)?;
                }
                Decided::Send {
                    request: Request::from_parts(head, body),
                    rules: Some(rules),
                }
            }
            Decision::Denied(answer) => Decided::Answer(answer),
        })
    }
}

impl Decided {
    fn as_it_is(head: Parts, body: BoxBody) -> Self {
        Self::Send {
            request: Request::from_parts(head, body),
            rules: None,
        }
    }
}

/// Applies rules to a request whose body was read, and returns the body that goes on.
fn apply(
    plan: BodyPlan<'_>,
    limit: usize,
    headers: &mut HeaderMap,
    mut whole: Whole,
) -> (Outcome, BoxBody) {
    let mut plan = plan;
    if headers.contains_key(CONTENT_ENCODING) {
        // How long its text is shows only when it is decompressed.
        let compressed = whole.reserved.bytes();
        whole.reserved.grow_up_to(compressed.saturating_add(limit));
        plan = plan.within(whole.reserved.bytes() - compressed);
    }
    let mut outcome = plan.apply(headers, &whole.content);
    if let Decision::Changed { body, .. } = &mut outcome.decision
        && let Some(changed) = body.take()
    {
        // Trailers are about the body that the agent has sent.
        (whole.content, whole.trailers) = (changed, None);
    }
    (outcome, uncollected(whole))
}

/// The same scheme and authority with another path and query.
fn with_target(uri: Uri, target: PathAndQuery) -> Result<Uri, http::uri::InvalidUriParts> {
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts)
}
