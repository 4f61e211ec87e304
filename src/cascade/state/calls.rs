//! Calls that come by: each is given its conversation and its span's place, now or when somebody tells.

use std::time::{Duration, Instant};

use super::live::Live;
use super::{Following, State};
use crate::cascade::compare::WireCall;
use crate::cascade::conversation::Moment;
use crate::cascade::runs::SeenCall;
use crate::cascade::spans;
use crate::cascade::threads::Found;
use crate::record::{
    Call, CallIds, Correlated, Correlation, CorrelationMethod, Fact, Id, Operation, Quality, Sampling, TraceContext,
    TraceParent, UpdateSource,
};

/// A call that may still be told where it belongs.
#[derive(Debug)]
pub(super) struct Recent {
    ids: CallIds,
    /// What the wire told of the method.
    told: CorrelationMethod,
    cascade: Option<Id>,
    seen: SeenCall,
    /// How its conversation is known has been stated.
    is_settled: bool,
    /// Where its span stands has been stated.
    is_placed: bool,
    /// Until when it is waited for the agent's word; `None` when that is over.
    waits_until: Option<Instant>,
}

impl State {
    /// Gives a call the conversation that is known now, and its span the place that follows from it. Returns whether the
    /// agent should be asked, and what must be stated before the call.
    pub(in crate::cascade) fn correlate(&mut self, call: &mut Call, now: Moment) -> (bool, Vec<Fact>) {
        if !has_conversation(call.operation) {
            call.trace = self.sampling.map(|sampling| alone(call.parent, sampling));
            return (false, Vec::new());
        }
        match self.threads.find(&call.ids, call.correlation.method) {
            Found::Cascade(cascade, method) => call.correlation = Correlation { cascade: Some(cascade), method },
            // Without an agent to ask, what the wire says is all there is.
            Found::Unconfirmed(cascade) if self.following.is_none() => call.correlation.cascade = Some(cascade),
            Found::Unconfirmed(_) | Found::Nothing => {
                // Its span waits with it, unless the agent has said whose part it is or nobody will tell more.
                let is_settled = call.parent.is_some() || self.following.is_none();
                call.trace = self.sampling.filter(|_| is_settled).map(|sampling| alone(call.parent, sampling));
                return (self.following.is_some(), Vec::new());
            }
        }
        let facts = call.correlation.cascade.as_ref().map(|cascade| self.make_room(cascade, now)).unwrap_or_default();
        call.trace = self.place(call.parent, call.correlation.cascade.as_ref());
        (false, facts)
    }

    /// Where the span of a call stands: within the agent's own, within the run of its conversation, or alone.
    fn place(&mut self, parent: Option<TraceParent>, cascade: Option<&Id>) -> Option<TraceContext> {
        let sampling = self.sampling?;
        let (Some(cascade), Some(Following { since, .. }), None) = (cascade, &self.following, parent) else {
            return Some(alone(parent, sampling));
        };
        let since = *since;
        let live = self.conversations.get_or_insert_mut_ref(cascade, || Live::new(since));
        Some(spans::within(&live.span(sampling)))
    }

    /// Takes a call that has been handed on.
    pub(in crate::cascade) fn take(&mut self, call: &Call, now: Moment) -> Vec<Fact> {
        if !has_conversation(call.operation) {
            return Vec::new();
        }
        let mut facts = Vec::new();
        let Correlation { cascade, method } = call.correlation.clone();
        let is_settled = cascade.is_some() || method != CorrelationMethod::None;
        if is_settled {
            facts.push(Fact::CorrelationSettled(method));
        }
        let seen = SeenCall::new(call, now);
        if let Some(cascade) = &cascade {
            facts.push(Fact::CascadeUpdated(UpdateSource::Traffic));
            facts.extend(self.assign(cascade, seen.clone(), now));
        }
        facts.extend(self.compare(call, now));
        let waits_until = cascade.is_none().then(|| now.at + AGENT_TELLS_WITHIN);
        let told = match method {
            CorrelationMethod::Session | CorrelationMethod::TraceId => CorrelationMethod::None,
            told => told,
        };
        let is_placed = call.trace.is_some();
        self.recent.push_back(Recent {
            ids: call.ids.clone(),
            told,
            cascade,
            seen,
            is_settled,
            is_placed,
            waits_until,
        });
        let oldest = (self.recent.len() > MAX_RECENT).then(|| self.recent.pop_front()).flatten();
        if let Some(mut oldest) = oldest {
            facts.extend(self.place_alone(&mut oldest));
            if !oldest.is_settled {
                facts.push(Fact::CorrelationSettled(CorrelationMethod::None));
            }
        }
        facts
    }

    /// Nobody has told where a call belongs: its span stands alone.
    fn place_alone(&self, call: &mut Recent) -> Option<Fact> {
        let sampling = self.sampling.filter(|_| !std::mem::replace(&mut call.is_placed, true))?;
        Some(Fact::CallTraced { call: call.seen.number, trace: spans::root(sampling) })
    }

    fn compare(&mut self, call: &Call, now: Moment) -> Option<Fact> {
        if self.following.is_none() || call.quality != Quality::Exact || call.usage.total() == 0 {
            return None;
        }
        let CallIds { response, provider_trace: trace, .. } = call.ids.clone();
        self.books.wire(WireCall { response, trace, usage: call.usage }, now.at).map(Fact::UsageCompared)
    }

    /// Something was learned: calls may have found their conversation, or another one.
    pub(super) fn look_again(&mut self, now: Moment) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut recent = std::mem::take(&mut self.recent);
        for call in &mut recent {
            let Found::Cascade(cascade, method) = self.threads.find(&call.ids, call.told) else { continue };
            if call.cascade.as_ref() != Some(&cascade) {
                facts.extend(self.move_call(call, cascade, method, now));
            }
        }
        self.recent = recent;
        facts
    }

    fn move_call(&mut self, call: &mut Recent, cascade: Id, method: CorrelationMethod, now: Moment) -> Vec<Fact> {
        let before = call.cascade.replace(cascade.clone());
        if let Some(live) = before.and_then(|before| self.conversations.peek_mut(&before)) {
            live.calls.remove(call.seen.number);
        }
        let mut facts = self.assign(&cascade, call.seen.clone(), now);
        if !std::mem::replace(&mut call.is_settled, true) {
            facts.push(Fact::CorrelationSettled(method));
        }
        call.waits_until = None;
        let correlation = Correlation { cascade: Some(cascade.clone()), method };
        facts.push(Fact::Correlated(Correlated { call: call.seen.number, correlation }));
        // Last: whoever makes a span of it then knows all there is to know.
        if !std::mem::replace(&mut call.is_placed, true)
            && let Some(trace) = self.place(None, Some(&cascade))
        {
            facts.push(Fact::CallTraced { call: call.seen.number, trace });
        }
        facts
    }

    /// The agent has had its time: what the wire says of a conversation counts now, and nothing else will be learned soon.
    pub(super) fn stop_waiting(&mut self, now: Moment) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut recent = std::mem::take(&mut self.recent);
        for call in recent.iter_mut().filter(|call| call.waits_until.is_some_and(|until| now.at >= until)) {
            call.waits_until = None;
            if let Some(conversation) = call.ids.conversation.clone() {
                facts.extend(self.move_call(call, conversation, call.told, now));
                continue;
            }
            facts.extend(self.place_alone(call));
            if !std::mem::replace(&mut call.is_settled, true) {
                facts.push(Fact::CorrelationSettled(CorrelationMethod::None));
            }
        }
        self.recent = recent;
        facts
    }

    /// A call belongs to a conversation; it counts in the run in which it began.
    fn assign(&mut self, cascade: &Id, seen: SeenCall, now: Moment) -> Vec<Fact> {
        let facts = self.make_room(cascade, now);
        if let Some(Following { since, .. }) = self.following {
            self.conversations.get_or_insert_mut_ref(cascade, || Live::new(since)).calls.add(seen);
        }
        facts
    }
}

/// Within the agent's own span where it names one, else at the top of a trace.
fn alone(parent: Option<TraceParent>, sampling: Sampling) -> TraceContext {
    parent.map_or_else(|| spans::root(sampling), |parent| spans::within_agents(parent, sampling))
}

/// Counting tokens and completing lines belong to no conversation.
fn has_conversation(operation: Operation) -> bool {
    !matches!(operation, Operation::Autocomplete | Operation::CountTokens)
}

/// The agent lists its conversations within seconds; one that it does not know by then it will not name.
const AGENT_TELLS_WITHIN: Duration = Duration::from_secs(30);

/// Calls that may still be told their conversation, some 400 bytes each.
pub(super) const MAX_RECENT: usize = 4_096;
