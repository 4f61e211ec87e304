//! Where the facts of one moment go, together with what all of them have in common.

use super::conversation::Moment;
use super::spans;
use crate::record::{Fact, Sampling, TraceContext};

/// Takes facts, in the order in which they are to be recorded.
#[derive(Debug)]
pub(super) struct Emitter<'a> {
    facts: &'a mut Vec<Fact>,
    /// The sampling of traces; `None` where tracing is off.
    pub(super) sampling: Option<Sampling>,
    pub(super) now: Moment,
}

impl<'a> Emitter<'a> {
    /// Appends to `facts`.
    pub(super) fn new(facts: &'a mut Vec<Fact>, sampling: Option<Sampling>, now: Moment) -> Self {
        Self {
            facts,
            sampling,
            now,
        }
    }

    pub(super) fn emit(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// A new root span, where traces are on.
    pub(super) fn root(&self) -> Option<TraceContext> {
        self.sampling.map(spans::root)
    }

    /// The place of a call's span that was not known when the call was recorded.
    pub(super) fn place(&mut self, call: u64, trace: Option<TraceContext>) {
        if let Some(trace) = trace {
            self.emit(Fact::CallTraced { call, trace });
        }
    }

    /// Calls that belong to no run get a root span each.
    pub(super) fn place_alone(&mut self, calls: impl IntoIterator<Item = u64>) {
        for call in calls {
            self.place(call, self.root());
        }
    }
}
