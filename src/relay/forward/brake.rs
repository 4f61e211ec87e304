//! Refuses the calls that a budget stops, as their provider would refuse them, before they are sent.

use bytes::Bytes;
use hyper::{Request, Response};
use jiff::Timestamp;
use tracing::debug;

use super::body::{BoxBody, BoxError, Collected, collect, uncollected};
use super::decide::Decided;
use super::exchange::Exchanges;
use crate::budget::{Budgets, ConnectionScope, Stop};
use crate::dialect::{AskedCall, RefusalReason, RequestRefusal};
use crate::record::{Fact, Host, MadeCall, RefuseReason};
use crate::rules::decode;

impl Exchanges {
    /// What becomes of a request when the budgets are asked, too. Only calls of models are stopped.
    /// A body is read only while a budget stops calls by what stands in it.
    ///
    /// # Errors
    /// The agent's, when it breaks off in a body that is read.
    pub(super) async fn brake(&self, host: &Host, decided: Decided) -> Result<Decided, BoxError> {
        let Some(budgets) = &self.budgets else {
            return Ok(decided);
        };
        let (request, rules) = match decided {
            Decided::Send { request, rules } => (request, rules),
            refused @ Decided::Answer(_) => return Ok(refused),
        };
        let (request, stopped) = self.stop_of(budgets, host, request).await?;
        Ok(match stopped {
            None => Decided::Send { request, rules },
            Some((asked, stop)) => {
                debug!(%stop, "a budget stops a request");
                let reason = RefuseReason::Budget;
                self.record().record(Fact::ConnectionRefused(reason));
                Decided::Answer(answer(&asked, &stop))
            }
        })
    }

    /// The budget that stops a request, and what the request asks for.
    async fn stop_of(
        &self,
        budgets: &Budgets,
        host: &Host,
        request: Request<BoxBody>,
    ) -> Result<(Request<BoxBody>, Option<(AskedCall, Stop)>), BoxError> {
        let Some(asked) = asked(host, &request) else {
            return Ok((request, None));
        };
        let now = Timestamp::now();
        let model = asked.model().cloned();
        let mut call = model.map(|model| MadeCall {
            model,
            subagent: None,
        });
        let mut request = request;
        if budgets.needs_call(now) && !asked.is_socket() {
            let (head, body) = request.into_parts();
            let body = match collect(body, MAX_BODY, &self.bodies).await? {
                Collected::Whole(whole) => {
                    let text = decode(&head.headers, &whole.content, MAX_BODY).ok();
                    let read = text.and_then(|text| asked.read(text.as_bytes()));
                    call = read.map(|read| MadeCall {
                        model: read.model,
                        subagent: read.subagent,
                    });
                    uncollected(whole)
                }
                Collected::TooLarge(body, _) => body,
            };
            request = Request::from_parts(head, body);
        }
        let scope = ConnectionScope {
            provider: Some(asked.provider()),
            caller: &self.caller(),
            calls: call.as_slice(),
        };
        let stop = budgets.stop_for(host, &scope, now);
        Ok((request, stop.map(|stop| (asked, stop))))
    }
}

fn asked(host: &Host, request: &Request<BoxBody>) -> Option<AskedCall> {
    let target = request.uri().path_and_query()?;
    AskedCall::of(host, request.method(), target, request.headers())
}

/// The provider's own answer to too many calls, with the time at which they pass again.
fn answer(asked: &AskedCall, stop: &Stop) -> Response<Bytes> {
    let left = stop
        .reopens_at
        .map(|at| at.duration_since(Timestamp::now()));
    let refusal = RequestRefusal {
        reason: RefusalReason::RateLimited {
            retry_after: left.and_then(|left| left.try_into().ok()),
        },
        message: &stop.to_string(),
    };
    (asked.form().refuse)(&refusal)
}

/// Bodies that are larger are not read: providers accept none.
const MAX_BODY: usize = 32 << 20;
