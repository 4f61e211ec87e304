//! What two looks at an agent tell of the time between them, and whose clock is believed.

use super::*;

#[test]
fn a_run_between_two_looks() {
    let mut scenario = Scenario::polling();
    scenario.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    let events = scenario.say(
        9.0,
        idle()
            .steps(2, [input(5.0), answer(7.5)])
            .generations(0, [generation("old")]),
    );
    assert_eq!(scenario.runs(&events), ["5-"]);
    assert_eq!(steps_ended(&events).len(), 2);
    assert_eq!(scenario.finish(9.0), ["5-7.5 ok"]);
}

#[test]
fn several_runs_between_two_looks() {
    let canceled = Step {
        status: StepStatus::Canceled,
        has_text: false,
        ..answer(5.5)
    };
    let turns = [
        input(2.0),
        answer(3.0),
        input(4.0),
        input(5.0),
        canceled,
        input(6.0),
    ];
    let runs = [
        "2-",
        "2-3 ok",
        "4-",
        "4-4 swallowed",
        "5-",
        "5-5.5 canceled",
        "6-",
    ];
    let mut scenario = Scenario::polling();
    scenario.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    let events = scenario.say(
        9.0,
        running()
            .steps(2, turns.clone())
            .generations(0, [generation("a"), generation("b")]),
    );
    assert_eq!(
        (scenario.runs(&events), steps_ended(&events).len()),
        (runs.map(str::to_owned).to_vec(), 6)
    );
    scenario.say(9.5, idle());
    assert_eq!(
        scenario.finish(9.5),
        ["6-9.5 swallowed"],
        "what the agent called for was for others"
    );

    let mut scenario = Scenario::by(UpdateSource::Reactive);
    let history = [input(-100.0), answer(-50.0)];
    let first = scenario.say(
        9.0,
        idle()
            .steps(0, history)
            .steps(2, turns)
            .steps(8, [answer(8.0)]),
    );
    assert_eq!(
        (scenario.runs(&first), steps_ended(&first).len()),
        (runs.map(str::to_owned).to_vec(), 7),
        "in a first picture"
    );
    assert_eq!(scenario.finish(9.0), ["6-8 ok"]);
}

#[test]
fn a_run_that_is_followed_by_another_between_two_looks() {
    let begun = |source| {
        let mut scenario = Scenario::by(source);
        scenario.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
        scenario.say(1.0, running().steps(2, [input(1.0)]));
        scenario
    };
    let mut scenario = begun(UpdateSource::Polling);
    assert_eq!(
        scenario.say_runs(5.0, running().steps(3, [answer(2.0), input(3.0)])),
        ["1-2 ok", "3-"]
    );
    let mut scenario = begun(UpdateSource::Polling);
    assert_eq!(
        scenario.say_runs(5.0, running().steps(3, [answer(3.5), input(3.0)])),
        [""; 0],
        "it was still at work"
    );
    let mut scenario = begun(UpdateSource::Polling);
    assert_eq!(
        scenario.say_runs(5.0, running().steps(3, [done(), undated()])),
        [""; 0],
        "nothing tells"
    );
    let mut scenario = begun(UpdateSource::AgentState);
    assert_eq!(
        scenario.say_runs(5.0, running().steps(3, [answer(2.0), input(3.0)])),
        [""; 0],
        "a stream would have told"
    );
    let mut scenario = begun(UpdateSource::AgentState);
    let again = idle().steps(3, [answer(2.0), input(3.0), answer(4.0)]);
    assert_eq!(
        scenario.say_runs(5.0, again),
        ["1-2 ok", "3-"],
        "a new stream did not"
    );
    assert_eq!(scenario.finish(5.0), ["3-4 ok"]);
    let mut scenario = begun(UpdateSource::AgentState);
    let reopened = Update {
        after_gap: true,
        ..running().steps(3, [answer(2.0), input(3.0)])
    };
    assert_eq!(
        scenario.say_runs(5.0, reopened),
        ["1-2 ok", "3-"],
        "a stream that was opened again did not"
    );
    scenario.say(6.0, idle());
    assert_eq!(scenario.finish(6.0), ["3-6 swallowed"]);
}

#[test]
fn after_an_error_message_a_new_message_begins_another_run_however_it_is_dated() {
    let error = |created_at| Step {
        created_at,
        ..step(StepKind::ErrorMessage, StepStatus::Done)
    };
    let dated = error(Some(wall(1_000_002.0)));
    let open = Step {
        status: StepStatus::Other,
        ..dated.clone()
    };
    let stopped = step(StepKind::RunCommand, StepStatus::Canceled);
    let cut = |seconds| Update {
        after_gap: true,
        ..running().steps(seconds, [])
    };
    for source in [
        UpdateSource::AgentState,
        UpdateSource::Polling,
        UpdateSource::Reactive,
    ] {
        for (last, ended) in [
            (dated.clone(), "1-2 error"),
            (open.clone(), "1-2 error"),
            (error(None), "1-1 error"),
            (stopped.clone(), "1-1 canceled"),
        ] {
            let mut scenario = Scenario::by(source);
            scenario.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
            scenario.say(1.0, running().steps(2, [input(1.0)]));
            let news = cut(0).steps(3, [last.clone(), input(3.0)]);
            assert_eq!(
                scenario.say_runs(5.0, news),
                [ended, "3-"],
                "{source} {last:?}"
            );
        }
    }
}

#[test]
fn a_run_ends_before_the_next_one_begins() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(10.5, idle().steps(1, [done()]));
    scenario.say(11.0, running());
    assert_eq!(
        scenario.say_runs(11.5, running().steps(2, [input(10.0)])),
        ["1-10 ok", "10-"],
        "a pause that was the end"
    );
    scenario.say(12.0, idle().steps(3, [done()]));
    assert_eq!(scenario.finish(20.0), ["10-12 ok"]);
    let late = idle().steps(4, [input(11.0), done()]);
    let events = scenario.say(12.5, late);
    assert_eq!(
        scenario.runs(&events),
        ["12-"],
        "a message that waited for the end"
    );
}

#[test]
fn a_polled_run_ends_with_its_last_step() {
    let mut scenario = Scenario::polling();
    scenario.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    scenario.say(6.0, running().steps(2, [input(5.0)]));
    scenario.say(8.0, running());
    scenario.say(9.0, idle());
    scenario.say(9.1, Update::default().steps(3, [answer(8.4)]));
    assert_eq!(scenario.finish(9.0), ["5-8.4 ok"], "in whichever order");
    scenario.say(206.0, running().steps(4, [input(205.0)]));
    scenario.say(208.9, Update::default().steps(5, [answer(208.4)]));
    scenario.say(209.0, idle());
    assert_eq!(scenario.finish(209.0), ["205-208.4 ok"]);
}

#[test]
fn clocks_that_go_wrong_are_not_believed() {
    for off in [3600.0, 3.0, -3600.0, -100_000.0, -999_800.0] {
        let mut scenario = Scenario::polling();
        scenario.say(
            1.0,
            idle().steps(0, [input(off - 100.0), answer(off - 90.0)]),
        );
        assert_eq!(
            scenario.say_runs(20.0, running().steps(2, [input(off + 19.0)])),
            ["20-"],
            "{off}"
        );
        scenario.say(30.0, idle().steps(3, [answer(off + 29.0)]));
        assert_eq!(scenario.finish(30.0), ["20-30 ok"], "{off}");
    }
    let mut scenario = Scenario::stream();
    assert_eq!(
        scenario.say_runs(1.0, running().steps(0, [input(-999_999.0)])),
        ["1-"],
        "a clock that was never set"
    );
    let mut scenario = Scenario::stream();
    assert_eq!(
        scenario.say(1.0, idle().steps(0, [input(3600.0), answer(3601.0)])),
        [],
        "history, by a clock ahead"
    );
}

#[test]
fn a_slightly_faster_clock_begins_no_run_in_the_future() {
    let mut scenario = Scenario::empty();
    let events = scenario.say(5.0, running().steps(0, [input(6.5)]));
    let [Event::RunStarted(began), ..] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (began.at, began.wall, began.is_reported),
        (scenario.at(5.0).at, scenario.at(5.0).wall, true)
    );
}

#[test]
fn without_times_what_is_seen_counts() {
    let mut scenario = Scenario::empty();
    assert_eq!(
        scenario.say_runs(1.0, idle().steps(0, [undated()])),
        [""; 0]
    );
    assert_eq!(
        scenario.say_runs(2.0, running()),
        ["1-"],
        "when the message was seen"
    );
    scenario.say(4.0, idle().steps(1, [done()]));
    assert_eq!(scenario.finish(4.0), ["1-4 ok"]);
    let mut scenario = Scenario::polling();
    scenario.say(1.0, idle().steps(0, [undated(), done()]));
    assert_eq!(
        scenario.say_runs(9.0, idle().steps(2, [undated(), done()])),
        ["9-"]
    );
    assert_eq!(scenario.finish(9.0), ["9-9 ok"]);
}
