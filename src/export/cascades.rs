//! The metrics of conversations (cascades): runs, steps, how calls are joined to them, how they are
//! followed.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::exemplars::{Exemplar, Spans, TracedHistograms};
use super::labels::{
    ByComparison, ByFollowFailure, ByMethod, ByRun, ByRunModel, BySource, ByStepEnd,
};
use super::models::ModelLabels;
use super::series::{
    Histograms, add, begin, count, declare, each, release, run_calls, run_latency, run_tokens,
};
use crate::record::{
    CascadeRun, CorrelationMethod, FollowFailure, StepEnded, Totals, UpdateSource, UsageComparison,
};

/// The histogram of run durations.
pub(super) const RUN_DURATION: &str = "gravimeter_cascade_duration_seconds";

/// Counters, gauges and histograms of conversations.
#[derive(Debug)]
pub(super) struct CascadeMetrics {
    models: ModelLabels,
    duration: TracedHistograms<ByRun>,
    time_to_first_chunk: Histograms<ByRunModel>,
    calls: Histograms<ByRunModel>,
    tokens: Histograms<ByRunModel>,
    running: Gauge,
    steps: Family<ByStepEnd, Counter>,
    updates: Family<BySource, Counter>,
    correlations: Family<ByMethod, Counter>,
    comparisons: Family<ByComparison, Counter>,
    follow_errors: Family<ByFollowFailure, Counter>,
}

impl CascadeMetrics {
    pub(super) fn declare(registry: &mut Registry, models: ModelLabels, spans: &Spans) -> Self {
        let metrics = Self {
            models,
            duration: TracedHistograms::declare(
                registry,
                RUN_DURATION,
                "Runs of conversations: the user's message until the agent and its subagents are idle",
                run_latency,
                &spans.runs,
            ),
            time_to_first_chunk: declare(
                registry,
                "gravimeter_cascade_time_to_first_chunk_seconds",
                "The user's message to the first content-bearing event of the run",
                Histograms::new_with_constructor(run_latency),
            ),
            calls: declare(
                registry,
                "gravimeter_cascade_calls",
                "LLM calls of a run",
                Histograms::new_with_constructor(run_calls),
            ),
            tokens: declare(
                registry,
                "gravimeter_cascade_tokens",
                "Tokens of a run, of all kinds and of all its calls",
                Histograms::new_with_constructor(run_tokens),
            ),
            running: declare(
                registry,
                "gravimeter_cascades_running",
                "Conversations that the agent works on",
                Gauge::default(),
            ),
            steps: declare(
                registry,
                "gravimeter_cascade_steps_total",
                "Steps of conversations that have ended",
                Family::default(),
            ),
            updates: declare(
                registry,
                "gravimeter_cascade_updates_total",
                "News of conversations by where they came from",
                Family::default(),
            ),
            correlations: declare(
                registry,
                "gravimeter_correlations_total",
                "LLM calls by the identifier that tells their conversation",
                Family::default(),
            ),
            comparisons: declare(
                registry,
                "gravimeter_usage_comparisons_total",
                "LLM calls with exact counts, by whether the agent's own count of their tokens is that of the wire",
                Family::default(),
            ),
            follow_errors: declare(
                registry,
                "gravimeter_cascade_follow_errors_total",
                "News of conversations that were lost; the traffic was not affected",
                Family::default(),
            ),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Small closed sets have all their series from the start. Steps do not: 18 kinds by 12 ends,
    /// of which few occur.
    fn begin_at_zero(&self) {
        each(|source| begin(&self.updates, BySource { source }));
        each(|method| begin(&self.correlations, ByMethod { method }));
        each(|result| begin(&self.comparisons, ByComparison { result }));
        each(|reason| begin(&self.follow_errors, ByFollowFailure { reason }));
    }

    /// Resumes from what earlier processes counted.
    pub(super) fn resume(&self, totals: &Totals) {
        for ((step, status), count) in &totals.steps {
            add(
                &self.steps.get_or_create_owned(&ByStepEnd {
                    step: *step,
                    status: *status,
                }),
                *count,
            );
        }
        for (method, count) in &totals.correlations {
            add(
                &self
                    .correlations
                    .get_or_create_owned(&ByMethod { method: *method }),
                *count,
            );
        }
        for (result, count) in &totals.comparisons {
            add(
                &self
                    .comparisons
                    .get_or_create_owned(&ByComparison { result: *result }),
                *count,
            );
        }
    }

    pub(super) fn started(&self) {
        self.running.inc();
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts for a histogram: 2^53 is exact enough"
    )]
    pub(super) fn ended(&self, run: &CascadeRun) {
        release(&self.running);
        let model = self.models.of_run(run);
        let by_run = ByRun {
            model: model.clone(),
            outcome: run.outcome,
        };
        let by_model = ByRunModel { model };
        let exemplar = Exemplar::of(run.trace, run.started_at, run.duration);
        self.duration.observe(&by_run, run.duration, exemplar);
        if let Some(first) = run.time_to_first_chunk {
            self.time_to_first_chunk
                .get_or_create_owned(&by_model)
                .observe(first.as_secs_f64());
        }
        self.calls
            .get_or_create_owned(&by_model)
            .observe(run.calls as f64);
        self.tokens
            .get_or_create_owned(&by_model)
            .observe(run.tokens as f64);
    }

    pub(super) fn step(&self, ended: &StepEnded) {
        count(
            &self.steps,
            ByStepEnd {
                step: ended.step,
                status: ended.status,
            },
        );
    }

    pub(super) fn updated(&self, source: UpdateSource) {
        count(&self.updates, BySource { source });
    }

    pub(super) fn settled(&self, method: CorrelationMethod) {
        count(&self.correlations, ByMethod { method });
    }

    pub(super) fn compared(&self, result: UsageComparison) {
        count(&self.comparisons, ByComparison { result });
    }

    pub(super) fn follow_failed(&self, reason: FollowFailure) {
        count(&self.follow_errors, ByFollowFailure { reason });
    }
}
