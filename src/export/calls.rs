//! The metrics of LLM calls.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::costs::CostMetrics;
use super::credits::CreditMetrics;
use super::exemplars::{Exemplar, Spans, TracedHistograms};
use super::gaps::GapHistograms;
use super::labels::{
    ByKind, ByModel, ByOperation, ByOutcome, ByProvider, ByQuality, ByRateLimit, ByTotal, ByUnread,
};
use super::metrics::Config;
use super::models::ModelLabels;
use super::provider_time::ProviderTimeMetrics;
use super::series::{
    Histograms, add, begin, call_latency, declare, each, release, stream_gap, token_gap,
};
use super::substitutions::SubstitutionMetrics;
use crate::record::{
    Call, CallGroup, CallStarted, ContentChunks, Label, Model, Operation, Outcome, Provider,
    Quality, RateLimitReason, TokenKind, Totals, UnreadCall, UsageTotal,
};

/// The label of a provider whose host is not known.
const UNKNOWN_PROVIDER: &str = "unknown";

/// The histogram of call durations.
pub(super) const CALL_DURATION: &str = "gravimeter_call_duration_seconds";

/// The histogram of times to the first chunk.
pub(super) const FIRST_CHUNK: &str = "gravimeter_time_to_first_chunk_seconds";

/// Counters, gauges and histograms of calls.
#[derive(Debug)]
pub(super) struct CallMetrics {
    models: ModelLabels,
    /// Whether cache writes are labelled by their lifetime.
    cache_write_lifetimes: bool,
    tokens: Family<ByKind, Counter>,
    calls: Family<ByOutcome, Counter>,
    usage_reports: Family<ByQuality, Counter>,
    duration: TracedHistograms<ByOperation>,
    time_to_first_chunk: TracedHistograms<ByModel>,
    time_between_chunks: GapHistograms<ByModel>,
    time_per_output_token: Histograms<ByModel>,
    in_flight: Family<ByProvider, Gauge>,
    rate_limits: Family<ByRateLimit, Counter>,
    usage_totals: Family<ByTotal, Counter>,
    unread: Family<ByUnread, Counter>,
    costs: CostMetrics,
    credits: CreditMetrics,
    provider_time: ProviderTimeMetrics,
    substitutions: SubstitutionMetrics,
}

impl CallMetrics {
    pub(super) fn declare(
        registry: &mut Registry,
        models: ModelLabels,
        config: Config,
        spans: &Spans,
    ) -> Self {
        let in_flight = declare(
            registry,
            "gravimeter_calls_in_flight",
            "LLM calls that have begun and not ended",
            Family::<ByProvider, Gauge>::default(),
        );
        let usage_totals = declare(
            registry,
            "gravimeter_usage_totals_total",
            "Answers with token counts, by whether the provider's own total is the sum of the parts",
            Family::<ByTotal, Counter>::default(),
        );
        let unread = declare(
            registry,
            "gravimeter_unread_calls_total",
            "Exchanges with intercepted hosts that look like LLM calls and are not read: their tokens are missing everywhere",
            Family::<ByUnread, Counter>::default(),
        );
        for provider in Provider::ALL.iter().copied() {
            let _ = in_flight.get_or_create_owned(&ByProvider { provider });
            each(|result| begin(&usage_totals, ByTotal { provider, result }));
            each(|reason| {
                begin(
                    &unread,
                    ByUnread {
                        provider: provider.as_str(),
                        reason,
                    },
                )
            });
        }
        each(|reason| {
            begin(
                &unread,
                ByUnread {
                    provider: UNKNOWN_PROVIDER,
                    reason,
                },
            )
        });
        Self {
            models,
            cache_write_lifetimes: config.cache_write_lifetimes,
            tokens: declare(
                registry,
                "gravimeter_tokens_total",
                "Tokens by kind; the kinds are disjoint, so their sum is the total",
                Family::default(),
            ),
            calls: declare(
                registry,
                "gravimeter_calls_total",
                "LLM calls that have ended",
                Family::default(),
            ),
            usage_reports: declare(
                registry,
                "gravimeter_usage_reports_total",
                "LLM calls by how far their token counts can be trusted",
                Family::default(),
            ),
            duration: TracedHistograms::declare(
                registry,
                CALL_DURATION,
                "First request byte to last response byte",
                call_latency,
                &spans.calls,
            ),
            time_to_first_chunk: TracedHistograms::declare(
                registry,
                FIRST_CHUNK,
                "First request byte to the first content-bearing event",
                call_latency,
                &spans.first_chunks,
            ),
            time_between_chunks: declare(
                registry,
                "gravimeter_time_between_chunks_seconds",
                "Gap between content-bearing events of one call",
                GapHistograms::new_with_constructor(stream_gap),
            ),
            time_per_output_token: declare(
                registry,
                "gravimeter_time_per_output_token_seconds",
                "First to last content-bearing event, for each output or thinking token after the first",
                Histograms::new_with_constructor(token_gap),
            ),
            in_flight,
            rate_limits: declare(
                registry,
                "gravimeter_rate_limits_total",
                "LLM calls that the provider refused for quota, rate or capacity",
                Family::default(),
            ),
            usage_totals,
            unread,
            costs: CostMetrics::declare(registry),
            credits: CreditMetrics::declare(registry),
            provider_time: ProviderTimeMetrics::declare(registry),
            substitutions: SubstitutionMetrics::declare(registry),
        }
    }

    /// Counts whether the provider's total agrees with the parts.
    pub(super) fn total_compared(&self, provider: Provider, result: UsageTotal) {
        add(
            &self
                .usage_totals
                .get_or_create_owned(&ByTotal { provider, result }),
            1,
        );
    }

    /// Counts exchanges that look like a call and were not read.
    pub(super) fn unread(&self, call: &UnreadCall) {
        let provider = call.provider.map_or(UNKNOWN_PROVIDER, Label::as_str);
        add(
            &self.unread.get_or_create_owned(&ByUnread {
                provider,
                reason: call.reason,
            }),
            1,
        );
    }

    /// Resumes from what earlier processes counted.
    pub(super) fn resume(&self, totals: &Totals) {
        for group in &totals.calls {
            self.begin(group.provider, &group.model, group.operation);
            self.add(group);
        }
        totals
            .substitutions
            .iter()
            .for_each(|substitution| self.substitutions.add(substitution));
    }

    fn add(&self, group: &CallGroup) {
        self.costs.add(group);
        let (provider, model) = (group.provider, group.model.clone());
        for (kind, tokens) in group.tokens.iter().filter(|(_, tokens)| **tokens > 0) {
            let labels = ByKind {
                provider,
                model: model.clone(),
                kind: self.kind_label(kind),
            };
            add(&self.tokens.get_or_create_owned(&labels), *tokens);
        }
        let by_quality = ByQuality {
            provider,
            model: model.clone(),
            quality: group.quality,
        };
        add(
            &self.usage_reports.get_or_create_owned(&by_quality),
            group.calls,
        );
        let by_outcome = ByOutcome {
            provider,
            model: model.clone(),
            operation: group.operation,
            outcome: group.outcome,
        };
        add(&self.calls.get_or_create_owned(&by_outcome), group.calls);
        if group.outcome == Outcome::RateLimited {
            let reason = group.rate_limit.unwrap_or(RateLimitReason::Unspecified);
            add(
                &self.rate_limits.get_or_create_owned(&ByRateLimit {
                    provider,
                    model,
                    reason,
                }),
                group.calls,
            );
        }
    }

    pub(super) fn started(&self, started: &CallStarted) {
        self.in_flight
            .get_or_create_owned(&ByProvider {
                provider: started.provider,
            })
            .inc();
    }

    pub(super) fn chunks(&self, chunks: &ContentChunks) {
        let mut labels = ByModel {
            provider: chunks.provider,
            model: chunks.model.clone(),
        };
        // A series that is there has a name that was admitted: what comes a hundred times a second
        // need not ask again.
        if let Some(known) = self.time_between_chunks.get(&labels) {
            return known.observe(chunks);
        }
        labels.model = self.models.of(&chunks.model);
        let gaps = self.time_between_chunks.get_or_create_owned(&labels);
        gaps.observe(chunks);
    }

    pub(super) fn ended(&self, call: &Call) {
        let provider = call.provider;
        let model = self.models.counted(call);
        release(&self.in_flight.get_or_create_owned(&ByProvider { provider }));
        self.count(call, &model);
        self.time(call, &model);
        self.provider_time.ended(call, &model);
        self.credits.ended(call, &model);
        if let Some(substitution) = self.models.substitution(call) {
            self.substitutions.add(&substitution);
        }
    }

    /// The label of a kind of tokens, which several kinds may share.
    fn kind_label(&self, kind: TokenKind) -> &'static str {
        if self.cache_write_lifetimes {
            kind.as_str()
        } else {
            kind.public_name()
        }
    }

    /// Every member of a closed set gets its series with the first call of that kind, so that a
    /// rate sees the first event of each.
    fn begin(&self, provider: Provider, model: &Model, operation: Operation) {
        each(|kind| {
            begin(
                &self.tokens,
                ByKind {
                    provider,
                    model: model.clone(),
                    kind: self.kind_label(kind),
                },
            )
        });
        each(|quality| {
            begin(
                &self.usage_reports,
                ByQuality {
                    provider,
                    model: model.clone(),
                    quality,
                },
            )
        });
        each(|outcome| {
            begin(
                &self.calls,
                ByOutcome {
                    provider,
                    model: model.clone(),
                    operation,
                    outcome,
                },
            )
        });
        each(|reason| {
            begin(
                &self.rate_limits,
                ByRateLimit {
                    provider,
                    model: model.clone(),
                    reason,
                },
            )
        });
    }

    fn count(&self, call: &Call, model: &Model) {
        let group = CallGroup {
            provider: call.provider,
            model: model.clone(),
            operation: call.operation,
            outcome: call.outcome,
            rate_limit: call.rate_limit.map(|limit| limit.reason),
            quality: call.quality,
            calls: 1,
            priced_calls: call.cost.is_some().into(),
            unpriced_calls: call.is_unpriced().into(),
            cost: call.cost.unwrap_or_default(),
            reported_cost: call.reported_cost().unwrap_or_default(),
            tokens: call.usage.counts(),
        };
        let outcome = ByOutcome {
            provider: group.provider,
            model: model.clone(),
            operation: group.operation,
            outcome: group.outcome,
        };
        let has_begun = self.calls.get(&outcome).is_some();
        if !has_begun {
            self.begin(group.provider, model, group.operation);
        }
        self.add(&group);
    }

    fn time(&self, call: &Call, model: &Model) {
        let by_model = ByModel {
            provider: call.provider,
            model: model.clone(),
        };
        let by_operation = ByOperation {
            provider: call.provider,
            model: model.clone(),
            operation: call.operation,
        };
        let exemplar = Exemplar::of(call.trace, call.timing.started_at, call.timing.duration);
        self.duration
            .observe(&by_operation, call.timing.duration, exemplar.clone());
        if let Some(first) = call.timing.time_to_first_chunk {
            self.time_to_first_chunk.observe(&by_model, first, exemplar);
        }
        if let Some(pace) = seconds_per_output_token(call) {
            self.time_per_output_token
                .get_or_create_owned(&by_model)
                .observe(pace);
        }
    }
}

/// The pace of generation; `None` unless the token count is exact: a lower bound would make the
/// model look slow.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio for a histogram: 2^53 tokens are exact enough"
)]
fn seconds_per_output_token(call: &Call) -> Option<f64> {
    let content = call
        .timing
        .content_duration
        .filter(|_| call.quality == Quality::Exact)?;
    let generated = call.usage.counts().sum(TokenKind::OUTPUT);
    (generated > 1).then(|| content.as_secs_f64() / (generated - 1) as f64)
}
