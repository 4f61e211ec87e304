//! Creates span contexts: which trace, under which parent, recorded or not. Ids are random and
//! never zero; nothing is kept.

use std::num::NonZero;

use crate::record::{Sampling, SpanId, TraceContext, TraceId, TraceParent};

/// The root span of a new trace.
pub(super) fn root(sampling: Sampling) -> TraceContext {
    let trace = trace_id();
    let sampled = sampling.samples(trace, None);
    TraceContext {
        trace,
        span: span_id(),
        parent: None,
        has_remote_parent: false,
        sampled,
    }
}

/// A child of one of Gravimeter's own spans.
pub(super) fn within(outer: &TraceContext) -> TraceContext {
    TraceContext {
        span: span_id(),
        parent: Some(outer.span),
        has_remote_parent: false,
        ..*outer
    }
}

/// A child of one of the agent's spans.
pub(super) fn within_agents(parent: TraceParent, sampling: Sampling) -> TraceContext {
    let sampled = sampling.samples(parent.trace, Some(parent));
    let TraceParent { trace, span, .. } = parent;
    TraceContext {
        trace,
        span: span_id(),
        parent: Some(span),
        has_remote_parent: true,
        sampled,
    }
}

fn trace_id() -> TraceId {
    TraceId::from(rand::random::<NonZero<u128>>())
}

fn span_id() -> SpanId {
    SpanId::from(rand::random::<NonZero<u64>>())
}
