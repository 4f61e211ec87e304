//! What had happened before following began is not counted, and nothing is reported twice.

use super::*;

#[test]
fn a_first_frame_in_the_middle_of_a_run() {
    let mut scenario = Scenario::stream();
    let history = [input(-500.0), answer(-400.0), input(-20.0), answer(-5.0)];
    let events = scenario.say(
        1.0,
        running()
            .steps(0, history)
            .generations(0, [generation("a"), generation("b")])
            .termination(0, Termination::Error),
    );
    assert_eq!(scenario.runs(&events), ["-20-"]);
    assert_eq!(
        steps_ended(&events),
        ["user_input", "planner_response"],
        "those of the run"
    );
    assert_eq!(
        generations(&events),
        ["a", "b"],
        "may be older than Gravimeter"
    );
    let events = scenario.say(2.0, Update::default().generations(2, [generation("c")]));
    assert_eq!(generations(&events), ["c!"]);
    scenario.say(3.0, idle());
    assert_eq!(scenario.finish(3.0), ["-20-3 ok"]);
}

#[test]
fn the_first_frame_of_a_new_conversation_is_no_history() {
    let mut scenario = Scenario::stream();
    let events = scenario.say(
        9.0,
        running()
            .steps(0, [input(8.0), done()])
            .generations(0, [generation("a")]),
    );
    assert_eq!(scenario.runs(&events), ["8-"]);
    assert_eq!(
        (steps_ended(&events).len(), generations(&events)),
        (2, vec!["a!".to_owned()])
    );
}

#[test]
fn history_is_not_counted() {
    for source in [
        UpdateSource::AgentState,
        UpdateSource::Reactive,
        UpdateSource::Polling,
    ] {
        let mut scenario = Scenario::by(source);
        let history = idle().steps(
            0,
            [input(-500.0), answer(-400.0), input(-300.0), answer(-200.0)],
        );
        let events = scenario.say(
            1.0,
            history
                .clone()
                .generations(0, [generation("a"), generation("b")])
                .termination(0, Termination::Canceled),
        );
        assert_eq!(events.len(), 2, "{source}: {events:?}");
        assert_eq!(generations(&events), ["a", "b"]);
        assert_eq!(scenario.say(2.0, history), []);
        assert_eq!(
            scenario.say_runs(10.0, running().steps(4, [input(9.9)])),
            ["9.9-"]
        );
        scenario.say(11.0, idle().steps(5, [done()]));
        assert_eq!(scenario.finish(11.0), ["9.9-11 ok"]);
    }
}

#[test]
fn history_that_polling_brings_in_parts_is_not_counted() {
    let mut scenario = Scenario::polling();
    assert_eq!(scenario.say(1.0, idle()), []);
    assert_eq!(
        scenario.say(
            1.1,
            Update::default().steps(0, [input(-500.0), answer(-400.0)])
        ),
        []
    );
    assert_eq!(
        generations(&scenario.say(
            1.2,
            Update::default().generations(0, [generation("a"), generation("b")])
        )),
        ["a", "b"]
    );
    assert_eq!(
        generations(&scenario.say(9.0, running().generations(2, [generation("c")]))),
        ["c!"]
    );

    let mut scenario = Scenario::polling();
    assert_eq!(
        scenario.say(1.0, running()),
        [],
        "what it works on is not known yet"
    );
    assert_eq!(
        scenario.say_runs(
            1.1,
            Update::default().steps(0, [input(-500.0), answer(-400.0), input(-9.0)])
        ),
        ["-9-"]
    );
}

#[test]
fn a_state_that_has_no_trajectory_yet_is_no_picture() {
    let mut scenario = Scenario::by(UpdateSource::Reactive);
    assert_eq!(scenario.say(0.0, idle()), []);
    assert_eq!(
        scenario.say(0.1, idle().steps(0, [input(-500.0), answer(-400.0)])),
        []
    );
}

#[test]
fn a_reconnected_stream_tells_nothing_twice() {
    let mut scenario = Scenario::empty();
    let frame = running()
        .steps(0, [input(1.0), done()])
        .generations(0, [generation("a")]);
    let events = scenario.say(1.0, frame.clone());
    assert_eq!(
        (steps_ended(&events).len(), generations(&events).len()),
        (2, 1)
    );
    assert_eq!(scenario.say(2.0, frame.clone()), []);
    assert_eq!(
        scenario.say(
            3.0,
            Update {
                status: Some(RunStatus::Idle),
                ..frame.clone()
            }
        ),
        []
    );
    assert_eq!(scenario.finish(3.0), ["1-3 ok"]);
    assert_eq!(
        scenario.say(
            200.0,
            Update {
                status: Some(RunStatus::Idle),
                ..frame
            }
        ),
        []
    );
    assert_eq!(scenario.conversation.known(None), (2, 1));
}

#[test]
fn an_entry_that_is_under_way_comes_again() {
    let mut scenario = Scenario::empty();
    let begun = Generation {
        usage: None,
        ..generation("a")
    };
    let mut update = running().steps(
        0,
        [
            input(1.0),
            step(StepKind::PlannerResponse, StepStatus::Generating),
        ],
    );
    update.main.generations = vec![(0, begun), (1, generation("b"))];
    let events = scenario.say(1.0, update);
    assert_eq!(
        (steps_ended(&events), generations(&events)),
        (vec!["user_input"], vec!["b!".to_owned()])
    );
    let events = scenario.say(
        2.0,
        Update::default()
            .steps(1, [done()])
            .generations(0, [generation("a")]),
    );
    assert_eq!(
        (steps_ended(&events), generations(&events)),
        (vec!["planner_response"], vec!["a!".to_owned()])
    );
}

#[test]
fn steps_that_are_taken_back_may_come_again() {
    let mut scenario = Scenario::empty();
    scenario.say(
        1.0,
        running()
            .steps(0, [input(1.0), done(), input(2.0), done()])
            .generations(0, [generation("a"), generation("b")]),
    );
    scenario.say(2.0, idle());
    assert_eq!(scenario.finish(2.0), ["1-2 ok"]);
    let mut update = running()
        .steps(0, [input(1.0), input(300.0), done()])
        .generations(1, [generation("c")]);
    update.main.total_steps = Some(3);
    let events = scenario.say(300.0, update);
    assert_eq!(scenario.conversation.known(None).0, 3);
    assert_eq!(
        scenario.runs(&events),
        ["300-"],
        "the second message was written anew"
    );
    assert_eq!(generations(&events), ["c!"]);
    scenario.say(301.0, idle());
    assert_eq!(scenario.finish(301.0), ["300-301 ok"]);
}

#[test]
fn hostile_indices_take_no_room() {
    let mut scenario = Scenario::empty();
    let mut update = running();
    for index in [MAX_ENTRIES, u32::MAX] {
        update.main.steps.push((index, input(1.0)));
        update.main.generations.push((index, generation("a")));
        update
            .main
            .terminations
            .push((index, Termination::Canceled));
    }
    update.main.total_steps = Some(u32::MAX);
    let events = scenario.say(1.0, update);
    assert_eq!(scenario.runs(&events), ["1-"]);
    assert_eq!(
        (events.len(), scenario.conversation.known(None)),
        (1, (0, 0))
    );
    let many = (0..2000).fold(Update::default(), |update, n| {
        update.sub(&format!("s{n}"), TrajectoryUpdate::default())
    });
    scenario.say(2.0, many);
    assert_eq!(
        scenario.conversation.subtrajectories.len(),
        MAX_SUBTRAJECTORIES
    );
}
