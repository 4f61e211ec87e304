//! Runs of agents that report none themselves: from what their own calls say of turns.
//!
//! Claude Code and Codex name their conversation, their subagent and their turn in every request. A
//! run begins with the first call of a turn, and is over when the model has stopped and asks for
//! nothing, and no subagent works any more. Calls enter when they have ended, with their
//! conversation; facts about runs and the places of spans leave. Where an agent does not name its
//! turns, or the beginning of one was not seen, there is no run.

mod conversation;
#[cfg(test)]
mod tests;
mod under_way;
mod work;

use std::num::NonZeroUsize;

use lru::LruCache;

use super::conversation::Moment;
use conversation::WireConversation;
use under_way::CallsUnderWay;

use crate::record::{Call, CallStarted, Fact, Id, Sampling, TraceContext};

/// The conversations of agents that name their turns.
#[derive(Debug)]
pub(super) struct Turns {
    conversations: LruCache<Id, WireConversation>,
    under_way: CallsUnderWay,
}

/// What follows from a call.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The place of the call's span, if it is known already.
    pub(super) trace: Option<TraceContext>,
    /// Facts to record before the call.
    pub(super) before: Vec<Fact>,
    /// Facts to record after it.
    pub(super) after: Vec<Fact>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            conversations: LruCache::new(MAX_CONVERSATIONS),
            under_way: CallsUnderWay::default(),
        }
    }
}

impl Turns {
    /// A call has begun.
    pub(super) fn begun(&mut self, started: &CallStarted, now: Moment) {
        self.under_way.add(started, now);
    }

    /// A call has ended, whatever conversation it belongs to.
    pub(super) fn ended(&mut self, call: &Call) {
        self.under_way.remove(call.number);
    }

    /// Takes a call that has ended and whose request names its conversation.
    pub(super) fn take(
        &mut self,
        call: &Call,
        cascade: &Id,
        sampling: Option<Sampling>,
        now: Moment,
    ) -> Effects {
        let mut before = Vec::new();
        if !self.conversations.contains(cascade) {
            let conversation = WireConversation::new(cascade.clone());
            if let Some((_, mut oldest)) = self.conversations.push(cascade.clone(), conversation) {
                before = oldest.lose(sampling);
            }
        }
        let Some(conversation) = self.conversations.get_mut(cascade) else {
            return Effects::default();
        };
        let mut effects = conversation.take(call, sampling, now);
        before.append(&mut effects.before);
        effects
            .after
            .extend(conversation.settle(&self.under_way, sampling, now));
        Effects { before, ..effects }
    }

    /// Settles what has waited long enough.
    pub(super) fn tick(&mut self, sampling: Option<Sampling>, now: Moment) -> Vec<Fact> {
        let Self {
            conversations,
            under_way,
        } = self;
        let all = conversations.iter_mut();
        all.flat_map(|(_, conversation)| conversation.settle(under_way, sampling, now))
            .collect()
    }

    /// No further calls come: the runs that are under way are lost.
    pub(super) fn lose(&mut self, sampling: Option<Sampling>) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some((_, mut conversation)) = self.conversations.pop_lru() {
            facts.extend(conversation.lose(sampling));
        }
        facts
    }
}

/// Conversations whose turns are known, some 500 bytes each; beyond that the one that called
/// longest ago is dropped, and its run with it.
const MAX_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
