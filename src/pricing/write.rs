//! Lines enter, the text of a table leaves, which [`super::read()`] reads as the same lines.

use std::fmt::Write as _;

use toml::Value;

use super::line::{Line, Rates};
use crate::record::{Label as _, TokenKind};

impl Line {
    /// The line as a block of a table.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut block = String::from("[[price]]\n");
        let mut put = |key: &str, value: String| {
            // A text takes whatever is written to it.
            let _ = writeln!(block, "{key} = {value}");
        };
        let models = self.models.iter().map(|model| quoted(&model.to_string()));
        put(
            "models",
            format!("[{}]", models.collect::<Vec<_>>().join(", ")),
        );
        if let Some(provider) = self.provider {
            put("provider", quoted(provider.as_str()));
        }
        if let Some(from) = self.from {
            put("from", from.to_string());
        }
        for (key, price) in own_prices(&self.rates) {
            put(key, price);
        }
        if !self.tiers.is_empty() {
            let tiers = self.tiers.iter().map(|tier| {
                let above = ("above_input_tokens", tier.above_input_tokens.to_string());
                table(std::iter::once(above).chain(own_prices(&tier.rates)))
            });
            put(
                "tiers",
                format!("[{}]", tiers.collect::<Vec<_>>().join(", ")),
            );
        }
        if !self.factors.0.is_empty() {
            let factors = self.factors.0.iter();
            let factors =
                factors.map(|(condition, factor)| (condition.as_str(), factor.to_string()));
            put("factors", table(factors));
        }
        if let Some(searches) = self.web_search {
            put(searches.key(), searches.of_a_thousand().to_string());
        }
        put("source", quoted(&self.source));
        if let Some(via) = &self.via {
            put("via", quoted(via));
        }
        put("as_of", self.as_of.to_string());
        block
    }
}

/// The prices that the rates name themselves, by their keys.
fn own_prices(rates: &Rates) -> impl Iterator<Item = (&'static str, String)> {
    TokenKind::ALL
        .iter()
        .filter_map(|kind| Some((Rates::key(*kind), rates.own(*kind)?.to_string())))
}

fn table<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> String {
    let pairs = pairs.map(|(key, value)| format!("{key} = {value}"));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use crate::pricing::{Table, read};

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let Table(shipped) = Table::shipped();
        let text = r#"
[[price]]
models = ["a\"b\\c", "d*"]
provider = "openai"
from = 2026-12-01
input = 1
cache_write_1h = 2.000001
thinking = 0
tiers = [{ above_input_tokens = 272_000, input = 2 }, { above_input_tokens = 1_000_000, thinking = 3 }]
factors = { priority = 1.75, batch = 0.5, us = 1.1 }
web_search = 10
source = "https://example.com/a"
via = "https://example.com/b"
as_of = 2026-11-24
"#;
        let Table(own) = read(text).unwrap();
        for line in shipped.into_iter().chain(own) {
            let text = line.to_toml();
            assert_eq!(read(&text), Ok(Table(vec![line])), "{text}");
        }
    }
}
