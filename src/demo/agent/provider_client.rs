//! The client of the provider: every answer is verified, and counted in the [`Outcome`].

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rand::Rng;
use serde_json::Value;
use tokio::time::sleep;

use super::Outcome;
use super::call::{Answer, CallError, CallRequest, Caller, OnProgress};
use super::reply::{self, Reply};
use super::socket::{AgentSocket, Events};
use crate::demo::tally::{ModelTally, Tokens};

/// Sends calls one after the other, and counts the results.
pub(super) struct ProviderClient {
    caller: Caller,
    outcome: Outcome,
    /// The pause before the first retry, and after a failed call.
    pub(super) backoff: Duration,
}

/// The result of one generation.
pub(super) enum CallResult {
    /// A reply; `true` if it was stopped in the middle.
    Reply(Reply, bool),
    /// Status 429, with the trace id in its head.
    Refused(Option<String>),
    /// No usable answer; already counted as such.
    Nothing,
}

impl ProviderClient {
    /// Creates a client that connects with the first call.
    pub(super) fn new(caller: Caller, backoff: Duration) -> Self {
        Self {
            caller,
            outcome: Outcome::default(),
            backoff,
        }
    }

    /// Returns the counts.
    pub(super) fn close(self) -> Outcome {
        Outcome {
            connections: self.caller.opened,
            ..self.outcome
        }
    }

    /// Sends one generation. `on_progress` is called as the stream grows.
    pub(super) async fn generate(
        &mut self,
        model: &str,
        ask: CallRequest,
        on_progress: &mut OnProgress<'_>,
    ) -> CallResult {
        let Some(answer) = self.call(ask, on_progress).await else {
            return CallResult::Nothing;
        };
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            self.entry(model).refused += 1;
            return CallResult::Refused(reply::trace(&answer).map(str::to_owned));
        }
        self.read_reply(model, &answer)
            .map_or(CallResult::Nothing, |reply| {
                CallResult::Reply(reply, answer.left)
            })
    }

    /// Sends a request of a coding agent and verifies the answer; a failure is counted.
    pub(super) async fn exchange(&mut self, ask: CallRequest) -> Option<Answer> {
        self.call(ask, &mut |_, _| ()).await
    }

    /// Opens a WebSocket for a coding agent; a failure is counted.
    pub(super) async fn socket(
        &mut self,
        path: &'static str,
        headers: &[(&'static str, String)],
        nonce: &mut impl Rng,
    ) -> Option<AgentSocket> {
        match self.caller.socket(path, headers, nonce).await {
            Ok(socket) => Some(socket),
            Err(error) => self.failed(&error).await,
        }
    }

    /// Sends a request over a socket and verifies the events of its answer; a failure is counted.
    pub(super) async fn exchange_over(
        &mut self,
        socket: &mut AgentSocket,
        ask: &Value,
    ) -> Option<Vec<Value>> {
        match socket.ask(ask).await {
            Ok(Events {
                is_corrupt: true, ..
            }) => {
                self.outcome
                    .corrupt("events do not have the hash that the last one says".to_owned());
                None
            }
            Ok(Events { events, .. }) => Some(events),
            Err(error) => self.failed(&error).await,
        }
    }

    /// Counts a failure. The provider may be down: the next attempt is not made at once.
    async fn failed<T>(&mut self, error: &CallError) -> Option<T> {
        self.outcome.fail(error.to_string());
        sleep(self.backoff).await;
        None
    }

    /// Counts a refused call of a coding agent, which is made again.
    pub(super) fn refused(&mut self, model: &str) {
        self.entry(model).refused += 1;
        self.outcome.retries += 1;
    }

    /// Counts an answered call of a coding agent.
    pub(super) fn answered(&mut self, model: &str, tokens: Tokens) {
        let entry = self.entry(model);
        entry.calls += 1;
        entry.tokens += tokens;
    }

    /// Counts an answer that makes no sense.
    pub(super) fn unreadable(&mut self, why: &str) {
        self.outcome.fail(why.to_owned());
    }

    /// Counts a retry after a refusal.
    pub(super) fn retried(&mut self) {
        self.outcome.retries += 1;
    }

    /// Asks for a token count.
    pub(super) async fn count(&mut self, model: &str, body: Bytes) {
        let ask = CallRequest {
            path: COUNT,
            headers: Vec::new(),
            body,
            chunked: false,
            leave_after: None,
        };
        let answer = self.call(ask, &mut |_, _| ()).await;
        if answer.is_some_and(|answer| self.is_ok(&answer)) {
            self.entry(model).counted += 1;
        }
    }

    /// Sends a request that generates nothing.
    pub(super) async fn control(&mut self, path: &'static str, body: Bytes) {
        let answer = self
            .call(
                CallRequest {
                    path,
                    headers: Vec::new(),
                    body,
                    chunked: false,
                    leave_after: None,
                },
                &mut |_, _| (),
            )
            .await;
        if answer.is_some_and(|answer| self.is_ok(&answer)) {
            self.outcome.tally.control += 1;
        }
    }

    /// Sends and verifies. A failure is counted and returns `None`.
    async fn call(&mut self, ask: CallRequest, on_progress: &mut OnProgress<'_>) -> Option<Answer> {
        let answer = match self.caller.send(ask, on_progress).await {
            Ok(answer) => answer,
            Err(error) => return self.failed(&error).await,
        };
        match reply::verify(&answer) {
            Ok(()) => Some(answer),
            Err(corruption) => {
                self.outcome.corrupt(corruption.to_string());
                None
            }
        }
    }

    fn read_reply(&mut self, model: &str, answer: &Answer) -> Option<Reply> {
        if !self.is_ok(answer) {
            return None;
        }
        match reply::read(answer) {
            Ok(reply) => {
                let entry = self.entry(model);
                entry.tokens += Tokens::from(reply.usage);
                match answer.left {
                    true => entry.aborted += 1,
                    false => entry.calls += 1,
                }
                Some(reply)
            }
            Err(corruption) => {
                self.outcome.corrupt(corruption.to_string());
                None
            }
        }
    }

    fn is_ok(&mut self, answer: &Answer) -> bool {
        if answer.status != StatusCode::OK {
            self.outcome
                .fail(format!("an answer has status {}", answer.status));
        }
        answer.status == StatusCode::OK
    }

    fn entry(&mut self, model: &str) -> &mut ModelTally {
        self.outcome.tally.model(model)
    }
}

const COUNT: &str = "/v1internal:countTokens";
