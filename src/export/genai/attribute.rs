//! Names of span attributes: the GenAI convention's, those of the general conventions that it
//! refers to (server, error, HTTP, TLS), and ours, which begin with `gravimeter.`.
//!
//! Source: `docs/gen-ai/client-inference.md` at [`super::CONVENTION`], and semantic conventions
//! 1.44.0.

use crate::record::{Modality, SplitSum};

/// The agent's own id of a subagent.
pub const AGENT_ID: &str = "gen_ai.agent.id";
/// The agent that was invoked, or the kind of subagent.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// Present, and true, where the model has read a shortened view of the conversation.
pub const CONVERSATION_COMPACTED: &str = "gen_ai.conversation.compacted";
/// The conversation, where it is known; never made up.
pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// What is done.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// What is to be generated: a [`crate::record::OutputType`].
pub const OUTPUT_TYPE: &str = "gen_ai.output.type";
/// Who does it.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// How many answers are to be generated; absent for one.
pub const REQUEST_CHOICE_COUNT: &str = "gen_ai.request.choice.count";
/// How much words that are frequent already are to be avoided.
pub const REQUEST_FREQUENCY_PENALTY: &str = "gen_ai.request.frequency_penalty";
/// The most tokens that may be generated.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// The model that was asked for. Of a run, the only one.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// How much words that occur already are to be avoided.
pub const REQUEST_PRESENCE_PENALTY: &str = "gen_ai.request.presence_penalty";
/// The response or interaction that the request continues.
pub const REQUEST_PREVIOUS_RESPONSE_ID: &str = "gen_ai.request.previous_response.id";
/// How hard the model is asked to think, in the provider's word (`high`).
pub const REQUEST_REASONING_LEVEL: &str = "gen_ai.request.reasoning.level";
/// With the same seed, the same answer is more likely.
pub const REQUEST_SEED: &str = "gen_ai.request.seed";
/// Present, and true, when the answer was asked for as a stream.
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
/// How random the choice of the next token is.
pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
/// From how many of the likeliest tokens the next one is chosen.
pub const REQUEST_TOP_K: &str = "gen_ai.request.top_k";
/// From which share of the likeliest tokens the next one is chosen.
pub const REQUEST_TOP_P: &str = "gen_ai.request.top_p";
/// Why the model stopped, one for each choice.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// The provider's id of the response.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// In seconds.
pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// What the tokens stand for: a [`crate::record::Modality`] or `unknown`. On metrics alone.
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

/// What a call cost, in US dollars, by [`COST_SOURCE`]; absent where no price is known. The
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
/// What the calls of a run cost, in US dollars; absent where that of one is not known.
pub const RUN_COST_USD: &str = "gravimeter.run.cost_usd";
/// How many calls a run has made.
pub const RUN_CALLS: &str = "gravimeter.run.calls";
/// The model of a run's first call, by which its metrics are labelled.
pub const RUN_MODEL: &str = "gravimeter.run.model";
/// [`crate::record::RunOutcome`].
pub const RUN_OUTCOME: &str = "gravimeter.run.outcome";
/// From the user's message to the first content of a call, in seconds.
pub const RUN_TIME_TO_FIRST_CHUNK: &str = "gravimeter.run.time_to_first_chunk";
/// How many tokens a run has taken.
pub const RUN_TOKENS: &str = "gravimeter.run.tokens";
/// [`crate::record::CostSource`], if a cost is known.
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
/// The rules that changed the request, in the order in which they were applied.
pub const RULES: &str = "gravimeter.rules";
/// The model that the agent asked for, where a rule has put another one in its place.
pub const ASKED_MODEL: &str = "gravimeter.asked_model";
/// [`crate::record::Quality`].
pub const USAGE_QUALITY: &str = "gravimeter.usage.quality";

/// How many tokens of a sum stand for a modality. The convention has no names for documents and
/// videos.
#[must_use]
pub fn usage_of_modality(sum: SplitSum, modality: Modality) -> &'static str {
    match (sum, modality) {
        (SplitSum::CacheRead, Modality::Audio) => "gen_ai.usage.audio.cache_read.input_tokens",
        (SplitSum::CacheRead, Modality::Document) => {
            "gravimeter.usage.document.cache_read.input_tokens"
        }
        (SplitSum::CacheRead, Modality::Image) => "gen_ai.usage.image.cache_read.input_tokens",
        (SplitSum::CacheRead, Modality::Text) => "gen_ai.usage.text.cache_read.input_tokens",
        (SplitSum::CacheRead, Modality::Video) => "gravimeter.usage.video.cache_read.input_tokens",
        (SplitSum::Input, Modality::Audio) => "gen_ai.usage.audio.input_tokens",
        (SplitSum::Input, Modality::Document) => "gravimeter.usage.document.input_tokens",
        (SplitSum::Input, Modality::Image) => "gen_ai.usage.image.input_tokens",
        (SplitSum::Input, Modality::Text) => "gen_ai.usage.text.input_tokens",
        (SplitSum::Input, Modality::Video) => "gravimeter.usage.video.input_tokens",
        (SplitSum::Output, Modality::Audio) => "gen_ai.usage.audio.output_tokens",
        (SplitSum::Output, Modality::Document) => "gravimeter.usage.document.output_tokens",
        (SplitSum::Output, Modality::Image) => "gen_ai.usage.image.output_tokens",
        (SplitSum::Output, Modality::Text) => "gen_ai.usage.text.output_tokens",
        (SplitSum::Output, Modality::Video) => "gravimeter.usage.video.output_tokens",
    }
}
