use proptest::prelude::*;

use super::news::MAX_SUBTRAJECTORIES;
use super::*;
use crate::cascade::telling::{generation, id, idle, running, status};
use crate::cascade::update::{MAX_ENTRIES, Step, TrajectoryUpdate};

/// A conversation, told at times in seconds since it began to be followed.
struct Told {
    conversation: Conversation,
    zero: Moment,
    source: UpdateSource,
    says_fully_idle: bool,
}

impl Told {
    fn by(source: UpdateSource) -> Self {
        // Far from the clock's own beginning, so that every time before exists.
        let zero = Moment { at: Instant::now() + Duration::from_secs(200_000), wall: wall(1_000_000.0) };
        Self { conversation: Conversation::new(zero.wall), zero, source, says_fully_idle: false }
    }

    fn stream() -> Self {
        Self::by(UpdateSource::AgentState)
    }

    fn polling() -> Self {
        Self::by(UpdateSource::Polling)
    }

    /// A stream whose first picture is that of an empty conversation.
    fn empty() -> Self {
        let mut told = Self::stream();
        assert_eq!(told.say(0.0, idle()), []);
        told
    }

    fn at(&self, seconds: f64) -> Moment {
        let since = Duration::from_secs_f64(seconds);
        Moment { at: self.zero.at + since, wall: self.zero.wall + since }
    }

    fn say(&mut self, seconds: f64, update: Update) -> Vec<Event> {
        let after_gap = update.after_gap || self.source == UpdateSource::Polling;
        let update = Update { after_gap, ..update };
        self.conversation.apply(&update, self.source, self.says_fully_idle, self.at(seconds))
    }

    fn tick(&mut self, seconds: f64) -> Vec<Event> {
        self.conversation.tick(self.at(seconds))
    }

    fn lose(&mut self, seconds: f64) -> Vec<Event> {
        self.conversation.lose(self.at(seconds))
    }

    /// Ticks until nothing is waited for any more, and tells the runs: `began-ended outcome`.
    fn finish(&mut self, seconds: f64) -> Vec<String> {
        let events = self.tick(seconds + 100.0);
        assert!(!self.conversation.waits());
        self.runs(&events)
    }

    fn seconds(&self, at: Instant) -> f64 {
        let after = at.saturating_duration_since(self.zero.at).as_secs_f64();
        let before = self.zero.at.saturating_duration_since(at).as_secs_f64();
        ((after - before) * 10.0).round() / 10.0
    }

    fn runs(&self, events: &[Event]) -> Vec<String> {
        let runs = events.iter().filter_map(|event| match event {
            Event::RunStarted(began) => Some(format!("{}-", self.seconds(began.at))),
            Event::RunEnded(EndedRun { began, ended, outcome, .. }) => {
                Some(format!("{}-{} {outcome}", self.seconds(began.at), self.seconds(*ended)))
            }
            _ => None,
        });
        runs.collect()
    }

    fn say_runs(&mut self, seconds: f64, update: Update) -> Vec<String> {
        let events = self.say(seconds, update);
        self.runs(&events)
    }
}

/// A wall time; that of the following is 1,000,000.
fn wall(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

fn step(kind: StepKind, status: StepStatus) -> Step {
    Step { kind, status, has_text: kind == StepKind::PlannerResponse, ..Step::default() }
}

/// A message of the user, so many seconds after the following began.
fn input(seconds: f64) -> Step {
    let created_at = Some(wall(1_000_000.0 + seconds));
    Step { created_at, completed_at: created_at, ..step(StepKind::UserInput, StepStatus::Done) }
}

fn undated() -> Step {
    step(StepKind::UserInput, StepStatus::Done)
}

fn answer(seconds: f64) -> Step {
    Step { completed_at: Some(wall(1_000_000.0 + seconds)), ..step(StepKind::PlannerResponse, StepStatus::Done) }
}

fn done() -> Step {
    step(StepKind::PlannerResponse, StepStatus::Done)
}

fn steps_ended(events: &[Event]) -> Vec<&'static str> {
    use crate::record::Label as _;
    let steps = events.iter().filter_map(|event| match event {
        Event::StepEnded(kind, _) => Some(kind.as_str()),
        _ => None,
    });
    steps.collect()
}

/// The generations that were told, the fresh ones with a `!`.
fn generations(events: &[Event]) -> Vec<String> {
    let generations = events.iter().filter_map(|event| match event {
        Event::Generation { generation, fresh } => {
            Some(format!("{}{}", generation.traces[0], if *fresh { "!" } else { "" }))
        }
        _ => None,
    });
    generations.collect()
}

#[test]
fn a_run_from_frames() {
    let mut told = Told::empty();
    assert_eq!(told.say_runs(5.1, idle().steps(0, [input(5.0)])), [""; 0], "idle before the run begins");
    assert_eq!(told.say_runs(5.4, running()), ["5-"]);
    assert!(told.conversation.is_running());
    assert_eq!(told.say_runs(7.0, Update::default().steps(1, [done()])), [""; 0], "a sparse frame");
    assert_eq!(told.say_runs(8.0, idle()), [""; 0]);
    assert_eq!(told.conversation.current().map(|(_, ended)| ended), Some(Some(told.at(8.0).at)));
    assert_eq!(told.tick(10.9), []);
    assert_eq!(told.finish(11.0), ["5-8 ok"]);
    assert!(!told.conversation.is_running());
    assert_eq!(told.finish(12.0), [""; 0]);
}

#[test]
fn a_first_frame_in_the_middle_of_a_run() {
    let mut told = Told::stream();
    let history = [input(-500.0), answer(-400.0), input(-20.0), answer(-5.0)];
    let events = told.say(
        1.0,
        running()
            .steps(0, history)
            .generations(0, [generation("a"), generation("b")])
            .termination(0, Termination::Error),
    );
    assert_eq!(told.runs(&events), ["-20-"]);
    assert_eq!(steps_ended(&events), ["user_input", "planner_response"], "those of the run");
    assert_eq!(generations(&events), ["a", "b"], "may be older than the house");
    let events = told.say(2.0, Update::default().generations(2, [generation("c")]));
    assert_eq!(generations(&events), ["c!"]);
    told.say(3.0, idle());
    assert_eq!(told.finish(3.0), ["-20-3 ok"]);
}

#[test]
fn the_first_frame_of_a_new_conversation_is_no_history() {
    let mut told = Told::stream();
    let events = told.say(9.0, running().steps(0, [input(8.0), done()]).generations(0, [generation("a")]));
    assert_eq!(told.runs(&events), ["8-"]);
    assert_eq!((steps_ended(&events).len(), generations(&events)), (2, vec!["a!".to_owned()]));
}

#[test]
fn history_is_not_counted() {
    for source in [UpdateSource::AgentState, UpdateSource::Reactive, UpdateSource::Polling] {
        let mut told = Told::by(source);
        let history = idle().steps(0, [input(-500.0), answer(-400.0), input(-300.0), answer(-200.0)]);
        let events = told.say(
            1.0,
            history.clone().generations(0, [generation("a"), generation("b")]).termination(0, Termination::Canceled),
        );
        assert_eq!(events.len(), 2, "{source}: {events:?}");
        assert_eq!(generations(&events), ["a", "b"]);
        assert_eq!(told.say(2.0, history), []);
        assert_eq!(told.say_runs(10.0, running().steps(4, [input(9.9)])), ["9.9-"]);
        told.say(11.0, idle().steps(5, [done()]));
        assert_eq!(told.finish(11.0), ["9.9-11 ok"]);
    }
}

#[test]
fn history_that_polling_brings_in_parts_is_not_counted() {
    let mut told = Told::polling();
    assert_eq!(told.say(1.0, idle()), []);
    assert_eq!(told.say(1.1, Update::default().steps(0, [input(-500.0), answer(-400.0)])), []);
    assert_eq!(
        generations(&told.say(1.2, Update::default().generations(0, [generation("a"), generation("b")]))),
        ["a", "b"]
    );
    assert_eq!(generations(&told.say(9.0, running().generations(2, [generation("c")]))), ["c!"]);

    let mut told = Told::polling();
    assert_eq!(told.say(1.0, running()), [], "what it works on is not known yet");
    assert_eq!(told.say_runs(1.1, Update::default().steps(0, [input(-500.0), answer(-400.0), input(-9.0)])), ["-9-"]);
}

#[test]
fn a_state_that_has_no_trajectory_yet_is_no_picture() {
    let mut told = Told::by(UpdateSource::Reactive);
    assert_eq!(told.say(0.0, idle()), []);
    assert_eq!(told.say(0.1, idle().steps(0, [input(-500.0), answer(-400.0)])), []);
}

#[test]
fn an_idle_gap_is_no_end() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [done()]));
    assert_eq!(told.tick(4.9), []);
    assert_eq!(told.say(4.9, running()), []);
    assert_eq!(told.tick(60.0), [], "it works");
    told.say(61.0, idle());
    assert_eq!(told.finish(61.0), ["1-61 ok"]);
}

#[test]
fn news_that_come_after_a_gap_that_was_the_end_begin_another_run() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [done()]));
    assert_eq!(told.say_runs(5.0, running()), ["1-2 ok", "5-"], "no tick came between");
}

#[test]
fn an_agent_that_says_fully_idle_is_believed_nothing_less() {
    let mut told = Told::empty();
    told.says_fully_idle = true;
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [done()]));
    assert_eq!(told.tick(1000.0), [], "a subagent works");
    assert!(told.conversation.is_running());
    told.say(1001.0, idle().fully());
    assert_eq!(told.tick(1001.4), []);
    let ended = told.tick(1001.5);
    assert_eq!(told.runs(&ended), ["1-1001 ok"]);
}

#[test]
fn a_frame_that_says_nothing_but_fully_idle_ends_the_run() {
    let mut told = Told::empty();
    told.says_fully_idle = true;
    told.say(1.0, running().steps(0, [input(1.0), done()]));
    told.say(2.0, Update::default().fully());
    assert_eq!(told.finish(3.0), ["1-2 ok"]);
}

#[test]
fn fully_idle_shortens_the_waiting() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0), done()]));
    told.say(2.0, idle());
    told.say(2.1, idle().fully());
    let ended = told.tick(2.6);
    assert_eq!(told.runs(&ended), ["1-2 ok"]);
}

#[test]
fn a_run_lasts_as_long_as_its_subagents() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [done()]).with_children());
    assert_eq!(told.tick(100.0), []);
    told.say(101.0, idle());
    assert_eq!(told.finish(101.0), ["1-101 ok"]);
}

#[test]
fn a_subagent_that_is_seen_to_work_later_reopens_the_run() {
    let of = |status| TrajectoryUpdate { status: Some(status), ..TrajectoryUpdate::default() };
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [done()]));
    told.say(3.0, Update::default().sub("s", of(RunStatus::Running)));
    assert_eq!(told.tick(100.0), []);
    told.say(101.0, Update::default().sub("s", of(RunStatus::Idle)));
    assert_eq!(told.finish(101.0), ["1-101 ok"]);
    told.say(300.0, running().steps(2, [input(300.0)]));
    told.say(301.0, idle().steps(3, [done()]));
    told.say(302.0, Update::default().with_children());
    assert_eq!(told.tick(400.0), [], "a sparse frame says that children work");
    told.say(401.0, idle());
    assert_eq!(told.finish(401.0), ["300-401 ok"]);
}

#[test]
fn cancels_and_errors() {
    let cancel = RunOutcome::Canceled;
    let ends = [
        (vec![status(RunStatus::Canceling), idle()], cancel),
        (vec![status(RunStatus::Canceling), status(RunStatus::Error)], cancel),
        (vec![idle().termination(0, Termination::Canceled)], cancel),
        (vec![idle(), Update::default().termination(0, Termination::Canceled)], cancel),
        (vec![idle().steps(1, [step(StepKind::RunCommand, StepStatus::Canceled)])], cancel),
        (vec![idle().termination(0, Termination::Error)], RunOutcome::Error),
        (vec![status(RunStatus::Error)], RunOutcome::Error),
        (vec![status(RunStatus::Error), idle()], RunOutcome::Error),
        (vec![idle().steps(2, [step(StepKind::ErrorMessage, StepStatus::Done)])], RunOutcome::Error),
        (vec![idle().steps(2, [step(StepKind::RunCommand, StepStatus::Error)])], RunOutcome::Error),
        (vec![idle(), Update::default().steps(2, [step(StepKind::ErrorMessage, StepStatus::Done)])], RunOutcome::Error),
        (vec![status(RunStatus::Error), running(), idle()], RunOutcome::Ok),
        (
            vec![Update::default().steps(2, [step(StepKind::RunCommand, StepStatus::Error), done()]), idle()],
            RunOutcome::Ok,
        ),
        (vec![idle().termination(0, Termination::Finished)], RunOutcome::Ok),
        (vec![idle().steps(2, [step(StepKind::Checkpoint, StepStatus::Error)])], RunOutcome::Ok),
        (
            vec![idle().steps(
                2,
                [step(StepKind::ErrorMessage, StepStatus::Done), step(StepKind::Checkpoint, StepStatus::Done)],
            )],
            RunOutcome::Error,
        ),
    ];
    for (ends, outcome) in ends {
        let mut told = Told::empty();
        told.say(1.0, running().steps(0, [input(1.0), done()]));
        for end in &ends {
            assert_eq!(told.say_runs(2.0, end.clone()), [""; 0]);
        }
        assert_eq!(told.finish(2.0), [format!("1-2 {outcome}")], "{ends:?}");
    }
}

#[test]
fn what_ended_one_run_says_nothing_of_the_next() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0), done()]));
    told.say(2.0, status(RunStatus::Canceling));
    told.say(3.0, idle());
    assert_eq!(told.finish(3.0), ["1-3 canceled"]);
    assert_eq!(told.say(200.0, Update::default().termination(0, Termination::Canceled)), [], "late");
    told.say(201.0, running().steps(2, [input(201.0), done()]));
    told.say(202.0, idle());
    assert_eq!(told.finish(202.0), ["201-202 ok"]);
}

#[test]
fn a_new_message_ends_a_run_that_seems_to_be_over_as_it_stood() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, status(RunStatus::Canceling));
    told.say(3.0, idle());
    assert_eq!(told.say_runs(4.0, running().steps(1, [input(3.9), done()])), ["1-3 canceled", "3.9-"]);
    told.say(5.0, status(RunStatus::Error).steps(3, [step(StepKind::ErrorMessage, StepStatus::Done)]));
    assert_eq!(told.say_runs(6.0, idle().steps(4, [input(5.9)])), ["3.9-5 error"]);
    assert_eq!(told.say_runs(6.2, running()), ["5.9-"]);
    told.say(7.0, idle().steps(5, [done()]));
    assert_eq!(told.finish(7.0), ["5.9-7 ok"]);
}

#[test]
fn work_that_is_seen_before_its_message_is_that_of_the_message() {
    let mut told = Told::empty();
    assert_eq!(told.say_runs(1.2, running()), ["1.2-"]);
    told.say(1.3, Update::default().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [done()]));
    assert_eq!(told.say_runs(3.2, running()), [""; 0], "as far as is known");
    assert_eq!(told.say_runs(3.3, running().steps(2, [input(3.0)])), ["1-2 ok", "3-"]);
    told.say(5.0, idle().steps(3, [done()]));
    assert_eq!(told.finish(5.0), ["3-5 ok"]);
}

#[test]
fn a_message_that_comes_while_the_agent_works_is_part_of_the_run() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, Update::default().steps(1, [done(), input(2.0)]));
    told.say(3.0, idle());
    told.say(4.0, running().steps(3, [done()]));
    told.say(5.0, idle());
    assert_eq!(told.finish(5.0), ["1-5 ok"]);
    assert_eq!(told.say(200.0, idle().steps(0, [input(1.0), done(), input(2.0), done()])), []);
    assert_eq!(told.finish(400.0), [""; 0]);
}

#[test]
fn a_swallowed_prompt_by_stream() {
    let mut told = Told::empty();
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.say(2.0, idle().steps(1, [step(StepKind::EphemeralMessage, StepStatus::Done)]));
    assert_eq!(told.finish(2.0), ["1-2 swallowed"]);
    told.say(201.0, running().steps(2, [input(201.0)]));
    told.say(202.0, idle().generations(0, [generation("a")]));
    assert_eq!(told.finish(202.0), ["201-202 ok"], "a model was called");
    told.say(401.0, running().steps(3, [input(401.0)]));
    told.say(402.0, idle().steps(4, [Step { has_text: false, ..done() }]));
    assert_eq!(told.finish(402.0), ["401-402 swallowed"], "nothing was said");
}

#[test]
fn a_swallowed_prompt_by_polling() {
    let mut told = Told::polling();
    told.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    assert_eq!(told.say_runs(6.0, idle().steps(2, [input(5.0)])), [""; 0]);
    assert_eq!(told.tick(15.9), []);
    let events = told.tick(16.0);
    assert_eq!(told.runs(&events), ["5-", "5-5 swallowed"]);
    assert_eq!(told.tick(600.0), []);
    assert_eq!(told.say_runs(700.0, running()), ["700-"], "it was not lost after all");
}

#[test]
fn a_message_that_is_taken_back_was_not_swallowed() {
    let mut told = Told::polling();
    told.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    told.say(6.0, idle().steps(2, [input(5.0)]));
    let total_steps = Some(2);
    told.say(7.0, Update { main: TrajectoryUpdate { total_steps, ..TrajectoryUpdate::default() }, ..idle() });
    assert_eq!(told.finish(7.0), [""; 0]);
}

#[test]
fn the_wait_for_an_answer_does_not_move_the_beginning() {
    let mut told = Told::empty();
    told.say(5.0, idle().steps(0, [input(5.0)]));
    for seconds in 6..14 {
        assert_eq!(told.say(f64::from(seconds), idle()), []);
    }
    assert_eq!(told.say_runs(14.0, running()), ["5-"]);
}

#[test]
fn a_run_between_two_looks() {
    let mut told = Told::polling();
    told.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    let events = told.say(9.0, idle().steps(2, [input(5.0), answer(7.5)]).generations(0, [generation("old")]));
    assert_eq!(told.runs(&events), ["5-"]);
    assert_eq!(steps_ended(&events).len(), 2);
    assert_eq!(told.finish(9.0), ["5-7.5 ok"]);
}

#[test]
fn several_runs_between_two_looks() {
    let canceled = Step { status: StepStatus::Canceled, has_text: false, ..answer(5.5) };
    let turns = [input(2.0), answer(3.0), input(4.0), input(5.0), canceled, input(6.0)];
    let runs = ["2-", "2-3 ok", "4-", "4-4 swallowed", "5-", "5-5.5 canceled", "6-"];
    let mut told = Told::polling();
    told.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    let events = told.say(9.0, running().steps(2, turns.clone()).generations(0, [generation("a"), generation("b")]));
    assert_eq!((told.runs(&events), steps_ended(&events).len()), (runs.map(str::to_owned).to_vec(), 6));
    told.say(9.5, idle());
    assert_eq!(told.finish(9.5), ["6-9.5 swallowed"], "what the agent called for was for others");

    let mut told = Told::by(UpdateSource::Reactive);
    let history = [input(-100.0), answer(-50.0)];
    let first = told.say(9.0, idle().steps(0, history).steps(2, turns).steps(8, [answer(8.0)]));
    assert_eq!(
        (told.runs(&first), steps_ended(&first).len()),
        (runs.map(str::to_owned).to_vec(), 7),
        "in a first picture"
    );
    assert_eq!(told.finish(9.0), ["6-8 ok"]);
}

#[test]
fn a_run_that_is_followed_by_another_between_two_looks() {
    let begun = |source| {
        let mut told = Told::by(source);
        told.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
        told.say(1.0, running().steps(2, [input(1.0)]));
        told
    };
    let mut told = begun(UpdateSource::Polling);
    assert_eq!(told.say_runs(5.0, running().steps(3, [answer(2.0), input(3.0)])), ["1-2 ok", "3-"]);
    let mut told = begun(UpdateSource::Polling);
    assert_eq!(told.say_runs(5.0, running().steps(3, [answer(3.5), input(3.0)])), [""; 0], "it was still at work");
    let mut told = begun(UpdateSource::Polling);
    assert_eq!(told.say_runs(5.0, running().steps(3, [done(), undated()])), [""; 0], "nothing tells");
    let mut told = begun(UpdateSource::AgentState);
    assert_eq!(told.say_runs(5.0, running().steps(3, [answer(2.0), input(3.0)])), [""; 0], "a stream would have told");
    let mut told = begun(UpdateSource::AgentState);
    let again = idle().steps(3, [answer(2.0), input(3.0), answer(4.0)]);
    assert_eq!(told.say_runs(5.0, again), ["1-2 ok", "3-"], "a new stream did not");
    assert_eq!(told.finish(5.0), ["3-4 ok"]);
    let mut told = begun(UpdateSource::AgentState);
    let reopened = Update { after_gap: true, ..running().steps(3, [answer(2.0), input(3.0)]) };
    assert_eq!(told.say_runs(5.0, reopened), ["1-2 ok", "3-"], "a stream that was opened again did not");
    told.say(6.0, idle());
    assert_eq!(told.finish(6.0), ["3-6 swallowed"]);
}

#[test]
fn messages_that_come_between_two_steps_are_of_one_run() {
    let mut told = Told::polling();
    told.say(0.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    let tool = Step { kind: StepKind::RunCommand, ..answer(2.0) };
    let turn = [input(1.0), answer(1.5), tool, input(2.5), answer(4.0)];
    assert_eq!(told.say_runs(5.0, idle().steps(2, turn)), ["1-"]);
    assert_eq!(told.finish(5.0), ["1-4 ok"]);
}

#[test]
fn a_polled_run_ends_with_its_last_step() {
    let mut told = Told::polling();
    told.say(1.0, idle().steps(0, [input(-100.0), answer(-50.0)]));
    told.say(6.0, running().steps(2, [input(5.0)]));
    told.say(8.0, running());
    told.say(9.0, idle());
    told.say(9.1, Update::default().steps(3, [answer(8.4)]));
    assert_eq!(told.finish(9.0), ["5-8.4 ok"], "in whichever order");
    told.say(206.0, running().steps(4, [input(205.0)]));
    told.say(208.9, Update::default().steps(5, [answer(208.4)]));
    told.say(209.0, idle());
    assert_eq!(told.finish(209.0), ["205-208.4 ok"]);
}

#[test]
fn clocks_that_go_wrong_are_not_believed() {
    for off in [3600.0, 3.0, -3600.0, -100_000.0, -999_800.0] {
        let mut told = Told::polling();
        told.say(1.0, idle().steps(0, [input(off - 100.0), answer(off - 90.0)]));
        assert_eq!(told.say_runs(20.0, running().steps(2, [input(off + 19.0)])), ["20-"], "{off}");
        told.say(30.0, idle().steps(3, [answer(off + 29.0)]));
        assert_eq!(told.finish(30.0), ["20-30 ok"], "{off}");
    }
    let mut told = Told::stream();
    assert_eq!(told.say_runs(1.0, running().steps(0, [input(-999_999.0)])), ["1-"], "a clock that was never set");
    let mut told = Told::stream();
    assert_eq!(told.say(1.0, idle().steps(0, [input(3600.0), answer(3601.0)])), [], "history, by a clock ahead");
}

#[test]
fn a_slightly_faster_clock_begins_no_run_in_the_future() {
    let mut told = Told::empty();
    let events = told.say(5.0, running().steps(0, [input(6.5)]));
    let [Event::RunStarted(began), ..] = events[..] else { panic!("{events:?}") };
    assert_eq!((began.at, began.wall, began.is_told), (told.at(5.0).at, told.at(5.0).wall, true));
}

#[test]
fn without_times_what_is_seen_counts() {
    let mut told = Told::empty();
    assert_eq!(told.say_runs(1.0, idle().steps(0, [undated()])), [""; 0]);
    assert_eq!(told.say_runs(2.0, running()), ["1-"], "when the message was seen");
    told.say(4.0, idle().steps(1, [done()]));
    assert_eq!(told.finish(4.0), ["1-4 ok"]);
    let mut told = Told::polling();
    told.say(1.0, idle().steps(0, [undated(), done()]));
    assert_eq!(told.say_runs(9.0, idle().steps(2, [undated(), done()])), ["9-"]);
    assert_eq!(told.finish(9.0), ["9-9 ok"]);
}

#[test]
fn what_is_lost_in_every_state() {
    let mut told = Told::empty();
    assert_eq!(told.lose(1.0), [], "no run");
    told.say(1.0, idle().steps(0, [input(1.0)]));
    assert_eq!(told.lose(2.0), [], "a message alone");
    assert!(!told.conversation.waits());
    told.say(3.0, running());
    let lost = told.lose(4.0);
    assert_eq!(told.runs(&lost), ["1-4 lost"]);
    told.say(5.0, running().steps(1, [input(5.0), done()]));
    told.say(6.0, idle());
    let lost = told.lose(7.0);
    assert_eq!(told.runs(&lost), ["5-6 ok"], "it had ended");
    assert_eq!(told.lose(8.0), []);
}

#[test]
fn a_reconnected_stream_tells_nothing_twice() {
    let mut told = Told::empty();
    let frame = running().steps(0, [input(1.0), done()]).generations(0, [generation("a")]);
    let events = told.say(1.0, frame.clone());
    assert_eq!((steps_ended(&events).len(), generations(&events).len()), (2, 1));
    assert_eq!(told.say(2.0, frame.clone()), []);
    assert_eq!(told.say(3.0, Update { status: Some(RunStatus::Idle), ..frame.clone() }), []);
    assert_eq!(told.finish(3.0), ["1-3 ok"]);
    assert_eq!(told.say(200.0, Update { status: Some(RunStatus::Idle), ..frame }), []);
    assert_eq!(told.conversation.known(None), (2, 1));
}

#[test]
fn an_entry_that_is_under_way_comes_again() {
    let mut told = Told::empty();
    let begun = Generation { usage: None, ..generation("a") };
    let mut update = running().steps(0, [input(1.0), step(StepKind::PlannerResponse, StepStatus::Generating)]);
    update.main.generations = vec![(0, begun), (1, generation("b"))];
    let events = told.say(1.0, update);
    assert_eq!((steps_ended(&events), generations(&events)), (vec!["user_input"], vec!["b!".to_owned()]));
    let events = told.say(2.0, Update::default().steps(1, [done()]).generations(0, [generation("a")]));
    assert_eq!((steps_ended(&events), generations(&events)), (vec!["planner_response"], vec!["a!".to_owned()]));
}

#[test]
fn steps_that_are_taken_back_may_come_again() {
    let mut told = Told::empty();
    told.say(
        1.0,
        running().steps(0, [input(1.0), done(), input(2.0), done()]).generations(0, [generation("a"), generation("b")]),
    );
    told.say(2.0, idle());
    assert_eq!(told.finish(2.0), ["1-2 ok"]);
    let mut update = running().steps(0, [input(1.0), input(300.0), done()]).generations(1, [generation("c")]);
    update.main.total_steps = Some(3);
    let events = told.say(300.0, update);
    assert_eq!(told.conversation.known(None).0, 3);
    assert_eq!(told.runs(&events), ["300-"], "the second message was written anew");
    assert_eq!(generations(&events), ["c!"]);
    told.say(301.0, idle());
    assert_eq!(told.finish(301.0), ["300-301 ok"]);
}

#[test]
fn hostile_indices_take_no_room() {
    let mut told = Told::empty();
    let mut update = running();
    for index in [MAX_ENTRIES, u32::MAX] {
        update.main.steps.push((index, input(1.0)));
        update.main.generations.push((index, generation("a")));
        update.main.terminations.push((index, Termination::Canceled));
    }
    update.main.total_steps = Some(u32::MAX);
    let events = told.say(1.0, update);
    assert_eq!(told.runs(&events), ["1-"]);
    assert_eq!((events.len(), told.conversation.known(None)), (1, (0, 0)));
    let many = (0..2000).fold(Update::default(), |update, n| update.sub(&format!("s{n}"), TrajectoryUpdate::default()));
    told.say(2.0, many);
    assert_eq!(told.conversation.subtrajectories.len(), MAX_SUBTRAJECTORIES);
}

#[test]
fn subagents_before_the_main_trajectory_are_no_picture_of_it() {
    let of_sub = Update::default().steps(0, [input(-90.0), answer(-80.0)]).generations(0, [generation("a")]).main;
    let mut told = Told::stream();
    let events = told.say(1.0, Update::default().sub("s", of_sub.clone()));
    assert_eq!((generations(&events), events.len()), (vec!["a".to_owned()], 1));
    assert_eq!(told.say(2.0, idle().steps(0, [input(-100.0), answer(-50.0)])), []);
    assert_eq!(told.conversation.known(Some(&id("s"))), (2, 1));
    assert_eq!(told.conversation.known(Some(&id("t"))), (0, 0));
    let events = told.say(3.0, running().steps(2, [input(3.0)]).sub("s", of_sub));
    assert_eq!(steps_ended(&events), ["user_input"], "what the subagent did is known");
}

#[test]
fn a_new_subagent_counts_and_an_older_one_is_history() {
    let dated = |seconds: f64| Step { created_at: Some(wall(1_000_000.0 + seconds)), ..done() };
    let of = |seconds, name: &str| Update::default().steps(0, [dated(seconds)]).generations(0, [generation(name)]).main;
    let mut told = Told::stream();
    let first = running().steps(0, [input(-90.0), done(), input(-10.0)]);
    let events = told.say(1.0, first.sub("old", of(-80.0, "a")).sub("new", of(-5.0, "b")));
    assert_eq!(steps_ended(&events), ["user_input", "planner_response"]);
    assert_eq!(generations(&events), ["a", "b!"]);
    let events = told.say(2.0, Update::default().sub("newer", of(1.5, "c")).sub("older", of(-85.0, "d")));
    assert_eq!((steps_ended(&events).len(), generations(&events)), (1, vec!["c!".to_owned(), "d".to_owned()]));
}

#[test]
fn an_adopted_conversation_is_not_told_again() {
    let mut told = Told::empty();
    let mut other = Told::empty();
    let frame = running().steps(0, [input(1.0), done()]).generations(0, [generation("a")]);
    other.say(1.0, frame.clone());
    told.say(1.0, running().steps(0, [input(1.0)]));
    told.conversation.adopt(id("s"), other.conversation);
    assert_eq!(told.say(2.0, Update::default().sub("s", frame.main)), []);
    told.say(3.0, idle().steps(1, [done()]));
    assert_eq!(told.tick(100.0), [], "the subagent works");
    told.say(
        101.0,
        Update::default().sub("s", TrajectoryUpdate { status: Some(RunStatus::Idle), ..Default::default() }),
    );
    assert_eq!(told.finish(101.0), ["1-101 ok"]);
}

#[derive(Debug, Clone)]
enum Act {
    Lose,
    Say(Box<Update>, UpdateSource, bool),
    Tick,
}

fn any_status() -> impl Strategy<Value = RunStatus> {
    use RunStatus::{Busy, Canceling, Error, Idle, Running};
    prop::sample::select(vec![Busy, Canceling, Error, Idle, Idle, Idle, Running, Running])
}

fn any_time() -> impl Strategy<Value = Option<SystemTime>> {
    prop::option::of(
        (0..2_000_000_u32)
            .prop_map(|seconds| wall(f64::from(seconds)))
            .boxed()
            .prop_union((999_900..1_000_200_u32).prop_map(|seconds| wall(f64::from(seconds))).boxed()),
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    use StepKind::{ErrorMessage, PlannerResponse, UserInput};
    use StepStatus::{Canceled, Done, Error, Running};
    let kind = prop::sample::select(vec![UserInput, UserInput, PlannerResponse, ErrorMessage]);
    let status = prop::sample::select(vec![Done, Running, Error, Canceled]);
    (kind, status, any_time(), any_time(), any::<bool>()).prop_map(
        |(kind, status, created_at, completed_at, has_text)| Step { kind, status, created_at, completed_at, has_text },
    )
}

fn any_trajectory() -> impl Strategy<Value = TrajectoryUpdate> {
    let termination = prop::sample::select(vec![Termination::Canceled, Termination::Error, Termination::Finished]);
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let generation = name.prop_map(generation);
    (
        prop::option::of(any_status()),
        prop::collection::vec((0..8_u32, any_step()), 0..4),
        prop::option::weighted(0.2, 0..9_u32),
        prop::collection::vec((0..4_u32, generation), 0..3),
        prop::collection::vec((0..3_u32, termination), 0..2),
    )
        .prop_map(|(status, steps, total_steps, generations, terminations)| TrajectoryUpdate {
            status,
            steps,
            total_steps,
            generations,
            terminations,
        })
}

fn any_update() -> impl Strategy<Value = Update> {
    let subs = prop::collection::vec((prop::sample::select(vec![id("s"), id("t")]), any_trajectory()), 0..2);
    (prop::option::of(any_status()), any::<bool>(), prop::bool::weighted(0.2), any_trajectory(), subs).prop_map(
        |(status, fully_idle, has_active_children, main, subtrajectories)| Update {
            status,
            fully_idle,
            has_active_children,
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
        1 => Just(Act::Lose),
        10 => say.prop_map(|(update, source, fully)| Act::Say(Box::new(update), source, fully)),
        5 => Just(Act::Tick),
    ]
}

proptest! {
    #[test]
    fn every_run_that_starts_ends_once(acts in prop::collection::vec((0..5_000_u32, any_act()), 0..60)) {
        let mut told = Told::stream();
        let (mut millis, mut open) = (0, None);
        let lost = (0, Act::Lose);
        for (pause, act) in acts.into_iter().chain([lost]) {
            millis += pause;
            let now = told.at(f64::from(millis) / 1000.0);
            let events = match act {
                Act::Lose => told.conversation.lose(now),
                Act::Say(update, source, says_fully_idle) => {
                    told.conversation.apply(&update, source, says_fully_idle, now)
                }
                Act::Tick => told.conversation.tick(now),
            };
            for event in events {
                match event {
                    Event::RunStarted(began) => {
                        prop_assert!(open.replace(began).is_none(), "two runs at once");
                        prop_assert!(began.at <= now.at && began.wall <= now.wall);
                    }
                    Event::RunEnded(run) => {
                        let began = open.take();
                        prop_assert!(began.is_some_and(|began| run.began.at <= began.at), "{run:?}");
                        prop_assert!(run.began.at <= run.ended && run.ended <= now.at);
                    }
                    Event::Generation { .. } | Event::StepEnded(..) => {}
                }
            }
            prop_assert_eq!(open.is_some(), told.conversation.is_running());
        }
        prop_assert!(open.is_none());
    }
}
