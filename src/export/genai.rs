//! The record under the names of the OpenTelemetry GenAI convention: one pure mapping, and the metrics that carry it out.
//!
//! The convention counts parts inside totals (cached input is input, reasoning is output), where ours are disjoint.
//! Source: `docs/gen-ai/gen-ai-metrics.md` of <https://github.com/open-telemetry/semantic-conventions-genai>.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::series::{Histograms, add, call_latency, declare};
use crate::record::{Call, Label, Model, Models, Operation, Outcome, Provider, TokenUsage};

/// The state of the convention that is followed: after v1.41.0, with token counters instead of a token histogram.
pub const CONVENTION: &str = "main@024a4f94";

/// `gen_ai.operation.name`; `None` for what the convention does not call an inference.
#[must_use]
pub fn operation_name(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Chat | Operation::Checkpoint => Some("chat"),
        Operation::Autocomplete => Some("text_completion"),
        Operation::ImageGeneration | Operation::WebSearch => Some("generate_content"),
        Operation::CountTokens => None,
    }
}

/// `error.type`: our outcome's name, which is of low cardinality as the convention asks; `None` for success.
#[must_use]
pub fn error_type(outcome: Outcome) -> Option<&'static str> {
    (outcome != Outcome::Ok).then(|| outcome.as_str())
}

/// `gen_ai.usage.*`: totals, and the parts that are inside them. In tokens; what was not reported counts 0.
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

impl From<&TokenUsage> for Usage {
    fn from(usage: &TokenUsage) -> Self {
        let sum = |parts: &[Option<u64>]| parts.iter().flatten().fold(0, |sum: u64, part| sum.saturating_add(*part));
        Self {
            input_tokens: sum(&[usage.input, usage.cache_read, usage.cache_write, usage.tool_input]),
            output_tokens: sum(&[usage.output, usage.thinking]),
            cache_read_input_tokens: sum(&[usage.cache_read]),
            cache_write_input_tokens: sum(&[usage.cache_write]),
            reasoning_output_tokens: sum(&[usage.thinking]),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Inference {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: Provider,
    gen_ai_request_model: Model,
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
    time_to_first_chunk: Histograms<Inference>,
}

impl GenAiMetrics {
    pub(super) fn declare(registry: &mut Registry, models: Arc<Models>) -> Self {
        let mut tokens = |name: &str, help: &str| declare(registry, name, help, Family::<Tokens, Counter>::default());
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
                Histograms::new_with_constructor(call_latency),
            ),
            time_to_first_chunk: declare(
                registry,
                "gen_ai_client_inference_time_to_first_chunk_seconds",
                "Time to the first chunk of a streamed inference (OpenTelemetry GenAI)",
                Histograms::new_with_constructor(call_latency),
            ),
        }
    }

    pub(super) fn ended(&self, call: &Call) {
        let Some(operation) = operation_name(call.operation) else { return };
        let inference = Inference {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: call.provider,
            gen_ai_request_model: self.models.admit(&call.model),
            error_type: error_type(call.outcome),
        };
        self.duration.get_or_create_owned(&inference).observe(call.timing.duration.as_secs_f64());
        if let Some(first) = call.timing.time_to_first_chunk.filter(|_| call.streamed) {
            self.time_to_first_chunk.get_or_create_owned(&inference).observe(first.as_secs_f64());
        }
        self.count(&call.usage, inference);
    }

    fn count(&self, usage: &TokenUsage, inference: Inference) {
        let labels = Tokens {
            gen_ai_operation_name: inference.gen_ai_operation_name,
            gen_ai_provider_name: inference.gen_ai_provider_name,
            gen_ai_request_model: inference.gen_ai_request_model,
            // Providers give no reliable split by modality; one value keeps the sum over the label equal to the total.
            gen_ai_token_modality: "unknown",
        };
        let usage = Usage::from(usage);
        for (family, count) in [
            (&self.input_tokens, usage.input_tokens),
            (&self.output_tokens, usage.output_tokens),
            (&self.cache_read_input_tokens, usage.cache_read_input_tokens),
            (&self.cache_write_input_tokens, usage.cache_write_input_tokens),
            (&self.reasoning_output_tokens, usage.reasoning_output_tokens),
        ] {
            add(&family.get_or_create_owned(&labels), count);
        }
    }
}
