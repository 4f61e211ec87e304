//! Runs with the calls that began in them.

use super::*;

#[test]
fn a_run_has_the_calls_that_began_in_it() {
    let mut told = Told::following();
    told.call(9.0, named(1, "c", "t"));
    told.update(
        10.1,
        "c",
        &running().of_trajectory("t").steps(0, [input(10.0)]),
    );
    told.call(12.0, of(Operation::Checkpoint, named(2, "c", "t")));
    told.call(13.0, named(3, "c", "t"));
    told.update(14.0, "c", &idle().steps(1, [answer()]).fully());
    told.call(14.3, named(4, "c", "t"));
    told.tick(14.4);
    told.call(14.45, named(5, "elsewhere", "u"));
    told.tick(14.5);
    let [run] = &told.ended()[..] else { panic!() };
    assert_eq!(
        (run.calls, run.tokens, run.outcome),
        (3, 21, RunOutcome::Ok)
    );
    assert_eq!(
        (run.model.as_str(), run.trajectory.clone()),
        ("m3", Some(id("t"))),
        "the first turn, not what is hidden"
    );
    assert_eq!(
        (run.started_at, run.duration),
        (wall(10.0), Duration::from_secs(4))
    );
    assert_eq!(
        run.time_to_first_chunk,
        Some(Duration::from_millis(1500)),
        "of any call"
    );
    told.call(20.0, named(6, "c", "t"));
    told.update(30.0, "c", &running().steps(2, [input(30.0)]));
    told.update(31.0, "c", &idle().steps(3, [answer()]).fully());
    told.tick(40.0);
    let [run] = &told.ended()[..] else { panic!() };
    assert_eq!((run.calls, run.model.as_str()), (0, "unknown"));
}

#[test]
fn a_call_that_is_stated_late_began_when_it_began() {
    let mut told = Told::following();
    told.update(
        1.0,
        "c",
        &running().of_trajectory("t").steps(0, [input(1.0)]),
    );
    told.update(4.0, "c", &idle().steps(1, [answer()]).fully());
    let begun = |number, seconds: f64| {
        let mut call = named(number, "c", "t");
        call.timing.started_at = wall(seconds);
        call
    };
    told.late_call(4.4, begun(1, 2.0));
    told.late_call(5.2, begun(2, 3.9));
    told.late_call(5.2, begun(3, -100.0));
    told.late_call(5.2, begun(4, 4.5));
    told.tick(5.2);
    assert_eq!(
        told.ended()[0].calls,
        2,
        "what began after it, or by a clock that was set, does not count"
    );
}

#[test]
fn a_run_without_calls_has_the_model_that_the_agent_names() {
    let mut told = Told::following();
    told.update(
        1.0,
        "c",
        &running()
            .steps(0, [input(1.0), answer()])
            .generations(0, [served("x")]),
    );
    told.update(2.0, "c", &idle());
    told.tick(5.0);
    assert_eq!(told.ended()[0].model.as_str(), "served");
}

#[test]
fn a_run_whose_beginning_was_seen_late_begins_with_its_first_call() {
    let mut told = Told::following();
    told.update(1.0, "c", &idle().of_trajectory("t").steps(0, [input(-9.0)]));
    told.call(11.0, named(1, "c", "t"));
    told.update(12.0, "c", &running());
    told.update(14.0, "c", &idle().steps(1, [answer()]));
    told.tick(20.0);
    let [run] = &told.ended()[..] else { panic!() };
    assert_eq!(
        (run.started_at, run.duration, run.calls),
        (wall(10.0), Duration::from_secs(4), 1)
    );
}

#[test]
fn an_agent_that_called_has_not_swallowed_its_prompt() {
    let mut told = Told::following();
    told.update(
        1.0,
        "c",
        &running().of_trajectory("t").steps(0, [input(1.0)]),
    );
    told.call(2.5, named(1, "c", "t"));
    told.update(3.0, "c", &idle());
    told.update(3.0, "d", &running().steps(0, [input(1.0)]));
    told.update(3.0, "d", &idle());
    told.tick(6.0);
    let outcomes: BTreeMap<_, _> = told
        .ended()
        .into_iter()
        .map(|run| (run.cascade, run.outcome))
        .collect();
    assert_eq!(
        outcomes,
        BTreeMap::from([(id("c"), RunOutcome::Ok), (id("d"), RunOutcome::Swallowed)])
    );
}

#[test]
fn a_call_that_moves_counts_where_it_belongs() {
    let mut told = Told::following();
    for (cascade, trajectory) in [("a", "t"), ("b", "u")] {
        told.update(
            1.0,
            cascade,
            &running().of_trajectory(trajectory).steps(0, [input(1.0)]),
        );
    }
    let by_session = |session| CallIds {
        session: Some(id(session)),
        ..CallIds::default()
    };
    let ids = CallIds {
        provider_trace: Some(id("x")),
        ..by_session("s")
    };
    told.update(
        1.1,
        "a",
        &Update::default().generations(
            0,
            [Generation {
                session: Some(id("s")),
                ..generation("w")
            }],
        ),
    );
    told.call(3.0, call(1, ids, CorrelationMethod::None));
    told.call(3.0, named(2, "agent", "u"));
    told.join(
        4.0,
        &JoinedIds {
            cascade: None,
            trajectory: Some(id("u")),
            provider_trace: Some(id("x")),
        },
    );
    for cascade in ["a", "b"] {
        told.update(5.0, cascade, &idle().steps(1, [answer()]));
    }
    told.tick(8.0);
    let calls: BTreeMap<_, _> = told
        .ended()
        .into_iter()
        .map(|run| (run.cascade, (run.calls, run.tokens)))
        .collect();
    assert_eq!(
        calls,
        BTreeMap::from([(id("a"), (0, 0)), (id("b"), (2, 14))])
    );
}

#[test]
fn a_call_that_is_learned_late_counts_in_the_run_that_is_under_way() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.call(3.0, labelled(1, "t"));
    told.summary(4.0, &[summary("c", "t", None)]);
    told.update(5.0, "c", &idle().steps(1, [answer()]));
    told.tick(8.0);
    assert_eq!(told.ended()[0].calls, 1);
}

#[test]
fn a_message_that_awaits_its_run_is_news_to_come() {
    let mut told = Told::following();
    told.update(0.0, "c", &idle());
    assert!(!told.state.is_running(&id("c")) && !told.state.is_running(&id("nobody")));
    told.update(1.0, "c", &idle().steps(0, [input(1.0)]));
    assert!(told.state.is_running(&id("c")));
    told.tick(20.0);
    assert!(!told.state.is_running(&id("c")));
}

#[test]
fn an_agent_that_says_fully_idle_on_one_way_is_not_expected_to_on_another() {
    let mut told = Told::following();
    told.update(1.0, "c", &idle().fully());
    told.update(2.0, "c", &running().steps(0, [input(2.0), answer()]));
    told.update(3.0, "c", &idle());
    told.tick(50.0);
    assert_eq!(told.ended().len(), 0, "something is at work");
    told.update_from(UpdateSource::Reactive, 51.0, "c", &idle());
    told.tick(60.0);
    assert_eq!(told.ended().len(), 1);
}

#[test]
fn what_is_deleted_or_followed_no_more_is_lost() {
    let mut told = Told::following();
    for cascade in ["a", "b", "closing"] {
        told.update(1.0, cascade, &running().steps(0, [input(1.0), answer()]));
    }
    told.update(2.0, "closing", &idle());
    told.said();
    told.delete(3.0, "a");
    assert_eq!(
        told.said(),
        ["a lost after 2s: 0 calls, 0 tokens of unknown"]
    );
    assert!(!told.state.is_running(&id("a")));
    told.unfollow(4.0);
    let mut said = told.said();
    said.sort();
    let expected = [
        "b lost after 3s: 0 calls, 0 tokens of unknown",
        "closing ok after 1s: 0 calls, 0 tokens of unknown",
    ];
    assert_eq!(said, expected);
    told.update(5.0, "b", &running());
    told.tick(100.0);
    assert_eq!(told.said(), [""; 0], "nobody is followed");
    told.state.follow(wall(200.0));
    told.update(201.0, "b", &idle().steps(0, [input(1.0), answer()]));
    assert_eq!(told.said(), [""; 0], "history");
}

#[test]
fn the_conversation_that_was_quiet_for_longest_makes_room() {
    let mut told = Told::following();
    let picture = running()
        .of_trajectory("t")
        .steps(0, [input(1.0), answer()]);
    told.update(1.0, "first", &picture);
    for n in 1..MAX_CONVERSATIONS.get() {
        told.update(2.0, &format!("c{n}"), &running().steps(0, [input(2.0)]));
    }
    told.said();
    told.call(3.0, named(1, "new", "n"));
    told.summary(3.0, &[summary("new", "n", None)]);
    let said = told.said();
    let lost = "first lost after 2s: 0 calls, 0 tokens of unknown";
    assert_eq!(
        said,
        [lost, "settled request_id", "1 is new by request_id"],
        "calls take room too"
    );
    told.update(
        5.0,
        "first",
        &Update {
            status: Some(RunStatus::Idle),
            ..picture
        },
    );
    assert_eq!(
        told.said(),
        ["c1 lost after 3s: 0 calls, 0 tokens of unknown"],
        "its run is not told again"
    );
    assert_eq!(told.state.conversations.len(), MAX_CONVERSATIONS.get());
}

#[test]
fn both_sides_of_a_call_are_compared() {
    let exact = |number, trace: &str| Call {
        quality: Quality::Exact,
        ..nameless(number, "s", trace)
    };
    let mut told = Told::following();
    told.update(0.0, "c", &running().steps(0, [input(0.0)]));
    told.said();
    told.call(1.0, exact(1, "x"));
    told.call(
        1.0,
        Call {
            quality: Quality::Partial,
            ..exact(2, "y")
        },
    );
    told.call(
        1.0,
        Call {
            usage: TokenUsage::default(),
            ..exact(3, "z")
        },
    );
    told.call(1.0, exact(4, "w"));
    let wrong = Generation {
        usage: Some(AgentUsage::default()),
        ..generation("w")
    };
    let more = Update::default().generations(0, [generation("x"), wrong, generation("v")]);
    told.update(2.0, "c", &more);
    told.call(3.0, exact(5, "v"));
    told.call(3.0, exact(6, "u"));
    told.update(
        3.0,
        "c",
        &Update::default().generations(3, [generation("t")]),
    );
    told.tick(63.0);
    let said: Vec<_> = told
        .said()
        .into_iter()
        .filter(|said| !said.contains(' '))
        .collect();
    assert_eq!(
        said,
        ["agree", "disagree", "agree", "wire_only", "agent_only"]
    );
    told.call(64.0, exact(7, "r"));
    told.unfollow(65.0);
    told.tick(1000.0);
    assert!(
        !told.said().contains(&"wire_only".to_owned()),
        "the agent was gone before it could tell"
    );
}

#[test]
fn a_call_that_ended_before_the_agent_was_followed_is_part_of_its_run() {
    let mut told = Told::alone();
    told.call(10.0, named(1, "c", "t"));
    told.call(63.0, named(2, "c", "t"));
    told.call(64.0, labelled(3, "t"));
    told.said();
    told.state.follow(wall(65.0));
    told.update(
        66.0,
        "c",
        &running()
            .of_trajectory("t")
            .steps(0, [input(5.0), answer(), input(61.0)]),
    );
    told.call(68.0, labelled(4, "t"));
    told.update(69.0, "c", &idle().steps(3, [answer()]).fully());
    told.tick(69.5);
    let said = told.said();
    assert_eq!(
        said.last().unwrap(),
        "c ok after 8s: 3 calls, 21 tokens of m2",
        "{said:?}"
    );
}

#[test]
fn a_conversation_that_is_followed_again_goes_on_after_the_run_that_was_lost() {
    let mut told = Told::following();
    let picture = running().of_trajectory("t").steps(0, [input(1.0)]);
    told.update(2.0, "c", &picture);
    told.unfollow(10.0);
    told.state.follow(wall(12.0));
    told.update(13.0, "c", &picture);
    told.update(20.0, "c", &idle().steps(1, [answer()]).fully());
    told.tick(21.0);
    let runs = told.ended();
    let times: Vec<_> = runs
        .iter()
        .map(|run| (run.outcome, run.started_at, run.duration.as_secs()))
        .collect();
    assert_eq!(
        times,
        [
            (RunOutcome::Lost, wall(1.0), 9),
            (RunOutcome::Ok, wall(10.0), 10)
        ]
    );
}
