//! The record under the names of the OpenTelemetry GenAI convention: one pure mapping, and the
//! metrics that carry it out.
//!
//! The convention counts parts inside totals (cached input is input, reasoning is output), where
//! ours are disjoint. Source: `docs/gen-ai/gen-ai-metrics.md` of
//! <https://github.com/open-telemetry/semantic-conventions-genai>.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::series::{Histograms, add, call_latency, declare};
use crate::record::{
    Call, Label, Model, Models, Operation, Outcome, PerKind, Provider, TokenKind, TokenUsage,
    Totals,
};

/// The state of the convention that is followed: after v1.41.0, with token counters instead of a
/// token histogram.
pub const CONVENTION: &str = "main@024a4f94";

/// Names of span attributes: the GenAI convention's, those of the general conventions that it
/// refers to (server, error, HTTP, TLS), and ours, which begin with `gravimeter.`.
///
/// Source: `docs/gen-ai/gen-ai-spans.md` at [`CONVENTION`], and semantic conventions 1.44.0.
pub mod attribute {
    /// The agent that was invoked.
    pub const AGENT_NAME: &str = "gen_ai.agent.name";
    /// The conversation, where it is known; never made up.
    pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
    /// What is done.
    pub const OPERATION_NAME: &str = "gen_ai.operation.name";
    /// Who does it.
    pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
    /// The model that was asked for.
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    /// Present, and true, when the answer was asked for as a stream.
    pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
    /// Why the model stopped, one for each choice.
    pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    /// The provider's id of the response.
    pub const RESPONSE_ID: &str = "gen_ai.response.id";
    /// The model that answered.
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    /// In seconds.
    pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    /// What the tokens stand for: text, image, audio or unknown. On metrics alone.
    pub const TOKEN_MODALITY: &str = "gen_ai.token.modality";
    /// In tokens, part of the input tokens.
    pub const USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    /// In tokens, part of the input tokens.
    pub const USAGE_CACHE_WRITE_INPUT_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
    /// In tokens, cached ones included.
    pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    /// In tokens, reasoning included.
    pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    /// In tokens, part of the output tokens.
    pub const USAGE_REASONING_OUTPUT_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";

    /// What kind of failure, by a name of low cardinality; absent for success.
    pub const ERROR_TYPE: &str = "error.type";
    /// The status of the response.
    pub const HTTP_STATUS: &str = "http.response.status_code";
    /// The provider's host, whatever stands between.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// The provider's port.
    pub const SERVER_PORT: &str = "server.port";
    /// `tls`.
    pub const TLS_PROTOCOL_NAME: &str = "tls.protocol.name";
    /// `1.2` or `1.3`.
    pub const TLS_PROTOCOL_VERSION: &str = "tls.protocol.version";
    /// Whether an earlier session was resumed.
    pub const TLS_RESUMED: &str = "tls.resumed";

    /// What a call cost at list prices, in US dollars; absent where no price is known. The
    /// convention has no name for it.
    pub const COST_USD: &str = "gravimeter.cost_usd";
    /// The state of the GenAI convention that the names follow, on the instrumentation scope.
    pub const CONVENTION: &str = "gravimeter.gen_ai.convention";
    /// [`crate::record::Operation`], where the convention has no word of its own for it.
    pub const OPERATION: &str = "gravimeter.operation";
    /// [`crate::record::Outcome`].
    pub const OUTCOME: &str = "gravimeter.outcome";
    /// [`crate::record::RateLimitReason`].
    pub const RATE_LIMIT_REASON: &str = "gravimeter.rate_limit.reason";
    /// When the quota is full again, as RFC 3339.
    pub const RATE_LIMIT_RESETS_AT: &str = "gravimeter.rate_limit.resets_at";
    /// How long the provider asks to wait, in seconds.
    pub const RATE_LIMIT_RETRY_AFTER: &str = "gravimeter.rate_limit.retry_after";
    /// What the calls of a run cost at list prices, in US dollars; absent where that of one is not
    /// known.
    pub const RUN_COST_USD: &str = "gravimeter.run.cost_usd";
    /// How many calls a run has made.
    pub const RUN_CALLS: &str = "gravimeter.run.calls";
    /// [`crate::record::RunOutcome`].
    pub const RUN_OUTCOME: &str = "gravimeter.run.outcome";
    /// From the user's message to the first content of a call, in seconds.
    pub const RUN_TIME_TO_FIRST_CHUNK: &str = "gravimeter.run.time_to_first_chunk";
    /// How many tokens a run has taken.
    pub const RUN_TOKENS: &str = "gravimeter.run.tokens";
    /// [`crate::record::CostSource`], where a cost is known.
    pub const COST_SOURCE: &str = "gravimeter.cost.source";
    /// What a call takes of a plan that is counted in AI credits of GitHub, in 10⁻⁹ credits.
    pub const COST_NANO_CREDITS: &str = "gravimeter.cost.nano_credits";
    /// The provider's own time until it had answered, in seconds.
    pub const PROVIDER_TIME: &str = "gravimeter.provider.time";
    /// The provider's own time until it began to answer, in seconds.
    pub const PROVIDER_TIME_TO_FIRST_BYTE: &str = "gravimeter.provider.time_to_first_byte";
    /// Where the model ran.
    pub const INFERENCE_GEO: &str = "gravimeter.inference_geo";
    /// Present, and true, when the call is paid for beyond what the plan includes.
    pub const OVERAGE: &str = "gravimeter.overage";
    /// [`crate::record::ServiceTier`] that served the call.
    pub const SERVICE_TIER: &str = "gravimeter.service_tier";
    /// [`crate::record::Speed`] at which the model ran.
    pub const SPEED: &str = "gravimeter.speed";
    /// Searches of the web by the provider's own tool.
    pub const WEB_SEARCHES: &str = "gravimeter.server_tools.web_searches";
    /// [`crate::record::Quality`].
    pub const USAGE_QUALITY: &str = "gravimeter.usage.quality";
}

/// The convention's metrics: the name that a scrape shows, its own name, and its unit. A counter's
/// is without `_total`.
///
/// Source: `docs/gen-ai/gen-ai-token-metrics.md` and `gen-ai-metrics.md` at [`CONVENTION`].
const METRICS: [(&str, &str, &str); 7] = [
    (
        "gen_ai_client_inference_duration_seconds",
        "gen_ai.client.inference.duration",
        "s",
    ),
    (
        "gen_ai_client_inference_time_to_first_chunk_seconds",
        "gen_ai.client.inference.time_to_first_chunk",
        "s",
    ),
    (
        "gen_ai_client_inference_usage_cache_read_input_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "{token}",
    ),
    (
        "gen_ai_client_inference_usage_cache_write_input_tokens",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
        "{token}",
    ),
    (
        "gen_ai_client_inference_usage_input_tokens",
        "gen_ai.client.inference.usage.input_tokens",
        "{token}",
    ),
    (
        "gen_ai_client_inference_usage_output_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "{token}",
    ),
    (
        "gen_ai_client_inference_usage_reasoning_output_tokens",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
        "{token}",
    ),
];

/// The convention's own name and unit of a metric that a scrape shows; `None` for one of ours.
pub(super) fn metric_of(scraped: &str) -> Option<(&'static str, &'static str)> {
    METRICS
        .iter()
        .find(|(known, ..)| *known == scraped)
        .map(|(_, name, unit)| (*name, *unit))
}

/// The convention's own name of a label of its metrics.
pub(super) fn attribute_of(label: &str) -> &str {
    match label {
        "error_type" => attribute::ERROR_TYPE,
        "gen_ai_operation_name" => attribute::OPERATION_NAME,
        "gen_ai_provider_name" => attribute::PROVIDER_NAME,
        "gen_ai_request_model" => attribute::REQUEST_MODEL,
        "gen_ai_token_modality" => attribute::TOKEN_MODALITY,
        other => other,
    }
}

/// `gen_ai.operation.name`; `None` for what the convention does not call an inference.
#[must_use]
pub fn operation_name(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Chat | Operation::Checkpoint | Operation::Compact => Some("chat"),
        Operation::Autocomplete | Operation::TextCompletion => Some("text_completion"),
        Operation::Embeddings => Some("embeddings"),
        Operation::ImageGeneration | Operation::WebSearch => Some("generate_content"),
        Operation::CountTokens => None,
    }
}

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

impl From<&TokenUsage> for Usage {
    fn from(usage: &TokenUsage) -> Self {
        Self::from(&usage.counts())
    }
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

    /// Goes on from what was counted before.
    pub(super) fn resume(&self, totals: &Totals) {
        for group in &totals.calls {
            let Some(operation) = operation_name(group.operation) else {
                continue;
            };
            let usage = Usage::from(&group.tokens);
            self.count(usage, operation, group.provider, group.model.clone());
        }
    }

    pub(super) fn ended(&self, call: &Call) {
        let Some(operation) = operation_name(call.operation) else {
            return;
        };
        let inference = Inference {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: call.provider,
            gen_ai_request_model: self.models.name(call),
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
        self.count(
            Usage::from(&call.usage),
            operation,
            call.provider,
            inference.gen_ai_request_model,
        );
    }

    fn count(&self, usage: Usage, operation: &'static str, provider: Provider, model: Model) {
        let labels = Tokens {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: provider,
            gen_ai_request_model: model,
            // Providers give no reliable split by modality; one value keeps the sum over the label
            // equal to the total.
            gen_ai_token_modality: "unknown",
        };
        for (family, count) in [
            (&self.input_tokens, usage.input_tokens),
            (&self.output_tokens, usage.output_tokens),
            (&self.cache_read_input_tokens, usage.cache_read_input_tokens),
            (
                &self.cache_write_input_tokens,
                usage.cache_write_input_tokens,
            ),
            (&self.reasoning_output_tokens, usage.reasoning_output_tokens),
        ] {
            add(&family.get_or_create_owned(&labels), count);
        }
    }
}
