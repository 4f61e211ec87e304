//! Runs of agents that report none themselves: from what their own calls say of turns.
//!
//! Claude Code and Codex name their conversation, their subagent and their turn in every request. A
//! run begins with the first call of a turn, and is over when the model has stopped and asks for
//! nothing, and no subagent works any more. Calls enter when they have ended, with their
//! conversation; facts about runs and the places of spans leave. Where an agent does not name its
//! turns, or the beginning of one was not seen, there is no run.

mod conversation;
mod ended;
#[cfg(test)]
mod tests;
mod under_way;
mod work;

use std::num::NonZeroUsize;

use lru::LruCache;

use super::conversation::Moment;
use super::emit::Emitter;
use conversation::WireConversation;
use under_way::CallsUnderWay;

use crate::record::{Call, CallStarted, Id, TraceContext};

/// The conversations of agents that name their turns.
#[derive(Debug)]
pub(super) struct Turns {
    conversations: LruCache<Id, WireConversation>,
    under_way: CallsUnderWay,
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

    /// Takes a call that has ended and whose request names its conversation. Returns the place of
    /// its span, if it is known already. The facts that follow stand before the call.
    pub(super) fn take(
        &mut self,
        call: &Call,
        cascade: &Id,
        out: &mut Emitter<'_>,
    ) -> Option<TraceContext> {
        if !self.conversations.contains(cascade) {
            let conversation = WireConversation::new(cascade.clone());
            if let Some((_, mut oldest)) = self.conversations.push(cascade.clone(), conversation) {
                oldest.lose(out);
            }
        }
        self.conversations.get_mut(cascade)?.take(call, out)
    }

    /// Settles what the call that was taken last has ended: these facts stand after the call.
    pub(super) fn settle(&mut self, cascade: &Id, out: &mut Emitter<'_>) {
        if let Some(conversation) = self.conversations.get_mut(cascade) {
            conversation.settle(&self.under_way, out);
        }
    }

    /// Settles what has waited long enough.
    pub(super) fn tick(&mut self, out: &mut Emitter<'_>) {
        for (_, conversation) in self.conversations.iter_mut() {
            conversation.settle(&self.under_way, out);
        }
    }

    /// No further calls come: the runs that are under way are lost.
    pub(super) fn lose(&mut self, out: &mut Emitter<'_>) {
        while let Some((_, mut conversation)) = self.conversations.pop_lru() {
            conversation.lose(out);
        }
    }
}

/// Conversations whose turns are known, some 500 bytes each and up to 4 KiB; beyond that the one
/// that called longest ago is dropped, and its run with it.
const MAX_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
