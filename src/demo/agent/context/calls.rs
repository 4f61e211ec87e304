//! How a trajectory calls a model: sends the request, updates the conversation's state as the answer
//! comes in, and logs the call at its end.

use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng as _;
use tokio::time::sleep;

use super::{ActiveTrajectory, ConversationContext, uuid};
use crate::demo::CHECKPOINT_MODEL;
use crate::demo::agent::AgentOptions;
use crate::demo::agent::call::CallRequest;
use crate::demo::agent::cascade::{
    CallEnd, CallEntry, Generation, RunStatus, Stats, StepKind, StepStatus, documents,
};
use crate::demo::agent::prompt::{self, Naming, Prompt, Session, Turn};
use crate::demo::agent::provider_client::CallResult;
use crate::demo::agent::reply::{self, Reply};
use crate::demo::tally::Tokens;

/// The result of one generation, retries included.
pub(in crate::demo::agent) enum Generated {
    /// The reply came to its end.
    Answered,
    /// The answer was stopped in the middle, as asked; the step is still open.
    Left { step: usize },
    /// No attempt was answered.
    Failed,
}

/// One attempt, as it is logged.
struct LoggedAttempt<'a> {
    prompt: &'a Prompt,
    model: &'a str,
    trace: Option<String>,
    response: Option<String>,
    outcome: CallEnd,
    tokens: Tokens,
}

impl ConversationContext {
    /// Asks the model to go on, again after each refusal. After `leave_after` events the user stops
    /// the answer.
    pub(in crate::demo::agent) async fn generate(
        &mut self,
        active: &mut ActiveTrajectory,
        leave_after: Option<usize>,
    ) -> Generated {
        let (naming, model) = (self.naming(), self.model.clone());
        let step = self.step(active, StepKind::PlannerResponse, StepStatus::Pending, "");
        let call = self.open(active, &model, step);
        active.generations += 1;
        for attempt in 1..=MAX_ATTEMPTS {
            let prompt = self.ask(active, &model, naming, prompt::agent);
            let result = self
                .send_prompt(active, &model, &prompt, leave_after, Some(step))
                .await;
            match self.record_attempt(active, &model, &prompt, call, result) {
                CallResult::Reply(reply, left) => {
                    return self.replied(active, step, reply, left, naming).await;
                }
                CallResult::Refused(trace) => {
                    self.telemetry(active, naming, trace, "ACTION_STATUS_ERROR")
                        .await
                }
                CallResult::Nothing => break,
            }
            if attempt < MAX_ATTEMPTS {
                self.provider.retried();
            }
            sleep(self.provider.backoff * attempt).await;
        }
        self.end_step(active, step, StepStatus::Error);
        Generated::Failed
    }

    /// Asks for a title once; a refusal has no consequence.
    pub(in crate::demo::agent) async fn checkpoint(
        &mut self,
        active: &mut ActiveTrajectory,
        title: &str,
    ) {
        let step = self.step(active, StepKind::Checkpoint, StepStatus::Running, title);
        let call = self.open(active, CHECKPOINT_MODEL, step);
        let naming = if self.chance(self.options.unlabelled_percent) {
            Naming::Unlabelled
        } else {
            Naming::Full
        };
        let prompt = self.ask(active, CHECKPOINT_MODEL, naming, prompt::checkpoint);
        let result = self
            .send_prompt(active, CHECKPOINT_MODEL, &prompt, None, None)
            .await;
        let titled = matches!(
            self.record_attempt(active, CHECKPOINT_MODEL, &prompt, call, result),
            CallResult::Reply(..)
        );
        self.end_step(
            active,
            step,
            if titled {
                StepStatus::Done
            } else {
                StepStatus::Error
            },
        );
        if titled {
            self.stored
                .write(|cascade, _| title.clone_into(&mut cascade.summary));
        }
    }

    /// Uploads the latest calls and steps as analytics.
    pub(in crate::demo::agent) async fn analytics(&mut self, active: &ActiveTrajectory) {
        let state = self.stored.state();
        let last = |length: usize| length.saturating_sub(MAX_UPLOADED)..;
        let calls = documents(
            state
                .main
                .generations
                .get(last(state.main.generations.len()))
                .unwrap_or_default(),
        );
        let steps = documents(
            state
                .main
                .steps
                .get(last(state.main.steps.len()))
                .unwrap_or_default(),
        );
        let body = prompt::analytics(&self.speaker.cascade, &active.trajectory, calls, steps);
        self.provider.control(ANALYTICS, body).await;
    }

    /// Asks how many tokens the conversation has.
    pub(in crate::demo::agent) async fn count(&mut self, active: &ActiveTrajectory) {
        let body = prompt::count(&self.model, &active.contents);
        self.provider.count(&self.model, body).await;
    }

    pub(super) fn naming(&mut self) -> Naming {
        let drawn = self.rng.random_range(0..100);
        let AgentOptions {
            hidden_percent: hidden,
            old_form_percent: old,
            unlabelled_percent: bare,
            ..
        } = *self.options;
        match drawn {
            _ if drawn < hidden && drawn % 2 == 0 => Naming::Nothing,
            _ if drawn < hidden => Naming::Session,
            _ if drawn < hidden.saturating_add(old) => Naming::Old,
            _ if drawn < hidden.saturating_add(old).saturating_add(bare) => Naming::Unlabelled,
            _ => Naming::Full,
        }
    }

    fn ask(
        &mut self,
        active: &mut ActiveTrajectory,
        model: &str,
        naming: Naming,
        form: fn(&Turn<'_>) -> Prompt,
    ) -> Prompt {
        active.requests += 1;
        let (seed, random, checkpoint) =
            (self.rng.random(), self.rng.random(), uuid(&mut self.rng));
        form(&Turn {
            speaker: &self.speaker,
            trajectory: &active.trajectory,
            model,
            contents: &active.contents,
            system: &self.system,
            last_execution: &self.last_execution,
            step: active.generations,
            request: active.requests,
            seed,
            session: match self.speaker.session {
                Session::Kept(session) => session,
                Session::Random => random,
            },
            checkpoint: &checkpoint,
            naming,
        })
    }

    pub(super) fn open(&self, active: &ActiveTrajectory, model: &str, step: usize) -> usize {
        let execution = &self.execution;
        self.stored.write(|cascade, now| {
            cascade
                .trajectory(active.subagent)
                .call(Generation::new(model, execution, step, now))
        })
    }

    /// Sends a prompt and updates the text of `step` with the stream: each time that it has
    /// doubled.
    async fn send_prompt(
        &mut self,
        active: &ActiveTrajectory,
        model: &str,
        prompt: &Prompt,
        leave_after: Option<usize>,
        step: Option<usize>,
    ) -> CallResult {
        let ask = CallRequest {
            path: STREAM,
            headers: Vec::new(),
            body: prompt.body.clone(),
            chunked: true,
            leave_after,
        };
        let (stored, subagent) = (Arc::clone(&self.stored), active.subagent);
        let mut shown = 0;
        let mut on_progress = move |head: &http::response::Parts, body: &[u8]| {
            let Some(step) = step.filter(|_| head.status.is_success() && body.len() > 2 * shown)
            else {
                return;
            };
            shown = body.len();
            let text = reply::so_far(&head.headers, body);
            stored.write(|cascade, _| {
                cascade.trajectory(subagent).change(step, |step| {
                    step.status = StepStatus::Generating;
                    step.text = text;
                });
            });
        };
        self.provider.generate(model, ask, &mut on_progress).await
    }

    /// Records an attempt in the run's totals, the log and the conversation's state.
    fn record_attempt(
        &mut self,
        active: &ActiveTrajectory,
        model: &str,
        prompt: &Prompt,
        call: usize,
        result: CallResult,
    ) -> CallResult {
        let entry = LoggedAttempt {
            prompt,
            model,
            trace: None,
            response: None,
            outcome: CallEnd::Ok,
            tokens: Tokens::default(),
        };
        match &result {
            CallResult::Reply(reply, left) => {
                let outcome = if *left { CallEnd::Aborted } else { CallEnd::Ok };
                let (trace, response) = (
                    Some(reply.trace_id.clone()),
                    Some(reply.response_id.clone()),
                );
                self.log_attempt(
                    active,
                    LoggedAttempt {
                        trace,
                        response,
                        outcome,
                        tokens: reply.usage.into(),
                        ..entry
                    },
                );
                let stats = Stats::new(reply.usage, model, &reply.response_id, &reply.trace_id);
                let (trace, session) = (reply.trace_id.clone(), prompt.session.to_string());
                self.change_call(active, call, |call| {
                    call.answered(model, session, trace, stats)
                });
            }
            CallResult::Refused(trace) => {
                self.log_attempt(
                    active,
                    LoggedAttempt {
                        trace: trace.clone(),
                        outcome: CallEnd::Refused,
                        ..entry
                    },
                );
                let trace = trace.clone().unwrap_or_default();
                self.change_call(active, call, |call| call.refused(trace));
            }
            CallResult::Nothing => {}
        }
        result
    }

    fn log_attempt(&mut self, active: &ActiveTrajectory, attempt: LoggedAttempt<'_>) {
        let LoggedAttempt {
            prompt,
            model,
            trace,
            response,
            outcome,
            tokens,
        } = attempt;
        self.run.calls += 1;
        self.run.tokens += tokens;
        let (cascade, trajectory) = (self.speaker.cascade.clone(), active.trajectory.clone());
        let (request, model) = (prompt.id.clone(), model.to_owned());
        let ended_us = Timestamp::now().as_microsecond();
        let entry = CallEntry {
            trace,
            response,
            cascade,
            trajectory,
            request,
            model,
            outcome,
            tokens,
            ended_us,
        };
        self.stored.note(|log| log.call(entry));
    }

    fn change_call(
        &self,
        active: &ActiveTrajectory,
        call: usize,
        change: impl FnOnce(&mut Generation),
    ) {
        self.stored.write(|cascade, _| {
            cascade
                .trajectory(active.subagent)
                .change_call(call, change)
        });
    }

    async fn replied(
        &mut self,
        active: &mut ActiveTrajectory,
        step: usize,
        reply: Reply,
        left: bool,
        naming: Naming,
    ) -> Generated {
        let Reply { text, trace_id, .. } = reply;
        if left {
            self.stored
                .write(|cascade, _| cascade.main.status = RunStatus::Canceling);
            // Stopping a stream over HTTP/1.1 closes the connection; this request opens the next
            // one.
            self.telemetry(
                active,
                Naming::Nothing,
                Some(trace_id),
                "ACTION_STATUS_CANCELLED",
            )
            .await;
            return Generated::Left { step };
        }
        self.stored.write(|cascade, now| {
            cascade.trajectory(active.subagent).change(step, |step| {
                step.text.clone_from(&text);
                step.end(StepStatus::Done, now);
            });
        });
        active.say("model", &text);
        self.telemetry(active, naming, Some(trace_id), "ACTION_STATUS_NO_ERROR")
            .await;
        Generated::Answered
    }

    /// Sends telemetry now and then, and always where the request did not say where it belongs.
    pub(in crate::demo::agent) async fn telemetry(
        &mut self,
        active: &ActiveTrajectory,
        naming: Naming,
        trace: Option<String>,
        status: &str,
    ) {
        let drawn = self.chance(METRICS_PERCENT);
        let Some(trace) = trace.filter(|_| drawn || naming.is_hidden()) else {
            return;
        };
        self.provider
            .control(METRICS, prompt::metrics(&active.trajectory, &trace, status))
            .await;
    }
}

const STREAM: &str = "/v1internal:streamGenerateContent?alt=sse";

const METRICS: &str = "/v1internal:recordCodeAssistMetrics";

const ANALYTICS: &str = "/v1internal:recordTrajectoryAnalytics";

/// The language server was seen to try five times.
const MAX_ATTEMPTS: u32 = 5;

const METRICS_PERCENT: u8 = 50;

/// Entries of each kind in one upload of analytics.
const MAX_UPLOADED: usize = 20;
