//! Whatever the order in which calls begin and end: runs come one after another, and every call has
//! one place and counts in one run at most.

use proptest::prelude::*;

use super::*;

/// What happens next, some seconds later.
#[derive(Debug, Clone)]
enum Next {
    Begins,
    /// One of the calls under way ends, as this one.
    Ends(prop::sample::Index, Ended),
    Passes,
}

#[derive(Debug, Clone)]
struct Ended {
    turn: u8,
    subagent: Option<u8>,
    parent: Option<u8>,
    step: TurnStep,
    end: TurnEnd,
    outcome: Outcome,
}

fn ended() -> impl Strategy<Value = Ended> {
    use Outcome::{Aborted, Ok, RateLimited};
    use TurnEnd::{GoesOn, Over};
    use TurnStep::{Begins, Continues};
    let steps = vec![Begins, Continues, Continues, TurnStep::Unknown];
    let ends = vec![GoesOn, GoesOn, Over, TurnEnd::Unknown];
    let outcomes = vec![Ok, Ok, Ok, Aborted, RateLimited];
    (
        0..3_u8,
        prop::option::of(0..3_u8),
        prop::option::of(0..3_u8),
        prop::sample::select(steps),
        prop::sample::select(ends),
        prop::sample::select(outcomes),
    )
        .prop_map(|(turn, subagent, parent, step, end, outcome)| Ended {
            turn,
            subagent,
            parent,
            step,
            end,
            outcome,
        })
}

fn next() -> impl Strategy<Value = (Next, u64)> {
    let what = prop_oneof![
        2 => Just(Next::Begins),
        3 => (any::<prop::sample::Index>(), ended()).prop_map(|(which, ended)| Next::Ends(which, ended)),
        1 => Just(Next::Passes),
    ];
    // Short, or longer than anything is waited for.
    (what, prop_oneof![4 => 0..20_u64, 1 => 300..4_000_u64])
}

fn call(number: u64, ended: &Ended) -> Call {
    let turn = format!("t-{}", ended.turn);
    let call = with(ended.outcome, step(number, &turn, ended.step, ended.end));
    let name = |which: u8| format!("s-{which}");
    match ended.subagent {
        None => call,
        Some(subagent) => of(&name(subagent), ended.parent.map(name).as_deref(), call),
    }
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn runs_come_one_after_another_and_every_call_has_one_place(
        events in prop::collection::vec(next(), 0..60),
    ) {
        let mut stage = Stage::new();
        let (mut now, mut number) = (0, 0);
        let mut under_way = Vec::new();
        for (event, later) in events {
            now += later;
            match event {
                Next::Begins => {
                    number += 1;
                    under_way.push((number, now));
                    stage.begin(number, now);
                }
                Next::Ends(which, ended) if !under_way.is_empty() => {
                    let (number, began) = under_way.swap_remove(which.index(under_way.len()));
                    stage.end(call(number, &ended), began, now);
                }
                Next::Ends(..) => {}
                Next::Passes => stage.tick(now),
            }
        }
        let end = stage.at(now);
        stage.turns.lose(&mut Emitter::new(&mut stage.facts, Some(ALL), end));

        let is_open = stage.facts.iter().fold(false, |is_open, fact| match fact {
            Fact::RunStarted(_) => {
                assert!(!is_open, "a run begins within another");
                true
            }
            Fact::RunEnded(_) => {
                assert!(is_open, "a run ends that has not begun");
                false
            }
            _ => is_open,
        });
        prop_assert!(!is_open, "a run that never ends");
        let ended = (1..=number).filter(|number| under_way.iter().all(|(open, _)| open != number));
        let count = ended.clone().count() as u64;
        for number in ended {
            // Fails unless there is exactly one.
            stage.place(number);
        }
        let calls: u64 = stage.runs().iter().map(|run| run.calls).sum();
        let tokens: u64 = stage.runs().iter().map(|run| run.tokens).sum();
        prop_assert!(calls <= count, "{calls} calls in runs, of {count}");
        prop_assert_eq!(tokens, 10 * calls);
        for pair in stage.runs().windows(2) {
            prop_assert!(pair[0].started_at + pair[0].duration <= pair[1].started_at, "{pair:?}");
        }
    }
}
