//! One followed conversation with its calls: turns its events into facts. The run that counts a
//! call is also the one whose trace contains the call's span, as [`Calls`] settles both at once.

use std::time::SystemTime;

use crate::cascade::compare::UsageReconciler;
use crate::cascade::conversation::{Conversation, EndedRun, Event};
use crate::cascade::emit::Emitter;
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
    pub(super) out: Emitter<'a>,
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
    pub(super) fn emit(&mut self, cascade: &Id, events: Vec<Event>, context: &mut EmitContext<'_>) {
        let EmitContext { reconciler, out } = context;
        for event in events {
            match event {
                Event::Generation { generation, fresh } => {
                    let model = generation.served_model.clone().filter(|_| fresh);
                    self.model = self.model.take().or(model);
                    if let Some(compared) = reconciler.agent_call(generation, fresh, out.now.at) {
                        out.emit(Fact::UsageCompared(compared));
                    }
                }
                Event::RunEnded(run) => self.ended(cascade, run, out),
                Event::RunStarted(began) => {
                    self.model = None;
                    out.emit(Fact::RunStarted(RunStarted {
                        cascade: cascade.clone(),
                        started_at: began.wall,
                    }));
                }
                Event::StepEnded(step, status) => out.emit(Fact::StepEnded(StepEnded {
                    cascade: cascade.clone(),
                    step,
                    status,
                })),
            }
        }
        self.settle(out);
    }

    /// Adds a call that belongs to the conversation.
    pub(super) fn add(&mut self, call: SeenCall, out: &mut Emitter<'_>) {
        let pushed_out = self.calls.add(call, out.now.at);
        out.place_alone(pushed_out);
        self.settle(out);
    }

    /// The span context of a call, if it is known already.
    pub(super) fn place(&mut self, call: &SeenCall, sampling: Sampling) -> Option<TraceContext> {
        self.confirmed_interval()
            .filter(|run| call.is_within(*run))
            .map(|_| spans::within(&self.span(sampling)))
    }

    /// Time has passed: where no run is under way, gives up on calls that have waited long enough
    /// for one.
    pub(super) fn stop_waiting(&mut self, out: &mut Emitter<'_>) {
        if !self.conversation.is_running() && !self.conversation.waits() {
            out.place_alone(self.calls.stop_waiting(out.now.at));
        }
    }

    /// The conversation, the agent or Gravimeter goes away.
    pub(super) fn lose(&mut self, cascade: &Id, context: &mut EmitContext<'_>) {
        let events = self.conversation.lose(context.out.now);
        self.emit(cascade, events, context);
        context.out.place_alone(self.calls.give_up());
    }

    /// Settles the calls that certainly belong to the run under way.
    fn settle(&mut self, out: &mut Emitter<'_>) {
        if let Some(run) = self.confirmed_interval() {
            let calls = self.calls.settle(run);
            self.place_within(calls, out);
        }
    }

    fn confirmed_interval(&self) -> Option<ConfirmedInterval> {
        self.conversation
            .confirmed_interval()
            .map(|(began, until)| ConfirmedInterval { began, until })
    }

    /// Places the spans of these calls within the run's span.
    fn place_within(&mut self, calls: Vec<u64>, out: &mut Emitter<'_>) {
        let Some(sampling) = out.sampling.filter(|_| !calls.is_empty()) else {
            return;
        };
        let span = self.span(sampling);
        for call in calls {
            out.place(call, Some(spans::within(&span)));
        }
    }

    /// The span context of the run under way.
    fn span(&mut self, sampling: Sampling) -> TraceContext {
        *self.span.get_or_insert_with(|| spans::root(sampling))
    }

    /// Emits the ended run, after the places of the calls that are placed with it.
    fn ended(&mut self, cascade: &Id, run: EndedRun, out: &mut Emitter<'_>) {
        let mut calls = self.calls.of_run(run.began, run.ended, run.latest);
        self.place_within(std::mem::take(&mut calls.unplaced), out);
        out.place_alone(std::mem::take(&mut calls.outside_runs));
        let run = self.run(cascade, run, calls, out.sampling);
        out.emit(Fact::RunEnded(Box::new(run)));
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
            has_several_models: calls.has_several_models,
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
