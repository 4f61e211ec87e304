//! The values of a price table: a value enters, what it means leaves, or what to write instead.

use jiff::civil::Date;
use toml::Spanned;
use toml::de::DeValue;

use super::amount::Price;
use super::line::{Pattern, Rates};
use crate::record::{Label as _, Provider, TokenKind};

/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Names of models, or beginnings of them.
pub(super) fn models(given: &DeValue<'_>) -> Result<Vec<Pattern>, String> {
    let pattern = |value: &Value<'_>| value.get_ref().as_str().and_then(Pattern::parse);
    let patterns = given
        .as_array()
        .and_then(|values| values.iter().map(pattern).collect::<Option<Vec<_>>>());
    let how = r#"write ["gemini-3.1-pro-low", "claude-opus-4-6*"], with a * at the end or nowhere"#;
    patterns
        .filter(|patterns| !patterns.is_empty())
        .ok_or_else(|| format!("these are not names of models: {how}"))
}

/// A provider by its name in metrics.
pub(super) fn provider(given: &DeValue<'_>) -> Result<Provider, String> {
    let known = Provider::ALL
        .iter()
        .find(|provider| given.as_str() == Some(provider.as_str()));
    known.copied().ok_or_else(|| {
        let all: Vec<String> = Provider::ALL
            .iter()
            .map(|provider| format!("{:?}", provider.as_str()))
            .collect();
        format!(
            "this is no provider: write {}, or nothing for all of them",
            all.join(" or ")
        )
    })
}

/// A day without a time.
pub(super) fn date(given: &DeValue<'_>) -> Result<Date, String> {
    let date = given
        .as_datetime()
        .filter(|it| it.time.is_none())
        .and_then(|it| it.date);
    let part = |number: u8| i8::try_from(number).ok();
    let date = date.and_then(|it| {
        Date::new(i16::try_from(it.year).ok()?, part(it.month)?, part(it.day)?).ok()
    });
    date.ok_or_else(|| "this is not a day: write it without quotes, as 2026-11-24".to_owned())
}

/// An address.
pub(super) fn url(given: &DeValue<'_>) -> Result<String, String> {
    let is_url = |text: &&str| {
        text.starts_with("https://")
            && text.len() > "https://".len()
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let url = given.as_str().filter(is_url);
    url.map(str::to_owned).ok_or_else(|| {
        r#"this is not an address: write it as "https://example.com/pricing""#.to_owned()
    })
}

/// US dollars for a million tokens.
pub(super) fn price(given: &DeValue<'_>) -> Result<Price, String> {
    decimal(given).ok_or_else(|| format!("this is not a price: write {RATE}"))
}

/// A decimal number, exactly.
pub(super) fn decimal(given: &DeValue<'_>) -> Option<Price> {
    let text = match given {
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        _ => None,
    };
    text.as_deref().and_then(Price::parse)
}

/// A number of tokens.
pub(super) fn tokens(given: &DeValue<'_>) -> Result<u64, String> {
    let number = given.as_integer().filter(|number| number.radix() == 10);
    let count = number.and_then(|number| number.as_str().replace('_', "").parse().ok());
    count.ok_or_else(|| {
        "this is not a number of tokens: write it without quotes, as 200_000".to_owned()
    })
}

/// The kind of token that a key names.
pub(super) fn kind(name: &str) -> Option<TokenKind> {
    TokenKind::ALL
        .iter()
        .copied()
        .find(|kind| Rates::key(*kind) == name)
}

/// What a price looks like.
pub(super) const RATE: &str = "US dollars for a million tokens without quotes, such as input = 2.00, with at most six digits after the point";
