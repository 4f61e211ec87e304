//! The record under the names of the OpenTelemetry GenAI convention: one pure mapping, and the
//! metrics that carry it out.
//!
//! The convention counts parts inside totals (cached input is input, reasoning is output), where
//! ours are disjoint. Source: `docs/gen-ai/client-inference.md`, and of the metrics of tokens
//! `docs/gen-ai/gen-ai-token-metrics.md`, of
//! <https://github.com/open-telemetry/semantic-conventions-genai>.

pub mod attribute;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub(super) use names::{attribute_of, metric_of};

use super::gaps::GapHistograms;
use super::series::{
    Histograms, add, convention_call_latency, convention_gap, convention_run_latency,
    convention_tokens, declare, run_calls,
};
use crate::record::{
    AgentName, Call, CascadeRun, ContentChunks, Label, ModalitySplits, Model, Models, Operation,
    Outcome, PerKind, PerModality, Provider, RunOutcome, SplitSum, TokenKind, Totals,
};

/// The state of the convention that is followed: after v1.41.0, with token counters instead of a
/// token histogram.
pub const CONVENTION: &str = "main@024a4f94";

/// The schema that the names of spans and metrics follow, as its README gives it: the state above is
/// not released, and this is the version that it leads to.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/gen-ai/1.42.0";

/// `gen_ai.operation.name`; `None` for what the convention does not call an inference.
#[must_use]
pub fn operation_name(
    operation: Operation,
    provider: Provider,
    model: &Model,
) -> Option<&'static str> {
    match operation {
        Operation::Chat | Operation::Checkpoint | Operation::Compact => {
            Some(if provider.generates_content(model) {
                GENERATE_CONTENT
            } else {
                "chat"
            })
        }
        Operation::Autocomplete | Operation::TextCompletion => Some("text_completion"),
        Operation::Embeddings => Some("embeddings"),
        Operation::ImageGeneration | Operation::Transcription | Operation::WebSearch => {
            Some(GENERATE_CONTENT)
        }
        Operation::CountTokens => None,
    }
}

/// The convention's name for `generateContent`, whatever it generates.
const GENERATE_CONTENT: &str = "generate_content";

/// `error.type`: our outcome's name, which is of low cardinality as the convention asks; `None` for
/// success.
#[must_use]
pub fn error_type(outcome: Outcome) -> Option<&'static str> {
    (outcome != Outcome::Ok).then(|| outcome.as_str())
}

/// `gen_ai.usage.*`: totals, and the parts that are inside them. In tokens; what was not reported
/// counts 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All input, cached or not.
    pub input_tokens: u64,
    /// All output, reasoning included.
    pub output_tokens: u64,
    /// The input that was read from a cache.
    pub cache_read_input_tokens: u64,
    /// The input that was written to a cache.
    pub cache_write_input_tokens: u64,
    /// The output that is reasoning.
    pub reasoning_output_tokens: u64,
}

impl From<&PerKind<u64>> for Usage {
    fn from(tokens: &PerKind<u64>) -> Self {
        Self {
            input_tokens: tokens.sum(TokenKind::INPUT),
            output_tokens: tokens.sum(TokenKind::OUTPUT),
            cache_read_input_tokens: tokens[TokenKind::CacheRead],
            cache_write_input_tokens: tokens.sum(TokenKind::CACHE_WRITES),
            reasoning_output_tokens: tokens[TokenKind::Thinking],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Inference {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: Provider,
    gen_ai_request_model: Model,
    /// Absent where the provider does not name it.
    gen_ai_response_model: Option<Model>,
    error_type: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Chunks {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: Provider,
    gen_ai_request_model: Model,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Invocation {
    gen_ai_agent_name: AgentName,
    error_type: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: Provider,
    gen_ai_request_model: Model,
    gen_ai_token_modality: &'static str,
}

/// The convention's metrics of the client side of an inference.
#[derive(Debug)]
pub(super) struct GenAiMetrics {
    models: Arc<Models>,
    input_tokens: Family<Tokens, Counter>,
    output_tokens: Family<Tokens, Counter>,
    cache_read_input_tokens: Family<Tokens, Counter>,
    cache_write_input_tokens: Family<Tokens, Counter>,
    reasoning_output_tokens: Family<Tokens, Counter>,
    duration: Histograms<Inference>,
    operation_input_tokens: Histograms<Inference>,
    operation_output_tokens: Histograms<Inference>,
    time_to_first_chunk: Histograms<Inference>,
    time_per_output_chunk: GapHistograms<Chunks>,
    invocations: Histograms<Invocation>,
    inference_calls: Histograms<Invocation>,
    tool_calls: Histograms<Invocation>,
}

impl GenAiMetrics {
    pub(super) fn declare(registry: &mut Registry, models: Arc<Models>) -> Self {
        let mut tokens = |name: &str, help: &str| {
            declare(registry, name, help, Family::<Tokens, Counter>::default())
        };
        Self {
            models,
            input_tokens: tokens(
                "gen_ai_client_inference_usage_input_tokens_total",
                "Input tokens, cached ones included (OpenTelemetry GenAI)",
            ),
            output_tokens: tokens(
                "gen_ai_client_inference_usage_output_tokens_total",
                "Output tokens, reasoning included (OpenTelemetry GenAI)",
            ),
            cache_read_input_tokens: tokens(
                "gen_ai_client_inference_usage_cache_read_input_tokens_total",
                "Input tokens read from a cache (OpenTelemetry GenAI)",
            ),
            cache_write_input_tokens: tokens(
                "gen_ai_client_inference_usage_cache_write_input_tokens_total",
                "Input tokens written to a cache (OpenTelemetry GenAI)",
            ),
            reasoning_output_tokens: tokens(
                "gen_ai_client_inference_usage_reasoning_output_tokens_total",
                "Output tokens that are reasoning (OpenTelemetry GenAI)",
            ),
            duration: declare(
                registry,
                "gen_ai_client_inference_duration_seconds",
                "Duration of an inference (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(convention_call_latency),
            ),
            operation_input_tokens: declare(
                registry,
                "gen_ai_client_inference_operation_input_tokens",
                "Input tokens of an inference, cached ones included (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(convention_tokens),
            ),
            operation_output_tokens: declare(
                registry,
                "gen_ai_client_inference_operation_output_tokens",
                "Output tokens of an inference, reasoning included (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(convention_tokens),
            ),
            time_to_first_chunk: declare(
                registry,
                "gen_ai_client_inference_time_to_first_chunk_seconds",
                "Time to the first chunk of a streamed inference (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(convention_call_latency),
            ),
            time_per_output_chunk: declare(
                registry,
                "gen_ai_client_inference_time_per_output_chunk_seconds",
                "Time from one chunk of a streamed inference to the next (OpenTelemetry GenAI)",
                GapHistograms::new_with_constructor(convention_gap),
            ),
            invocations: declare(
                registry,
                "gen_ai_invoke_agent_duration_seconds",
                "Duration of a run of an agent (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(convention_run_latency),
            ),
            inference_calls: declare(
                registry,
                "gen_ai_invoke_agent_inference_calls",
                "Inferences of a run of an agent (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(run_calls),
            ),
            tool_calls: declare(
                registry,
                "gen_ai_invoke_agent_tool_calls",
                "Tool calls of a run of an agent that its model asks for (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(run_calls),
            ),
        }
    }

    /// Resumes from what earlier processes counted.
    pub(super) fn resume(&self, totals: &Totals) {
        let mut all = BTreeMap::<_, (PerKind<u64>, ModalitySplits)>::new();
        for group in &totals.calls {
            let operation = operation_name(group.operation, group.provider, &group.model);
            if let Some(operation) = operation {
                let key = (operation, group.provider, group.model.clone());
                let (tokens, _) = all.entry(key).or_default();
                tokens.merge(&group.tokens, |sum, more| *sum = sum.saturating_add(more));
            }
        }
        for group in &totals.modalities {
            let operation = operation_name(group.operation, group.provider, &group.model);
            if let Some(operation) = operation {
                let key = (operation, group.provider, group.model.clone());
                let (_, splits) = all.entry(key).or_default();
                splits.merge(&group.splits);
            }
        }
        for ((operation, provider, model), (tokens, splits)) in all {
            self.count(&tokens, &splits.within(&tokens), operation, provider, model);
        }
    }

    pub(super) fn ended(&self, call: &Call) {
        let Some(operation) = operation_name(call.operation, call.provider, &call.model) else {
            return;
        };
        let served = call.served_model.as_ref();
        let inference = Inference {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: call.provider,
            gen_ai_request_model: self.models.name(call),
            gen_ai_response_model: served.map(|model| self.models.label(model)),
            error_type: error_type(call.outcome),
        };
        self.duration
            .get_or_create_owned(&inference)
            .observe(call.timing.duration.as_secs_f64());
        if let Some(first) = call.timing.time_to_first_chunk.filter(|_| call.streamed) {
            self.time_to_first_chunk
                .get_or_create_owned(&inference)
                .observe(first.as_secs_f64());
        }
        let tokens = call.usage.counts();
        self.observe_tokens(&Usage::from(&tokens), &inference);
        self.count(
            &tokens,
            &call.modalities,
            operation,
            call.provider,
            inference.gen_ai_request_model,
        );
    }

    /// Takes the tokens of one inference. The convention wants a 0 where no usage was reported.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts for a histogram: 2^53 is exact enough"
    )]
    fn observe_tokens(&self, usage: &Usage, inference: &Inference) {
        self.operation_input_tokens
            .get_or_create_owned(inference)
            .observe(usage.input_tokens as f64);
        self.operation_output_tokens
            .get_or_create_owned(inference)
            .observe(usage.output_tokens as f64);
    }

    pub(super) fn chunks(&self, chunks: &ContentChunks) {
        let Some(operation) = operation_name(chunks.operation, chunks.provider, &chunks.model)
        else {
            return;
        };
        let mut labels = Chunks {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: chunks.provider,
            gen_ai_request_model: chunks.model.clone(),
        };
        let gaps = &self.time_per_output_chunk;
        if let Some(known) = gaps.get(&labels) {
            return known.observe(chunks);
        }
        labels.gen_ai_request_model = self.models.label(&chunks.model);
        gaps.get_or_create_owned(&labels).observe(chunks);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts for a histogram: 2^53 is exact enough"
    )]
    pub(super) fn run_ended(&self, run: &CascadeRun) {
        let invocation = Invocation {
            gen_ai_agent_name: run.agent,
            error_type: (run.outcome != RunOutcome::Ok).then(|| run.outcome.as_str()),
        };
        self.invocations
            .get_or_create_owned(&invocation)
            .observe(run.duration.as_secs_f64());
        self.inference_calls
            .get_or_create_owned(&invocation)
            .observe(run.calls as f64);
        if let Some(tool_calls) = run.tool_calls {
            self.tool_calls
                .get_or_create_owned(&invocation)
                .observe(tool_calls as f64);
        }
    }

    /// Adds tokens to the counters. What has no known modality is `unknown`, so that the sum over
    /// the label is the total.
    fn count(
        &self,
        tokens: &PerKind<u64>,
        modalities: &ModalitySplits,
        operation: &'static str,
        provider: Provider,
        model: Model,
    ) {
        let usage = Usage::from(tokens);
        let no_split = PerModality::default();
        for (family, total, split) in [
            (
                &self.input_tokens,
                usage.input_tokens,
                &modalities[SplitSum::Input],
            ),
            (
                &self.output_tokens,
                usage.output_tokens,
                &modalities[SplitSum::Output],
            ),
            (
                &self.cache_read_input_tokens,
                usage.cache_read_input_tokens,
                &modalities[SplitSum::CacheRead],
            ),
            (
                &self.cache_write_input_tokens,
                usage.cache_write_input_tokens,
                &no_split,
            ),
            (
                &self.reasoning_output_tokens,
                usage.reasoning_output_tokens,
                &no_split,
            ),
        ] {
            let known = split.iter().filter(|(_, tokens)| *tokens > 0);
            let known = known.map(|(modality, tokens)| (modality.as_str(), tokens));
            let unknown = (UNKNOWN_MODALITY, total.saturating_sub(split.total()));
            for (modality, tokens) in known.chain([unknown]) {
                let labels = Tokens {
                    gen_ai_operation_name: operation,
                    gen_ai_provider_name: provider,
                    gen_ai_request_model: model.clone(),
                    gen_ai_token_modality: modality,
                };
                add(&family.get_or_create_owned(&labels), tokens);
            }
        }
    }
}

/// The modality of tokens of which the provider does not report it.
const UNKNOWN_MODALITY: &str = "unknown";
