//! Exemplars of what is counted before its span is known: a handshake, whose span comes with the
//! first call behind it, and a call that may belong to this run or to the next.

use super::exemplars::{Exemplar, Spans, name};
use super::labels::{ByHandshake, ByModel, ByOperation};
use super::models::ModelLabels;
use super::spans::handshakes;
use crate::record::{Call, ConnectionSetup, TraceContext};

/// Receives spans of what has been counted. Clones share what they received.
#[derive(Debug, Clone)]
pub struct LateSpans {
    models: ModelLabels,
    spans: Spans,
}

impl LateSpans {
    pub(super) fn new(models: ModelLabels, spans: Spans) -> Self {
        Self { models, spans }
    }

    /// The handshakes of a connection's setup have spans now, below the call that stands at
    /// `place`.
    pub(super) fn handshakes(&self, setup: &ConnectionSetup, place: &TraceContext) {
        for (phase, done, span) in handshakes(setup, place) {
            let labels = ByHandshake {
                side: done.side,
                version: done.version,
                resumed: done.resumed,
            };
            let exemplar = Exemplar::of(
                Some(TraceContext { span, ..*place }),
                phase.started_at,
                phase.duration,
            );
            name(&self.spans.handshakes, &labels, done.duration, exemplar);
        }
    }

    /// An earlier call stands at `place`.
    pub(super) fn call(&self, call: &Call, place: &TraceContext) {
        let (provider, operation, timing) = (call.provider, call.operation, &call.timing);
        let model = self.models.of_call(call);
        let exemplar = Exemplar::of(Some(*place), timing.started_at, timing.duration);
        if let Some(first) = timing.time_to_first_chunk {
            let labels = ByModel {
                provider,
                model: model.clone(),
            };
            name(&self.spans.first_chunks, &labels, first, exemplar.clone());
        }
        let labels = ByOperation {
            provider,
            model,
            operation,
        };
        name(&self.spans.calls, &labels, timing.duration, exemplar);
    }
}
