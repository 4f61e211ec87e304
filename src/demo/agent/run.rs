//! Plays one run: a user's message and all that the language server does until it is idle again,
//! subagents included.

use std::time::Duration;

use rand::Rng;
use tokio::time::sleep;

use super::cascade::{RunEnd, RunStatus, StepKind, StepStatus, Subagent, Termination, Trajectory};
use super::context::{ActiveTrajectory, Generated, RunningSubagent, uuid};
use super::conversation::Conversation;

/// How the run of a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageOutcome {
    Answered,
    /// Every attempt is refused.
    Refused,
    /// The user stops the first answer in the middle.
    Stopped,
    /// The message is lost: nothing follows.
    Swallowed,
}

impl Conversation {
    /// Sends one message and plays its run.
    pub(super) async fn round(&mut self, round: u32) {
        let outcome = self.draw_outcome();
        let orbit: u16 = self.context.rng.random();
        let text = format!("Message {round}: explain orbit number {orbit}.");
        self.main
            .say("user", &format!("{text}{}", outcome.directive()));
        if self.context.chance(COUNT_PERCENT) {
            self.context.count(&self.main).await;
        }
        self.context.begin(&text);
        match outcome {
            MessageOutcome::Answered | MessageOutcome::Refused => {
                self.work(&format!("Orbit number {orbit}")).await
            }
            MessageOutcome::Stopped => self.stopped().await,
            MessageOutcome::Swallowed => self.context.end(RunEnd::Swallowed, None, None),
        }
    }

    fn draw_outcome(&mut self) -> MessageOutcome {
        let options = &self.context.options;
        let (abort, error, swallow) = (
            options.abort_percent,
            options.error_percent,
            options.swallow_percent,
        );
        // All are drawn each time, so that one probability does not influence the others.
        match (
            self.context.chance(abort),
            self.context.chance(error),
            self.context.chance(swallow),
        ) {
            (true, ..) => MessageOutcome::Stopped,
            (_, true, _) => MessageOutcome::Refused,
            (.., true) => MessageOutcome::Swallowed,
            _ => MessageOutcome::Answered,
        }
    }

    async fn work(&mut self, title: &str) {
        let tools = match self.context.chance(self.context.options.tool_percent) {
            true => self.context.rng.random_range(1..=2),
            false => 0,
        };
        let helped = self.context.chance(self.context.options.subagent_percent);
        for _ in 0..tools {
            if !self.plan().await {
                return self.failed(None);
            }
            self.tool().await;
        }
        let subagent = if helped {
            Some(self.start_subagent(title).await)
        } else {
            None
        };
        if !self.plan().await {
            return self.failed(subagent.as_ref());
        }
        if self.context.chance(self.context.options.analytics_percent) {
            self.context.analytics(&self.main).await;
        }
        self.context.checkpoint(&mut self.main, title).await;
        if let Some(mut subagent) = subagent {
            self.context.rest();
            if self.context.chance(LONGER_PERCENT) {
                self.context.generate(&mut subagent.active, None).await;
            }
            return self
                .context
                .end(RunEnd::Ok, Some(Termination::NoToolCall), Some(&subagent));
        }
        self.context
            .end(RunEnd::Ok, Some(Termination::NoToolCall), None);
    }

    async fn plan(&mut self) -> bool {
        matches!(
            self.context.generate(&mut self.main, None).await,
            Generated::Answered
        )
    }

    async fn stopped(&mut self) {
        match self
            .context
            .generate(&mut self.main, Some(EVENTS_BEFORE_STOP))
            .await
        {
            Generated::Left { step } => {
                self.context
                    .end_step(&self.main, step, StepStatus::Canceled);
                self.context
                    .end(RunEnd::Canceled, Some(Termination::UserCanceled), None);
                self.main.say("user", "Stop.");
            }
            Generated::Answered => {
                self.context
                    .end(RunEnd::Ok, Some(Termination::NoToolCall), None)
            }
            Generated::Failed => self.failed(None),
        }
    }

    /// Ends the run with an error message, which is there at once and does not say when it was
    /// completed.
    fn failed(&mut self, subagent: Option<&RunningSubagent>) {
        let text = "RESOURCE_EXHAUSTED (code 429): Individual quota reached.";
        self.context
            .step(&self.main, StepKind::ErrorMessage, StepStatus::Done, text);
        self.context
            .end(RunEnd::Error, Some(Termination::Error), subagent);
    }

    /// Runs a tool. Now and then one that no client knows, for which the run waits.
    async fn tool(&mut self) {
        let (kind, text) = match self.context.rng.random_range(0..10) {
            0 => (StepKind::Unheard, "a garden"),
            1..=3 => (StepKind::ViewFile, "file:///demo/orbit.txt"),
            4..=6 => (StepKind::RunCommand, "cat orbit.txt"),
            _ => (StepKind::GrepSearch, "orbit"),
        };
        let step = self
            .context
            .step(&self.main, kind, StepStatus::Running, text);
        if kind == StepKind::Unheard {
            self.context.stored.write(|cascade, _| {
                cascade.main.status = RunStatus::Waiting;
                cascade
                    .main
                    .change(step, |step| step.status = StepStatus::Halted);
            });
        }
        sleep(Duration::from_millis(self.context.options.pause_ms / 10)).await;
        self.context.end_step(&self.main, step, StepStatus::Done);
        self.context
            .stored
            .write(|cascade, _| cascade.main.status = RunStatus::Running);
        self.main.say("user", "The tool found 42 lines.");
    }

    /// Starts a subagent, which makes its first call at once. It has a conversation of its own, or
    /// its trajectory stands inside of the step that invoked it; in the background, that step is
    /// over when it is.
    async fn start_subagent(&mut self, title: &str) -> RunningSubagent {
        let invoked = self.context.step(
            &self.main,
            StepKind::InvokeSubagent,
            StepStatus::Running,
            title,
        );
        let (id, trajectory) = (uuid(&mut self.context.rng), uuid(&mut self.context.rng));
        let inside = self.context.chance(INSIDE_PERCENT).then_some(invoked);
        let is_background = self.context.chance(BACKGROUND_PERCENT) || inside.is_some();
        let number = self.context.stored.write(|cascade, created| {
            let trajectory = Trajectory::new(trajectory.clone(), RunStatus::Running);
            cascade.subagents.push(Subagent {
                id,
                created,
                trajectory,
                inside,
            });
            cascade.subagents.len() - 1
        });
        let mut active = ActiveTrajectory::new(trajectory, Some(number));
        active.say("user", title);
        let input = self
            .context
            .step(&active, StepKind::UserInput, StepStatus::Running, title);
        self.context.end_step(&active, input, StepStatus::Done);
        self.context.generate(&mut active, None).await;
        if !is_background {
            self.context.end_step(&self.main, invoked, StepStatus::Done);
        }
        RunningSubagent {
            active,
            works_in: is_background.then_some(invoked),
        }
    }
}

impl MessageOutcome {
    /// The directive to the stand-in provider that causes this outcome.
    fn directive(self) -> &'static str {
        match self {
            Self::Answered | Self::Swallowed => "",
            Self::Refused => "\ndemo: refuse=quota",
            Self::Stopped => "\ndemo: prompt=321 cached=21 thoughts=40 output=60 events=9 hold=3",
        }
    }
}

/// Events of an answer that the user reads before stopping it.
const EVENTS_BEFORE_STOP: usize = 3;
const COUNT_PERCENT: u8 = 20;
/// Of 100 subagents, how many work on when the reply is there.
const LONGER_PERCENT: u8 = 50;
/// Of 100 subagents, how many have their trajectory inside of a step.
const INSIDE_PERCENT: u8 = 40;
/// Of 100 subagents with a conversation of their own, how many have a step that lasts as long as
/// they do.
const BACKGROUND_PERCENT: u8 = 50;
