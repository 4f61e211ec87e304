//! The shape of an answer of `/v1/usage`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::By;
use crate::record::{Call, Model, Outcome, Provider, Quality, TokenKind};

/// The calls and tokens of a group. Sums saturate, as the metrics do: a provider may claim any number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Calls that ended, however they ended.
    pub calls: u64,
    /// Input that was not cached, in tokens.
    pub input_tokens: u64,
    /// Input read from a cache, in tokens.
    pub cache_read_tokens: u64,
    /// Input written to a cache, in tokens.
    pub cache_write_tokens: u64,
    /// Input that tool results added on the provider's side, in tokens.
    pub tool_input_tokens: u64,
    /// Visible output, in tokens.
    pub output_tokens: u64,
    /// Reasoning, in tokens.
    pub thinking_tokens: u64,
    /// The sum of the six kinds, which do not overlap.
    pub total_tokens: u64,
    /// Calls by how far their tokens can be trusted.
    pub usage_quality: QualityCounts,
    /// Calls by how they ended; an outcome that did not happen is left out.
    pub outcomes: BTreeMap<Outcome, u64>,
}

/// Calls by how far their tokens can be trusted; the sum is the number of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QualityCounts {
    /// The provider's final figures were seen.
    pub exact: u64,
    /// Cut off after figures had been seen: a lower bound.
    pub partial: u64,
    /// No figures were seen.
    pub unknown: u64,
}

impl Usage {
    pub(super) fn add(&mut self, call: &Call) {
        self.calls += 1;
        let of = |kind| call.usage.of(kind).unwrap_or(0);
        grow(&mut self.input_tokens, of(TokenKind::Input));
        grow(&mut self.cache_read_tokens, of(TokenKind::CacheRead));
        grow(&mut self.cache_write_tokens, of(TokenKind::CacheWrite));
        grow(&mut self.tool_input_tokens, of(TokenKind::ToolInput));
        grow(&mut self.output_tokens, of(TokenKind::Output));
        grow(&mut self.thinking_tokens, of(TokenKind::Thinking));
        grow(&mut self.total_tokens, call.usage.total());
        match call.quality {
            Quality::Exact => self.usage_quality.exact += 1,
            Quality::Partial => self.usage_quality.partial += 1,
            Quality::Unknown => self.usage_quality.unknown += 1,
        }
        *self.outcomes.entry(call.outcome).or_default() += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        grow(&mut self.input_tokens, other.input_tokens);
        grow(&mut self.cache_read_tokens, other.cache_read_tokens);
        grow(&mut self.cache_write_tokens, other.cache_write_tokens);
        grow(&mut self.tool_input_tokens, other.tool_input_tokens);
        grow(&mut self.output_tokens, other.output_tokens);
        grow(&mut self.thinking_tokens, other.thinking_tokens);
        grow(&mut self.total_tokens, other.total_tokens);
        self.usage_quality.exact += other.usage_quality.exact;
        self.usage_quality.partial += other.usage_quality.partial;
        self.usage_quality.unknown += other.usage_quality.unknown;
        for (outcome, calls) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_default() += calls;
        }
    }
}

fn grow(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

/// A group of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Who answered the calls.
    pub provider: Provider,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
}

/// The answer of `/v1/usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageReport {
    /// When the sums begin.
    pub since: Timestamp,
    /// When they were read.
    pub until: Timestamp,
    /// Everything together.
    pub totals: Usage,
    /// Groups by model. The key is the model's name; where two providers serve a model of that name, or the name itself
    /// holds an `@`, it is `model@provider`, so that no two groups can share a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeMap<String, Group>>,
    /// Groups by provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<BTreeMap<Provider, Usage>>,
}

impl UsageReport {
    pub(super) fn new(since: Timestamp, until: Timestamp, by: By, sums: BTreeMap<(Model, Provider), Usage>) -> Self {
        let mut totals = Usage::default();
        sums.values().for_each(|usage| totals.merge(usage));
        let (models, providers) = match by {
            By::Model => (Some(by_model(sums)), None),
            By::Provider => (None, Some(by_provider(&sums))),
        };
        Self { since, until, totals, models, providers }
    }
}

fn by_model(sums: BTreeMap<(Model, Provider), Usage>) -> BTreeMap<String, Group> {
    let mut servers: BTreeMap<Model, usize> = BTreeMap::new();
    sums.keys().for_each(|(model, _)| *servers.entry(model.clone()).or_default() += 1);
    let group = |((model, provider), usage): ((Model, Provider), Usage)| {
        let ambiguous = servers.get(&model) != Some(&1) || model.as_str().contains('@');
        let key = if ambiguous { format!("{model}@{provider}") } else { model.to_string() };
        (key, Group { provider, usage })
    };
    sums.into_iter().map(group).collect()
}

fn by_provider(sums: &BTreeMap<(Model, Provider), Usage>) -> BTreeMap<Provider, Usage> {
    let mut providers: BTreeMap<Provider, Usage> = BTreeMap::new();
    for ((_, provider), usage) in sums {
        providers.entry(*provider).or_default().merge(usage);
    }
    providers
}
