//! Fetches what is new of one conversation: from a stream, or by polling.

use std::time::Instant;

use super::{MIN_POLL_GAP, Retry, Session};
use crate::cascade::follow::ask::Failure;
use crate::cascade::follow::listed::Listed;
use crate::cascade::follow::method::FollowMethod;
use crate::cascade::read::Summary;
use crate::cascade::update::{RunStatus, Step, Update};
use crate::record::StepStatus;

/// How the update of a conversation is delivered.
#[derive(Debug)]
pub(super) enum Delivery {
    /// By the answer to a poll.
    Polled(Update),
    /// It cannot be fetched at the moment.
    Later,
    /// By a stream.
    Streamed,
}

impl Session {
    /// Fetches the update of a changed conversation: by a stream, or by polling.
    pub(super) async fn news_of(&mut self, summary: &Summary, is_worked_on: bool) -> Delivery {
        let cascade = &summary.cascade;
        let method = self.methods.method();
        // The state stream of a conversation reports its subagents.
        let has_state_stream = |root| self.streams.method(root) == Some(FollowMethod::AgentState);
        if self.streams.method(cascade).is_some()
            || summary.root.as_ref().is_some_and(has_state_stream)
        {
            self.pending.remove(cascade);
            return Delivery::Streamed;
        }
        let can_be_watched = method != FollowMethod::Polling && !self.failing.contains_key(cascade);
        if can_be_watched && self.has_stream_for(summary) {
            self.streams
                .open(&self.agent, &self.correlator, cascade, method);
            self.pending.remove(cascade);
            return Delivery::Streamed;
        }
        let before = self.pending.get(cascade).copied();
        if before.is_some_and(|retry| Instant::now() < retry.not_before) {
            return Delivery::Later;
        }
        // Resting conversations must not delay running ones: the remaining ones are polled in the
        // next round, which is soon.
        if !is_worked_on {
            let Some(left) = self.idle_budget.checked_sub(1) else {
                self.pending.entry(cascade.clone()).or_insert(Retry {
                    failures: 0,
                    not_before: self.polled_at,
                });
                return Delivery::Later;
            };
            self.idle_budget = left;
        }
        match self.ask_for(summary).await {
            Ok(update) => {
                self.pending.remove(cascade);
                Delivery::Polled(self.with_status_of_its_steps(summary, update))
            }
            Err(failure) => {
                self.failure_log.report(failure);
                let failures = before.map_or(0, |retry| retry.failures).saturating_add(1);
                let not_before = Instant::now() + self.config.pause_after(failures);
                self.pending.insert(
                    cascade.clone(),
                    Retry {
                        failures,
                        not_before,
                    },
                );
                Delivery::Later
            }
        }
    }

    /// Whether a stream is available; for a conversation that the agent works on, that of a resting
    /// one may be taken over.
    fn has_stream_for(&mut self, summary: &Summary) -> bool {
        let Self {
            streams,
            correlator,
            polled_at,
            ..
        } = self;
        streams.has_room()
            || (summary.is_worked_on()
                && streams.make_room(*polled_at, |cascade| correlator.is_running(cascade)))
    }

    /// Corrects the status of an update. The list is older than the steps: when it shows the agent
    /// idle and a step under way, the agent has begun to work in between. Only when the list shows
    /// the same once more is the step out of date.
    fn with_status_of_its_steps(&mut self, summary: &Summary, update: Update) -> Update {
        // A subagent's step is under way for as long as it works, while the agent itself may be
        // idle.
        let is_under_way =
            |(_, step): &(u32, Step)| is_under_way(step.status) && !step.is_subagent();
        if summary.is_worked_on() || !update.main.steps.iter().any(is_under_way) {
            self.doubted.remove(&summary.cascade);
            return update;
        }
        let now = Listed::of(summary);
        if self.doubted.insert(summary.cascade.clone(), now.clone()) == Some(now) {
            return update;
        }
        self.pending.insert(
            summary.cascade.clone(),
            Retry {
                failures: 0,
                not_before: Instant::now() + MIN_POLL_GAP,
            },
        );
        Update {
            status: Some(RunStatus::Running),
            ..update
        }
    }

    /// Polls what has been added to a conversation, and the latest steps once more: they may have
    /// changed.
    async fn ask_for(&mut self, summary: &Summary) -> Result<Update, Failure> {
        let cascade = &summary.cascade;
        let trajectory = summary.trajectory.as_ref();
        let (steps, generations) = self.correlator.known(cascade, trajectory);
        let open = self.correlator.first_open_step(cascade, trajectory);
        let from = steps.saturating_sub(STEPS_AGAIN).min(open.unwrap_or(steps));
        let Update {
            mut main,
            subtrajectories,
            ..
        } = self.agent.steps(cascade, from).await?;
        let from = generations.saturating_sub(GENERATIONS_AGAIN);
        main.generations = self.agent.generations(cascade, from).await?.generations;
        Ok(Update {
            cascade: Some(cascade.clone()),
            root: summary.root.clone(),
            trajectory: summary.trajectory.clone(),
            status: summary.status,
            fully_idle: false,
            after_gap: true,
            has_active_children: summary.has_active_children || summary.not_fully_idle,
            main,
            subtrajectories,
        })
    }
}

fn is_under_way(status: StepStatus) -> bool {
    use StepStatus::{Generating, Pending, Queued, Running};
    matches!(status, Generating | Pending | Queued | Running)
}

/// How many known steps are read again: a step changes while it is one of the latest. Another
/// project that relies on polling reads as many again.
const STEPS_AGAIN: u32 = 20;

/// How many known calls are read again: a call that is refused again and again may still be under
/// way when a later one has ended.
const GENERATIONS_AGAIN: u32 = 8;
