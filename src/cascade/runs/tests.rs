//! Which calls count in which run, and what a run says of them.

use std::time::SystemTime;

use super::*;
use crate::record::{TokenKind, sample_call};

fn call(number: u64, operation: Operation, began: Instant, tokens: u64) -> SeenCall {
    let model = Model::from_wire(&format!("m{number}"));
    SeenCall {
        number,
        is_placed: false,
        operation,
        model,
        began,
        ended: began,
        first_chunk: Some(began + Duration::from_millis(10)),
        tokens,
        tool_calls: 0,
        cost: Some(Cost::from_nano_usd(tokens * 2)),
    }
}

/// Times in seconds.
fn clock() -> impl Fn(u64) -> Instant {
    let zero = Instant::now() + Duration::from_secs(60);
    move |seconds| zero + Duration::from_secs(seconds)
}

fn reported(at: Instant) -> RunStart {
    RunStart {
        at,
        wall: SystemTime::UNIX_EPOCH,
        is_reported: true,
    }
}

fn observed(at: Instant) -> RunStart {
    RunStart {
        is_reported: false,
        ..reported(at)
    }
}

fn model(run: &RunCalls) -> Option<&str> {
    run.model.as_ref().map(Model::as_str)
}

#[test]
fn calls_count_in_the_run_in_which_they_began() {
    let (at, mut calls) = (clock(), Calls::default());
    calls.add(call(1, Operation::Checkpoint, at(1), 5), at(0));
    calls.add(call(2, Operation::Chat, at(2), 7), at(0));
    calls.add(call(3, Operation::Chat, at(21), 100), at(0));
    calls.remove(9);
    let first = calls.of_run(observed(at(1)), at(20), at(20));
    assert_eq!(
        (first.count, first.tokens, model(&first), first.began),
        (2, 12, Some("m2"), None)
    );
    assert_eq!(first.first_chunk, Some(at(1) + Duration::from_millis(10)));
    let second = calls.of_run(observed(at(25)), at(30), at(30));
    assert_eq!(
        (second.count, second.tokens, second.began),
        (1, 100, Some(at(21))),
        "seen late"
    );
    let third = calls.of_run(observed(at(31)), at(32), at(32));
    assert_eq!((third.count, model(&third)), (0, None));
}

#[test]
fn a_run_costs_what_its_calls_do_unless_that_of_one_is_not_known() {
    let (at, mut calls) = (clock(), Calls::default());
    calls.add(call(1, Operation::Chat, at(2), 5), at(0));
    calls.add(call(2, Operation::Checkpoint, at(3), 7), at(0));
    assert_eq!(
        calls.of_run(reported(at(1)), at(4), at(4)).cost,
        Some(Cost::from_nano_usd(24))
    );
    calls.add(call(3, Operation::Chat, at(6), 5), at(0));
    calls.add(
        SeenCall {
            cost: None,
            ..call(4, Operation::Chat, at(7), 1)
        },
        at(0),
    );
    assert_eq!(calls.of_run(reported(at(5)), at(8), at(8)).cost, None);
    assert_eq!(
        calls.of_run(reported(at(9)), at(9), at(9)).cost,
        Some(Cost::default())
    );
}

#[test]
fn a_call_of_unknown_price_has_no_cost_and_one_without_tokens_costs_nothing() {
    let now = Moment {
        at: Instant::now(),
        wall: SystemTime::now(),
    };
    let mut unpriced = sample_call();
    assert_eq!(SeenCall::new(&unpriced, now).cost, Some(Cost::default()));
    unpriced.usage = unpriced.usage.with(TokenKind::Output, 1);
    assert_eq!(SeenCall::new(&unpriced, now).cost, None);
}

/// A call that is reported late began when the wall clock says; a clock that was set meanwhile
/// says nothing of it.
#[test]
fn a_call_began_when_the_wall_clock_says_unless_that_was_set() {
    let second = Duration::from_secs(1);
    let at = Instant::now() + 7200 * second;
    let mut call = sample_call();
    call.timing.duration = 10 * second;
    let ago = |lasted: Duration| {
        let wall = call.timing.started_at + lasted;
        at - SeenCall::new(&call, Moment { at, wall }).began
    };
    assert_eq!(ago(10 * second), 10 * second, "reported at once");
    assert_eq!(ago(12 * second), 12 * second, "reported late");
    assert_eq!(ago(3600 * second), 10 * second, "the clock was put forward");
    assert_eq!(ago(second), 10 * second, "the clock was put back");
}

#[test]
fn a_run_tells_whether_its_calls_asked_for_one_model() {
    let (at, mut calls) = (clock(), Calls::default());
    let of = |number, model: &str, began| SeenCall {
        model: Model::from_wire(model),
        ..call(number, Operation::Chat, began, 1)
    };
    for (models, expected) in [
        (&["a", "a", "a"][..], false),
        (&["a", "a", "b"], true),
        (&["a", "b", "b"], true),
        (&["b", "a", "b"], true),
        (&["a"], false),
        (&[], false),
    ] {
        // The first one comes last.
        for (number, model) in models.iter().enumerate() {
            let number = u64::try_from(number).expect("few");
            calls.add(of(number, model, at(9 - number)), at(0));
        }
        let run = calls.of_run(reported(at(1)), at(10), at(10));
        assert_eq!(run.has_several_models, expected, "{models:?}");
        calls.last_end = None;
    }
}

#[test]
fn hidden_calls_between_two_runs_belong_to_none() {
    let (at, mut calls) = (clock(), Calls::default());
    calls.of_run(observed(at(0)), at(1), at(1));
    calls.add(call(1, Operation::Checkpoint, at(2), 5), at(0));
    calls.add(call(2, Operation::Chat, at(4), 7), at(0));
    let run = calls.of_run(observed(at(3)), at(5), at(5));
    assert_eq!((run.count, run.tokens), (1, 7));
}

#[test]
fn a_call_before_a_message_is_not_the_answer_to_it() {
    let (at, mut calls) = (clock(), Calls::default());
    calls.add(call(1, Operation::Chat, at(2), 5), at(0));
    calls.add(call(2, Operation::Chat, at(4), 7), at(0));
    let run = calls.of_run(reported(at(3)), at(5), at(5));
    assert_eq!((run.count, run.tokens, run.began), (1, 7, None));
}

#[test]
fn what_was_counted_once_is_not_counted_again() {
    let (at, mut calls) = (clock(), Calls::default());
    calls.add(call(1, Operation::Chat, at(2), 5), at(0));
    assert_eq!(calls.of_run(reported(at(1)), at(3), at(3)).count, 1);
    assert_eq!(calls.of_run(reported(at(1)), at(5), at(5)).count, 0);
    let pushed_out = (0..MAX_WAITING as u64 + 9)
        .filter_map(|n| calls.add(call(n, Operation::Chat, at(6), 1), at(0)));
    assert_eq!(pushed_out.collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert_eq!(
        calls.of_run(reported(at(6)), at(7), at(7)).count,
        MAX_WAITING as u64
    );
}

#[test]
fn a_run_whose_end_only_steps_tell_goes_on_with_its_last_call() {
    let zero = Instant::now() + Duration::from_secs(60);
    let at = |seconds| zero + Duration::from_secs(seconds);
    let mut calls = Calls::default();
    calls.add(call(1, Operation::Chat, at(2), 5), at(0));
    calls.add(
        SeenCall {
            ended: at(8),
            ..call(2, Operation::Chat, at(6), 7)
        },
        at(0),
    );
    calls.add(call(3, Operation::Chat, at(12), 100), at(0));
    let run = calls.of_run(reported(at(1)), at(5), at(10));
    assert_eq!((run.count, run.tokens, run.ended), (2, 12, Some(at(8))));
    assert_eq!(calls.of_run(reported(at(11)), at(13), at(13)).ended, None);
}

#[test]
fn a_call_is_early_for_a_run_only_shortly_before_it_and_after_the_one_before() {
    let at = clock();
    let began = at(100);
    let early = |before: Duration, last_end: Option<Instant>| {
        let mut calls = Calls::default();
        last_end.into_iter().for_each(|end| calls.begin_after(end));
        calls.add(call(1, Operation::Chat, began - before, 5), at(0));
        let run = calls.of_run(observed(began), at(110), at(110));
        (run.count, run.outside_runs)
    };
    let longer = OBSERVED_WITHIN + Duration::from_millis(1);
    assert_eq!(early(OBSERVED_WITHIN, None), (1, vec![]));
    assert_eq!(early(longer, None), (0, vec![1]));
    let within = OBSERVED_WITHIN / 2;
    let call_began = began - within;
    let before = call_began - Duration::from_millis(1);
    assert_eq!(early(within, Some(before)), (1, vec![]));
    assert_eq!(early(within, Some(call_began)), (0, vec![1]));
}

#[test]
fn calls_whose_spans_have_no_place_are_told_of_once() {
    let (at, mut calls) = (clock(), Calls::default());
    calls.add(call(1, Operation::Chat, at(1), 1), at(0));
    calls.add(call(2, Operation::Chat, at(6), 1), at(0));
    calls.add(call(3, Operation::Chat, at(7), 1).placed(), at(0));
    calls.add(call(4, Operation::Chat, at(8), 1), at(0));
    calls.add(call(5, Operation::Chat, at(20), 1), at(0));
    let confirmed = ConfirmedInterval {
        began: at(5),
        until: at(7),
    };
    assert_eq!(calls.settle(confirmed), [2]);
    let run = calls.of_run(reported(at(5)), at(9), at(9));
    assert_eq!((run.count, run.unplaced), (3, vec![4]));
    assert_eq!(run.outside_runs, [1]);
    assert!(
        calls
            .stop_waiting(at(0) + RUN_REPORTED_WITHIN / 2)
            .is_empty()
    );
    assert_eq!(calls.stop_waiting(at(1) + RUN_REPORTED_WITHIN), [5]);
    assert!(!calls.are_waiting());
}

#[test]
fn a_call_that_prolonged_a_run_keeps_the_next_one_from_beginning_earlier() {
    let (at, mut calls) = (clock(), Calls::default());
    let long = SeenCall {
        ended: at(8),
        ..call(1, Operation::Chat, at(6), 7)
    };
    calls.add(long, at(0));
    calls.of_run(reported(at(1)), at(5), at(10));
    calls.add(call(2, Operation::Chat, at(8), 1), at(0));
    let next = calls.of_run(observed(at(9)), at(12), at(12));
    assert_eq!((next.count, next.outside_runs), (0, vec![2]));
}
