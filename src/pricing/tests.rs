//! What a table says, which line of it holds, what a call costs by it, and that the shipped table
//! is whole.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use jiff::civil::{Date, Time, date};
use jiff::tz::Offset;
use proptest::prelude::*;

use super::line::Rates;
use super::{Flaw, Implausible, Priced, Prices, Table, read};
use crate::demo::{CHECKPOINT_MODEL, MODELS};
use crate::export::tests::kit::{call, started};
use crate::record::{
    Call, Cost, CostSource, Fact, Label as _, Model, PerKind, Provider, Record, Timing, TokenKind,
    TokenUsage,
};

/// A table with these blocks, each dated and sourced.
fn table(blocks: &[&str]) -> Table {
    let block = |block: &&str| {
        format!("[[price]]\n{block}\nsource = \"https://example.com\"\nas_of = 2026-11-24\n")
    };
    read(&blocks.iter().map(block).collect::<String>()).unwrap()
}

fn prices(blocks: &[&str]) -> Prices {
    Prices::new(table(blocks), false)
}

fn usage(input: u64, output: u64) -> TokenUsage {
    TokenUsage::default()
        .with(TokenKind::Input, input)
        .with(TokenKind::Output, output)
}

fn of(model: &str, usage: TokenUsage) -> Call {
    Call {
        usage,
        ..call(model)
    }
}

fn on(day: Date, call: Call) -> Call {
    let midnight = Offset::UTC
        .to_timestamp(day.to_datetime(Time::midnight()))
        .unwrap();
    let started_at = UNIX_EPOCH + Duration::from_secs(midnight.as_second().try_into().unwrap());
    Call {
        timing: Timing {
            started_at,
            ..call.timing
        },
        ..call
    }
}

fn nano_usd(prices: &Prices, call: &Call) -> Option<u64> {
    prices.cost(call).unwrap().map(Cost::nano_usd)
}

#[test]
fn every_kind_has_its_price() {
    let prices = prices(&[r#"models = ["m"]
        input = 1
        cache_read = 0.01
        cache_write = 1.25
        cache_write_1h = 2
        output = 8
        thinking = 9.5
        tool_input = 0.5"#]);
    let one = |kind: TokenKind| {
        let mut usage = TokenUsage::default();
        usage[kind] = Some(3);
        nano_usd(&prices, &of("m", usage)).unwrap()
    };
    let costs = TokenKind::ALL
        .iter()
        .map(|kind| (Rates::key(*kind), one(*kind)));
    let expected = [
        ("input", 3000),
        ("cache_read", 30),
        ("cache_write", 3750),
        ("cache_write_1h", 6000),
        ("tool_input", 1500),
        ("output", 24_000),
        ("thinking", 28_500),
    ];
    assert_eq!(costs.collect::<Vec<_>>(), expected);
}

#[test]
fn thinking_costs_what_output_does_and_input_of_tools_what_input_does() {
    let prices = prices(&["models = [\"m\"]\ninput = 2\noutput = 12"]);
    let usage = usage(1, 1)
        .with(TokenKind::Thinking, 10)
        .with(TokenKind::ToolInput, 100);
    assert_eq!(
        nano_usd(&prices, &of("m", usage)),
        Some(2_000 + 12_000 + 120_000 + 200_000)
    );
}

#[test]
fn a_kind_without_a_price_leaves_the_whole_call_without_one() {
    let prices = prices(&["models = [\"m\"]\ninput = 2\noutput = 12"]);
    let cached = |count| usage(5, 5).with(TokenKind::CacheRead, count);
    assert_eq!(nano_usd(&prices, &of("m", cached(Some(1)))), None);
    assert_eq!(
        nano_usd(&prices, &of("m", cached(Some(0)))),
        Some(70_000),
        "none of them needs a price"
    );
    assert_eq!(nano_usd(&prices, &of("other", usage(1, 1))), None);
    assert_eq!(
        nano_usd(&prices, &of("m", TokenUsage::default())),
        None,
        "there is nothing to pay for"
    );
    assert_eq!(nano_usd(&prices, &of("m", usage(0, 0))), None);
}

#[test]
fn much_input_of_any_kind_leads_to_the_tier_for_every_token() {
    let prices = prices(&[r#"models = ["m"]
        input = 2
        cache_read = 0.2
        output = 12
        tiers = [{ above_input_tokens = 1_000, input = 8 }, { above_input_tokens = 200, input = 4, output = 18 }]"#]);
    let cost = |input, cache_read| {
        nano_usd(
            &prices,
            &of("m", usage(input, 10).with(TokenKind::CacheRead, cache_read)),
        )
        .unwrap()
    };
    assert_eq!(
        cost(150, 50),
        150 * 2000 + 50 * 200 + 10 * 12_000,
        "not above"
    );
    assert_eq!(
        cost(150, 51),
        150 * 4000 + 51 * 200 + 10 * 18_000,
        "what a tier does not name stays"
    );
    assert_eq!(
        cost(1001, 0),
        1001 * 8000 + 10 * 12_000,
        "each tier is complete in itself"
    );
}

#[test]
fn a_price_holds_from_its_day_until_the_next_one() {
    let prices = prices(&[
        "models = [\"m\"]\nfrom = 2027-01-01\ninput = 3",
        "models = [\"m\"]\nfrom = 2026-02-01\ninput = 1",
        "models = [\"m*\"]\ninput = 9",
    ]);
    let cost = |day| nano_usd(&prices, &on(day, of("m", usage(1, 0))));
    assert_eq!(
        cost(date(2026, 1, 31)),
        Some(9000),
        "the beginning of the name is better than nothing"
    );
    assert_eq!(cost(date(2026, 2, 1)), Some(1000));
    assert_eq!(cost(date(2026, 12, 31)), Some(1000));
    assert_eq!(cost(date(2027, 1, 1)), Some(3000));
}

#[test]
fn the_closest_line_wins() {
    let prices = prices(&[
        "models = [\"gem*\"]\ninput = 1",
        "models = [\"gemini-3*\"]\nprovider = \"gcp.gemini\"\ninput = 2",
        "models = [\"gemini-3*\"]\ninput = 3",
        "models = [\"other\", \"gemini-3-pro\"]\ninput = 4",
    ]);
    let cost = |model: &str, provider| {
        nano_usd(
            &prices,
            &Call {
                provider,
                ..of(model, usage(1, 0))
            },
        )
    };
    assert_eq!(cost("gemini-2", Provider::Gemini), Some(1000));
    assert_eq!(cost("gemini-3-flash", Provider::Gemini), Some(2000));
    assert_eq!(cost("gemini-3-flash", Provider::CloudCode), Some(3000));
    assert_eq!(
        cost("gemini-3-pro", Provider::Gemini),
        Some(4000),
        "the exact name before the provider"
    );
    assert_eq!(cost("ge", Provider::Gemini), None);
}

#[test]
fn the_users_table_is_asked_before_the_shipped_one() {
    let own = "models = [\"gemini-*\"]\ninput = 1\noutput = 1";
    let cost = |with_shipped, model| {
        nano_usd(
            &Prices::new(table(&[own]), with_shipped),
            &of(model, usage(1, 0)),
        )
    };
    assert_eq!(
        cost(true, "gemini-3.1-pro-low"),
        Some(1000),
        "though the shipped one has the exact name"
    );
    assert_eq!(cost(true, "claude-opus-4-6-thinking"), Some(5000));
    assert_eq!(cost(false, "claude-opus-4-6-thinking"), None);
}

#[test]
fn the_model_that_answered_decides_only_where_the_requested_one_is_not_known() {
    let prices = prices(&[
        "models = [\"asked\"]\ninput = 1",
        "models = [\"served\"]\ninput = 2\noutput = 2",
    ]);
    let cost = |model: &str, usage| {
        nano_usd(
            &prices,
            &Call {
                served_model: Some(Model::from_wire("served")),
                ..of(model, usage)
            },
        )
    };
    assert_eq!(cost("asked", usage(1, 0)), Some(1000));
    assert_eq!(cost("alias", usage(1, 0)), Some(2000));
    assert_eq!(
        cost("asked", usage(1, 1)),
        None,
        "its line says what is known of it"
    );
}

#[test]
fn a_substituted_call_costs_what_the_model_that_answered_does() {
    let prices = prices(&[
        "models = [\"asked\"]\ninput = 1",
        "models = [\"served\"]\ninput = 2",
    ]);
    let cost = |served: &str| {
        nano_usd(
            &prices,
            &Call {
                served_model: Some(Model::from_wire(served)),
                is_substituted: true,
                ..of("asked", usage(1, 0))
            },
        )
    };
    assert_eq!(cost("served"), Some(2000));
    assert_eq!(
        cost("without a price"),
        None,
        "what was asked has not answered"
    );
}

#[test]
fn every_flaw_is_told_with_its_line() {
    let text = r#"[[price]]
models = ["a*b"]
provider = "gcp"
from = "2026-01-01"
input = "2"
outptu = 1.0000001
source = "example.com"

[[price]]
models = ["m"]
tiers = [{ above_input_tokens = 1, inptu = 2 }]
as_of = 2026-11-24T00:00:00Z
source = "https://example.com"

[[price]]
models = ["m"]
source = "https://example.com"
as_of = 2026-11-24

[cost]
"#;
    let told: Vec<_> = read(text)
        .unwrap_err()
        .into_iter()
        .map(|Flaw { line, key, .. }| (line, key))
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(line, key)| (*line, key.as_deref()))
        .collect();
    let expected = [
        (1, Some("as_of")),
        (2, Some("models")),
        (3, Some("provider")),
        (4, Some("from")),
        (5, Some("input")),
        (6, Some("outptu")),
        (7, Some("source")),
        (11, Some("tiers.inptu")),
        (12, Some("as_of")),
        (15, None),
        (20, Some("cost")),
    ];
    assert_eq!(told, expected);
    let twice = "[[price]]\nmodels = [\"a\", \"m\"]\ninput = 1\nsource = \"https://example.com\"\nas_of = 2026-11-24\n";
    let flaws = read(&format!("{twice}\n{twice}")).unwrap_err();
    let [
        Flaw {
            line: 7, message, ..
        },
    ] = flaws.as_slice()
    else {
        panic!("{flaws:?}")
    };
    assert_eq!(
        message,
        "a has a price above already: keep one of the two, or give them different days in `from`"
    );
    let flaws = read("[[price]\nx = 1").unwrap_err();
    assert!(
        flaws.len() == 1
            && flaws[0].line == 1
            && flaws[0].message.starts_with("this is not TOML ("),
        "{flaws:?}"
    );
}

#[test]
fn the_shipped_table_is_without_a_flaw_and_prices_the_models_of_the_demo() {
    let shipped = read(include_str!("default.toml")).unwrap();
    assert!(shipped.0.len() > 15);
    let prices = Prices::new(Table::default(), true);
    for model in MODELS.into_iter().chain([CHECKPOINT_MODEL]) {
        let whole = usage(1, 1)
            .with(TokenKind::Thinking, 1)
            .with(TokenKind::ToolInput, 1);
        assert!(nano_usd(&prices, &of(model, whole)).is_some(), "{model}");
        let is_priced =
            nano_usd(&prices, &of(model, whole.with(TokenKind::CacheRead, 1))).is_some();
        assert_eq!(
            is_priced,
            !model.starts_with("gpt-oss"),
            "{model}: what a cache provided"
        );
    }
    for image in [
        "gemini-3-pro-image",
        "gemini-3.1-flash-image",
        "gemini-2.5-flash-image",
        "gemini-2.5-flash-preview-tts",
    ] {
        assert_eq!(
            nano_usd(&prices, &of(image, usage(1, 1))),
            None,
            "{image} has prices of its own"
        );
    }
}

#[test]
fn claude_on_bedrock_has_a_price_in_whichever_form_it_is_asked() {
    let prices = Prices::new(Table::default(), true);
    let cost = |model: &str, provider| {
        nano_usd(
            &prices,
            &Call {
                provider,
                ..of(model, usage(1000, 0))
            },
        )
    };
    // Bedrock Mantle runs it in the region that is asked.
    for (model, mantle, runtime) in [
        ("anthropic.claude-fable-5-1", 11_000_000, Some(10_000_000)),
        ("anthropic.claude-haiku-4-5", 1_000_000, None),
        ("anthropic.claude-haiku-5-5", 110_000, Some(100_000)),
        ("anthropic.claude-opus-4-8", 5_500_000, Some(5_000_000)),
        ("anthropic.claude-opus-5-5", 4_400_000, Some(4_000_000)),
        ("anthropic.claude-sonnet-5-5", 2_200_000, Some(2_000_000)),
    ] {
        assert_eq!(cost(model, Provider::Anthropic), Some(mantle), "{model}");
        assert_eq!(cost(model, Provider::Bedrock), runtime, "{model}");
    }
    for (model, expected) in [
        ("anthropic.claude-opus-4-6-v1", 5_000_000),
        ("global.anthropic.claude-opus-5-5", 4_000_000),
        ("eu.anthropic.claude-opus-5-5", 4_400_000),
        ("us-gov.anthropic.claude-opus-5-5", 4_800_000),
    ] {
        for provider in [Provider::Anthropic, Provider::Bedrock] {
            assert_eq!(cost(model, provider), Some(expected), "{model} {provider}");
        }
    }
}

/// They search the web before they answer, which costs extra, and their answers do not tell of it.
#[test]
fn search_models_of_chat_completions_have_no_price() {
    let prices = Prices::new(Table::default(), true);
    for model in [
        "gpt-4o-search-preview",
        "gpt-4o-search-preview-2025-03-11",
        "gpt-4o-mini-search-preview",
        "gpt-5-search-api",
        "gpt-5-search-api-2025-10-14",
    ] {
        let call = Call {
            provider: Provider::OpenAi,
            served_model: Some(Model::from_wire(model)),
            ..of(model, usage(1, 1))
        };
        assert_eq!(nano_usd(&prices, &call), None, "{model}");
    }
}

#[test]
fn the_page_lists_the_shipped_prices() {
    let mut table = String::from(
        "| models | from | input | cache read | cache write | output | source |\n|---|---|---|---|---|---|---|\n",
    );
    for line in &Table::shipped().0 {
        let models: Vec<String> = line
            .models
            .iter()
            .map(|model| format!("`{model}`"))
            .collect();
        let from = line
            .from
            .map_or_else(|| "always".to_owned(), |day| day.to_string());
        let tiers = line.tiers.iter().map(|tier| {
            (
                format!("above {} input tokens", tier.above_input_tokens),
                &tier.rates,
            )
        });
        let source = format!("[{}]({})", line.as_of, line.source);
        for (name, rates) in std::iter::once((models.join(" "), &line.rates)).chain(tiers) {
            let price = |kind| {
                rates
                    .of(kind)
                    .map_or_else(|| "–".to_owned(), |price| price.to_string())
            };
            let [input, read, write, output] = [
                TokenKind::Input,
                TokenKind::CacheRead,
                TokenKind::CacheWrite5m,
                TokenKind::Output,
            ]
            .map(price);
            writeln!(
                table,
                "| {name} | {from} | {input} | {read} | {write} | {output} | {source} |"
            )
            .unwrap();
        }
    }
    let page = include_str!("../../docs/cost.md");
    assert!(
        page.contains(&table),
        "the table of docs/cost.md must be:\n\n{table}"
    );
}

#[test]
fn a_finished_call_leaves_the_stage_with_its_cost_and_all_else_as_it_came() {
    #[derive(Default)]
    struct Facts(Mutex<Vec<Fact>>);
    impl Record for Facts {
        fn record(&self, fact: Fact) {
            self.0.lock().unwrap().push(fact);
        }
    }
    let facts = Arc::new(Facts::default());
    let stage = Priced::new(
        Arc::new(prices(&["models = [\"m\"]\ninput = 2\noutput = 2"])),
        Arc::clone(&facts) as _,
    );
    let started = Fact::CallStarted(started(Provider::Gemini));
    let plain = of("m", usage(3, 4));
    stage.record(started.clone());
    stage.record(Fact::Call(Box::new(plain.clone())));
    let priced = Call {
        cost: Some(Cost::from_nano_usd(14_000)),
        ..plain
    };
    assert_eq!(
        *facts.0.lock().unwrap(),
        [started, Fact::Call(Box::new(priced))]
    );
}

#[test]
fn what_the_provider_charges_goes_before_the_list_price() {
    #[derive(Default)]
    struct Costs(Mutex<Vec<(Option<u64>, CostSource)>>);
    impl Record for Costs {
        fn record(&self, fact: Fact) {
            let Fact::Call(call) = fact else {
                panic!("{fact:?}")
            };
            let cost = call.cost.map(Cost::nano_usd);
            self.0.lock().unwrap().push((cost, call.cost_source()));
        }
    }
    let costs = Arc::new(Costs::default());
    let stage = Priced::new(
        Arc::new(prices(&["models = [\"listed\"]\ninput = 2"])),
        Arc::clone(&costs) as _,
    );
    for (model, charged) in [
        ("listed", Some(5)),
        ("listed", Some(0)),
        ("listed", None),
        ("unlisted", Some(7)),
        ("unlisted", None),
    ] {
        let mut call = of(model, usage(1, 0));
        call.reported.cost = charged.map(Cost::from_nano_usd);
        stage.record(Fact::Call(Box::new(call)));
    }
    let expected = [
        (Some(5), CostSource::Provider),
        (Some(0), CostSource::Provider),
        (Some(2000), CostSource::List),
        (Some(7), CostSource::Provider),
        (None, CostSource::List),
    ];
    assert_eq!(*costs.0.lock().unwrap(), expected);
}

#[test]
fn more_than_any_call_costs_is_no_cost() {
    let dearest = prices(&[
        "models = [\"m\"]\ninput = 1000000\noutput = 1000000\ncache_read = 1000000\ncache_write = 1000000",
    ]);
    let dollars = |tokens| dearest.cost(&of("m", usage(tokens, 0)));
    assert_eq!(dollars(500), Ok(Some(Cost::MAX_OF_A_CALL)));
    assert_eq!(dollars(501), Err(Implausible));
    let most = Some(TokenUsage::MAX_OF_A_KIND);
    let all = TokenUsage::default()
        .with(TokenKind::Input, most)
        .with(TokenKind::CacheRead, most)
        .with(TokenKind::CacheWrite5m, most)
        .with(TokenKind::ToolInput, most)
        .with(TokenKind::Output, most)
        .with(TokenKind::Thinking, most);
    assert_eq!(
        dearest.cost(&of("m", all)),
        Err(Implausible),
        "all counts at their limit at the dearest price"
    );
    let calls = 10_000_000;
    assert!(
        all.total()
            .checked_mul(calls)
            .is_some_and(|sum| i64::try_from(sum).is_ok()),
        "the tokens of so many calls"
    );
    let costs = Cost::MAX_OF_A_CALL.nano_usd().checked_mul(calls);
    assert!(
        costs.is_some_and(|sum| i64::try_from(sum).is_ok()),
        "the costs of so many calls"
    );
    assert!(
        Implausible.to_string().contains("500 US dollars"),
        "{Implausible}"
    );
}

#[test]
fn an_implausible_cost_leaves_the_stage_as_none() {
    #[derive(Default)]
    struct Costs(Mutex<Vec<Option<Cost>>>);
    impl Record for Costs {
        fn record(&self, fact: Fact) {
            let Fact::Call(call) = fact else {
                panic!("{fact:?}")
            };
            self.0.lock().unwrap().push(call.cost);
        }
    }
    let costs = Arc::new(Costs::default());
    let stage = Priced::new(
        Arc::new(prices(&["models = [\"m\"]\ninput = 1000000\noutput = 2"])),
        Arc::clone(&costs) as _,
    );
    [1, TokenUsage::MAX_OF_A_KIND, 2]
        .into_iter()
        .for_each(|tokens| {
            stage.record(Fact::Call(Box::new(of("m", usage(tokens, 0)))));
        });
    let [one, two] =
        [1_000_000_000, 2_000_000_000].map(|nano_usd| Some(Cost::from_nano_usd(nano_usd)));
    assert_eq!(*costs.0.lock().unwrap(), [one, None, two]);
}

fn any_usage() -> impl Strategy<Value = TokenUsage> {
    prop::collection::vec(prop::option::of(0..2_000_000u64), TokenKind::ALL.len())
        .prop_map(|counts| PerKind::from_fn(|kind| counts[kind as usize]))
}

/// Prices of whole nano-USD a token, so that nothing is rounded.
fn rates() -> impl Strategy<Value = [u32; 7]> {
    prop::array::uniform7(0..100_000u32)
}

fn block(rates: &[u32; 7], scale: u32) -> String {
    let price = |(kind, thousandths): (&TokenKind, &u32)| {
        let thousandths = thousandths * scale;
        format!(
            "{} = {}.{:03}",
            Rates::key(*kind),
            thousandths / 1000,
            thousandths % 1000
        )
    };
    TokenKind::ALL
        .iter()
        .zip(rates)
        .map(price)
        .collect::<Vec<_>>()
        .join("\n")
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn a_call_costs_the_sum_of_its_parts(rates in rates(), usage in any_usage()) {
        let prices = prices(&[&format!("models = [\"m\"]\n{}", block(&rates, 1))]);
        let by_hand: u64 =
            TokenKind::ALL.iter().zip(rates).map(|(kind, rate)| usage[*kind].unwrap_or(0) * u64::from(rate)).sum();
        let cost = prices.cost(&of("m", usage)).map(|cost| cost.map_or(0, Cost::nano_usd));
        let is_plausible = by_hand <= Cost::MAX_OF_A_CALL.nano_usd();
        prop_assert_eq!(cost, if is_plausible { Ok(by_hand) } else { Err(Implausible) });
    }

    #[test]
    fn more_tokens_never_cost_less(rates in rates(), usage in any_usage(), kind in 0..7usize, more in 1..1_000_000u64) {
        let tier = block(&rates, 3).replace('\n', ", ");
        let tiers = format!("tiers = [{{ above_input_tokens = 1_000_000, {tier} }}]");
        let prices = prices(&[&format!("models = [\"m\"]\n{}\n{tiers}", block(&rates, 1))]);
        let mut larger = usage;
        let grown = &mut larger[TokenKind::ALL[kind]];
        *grown = Some(grown.unwrap_or(0) + more);
        // An error is greater than any cost.
        prop_assert!(prices.cost(&of("m", larger)) >= prices.cost(&of("m", usage)));
    }

    /// However the lines are ordered, the same one holds; and it is the one that a search by hand
    /// finds.
    #[test]
    fn the_order_of_lines_does_not_matter(
        lines in prop::collection::vec(("a{0,3}", any::<bool>(), prop::option::of(0..3usize), prop::option::of(1..28i8)), 1..12),
        turn in any::<prop::sample::Index>(),
        model in "a{1,4}",
        day in 1..28i8,
        provider in prop::sample::select(Provider::ALL),
    ) {
        let mut seen = BTreeSet::new();
        let mut blocks: Vec<(String, _)> = Vec::new();
        for (number, (name, is_exact, from_whom, from)) in lines.into_iter().enumerate() {
            let pattern = format!("a{name}{}", if is_exact { "" } else { "*" });
            if !seen.insert((pattern.clone(), from_whom, from)) {
                continue;
            }
            let whom = from_whom.map(|whom| format!("provider = \"{}\"\n", Provider::ALL[whom])).unwrap_or_default();
            let since = from.map(|day| format!("from = 2026-05-{day:02}\n")).unwrap_or_default();
            let text = format!("models = [\"{pattern}\"]\n{whom}{since}input = {}", number + 1);
            let fits = if is_exact { pattern == model } else { model.starts_with(pattern.trim_end_matches('*')) }
                && from_whom.is_none_or(|whom| Provider::ALL[whom] == provider)
                && from.is_none_or(|from| from <= day);
            let rank = fits.then(|| (is_exact, pattern.len(), from_whom.is_some(), from.unwrap_or(0), 1000 * (number as u64 + 1)));
            blocks.push((text, rank));
        }
        let best = blocks.iter().filter_map(|(_, rank)| *rank).max().map(|rank| rank.4);
        let half = turn.index(blocks.len());
        blocks.rotate_left(half);
        let texts: Vec<&str> = blocks.iter().map(|(text, _)| text.as_str()).collect();
        let call = Call { provider, ..on(date(2026, 5, day), of(&model, usage(1, 0))) };
        prop_assert_eq!(nano_usd(&prices(&texts), &call), best);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\[\\[price\\]\\]|models|tiers|= |[\\[\\]{}\"=,.0-9a-z*_\n -]){0,40}") {
        let _ = read(&text);
    }
}
