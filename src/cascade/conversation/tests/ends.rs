//! When a run is over, and how it ended.

use super::*;

#[test]
fn a_run_from_frames() {
    let mut scenario = Scenario::empty();
    assert_eq!(
        scenario.say_runs(5.1, idle().steps(0, [input(5.0)])),
        [""; 0],
        "idle before the run begins"
    );
    assert_eq!(scenario.say_runs(5.4, running()), ["5-"]);
    assert!(scenario.conversation.is_running());
    assert_eq!(
        scenario.say_runs(7.0, Update::default().steps(1, [done()])),
        [""; 0],
        "a sparse frame"
    );
    assert_eq!(scenario.say_runs(8.0, idle()), [""; 0]);
    assert_eq!(
        scenario.conversation.current().map(|(_, ended)| ended),
        Some(Some(scenario.at(8.0).at))
    );
    assert_eq!(scenario.tick(10.9), []);
    assert_eq!(scenario.finish(11.0), ["5-8 ok"]);
    assert!(!scenario.conversation.is_running());
    assert_eq!(scenario.finish(12.0), [""; 0]);
}

#[test]
fn an_idle_gap_is_no_end() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, idle().steps(1, [done()]));
    assert_eq!(scenario.tick(4.9), []);
    assert_eq!(scenario.say(4.9, running()), []);
    assert_eq!(scenario.tick(60.0), [], "it works");
    scenario.say(61.0, idle());
    assert_eq!(scenario.finish(61.0), ["1-61 ok"]);
}

#[test]
fn news_that_come_after_a_gap_that_was_the_end_begin_another_run() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, idle().steps(1, [done()]));
    assert_eq!(
        scenario.say_runs(5.0, running()),
        ["1-2 ok", "5-"],
        "no tick came between"
    );
}

#[test]
fn an_agent_that_says_fully_idle_is_believed_nothing_less() {
    let mut scenario = Scenario::empty();
    scenario.says_fully_idle = true;
    scenario.say(1.0, running().steps(0, [input(1.0)]));
    scenario.say(2.0, idle().steps(1, [done()]));
    assert_eq!(scenario.tick(1000.0), [], "a subagent works");
    assert!(scenario.conversation.is_running());
    scenario.say(1001.0, idle().fully());
    assert_eq!(scenario.tick(1001.4), []);
    let ended = scenario.tick(1001.5);
    assert_eq!(scenario.runs(&ended), ["1-1001 ok"]);
}

#[test]
fn a_frame_that_says_nothing_but_fully_idle_ends_the_run() {
    let mut scenario = Scenario::empty();
    scenario.says_fully_idle = true;
    scenario.say(1.0, running().steps(0, [input(1.0), done()]));
    scenario.say(2.0, Update::default().fully());
    assert_eq!(scenario.finish(3.0), ["1-2 ok"]);
}

#[test]
fn fully_idle_shortens_the_waiting() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0), done()]));
    scenario.say(2.0, idle());
    scenario.say(2.1, idle().fully());
    let ended = scenario.tick(2.6);
    assert_eq!(scenario.runs(&ended), ["1-2 ok"]);
}

#[test]
fn cancels_and_errors() {
    let cancel = RunOutcome::Canceled;
    let ends = [
        (vec![status(RunStatus::Canceling), idle()], cancel),
        (
            vec![status(RunStatus::Canceling), status(RunStatus::Error)],
            cancel,
        ),
        (vec![idle().termination(0, Termination::Canceled)], cancel),
        (
            vec![
                idle(),
                Update::default().termination(0, Termination::Canceled),
            ],
            cancel,
        ),
        (
            vec![idle().steps(1, [step(StepKind::RunCommand, StepStatus::Canceled)])],
            cancel,
        ),
        (
            vec![idle().termination(0, Termination::Error)],
            RunOutcome::Error,
        ),
        (vec![status(RunStatus::Error)], RunOutcome::Error),
        (vec![status(RunStatus::Error), idle()], RunOutcome::Error),
        (
            vec![idle().steps(2, [step(StepKind::ErrorMessage, StepStatus::Done)])],
            RunOutcome::Error,
        ),
        (
            vec![idle().steps(2, [step(StepKind::RunCommand, StepStatus::Error)])],
            RunOutcome::Error,
        ),
        (
            vec![
                idle(),
                Update::default().steps(2, [step(StepKind::ErrorMessage, StepStatus::Done)]),
            ],
            RunOutcome::Error,
        ),
        (
            vec![status(RunStatus::Error), running(), idle()],
            RunOutcome::Ok,
        ),
        (
            vec![
                Update::default().steps(2, [step(StepKind::RunCommand, StepStatus::Error), done()]),
                idle(),
            ],
            RunOutcome::Ok,
        ),
        (
            vec![idle().termination(0, Termination::Finished)],
            RunOutcome::Ok,
        ),
        (
            vec![idle().steps(2, [step(StepKind::Checkpoint, StepStatus::Error)])],
            RunOutcome::Ok,
        ),
        (
            vec![idle().steps(
                2,
                [
                    step(StepKind::ErrorMessage, StepStatus::Done),
                    step(StepKind::Checkpoint, StepStatus::Done),
                ],
            )],
            RunOutcome::Error,
        ),
    ];
    for (ends, outcome) in ends {
        let mut scenario = Scenario::empty();
        scenario.say(1.0, running().steps(0, [input(1.0), done()]));
        for end in &ends {
            assert_eq!(scenario.say_runs(2.0, end.clone()), [""; 0]);
        }
        assert_eq!(scenario.finish(2.0), [format!("1-2 {outcome}")], "{ends:?}");
    }
}

#[test]
fn what_ended_one_run_says_nothing_of_the_next() {
    let mut scenario = Scenario::empty();
    scenario.say(1.0, running().steps(0, [input(1.0), done()]));
    scenario.say(2.0, status(RunStatus::Canceling));
    scenario.say(3.0, idle());
    assert_eq!(scenario.finish(3.0), ["1-3 canceled"]);
    assert_eq!(
        scenario.say(
            200.0,
            Update::default().termination(0, Termination::Canceled)
        ),
        [],
        "late"
    );
    scenario.say(201.0, running().steps(2, [input(201.0), done()]));
    scenario.say(202.0, idle());
    assert_eq!(scenario.finish(202.0), ["201-202 ok"]);
}

#[test]
fn what_is_lost_in_every_state() {
    let mut scenario = Scenario::empty();
    assert_eq!(scenario.lose(1.0), [], "no run");
    scenario.say(1.0, idle().steps(0, [input(1.0)]));
    assert_eq!(scenario.lose(2.0), [], "a message alone");
    assert!(!scenario.conversation.waits());
    scenario.say(3.0, running());
    let lost = scenario.lose(4.0);
    assert_eq!(scenario.runs(&lost), ["1-4 lost"]);
    scenario.say(5.0, running().steps(1, [input(5.0), done()]));
    scenario.say(6.0, idle());
    let lost = scenario.lose(7.0);
    assert_eq!(scenario.runs(&lost), ["5-6 ok"], "it had ended");
    assert_eq!(scenario.lose(8.0), []);
}

#[derive(Debug, Clone)]
enum Act {
    Listed(bool),
    Lose,
    Say(Box<Update>, UpdateSource, bool),
    Tick,
}

fn any_status() -> impl Strategy<Value = RunStatus> {
    use RunStatus::{Busy, Canceling, Error, Idle, Running};
    prop::sample::select(vec![
        Busy, Canceling, Error, Idle, Idle, Idle, Running, Running,
    ])
}

fn any_time() -> impl Strategy<Value = Option<SystemTime>> {
    prop::option::of(
        (0..2_000_000_u32)
            .prop_map(|seconds| wall(f64::from(seconds)))
            .boxed()
            .prop_union(
                (999_900..1_000_200_u32)
                    .prop_map(|seconds| wall(f64::from(seconds)))
                    .boxed(),
            ),
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    use StepKind::{ErrorMessage, InvokeSubagent, PlannerResponse, UserInput};
    use StepStatus::{Canceled, Done, Error, Running};
    let kind = prop::sample::select(vec![
        UserInput,
        UserInput,
        PlannerResponse,
        ErrorMessage,
        InvokeSubagent,
    ]);
    let status = prop::sample::select(vec![Done, Running, Error, Canceled]);
    (kind, status, any_time(), any_time(), any::<bool>()).prop_map(
        |(kind, status, created_at, completed_at, has_text)| Step {
            kind,
            status,
            created_at,
            completed_at,
            has_text,
        },
    )
}

fn any_trajectory() -> impl Strategy<Value = TrajectoryUpdate> {
    let termination = prop::sample::select(vec![
        Termination::Canceled,
        Termination::Error,
        Termination::Finished,
    ]);
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let generation = name.prop_map(generation);
    (
        prop::option::of(any_status()),
        prop::collection::vec((0..8_u32, any_step()), 0..4),
        prop::option::weighted(0.2, 0..9_u32),
        prop::collection::vec((0..4_u32, generation), 0..3),
        prop::collection::vec((0..3_u32, termination), 0..2),
    )
        .prop_map(
            |(status, steps, total_steps, generations, terminations)| TrajectoryUpdate {
                status,
                steps,
                total_steps,
                generations,
                terminations,
            },
        )
}

fn any_update() -> impl Strategy<Value = Update> {
    let subs = prop::collection::vec(
        (
            prop::sample::select(vec![id("s"), id("t")]),
            any_trajectory(),
        ),
        0..2,
    );
    (
        prop::option::of(any_status()),
        any::<bool>(),
        prop::bool::weighted(0.2),
        any::<bool>(),
        any_trajectory(),
        subs,
    )
        .prop_map(
            |(status, fully_idle, has_active_children, after_gap, main, subtrajectories)| Update {
                status,
                fully_idle,
                has_active_children,
                after_gap,
                main,
                subtrajectories,
                ..Update::default()
            },
        )
}

fn any_act() -> impl Strategy<Value = Act> {
    use UpdateSource::{AgentState, Polling, Reactive};
    let source = prop::sample::select(vec![AgentState, Polling, Reactive]);
    let say = (any_update(), source, any::<bool>());
    prop_oneof![
        2 => any::<bool>().prop_map(Act::Listed),
        1 => Just(Act::Lose),
        10 => say.prop_map(|(update, source, fully)| Act::Say(Box::new(update), source, fully)),
        5 => Just(Act::Tick),
    ]
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn every_run_that_starts_ends_once(acts in prop::collection::vec((0..5_000_u32, any_act()), 0..60)) {
        let mut scenario = Scenario::stream();
        let (mut millis, mut open, mut last_end) = (0, None, None);
        let lost = (0, Act::Lose);
        for (pause, act) in acts.into_iter().chain([lost]) {
            millis += pause;
            let now = scenario.at(f64::from(millis) / 1000.0);
            let events = match act {
                Act::Listed(is_at_work) => scenario.conversation.apply_listed(is_at_work, now),
                Act::Lose => scenario.conversation.lose(now),
                Act::Say(update, source, says_fully_idle) => {
                    scenario.conversation.apply(&update, source, says_fully_idle, now)
                }
                Act::Tick => scenario.conversation.tick(now),
            };
            for event in events {
                match event {
                    Event::RunStarted(began) => {
                        prop_assert!(last_end.is_none_or(|end| began.at >= end), "{began:?} before {last_end:?}");
                        prop_assert!(open.replace(began).is_none(), "two runs at once");
                        prop_assert!(began.at <= now.at && began.wall <= now.wall);
                    }
                    Event::RunEnded(run) => {
                        let began = open.take();
                        prop_assert!(began.is_some_and(|began| run.began.at <= began.at), "{run:?}");
                        prop_assert!(run.began.at <= run.ended && run.ended <= run.latest && run.latest <= now.at);
                        prop_assert!(last_end.is_none_or(|end| run.began.at >= end), "{run:?} before {last_end:?}");
                        last_end = Some(run.latest);
                    }
                    Event::Generation { .. } | Event::StepEnded(..) => {}
                }
            }
            prop_assert_eq!(open.is_some(), scenario.conversation.is_running());
        }
        prop_assert!(open.is_none());
    }
}
