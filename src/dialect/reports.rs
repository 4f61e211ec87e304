//! Figures of an answer beside its tokens: what it costs, on what terms it was served, and how long
//! the provider worked on it.

use std::time::Duration;

use super::times::{MILLISECOND, NANOSECOND, SECOND, measured};
use super::tokens::count;
use crate::observe::exchange::ResponseHead;
use crate::observe::json::Value;
use crate::record::{Cost, ProviderTime, Reported, ServiceTier, Speed};

/// One figure, in the form in which a provider writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// US dollars that a router charges (OpenRouter).
    Cost,
    /// What the router's own supplier charges beside that, in US dollars, where the account has a
    /// key of its own for the supplier.
    UpstreamCost,
    /// Whether it has.
    HasOwnKey,
    /// 10⁻¹⁰ US dollars (xAI).
    CostTicks,
    /// 10⁻⁹ AI credits (GitHub Copilot).
    NanoCredits,
    ServiceTier,
    Speed,
    InferenceGeo,
    WebSearches,
    WebFetches,
    /// From the request to the first byte of the answer, in milliseconds.
    FirstByteMilliseconds,
    /// Before the model began, in seconds, which is not part of the total (Groq).
    QueueSeconds,
    TotalMilliseconds,
    TotalNanoseconds,
    TotalSeconds,
}

/// The figures of an answer, as far as they have been read. A later one replaces an earlier one.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports {
    said: Reported,
    upstream_cost: Option<Cost>,
    has_own_key: bool,
    queued: Option<Duration>,
}

impl Reports {
    /// Takes a figure; what is none says nothing.
    pub(super) fn take(&mut self, which: Report, value: &Value<'_>) {
        let said = &mut self.said;
        match which {
            Report::Cost => replace(&mut said.cost, usd(value)),
            Report::UpstreamCost => replace(&mut self.upstream_cost, usd(value)),
            Report::HasOwnKey => self.has_own_key = *value == Value::Bool(true),
            Report::CostTicks => replace(&mut said.cost, ticks(value)),
            Report::NanoCredits => replace(&mut said.nano_credits, whole(value)),
            Report::ServiceTier => {
                replace(
                    &mut said.service_tier,
                    text(value).map(ServiceTier::from_wire),
                );
            }
            Report::Speed => replace(&mut said.speed, text(value).map(Speed::from_wire)),
            Report::InferenceGeo => {
                replace(&mut said.inference_geo, super::request::id(*value));
            }
            Report::WebSearches => replace(&mut said.server_tools.web_searches, count(value)),
            Report::WebFetches => replace(&mut said.server_tools.web_fetches, count(value)),
            Report::FirstByteMilliseconds => {
                replace(&mut said.time.first_byte, measured(value, MILLISECOND));
            }
            Report::QueueSeconds => replace(&mut self.queued, measured(value, SECOND)),
            Report::TotalMilliseconds => {
                replace(&mut said.time.total, measured(value, MILLISECOND));
            }
            Report::TotalNanoseconds => {
                replace(&mut said.time.total, measured(value, NANOSECOND));
            }
            Report::TotalSeconds => replace(&mut said.time.total, measured(value, SECOND)),
        }
    }

    /// The call is paid for beyond what the plan includes.
    pub(super) fn take_overage(&mut self) {
        self.said.is_overage = true;
    }

    /// Takes everything that a later document says.
    pub(super) fn merge(&mut self, later: Self) {
        let (said, new) = (&mut self.said, later.said);
        replace(&mut said.cost, new.cost);
        replace(&mut said.nano_credits, new.nano_credits);
        replace(&mut said.service_tier, new.service_tier);
        replace(&mut said.speed, new.speed);
        replace(&mut said.inference_geo, new.inference_geo);
        replace(
            &mut said.server_tools.web_searches,
            new.server_tools.web_searches,
        );
        replace(
            &mut said.server_tools.web_fetches,
            new.server_tools.web_fetches,
        );
        said.is_overage |= new.is_overage;
        replace(&mut said.time.first_byte, new.time.first_byte);
        replace(&mut said.time.total, new.time.total);
        replace(&mut self.upstream_cost, later.upstream_cost);
        replace(&mut self.queued, later.queued);
        self.has_own_key |= later.has_own_key;
    }

    /// What they say together.
    pub(super) fn read(&self) -> Reported {
        let Self {
            said,
            upstream_cost,
            has_own_key,
            queued,
        } = self;
        let upstream = upstream_cost.filter(|_| *has_own_key).unwrap_or_default();
        let cost = said.cost.map(|cost| cost.saturating_add(upstream));
        let total = said
            .time
            .total
            .map(|total| total + queued.unwrap_or_default());
        Reported {
            cost: cost.filter(|cost| *cost <= Cost::MAX_OF_A_CALL),
            time: ProviderTime { total, ..said.time },
            ..said.clone()
        }
    }
}

fn replace<T>(known: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *known = new;
    }
}

fn text<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::String { text, cut: false } if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A whole number.
fn whole(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// A price in US dollars, which is a short decimal: as a float of 64 bits it is exact to far less
/// than a nano-USD.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and the most that a call costs"
)]
fn usd(value: &Value<'_>) -> Option<Cost> {
    let (Value::Number(text) | Value::String { text, cut: false }) = value else {
        return None;
    };
    let dollars: f64 = text.parse().ok()?;
    let is_cost = (0.0..=Cost::MAX_OF_A_CALL.usd()).contains(&dollars);
    is_cost.then(|| Cost::from_nano_usd((dollars * NANO_USD).round() as u64))
}

/// Ticks, rounded to whole nano-USD.
fn ticks(value: &Value<'_>) -> Option<Cost> {
    Some(Cost::from_nano_usd(
        whole(value)?.saturating_add(TICKS_OF_A_NANO_USD / 2) / TICKS_OF_A_NANO_USD,
    ))
}

/// How long the provider has worked by the time at which it sends this head.
pub(super) fn time_of_head(head: &ResponseHead) -> Option<Duration> {
    let field = |name| head.fields.get(name);
    let milliseconds = |text| measured(&Value::Number(text), MILLISECOND);
    let own = field(PROCESSING_MS).or(field(INVOCATION_LATENCY));
    own.and_then(milliseconds)
        .or_else(|| field(SERVER_TIMING).and_then(server_timing))
}

/// The longest of the durations of a `Server-Timing`, of which one may be a part of another.
fn server_timing(text: &str) -> Option<Duration> {
    let parameters = text.split([',', ';']).filter_map(|it| it.split_once('='));
    let durations = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("dur"));
    durations
        .filter_map(|(_, value)| {
            let number = value.trim().trim_matches('"');
            measured(&Value::Number(number), MILLISECOND)
        })
        .max()
}

/// OpenAI's time, in milliseconds.
pub(super) const PROCESSING_MS: &str = "openai-processing-ms";
/// Bedrock's time, in milliseconds.
pub(super) const INVOCATION_LATENCY: &str = "x-amzn-bedrock-invocation-latency";
/// Any server's times: <https://www.w3.org/TR/server-timing/>.
pub(super) const SERVER_TIMING: &str = "server-timing";

/// One US dollar.
const NANO_USD: f64 = 1e9;
/// xAI's unit is 10⁻¹⁰ US dollars.
const TICKS_OF_A_NANO_USD: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exchange::Fields;

    /// What these figures mean together.
    fn read(figures: &[(Report, Value<'_>)]) -> Reported {
        let mut reports = Reports::default();
        for (which, value) in figures {
            let mut later = Reports::default();
            later.take(*which, value);
            reports.merge(later);
        }
        reports.read()
    }

    fn nano_usd(figures: &[(Report, Value<'_>)]) -> Option<u64> {
        read(figures).cost.map(Cost::nano_usd)
    }

    #[test]
    fn costs_are_read_in_their_unit() {
        let cost = |which, text| nano_usd(&[(which, Value::Number(text))]);
        assert_eq!(cost(Report::Cost, "0.00234"), Some(2_340_000));
        assert_eq!(cost(Report::Cost, "1.5e-05"), Some(15_000));
        assert_eq!(cost(Report::Cost, "0"), Some(0), "free is a price");
        assert_eq!(cost(Report::CostTicks, "123400000"), Some(12_340_000));
        assert_eq!(cost(Report::CostTicks, "15"), Some(2), "halves go up");
        for none in ["-0.1", "501", "NaN", "1e999", ""] {
            assert_eq!(cost(Report::Cost, none), None, "{none}");
        }
        assert_eq!(
            cost(Report::CostTicks, "18446744073709551615"),
            None,
            "no call costs as much"
        );
        assert_eq!(nano_usd(&[(Report::Cost, Value::Null)]), None);
    }

    #[test]
    fn what_a_supplier_charges_is_added_only_for_a_key_of_ones_own() {
        let of = |has_own_key| {
            nano_usd(&[
                (Report::Cost, Value::Number("0.001")),
                (Report::UpstreamCost, Value::Number("0.02")),
                (Report::HasOwnKey, Value::Bool(has_own_key)),
            ])
        };
        assert_eq!(of(false), Some(1_000_000));
        assert_eq!(of(true), Some(21_000_000));
    }

    #[test]
    fn terms_that_are_not_known_are_other_ones() {
        let of = |text| {
            let value = Value::String { text, cut: false };
            let Reported {
                service_tier,
                speed,
                ..
            } = read(&[(Report::ServiceTier, value), (Report::Speed, value)]);
            (service_tier, speed)
        };
        assert_eq!(
            of("fast"),
            (Some(ServiceTier::Other), Some(Speed::Fast)),
            "each has its own names"
        );
        assert_eq!(of("flex"), (Some(ServiceTier::Flex), Some(Speed::Other)));
        assert_eq!(of(""), (None, None));
        assert_eq!(
            read(&[(Report::ServiceTier, Value::Null)]),
            Reported::default()
        );
    }

    #[test]
    fn time_in_the_queue_is_time_of_the_provider() {
        let time = read(&[
            (Report::TotalSeconds, Value::Number("0.05")),
            (Report::QueueSeconds, Value::Number("0.01")),
        ]);
        assert_eq!(time.time.total, Some(Duration::from_millis(60)));
        let alone = read(&[(Report::QueueSeconds, Value::Number("0.01"))]);
        assert_eq!(alone.time.total, None);
    }

    #[test]
    fn heads_tell_of_the_time_before_them() {
        let of = |name, value: &str| {
            let fields = Fields {
                listed: vec![(name, value.to_owned())],
                ..Fields::default()
            };
            time_of_head(&ResponseHead {
                status: 200,
                fields,
            })
        };
        let expected = Some(Duration::from_millis(420));
        assert_eq!(of(PROCESSING_MS, "420"), expected);
        assert_eq!(of(INVOCATION_LATENCY, "420"), expected);
        assert_eq!(of(SERVER_TIMING, "gfet4t7; dur=420"), expected);
        assert_eq!(
            of(
                SERVER_TIMING,
                "db;dur=53, miss, total;desc=\"all\";Dur=\"420\""
            ),
            expected
        );
        for none in ["", "miss", "db;dur=", "db;desc=420", "dur"] {
            assert_eq!(of(SERVER_TIMING, none), None, "{none}");
        }
    }

    #[test]
    fn the_providers_own_field_goes_before_server_timing() {
        let of = |fields: &[(&'static str, &str)]| {
            let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
            let fields = Fields {
                listed: fields.iter().map(owned).collect(),
                ..Fields::default()
            };
            let time = time_of_head(&ResponseHead {
                status: 200,
                fields,
            });
            time.map(|time| time.as_millis())
        };
        let any = (SERVER_TIMING, "cdn;dur=9000");
        for own in [PROCESSING_MS, INVOCATION_LATENCY] {
            assert_eq!(of(&[any, (own, "420")]), Some(420), "{own}");
            assert_eq!(of(&[any, (own, "soon")]), Some(9000), "{own}");
        }
        let both = [(INVOCATION_LATENCY, "500"), (PROCESSING_MS, "420")];
        assert_eq!(of(&both), Some(420));
        assert_eq!(of(&[]), None);
    }
}
