//! A price table's text enters, its lines leave, or all its flaws in one pass, each with its line,
//! its key and what to write instead. A line that is not dated and sourced is a flaw; so is a
//! second price for the same thing.

use std::ops::Range;

use jiff::civil::Date;
use toml::de::{DeTable, DeValue};

use super::factor::{Condition, Factor, Factors};
use super::line::{Line, Pattern, Rates, Tier};
use super::prices::Table;
use super::search::{PER_CALL, PER_SEARCH, SearchPrice};
use super::values::{RATE, Value, date, decimal, kind, models, price, provider, tokens, url};
use crate::record::{Label as _, Provider};

/// One thing that is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// On which line, from 1.
    pub line: usize,
    /// Of which key, where it is one's.
    pub key: Option<String>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Reads a table.
///
/// # Errors
/// All its flaws, from top to bottom.
pub fn read(text: &str) -> Result<Table, Vec<Flaw>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        text,
        flaws: Vec::new(),
    };
    // One slip makes several errors of the parser; the first is the one that helps.
    if let Some(error) = errors.first() {
        let what = error.message().trim().replace('\n', ", ");
        reader.flaw(
            &error.span().unwrap_or_default(),
            None,
            format!("this is not TOML ({what}): {HOW}"),
        );
        return Err(reader.flaws);
    }
    let lines = reader.document(document.get_ref());
    reader.flaws.sort_by_key(|flaw| flaw.line);
    if reader.flaws.is_empty() {
        Ok(Table(lines))
    } else {
        Err(reader.flaws)
    }
}

/// The walk through a document.
struct Reader<'a> {
    text: &'a str,
    flaws: Vec<Flaw>,
}

/// A line in the making.
#[derive(Default)]
struct Draft {
    models: Vec<Pattern>,
    provider: Option<Provider>,
    from: Option<Date>,
    as_of: Option<Date>,
    source: Option<String>,
    via: Option<String>,
    rates: Rates,
    tiers: Vec<Tier>,
    factors: Factors,
    web_search: Option<SearchPrice>,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for (name, value) in document {
            let prices = value
                .get_ref()
                .as_array()
                .filter(|_| name.get_ref() == "price");
            let Some(prices) = prices else {
                self.flaw(
                    &name.span(),
                    Some(name.get_ref()),
                    format!("there is nothing of that name: {HOW}"),
                );
                continue;
            };
            for price in prices.iter() {
                let Some(line) = self.price(price) else {
                    continue;
                };
                if let Some(pattern) = lines.iter().find_map(|earlier| earlier.shared(&line)) {
                    let how = "keep one of the two, or give them different days in `from`";
                    self.flaw(
                        &price.span(),
                        Some("models"),
                        format!("{pattern} has a price above already: {how}"),
                    );
                }
                lines.push(line);
            }
        }
        lines
    }

    /// One `[[price]]`; `None` when it has a flaw.
    fn price(&mut self, price: &Value<'_>) -> Option<Line> {
        let Some(table) = price.get_ref().as_table() else {
            self.flaw(
                &price.span(),
                Some("price"),
                format!("this is not a table: {HOW}"),
            );
            return None;
        };
        let (before, mut draft) = (self.flaws.len(), Draft::default());
        for (name, value) in table {
            if let Err(message) = self.entry(&mut draft, name.get_ref(), value) {
                self.flaw(&name.span(), Some(name.get_ref()), message);
            }
        }
        for (key, how) in missing(table) {
            self.flaw(&price.span(), Some(key), format!("is missing: {how}"));
        }
        if draft.rates.is_empty() && self.flaws.len() == before {
            self.flaw(
                &price.span(),
                None,
                format!("nothing has a price here: write {RATE}"),
            );
        }
        if self.flaws.len() > before {
            None
        } else {
            draft.finish()
        }
    }

    fn entry(&mut self, draft: &mut Draft, name: &str, value: &Value<'_>) -> Result<(), String> {
        let given = value.get_ref();
        match name {
            "models" => draft.models = models(given)?,
            "provider" => draft.provider = Some(provider(given)?),
            "from" => draft.from = Some(date(given)?),
            "as_of" => draft.as_of = Some(date(given)?),
            "source" => draft.source = Some(url(given)?),
            "via" => draft.via = Some(url(given)?),
            "tiers" => draft.tiers = self.tiers(given)?,
            "factors" => draft.factors = self.factors(given)?,
            PER_CALL | PER_SEARCH if draft.web_search.is_some() => {
                return Err(format!(
                    "searches have a price already: keep one of {PER_SEARCH} and {PER_CALL}"
                ));
            }
            PER_CALL => draft.web_search = Some(SearchPrice::PerCall(price(given)?)),
            PER_SEARCH => draft.web_search = Some(SearchPrice::PerSearch(price(given)?)),
            _ => {
                let kind = kind(name).ok_or_else(|| {
                    format!("there is no such key: write {KEYS}, or a kind of token")
                })?;
                draft.rates.set(kind, price(given)?);
            }
        }
        Ok(())
    }

    fn tiers(&mut self, given: &DeValue<'_>) -> Result<Vec<Tier>, String> {
        let how = || format!("these are not tiers: write {TIERS}");
        let mut tiers = Vec::new();
        for tier in given.as_array().ok_or_else(how)?.iter() {
            let table = tier.get_ref().as_table().ok_or_else(how)?;
            let (mut above, mut rates) = (None, Rates::default());
            for (name, value) in table {
                let name_text: &str = name.get_ref();
                let read = match (name_text, kind(name_text)) {
                    ("above_input_tokens", _) => {
                        tokens(value.get_ref()).map(|count| above = Some(count))
                    }
                    (_, Some(kind)) => price(value.get_ref()).map(|price| rates.set(kind, price)),
                    _ => Err(format!("there is no such key in a tier: write {TIERS}")),
                };
                if let Err(message) = read {
                    self.flaw(&name.span(), Some(&format!("tiers.{name_text}")), message);
                }
            }
            let above_input_tokens = above.ok_or_else(how)?;
            if tiers
                .iter()
                .any(|other: &Tier| other.above_input_tokens == above_input_tokens)
            {
                return Err(format!(
                    "two begin above {above_input_tokens} tokens: keep one of them"
                ));
            }
            tiers.push(Tier {
                above_input_tokens,
                rates,
            });
        }
        Ok(tiers)
    }

    fn factors(&mut self, given: &DeValue<'_>) -> Result<Factors, String> {
        let table = given
            .as_table()
            .ok_or_else(|| format!("these are not factors: write {FACTORS}"))?;
        let mut factors = Factors::default();
        for (name, value) in table {
            let name_text: &str = name.get_ref();
            let condition = Condition::parse(name_text)
                .ok_or_else(|| format!("there is no such condition: write {FACTORS}"));
            let factor = decimal(value.get_ref())
                .ok_or_else(|| format!("this is not a factor: write {FACTORS}"));
            match condition.and_then(|condition| Ok((condition, Factor::new(factor?)))) {
                Ok(factor) => factors.0.push(factor),
                Err(message) => {
                    self.flaw(&name.span(), Some(&format!("factors.{name_text}")), message);
                }
            }
        }
        Ok(factors)
    }

    fn flaw(&mut self, span: &Range<usize>, key: Option<&str>, message: String) {
        let before = self
            .text
            .as_bytes()
            .get(..span.start)
            .unwrap_or(self.text.as_bytes());
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        self.flaws.push(Flaw {
            line,
            key: key.map(str::to_owned),
            message,
        });
    }
}

impl Draft {
    /// `None` when something is missing.
    fn finish(self) -> Option<Line> {
        let Self {
            models,
            provider,
            from,
            as_of,
            source,
            via,
            rates,
            tiers,
            factors,
            web_search,
        } = self;
        let line = Line {
            models,
            provider,
            from,
            rates,
            tiers,
            factors,
            web_search,
            source: source?,
            via,
            as_of: as_of?,
        };
        Some(line.completed())
    }
}

fn missing(table: &DeTable<'_>) -> impl Iterator<Item = (&'static str, &'static str)> {
    let required = [
        (
            "models",
            r#"write the names on the wire, such as models = ["gemini-3.1-pro-low"]"#,
        ),
        (
            "source",
            r#"write the address of who says so, such as source = "https://example.com/pricing""#,
        ),
        (
            "as_of",
            "write the day on which the source was read, such as as_of = 2026-11-24",
        ),
    ];
    let known: Vec<&str> = table
        .iter()
        .map(|(name, _)| name.get_ref().as_ref())
        .collect();
    required
        .into_iter()
        .filter(move |(key, _)| !known.contains(key))
}

/// What a table looks like.
const HOW: &str = "a table is made of [[price]] blocks with models, prices, source and as_of";

/// What tiers look like.
const TIERS: &str = "tiers = [{ above_input_tokens = 200_000, input = 4.00, output = 18.00 }]";

/// What factors look like.
const FACTORS: &str = "factors = { batch = 0.5, flex = 0.5, priority = 2, ultrafast = 6, fast = 2, us = 1.1 }, with what this line has of them";

/// What a line may have beside prices.
const KEYS: &str = "models, provider, from, tiers, factors, web_search (for a thousand searches), web_search_per_call (for a thousand calls that search), source, via, as_of";
