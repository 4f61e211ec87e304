//! An answer of `invoke`: whatever the model's own API says, with Bedrock's figures beside it.
//!
//! Claude's is read in full. Of other models Bedrock's figures are the usage, whatever form they
//! speak; of the form of Chat Completions and of Amazon's own it is also read what is content and
//! why it stopped.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::metrics::{Metric, Metrics};
use super::refusal;
use crate::dialect::answer::{ReadAnswer, Refusal, Said, take_later};
use crate::dialect::anthropic::{self, Message};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::id;
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Reported, UsageTotal};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Invocation {
    refusal: Option<Refusal>,
    /// What Claude says.
    message: Message,
    /// What the head and the complete documents have said.
    metrics: Metrics,
    times: Reports,
    finish_reason: Option<Id>,
    /// The last event has come.
    is_over: bool,
    /// The document that is being read.
    current: Document,
}

/// What one document says beside a message.
#[derive(Debug, Default)]
struct Document {
    metrics: Metrics,
    has_metrics: bool,
    times: Reports,
    finish_reason: Option<Id>,
    has_content: bool,
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvokeField {
    /// A value that is content by being there, and not empty.
    Content,
    FinishReason,
    Message(anthropic::Field),
    Metric(Metric),
    Metrics,
    /// A time that Bedrock measured.
    Time(Report),
}

static PATHS: LazyLock<Paths<InvokeField>> = LazyLock::new(|| {
    let message = anthropic::table().map(|(path, field)| (path, InvokeField::Message(field)));
    let metrics = [
        ("", InvokeField::Metrics),
        (
            ".cacheReadInputTokenCount",
            InvokeField::Metric(Metric::CacheRead),
        ),
        (
            ".cacheWriteInputTokenCount",
            InvokeField::Metric(Metric::CacheWrite),
        ),
        (
            ".firstByteLatency",
            InvokeField::Time(Report::FirstByteMilliseconds),
        ),
        (".inputTokenCount", InvokeField::Metric(Metric::Input)),
        (
            ".invocationLatency",
            InvokeField::Time(Report::TotalMilliseconds),
        ),
        (".outputTokenCount", InvokeField::Metric(Metric::Output)),
    ];
    let metrics =
        metrics.map(|(name, field)| (format!("amazon-bedrock-invocationMetrics{name}"), field));
    let others = [
        ("choices[].delta.content", InvokeField::Content),
        ("choices[].delta.tool_calls[]", InvokeField::Content),
        ("choices[].finish_reason", InvokeField::FinishReason),
        ("contentBlockDelta", InvokeField::Content),
        ("messageStop.stopReason", InvokeField::FinishReason),
    ];
    let others = others.map(|(path, field)| (path.to_owned(), field));
    Paths::new(message.chain(metrics).chain(others))
});

impl ReadAnswer for Invocation {
    type Field = InvokeField;

    fn paths(&self) -> &'static Paths<InvokeField> {
        &PATHS
    }

    fn head(&mut self, head: &ResponseHead) {
        self.refusal = refusal::of_head(head);
        self.metrics = Metrics::of(head);
        self.message.head(head);
    }

    fn value(&mut self, field: InvokeField, value: &Value<'_>) -> bool {
        match (field, value) {
            (InvokeField::Message(field), _) => return self.message.value(field, value),
            (InvokeField::Content, Value::String { text: "", .. }) => {}
            (InvokeField::Content, Value::Object | Value::String { .. }) => {
                self.current.has_content = true;
            }
            (InvokeField::FinishReason, Value::String { .. }) => {
                self.current.finish_reason = id(*value)
            }
            (InvokeField::Metric(metric), _) => self.current.metrics.take(metric, value),
            (InvokeField::Metrics, Value::Object) => self.current.has_metrics = true,
            (InvokeField::Time(which), _) => self.current.times.take(which, value),
            (InvokeField::Content | InvokeField::FinishReason | InvokeField::Metrics, _) => {}
        }
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        let Document {
            metrics,
            has_metrics,
            times,
            finish_reason,
            has_content,
        } = std::mem::take(&mut self.current);
        self.metrics.merge(metrics);
        self.times.merge(times);
        self.is_over |= has_metrics;
        take_later(&mut self.finish_reason, finish_reason);
        // The events of a message have their names inside them.
        self.message.end_document(None) || has_content
    }

    fn drop_document(&mut self) {
        self.current = Document::default();
        self.message.drop_document();
    }

    fn is_over(&self) -> bool {
        self.is_over || self.message.is_over()
    }

    fn has_last_word(&self) -> bool {
        self.is_over()
    }

    fn said(&self, now: SystemTime) -> Said {
        let said = self.message.said(now);
        let total = self.metrics.compare(&said.usage);
        let usage = if said.usage.is_unreported() {
            self.metrics.read()
        } else {
            said.usage
        };
        let reported = Reported {
            time: self.times.read().time,
            ..said.reported
        };
        Said {
            usage,
            total,
            reported,
            is_sound: said.is_sound && total != UsageTotal::Disagree,
            finish_reason: said.finish_reason.or(self.finish_reason.clone()),
            error: self.refusal.or(said.error),
            ..said
        }
    }
}
