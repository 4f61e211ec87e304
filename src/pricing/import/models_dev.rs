//! The `api.json` of models.dev: an object with a member for each provider, whose models have prices
//! in US dollars for a million tokens.
//!
//! Source: sst/models.dev `README.md` and `packages/core/src/schema.ts`.

use jiff::civil::Date;
use serde_json::{Map, Value};

use super::{MILLION, line_of, rates};
use crate::pricing::line::{Line, Pattern, Tier};
use crate::record::{Provider, TokenKind};

/// A line for each model; `None` for one that has no price, or is of a provider that is not known
/// here.
pub(super) fn lines(
    document: &Map<String, Value>,
    as_of: Date,
) -> impl Iterator<Item = Option<Line>> {
    document.iter().flat_map(move |(provider, entry)| {
        let known = PROVIDERS.iter().find(|(name, _)| name == provider);
        let models = entry.get("models").and_then(Value::as_object);
        let models = models.into_iter().flatten();
        models.map(move |(name, model)| line(name, model, known?.1, as_of))
    })
}

fn line(name: &str, model: &Value, provider: Provider, as_of: Date) -> Option<Line> {
    let cost = model.get("cost")?;
    let mut line = line_of(Pattern::parse(name)?, provider, SOURCE, None, as_of);
    line.rates = rates(cost, &MEMBERS, MILLION);
    if line.rates.is_empty() {
        return None;
    }
    line.tiers = cost
        .get("context_over_200k")
        .map(|above| Tier {
            above_input_tokens: LONG_CONTEXT,
            rates: rates(above, &MEMBERS, MILLION),
        })
        .into_iter()
        .collect();
    Some(line.completed())
}

/// Providers by their names there. Plans whose models cost nothing by the token are none of them.
const PROVIDERS: [(&str, Provider); 15] = [
    ("amazon-bedrock", Provider::Bedrock),
    ("anthropic", Provider::Anthropic),
    ("azure", Provider::AzureOpenAi),
    ("deepseek", Provider::DeepSeek),
    ("google", Provider::Gemini),
    ("google-vertex", Provider::VertexAi),
    ("google-vertex-anthropic", Provider::VertexAi),
    ("groq", Provider::Groq),
    ("mistral", Provider::Mistral),
    ("moonshotai", Provider::Moonshot),
    ("openai", Provider::OpenAi),
    ("openrouter", Provider::OpenRouter),
    ("xai", Provider::XAi),
    ("zai", Provider::ZAi),
    ("zhipuai", Provider::ZAi),
];

/// Where prices stand.
const MEMBERS: [(&str, TokenKind); 5] = [
    ("input", TokenKind::Input),
    ("cache_read", TokenKind::CacheRead),
    ("cache_write", TokenKind::CacheWrite5m),
    ("output", TokenKind::Output),
    ("reasoning", TokenKind::Thinking),
];

/// More input than this has the prices of `context_over_200k`.
const LONG_CONTEXT: u64 = 200_000;

const SOURCE: &str = "https://models.dev/api.json";
