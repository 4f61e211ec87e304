//! LiteLLM's `model_prices_and_context_window.json`: an object with a member for each model, whose
//! prices are US dollars for one token.
//!
//! Source: BerriAI/litellm `model_prices_and_context_window.json`, whose `sample_spec` describes it.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::Value;

use super::{line_of, price, rates};
use crate::pricing::factor::{Condition, Factor, Factors};
use crate::pricing::line::{Line, Pattern, Tier};
use crate::pricing::search::SearchPrice;
use crate::record::{Provider, TokenKind};

/// The line of an entry; `None` for what is not paid for by the token, or is of a provider that is
/// not known here.
pub(super) fn line(name: &str, entry: &Value, as_of: Date) -> Option<Line> {
    let text = |member: &str| entry.get(member).and_then(Value::as_str);
    let of = text("litellm_provider")?;
    let (_, provider, prefix) = PROVIDERS.iter().find(|(known, ..)| *known == of)?;
    let is_text = MODES.contains(&text("mode")?);
    let model = name.strip_prefix(prefix).unwrap_or(name);
    let pattern = pattern(model, *provider).filter(|_| is_text)?;
    let source = text("source").filter(|source| is_address(source));
    let mut line = line_of(
        pattern,
        *provider,
        source.unwrap_or(SOURCE),
        source.map(|_| SOURCE),
        as_of,
    );
    line.rates = rates(entry, &MEMBERS, ONE);
    if line.rates.is_empty() {
        return None;
    }
    line.tiers = tiers(entry);
    line.factors = factors(entry);
    line.web_search = web_search(entry, *provider);
    Some(line.completed())
}

/// The pattern of a name: that of a region or a route is none. Names of fine-tuned models begin
/// with that of the model.
fn pattern(model: &str, provider: Provider) -> Option<Pattern> {
    let may_have_slash = matches!(provider, Provider::Groq | Provider::OpenRouter);
    if model.contains('/') && !may_have_slash {
        return None;
    }
    if model.starts_with("ft:") {
        return Pattern::parse(&format!("{model}:*"));
    }
    Pattern::parse(model)
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `input_cost_per_token_above_200k_tokens` and its like.
fn tiers(entry: &Value) -> Vec<Tier> {
    let members = entry.as_object().into_iter().flatten();
    let thresholds: BTreeSet<u64> = members
        .filter_map(|(member, _)| {
            let above = member.strip_prefix("input_cost_per_token_above_")?;
            above.strip_suffix("k_tokens")?.parse().ok()
        })
        .collect();
    let tier = |thousands: u64| {
        let suffix = format!("_above_{thousands}k_tokens");
        let members = MEMBERS.map(|(member, kind)| (format!("{member}{suffix}"), kind));
        let members: Vec<_> = members
            .iter()
            .map(|(member, kind)| (member.as_str(), *kind))
            .collect();
        Some(Tier {
            above_input_tokens: thousands.checked_mul(1000)?,
            rates: rates(entry, &members, ONE),
        })
    };
    thresholds.into_iter().filter_map(tier).collect()
}

/// The factors of service tiers, of which the file has the products: where they are the same for
/// all kinds of token.
fn factors(entry: &Value) -> Factors {
    let of_tiers = TIERS.into_iter().filter_map(|(suffix, condition)| {
        let ratios = MEMBERS.iter().filter_map(|(member, _)| {
            let usual = entry.get(*member)?.as_f64().filter(|usual| *usual > 0.0)?;
            let here = entry.get(format!("{member}_{suffix}"))?.as_f64()?;
            Some(here / usual)
        });
        let ratios: Vec<f64> = ratios.collect();
        let first = *ratios.first()?;
        let is_one = ratios.iter().all(|ratio| (ratio - first).abs() < TOLERANCE);
        is_one.then_some((condition, first))
    });
    let others = [("fast", Condition::Fast), ("us", Condition::Us)];
    let of_entry = others.into_iter().filter_map(|(member, condition)| {
        let factor = entry
            .get("provider_specific_entry")?
            .get(member)?
            .as_f64()?;
        Some((condition, factor))
    });
    let factors = of_tiers.chain(of_entry).filter_map(|(condition, factor)| {
        let decimal = crate::pricing::Price::parse(&format!("{factor:.6}"))?;
        Some((condition, Factor::new(decimal)))
    });
    let mut factors: Vec<_> = factors.collect();
    factors.sort_by_key(|(condition, _)| *condition);
    Factors(factors)
}

/// What searches cost, where that does not depend on how much is found. Google counts calls, unless
/// the entry says that each search counts.
fn web_search(entry: &Value, provider: Provider) -> Option<SearchPrice> {
    let sizes = entry.get("search_context_cost_per_query")?;
    let of = |size: &str| sizes.get(format!("search_context_size_{size}"));
    let medium = of("medium")?;
    let is_one = of("low") == Some(medium) && of("high") == Some(medium);
    // A search costs a thousandth of what a thousand do, as a token costs a millionth.
    let of_a_thousand = price(medium, SEARCHES).filter(|_| is_one)?;
    let is_googles = matches!(provider, Provider::Gemini | Provider::VertexAi);
    let unit = entry.get("web_search_billing_unit").and_then(Value::as_str);
    Some(if is_googles && unit != Some("per_query") {
        SearchPrice::PerCall(of_a_thousand)
    } else {
        SearchPrice::PerSearch(of_a_thousand)
    })
}

/// Providers by LiteLLM's name, and how it begins the names of their models.
const PROVIDERS: [(&str, Provider, &str); 18] = [
    ("anthropic", Provider::Anthropic, "anthropic/"),
    ("azure", Provider::AzureOpenAi, "azure/"),
    ("azure_ai", Provider::AzureInference, "azure_ai/"),
    ("bedrock", Provider::Bedrock, "bedrock/"),
    ("bedrock_converse", Provider::Bedrock, "bedrock/"),
    ("deepseek", Provider::DeepSeek, "deepseek/"),
    ("gemini", Provider::Gemini, "gemini/"),
    ("groq", Provider::Groq, "groq/"),
    ("mistral", Provider::Mistral, "mistral/"),
    ("moonshot", Provider::Moonshot, "moonshot/"),
    ("openai", Provider::OpenAi, "openai/"),
    ("openrouter", Provider::OpenRouter, "openrouter/"),
    ("text-completion-openai", Provider::OpenAi, ""),
    (
        "vertex_ai-anthropic_models",
        Provider::VertexAi,
        "vertex_ai/",
    ),
    (
        "vertex_ai-embedding-models",
        Provider::VertexAi,
        "vertex_ai/",
    ),
    (
        "vertex_ai-language-models",
        Provider::VertexAi,
        "vertex_ai/",
    ),
    ("xai", Provider::XAi, "xai/"),
    ("zai", Provider::ZAi, "zai/"),
];

/// What models do that are paid for by the token of text.
const MODES: [&str; 4] = ["chat", "completion", "embedding", "responses"];

/// Where prices stand.
const MEMBERS: [(&str, TokenKind); 6] = [
    ("input_cost_per_token", TokenKind::Input),
    ("cache_read_input_token_cost", TokenKind::CacheRead),
    ("cache_creation_input_token_cost", TokenKind::CacheWrite5m),
    (
        "cache_creation_input_token_cost_above_1hr",
        TokenKind::CacheWrite1h,
    ),
    ("output_cost_per_token", TokenKind::Output),
    ("output_cost_per_reasoning_token", TokenKind::Thinking),
];

/// How the members of service tiers end.
const TIERS: [(&str, Condition); 4] = [
    ("batches", Condition::Batch),
    ("flex", Condition::Flex),
    ("priority", Condition::Priority),
    ("ultrafast", Condition::Ultrafast),
];

/// Ratios of floats that differ by less are the same factor.
const TOLERANCE: f64 = 1e-6;

/// Prices are for one token.
const ONE: f64 = 1.0;

/// The price of one search as a part of the price of a thousand.
const SEARCHES: f64 = 1000.0;

/// Where the file is published.
const SOURCE: &str =
    "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json";
