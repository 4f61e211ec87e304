//! One line of a price table: for which models it is, from when on, and what their tokens cost.

use std::fmt;

use jiff::civil::Date;

use super::amount::{Amount, Price};
use super::factor::Factors;
use super::search::SearchPrice;
use crate::record::{Cost, Label as _, PerKind, Provider, Reported, TokenKind, TokenUsage};

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
    /// What these prices are multiplied by.
    pub factors: Factors,
    /// What searches of the web by the provider's own tool cost.
    pub web_search: Option<SearchPrice>,
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
        if !is_for_it {
            return None;
        }
        let fitting = self.models.iter().filter(|pattern| pattern.matches(model));
        Some(Fit {
            pattern: fitting.map(Pattern::rank).max()?,
            of_provider: self.provider.is_some(),
            from: self.from,
        })
    }

    /// The same, with tiers that name every price: what a tier does not name stays as it is.
    pub(super) fn completed(mut self) -> Self {
        self.tiers.sort_by_key(|tier| tier.above_input_tokens);
        let rates = self.rates;
        self.tiers
            .iter_mut()
            .for_each(|tier| tier.rates = tier.rates.or(&rates));
        self
    }

    /// A pattern that both price from the same day on.
    pub(super) fn shared(&self, other: &Self) -> Option<&Pattern> {
        let is_same = (self.provider, self.from) == (other.provider, other.from);
        self.models
            .iter()
            .find(|pattern| is_same && other.models.contains(pattern))
    }

    /// Whether both are for one of the same models of the same provider, from the same day on.
    #[must_use]
    pub fn is_for_same(&self, other: &Self) -> bool {
        self.shared(other).is_some()
    }

    /// Whether all that `other` has a price for costs the same here.
    pub(super) fn has_prices_of(&self, other: &Self) -> bool {
        let is_same = |ours: &Rates, theirs: &Rates| {
            TokenKind::ALL
                .iter()
                .all(|kind| theirs.0[*kind].is_none_or(|price| ours.of(*kind) == Some(price)))
        };
        let tiers = self.tiers.len() == other.tiers.len()
            && self.tiers.iter().zip(&other.tiers).all(|(ours, theirs)| {
                ours.above_input_tokens == theirs.above_input_tokens
                    && is_same(&ours.rates, &theirs.rates)
            });
        let mut factors = other.factors.0.iter();
        tiers
            && is_same(&self.rates, &other.rates)
            && factors.all(|(condition, factor)| self.factors.of(*condition) == Some(*factor))
            && other
                .web_search
                .is_none_or(|_| self.web_search == other.web_search)
    }

    /// What tokens and searches cost together, on the terms that the provider reports. `None` when a
    /// part of it has no price.
    pub(super) fn cost(&self, usage: &TokenUsage, reported: &Reported) -> Option<Cost> {
        let rates = self.rates_for(usage);
        let tokens = usage.counts();
        let parts = tokens.iter().filter(|(_, count)| **count > 0);
        let priced = parts.map(|(kind, count)| Some(rates.of(kind)?.of(*count)));
        let sum = priced.reduce(|sum, part| Some(sum?.plus(part?)));
        let tokens = self
            .factors
            .apply(sum.unwrap_or(Some(Amount::default()))?, reported)?;
        let searches = reported.server_tools.web_searches.unwrap_or(0);
        let searches = match searches {
            0 => Amount::default(),
            _ => self.web_search?.of(searches),
        };
        Some(tokens.plus(searches).rounded())
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

    /// The name, or its beginning.
    pub(super) fn name(&self) -> &str {
        &self.text
    }

    /// Whether a name is this one, or has this beginning.
    #[must_use]
    pub fn matches(&self, model: &str) -> bool {
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

    /// The price that a kind has itself.
    #[must_use]
    pub fn own(&self, kind: TokenKind) -> Option<Price> {
        self.0[kind]
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
