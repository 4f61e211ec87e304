//! What multiplies the prices of a line: how urgently, how fast and where a call was served.

use std::fmt;

use super::amount::{Amount, Price};
use crate::record::{Reported, ServiceTier, Speed, label};

label! {
    /// A condition under which other prices hold, by the name of its factor in a table.
    pub enum Condition {
        /// Served within a day.
        Batch => "batch",
        /// Run faster than usual.
        Fast => "fast",
        /// Served when there was capacity to spare.
        Flex => "flex",
        /// Served before others.
        Priority => "priority",
        /// Served on the fastest tier.
        Ultrafast => "ultrafast",
        /// Run in the United States alone.
        Us => "us",
    }
}

/// What a price is multiplied by: a decimal of at most six digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor(Price);

/// The factors of a line; what has none costs what the line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Factors(pub Vec<(Condition, Factor)>);

impl Factor {
    /// A factor that is written like a price.
    pub(super) fn new(decimal: Price) -> Self {
        Self(decimal)
    }

    fn times(self, amount: Amount) -> Amount {
        amount.times(self.0)
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Factors {
    /// The factor under a condition.
    #[must_use]
    pub fn of(&self, condition: Condition) -> Option<Factor> {
        let mut factors = self.0.iter();
        factors
            .find(|(known, _)| *known == condition)
            .map(|(_, factor)| *factor)
    }

    /// The amount under the conditions that a provider reports. `None` where one of them is not
    /// known, or changes the price by an unknown factor: only the place where a model runs may
    /// change nothing.
    pub(super) fn apply(&self, amount: Amount, reported: &Reported) -> Option<Amount> {
        let tier = match reported.service_tier {
            None | Some(ServiceTier::Auto | ServiceTier::Default | ServiceTier::Standard) => None,
            Some(ServiceTier::Batch) => Some(Condition::Batch),
            Some(ServiceTier::Flex) => Some(Condition::Flex),
            Some(ServiceTier::Priority) => Some(Condition::Priority),
            Some(ServiceTier::Ultrafast) => Some(Condition::Ultrafast),
            // Capacity that was bought in advance, and tiers whose prices no table has.
            Some(ServiceTier::Deferred | ServiceTier::Other | ServiceTier::Scale) => return None,
        };
        let speed = match reported.speed {
            None | Some(Speed::Standard) => None,
            Some(Speed::Fast) => Some(Condition::Fast),
            Some(Speed::Other) => return None,
        };
        let mut amount = amount;
        for condition in tier.into_iter().chain(speed) {
            amount = self.of(condition)?.times(amount);
        }
        let is_in_us = reported.inference_geo.as_ref().map(|geo| geo.as_str()) == Some("us");
        let of_place = self.of(Condition::Us).filter(|_| is_in_us);
        Some(of_place.map_or(amount, |factor| factor.times(amount)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricing::{Line, Table, read};
    use crate::record::{Cost, Id, ServerTools, TokenKind, TokenUsage};

    /// A line of a model whose token costs a thousand nano-USD.
    fn line(terms: &str) -> Line {
        let text = format!(
            "[[price]]\nmodels = [\"m\"]\ninput = 1\n{terms}\nsource = \"https://example.com\"\nas_of = 2026-11-24\n"
        );
        let Table(lines) = read(&text).unwrap();
        lines.into_iter().next().unwrap()
    }

    /// What ten tokens cost, in nano-USD.
    fn cost(terms: &str, reported: &Reported) -> Option<u64> {
        let usage = TokenUsage::default().with(TokenKind::Input, 10);
        line(terms).cost(&usage, reported).map(Cost::nano_usd)
    }

    fn tier(service_tier: ServiceTier) -> Reported {
        Reported {
            service_tier: Some(service_tier),
            ..Reported::default()
        }
    }

    #[test]
    fn a_tier_costs_its_part_of_the_price() {
        let factors = "factors = { batch = 0.5, flex = 0.25, priority = 1.75, ultrafast = 6 }";
        for (served, expected) in [
            (ServiceTier::Auto, Some(10_000)),
            (ServiceTier::Default, Some(10_000)),
            (ServiceTier::Standard, Some(10_000)),
            (ServiceTier::Batch, Some(5_000)),
            (ServiceTier::Flex, Some(2_500)),
            (ServiceTier::Priority, Some(17_500)),
            (ServiceTier::Ultrafast, Some(60_000)),
            (ServiceTier::Deferred, None),
            (ServiceTier::Other, None),
            (ServiceTier::Scale, None),
        ] {
            assert_eq!(cost(factors, &tier(served)), expected, "{served}");
        }
        assert_eq!(
            cost("", &tier(ServiceTier::Priority)),
            None,
            "no factor is guessed"
        );
        assert_eq!(cost("", &Reported::default()), Some(10_000));
    }

    #[test]
    fn speed_and_place_multiply_each_other() {
        let factors = "factors = { fast = 6, us = 1.1 }";
        let of = |speed, geo: Option<&str>| {
            let reported = Reported {
                speed,
                inference_geo: geo.and_then(Id::from_wire),
                ..Reported::default()
            };
            cost(factors, &reported)
        };
        assert_eq!(of(Some(Speed::Fast), None), Some(60_000));
        assert_eq!(of(Some(Speed::Standard), Some("us")), Some(11_000));
        assert_eq!(of(Some(Speed::Fast), Some("us")), Some(66_000));
        assert_eq!(of(None, Some("eu")), Some(10_000), "it costs nothing more");
        assert_eq!(of(Some(Speed::Other), None), None);
    }

    #[test]
    fn searches_are_paid_for_one_by_one_and_have_no_factor() {
        let searches = |web_searches| Reported {
            server_tools: ServerTools {
                web_searches: Some(web_searches),
                web_fetches: Some(9),
            },
            ..tier(ServiceTier::Batch)
        };
        let terms = "factors = { batch = 0.5 }\nweb_search = 10";
        assert_eq!(cost(terms, &searches(0)), Some(5_000));
        assert_eq!(cost(terms, &searches(3)), Some(30_005_000));
        let without = "factors = { batch = 0.5 }";
        assert_eq!(cost(without, &searches(0)), Some(5_000));
        assert_eq!(
            cost(without, &searches(1)),
            None,
            "a part is never shown as the whole"
        );
    }

    #[test]
    fn searches_may_be_paid_for_by_the_call_that_makes_them() {
        let searches = |web_searches| Reported {
            server_tools: ServerTools {
                web_searches,
                web_fetches: None,
            },
            ..Reported::default()
        };
        let terms = "web_search_per_call = 35";
        for (made, expected) in [
            (None, 10_000),
            (Some(0), 10_000),
            (Some(1), 35_010_000),
            (Some(4), 35_010_000),
        ] {
            assert_eq!(cost(terms, &searches(made)), Some(expected), "{made:?}");
        }
        let both = "[[price]]\nmodels = [\"m\"]\ninput = 1\nweb_search = 10\nweb_search_per_call = 35\n\
            source = \"https://example.com\"\nas_of = 2026-11-24\n";
        let [flaw] = read(both).unwrap_err().try_into().unwrap();
        assert!(
            flaw.message.starts_with("searches have a price already"),
            "{flaw:?}"
        );
    }

    #[test]
    fn what_is_no_factor_is_refused_with_its_key() {
        let flaws = |terms: &str| {
            let text = format!(
                "[[price]]\nmodels = [\"m\"]\ninput = 1\n{terms}\nsource = \"https://example.com\"\nas_of = 2026-11-24\n"
            );
            let flaws = read(&text).unwrap_err();
            let flaw = flaws.into_iter().next().unwrap();
            (flaw.line, flaw.key.unwrap(), flaw.message)
        };
        for (terms, key, message) in [
            ("factors = 2", "factors", "these are not factors"),
            (
                "factors = { slow = 2 }",
                "factors.slow",
                "there is no such condition",
            ),
            (
                "factors = { fast = -1 }",
                "factors.fast",
                "this is not a factor",
            ),
            (
                "factors = { fast = \"2\" }",
                "factors.fast",
                "this is not a factor",
            ),
            ("web_search = true", "web_search", "this is not a price"),
        ] {
            let (line, of, said) = flaws(terms);
            assert_eq!((line, of.as_str()), (4, key), "{terms}");
            assert!(said.starts_with(message), "{said}");
        }
    }
}
