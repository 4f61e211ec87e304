//! Assigns each call its conversation, at once or when the agent reports it. The place of its span
//! follows from the run that counts it; only the span of a call without a conversation is placed
//! here.

use std::time::{Duration, Instant};

use super::CorrelatorState;
use super::live::EmitContext;
use crate::cascade::compare::WireCall;
use crate::cascade::conversation::Moment;
use crate::cascade::emit::Emitter;
use crate::cascade::index::Found;
use crate::cascade::runs::SeenCall;
use crate::cascade::spans;
use crate::record::{
    Call, CallIds, Correlated, Correlation, CorrelationMethod, Fact, Id, Operation, Quality,
    Sampling, TraceContext, TraceParent, UpdateSource,
};

/// A recent call that may still be assigned to a conversation, or moved.
#[derive(Debug)]
pub(super) struct RecentCall {
    ids: CallIds,
    /// The method by which the request names a conversation or trajectory.
    named_by: CorrelationMethod,
    cascade: Option<Id>,
    /// The call as it came; once assigned, its conversation tracks its state.
    seen: SeenCall,
    /// A followed conversation counts it.
    is_assigned: bool,
    /// The method by which its conversation is known has been reported.
    is_settled: bool,
    /// Until when the agent may still report its conversation; `None` when that time is over.
    waits_until: Option<Instant>,
}

/// How a call that just came was correlated.
#[derive(Debug)]
pub(in crate::cascade) struct Arrival {
    /// The identifier of the request that names a conversation or a trajectory, whether or not that
    /// one is known.
    pub(in crate::cascade) named_by: CorrelationMethod,
    /// The agent's list of conversations should be polled.
    pub(in crate::cascade) is_open: bool,
}

impl CorrelatorState {
    /// Gives a call the conversation that is known now, and its span the resulting place. A call
    /// without a conversation has the method [`CorrelationMethod::None`], whatever its request
    /// names. The facts that follow from it stand before it.
    pub(in crate::cascade) fn correlate(&mut self, call: &mut Call, now: Moment) -> Arrival {
        let named_by = call.correlation.method;
        let arrived = |is_open| Arrival { named_by, is_open };
        call.correlation = Correlation::default();
        self.turns.ended(call);
        if !has_conversation(call.operation) {
            call.trace = self.sampling.map(|sampling| alone(call.parent, sampling));
            return arrived(false);
        }
        let (cascade, method) = match self.index.find(&call.ids, named_by) {
            Found::Cascade(cascade, method) => (cascade, method),
            // Without an agent to ask, the request's own word is all there is.
            Found::Unconfirmed(cascade) if self.following.is_none() => (cascade, named_by),
            Found::Unconfirmed(_) | Found::Nothing => {
                // Its span waits with it, unless the agent has named its parent span or no more
                // information will come.
                let is_settled = call.parent.is_some() || self.following.is_none();
                call.trace = self
                    .sampling
                    .filter(|_| is_settled)
                    .map(|sampling| alone(call.parent, sampling));
                return arrived(self.following.is_some());
            }
        };
        if method == CorrelationMethod::Header {
            return self.take_turn(call, cascade, now);
        }
        self.make_room(&cascade, now);
        call.trace = self.place(call, &cascade, now);
        call.correlation = Correlation {
            cascade: Some(cascade),
            method,
        };
        arrived(false)
    }

    /// The span context of a call, as far as it is known already: within the agent's own span,
    /// within the run of its conversation, or as a root.
    fn place(&mut self, call: &Call, cascade: &Id, now: Moment) -> Option<TraceContext> {
        let sampling = self.sampling?;
        if call.parent.is_some() || self.following.is_none() {
            return Some(alone(call.parent, sampling));
        }
        let live = self.conversations.peek_mut(cascade)?;
        live.place(&SeenCall::new(call, now), sampling)
    }

    /// Takes note of a call that has been recorded. `named_by`: as [`Arrival::named_by`].
    pub(in crate::cascade) fn record_call(
        &mut self,
        call: &Call,
        named_by: CorrelationMethod,
        now: Moment,
    ) {
        if !has_conversation(call.operation) {
            return;
        }
        let Correlation { cascade, method } = call.correlation.clone();
        if cascade.is_some() {
            self.facts.push(Fact::CorrelationSettled(method));
            self.facts.push(Fact::CascadeUpdated(UpdateSource::Traffic));
        }
        if method == CorrelationMethod::Header {
            return self.settle_turns(cascade.as_ref(), now);
        }
        let is_settled = cascade.is_some();
        let seen = SeenCall::new(call, now);
        if let Some(cascade) = &cascade {
            self.make_room(cascade, now);
            self.assign(cascade, seen.clone(), now);
            if self.learn_session(&call.ids, cascade, method) {
                self.look_again(now);
            }
        }
        let compared = self.compare(call, now);
        self.facts.extend(compared);
        let waits_until = cascade.is_none().then(|| now.at + AGENT_REPORTS_WITHIN);
        if let Some(until) = waits_until {
            // Calls that come later wait until later.
            self.first_wait_ends.get_or_insert(until);
        }
        let is_assigned = cascade.is_some() && self.following.is_some();
        let ids = call.ids.clone();
        self.recent.push_back(RecentCall {
            ids,
            named_by,
            cascade,
            seen,
            is_assigned,
            is_settled,
            waits_until,
        });
        let oldest = (self.recent.len() > MAX_RECENT)
            .then(|| self.recent.pop_front())
            .flatten();
        if let Some(mut oldest) = oldest {
            oldest.place_alone(&mut self.emitter(now));
            if !oldest.is_settled {
                self.facts
                    .push(Fact::CorrelationSettled(CorrelationMethod::None));
            }
        }
    }

    fn emitter(&mut self, now: Moment) -> Emitter<'_> {
        Emitter::new(&mut self.facts, self.sampling, now)
    }

    /// Nothing more will be learned: calls without a conversation get root spans.
    pub(super) fn place_alone(&mut self, now: Moment) {
        let mut out = Emitter::new(&mut self.facts, self.sampling, now);
        for call in &mut self.recent {
            call.place_alone(&mut out);
        }
    }

    fn compare(&mut self, call: &Call, now: Moment) -> Option<Fact> {
        self.following.as_ref()?;
        let usage =
            Some(call.usage).filter(|usage| call.quality == Quality::Exact && usage.total() > 0);
        let CallIds {
            response,
            provider_trace: trace,
            ..
        } = call.ids.clone();
        self.reconciler
            .wire_call(
                WireCall {
                    response,
                    trace,
                    usage,
                },
                now.at,
            )
            .map(Fact::UsageCompared)
    }

    /// Looks up all recent calls again after something was learned, and moves those whose
    /// conversation changed.
    pub(super) fn look_again(&mut self, now: Moment) {
        let mut has_learned = true;
        while std::mem::take(&mut has_learned) {
            for index in 0..self.recent.len() {
                let Some(call) = self.recent.get(index) else {
                    break;
                };
                let Found::Cascade(cascade, method) = self.index.find(&call.ids, call.named_by)
                else {
                    continue;
                };
                if call.cascade.as_ref() == Some(&cascade) {
                    continue;
                }
                let ids = call.ids.clone();
                has_learned |= self.learn_session(&ids, &cascade, method);
                self.with_recent(index, |state, call| {
                    state.move_call(call, cascade, method, now);
                });
            }
        }
    }

    /// Changes one of the recent calls while all others stay where they are, so that a conversation
    /// that starts being followed meanwhile finds them there.
    fn with_recent(&mut self, index: usize, work: impl FnOnce(&mut Self, &mut RecentCall)) {
        let Some(mut call) = self.recent.swap_remove_back(index) else {
            return;
        };
        work(self, &mut call);
        self.recent.push_back(call);
        self.recent.swap(index, self.recent.len() - 1);
    }

    /// Learns the owner of a call's session, if its conversation is known by something more certain
    /// than the session. Returns whether that may place other calls.
    fn learn_session(&mut self, ids: &CallIds, cascade: &Id, method: CorrelationMethod) -> bool {
        let name = ids.provider_trace.as_ref().or(ids.response.as_ref());
        let (Some(session), Some(name)) = (&ids.session, name) else {
            return false;
        };
        method != CorrelationMethod::Session && self.index.add_session(session, cascade, name)
    }

    fn move_call(
        &mut self,
        call: &mut RecentCall,
        cascade: Id,
        method: CorrelationMethod,
        now: Moment,
    ) {
        let number = call.seen.number;
        let seen = match call.cascade.replace(cascade.clone()) {
            // A call that is settled there stays: it is counted where its span is.
            Some(before) if call.is_assigned => self
                .conversations
                .peek_mut(&before)
                .and_then(|live| live.calls.remove(number)),
            _ => Some(call.seen.clone()),
        };
        call.is_assigned |= self.following.is_some();
        self.make_room(&cascade, now);
        if !std::mem::replace(&mut call.is_settled, true) {
            self.facts.push(Fact::CorrelationSettled(method));
        }
        call.waits_until = None;
        let correlation = Correlation {
            cascade: Some(cascade.clone()),
            method,
        };
        self.facts.push(Fact::Correlated(Correlated {
            call: number,
            correlation,
        }));
        // Comes last: with its place known, the span is complete.
        if let Some(seen) = seen {
            self.assign(&cascade, seen, now);
        }
    }

    /// Stops waiting for the agent for calls whose time is up: what the request says of a
    /// conversation counts now.
    pub(super) fn stop_waiting(&mut self, now: Moment) {
        if self.first_wait_ends.is_none_or(|until| now.at < until) {
            return;
        }
        for index in 0..self.recent.len() {
            if self
                .recent
                .get(index)
                .is_some_and(|call| call.waits_until.is_some_and(|until| now.at >= until))
            {
                self.with_recent(index, |state, call| state.wait_no_longer(call, now));
            }
        }
        let waits = self.recent.iter().filter_map(|call| call.waits_until);
        self.first_wait_ends = waits.min();
    }

    fn wait_no_longer(&mut self, call: &mut RecentCall, now: Moment) {
        call.waits_until = None;
        if let Some(conversation) = call.ids.conversation.clone() {
            return self.move_call(call, conversation, call.named_by, now);
        }
        call.place_alone(&mut self.emitter(now));
        if !std::mem::replace(&mut call.is_settled, true) {
            self.facts
                .push(Fact::CorrelationSettled(CorrelationMethod::None));
        }
    }

    /// Assigns a call to a conversation; it counts in the run in which it began. Where no agent
    /// reports runs, its span is a root.
    fn assign(&mut self, cascade: &Id, seen: SeenCall, now: Moment) {
        self.make_live(cascade, now);
        let (conversations, EmitContext { mut out, .. }) = self.followed(now);
        match conversations.get_mut(cascade) {
            Some(live) => live.add(seen, &mut out),
            None => out.place_alone((!seen.is_placed).then_some(seen.number)),
        }
    }

    /// The calls of a conversation that no followed conversation counts yet, each returned once.
    pub(super) fn unassigned_calls(&mut self, cascade: &Id) -> impl Iterator<Item = SeenCall> {
        let is_it = move |call: &&mut RecentCall| {
            !call.is_assigned && call.cascade.as_ref() == Some(cascade)
        };
        self.recent.iter_mut().filter(is_it).map(|call| {
            call.is_assigned = true;
            call.seen.clone().placed()
        })
    }
}

impl RecentCall {
    /// Gives a call without a conversation a root span. One that has a conversation is placed
    /// there.
    fn place_alone(&mut self, out: &mut Emitter<'_>) {
        if self.cascade.is_none() && !std::mem::replace(&mut self.seen.is_placed, true) {
            out.place_alone([self.seen.number]);
        }
    }
}

/// A child of the agent's own span where the call names one, else a root.
fn alone(parent: Option<TraceParent>, sampling: Sampling) -> TraceContext {
    parent.map_or_else(
        || spans::root(sampling),
        |parent| spans::within_agents(parent, sampling),
    )
}

/// Whether calls of this operation belong to conversations: counting tokens and completing lines do
/// not.
fn has_conversation(operation: Operation) -> bool {
    !matches!(operation, Operation::Autocomplete | Operation::CountTokens)
}

/// How long a call waits for the agent to report its conversation. The agent lists its
/// conversations within seconds; one that it does not know by then it will not report.
const AGENT_REPORTS_WITHIN: Duration = Duration::from_secs(30);

/// Most recent calls that may still be assigned, some 400 bytes each.
pub(super) const MAX_RECENT: usize = 4_096;
