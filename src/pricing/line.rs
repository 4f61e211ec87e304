//! One line of a price table: for which models it is, from when on, and what their tokens cost.

use std::fmt;

use jiff::civil::Date;

use super::amount::{Amount, Price};
use crate::record::{Cost, Label as _, PerKind, Provider, TokenKind, TokenUsage};

/// The price of some models from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which models.
    pub models: Vec<Pattern>,
    /// From whom; `None` is from anybody.
    pub provider: Option<Provider>,
    /// The first day (UTC) of the price; `None` is always. It holds until another line for the same
    /// begins.
    pub from: Option<Date>,
    /// What tokens cost.
    pub rates: Rates,
    /// What they cost in calls with more input, from little to much.
    pub tiers: Vec<Tier>,
    /// Who says so.
    pub source: String,
    /// Where that was read, when not at the source itself.
    pub via: Option<String>,
    /// The day on which it was read.
    pub as_of: Date,
}

/// A model's name on the wire, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

/// Prices by kind of token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates(PerKind<Option<Price>>);

/// Other prices for calls with much input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// They hold for calls with more input than this, in tokens of all kinds of input; and then for
    /// every token of the call.
    pub above_input_tokens: u64,
    /// What tokens cost then.
    pub rates: Rates,
}

impl Line {
    /// How well the line fits: more is better, `None` is not at all. The exact name goes before the
    /// beginning of one, a longer beginning before a shorter one, a line for the provider before
    /// one for all, a later day before an earlier one.
    pub(super) fn fit(&self, model: &str, provider: Provider, day: Date) -> Option<Fit> {
        let is_for_it = self.provider.is_none_or(|its| its == provider)
            && self.from.is_none_or(|from| from <= day);
        let best = self
            .models
            .iter()
            .filter(|pattern| pattern.matches(model))
            .map(Pattern::rank)
            .max();
        best.filter(|_| is_for_it).map(|pattern| Fit {
            pattern,
            of_provider: self.provider.is_some(),
            from: self.from,
        })
    }

    /// `None` when a kind that has tokens has no price.
    pub(super) fn cost(&self, usage: &TokenUsage) -> Option<Cost> {
        let rates = self.rates_for(usage);
        let tokens = usage.counts();
        let parts = tokens.iter().filter(|(_, count)| **count > 0);
        let priced = parts.map(|(kind, count)| Some(rates.of(kind)?.of(*count)));
        let sum = priced.reduce(|sum, part| Some(sum?.plus(part?)));
        sum.unwrap_or(Some(Amount::default())).map(Amount::rounded)
    }

    fn rates_for(&self, usage: &TokenUsage) -> &Rates {
        let input = usage.counts().sum(TokenKind::INPUT);
        let tier = self
            .tiers
            .iter()
            .rev()
            .find(|tier| input > tier.above_input_tokens);
        tier.map_or(&self.rates, |tier| &tier.rates)
    }
}

/// How well a line fits, best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    pattern: (bool, usize),
    of_provider: bool,
    from: Option<Date>,
}

impl Pattern {
    /// A name, or the beginning of one followed by `*`. `None` where it is empty or has a `*`
    /// elsewhere.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, is_prefix) = text
            .strip_suffix('*')
            .map_or((text, false), |beginning| (beginning, true));
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'*');
        (is_name && !name.is_empty()).then(|| Self {
            text: name.to_owned(),
            is_prefix,
        })
    }

    fn matches(&self, model: &str) -> bool {
        if self.is_prefix {
            model.starts_with(&self.text)
        } else {
            model == self.text
        }
    }

    fn rank(&self) -> (bool, usize) {
        (!self.is_prefix, self.text.len())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

impl Rates {
    /// The price of a kind. Thinking that has none of its own costs what output does, input of
    /// tools what input does: so providers bill them.
    #[must_use]
    pub fn of(&self, kind: TokenKind) -> Option<Price> {
        let stand_in = match kind {
            TokenKind::Thinking => TokenKind::Output,
            TokenKind::ToolInput => TokenKind::Input,
            own => own,
        };
        self.0[kind].or(self.0[stand_in])
    }

    /// Whether nothing has a price.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn set(&mut self, kind: TokenKind, price: Price) {
        self.0[kind] = Some(price);
    }

    /// Its own prices, and those of `other` for kinds that have none.
    pub(super) fn or(mut self, other: &Self) -> Self {
        self.0.merge(&other.0, |own, other| *own = own.or(other));
        self
    }

    /// The key of a kind's price in a table: that of cache writes is for those of five minutes, as
    /// it is where a provider has one price for all of them.
    #[must_use]
    pub fn key(kind: TokenKind) -> &'static str {
        match kind {
            TokenKind::CacheWrite5m => kind.public_name(),
            kind => kind.as_str(),
        }
    }
}
