//! Calls are held under their conversation, moved when it is known, and let go in bounded memory.

use serde_json::json;

use super::kit::{
    at, call, correlated, ended, groups, id, named, now, numbered, of_cascade, of_trajectory, page,
    report, run_ended, run_started, small, step, take,
};
use crate::ledger::{By, Cursor, Ledger, State};
use crate::record::{
    Call, CallIds, Cost, Fact, Model, Operation, Provider, StepKind, StepStatus, Timing, TokenKind,
    TokenUsage,
};

fn roomy() -> Ledger {
    small(100, 100, 100)
}

fn numbers(ledger: &Ledger, cascade: &str) -> Vec<u64> {
    let calls = ledger
        .cascade(&id(cascade))
        .map(|details| details.calls)
        .unwrap_or_default();
    calls.into_iter().map(|call| call.number).collect()
}

fn ids(ledger: &Ledger, state: Option<State>) -> Vec<String> {
    page(ledger, state, 100, None)
        .cascades
        .into_iter()
        .map(|cascade| cascade.id.to_string())
        .collect()
}

fn too_late(ledger: &Ledger) -> u64 {
    page(ledger, None, 0, None).correlated_too_late
}

#[test]
fn calls_stand_under_their_conversation_or_what_is_known_of_it() {
    let ledger = roomy();
    let labelled = CallIds {
        labelled_trajectory: Some(id("t2")),
        ..CallIds::default()
    };
    let calls = [
        of_cascade("c", of_trajectory("t1", numbered(1))),
        of_trajectory("t1", numbered(2)),
        Call {
            ids: labelled,
            ..numbered(3)
        },
        numbered(4),
        of_cascade("unknown", numbered(5)),
    ];
    take(&ledger, calls.map(ended));
    assert_eq!(
        groups(&ledger),
        [
            "c 1",
            "cascade/unknown 1",
            "trajectory/t1 1",
            "trajectory/t2 1",
            "unknown 1"
        ]
    );
    assert_eq!(
        ids(&ledger, None),
        ["unknown", "c"],
        "only conversations are listed"
    );
}

#[test]
fn a_conversation_says_which_models_have_answered_instead_of_others() {
    let substituted = |call: Call, by: &str| Call {
        served_model: Some(Model::from_wire(by)),
        is_substituted: true,
        ..call
    };
    let ledger = roomy();
    take(
        &ledger,
        [
            substituted(of_trajectory("t", numbered(1)), "n"),
            substituted(of_trajectory("t", numbered(2)), "n"),
            substituted(of_cascade("c", numbered(3)), "o"),
            of_cascade("c", numbered(4)),
        ]
        .map(ended),
    );
    let served = |cascade: &str| {
        let details = ledger.cascade(&id(cascade)).expect("a conversation");
        let [group] = details.by_model.as_slice() else {
            panic!("{:?}", details.by_model)
        };
        let counts = group.served_models.iter();
        counts
            .map(|(model, calls)| format!("{model} {calls}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(served("c"), ["o 1"]);
    // A call takes its substitution along to the conversation that it turns out to belong to.
    take(
        &ledger,
        [
            correlated(1, Some("c")),
            correlated(2, Some("c")),
            correlated(3, Some("d")),
        ],
    );
    assert_eq!(served("c"), ["n 2"]);
    assert_eq!(served("d"), ["o 1"]);
}

#[test]
fn a_call_moves_with_its_sums_when_its_conversation_is_known() {
    let ledger = roomy();
    take(
        &ledger,
        [
            of_trajectory("t", numbered(1)),
            of_trajectory("t", numbered(2)),
            numbered(3),
        ]
        .map(ended),
    );
    take(
        &ledger,
        [correlated(1, Some("c")), correlated(3, Some("c"))],
    );
    assert_eq!(groups(&ledger), ["c 2", "trajectory/t 1"]);
    let details = ledger.cascade(&id("c")).expect("a conversation");
    assert_eq!(
        (
            details.cascade.usage.calls,
            details.cascade.usage.total_tokens
        ),
        (2, 126)
    );
    assert_eq!(
        serde_json::to_value(&details.calls[0]).expect("JSON")["method"],
        "trace_id"
    );
    take(
        &ledger,
        [
            correlated(3, Some("d")),
            correlated(1, None),
            correlated(99, Some("c")),
        ],
    );
    assert_eq!(
        groups(&ledger),
        ["d 1", "trajectory/t 2"],
        "an empty thread goes"
    );
    assert!(ledger.cascade(&id("c")).is_none());
    assert_eq!(report(&ledger, By::Cascade).correlated_too_late, Some(1));
}

#[test]
fn a_conversation_with_runs_outlives_its_calls() {
    let ledger = roomy();
    take(
        &ledger,
        [
            run_started("c", 1),
            ended(of_cascade("c", numbered(2))),
            correlated(2, Some("d")),
        ],
    );
    assert!(ledger.cascade(&id("c")).is_some());
    assert_eq!(groups(&ledger), ["d 1"], "a group has calls");
}

#[test]
fn the_least_recently_active_conversation_goes_and_its_sums_stay() {
    let ledger = small(2, 100, 100);
    let facts = ["a", "b", "a", "c"]
        .into_iter()
        .zip(1..)
        .map(|(cascade, n)| ended(of_cascade(cascade, numbered(n))));
    take(&ledger, facts);
    assert_eq!(groups(&ledger), ["a 2", "c 1", "other 1"]);
    take(&ledger, [correlated(2, Some("a"))]);
    assert_eq!(too_late(&ledger), 1, "its details went with it");
    take(&ledger, [ended(of_cascade("b", numbered(5)))]);
    assert_eq!(
        groups(&ledger),
        ["b 1", "c 1", "other 3"],
        "it may come back"
    );
}

#[test]
fn calls_of_no_known_thread_are_never_evicted_as_a_thread() {
    let ledger = small(1, 100, 100);
    take(
        &ledger,
        [
            ended(numbered(1)),
            ended(of_cascade("a", numbered(2))),
            ended(of_trajectory("t", numbered(3))),
        ],
    );
    assert_eq!(groups(&ledger), ["other 1", "trajectory/t 1", "unknown 1"]);
    take(&ledger, [correlated(1, Some("b"))]);
    assert_eq!(
        groups(&ledger),
        ["other 2", "trajectory/t 1"],
        "older than what is kept"
    );
}

#[test]
fn details_are_bounded_for_each_conversation_and_for_all() {
    let ledger = small(100, 5, 3);
    take(
        &ledger,
        (1..=4).map(|n| ended(of_cascade("a", numbered(n)))),
    );
    assert_eq!(numbers(&ledger, "a"), [4, 3, 2]);
    take(
        &ledger,
        (5..=7).map(|n| ended(of_cascade("b", numbered(n)))),
    );
    assert_eq!(
        (numbers(&ledger, "a"), numbers(&ledger, "b")),
        (vec![4, 3], vec![7, 6, 5])
    );
    take(
        &ledger,
        [correlated(1, Some("b")), correlated(2, Some("b"))],
    );
    assert_eq!(
        (groups(&ledger), too_late(&ledger)),
        (vec!["a 4".to_owned(), "b 3".to_owned()], 2)
    );
}

#[test]
fn a_call_whose_number_comes_again_is_counted_again() {
    let ledger = roomy();
    take(
        &ledger,
        [
            ended(of_cascade("a", numbered(1))),
            ended(of_cascade("b", numbered(1))),
        ],
    );
    assert_eq!(groups(&ledger), ["a 1", "b 1"]);
    assert_eq!(
        (numbers(&ledger, "a"), numbers(&ledger, "b")),
        (vec![], vec![1])
    );
}

#[test]
fn runs_come_and_go() {
    let ledger = roomy();
    take(&ledger, [run_started("a", 1), run_started("b", 5)]);
    assert_eq!(ids(&ledger, Some(State::Running)), ["b", "a"]);
    take(
        &ledger,
        [run_ended("a", 1), run_ended("a", 20), run_ended("a", 40)],
    );
    assert_eq!(
        (
            ids(&ledger, Some(State::Running)),
            ids(&ledger, Some(State::Idle))
        ),
        (vec!["b".into()], vec!["a".into()])
    );
    let details = ledger.cascade(&id("a")).expect("a conversation");
    assert_eq!(details.cascade.runs_ended, 3);
    let kept: Vec<i64> = details
        .runs
        .iter()
        .map(|run| run.started_at.as_second())
        .collect();
    assert_eq!(kept, [40, 20], "the newest, the last one first");
    assert_eq!(details.cascade.last_run.as_ref(), details.runs.first());
    assert_eq!(details.cascade.last_active_at.as_second(), 50);
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let ledger = roomy();
    // All in the same second: the order needs more than the time.
    let same_time = |n: u64| {
        of_cascade(
            &format!("c{n}"),
            Call {
                number: n,
                ..call("m", Provider::CloudCode)
            },
        )
    };
    take(&ledger, (0..25).map(|n| ended(same_time(n))));
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = page(&ledger, Some(State::Idle), 10, cursor);
        seen.extend(page.cascades.iter().map(|cascade| cascade.id.to_string()));
        pages += 1;
        let Some(next) = page.next else { break };
        cursor = Some(next.to_string().parse::<Cursor>().expect("a cursor"));
    }
    let expected: Vec<String> = (0..25).rev().map(|n| format!("c{n}")).collect();
    assert_eq!((seen, pages), (expected, 3));
    let whole = page(&ledger, None, 25, None);
    assert_eq!(
        (whole.cascades.len(), whole.next),
        (25, None),
        "no page that is empty"
    );
    for text in [
        "",
        "1",
        ".",
        "1.",
        "x.1",
        "1.-1",
        "99999999999999999999999999999999999.1",
    ] {
        assert!(text.parse::<Cursor>().is_err(), "{text}");
    }
}

#[test]
fn the_main_model_is_the_one_that_costs() {
    let ledger = roomy();
    let title = Call {
        operation: Operation::Checkpoint,
        usage: TokenUsage::default().with(TokenKind::Input, 10),
        ..call("light", Provider::CloudCode)
    };
    take(&ledger, [named("m", "Model M"), run_ended("c", 1)]);
    let shown = || {
        let cascade = ledger.cascade(&id("c")).expect("a conversation").cascade;
        (
            cascade.model.expect("a model").to_string(),
            cascade.display_name.map(|name| name.to_string()),
        )
    };
    assert_eq!(
        shown(),
        ("m".to_owned(), Some("Model M".to_owned())),
        "no call was seen: the run names one"
    );
    take(
        &ledger,
        [1, 2].map(|number| {
            ended(of_cascade(
                "c",
                Call {
                    number,
                    ..title.clone()
                },
            ))
        }),
    );
    assert_eq!(shown(), ("light".to_owned(), None));
    take(&ledger, [ended(of_cascade("c", numbered(3)))]);
    assert_eq!(shown(), ("m".to_owned(), Some("Model M".to_owned())));
    let group = report(&ledger, By::Cascade)
        .cascades
        .expect("cascades")
        .remove("c")
        .expect("a group");
    assert_eq!(group.display_name.expect("a name").as_str(), "Model M");
}

#[test]
fn the_json_has_the_shape_of_the_contract() {
    let ledger = roomy();
    let timed = Timing {
        started_at: at(3),
        time_to_first_chunk: Some(std::time::Duration::from_millis(250)),
        ..numbered(3).timing
    };
    let ids = CallIds {
        request: Some(id("agent/1/t/4")),
        trajectory: Some(id("t")),
        execution: Some(id("e")),
        step: Some(id("4")),
        session: Some(id("-1")),
        ..CallIds::default()
    };
    let cost = Some(Cost::from_nano_usd(12_300_000));
    let call = Call {
        timing: timed,
        ids,
        usage: numbered(3).usage.with(TokenKind::Thinking, None),
        cost,
        ..numbered(3)
    };
    let facts = [
        named("m", "Model M"),
        run_ended("c", 1),
        run_started("c", 20),
        ended(of_cascade("c", call)),
        step("c", StepKind::PlannerResponse, StepStatus::Done),
        step("c", StepKind::PlannerResponse, StepStatus::Done),
        step("c", StepKind::RunCommand, StepStatus::Error),
    ];
    take(&ledger, facts);
    let usage = json!({
        "calls": 1, "input_tokens": 1, "cache_read_tokens": 2, "cache_write_tokens": 4, "tool_input_tokens": 8,
        "output_tokens": 16, "thinking_tokens": 0, "total_tokens": 31, "cost_usd": 0.0123, "unpriced_calls": 0,
        "usage_quality": {"exact": 1, "partial": 0, "unknown": 0}, "outcomes": {"ok": 1},
    });
    let run = json!({
        "agent": "antigravity", "started_at": "1970-01-01T00:00:01Z", "duration_seconds": 10.0, "time_to_first_chunk_seconds": 2.5,
        "outcome": "ok", "model": "m", "calls": 2, "total_tokens": 126,
    });
    let mut expected = json!({
        "id": "c", "state": "running", "model": "m", "first_model": "m", "display_name": "Model M",
        "started_at": "1970-01-01T00:00:01Z", "last_active_at": now().to_string(), "running_since": "1970-01-01T00:00:20Z",
        "runs_ended": 1, "last_run": run, "usage": usage,
    });
    let list = json!({"cascades": [expected], "correlated_too_late": 0});
    assert_eq!(
        serde_json::to_value(page(&ledger, None, 1, None)).expect("JSON"),
        list
    );
    let mut model = usage.clone();
    model["provider"] = json!("gcp.gen_ai");
    model["display_name"] = json!("Model M");
    expected["models"] = json!({"m": model});
    model["model"] = json!("m");
    expected["by_model"] = json!([model]);
    expected["subagents"] = json!([]);
    expected["steps"] = json!({"planner_response": {"done": 2}, "run_command": {"error": 1}});
    expected["runs"] = json!([run]);
    expected["calls"] = json!([{
        "id": "3000-3", "number": 3, "started_at": "1970-01-01T00:00:03Z", "duration_seconds": 1.0, "time_to_first_chunk_seconds": 0.25,
        "provider": "gcp.gen_ai", "operation": "chat", "model": "m", "outcome": "ok", "status": 200, "quality": "exact",
        "tokens": {"input": 1, "cache_read": 2, "cache_write": 4, "tool_input": 8, "output": 16, "thinking": null},
        "total_tokens": 31, "cost_usd": 0.0123, "cost_source": "list", "method": "request_id", "trajectory": "t", "execution": "e", "step": "4",
        "request": "agent/1/t/4",
    }]);
    assert_eq!(
        serde_json::to_value(ledger.cascade(&id("c"))).expect("JSON"),
        expected
    );
}

#[test]
fn facts_about_nobody_change_nothing() {
    let ledger = roomy();
    take(&ledger, [Fact::AcceptFailed, Fact::AgentUp(true)]);
    assert!(
        groups(&ledger).is_empty() && ids(&ledger, None).is_empty() && ledger.quotas().is_empty()
    );
}
