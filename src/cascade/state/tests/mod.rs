//! The correlator's state, with input at times that the tests choose.

mod belonging;
mod overlap;
mod places;
mod runs;
mod subagents;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::calls::MAX_RECENT;
use super::*;
use crate::cascade::test_updates::{generation, id, idle, running};
use crate::cascade::update::{AgentUsage, Generation, Step};
use crate::record::{
    Call, CallIds, CascadeRun, Correlated, Correlation, CorrelationMethod, Label as _, Model,
    Operation, Quality, RunOutcome, StepEnded, StepKind, StepStatus, Timing, TokenKind, TokenUsage,
    TraceContext, TraceParent, sample_call,
};

/// The state, with input at times in seconds since the agent began to be followed.
struct Told {
    state: CorrelatorState,
    zero: Moment,
    facts: Vec<Fact>,
}

impl Told {
    /// Nobody is followed.
    fn alone() -> Self {
        let zero = Moment {
            at: Instant::now() + Duration::from_secs(200_000),
            wall: wall(0.0),
        };
        Self {
            state: CorrelatorState::default(),
            zero,
            facts: Vec::new(),
        }
    }

    fn following() -> Self {
        let mut told = Self::alone();
        told.state.follow(told.zero.wall);
        told
    }

    fn at(&self, seconds: f64) -> Moment {
        let since = Duration::from_secs_f64(seconds);
        Moment {
            at: self.zero.at + since,
            wall: self.zero.wall + since,
        }
    }

    /// As the correlator takes a call. Returns the call as it was handed on, and whether the agent
    /// should be asked.
    fn call(&mut self, seconds: f64, mut call: Call) -> (Correlation, bool) {
        call.timing.started_at = self.at(seconds).wall - call.timing.duration;
        self.late_call(seconds, call)
    }

    /// A call that is stated a while after its end.
    fn late_call(&mut self, seconds: f64, mut call: Call) -> (Correlation, bool) {
        let is_open = self.take(seconds, &mut call);
        (call.correlation, is_open)
    }

    /// Where the span of a call stands when the call is handed on.
    fn placed(&mut self, seconds: f64, mut call: Call) -> Option<TraceContext> {
        self.take(seconds, &mut call);
        call.trace
    }

    /// Returns whether the agent should be asked.
    fn take(&mut self, seconds: f64, call: &mut Call) -> bool {
        let now = self.at(seconds);
        let Arrival { named_by, is_open } = self.state.correlate(call, now);
        self.state.record_call(call, named_by, now);
        self.facts.extend(self.state.take_facts());
        is_open
    }

    /// The places that were reported later, since the last time.
    fn placed_later(&mut self) -> Vec<(u64, TraceContext)> {
        let later = std::mem::take(&mut self.facts)
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::CallTraced { call, trace } => Some((call, trace)),
                _ => None,
            });
        later.collect()
    }

    fn summary(&mut self, seconds: f64, summaries: &[Summary]) {
        self.state.summaries(summaries, self.at(seconds));
        self.facts.extend(self.state.take_facts());
    }

    fn join(&mut self, seconds: f64, ids: &JoinedIds) {
        self.state.join(ids, self.at(seconds));
        self.facts.extend(self.state.take_facts());
    }

    fn update_from(&mut self, source: UpdateSource, seconds: f64, cascade: &str, update: &Update) {
        self.state
            .update(&id(cascade), update, source, self.at(seconds));
        self.facts.extend(self.state.take_facts());
    }

    fn update(&mut self, seconds: f64, cascade: &str, update: &Update) {
        self.update_from(UpdateSource::AgentState, seconds, cascade, update);
    }

    fn tick(&mut self, seconds: f64) {
        self.state.tick(self.at(seconds));
        self.facts.extend(self.state.take_facts());
    }

    fn delete(&mut self, seconds: f64, cascade: &str) {
        self.state.delete(&id(cascade), self.at(seconds));
        self.facts.extend(self.state.take_facts());
    }

    fn unfollow(&mut self, seconds: f64) {
        self.state.unfollow(self.at(seconds));
        self.facts.extend(self.state.take_facts());
    }

    /// Everything that was stated since the last time, in words; what came from the traffic is left
    /// out.
    fn said(&mut self) -> Vec<String> {
        let zero = self.zero.wall;
        let seconds = |at: SystemTime| {
            at.duration_since(zero)
                .map_or(-1.0, |since| since.as_secs_f64())
        };
        let said = std::mem::take(&mut self.facts)
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::Correlated(Correlated {
                    call,
                    correlation: Correlation { cascade, method },
                }) => Some(format!("{call} is {} by {method}", cascade.unwrap())),
                Fact::CorrelationSettled(method) => Some(format!("settled {method}")),
                Fact::RunStarted(run) => Some(format!(
                    "{} starts at {}",
                    run.cascade,
                    seconds(run.started_at)
                )),
                Fact::RunEnded(run) => Some(format!(
                    "{} {} after {}s: {} calls, {} tokens of {}",
                    run.cascade,
                    run.outcome,
                    run.duration.as_secs_f64(),
                    run.calls,
                    run.tokens,
                    run.model
                )),
                Fact::StepEnded(StepEnded { cascade, step, .. }) => {
                    Some(format!("{cascade} {step}"))
                }
                Fact::UsageCompared(comparison) => Some(comparison.as_str().to_owned()),
                _ => None,
            });
        said.collect()
    }

    /// The runs that ended since the last time.
    fn ended(&mut self) -> Vec<CascadeRun> {
        let ended = std::mem::take(&mut self.facts)
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::RunEnded(run) => Some(*run),
                _ => None,
            });
        ended.collect()
    }
}

fn wall(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_000_000.0 + seconds)
}

/// A call that lasted a second, with its first chunk after half of it, of 7 tokens.
fn call(number: u64, ids: CallIds, method: CorrelationMethod) -> Call {
    Call {
        number,
        model: Model::from_wire(&format!("m{number}")),
        usage: TokenUsage::default()
            .with(TokenKind::Input, 5)
            .with(TokenKind::Output, 2),
        timing: Timing {
            started_at: wall(0.0),
            duration: Duration::from_secs(1),
            time_to_first_chunk: Some(Duration::from_millis(500)),
            content_duration: None,
        },
        ids,
        correlation: Correlation {
            cascade: None,
            method,
        },
        ..sample_call()
    }
}

/// A call that names conversation and trajectory.
fn named(number: u64, conversation: &str, trajectory: &str) -> Call {
    let ids = CallIds {
        conversation: Some(id(conversation)),
        trajectory: Some(id(trajectory)),
        ..CallIds::default()
    };
    call(number, ids, CorrelationMethod::RequestId)
}

/// A call that names its trajectory only.
fn labelled(number: u64, trajectory: &str) -> Call {
    let ids = CallIds {
        labelled_trajectory: Some(id(trajectory)),
        ..CallIds::default()
    };
    call(number, ids, CorrelationMethod::Labels)
}

/// A call that names no conversation, but a session and a trace.
fn nameless(number: u64, session: &str, trace: &str) -> Call {
    let ids = CallIds {
        session: Some(id(session)),
        provider_trace: Some(id(trace)),
        ..CallIds::default()
    };
    call(number, ids, CorrelationMethod::None)
}

fn of(operation: Operation, call: Call) -> Call {
    Call { operation, ..call }
}

fn summary(cascade: &str, trajectory: &str, root: Option<&str>) -> Summary {
    Summary {
        cascade: id(cascade),
        trajectory: Some(id(trajectory)),
        status: None,
        step_count: None,
        last_modified: None,
        last_user_input: None,
        root: root.map(id),
        has_active_children: false,
        not_fully_idle: false,
    }
}

fn input(seconds: f64) -> Step {
    let created_at = Some(wall(seconds));
    Step {
        kind: StepKind::UserInput,
        status: StepStatus::Done,
        created_at,
        ..Step::default()
    }
}

fn answer() -> Step {
    Step {
        kind: StepKind::PlannerResponse,
        status: StepStatus::Done,
        has_text: true,
        ..Step::default()
    }
}

/// A call to a model, with the model that answered.
fn served(name: &str) -> Generation {
    Generation {
        served_model: Some(Model::from_wire("served")),
        ..generation(name)
    }
}
