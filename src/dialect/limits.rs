//! What a response says is left of an account's limits, whichever dialect its call is in: a provider
//! writes the same header fields into answers of every form.

use std::time::SystemTime;

use super::DIALECTS;
use super::answer::Said;
use super::verdict::is_success;
use crate::observe::exchange::ResponseHead;
use crate::record::{Call, Model, Provider, Quota, QuotaWindow, RateLimitReason};

/// The header fields about limits that one dialect knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLimits {
    /// Those of API keys.
    pub(super) keys: &'static [KeyLimit],
    /// The names of those of plans, in lower case.
    pub(super) plan_fields: &'static [&'static str],
    /// Endings of the names of those that are called by what they limit, in lower case.
    pub(super) plan_endings: &'static [&'static str],
    /// The limits of plans that a head tells of.
    pub(super) plans: fn(&ResponseHead) -> Vec<Limit>,
}

impl HeadLimits {
    /// Of a dialect whose providers tell of limits elsewhere, or not at all.
    pub(super) const NONE: Self = Self {
        keys: &[],
        plan_fields: &[],
        plan_endings: &[],
        plans: |_| Vec::new(),
    };

    /// The names of all of them, in lower case.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static str> + use<> {
        let of_keys = self
            .keys
            .iter()
            .flat_map(|key| [key.limit, key.remaining, key.reset]);
        of_keys.chain(self.plan_fields.iter().copied())
    }

    /// The limits that a head tells of, which was seen at `now`.
    fn read(&self, head: &ResponseHead, now: SystemTime) -> Vec<Limit> {
        let of_keys = self.keys.iter().filter_map(|key| key.read(head, now));
        of_keys.chain((self.plans)(head)).collect()
    }
}

/// The header fields of one limit of an API key, which holds for the model that is asked.
#[derive(Debug)]
pub(super) struct KeyLimit {
    /// What it is counted over.
    pub(super) window: QuotaWindow,
    /// A number of requests or tokens.
    pub(super) limit: &'static str,
    /// As many of them are left.
    pub(super) remaining: &'static str,
    /// When it is full again, in a form of the provider's own.
    pub(super) reset: &'static str,
    /// Reads that form, of a head that was seen at this time.
    pub(super) read_reset: fn(&str, SystemTime) -> Option<SystemTime>,
}

impl KeyLimit {
    /// The limit, where a head has both numbers.
    fn read(&self, head: &ResponseHead, now: SystemTime) -> Option<Limit> {
        let field = |name| head.fields.get(name);
        Some(Limit {
            scope: Scope::Model,
            window: self.window,
            remaining: ratio(field(self.remaining), field(self.limit))?,
            resets_at: field(self.reset).and_then(|text| (self.read_reset)(text, now)),
        })
    }
}

/// What is left of one limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limit {
    /// What it limits.
    pub(super) scope: Scope,
    /// What it is counted over.
    pub(super) window: QuotaWindow,
    /// What is left of it, from 0 to 1.
    pub(super) remaining: f64,
    /// When it is full again.
    pub(super) resets_at: Option<SystemTime>,
}

/// What a limit limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// All models of an account together, as plans do.
    Account,
    /// What the provider calls so: mostly one model.
    Named(Model),
    /// The model that was asked, as limits of API keys do.
    Model,
}

impl Limit {
    /// The reading of a quota that it is. `model` is the one that was asked, where the provider
    /// knows it; a limit of a model that it does not know says nothing.
    pub(super) fn quota(self, provider: Provider, model: Option<&Model>) -> Option<Quota> {
        let model = match self.scope {
            Scope::Account => Model::all(),
            Scope::Named(name) => name,
            Scope::Model => model?.clone(),
        };
        Some(Quota {
            provider,
            model,
            window: self.window,
            remaining: self.remaining,
            resets_at: self.resets_at,
        })
    }
}

/// The limits that a head tells of, which was seen at `now`.
pub(super) fn of_head(head: &ResponseHead, now: SystemTime) -> Vec<Limit> {
    DIALECTS
        .iter()
        .flat_map(|dialect| dialect.limits.read(head, now))
        .collect()
}

/// Whether a response with this status shows that the provider knows the model that it was asked
/// for: what is refused for another reason than a limit may name any model. Without a status it is
/// an answer over a socket.
pub(super) fn proves_model(status: Option<u16>) -> bool {
    status.is_none_or(|status| is_success(status) || status == TOO_MANY_REQUESTS)
}

/// The quota that a refusal says is used up, when it also says until when.
pub(super) fn used_up(call: &Call, said: &Said) -> Option<Quota> {
    let limit = call
        .rate_limit
        .filter(|limit| limit.reason == RateLimitReason::QuotaExhausted)?;
    let window = said.error?.window?;
    let (provider, model) = (call.provider, call.model.clone());
    let named = model != Model::unknown() && limit.resets_at.is_some();
    named.then_some(Quota {
        provider,
        model,
        window,
        remaining: 0.0,
        resets_at: limit.resets_at,
    })
}

const TOO_MANY_REQUESTS: u16 = 429;

/// The part that is left of a limit which counts something: `None` where a number is missing, or
/// the limit is nothing.
pub(super) fn ratio(remaining: Option<&str>, limit: Option<&str>) -> Option<f64> {
    let limit = number(limit?).filter(|limit| *limit > 0.0)?;
    Some((number(remaining?)? / limit).clamp(0.0, 1.0))
}

/// The part that is left when so much of one is used.
pub(super) fn left(used: f64) -> f64 {
    (1.0 - used).clamp(0.0, 1.0)
}

/// A finite decimal number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The limits of a response with these header fields that came at the Unix epoch, a line for each.
#[cfg(test)]
pub(super) fn shown(of: HeadLimits, fields: &[(&'static str, &str)]) -> Vec<String> {
    use crate::observe::exchange::Fields;
    use crate::record::Label as _;

    let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    let (listed, others): (Vec<_>, Vec<_>) = fields
        .iter()
        .map(owned)
        .partition(|(name, _)| of.fields().any(|field| field == *name));
    let by_ending = others.into_iter().map(|(name, value)| {
        let is_listed = of.plan_endings.iter().any(|ending| name.ends_with(ending));
        assert!(is_listed, "{name} is listed");
        (name.to_owned(), value)
    });
    let head = ResponseHead {
        status: 200,
        fields: Fields {
            listed,
            by_ending: by_ending.collect(),
            ..Fields::default()
        },
    };
    let limits = of.read(&head, SystemTime::UNIX_EPOCH);
    let lines = limits.into_iter().map(|limit| {
        let resets_at = limit.resets_at.map_or_else(String::new, |at| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            format!(" {}", since.as_secs_f64())
        });
        let (window, remaining) = (limit.window.as_str(), limit.remaining);
        format!("{:?} {window} {remaining}{resets_at}", limit.scope)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_limit_says_nothing() {
        assert_eq!(ratio(Some("25"), Some("100")), Some(0.25));
        assert_eq!(ratio(Some("-3"), Some("100")), Some(0.0));
        assert_eq!(ratio(Some("300"), Some("100")), Some(1.0));
        for (remaining, limit) in [
            (None, Some("100")),
            (Some("1"), None),
            (Some("1"), Some("0")),
            (Some("1"), Some("-1")),
            (Some("NaN"), Some("100")),
            (Some("1"), Some("inf")),
            (Some("many"), Some("100")),
        ] {
            assert_eq!(ratio(remaining, limit), None, "{remaining:?} of {limit:?}");
        }
    }
}
