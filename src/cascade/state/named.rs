//! Calls whose request names the conversation in a header field: nobody reports more of it, and what
//! the calls say of turns is all that is known of its runs.

use super::CorrelatorState;
use super::calls::Arrival;
use crate::cascade::conversation::Moment;
use crate::record::{Call, CallStarted, Correlation, CorrelationMethod, Id};

impl CorrelatorState {
    /// A call has begun.
    pub(in crate::cascade) fn call_started(&mut self, started: &CallStarted, now: Moment) {
        self.turns.begun(started, now);
    }

    /// A call of an agent that names its conversation itself: it reports no runs, and what its calls
    /// say of turns is all that is known of them.
    pub(super) fn take_turn(&mut self, call: &mut Call, cascade: Id, now: Moment) -> Arrival {
        self.name_parent(call, &cascade);
        let (turns, mut out) = self.turns(now);
        call.trace = turns.take(call, &cascade, &mut out);
        let method = CorrelationMethod::Header;
        call.correlation = Correlation {
            cascade: Some(cascade),
            method,
        };
        Arrival {
            named_by: method,
            is_open: false,
        }
    }

    /// Settles what such a call has ended, after it was recorded.
    pub(super) fn settle_turns(&mut self, cascade: Option<&Id>, now: Moment) {
        let (turns, mut out) = self.turns(now);
        if let Some(cascade) = cascade {
            turns.settle(cascade, &mut out);
        }
    }

    /// A subagent may name as its conversation the subagent that has started it: that one's own
    /// calls have told which conversation it works for.
    fn name_parent(&mut self, call: &mut Call, cascade: &Id) {
        let ids = &mut call.ids;
        if let Some(subagent) = &ids.subagent {
            self.index.set_root(subagent, cascade);
            let named = ids.conversation.clone().filter(|named| named != cascade);
            ids.parent_subagent = ids.parent_subagent.take().or(named);
        }
    }
}
