//! One followed conversation with its calls: turns its events into facts. The run that counts a
//! call is also the one whose trace contains the call's span, as [`Calls`] settles both at once.

use std::time::SystemTime;

use crate::cascade::compare::UsageReconciler;
use crate::cascade::conversation::{Conversation, EndedRun, Event, Moment};
use crate::cascade::runs::{Calls, ConfirmedInterval, RunCalls, SeenCall};
use crate::cascade::spans;
use crate::record::{
    AgentName, CascadeRun, Fact, Id, Model, RunOutcome, RunStarted, Sampling, StepEnded,
    TraceContext,
};

/// A conversation of the agent that is being followed.
#[derive(Debug)]
pub(super) struct FollowedConversation {
    pub(super) conversation: Conversation,
    pub(super) trajectory: Option<Id>,
    pub(super) calls: Calls,
    /// The model of the first call of its run, as the agent reports it.
    model: Option<Model>,
    /// The span context of the run under way, created when the run or one of its calls first needs
    /// it.
    span: Option<TraceContext>,
}

/// What it takes to turn events into facts: the same for all conversations at one moment.
pub(super) struct EmitContext<'a> {
    pub(super) reconciler: &'a mut UsageReconciler,
    /// The sampling of traces; `None` where tracing is off.
    pub(super) sampling: Option<Sampling>,
    pub(super) now: Moment,
}

impl FollowedConversation {
    pub(super) fn new(since: SystemTime) -> Self {
        Self {
            conversation: Conversation::new(since),
            trajectory: None,
            calls: Calls::default(),
            model: None,
            span: None,
        }
    }

    /// Turns the conversation's events into facts.
    pub(super) fn emit(
        &mut self,
        cascade: &Id,
        events: Vec<Event>,
        context: &mut EmitContext<'_>,
    ) -> Vec<Fact> {
        let EmitContext {
            reconciler,
            sampling,
            now,
        } = context;
        let sampling = *sampling;
        let mut facts = Vec::new();
        for event in events {
            match event {
                Event::Generation { generation, fresh } => {
                    let model = generation.served_model.clone().filter(|_| fresh);
                    self.model = self.model.take().or(model);
                    facts.extend(
                        reconciler
                            .agent_call(generation, fresh, now.at)
                            .map(Fact::UsageCompared),
                    );
                }
                Event::RunEnded(run) => facts.extend(self.ended(cascade, run, sampling)),
                Event::RunStarted(began) => {
                    self.model = None;
                    facts.push(Fact::RunStarted(RunStarted {
                        cascade: cascade.clone(),
                        started_at: began.wall,
                    }));
                }
                Event::StepEnded(step, status) => {
                    facts.push(Fact::StepEnded(StepEnded {
                        cascade: cascade.clone(),
                        step,
                        status,
                    }));
                }
            }
        }
        facts.extend(self.settle(sampling));
        facts
    }

    /// Adds a call that belongs to the conversation.
    pub(super) fn add(&mut self, call: SeenCall, context: &EmitContext<'_>) -> Vec<Fact> {
        let pushed_out = self.calls.add(call, context.now.at);
        let mut facts = standalone_spans(pushed_out, context.sampling);
        facts.extend(self.settle(context.sampling));
        facts
    }

    /// The span context of a call, if it is known already.
    pub(super) fn place(&mut self, call: &SeenCall, sampling: Sampling) -> Option<TraceContext> {
        self.confirmed_interval()
            .filter(|run| call.is_within(*run))
            .map(|_| spans::within(&self.span(sampling)))
    }

    /// Time has passed: where no run is under way, gives up on calls that have waited long enough
    /// for one.
    pub(super) fn stop_waiting(&mut self, context: &EmitContext<'_>) -> Vec<Fact> {
        if self.conversation.is_running() || self.conversation.waits() {
            return Vec::new();
        }
        standalone_spans(self.calls.stop_waiting(context.now.at), context.sampling)
    }

    /// The conversation, the agent or Gravimeter goes away.
    pub(super) fn lose(&mut self, cascade: &Id, context: &mut EmitContext<'_>) -> Vec<Fact> {
        let events = self.conversation.lose(context.now);
        let mut facts = self.emit(cascade, events, context);
        facts.extend(standalone_spans(self.calls.give_up(), context.sampling));
        facts
    }

    /// Settles the calls that certainly belong to the run under way.
    fn settle(&mut self, sampling: Option<Sampling>) -> Vec<Fact> {
        let calls = self
            .confirmed_interval()
            .map(|run| self.calls.settle(run))
            .unwrap_or_default();
        self.within(calls, sampling)
    }

    fn confirmed_interval(&self) -> Option<ConfirmedInterval> {
        self.conversation
            .confirmed_interval()
            .map(|(began, until)| ConfirmedInterval { began, until })
    }

    /// Places the spans of these calls within the run's span.
    fn within(&mut self, calls: Vec<u64>, sampling: Option<Sampling>) -> Vec<Fact> {
        let Some(sampling) = sampling.filter(|_| !calls.is_empty()) else {
            return Vec::new();
        };
        let span = self.span(sampling);
        calls
            .into_iter()
            .map(|call| Fact::CallTraced {
                call,
                trace: spans::within(&span),
            })
            .collect()
    }

    /// The span context of the run under way.
    fn span(&mut self, sampling: Sampling) -> TraceContext {
        *self.span.get_or_insert_with(|| spans::root(sampling))
    }

    /// The fact of the ended run, after those of the calls that are placed with it.
    fn ended(&mut self, cascade: &Id, run: EndedRun, sampling: Option<Sampling>) -> Vec<Fact> {
        let mut calls = self.calls.of_run(run.began, run.ended, run.latest);
        let mut facts = self.within(std::mem::take(&mut calls.unplaced), sampling);
        facts.extend(standalone_spans(
            std::mem::take(&mut calls.outside_runs),
            sampling,
        ));
        facts.push(Fact::RunEnded(Box::new(
            self.run(cascade, run, calls, sampling),
        )));
        facts
    }

    fn run(
        &mut self,
        cascade: &Id,
        run: EndedRun,
        calls: RunCalls,
        sampling: Option<Sampling>,
    ) -> CascadeRun {
        let began = calls.began.unwrap_or(run.began.at);
        let earlier = run.began.at.saturating_duration_since(began);
        // An agent that made calls has not lost its prompt, whatever steps it shows.
        let outcome = match run.outcome {
            RunOutcome::Swallowed if calls.count > 0 => RunOutcome::Ok,
            outcome => outcome,
        };
        CascadeRun {
            agent: AgentName::Antigravity,
            cascade: cascade.clone(),
            trajectory: self.trajectory.clone(),
            model: calls
                .model
                .or(self.model.take())
                .unwrap_or_else(Model::unknown),
            outcome,
            started_at: run
                .began
                .wall
                .checked_sub(earlier)
                .unwrap_or(run.began.wall),
            duration: calls
                .ended
                .unwrap_or(run.ended)
                .saturating_duration_since(began),
            time_to_first_chunk: calls
                .first_chunk
                .map(|first| first.saturating_duration_since(began)),
            calls: calls.count,
            tool_calls: None,
            tokens: calls.tokens,
            cost: calls.cost,
            trace: sampling
                .map(|sampling| self.span.take().unwrap_or_else(|| spans::root(sampling))),
        }
    }
}

/// Calls that belong to no run get a root span each.
pub(super) fn standalone_spans(
    calls: impl IntoIterator<Item = u64>,
    sampling: Option<Sampling>,
) -> Vec<Fact> {
    let Some(sampling) = sampling else {
        return Vec::new();
    };
    calls
        .into_iter()
        .map(|call| Fact::CallTraced {
            call,
            trace: spans::root(sampling),
        })
        .collect()
}
