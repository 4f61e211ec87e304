//! The convention's own names of its metrics and of their labels, by those that a scrape shows.

use super::attribute;

/// The convention's metrics: the name that a scrape shows, its own name, and its unit. A counter's
/// is without `_total`.
///
/// Source: `docs/gen-ai/client-inference.md`, `gen-ai-token-metrics.md` and `gen-ai-metrics.md` at [`super::CONVENTION`].
const METRICS: [(&str, &str, &str); 13] = [
    (
        "gen_ai_client_inference_duration_seconds",
        "gen_ai.client.inference.duration",
        "s",
    ),
    (
        "gen_ai_client_inference_operation_input_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "{token}",
    ),
    (
        "gen_ai_client_inference_operation_output_tokens",
        "gen_ai.client.inference.operation.output_tokens",
        "{token}",
    ),
    (
        "gen_ai_client_inference_time_per_output_chunk_seconds",
        "gen_ai.client.inference.time_per_output_chunk",
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
    (
        "gen_ai_invoke_agent_duration_seconds",
        "gen_ai.invoke_agent.duration",
        "s",
    ),
    (
        "gen_ai_invoke_agent_inference_calls",
        "gen_ai.invoke_agent.inference_calls",
        "{inference_call}",
    ),
    (
        "gen_ai_invoke_agent_tool_calls",
        "gen_ai.invoke_agent.tool_calls",
        "{tool_call}",
    ),
];

/// The convention's own name and unit of a metric that a scrape shows; `None` for one of ours.
pub(in crate::export) fn metric_of(scraped: &str) -> Option<(&'static str, &'static str)> {
    METRICS
        .iter()
        .find(|(known, ..)| *known == scraped)
        .map(|(_, name, unit)| (*name, *unit))
}

/// The convention's own name of a label of its metrics.
pub(in crate::export) fn attribute_of(label: &str) -> &str {
    match label {
        "error_type" => attribute::ERROR_TYPE,
        "gen_ai_agent_name" => attribute::AGENT_NAME,
        "gen_ai_operation_name" => attribute::OPERATION_NAME,
        "gen_ai_provider_name" => attribute::PROVIDER_NAME,
        "gen_ai_request_model" => attribute::REQUEST_MODEL,
        "gen_ai_response_model" => attribute::RESPONSE_MODEL,
        "gen_ai_token_modality" => attribute::TOKEN_MODALITY,
        other => other,
    }
}
