//! A price file of another project enters, the lines of a table leave: LiteLLM's
//! `model_prices_and_context_window.json`, or the `api.json` of models.dev.
//!
//! Taken are models that are paid for by the token at providers that are known here. What a file
//! says of images, audio, regions and other providers is left out and counted.

mod litellm;
mod models_dev;

use jiff::civil::Date;
use serde_json::{Map, Value};

use super::amount::Price;
use super::line::{Line, Pattern, Rates};
use super::prices::Prices;
use crate::record::{Provider, TokenKind, label};

label! {
    /// The form of a file of prices.
    pub enum ImportFormat {
        /// LiteLLM's `model_prices_and_context_window.json`.
        LiteLlm => "LiteLLM",
        /// The `api.json` of models.dev.
        ModelsDev => "models.dev",
    }
}

/// What a file of prices says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its form.
    pub format: ImportFormat,
    /// A line for each model of each provider, by provider and name.
    pub lines: Vec<Line>,
    /// Entries that are left out.
    pub left_out: usize,
}

/// A file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no JSON.
    #[error("this is not JSON ({0})")]
    NotJson(#[from] serde_json::Error),
    /// It is another kind of JSON.
    #[error(
        "this is neither LiteLLM's model_prices_and_context_window.json nor the api.json of models.dev"
    )]
    Unknown,
    /// No entry is for a provider that is known here and has a price by the token.
    #[error("none of its {0} entries has a price by the token from a provider that is known here")]
    Nothing(usize),
}

/// Reads a file of prices, which was made on that day or earlier.
///
/// # Errors
/// [`ImportError`], when nothing can be taken of it.
pub fn import(text: &str, as_of: Date) -> Result<Import, ImportError> {
    let document: Map<String, Value> = match serde_json::from_str(text)? {
        Value::Object(document) => document,
        _ => return Err(ImportError::Unknown),
    };
    let has = |key: &str| document.values().any(|entry| entry.get(key).is_some());
    let (format, entries): (_, Vec<Option<Line>>) = if has("litellm_provider") {
        let entries = document.iter().filter(|(name, _)| *name != "sample_spec");
        let lines = entries.map(|(name, entry)| litellm::line(name, entry, as_of));
        (ImportFormat::LiteLlm, lines.collect())
    } else if has("models") {
        (
            ImportFormat::ModelsDev,
            models_dev::lines(&document, as_of).collect(),
        )
    } else {
        return Err(ImportError::Unknown);
    };
    let count = entries.len();
    let mut lines: Vec<Line> = entries.into_iter().flatten().collect();
    if lines.is_empty() {
        return Err(ImportError::Nothing(count));
    }
    lines.sort_by(|one, other| (one.provider, &one.models).cmp(&(other.provider, &other.models)));
    // An alias of a region or a route may repeat a name.
    lines.dedup_by(|later, first| {
        (first.provider, &first.models) == (later.provider, &later.models)
    });
    let left_out = count - lines.len();
    Ok(Import {
        format,
        lines,
        left_out,
    })
}

/// How a line of a file compares with the prices that hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<'a> {
    /// What the file says.
    pub line: &'a Line,
    /// What holds now; `None` for a model that has no price.
    pub now: Option<&'a Line>,
}

impl Import {
    /// The models whose prices in the file are other ones than those that hold on a day, or that
    /// have none.
    pub fn differences<'a>(
        &'a self,
        prices: &'a Prices,
        day: Date,
    ) -> impl Iterator<Item = Difference<'a>> {
        self.lines.iter().filter_map(move |line| {
            let (name, provider) = (line.models.first()?.name(), line.provider?);
            let now = prices.line_of(name, provider, day);
            let is_same = now.is_some_and(|now| now.has_prices_of(line));
            (!is_same).then_some(Difference { line, now })
        })
    }
}

/// A line of one model, without prices.
fn line_of(
    model: Pattern,
    provider: Provider,
    source: &str,
    via: Option<&str>,
    as_of: Date,
) -> Line {
    Line {
        models: vec![model],
        provider: Some(provider),
        from: None,
        rates: Rates::default(),
        tiers: Vec::new(),
        factors: super::Factors::default(),
        web_search: None,
        source: source.to_owned(),
        via: via.map(str::to_owned),
        as_of,
    }
}

/// The prices of an object, by the members that have them: numbers of US dollars for so many
/// tokens.
fn rates(entry: &Value, members: &[(&str, TokenKind)], tokens: f64) -> Rates {
    let mut rates = Rates::default();
    for (member, kind) in members {
        if let Some(price) = entry.get(member).and_then(|value| price(value, tokens)) {
            rates.set(*kind, price);
        }
    }
    rates
}

/// US dollars for so many tokens, as those for a million of them. The floats of JSON have far more
/// digits than prices have.
fn price(value: &Value, tokens: f64) -> Option<Price> {
    let dollars = value.as_f64()?;
    Price::parse(&format!("{:.6}", dollars * (MILLION / tokens)))
}

const MILLION: f64 = 1e6;

#[cfg(test)]
mod tests;
