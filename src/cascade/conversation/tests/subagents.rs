//! Subagents work in the run of their conversation.

use super::*;

#[test]
fn a_run_lasts_as_long_as_its_subagents() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, idle().steps(1, [done()]).with_children());
    assert_eq!(scenario.tick(100.0), []);
    scenario.say(101.0, idle());
    assert_eq!(scenario.finish(101.0), ["1-101 ok"]);
}

fn invoked(status: StepStatus) -> Step {
    step(StepKind::InvokeSubagent, status)
}

#[test]
fn a_subagents_step_that_is_under_way_keeps_the_run_open_on_every_way() {
    for source in [
        UpdateSource::AgentState,
        UpdateSource::Polling,
        UpdateSource::Reactive,
    ] {
        let mut scenario = Scenario::by(source);
        scenario.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
        scenario.say(
            5.0,
            running().steps(2, [input(5.0), invoked(StepStatus::Running), answer(6.0)]),
        );
        scenario.say(7.0, idle());
        assert_eq!(
            scenario.tick(100.0),
            [],
            "{source}: it works in the background"
        );
        assert_eq!(scenario.conversation.first_open_step(None), Some(3));
        let done = Step {
            completed_at: Some(wall(1_000_106.0)),
            ..invoked(StepStatus::Done)
        };
        scenario.say(106.5, idle().steps(3, [done]));
        let ended = if source == UpdateSource::Polling {
            "5-106 ok"
        } else {
            "5-106.5 ok"
        };
        assert_eq!(scenario.finish(106.5), [ended], "{source}");
    }
}

#[test]
fn what_says_that_everything_has_ended_counts_more_than_a_step_that_stays_open() {
    let mut scenario = Scenario::empty();
    scenario.say(
        1.0,
        running().steps(0, [input(1.0), invoked(StepStatus::Running), done()]),
    );
    scenario.say(2.0, idle().fully());
    assert_eq!(scenario.finish(2.0), ["1-2 ok"]);
    scenario.say(201.0, running().steps(3, [input(201.0), done()]));
    scenario.say(202.0, idle());
    assert_eq!(
        scenario.finish(202.0),
        ["201-202 ok"],
        "it belongs to the run before"
    );
}

#[test]
fn the_list_tells_of_subagents_what_a_reactive_stream_does_not() {
    let listed = |scenario: &mut Scenario, seconds: f64, is_at_work| {
        let now = scenario.at(seconds);
        let events = scenario.conversation.apply_listed(is_at_work, now);
        scenario.runs(&events)
    };
    let mut scenario = Scenario::by(UpdateSource::Reactive);
    scenario.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    scenario.say(5.0, running().steps(2, [input(5.0)]));
    assert_eq!(
        listed(&mut scenario, 5.5, true),
        [""; 0],
        "the agent itself works"
    );
    scenario.say(6.0, idle().steps(3, [answer(5.9)]));
    assert_eq!(listed(&mut scenario, 6.5, true), [""; 0]);
    assert_eq!(scenario.tick(100.0), [], "subagents work");
    let work = idle().steps(0, [answer(97.0)]).main;
    scenario.say(
        100.5,
        Update::default().sub(
            "s",
            TrajectoryUpdate {
                status: None,
                ..work
            },
        ),
    );
    assert_eq!(listed(&mut scenario, 101.0, false), [""; 0]);
    assert_eq!(
        scenario.finish(101.0),
        ["5-97 ok"],
        "by the agent's own times"
    );
    scenario.say(300.0, running().steps(4, [input(300.0)]));
    scenario.say(301.0, idle().steps(5, [answer(301.0)]));
    assert_eq!(listed(&mut scenario, 302.0, false), [""; 0]);
    assert_eq!(
        scenario.finish(302.0),
        ["300-301 ok"],
        "a stream that shows the end tells it best"
    );
}

#[test]
fn a_subagent_that_is_seen_to_work_later_reopens_the_run() {
    let of = |status| TrajectoryUpdate {
        status: Some(status),
        ..TrajectoryUpdate::default()
    };
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, idle().steps(1, [done()]));
    scenario.say(3.0, Update::default().sub("s", of(RunStatus::Running)));
    assert_eq!(scenario.tick(100.0), []);
    scenario.say(101.0, Update::default().sub("s", of(RunStatus::Idle)));
    assert_eq!(scenario.finish(101.0), ["1-101 ok"]);
    scenario.say(300.0, running().steps(2, [input(300.0)]));
    scenario.say(301.0, idle().steps(3, [done()]));
    scenario.say(302.0, Update::default().with_children());
    assert_eq!(
        scenario.tick(400.0),
        [],
        "a sparse frame says that children work"
    );
    scenario.say(401.0, idle());
    assert_eq!(scenario.finish(401.0), ["300-401 ok"]);
}

#[test]
fn what_the_stream_said_of_subagents_counts_until_it_is_left() {
    let of = |status| TrajectoryUpdate {
        status,
        ..idle().steps(0, [done()]).main
    };
    for source in [UpdateSource::Polling, UpdateSource::Reactive] {
        let mut scenario = Scenario::empty();
        scenario.say(
            1.0,
            running()
                .steps(0, [input(1.0)])
                .sub("inside", of(Some(RunStatus::Running))),
        );
        scenario.say(2.0, idle().steps(1, [done()]));
        assert_eq!(scenario.tick(100.0), [], "it works");
        // Inside of a step, these methods report no status.
        scenario.source = source;
        scenario.say(
            101.0,
            Update {
                after_gap: true,
                ..idle()
            }
            .sub("inside", of(None)),
        );
        assert_eq!(scenario.finish(101.0).len(), 1, "{source}");
    }
}

#[test]
fn what_was_asked_of_a_subagent_stays_when_its_conversation_is_asked_for_next() {
    let mut scenario = Scenario::polling();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    let works = TrajectoryUpdate {
        status: Some(RunStatus::Running),
        ..TrajectoryUpdate::default()
    };
    scenario.say(2.0, Update::default().sub("own", works));
    scenario.say(2.0, idle().steps(1, [done()]));
    assert_eq!(scenario.tick(100.0), []);
}

#[test]
fn subagents_before_the_main_trajectory_are_no_picture_of_it() {
    let of_sub = Update::default()
        .steps(0, [input(-90.0), answer(-80.0)])
        .generations(0, [generation("a")])
        .main;
    let mut scenario = Scenario::stream();
    let events = scenario.say(1.0, Update::default().sub("s", of_sub.clone()));
    assert_eq!(
        (generations(&events), events.len()),
        (vec!["a".to_owned()], 1)
    );
    assert_eq!(
        scenario.say(2.0, idle().steps(0, [input(-100.0), answer(-50.0)])),
        []
    );
    assert_eq!(scenario.conversation.known(Some(&id("s"))), (2, 1));
    assert_eq!(scenario.conversation.known(Some(&id("t"))), (0, 0));
    let events = scenario.say(3.0, running().steps(2, [input(3.0)]).sub("s", of_sub));
    assert_eq!(
        steps_ended(&events),
        ["user_input"],
        "what the subagent did is known"
    );
}

#[test]
fn a_new_subagent_counts_and_an_older_one_is_history() {
    let dated = |seconds: f64| Step {
        created_at: Some(wall(1_000_000.0 + seconds)),
        ..done()
    };
    let of = |seconds, name: &str| {
        Update::default()
            .steps(0, [dated(seconds)])
            .generations(0, [generation(name)])
            .main
    };
    let mut scenario = Scenario::stream();
    let first = running().steps(0, [input(-90.0), done(), input(-10.0)]);
    let events = scenario.say(
        1.0,
        first.sub("old", of(-80.0, "a")).sub("new", of(-5.0, "b")),
    );
    assert_eq!(steps_ended(&events), ["user_input", "planner_response"]);
    assert_eq!(generations(&events), ["a", "b!"]);
    let events = scenario.say(
        2.0,
        Update::default()
            .sub("newer", of(1.5, "c"))
            .sub("older", of(-85.0, "d")),
    );
    assert_eq!(
        (steps_ended(&events).len(), generations(&events)),
        (1, vec!["c!".to_owned(), "d".to_owned()])
    );
}

#[test]
fn an_adopted_conversation_is_not_told_again() {
    let mut scenario = Scenario::empty();
    let mut other = Scenario::empty();
    let frame = running()
        .steps(0, [input(1.0), done()])
        .generations(0, [generation("a")]);
    other.say(1.0, frame.clone());
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.conversation.adopt(id("s"), other.conversation);
    assert_eq!(
        scenario.say(2.0, Update::default().sub("s", frame.main)),
        []
    );
    scenario.say(3.0, idle().steps(1, [done()]));
    assert_eq!(scenario.tick(100.0), [], "the subagent works");
    scenario.say(
        101.0,
        Update::default().sub(
            "s",
            TrajectoryUpdate {
                status: Some(RunStatus::Idle),
                ..Default::default()
            },
        ),
    );
    assert_eq!(scenario.finish(101.0), ["1-101 ok"]);
}
