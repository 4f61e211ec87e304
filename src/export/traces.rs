//! Turns facts into spans: finished calls and runs whose place in a trace is known go to the
//! exporter's queue.
//!
//! A call whose place is not settled yet is kept until it is. Never waits: where there is no room,
//! spans are dropped and counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::LateSpans;
use super::otlp::{Config, Counts, Exporter, Loss, Resource};
use super::spans::{of_call, of_run, of_subagent};
use crate::record::{Call, Correlated, Correlation, Fact, Sink, TraceContext};

/// Receives facts, and offers spans to the exporter.
#[derive(Debug)]
pub struct Traces {
    queue: Queue,
    held: Arc<PendingCalls>,
    late: Option<LateSpans>,
}

impl Traces {
    /// The sink and the exporter that empties its queue; `None` when nothing is traced.
    #[must_use]
    pub fn new(config: &Config, resource: Resource, counts: Counts) -> Option<(Self, Exporter)> {
        let destination = config.spans()?;
        let (sender, receiver) = mpsc::channel(config.queue);
        let held = Arc::new(PendingCalls::default());
        let exporter = Exporter::new(
            config.clone(),
            destination,
            resource,
            receiver,
            Arc::clone(&held),
            counts.clone(),
        );
        let queue = Queue { sender, counts };
        Some((
            Self {
                queue,
                held,
                late: None,
            },
            exporter,
        ))
    }

    /// Also sends the spans of what has been counted to `late`, for the exemplars of the metrics.
    #[must_use]
    pub fn with_late_spans(self, late: LateSpans) -> Self {
        Self {
            late: Some(late),
            ..self
        }
    }

    /// The exporter's queue, for other sources of spans.
    pub(super) fn queue(&self) -> Queue {
        self.queue.clone()
    }

    fn call(&self, call: &Call, place: &TraceContext) {
        if !place.sampled {
            return;
        }
        self.queue.offer(of_call(call, place));
        if let (Some(late), Some(setup)) = (&self.late, &call.setup) {
            late.handshakes(setup, place);
        }
    }

    /// Exports a call that was recorded before its place was known.
    fn late_call(&self, call: &Call, place: &TraceContext) {
        self.call(call, place);
        if let Some(late) = self.late.as_ref().filter(|_| place.sampled) {
            late.call(call, place);
        }
    }

    fn hold(&self, call: &Call) {
        if let Some(oldest) = self.held.add(call.clone()) {
            self.queue.counts.lost(Loss::Unsettled, spans_of(&oldest));
        }
    }
}

impl Sink for Traces {
    fn receive(&self, fact: &Fact) {
        match fact {
            Fact::Call(call) => match &call.trace {
                Some(place) => self.call(call, place),
                None => self.hold(call),
            },
            Fact::CallTraced { call, trace } => {
                if let Some(call) = self.held.take(*call) {
                    self.late_call(&call, trace);
                }
            }
            Fact::Correlated(Correlated { call, correlation }) => {
                self.held.correlate(*call, correlation)
            }
            Fact::RunEnded(run) => {
                let place = run.trace.filter(|place| place.sampled);
                self.queue.offer(place.map(|place| of_run(run, &place)));
            }
            Fact::SubagentEnded(ended) => {
                let place = ended.run.trace.filter(|place| place.sampled);
                self.queue
                    .offer(place.map(|place| of_subagent(ended, &place)));
            }
            _ => {}
        }
    }
}

/// The way into the exporter's queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<SpanData>,
    counts: Counts,
}

impl Queue {
    /// Never waits.
    pub(super) fn offer(&self, spans: impl IntoIterator<Item = SpanData>) {
        for span in spans {
            match self.sender.try_send(span) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => self.counts.lost(Loss::QueueFull, 1),
                Err(TrySendError::Closed(_)) => self.counts.lost(Loss::Shutdown, 1),
            }
        }
    }
}

/// Calls whose place is not known yet, by their number.
#[derive(Debug)]
pub(super) struct PendingCalls {
    /// Locked briefly whenever a fact is recorded; `None` once the exporter has ended.
    calls: Mutex<Option<BTreeMap<u64, Call>>>,
}

impl Default for PendingCalls {
    fn default() -> Self {
        Self {
            calls: Mutex::new(Some(BTreeMap::new())),
        }
    }
}

impl PendingCalls {
    /// Adds a call. Returns the oldest one when there was no room, or this one when none is kept
    /// any more.
    fn add(&self, call: Call) -> Option<Call> {
        let mut calls = self.lock();
        let Some(calls) = &mut *calls else {
            return Some(call);
        };
        calls.insert(call.number, call);
        (calls.len() > MAX_HELD)
            .then(|| calls.pop_first())?
            .map(|(_, oldest)| oldest)
    }

    /// Sets the conversation of a call that has become known.
    fn correlate(&self, number: u64, correlation: &Correlation) {
        if let Some(call) = self
            .lock()
            .as_mut()
            .and_then(|calls| calls.get_mut(&number))
        {
            call.correlation = correlation.clone();
        }
    }

    fn take(&self, number: u64) -> Option<Call> {
        self.lock().as_mut()?.remove(&number)
    }

    /// Drops all of them and keeps no more; returns how many spans they would have made.
    pub(super) fn give_up(&self) -> usize {
        let calls = self.lock().take().unwrap_or_default();
        calls.values().map(spans_of).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spans_of(call: &Call) -> usize {
    if call.setup.is_some() { 4 } else { 1 }
}

/// Calls wait for seconds, until the agent has reported them, or for the end of their run where it
/// reports little; a hundred agents at once make fewer. About 1 kB each.
const MAX_HELD: usize = 4_096;
