//! Whatever happens, in whatever order: every grouping adds up to the same totals, to the token.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::kit::{
    at, call, correlated, ended, of_cascade, of_trajectory, report, run_ended, run_started, small,
    step, take,
};
use crate::ledger::{By, Ledger, Usage};
use crate::record::{
    Call, Cost, Fact, Label as _, Outcome, Provider, Quality, StepKind, StepStatus, Timing,
    TokenKind, TokenUsage,
};

/// Something that happens; calls get their numbers in order.
#[derive(Debug, Clone)]
enum Event {
    Call {
        model: u8,
        provider: Provider,
        usage: TokenUsage,
        cost: Option<Cost>,
        quality: Quality,
        outcome: Outcome,
        second: u64,
        thread: Thread,
    },
    /// A call is correlated; which one is a part of those there are.
    Correlated {
        call: prop::sample::Index,
        cascade: Option<u8>,
    },
    RunStarted {
        cascade: u8,
        second: u64,
    },
    RunEnded {
        cascade: u8,
        second: u64,
    },
    Step {
        cascade: u8,
    },
}

#[derive(Debug, Clone)]
enum Thread {
    Cascade(u8),
    Trajectory(u8),
    Unknown,
}

fn any_cost() -> impl Strategy<Value = Option<Cost>> {
    prop::option::of(prop_oneof![0u64..1000, Just(u64::MAX)].prop_map(Cost::from_nano_usd))
}

fn events(tokens: BoxedStrategy<Option<u64>>) -> impl Strategy<Value = Vec<Event>> {
    let usage = (tokens.clone(), tokens.clone(), tokens.clone(), tokens).prop_map(
        |(input, cache_read, output, thinking)| {
            TokenUsage::default()
                .with(TokenKind::Input, input)
                .with(TokenKind::CacheRead, cache_read)
                .with(TokenKind::Output, output)
                .with(TokenKind::Thinking, thinking)
        },
    );
    let thread = prop_oneof![
        (0u8..6).prop_map(Thread::Cascade),
        (0u8..3).prop_map(Thread::Trajectory),
        Just(Thread::Unknown)
    ];
    let call = (
        0u8..4,
        prop::sample::select(Provider::ALL),
        (usage, any_cost()),
        prop::sample::select(Quality::ALL),
        prop::sample::select(Outcome::ALL),
        0u64..50,
        thread,
    );
    let call = call.prop_map(
        |(model, provider, (usage, cost), quality, outcome, second, thread)| Event::Call {
            model,
            provider,
            usage,
            cost,
            quality,
            outcome,
            second,
            thread,
        },
    );
    let correlated = (any::<prop::sample::Index>(), prop::option::of(0u8..6));
    prop::collection::vec(
        prop_oneof![
            4 => call,
            3 => correlated.prop_map(|(call, cascade)| Event::Correlated { call, cascade }),
            1 => (0u8..6, 0u64..50).prop_map(|(cascade, second)| Event::RunStarted { cascade, second }),
            1 => (0u8..6, 0u64..50).prop_map(|(cascade, second)| Event::RunEnded { cascade, second }),
            1 => (0u8..6).prop_map(|cascade| Event::Step { cascade }),
        ],
        0..60,
    )
}

/// The facts, and the calls among them with the conversation that is known of each at last.
fn facts(events: &[Event]) -> (Vec<Fact>, Vec<(Call, Thread)>) {
    let name = |cascade: u8| format!("c{cascade}");
    let mut calls: Vec<(Call, Thread)> = Vec::new();
    let mut facts = Vec::new();
    for event in events {
        let fact = match event.clone() {
            Event::Call {
                model,
                provider,
                usage,
                cost,
                quality,
                outcome,
                second,
                thread,
            } => {
                let bare = call(&format!("m{model}"), provider);
                let timing = Timing {
                    started_at: at(second),
                    ..bare.timing
                };
                let bare = Call {
                    number: calls.len() as u64,
                    usage,
                    cost,
                    quality,
                    outcome,
                    timing,
                    ..bare
                };
                let call = match &thread {
                    Thread::Cascade(cascade) => of_cascade(&name(*cascade), bare),
                    Thread::Trajectory(trajectory) => of_trajectory(&name(*trajectory), bare),
                    Thread::Unknown => bare,
                };
                calls.push((call.clone(), thread));
                ended(call)
            }
            Event::Correlated { call, cascade } => {
                let number = if calls.is_empty() {
                    0
                } else {
                    call.index(calls.len())
                };
                if let Some((call, thread)) = calls.get_mut(number) {
                    *thread = match (cascade, &call.ids.trajectory) {
                        (Some(cascade), _) => Thread::Cascade(cascade),
                        (None, Some(trajectory)) => {
                            Thread::Trajectory(trajectory.as_str().as_bytes()[1] - b'0')
                        }
                        (None, None) => Thread::Unknown,
                    };
                }
                correlated(number as u64, cascade.map(name).as_deref())
            }
            Event::RunStarted { cascade, second } => run_started(&name(cascade), second),
            Event::RunEnded { cascade, second } => run_ended(&name(cascade), second),
            Event::Step { cascade } => step(&name(cascade), StepKind::Other, StepStatus::Done),
        };
        facts.push(fact);
    }
    (facts, calls)
}

/// Every figure of the sums, in one row; saturating, as they are shown.
fn row(usage: &Usage) -> Vec<u64> {
    let quality = usage.usage_quality;
    let mut row = vec![
        usage.calls,
        usage.tokens[TokenKind::Input],
        usage.tokens[TokenKind::CacheRead],
        usage.tokens[TokenKind::Output],
        usage.tokens[TokenKind::Thinking],
        usage.total_tokens,
        usage.cost.map_or(0, Cost::nano_usd),
        usage.unpriced_calls,
        quality.exact,
        quality.partial,
        quality.unknown,
    ];
    row.extend(
        Outcome::ALL
            .iter()
            .map(|outcome| usage.outcomes.get(outcome).copied().unwrap_or(0)),
    );
    row
}

fn sum(rows: impl Iterator<Item = Vec<u64>>) -> Vec<u64> {
    let none = row(&Usage::default());
    rows.fold(none, |sum, row| {
        sum.iter()
            .zip(row)
            .map(|(sum, more)| sum.saturating_add(more))
            .collect()
    })
}

/// The totals, and what the groups of each grouping add up to.
fn totals(ledger: &Ledger) -> [Vec<u64>; 4] {
    let [cascade, model, provider] =
        [By::Cascade, By::Model, By::Provider].map(|by| report(ledger, by));
    [
        row(&model.totals),
        sum(cascade
            .cascades
            .expect("cascades")
            .values()
            .map(|group| row(&group.usage))),
        sum(model
            .models
            .expect("models")
            .values()
            .map(|group| row(&group.usage))),
        sum(provider.providers.expect("providers").values().map(row)),
    ]
}

fn usage_of(call: &Call) -> Vec<u64> {
    let ledger = small(1, 1, 1);
    take(&ledger, [ended(call.clone())]);
    row(&report(&ledger, By::Model).totals)
}

fn any_tokens() -> BoxedStrategy<Option<u64>> {
    prop::option::of(prop_oneof![
        Just(0),
        0u64..1000,
        Just(u64::MAX),
        any::<u64>()
    ])
    .boxed()
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn every_grouping_adds_up_to_the_totals_through_moves_and_evictions(
        events in events(any_tokens()), cascades in 1usize..5, calls in 1usize..12, of_one in 1usize..6
    ) {
        let ledger = small(cascades, calls, of_one);
        let (facts, ended) = facts(&events);
        for fact in facts {
            take(&ledger, [fact]);
            let [totals, by_cascade, by_model, by_provider] = totals(&ledger);
            prop_assert_eq!(&by_cascade, &totals);
            prop_assert_eq!(&by_model, &totals);
            prop_assert_eq!(&by_provider, &totals);
        }
        let [totals, ..] = totals(&ledger);
        prop_assert_eq!(totals, sum(ended.iter().map(|(call, _)| usage_of(call))));
    }

    #[test]
    fn every_call_is_counted_where_it_was_last_known_to_belong(events in events(any_tokens())) {
        let ledger = small(100, 100, 100);
        let (facts, ended) = facts(&events);
        take(&ledger, facts);
        let mut expected: BTreeMap<String, Vec<Vec<u64>>> = BTreeMap::new();
        for (call, thread) in &ended {
            let key = match thread {
                Thread::Cascade(cascade) => format!("c{cascade}"),
                Thread::Trajectory(trajectory) => format!("trajectory/c{trajectory}"),
                Thread::Unknown => "unknown".to_owned(),
            };
            expected.entry(key).or_default().push(usage_of(call));
        }
        let expected: BTreeMap<String, Vec<u64>> =
            expected.into_iter().map(|(key, rows)| (key, sum(rows.into_iter()))).collect();
        let found = report(&ledger, By::Cascade).cascades.expect("cascades");
        let found: BTreeMap<String, Vec<u64>> = found.into_iter().map(|(key, group)| (key, row(&group.usage))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn nothing_grows_beyond_its_limit(
        events in events(any_tokens()), cascades in 1usize..5, calls in 1usize..12, of_one in 1usize..6
    ) {
        let ledger = small(cascades, calls, of_one);
        take(&ledger, facts(&events).0);
        let listed = super::kit::page(&ledger, None, 100, None).cascades;
        prop_assert!(listed.len() <= cascades);
        let details: Vec<_> = listed.iter().filter_map(|cascade| ledger.cascade(&cascade.id)).collect();
        prop_assert_eq!(details.len(), listed.len());
        prop_assert!(details.iter().all(|details| details.calls.len() <= of_one && details.runs.len() <= 2));
        prop_assert!(details.iter().map(|details| details.calls.len()).sum::<usize>() <= calls);
        let counted = details.iter().all(|details| details.calls.len() as u64 <= details.cascade.usage.calls);
        prop_assert!(counted, "a call that is kept is counted");
        prop_assert!(listed.is_sorted_by(|a, b| a.last_active_at >= b.last_active_at));
    }
}
