//! How the run of a conversation begins, pauses, goes on and ends.

use std::time::Duration;

use super::clock::CLOCK_TOLERANCE;
use super::run::{End, Idle, Observation, OpenRun, Run};
use super::trajectory::{Input, TrajectoryChanges};
use super::{Conversation, EndedRun, Event, OBSERVED_WITHIN, RunStart};
use crate::cascade::update::{RunStatus, Update};
use crate::record::UpdateSource;

impl Conversation {
    /// Events of an update that begins a run, ends one by a new message, or shows that it goes on.
    pub(super) fn begin(&mut self, observation: &Observation) -> Vec<Event> {
        let mut events = Vec::from_iter(self.end_by_new_message(observation));
        events.extend(self.pass_unseen(observation));
        let is_idle = self.is_idle(observation.says_fully_idle);
        let input = self.new_inputs().next();
        let ended_unseen = is_idle && input.is_some_and(|input| self.shows_an_end(input));
        match self.run {
            Run::None | Run::Awaited { .. } if self.works() || ended_unseen => {
                let began = self.began(input, observation);
                events.push(self.open(input, began));
            }
            Run::None if is_idle && input.is_some() => {
                self.run = Run::Awaited {
                    began: self.began(input, observation),
                    since: observation.now,
                };
            }
            // The message was taken back.
            Run::Awaited { .. } if input.is_none() => self.run = Run::None,
            _ => self.reopen(observation.says_fully_idle),
        }
        events
    }

    /// A run that seemed to be over goes on.
    pub(super) fn reopen(&mut self, says_fully_idle: bool) {
        if let Run::Closing { run, end, .. } = self.run
            && !self.is_idle(says_fully_idle)
        {
            self.run = Run::Open(OpenRun {
                paused: Some(end),
                ..run
            });
        }
    }

    /// Ends the run when the user writes a new message. The agent may be seen working on a message
    /// before the message itself is seen.
    fn end_by_new_message(&mut self, observation: &Observation) -> Option<Event> {
        let input = self.new_inputs().next()?;
        match self.run {
            Run::Closing { run, idle, .. } => {
                Some(self.close(run, self.end_of(&run, Some(input), idle, observation)))
            }
            Run::Open(run) => {
                let paused = run.paused.filter(|end| end.steps == input.index);
                let paused =
                    paused.map(|end| end.before(self.message_began(Some(input), observation)));
                let end =
                    paused.or_else(|| self.end_between_observations(&run, input, observation))?;
                Some(self.close(run, end))
            }
            Run::None | Run::Awaited { .. } => None,
        }
    }

    /// Runs of messages, all but the last, that began and ended between two observations.
    fn pass_unseen(&mut self, observation: &Observation) -> Vec<Event> {
        let mut events = Vec::new();
        let inputs: Vec<Input> = match self.run {
            Run::None | Run::Awaited { .. } => self.new_inputs().collect(),
            Run::Closing { .. } | Run::Open(_) => Vec::new(),
        };
        let mut first = inputs.first().copied();
        for next in inputs.into_iter().skip(1) {
            let Some(_) = first.filter(|input| self.last_of_turn(input.index, next).is_some())
            else {
                continue;
            };
            let began = self.began(first, observation);
            events.push(self.open(first, began));
            if let Run::Open(run) = self.run {
                let idle = Idle {
                    at: observation.now.at,
                    is_seen: false,
                };
                events.push(self.close(run, self.end_of(&run, Some(next), idle, observation)));
            }
            self.handled = first;
            first = Some(next);
        }
        events
    }

    /// Begins a run with this message. Messages that have come since are part of it.
    pub(super) fn open(&mut self, input: Option<Input>, began: RunStart) -> Event {
        self.handled = self.new_inputs().last().or(self.handled);
        self.run = Run::Open(OpenRun {
            began,
            first_step: input.map_or(self.main.len(), |input| input.index),
            worked: None,
            paused: None,
            was_canceled: false,
            has_failed: self.status == Some(RunStatus::Error),
            has_generated: false,
            termination: None,
        });
        Event::RunStarted(began)
    }

    /// Records what an update says of the run that is under way or closing. `is_new`: the update
    /// began the run, and may also describe earlier ones.
    pub(super) fn note(
        &mut self,
        update: &Update,
        reported: &[(bool, TrajectoryChanges)],
        is_new: bool,
        observation: &Observation,
    ) {
        let (status, works) = (self.status, self.works());
        let says_status = update.status.or(update.main.status).is_some();
        let message = self.new_inputs().next();
        let began = self.began(message, observation);
        let last = self.new_inputs().last();
        let (Run::Open(run) | Run::Closing { run, .. }) = &mut self.run else {
            return;
        };
        self.handled = last.or(self.handled);
        // The agent was seen working on the message before the message itself was seen.
        if message.is_some_and(|message| message.index == run.first_step)
            && !run.began.is_reported
            && began.at <= run.began.at
        {
            run.began = began;
        }
        if says_status && works {
            run.worked = Some(observation.now.at);
            run.has_failed = false;
        }
        // The agent's list is older than the steps: it may still speak of the run before.
        let is_stale = is_new && observation.source == UpdateSource::Polling;
        run.was_canceled |= status == Some(RunStatus::Canceling) && !is_stale;
        run.has_failed |= status == Some(RunStatus::Error);
        if !(is_new && works) {
            run.has_generated |= reported
                .iter()
                .any(|(fresh, news)| *fresh && !news.generations.is_empty());
            run.termination = reported
                .first()
                .and_then(|(_, main)| main.termination)
                .or(run.termination);
        }
    }

    /// Starts or continues closing the run if the agent is idle.
    pub(super) fn settle(&mut self, observation: &Observation) {
        let (run, idle, deadline) = match self.run {
            Run::Open(run) if self.is_idle(observation.says_fully_idle) => {
                let is_seen = observation.source != UpdateSource::Polling
                    && !observation.after_gap
                    && run.worked.is_some();
                (
                    run,
                    Idle {
                        at: observation.now.at,
                        is_seen,
                    },
                    None,
                )
            }
            Run::Closing {
                run,
                idle,
                deadline,
                ..
            } => (run, idle, Some(deadline)),
            _ => return,
        };
        let wait = if self.fully_idle {
            CALLS_END_WITHIN
        } else {
            GOES_ON_WITHIN
        };
        let latest = observation.now.at + wait;
        let deadline = deadline.map_or(latest, |deadline| deadline.min(latest));
        self.run = Run::Closing {
            run,
            end: self.end_of(&run, None, idle, observation),
            idle,
            deadline,
        };
    }

    pub(super) fn close(&mut self, run: OpenRun, end: End) -> Event {
        self.run = Run::None;
        let End {
            at,
            latest,
            outcome,
            ..
        } = end;
        let ended = at.max(run.began.at);
        let latest = latest.max(ended);
        self.last_end = Some(latest);
        self.is_listed_at_work = false;
        Event::RunEnded(EndedRun {
            began: run.began,
            ended,
            latest,
            outcome,
        })
    }

    /// The start of the run that answers this message.
    pub(super) fn began(&self, input: Option<Input>, observation: &Observation) -> RunStart {
        match self.run {
            Run::Awaited { began, .. } => began,
            _ => self.message_began(input, observation),
        }
    }

    /// When a new message came, by the agent's clock, unless that is impossible because the
    /// previous observation did not show it. A message that came before the previous run ended has
    /// waited for that end.
    pub(super) fn message_began(
        &self,
        input: Option<Input>,
        observation: &Observation,
    ) -> RunStart {
        let tolerance = if observation.source == UpdateSource::Polling {
            OBSERVED_WITHIN
        } else {
            CLOCK_TOLERANCE
        };
        let created = input.and_then(|input| input.created_at);
        let reported = created.and_then(|created| RunStart::reported(created, observation.now));
        let can_be = |began: &RunStart| {
            observation
                .before
                .is_none_or(|before| began.at + tolerance >= before.at)
        };
        let began = reported
            .filter(can_be)
            .unwrap_or_else(|| RunStart::observed(observation.now));
        self.last_end.map_or(began, |end| began.not_before(end))
    }
}

/// How long an idle agent may still go on. Between two steps the agent may report that it is idle;
/// three seconds were seen to be enough to distinguish such a gap from the end.
const GOES_ON_WITHIN: Duration = Duration::from_secs(3);

/// How late calls of a run may be reported after its end: the agent has read an answer to its end a
/// moment before its observer has.
const CALLS_END_WITHIN: Duration = Duration::from_millis(500);
