//! One conversation of an agent that names its turns: each call that has ended enters, facts about
//! its runs and subagents leave.
//!
//! The calls of one agent come one after another, those of its subagents beside them. A call is
//! known when it has ended: a run is therefore closed when every call that began before its end has
//! ended, too.

use std::collections::BTreeMap;

use super::ended::EndedSpans;
use super::under_way::CallsUnderWay;
use super::work::Work;
use crate::cascade::emit::Emitter;
use crate::cascade::runs::SeenCall;
use crate::cascade::spans;
use crate::cascade::waiting::WaitingQueue;
use crate::record::{
    AgentName, Call, Fact, Id, Provider, RunStarted, Sampling, SubagentRun, TraceContext, TurnStep,
};

/// What is known of one conversation.
#[derive(Debug)]
pub(super) struct WireConversation {
    id: Id,
    /// The turn that the main agent has named last.
    last_turn: Option<Id>,
    run: Option<Work>,
    /// Subagents at work.
    subagents: BTreeMap<Id, Subagent>,
    /// Runs that are over, by their turn.
    ended_runs: EndedSpans,
    ended_subagents: EndedSpans,
    /// Calls that may turn out to be part of a run whose first call has not ended, with who answered
    /// them.
    waiting: WaitingQueue<(Provider, SeenCall), MAX_WAITING>,
}

#[derive(Debug)]
struct Subagent {
    kind: Option<Id>,
    work: Work,
}

impl WireConversation {
    pub(super) fn new(id: Id) -> Self {
        Self {
            id,
            last_turn: None,
            run: None,
            subagents: BTreeMap::new(),
            ended_runs: EndedSpans::default(),
            ended_subagents: EndedSpans::default(),
            waiting: WaitingQueue::default(),
        }
    }

    /// Takes a call that has ended. Returns the place of its span, if it is known already.
    pub(super) fn take(&mut self, call: &Call, out: &mut Emitter<'_>) -> Option<TraceContext> {
        let mut seen = SeenCall::new(call, out.now);
        // A call that the agent puts below a span of its own stands there.
        let own = call.parent.zip(out.sampling);
        let own = own.map(|(parent, sampling)| spans::within_agents(parent, sampling));
        seen.is_placed = own.is_some();
        let place = match (&call.ids.subagent, call.turn.agent, call.turn.step) {
            (None, Some(agent), TurnStep::Begins | TurnStep::Continues) => {
                self.main(agent, call, seen, out)
            }
            (Some(subagent), Some(agent), _) => self.subagent(subagent, agent, call, seen, out),
            _ => self.aside(call, seen, out),
        };
        own.or(place)
    }

    /// A step of the main agent.
    fn main(
        &mut self,
        agent: AgentName,
        call: &Call,
        seen: SeenCall,
        out: &mut Emitter<'_>,
    ) -> Option<TraceContext> {
        let is_late = |run: &Work| seen.began < run.began;
        let Some(turn) = call
            .turn
            .id
            .as_ref()
            .filter(|_| !self.run.as_ref().is_some_and(is_late))
        else {
            return self.aside(call, seen, out);
        };
        let is_of_run = |run: &Work| run.turn.as_ref() == Some(turn);
        if !self.run.as_ref().is_some_and(is_of_run) {
            // The user has interrupted what still runs of the turn before.
            self.run.iter_mut().for_each(|run| run.end_by(seen.began));
            self.end_run(out);
            let is_another = self.last_turn.as_ref().is_some_and(|last| last != turn);
            if is_another || call.turn.step == TurnStep::Begins {
                self.run = Some(Work::begin(agent, call, &seen, out.root(), out.now));
                out.emit(Fact::RunStarted(RunStarted {
                    cascade: self.id.clone(),
                    started_at: call.timing.started_at,
                }));
                self.take_in_waiting(out);
            }
        }
        self.last_turn = Some(turn.clone());
        match &mut self.run {
            Some(run) => {
                run.add(call, &seen);
                run.trace.as_ref().map(spans::within)
            }
            None => out.root(),
        }
    }

    /// Anything that a subagent asks for.
    fn subagent(
        &mut self,
        id: &Id,
        agent: AgentName,
        call: &Call,
        seen: SeenCall,
        out: &mut Emitter<'_>,
    ) -> Option<TraceContext> {
        let turn = call.turn.id.as_ref();
        let works = |subagent: &Subagent| subagent.work.turn.as_ref() == turn;
        if call.turn.step == TurnStep::Begins && !self.subagents.get(id).is_some_and(works) {
            self.end_subagent(id, out);
            let trace = out
                .sampling
                .map(|sampling| self.subagent_place(call, &seen, sampling));
            if self.subagents.len() < MAX_SUBAGENTS {
                let work = Work::begin(agent, call, &seen, trace, out.now);
                let kind = call.ids.subagent_kind.clone();
                self.subagents.insert(id.clone(), Subagent { kind, work });
            }
        }
        let Some(Subagent { work, .. }) = self.subagents.get_mut(id) else {
            return self.aside(call, seen, out);
        };
        let place = work.trace.as_ref().map(spans::within);
        if call.turn.step == TurnStep::Unknown {
            work.calls.add(&seen);
        } else {
            work.add(call, &seen);
        }
        if let Some(run) = self.run.as_mut().filter(|run| seen.began >= run.began) {
            run.calls.add(&seen);
            run.extend(seen.ended);
        }
        place
    }

    /// Where the span of a subagent stands: below that of the subagent which it says has started
    /// it, or of the run whose turn it names, even if that is over; else below that of the run in
    /// which it begins.
    fn subagent_place(&self, call: &Call, seen: &SeenCall, sampling: Sampling) -> TraceContext {
        let parent = call.ids.parent_subagent.as_ref();
        let turn = call.turn.id.as_ref();
        let run = self.run.as_ref().filter(|run| seen.began >= run.began);
        parent
            .and_then(|id| self.span_of_subagent(id))
            .or_else(|| self.span_of_run(turn?))
            .or_else(|| run?.trace.as_ref())
            .map_or_else(|| spans::root(sampling), spans::within)
    }

    fn span_of_subagent(&self, id: &Id) -> Option<&TraceContext> {
        match self.subagents.get(id) {
            Some(at_work) => at_work.work.trace.as_ref(),
            None => self.ended_subagents.of(id),
        }
    }

    fn span_of_run(&self, turn: &Id) -> Option<&TraceContext> {
        match &self.run {
            Some(run) if run.turn.as_ref() == Some(turn) => run.trace.as_ref(),
            _ => self.ended_runs.of(turn),
        }
    }

    /// A call that is no step of a turn, or of an agent that does not name its turns.
    fn aside(
        &mut self,
        call: &Call,
        seen: SeenCall,
        out: &mut Emitter<'_>,
    ) -> Option<TraceContext> {
        if let Some(run) = self.run.as_mut().filter(|run| seen.began >= run.began) {
            run.calls.add(&seen);
            return run.trace.as_ref().map(spans::within);
        }
        if call.turn.agent.is_none() || call.turn.step != TurnStep::Unknown {
            return out.root();
        }
        if let Some((_, oldest)) = self.waiting.push((call.provider, seen), out.now.at) {
            place(&oldest, out.root(), out);
        }
        None
    }

    /// Counts the calls in the run that has begun which began within it.
    fn take_in_waiting(&mut self, out: &mut Emitter<'_>) {
        let Some(run) = &mut self.run else {
            return;
        };
        for (_, seen) in self.waiting.take_all(|(_, seen)| seen.began >= run.began) {
            run.calls.add(&seen);
            place(&seen, run.trace.as_ref().map(spans::within), out);
        }
    }

    /// Ends what is over, or has been waited for in vain.
    pub(super) fn settle(&mut self, under_way: &CallsUnderWay, out: &mut Emitter<'_>) {
        let has_ended = |(id, Subagent { work, .. }): (&Id, &Subagent)| {
            (work.is_over() || work.is_given_up(under_way, out.now)).then(|| id.clone())
        };
        let ended: Vec<Id> = self.subagents.iter().filter_map(has_ended).collect();
        ended.iter().for_each(|id| self.end_subagent(id, out));
        let rests = self.subagents.is_empty();
        if self.run.as_ref().is_some_and(|run| {
            (run.is_over() && rests && run.is_complete(under_way))
                || run.is_given_up(under_way, out.now)
        }) {
            self.end_run(out);
        }
        // No call is left under way that could turn out to be the first one of their run.
        let alone = self
            .waiting
            .take_all(|(provider, seen)| under_way.have_ended_before(*provider, seen.began));
        for (_, seen) in alone {
            place(&seen, out.root(), out);
        }
    }

    /// No further call comes.
    pub(super) fn lose(&mut self, out: &mut Emitter<'_>) {
        let subagents: Vec<Id> = self.subagents.keys().cloned().collect();
        subagents.iter().for_each(|id| self.end_subagent(id, out));
        self.end_run(out);
        for (_, seen) in self.waiting.take_all(|_| true) {
            place(&seen, out.root(), out);
        }
    }

    fn end_run(&mut self, out: &mut Emitter<'_>) {
        if let Some(run) = self.run.take() {
            if let Some((turn, span)) = run.turn.clone().zip(run.trace) {
                self.ended_runs.add(turn, span);
            }
            let run = run.into_run(self.id.clone());
            out.emit(Fact::RunEnded(Box::new(run)));
        }
    }

    fn end_subagent(&mut self, id: &Id, out: &mut Emitter<'_>) {
        if let Some(Subagent { kind, work }) = self.subagents.remove(id) {
            if let Some(span) = work.trace {
                self.ended_subagents.add(id.clone(), span);
            }
            out.emit(Fact::SubagentEnded(Box::new(SubagentRun {
                subagent: id.clone(),
                kind,
                run: work.into_run(self.id.clone()),
            })));
        }
    }
}

/// Places the span of a call, unless it was placed when the call ended.
fn place(seen: &SeenCall, trace: Option<TraceContext>, out: &mut Emitter<'_>) {
    out.place(seen.number, trace.filter(|_| !seen.is_placed));
}

/// Most subagents that work at the same time in one conversation; a handful is usual.
const MAX_SUBAGENTS: usize = 256;

/// Most calls that wait for a run; an agent makes one or two before the first call of a turn ends.
const MAX_WAITING: usize = 256;
