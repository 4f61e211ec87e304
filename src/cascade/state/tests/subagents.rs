//! Subagents and their conversations count in the one that they work for.

use super::*;

/// What a subagent did: a step, a call to a model.
fn work_of_subagent() -> TrajectoryUpdate {
    let step = Step {
        created_at: Some(wall(2.0)),
        ..answer()
    };
    Update::default()
        .steps(0, [step])
        .generations(0, [served("x")])
        .main
}

#[test]
fn a_subagent_counts_in_its_root_whichever_way_it_is_told() {
    let mut told = Told::following();
    told.update(
        1.0,
        "c",
        &running()
            .steps(0, [input(1.0)])
            .sub("t", work_of_subagent()),
    );
    assert_eq!(
        told.said(),
        ["c starts at 1", "c user_input", "c planner_response"]
    );
    told.call(3.0, nameless(1, "s", "x"));
    assert_eq!(told.said(), ["settled trace_id"]);
    told.summary(3.0, &[summary("child", "t", Some("c"))]);
    assert_eq!(
        told.state.known(&id("child"), None),
        (1, 1),
        "known by its trajectory"
    );
    assert_eq!(told.state.known(&id("child"), Some(&id("t"))), (1, 1));
    assert!(!told.state.is_running(&id("child")), "it is not said to be");
    // The method changes: the subagent's conversation is asked for on its own.
    let own = Update {
        main: work_of_subagent(),
        ..running()
    };
    told.update_from(UpdateSource::Polling, 4.0, "child", &own);
    assert_eq!(told.said(), [""; 0], "nothing is told twice");
    assert!(told.state.is_running(&id("child")) && told.state.is_running(&id("c")));
    told.update_from(
        UpdateSource::Polling,
        5.0,
        "c",
        &idle().steps(1, [answer()]),
    );
    told.tick(50.0);
    assert_eq!(told.said(), ["c planner_response"], "the subagent works");
    told.update_from(UpdateSource::Polling, 51.0, "child", &idle());
    assert!(!told.state.is_running(&id("child")) && told.state.is_running(&id("c")));
    told.tick(60.0);
    assert_eq!(told.said(), ["c ok after 50s: 1 calls, 7 tokens of m1"]);
}

#[test]
fn a_conversation_that_turns_out_to_be_a_subagents_is_told_once() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    let own = Update {
        main: work_of_subagent(),
        ..running()
    }
    .of_trajectory("t");
    told.update(2.0, "child", &own);
    told.call(3.0, named(1, "child", "t"));
    assert_eq!(
        told.said(),
        [
            "c starts at 1",
            "c user_input",
            "child starts at 2",
            "child planner_response",
            "settled request_id"
        ]
    );
    told.update(4.0, "child", &own.clone().of_root("c"));
    let lost = "child lost after 2s: 0 calls, 0 tokens of unknown";
    assert_eq!(told.said(), ["1 is c by request_id", lost]);
    told.summary(5.0, &[summary("child", "t", Some("c"))]);
    told.update(
        6.0,
        "child",
        &Update {
            status: Some(RunStatus::Idle),
            ..own
        },
    );
    told.update(7.0, "c", &idle().steps(1, [answer()]));
    told.tick(20.0);
    assert_eq!(
        told.said(),
        [
            "c planner_response",
            "c ok after 6s: 1 calls, 7 tokens of m1"
        ]
    );
}

#[test]
fn subagents_of_subagents_count_in_the_root() {
    let mut told = Told::following();
    told.summary(
        0.0,
        &[
            summary("child", "t", Some("c")),
            summary("grandchild", "u", Some("child")),
        ],
    );
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.update(2.0, "child", &running().sub("u", work_of_subagent()));
    assert_eq!(
        told.said(),
        ["c starts at 1", "c user_input", "c planner_response"]
    );
    told.update(
        3.0,
        "grandchild",
        &Update {
            main: work_of_subagent(),
            ..idle()
        },
    );
    assert_eq!(told.said(), [""; 0]);
}

#[test]
fn a_subagent_that_is_deleted_works_no_more() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0), answer()]));
    told.update(2.0, "child", &running().of_root("c"));
    told.update(3.0, "c", &idle());
    told.tick(50.0);
    assert_eq!(told.ended().len(), 0);
    told.delete(51.0, "child");
    told.delete(51.0, "nobody");
    told.tick(60.0);
    assert_eq!(told.ended().len(), 1);
}
