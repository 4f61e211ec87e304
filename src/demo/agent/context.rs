//! The state that all trajectories of a conversation share.

mod calls;

use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

pub(super) use calls::Generated;

use super::AgentOptions;
use super::cascade::{
    RunEnd, RunEntry, RunStatus, Step, StepKind, StepStatus, StoredConversation, Termination,
};
use super::prompt::Speaker;
use super::provider_client::ProviderClient;
use crate::demo::tally::Tokens;

/// The shared part of a conversation.
pub(super) struct ConversationContext {
    pub(super) options: Arc<AgentOptions>,
    pub(super) provider: ProviderClient,
    pub(super) rng: StdRng,
    pub(super) speaker: Speaker,
    pub(super) stored: Arc<StoredConversation>,
    pub(super) model: String,
    system: String,
    execution: String,
    last_execution: String,
    run: Run,
}

/// A trajectory at work: the main one, or a subagent's.
pub(super) struct ActiveTrajectory {
    pub(super) trajectory: String,
    /// The subagent's number.
    pub(super) subagent: Option<usize>,
    contents: Vec<Value>,
    requests: u32,
    generations: u32,
}

/// A subagent at work.
pub(super) struct RunningSubagent {
    pub(super) active: ActiveTrajectory,
    /// The step of the main trajectory that ends with it.
    pub(super) works_in: Option<usize>,
}

/// Totals of the run so far.
#[derive(Clone, Copy)]
struct Run {
    started: Timestamp,
    calls: u64,
    tokens: Tokens,
}

impl ConversationContext {
    /// The context of a new conversation.
    pub(super) fn new(
        options: Arc<AgentOptions>,
        provider: ProviderClient,
        rng: StdRng,
        model: String,
        (speaker, stored): (Speaker, Arc<StoredConversation>),
    ) -> Self {
        let system = INSTRUCTION
            .chars()
            .cycle()
            .take(options.upload_bytes)
            .collect();
        let run = Run {
            started: Timestamp::UNIX_EPOCH,
            calls: 0,
            tokens: Tokens::default(),
        };
        let (execution, last_execution) = (String::new(), String::new());
        Self {
            options,
            provider,
            rng,
            speaker,
            stored,
            model,
            system,
            execution,
            last_execution,
            run,
        }
    }

    /// Begins a run with a message of the user.
    pub(super) fn begin(&mut self, text: &str) {
        self.last_execution = std::mem::replace(&mut self.execution, uuid(&mut self.rng));
        let execution = &self.execution;
        let started = self.stored.write(|cascade, now| {
            let step = Step::new(StepKind::UserInput, StepStatus::Done, now, execution)
                .saying(text)
                .at_once();
            let step = cascade.main.add(step);
            cascade.last_input = Some((now, step));
            cascade.main.status = RunStatus::Running;
            now
        });
        self.run = Run {
            started,
            calls: 0,
            tokens: Tokens::default(),
        };
    }

    /// Marks the main trajectory idle, while a subagent still works.
    pub(super) fn rest(&self) {
        self.stored
            .write(|cascade, _| cascade.main.status = RunStatus::Idle);
    }

    /// Ends the run and its subagent: the change of the state and the entry in the log happen at
    /// the same moment.
    pub(super) fn end(
        &self,
        outcome: RunEnd,
        reason: Option<Termination>,
        subagent: Option<&RunningSubagent>,
    ) {
        let Run {
            started,
            calls,
            tokens,
        } = self.run;
        self.stored.write(|cascade, now| {
            if let Some(step) = subagent.and_then(|subagent| subagent.works_in) {
                cascade
                    .main
                    .change(step, |step| step.end(StepStatus::Done, now));
            }
            let subagent = subagent.map(|subagent| subagent.active.subagent);
            for place in subagent.into_iter().chain([None]) {
                let trajectory = cascade.trajectory(place);
                trajectory.status = RunStatus::Idle;
                if let Some(reason) = reason {
                    trajectory.terminate(reason, &self.execution);
                }
            }
            self.stored.run_ended();
            let (started_us, ended_us) = (started.as_microsecond(), now.as_microsecond());
            let cascade = cascade.id.clone();
            self.stored.note(|log| {
                log.run(RunEntry {
                    cascade,
                    outcome,
                    started_us,
                    ended_us,
                    calls,
                    tokens,
                })
            });
        });
    }

    /// Begins a step and returns its index.
    pub(super) fn step(
        &self,
        active: &ActiveTrajectory,
        kind: StepKind,
        status: StepStatus,
        text: &str,
    ) -> usize {
        let execution = &self.execution;
        self.stored.write(|cascade, now| {
            let step = Step::new(kind, status, now, execution).saying(text);
            cascade.trajectory(active.subagent).add(step)
        })
    }

    /// Ends a step.
    pub(super) fn end_step(&self, active: &ActiveTrajectory, step: usize, status: StepStatus) {
        self.stored.write(|cascade, now| {
            cascade
                .trajectory(active.subagent)
                .change(step, |step| step.end(status, now));
        });
    }

    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.rng.random_range(0..100) < percent
    }
}

impl ActiveTrajectory {
    /// A new trajectory.
    pub(super) fn new(trajectory: String, subagent: Option<usize>) -> Self {
        Self {
            trajectory,
            subagent,
            contents: Vec::new(),
            requests: 0,
            generations: 0,
        }
    }

    /// Adds a message. Old ones are dropped when the window is full, as in every agent.
    pub(super) fn say(&mut self, role: &str, text: &str) {
        let text: String = text.chars().take(MAX_MESSAGE).collect();
        self.contents
            .push(json!({"role": role, "parts": [{"text": text}]}));
        let surplus = self.contents.len().saturating_sub(MAX_MESSAGES);
        self.contents.drain(..surplus);
    }
}

/// A UUID drawn from the seeded generator.
pub(super) fn uuid(rng: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(rng.random())
        .into_uuid()
        .to_string()
}

const INSTRUCTION: &str =
    "You are a stand-in. Every byte of this text must arrive, Überlänge included. ";
/// The context window: an agent that runs until SIGTERM must not grow.
const MAX_MESSAGES: usize = 40;
/// Characters kept of one message.
const MAX_MESSAGE: usize = 4_000;
