//! One conversation as a state machine: updates go in, events come out, above all where a run
//! begins and ends.
//!
//! A run is a message of the user and all that follows until the agent and its subagents are idle;
//! messages that come meanwhile are part of it. An idle status alone does not end a run: it is also
//! reported before a run begins, between two steps, and while subagents work. No I/O and no clock:
//! every call is passed the time.

mod clock;
mod ends;
mod news;
mod run;
#[cfg(test)]
mod tests;
mod trajectory;
mod transitions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use clock::CLOCK_TOLERANCE;
pub use clock::{Moment, RunStart};
use run::{End, Idle, Observation, OpenRun, Run};
use trajectory::{Input, Trajectory, TrajectoryChanges};

use super::update::{Generation, RunStatus, Update};
use crate::record::{Id, RunOutcome, StepKind, StepStatus, UpdateSource};

/// What an update means.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent finished a call to a model. `fresh` when it did so while it was being followed.
    Generation {
        /// What the agent recorded of the call.
        generation: Generation,
        /// Whether the wire must have seen it.
        fresh: bool,
    },
    /// A run is over for good.
    RunEnded(EndedRun),
    /// A run has begun.
    RunStarted(RunStart),
    /// A step has ended.
    StepEnded(StepKind, StepStatus),
}

/// A run from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRun {
    /// When it began.
    pub began: RunStart,
    /// When it ended.
    pub ended: Instant,
    /// The latest time at which it may have ended: a call that no step shows may have been its last
    /// activity.
    pub latest: Instant,
    /// How it ended, as far as the agent shows.
    pub outcome: RunOutcome,
}

/// What is known of one conversation.
#[derive(Debug)]
pub struct Conversation {
    /// When following the agent began, by the wall clock: what is older is history.
    since: SystemTime,
    /// When the last update came; `None` before the first.
    last: Option<Moment>,
    status: Option<RunStatus>,
    has_active_children: bool,
    fully_idle: bool,
    main: Trajectory,
    subtrajectories: BTreeMap<Id, Trajectory>,
    run: Run,
    /// The last message of the user that has had its run, or that is history.
    handled: Option<Input>,
    /// The latest time at which the last run may have ended: no other one begins before.
    last_end: Option<Instant>,
    /// The source of the last update.
    source: Option<UpdateSource>,
    /// The agent's list of conversations showed subagents working while the agent itself was idle.
    is_listed_at_work: bool,
}

impl Conversation {
    /// A conversation of an agent that has been followed since `since`.
    #[must_use]
    pub fn new(since: SystemTime) -> Self {
        Self {
            since,
            last: None,
            status: None,
            has_active_children: false,
            fully_idle: false,
            main: Trajectory::default(),
            subtrajectories: BTreeMap::new(),
            run: Run::None,
            handled: None,
            last_end: None,
            source: None,
            is_listed_at_work: false,
        }
    }

    /// Runs reported earlier had ended by `end`: none of those to come begins before.
    pub(super) fn begin_after(&mut self, end: Instant) {
        self.last_end = self.last_end.max(Some(end));
    }

    /// The latest time at which the last run may have ended.
    pub(super) fn last_end(&self) -> Option<Instant> {
        self.last_end
    }

    /// The source of the last update.
    pub(super) fn source(&self) -> Option<UpdateSource> {
        self.source
    }

    /// Whether a run is over unless the list of conversations shows subagents working.
    pub(super) fn rests(&self) -> bool {
        self.is_running() && !self.works()
    }

    /// Whether a run is under way, or might go on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.run, Run::Open(_) | Run::Closing { .. })
    }

    /// Whether a subagent was working when it last reported.
    pub(super) fn is_at_work(&self, subtrajectory: &Id) -> bool {
        self.subtrajectories
            .get(subtrajectory)
            .is_some_and(|sub| sub.status.is_some_and(is_work))
    }

    /// Whether the mere passing of time may change something.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.run, Run::Awaited { .. } | Run::Closing { .. })
    }

    /// The number of known steps and generations of the main trajectory, or of a subagent's:
    /// polling continues from there.
    #[must_use]
    pub fn known(&self, subtrajectory: Option<&Id>) -> (u32, u32) {
        let trajectory = subtrajectory.map_or(Some(&self.main), |id| self.subtrajectories.get(id));
        trajectory.map_or((0, 0), Trajectory::known)
    }

    /// When the run that is under way or closing began, and when it ended, if it did.
    #[must_use]
    pub fn current(&self) -> Option<(RunStart, Option<Instant>)> {
        match self.run {
            Run::None | Run::Awaited { .. } => None,
            Run::Open(run) => Some((run.began, None)),
            Run::Closing { run, end, .. } => Some((run.began, Some(end.at))),
        }
    }

    /// The interval in which the agent certainly worked on the run that is under way, whatever
    /// update comes: the run is never reported to have ended within it.
    #[must_use]
    pub fn confirmed_interval(&self) -> Option<(Instant, Instant)> {
        let (Run::Open(run) | Run::Closing { run, .. }) = self.run else {
            return None;
        };
        let worked = run.worked?.checked_sub(CLOCK_TOLERANCE)?;
        // The agent may have gone on with a message that has not been seen yet.
        let paused = run.paused.filter(|end| end.steps >= self.main.len());
        Some((
            run.began.at,
            paused.map_or(worked, |end| end.at.min(worked)),
        ))
    }

    /// The first step that may still change because a subagent works in it.
    #[must_use]
    pub fn first_open_step(&self, subtrajectory: Option<&Id>) -> Option<u32> {
        let trajectory =
            subtrajectory.map_or(Some(&self.main), |id| self.subtrajectories.get(id))?;
        trajectory.first_open_step(self.first_step())
    }

    /// Applies an update. `says_fully_idle`: this source is known to report when everything has
    /// ended, so that nothing less counts.
    pub fn apply(
        &mut self,
        update: &Update,
        source: UpdateSource,
        says_fully_idle: bool,
        now: Moment,
    ) -> Vec<Event> {
        let mut events = self.tick(now);
        let after_gap = update.after_gap;
        let observation = Observation {
            source,
            says_fully_idle,
            after_gap,
            before: self.last.replace(now),
            now,
        };
        self.source = Some(source);
        self.apply_status(update);
        self.forget_statuses_of_left_stream(update, &observation);
        let main = self.apply_main(update, &observation);
        let subs = update.subtrajectories.iter();
        let subs: Vec<_> = subs
            .filter_map(|(id, news)| Some((id, self.apply_subtrajectory(id, news, &observation)?)))
            .collect();
        if self.main.has_history.is_some() {
            events.extend(self.begin(&observation));
        }
        let is_new = events
            .iter()
            .any(|event| matches!(event, Event::RunStarted(_)));
        let mut reported = vec![(self.main.is_fresh(&main), main)];
        reported.extend(
            subs.into_iter()
                .filter_map(|(id, news)| self.drop_history_of_subtrajectory(id, news)),
        );
        self.note(update, &reported, is_new, &observation);
        self.settle(&observation);
        for (
            fresh,
            TrajectoryChanges {
                ended, generations, ..
            },
        ) in reported
        {
            events.extend(
                ended
                    .into_iter()
                    .map(|(kind, status)| Event::StepEnded(kind, status)),
            );
            events.extend(
                generations
                    .into_iter()
                    .map(|generation| Event::Generation { generation, fresh }),
            );
        }
        events
    }

    /// Applies what the agent's list of conversations says: whether subagents work while the agent
    /// itself is idle. Only for conversations whose own updates do not report when everything has
    /// ended.
    pub fn apply_listed(&mut self, is_at_work: bool, now: Moment) -> Vec<Event> {
        let events = self.tick(now);
        let is_at_work = is_at_work && self.rests();
        if std::mem::replace(&mut self.is_listed_at_work, is_at_work) != is_at_work {
            let source = UpdateSource::Polling;
            let observation = Observation {
                source,
                says_fully_idle: false,
                after_gap: true,
                before: self.last,
                now,
            };
            self.reopen(false);
            self.settle(&observation);
        }
        events
    }

    /// Settles what has waited long enough.
    pub fn tick(&mut self, now: Moment) -> Vec<Event> {
        match self.run {
            Run::Closing {
                run, end, deadline, ..
            } if now.at >= deadline => vec![self.close(run, end)],
            Run::Awaited { began, since }
                if now.at.saturating_duration_since(since.at) >= SWALLOWED_AFTER =>
            {
                let input = self.new_inputs().next();
                let started = self.open(input, began);
                let source = UpdateSource::Polling;
                let observation = Observation {
                    source,
                    says_fully_idle: false,
                    after_gap: true,
                    before: None,
                    now,
                };
                let idle = Idle {
                    at: since.at,
                    is_seen: false,
                };
                let ended = match self.run {
                    Run::Open(run) => {
                        Some(self.close(run, self.end_of(&run, None, idle, &observation)))
                    }
                    _ => None,
                };
                std::iter::once(started).chain(ended).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The agent, the conversation or Gravimeter goes away.
    pub fn lose(&mut self, now: Moment) -> Vec<Event> {
        match self.run {
            Run::None => Vec::new(),
            Run::Awaited { .. } => {
                self.run = Run::None;
                Vec::new()
            }
            Run::Open(run) => {
                let end = End {
                    at: now.at,
                    latest: now.at,
                    outcome: RunOutcome::Lost,
                    steps: self.main.len(),
                };
                vec![self.close(run, end)]
            }
            Run::Closing { run, end, .. } => vec![self.close(run, end)],
        }
    }

    /// Whether the agent works on the main trajectory.
    fn works(&self) -> bool {
        self.status.is_some_and(is_work)
    }

    /// Whether everything has ended.
    fn is_idle(&self, says_fully_idle: bool) -> bool {
        let main = self.status.is_some_and(|status| !is_work(status));
        main && (self.fully_idle || (!says_fully_idle && !self.subagents_work()))
    }

    /// Whether a subagent works, by any indication.
    fn subagents_work(&self) -> bool {
        self.has_active_children
            || self.is_listed_at_work
            || self
                .subtrajectories
                .values()
                .any(|sub| sub.status.is_some_and(is_work))
            || self.main.first_open_step(self.first_step()).is_some()
    }

    /// The first step of the run under way; without one, the index of the next step.
    fn first_step(&self) -> u32 {
        match self.run {
            Run::Open(run) | Run::Closing { run, .. } => run.first_step,
            Run::None | Run::Awaited { .. } => self.main.len(),
        }
    }

    /// The messages of the user that no run has answered yet.
    fn new_inputs(&self) -> impl Iterator<Item = Input> {
        let handled = self.handled;
        let inputs = self.main.inputs(u32::MAX);
        inputs.filter(move |input| handled.is_none_or(|handled| input.is_after(handled)))
    }
}

fn is_work(status: RunStatus) -> bool {
    matches!(
        status,
        RunStatus::Busy | RunStatus::Canceling | RunStatus::Running
    )
}

/// A message without any reaction for so long was swallowed.
const SWALLOWED_AFTER: Duration = Duration::from_secs(10);

/// How late an observation may be: an idle agent is polled again after seconds only, and not for
/// all of a conversation at once.
pub(super) const OBSERVED_WITHIN: Duration = Duration::from_secs(10);
