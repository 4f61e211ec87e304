//! Messages of the user: each begins a run, is part of one, or is swallowed.

use super::*;

#[test]
fn a_new_message_ends_a_run_that_seems_to_be_over_as_it_stood() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, status(RunStatus::Canceling));
    scenario.say(3.0, idle());
    assert_eq!(
        scenario.say_runs(4.0, running().steps(1, [input(3.9), done()])),
        ["1-3 canceled", "3.9-"]
    );
    scenario.say(
        5.0,
        status(RunStatus::Error).steps(3, [step(StepKind::ErrorMessage, StepStatus::Done)]),
    );
    assert_eq!(
        scenario.say_runs(6.0, idle().steps(4, [input(5.9)])),
        ["3.9-5 error"]
    );
    assert_eq!(scenario.say_runs(6.2, running()), ["5.9-"]);
    scenario.say(7.0, idle().steps(5, [done()]));
    assert_eq!(scenario.finish(7.0), ["5.9-7 ok"]);
}

#[test]
fn work_that_is_seen_before_its_message_is_that_of_the_message() {
    let mut scenario = Scenario::empty();
    assert_eq!(scenario.say_runs(1.2, running()), ["1.2-"]);
    scenario.say(1.3, Update::default().steps(0, [input(1.0)]));
    scenario.say(2.0, idle().steps(1, [done()]));
    assert_eq!(
        scenario.say_runs(3.2, running()),
        [""; 0],
        "as far as is known"
    );
    assert_eq!(
        scenario.say_runs(3.3, running().steps(2, [input(3.0)])),
        ["1-2 ok", "3-"]
    );
    scenario.say(5.0, idle().steps(3, [done()]));
    assert_eq!(scenario.finish(5.0), ["3-5 ok"]);
}

#[test]
fn a_message_that_comes_while_the_agent_works_is_part_of_the_run() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, Update::default().steps(1, [done(), input(2.0)]));
    scenario.say(3.0, idle());
    scenario.say(4.0, running().steps(3, [done()]));
    scenario.say(5.0, idle());
    assert_eq!(scenario.finish(5.0), ["1-5 ok"]);
    assert_eq!(
        scenario.say(
            200.0,
            idle().steps(0, [input(1.0), done(), input(2.0), done()])
        ),
        []
    );
    assert_eq!(scenario.finish(400.0), [""; 0]);
}

#[test]
fn a_swallowed_prompt_by_stream() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(
        2.0,
        idle().steps(1, [step(StepKind::EphemeralMessage, StepStatus::Done)]),
    );
    assert_eq!(scenario.finish(2.0), ["1-2 swallowed"]);
    scenario.say(201.0, running().steps(2, [input(201.0)]));
    scenario.say(202.0, idle().generations(0, [generation("a")]));
    assert_eq!(scenario.finish(202.0), ["201-202 ok"], "a model was called");
    scenario.say(401.0, running().steps(3, [input(401.0)]));
    scenario.say(
        402.0,
        idle().steps(
            4,
            [Step {
                has_text: false,
                ..done()
            }],
        ),
    );
    assert_eq!(
        scenario.finish(402.0),
        ["401-402 swallowed"],
        "nothing was said"
    );
}

#[test]
fn a_swallowed_prompt_by_polling() {
    let mut scenario = Scenario::polling();
    scenario.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    assert_eq!(
        scenario.say_runs(6.0, idle().steps(2, [input(5.0)])),
        [""; 0]
    );
    assert_eq!(scenario.tick(15.9), []);
    let events = scenario.tick(16.0);
    assert_eq!(scenario.runs(&events), ["5-", "5-5 swallowed"]);
    assert_eq!(scenario.tick(600.0), []);
    assert_eq!(
        scenario.say_runs(700.0, running()),
        ["700-"],
        "it was not lost after all"
    );
}

#[test]
fn a_message_that_is_taken_back_was_not_swallowed() {
    let mut scenario = Scenario::polling();
    scenario.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    scenario.say(6.0, idle().steps(2, [input(5.0)]));
    let total_steps = Some(2);
    scenario.say(
        7.0,
        Update {
            main: TrajectoryUpdate {
                total_steps,
                ..TrajectoryUpdate::default()
            },
            ..idle()
        },
    );
    assert_eq!(scenario.finish(7.0), [""; 0]);
}

#[test]
fn the_wait_for_an_answer_does_not_move_the_beginning() {
    let mut scenario = Scenario::empty();
    scenario.say(5.0, idle().steps(0, [input(5.0)]));
    for seconds in 6..14 {
        assert_eq!(scenario.say(f64::from(seconds), idle()), []);
    }
    assert_eq!(scenario.say_runs(14.0, running()), ["5-"]);
}

#[test]
fn messages_that_come_between_two_steps_are_of_one_run() {
    let mut scenario = Scenario::polling();
    scenario.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    let tool = Step {
        kind: StepKind::RunCommand,
        ..answer(2.0)
    };
    let turn = [input(1.0), answer(1.5), tool, input(2.5), answer(4.0)];
    assert_eq!(scenario.say_runs(5.0, idle().steps(2, turn)), ["1-"]);
    assert_eq!(scenario.finish(5.0), ["1-4 ok"]);
}

#[test]
fn a_list_that_still_speaks_of_the_canceled_run_does_not_cancel_the_next_one() {
    let mut scenario = Scenario::polling();
    scenario.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    scenario.say(1.0, running().steps(2, [input(1.0)]));
    let canceled = Step {
        completed_at: Some(wall(1_000_002.0)),
        ..step(StepKind::PlannerResponse, StepStatus::Canceled)
    };
    let late = status(RunStatus::Canceling).steps(3, [canceled, input(2.5)]);
    assert_eq!(scenario.say_runs(3.0, late), ["1-2 canceled", "2.5-"]);
    scenario.say(4.0, idle().steps(5, [answer(3.5)]));
    let ended = scenario.finish(4.0);
    assert_eq!(ended.len(), 1);
    assert!(ended[0].ends_with(" ok"), "{ended:?}");
}
