//! An answer of Converse, as one document or as the messages of a stream, and what it says.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::{paths, refusal};
use crate::dialect::answer::{ReadAnswer, Refusal, Said, take_later};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::id;
use crate::dialect::tokens::{add, count};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::TokenKind::{CacheRead, CacheWrite1h, CacheWrite5m, Input, Output};
use crate::record::{Id, Model, TokenUsage, UsageTotal};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    refusal: Option<Refusal>,
    /// What the complete documents have said.
    said: Document,
    is_over: bool,
    /// The document that is being read.
    current: Document,
}

/// What one document says, or several in order.
#[derive(Debug, Clone, Default)]
struct Document {
    counts: Counts,
    stop_reason: Option<Id>,
    /// The model that a prompt router has chosen.
    model: Option<Model>,
    reports: Reports,
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConverseField {
    /// An entry of `usage.cacheDetails[]`.
    CacheDetail,
    CacheDetailTokens,
    CacheDetailTtl,
    Count(Count),
    InvokedModel,
    Latency,
    StopReason,
}

/// One count of `usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    CacheRead,
    CacheWrite,
    Input,
    Output,
    Total,
}

static PATHS: LazyLock<Paths<ConverseField>> = LazyLock::new(|| {
    Paths::new([
        ("metrics.latencyMs", ConverseField::Latency),
        ("stopReason", ConverseField::StopReason),
        (
            "trace.promptRouter.invokedModelId",
            ConverseField::InvokedModel,
        ),
        ("usage.cacheDetails[]", ConverseField::CacheDetail),
        (
            "usage.cacheDetails[].inputTokens",
            ConverseField::CacheDetailTokens,
        ),
        ("usage.cacheDetails[].ttl", ConverseField::CacheDetailTtl),
        (
            "usage.cacheReadInputTokens",
            ConverseField::Count(Count::CacheRead),
        ),
        (
            "usage.cacheWriteInputTokens",
            ConverseField::Count(Count::CacheWrite),
        ),
        ("usage.inputTokens", ConverseField::Count(Count::Input)),
        ("usage.outputTokens", ConverseField::Count(Count::Output)),
        ("usage.totalTokens", ConverseField::Count(Count::Total)),
    ])
});

/// The counts of `usage`, in tokens. They come once, at the end.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    /// All writes, whatever their lifetime.
    cache_write: Option<u64>,
    /// The writes whose lifetime is reported.
    writes: TokenUsage,
    output: Option<u64>,
    total: Option<u64>,
    /// The write that is being read.
    write: Write,
}

/// An entry of `usage.cacheDetails[]`.
#[derive(Debug, Clone, Copy, Default)]
struct Write {
    tokens: Option<u64>,
    /// Of an hour rather than of five minutes.
    is_long: bool,
}

impl Counts {
    fn take(&mut self, which: Count, value: &Value<'_>) {
        let place = match which {
            Count::CacheRead => &mut self.cache_read,
            Count::CacheWrite => &mut self.cache_write,
            Count::Input => &mut self.input,
            Count::Output => &mut self.output,
            Count::Total => &mut self.total,
        };
        *place = count(value).or(*place);
    }

    fn end_write(&mut self) {
        let Write { tokens, is_long } = std::mem::take(&mut self.write);
        let kind = if is_long { CacheWrite1h } else { CacheWrite5m };
        add(&mut self.writes, &TokenUsage::default().with(kind, tokens));
    }

    /// The parts, which never overlap. A write whose lifetime is not reported is one of five
    /// minutes: it is what Bedrock does unless it is asked for more.
    fn read(&self) -> TokenUsage {
        let known = self.writes.sum_of(&[CacheWrite5m, CacheWrite1h]);
        let rest = match (self.cache_write, known) {
            (Some(all), Some(known)) => Some(all.saturating_sub(known)).filter(|rest| *rest > 0),
            (all, _) => all,
        };
        let mut usage = self.writes;
        add(&mut usage, &TokenUsage::default().with(CacheWrite5m, rest));
        usage
            .with(Input, self.input)
            .with(CacheRead, self.cache_read)
            .with(Output, self.output)
    }

    /// The total includes what the cache holds, or leaves it out.
    fn total(&self) -> UsageTotal {
        let Some(total) = self.total else {
            return UsageTotal::Absent;
        };
        let usage = self.read();
        let without_cache = usage.sum_of(&[Input, Output]);
        if total == usage.total() || Some(total) == without_cache {
            UsageTotal::Agree
        } else {
            UsageTotal::Disagree
        }
    }
}

impl Document {
    fn take(&mut self, field: ConverseField, value: &Value<'_>) {
        match (field, value) {
            (ConverseField::CacheDetail, Value::End) => self.counts.end_write(),
            (ConverseField::CacheDetail, _) => {}
            (ConverseField::CacheDetailTokens, _) => self.counts.write.tokens = count(value),
            (ConverseField::CacheDetailTtl, _) => {
                self.counts.write.is_long =
                    matches!(value, Value::String { text, .. } if *text == "1h");
            }
            (ConverseField::Count(which), _) => self.counts.take(which, value),
            (ConverseField::InvokedModel, Value::String { text, cut: false }) => {
                self.model = paths::model(text);
            }
            (ConverseField::InvokedModel, _) => {}
            (ConverseField::Latency, _) => self.reports.take(Report::TotalMilliseconds, value),
            (ConverseField::StopReason, _) => self.stop_reason = id(*value),
        }
    }
}

impl ReadAnswer for Conversation {
    type Field = ConverseField;

    fn paths(&self) -> &'static Paths<ConverseField> {
        &PATHS
    }

    fn head(&mut self, head: &ResponseHead) {
        self.refusal = refusal::of_head(head);
    }

    fn value(&mut self, field: ConverseField, value: &Value<'_>) -> bool {
        self.current.take(field, value);
        false
    }

    fn end_document(&mut self, event: Option<&str>) -> bool {
        let document = std::mem::take(&mut self.current);
        let is_last = match event {
            // The whole answer in one document.
            None => document.stop_reason.is_some(),
            // It follows `messageStop`, and nothing follows it.
            Some(event) => event == "metadata",
        };
        if is_last {
            self.said.counts = document.counts;
        }
        take_later(&mut self.said.stop_reason, document.stop_reason);
        take_later(&mut self.said.model, document.model);
        self.said.reports.merge(document.reports);
        self.is_over |= is_last;
        event.map_or(is_last, |event| event == "contentBlockDelta")
    }

    fn drop_document(&mut self) {
        self.current = Document::default();
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn has_last_word(&self) -> bool {
        self.is_over
    }

    fn said(&self, _: SystemTime) -> Said {
        let Document {
            counts,
            stop_reason,
            model,
            reports,
        } = &self.said;
        let total = counts.total();
        Said {
            usage: counts.read(),
            total,
            is_sound: total != UsageTotal::Disagree && counts.output.is_some(),
            finish_reason: stop_reason.clone(),
            served_model: model.clone(),
            reported: reports.read(),
            error: self.refusal,
            ..Said::default()
        }
    }
}
