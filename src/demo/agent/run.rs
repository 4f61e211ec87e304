//! One run: a user's message and all that the language server does until it is idle again,
//! subagents included.

use std::time::Duration;

use rand::Rng;
use tokio::time::sleep;

use super::cascade::{RunEnd, RunStatus, StepKind, StepStatus, Subagent, Termination, Trajectory};
use super::conversation::Conversation;
use super::desk::{Generated, Helper, Seat, uuid};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Every attempt is refused.
    Refused,
    /// The user stops the first answer in the middle.
    Stopped,
    /// It is lost: nothing comes of it.
    Swallowed,
}

impl Conversation {
    /// One message and its run.
    pub(super) async fn round(&mut self, round: u32) {
        let fate = self.fate();
        let orbit: u16 = self.desk.rng.random();
        let text = format!("Message {round}: explain orbit number {orbit}.");
        self.main
            .say("user", &format!("{text}{}", fate.directive()));
        if self.desk.chance(COUNT_PERCENT) {
            self.desk.count(&self.main).await;
        }
        self.desk.begin(&text);
        match fate {
            Fate::Answered | Fate::Refused => self.work(&format!("Orbit number {orbit}")).await,
            Fate::Stopped => self.stopped().await,
            Fate::Swallowed => self.desk.end(RunEnd::Swallowed, None, None),
        }
    }

    fn fate(&mut self) -> Fate {
        let options = &self.desk.options;
        let (abort, error, swallow) = (
            options.abort_percent,
            options.error_percent,
            options.swallow_percent,
        );
        // All are drawn each time, so that one chance does not change what the others come to.
        match (
            self.desk.chance(abort),
            self.desk.chance(error),
            self.desk.chance(swallow),
        ) {
            (true, ..) => Fate::Stopped,
            (_, true, _) => Fate::Refused,
            (.., true) => Fate::Swallowed,
            _ => Fate::Answered,
        }
    }

    async fn work(&mut self, title: &str) {
        let tools = match self.desk.chance(self.desk.options.tool_percent) {
            true => self.desk.rng.random_range(1..=2),
            false => 0,
        };
        let helped = self.desk.chance(self.desk.options.subagent_percent);
        for _ in 0..tools {
            if !self.plan().await {
                return self.failed(None);
            }
            self.tool().await;
        }
        let helper = if helped {
            Some(self.hire(title).await)
        } else {
            None
        };
        if !self.plan().await {
            return self.failed(helper.as_ref());
        }
        if self.desk.chance(self.desk.options.analytics_percent) {
            self.desk.analytics(&self.main).await;
        }
        self.desk.checkpoint(&mut self.main, title).await;
        if let Some(mut helper) = helper {
            self.desk.rest();
            if self.desk.chance(LONGER_PERCENT) {
                self.desk.generate(&mut helper.seat, None).await;
            }
            return self
                .desk
                .end(RunEnd::Ok, Some(Termination::NoToolCall), Some(&helper));
        }
        self.desk
            .end(RunEnd::Ok, Some(Termination::NoToolCall), None);
    }

    async fn plan(&mut self) -> bool {
        matches!(
            self.desk.generate(&mut self.main, None).await,
            Generated::Answered
        )
    }

    async fn stopped(&mut self) {
        match self.desk.generate(&mut self.main, Some(HEARD_EVENTS)).await {
            Generated::Left { step } => {
                self.desk.end_step(&self.main, step, StepStatus::Canceled);
                self.desk
                    .end(RunEnd::Canceled, Some(Termination::UserCanceled), None);
                self.main.say("user", "Stop.");
            }
            Generated::Answered => self
                .desk
                .end(RunEnd::Ok, Some(Termination::NoToolCall), None),
            Generated::Failed => self.failed(None),
        }
    }

    /// The error message is there at once; it does not say when it was completed.
    fn failed(&mut self, helper: Option<&Helper>) {
        let text = "RESOURCE_EXHAUSTED (code 429): Individual quota reached.";
        self.desk
            .step(&self.main, StepKind::ErrorMessage, StepStatus::Done, text);
        self.desk
            .end(RunEnd::Error, Some(Termination::Error), helper);
    }

    /// A tool at work. Now and then one that no client knows, for which the run waits.
    async fn tool(&mut self) {
        let (kind, text) = match self.desk.rng.random_range(0..10) {
            0 => (StepKind::Unheard, "a garden"),
            1..=3 => (StepKind::ViewFile, "file:///demo/orbit.txt"),
            4..=6 => (StepKind::RunCommand, "cat orbit.txt"),
            _ => (StepKind::GrepSearch, "orbit"),
        };
        let step = self.desk.step(&self.main, kind, StepStatus::Running, text);
        if kind == StepKind::Unheard {
            self.desk.thread.write(|cascade, _| {
                cascade.main.status = RunStatus::Waiting;
                cascade
                    .main
                    .change(step, |step| step.status = StepStatus::Halted);
            });
        }
        sleep(Duration::from_millis(self.desk.options.pause_ms / 10)).await;
        self.desk.end_step(&self.main, step, StepStatus::Done);
        self.desk
            .thread
            .write(|cascade, _| cascade.main.status = RunStatus::Running);
        self.main.say("user", "The tool found 42 lines.");
    }

    /// Starts a subagent, which makes its first call at once. It has a conversation of its own, or
    /// its trajectory stands inside of the step that invoked it; in the background, that step is
    /// over when it is.
    async fn hire(&mut self, title: &str) -> Helper {
        let invoked = self.desk.step(
            &self.main,
            StepKind::InvokeSubagent,
            StepStatus::Running,
            title,
        );
        let (id, trajectory) = (uuid(&mut self.desk.rng), uuid(&mut self.desk.rng));
        let inside = self.desk.chance(INSIDE_PERCENT).then_some(invoked);
        let is_background = self.desk.chance(BACKGROUND_PERCENT) || inside.is_some();
        let number = self.desk.thread.write(|cascade, created| {
            let trajectory = Trajectory::new(trajectory.clone(), RunStatus::Running);
            cascade.subagents.push(Subagent {
                id,
                created,
                trajectory,
                inside,
            });
            cascade.subagents.len() - 1
        });
        let mut seat = Seat::new(trajectory, Some(number));
        seat.say("user", title);
        let told = self
            .desk
            .step(&seat, StepKind::UserInput, StepStatus::Running, title);
        self.desk.end_step(&seat, told, StepStatus::Done);
        self.desk.generate(&mut seat, None).await;
        if !is_background {
            self.desk.end_step(&self.main, invoked, StepStatus::Done);
        }
        Helper {
            seat,
            works_in: is_background.then_some(invoked),
        }
    }
}

impl Fate {
    /// What makes the stand-in provider play along.
    fn directive(self) -> &'static str {
        match self {
            Self::Answered | Self::Swallowed => "",
            Self::Refused => "\ndemo: refuse=quota",
            Self::Stopped => "\ndemo: prompt=321 cached=21 thoughts=40 output=60 events=9 hold=3",
        }
    }
}

/// Events of an answer that the user stops.
const HEARD_EVENTS: usize = 3;
const COUNT_PERCENT: u8 = 20;
/// Of 100 subagents, how many work on when the reply is there.
const LONGER_PERCENT: u8 = 50;
/// Of 100 subagents, how many have their trajectory inside of a step.
const INSIDE_PERCENT: u8 = 40;
/// Of 100 subagents with a conversation of their own, how many have a step that lasts as long as
/// they do.
const BACKGROUND_PERCENT: u8 = 50;
