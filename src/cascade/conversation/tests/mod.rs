//! A conversation with updates at times that the tests choose.

mod ends;
mod history;
mod looks;
mod messages;
mod subagents;

use proptest::prelude::*;

use super::news::MAX_SUBTRAJECTORIES;
use super::*;
use crate::cascade::test_updates::{generation, id, idle, running, status};
use crate::cascade::update::{MAX_ENTRIES, Step, Termination, TrajectoryUpdate};

/// A conversation with updates at times in seconds since it began to be followed.
struct Scenario {
    conversation: Conversation,
    zero: Moment,
    source: UpdateSource,
    says_fully_idle: bool,
}

impl Scenario {
    fn by(source: UpdateSource) -> Self {
        // Far from the clock's own beginning, so that every time before exists.
        let zero = Moment {
            at: Instant::now() + Duration::from_secs(200_000),
            wall: wall(1_000_000.0),
        };
        Self {
            conversation: Conversation::new(zero.wall),
            zero,
            source,
            says_fully_idle: false,
        }
    }

    fn stream() -> Self {
        Self::by(UpdateSource::AgentState)
    }

    fn polling() -> Self {
        Self::by(UpdateSource::Polling)
    }

    /// A stream whose first picture is that of an empty conversation.
    fn empty() -> Self {
        let mut scenario = Self::stream();
        assert_eq!(scenario.say(0.0, idle()), []);
        scenario
    }

    fn at(&self, seconds: f64) -> Moment {
        let since = Duration::from_secs_f64(seconds);
        Moment {
            at: self.zero.at + since,
            wall: self.zero.wall + since,
        }
    }

    fn say(&mut self, seconds: f64, update: Update) -> Vec<Event> {
        let after_gap = update.after_gap || self.source == UpdateSource::Polling;
        let update = Update {
            after_gap,
            ..update
        };
        self.conversation
            .apply(&update, self.source, self.says_fully_idle, self.at(seconds))
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
            Event::RunEnded(EndedRun {
                began,
                ended,
                outcome,
                ..
            }) => Some(format!(
                "{}-{} {outcome}",
                self.seconds(began.at),
                self.seconds(*ended)
            )),
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
    Step {
        kind,
        status,
        has_text: kind == StepKind::PlannerResponse,
        ..Step::default()
    }
}

/// A message of the user, so many seconds after the following began.
fn input(seconds: f64) -> Step {
    let created_at = Some(wall(1_000_000.0 + seconds));
    Step {
        created_at,
        completed_at: created_at,
        ..step(StepKind::UserInput, StepStatus::Done)
    }
}

fn undated() -> Step {
    step(StepKind::UserInput, StepStatus::Done)
}

fn answer(seconds: f64) -> Step {
    Step {
        completed_at: Some(wall(1_000_000.0 + seconds)),
        ..step(StepKind::PlannerResponse, StepStatus::Done)
    }
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

/// The generations that were reported, the fresh ones with a `!`.
fn generations(events: &[Event]) -> Vec<String> {
    let generations = events.iter().filter_map(|event| match event {
        Event::Generation { generation, fresh } => Some(format!(
            "{}{}",
            generation.traces[0],
            if *fresh { "!" } else { "" }
        )),
        _ => None,
    });
    generations.collect()
}
