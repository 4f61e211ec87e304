//! One conversation as a state machine: news enter, what they mean leaves, above all where a run
//! begins and ends.
//!
//! A run is a message of the user and all that follows until the agent and its subagents are idle;
//! messages that come meanwhile are part of it. Idle alone is no end: it is also said before a run
//! begins, between two steps, and while subagents work. No I/O and no clock: every call is told the
//! time.

mod clock;
mod ends;
mod news;
mod run;
#[cfg(test)]
mod tests;
mod trajectory;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use clock::CLOCK_TOLERANCE;
pub use clock::{Moment, RunStart};
use run::{End, Idle, Observation, OpenRun, Run};
use trajectory::{Input, Trajectory, TrajectoryChanges};

use super::update::{Generation, RunStatus, Update};
use crate::record::{Id, RunOutcome, StepKind, StepStatus, UpdateSource};

/// What news mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent finished a call to a model. `fresh` when it did so while it was being followed.
    Generation {
        /// What it remembers of the call.
        generation: Generation,
        /// Whether the wire must have seen it.
        fresh: bool,
    },
    /// A run is over for good.
    RunEnded(EndedRun),
    /// A run has begun.
    RunStarted(RunStart),
    /// A step has come to its end.
    StepEnded(StepKind, StepStatus),
}

/// A run from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRun {
    /// When it began.
    pub began: RunStart,
    /// When it ended.
    pub ended: Instant,
    /// When it had ended for sure: a call that no step tells of may have been the last thing.
    pub latest: Instant,
    /// How it ended, as far as the agent tells.
    pub outcome: RunOutcome,
}

/// What is known of one conversation.
#[derive(Debug)]
pub struct Conversation {
    /// Since when the agent has been followed, by the wall clock: what is older is history.
    since: SystemTime,
    /// When the last news came; `None` before the first.
    last: Option<Moment>,
    status: Option<RunStatus>,
    has_active_children: bool,
    fully_idle: bool,
    main: Trajectory,
    subtrajectories: BTreeMap<Id, Trajectory>,
    run: Run,
    /// The last message of the user that has had its run, or is history.
    handled: Option<Input>,
    /// When the last run had ended for sure: no other one begins before.
    last_end: Option<Instant>,
    /// Where the last news came from.
    source: Option<UpdateSource>,
    /// The agent's list of conversations said that subagents work, while the agent itself was idle.
    is_listed_at_work: bool,
}

impl Conversation {
    /// A conversation of an agent that has been followed since then.
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

    /// Runs that were told of elsewhere had ended by then: none of those to come begins before.
    pub(super) fn begin_after(&mut self, end: Instant) {
        self.last_end = self.last_end.max(Some(end));
    }

    /// When the last run had ended for sure.
    pub(super) fn last_end(&self) -> Option<Instant> {
        self.last_end
    }

    /// Where the last news came from.
    pub(super) fn source(&self) -> Option<UpdateSource> {
        self.source
    }

    /// Whether a run would be over but for what the list of conversations may say of subagents.
    pub(super) fn rests(&self) -> bool {
        self.is_running() && !self.works()
    }

    /// Whether a run is under way, or might go on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.run, Run::Open(_) | Run::Closing { .. })
    }

    /// Whether a subagent was at work when it was last heard of.
    pub(super) fn is_at_work(&self, subtrajectory: &Id) -> bool {
        self.subtrajectories
            .get(subtrajectory)
            .is_some_and(|sub| sub.status.is_some_and(is_work))
    }

    /// Whether time alone may change something.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.run, Run::Awaited { .. } | Run::Closing { .. })
    }

    /// The number of steps and of generations that are known of the main trajectory, or of a
    /// subagent's: where polling goes on.
    #[must_use]
    pub fn known(&self, subtrajectory: Option<&Id>) -> (u32, u32) {
        let trajectory = subtrajectory.map_or(Some(&self.main), |id| self.subtrajectories.get(id));
        trajectory.map_or((0, 0), Trajectory::known)
    }

    /// When the run began that is under way or closing, and when it ended, if it did.
    #[must_use]
    pub fn current(&self) -> Option<(RunStart, Option<Instant>)> {
        match self.run {
            Run::None | Run::Awaited { .. } => None,
            Run::Open(run) => Some((run.began, None)),
            Run::Closing { run, end, .. } => Some((run.began, Some(end.at))),
        }
    }

    /// From when until when the agent was at work for sure on the run that is under way, whatever
    /// comes: no end of it is stated that lies before.
    #[must_use]
    pub fn confirmed_interval(&self) -> Option<(Instant, Instant)> {
        let (Run::Open(run) | Run::Closing { run, .. }) = self.run else {
            return None;
        };
        let worked = run.worked?.checked_sub(CLOCK_TOLERANCE)?;
        // It may have gone on with a message that has not been seen yet.
        let paused = run.paused.filter(|end| end.steps >= self.main.len());
        Some((
            run.began.at,
            paused.map_or(worked, |end| end.at.min(worked)),
        ))
    }

    /// From which step on something may still change, because a subagent works in it.
    #[must_use]
    pub fn first_open_step(&self, subtrajectory: Option<&Id>) -> Option<u32> {
        let trajectory =
            subtrajectory.map_or(Some(&self.main), |id| self.subtrajectories.get(id))?;
        trajectory.first_open_step(self.first_step())
    }

    /// Takes news. `says_fully_idle`: this source is known to say when everything has ended, so
    /// that nothing less counts.
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

    /// Takes what the agent's list of conversations says of this one: whether subagents work while
    /// the agent itself is idle. Only for those whose own news do not say when everything has
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

    /// Time passes: what was waited for long enough is settled.
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

    /// The agent, the conversation or the house goes away.
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

    /// Whether the news begin a run, end one by a new message, or show that it goes on.
    fn begin(&mut self, observation: &Observation) -> Vec<Event> {
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
    fn reopen(&mut self, says_fully_idle: bool) {
        if let Run::Closing { run, end, .. } = self.run
            && !self.is_idle(says_fully_idle)
        {
            self.run = Run::Open(OpenRun {
                paused: Some(end),
                ..run
            });
        }
    }

    /// A run that seems to be over is, when the user writes. The agent may be seen to work on a
    /// message before the message.
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

    /// Messages that had their runs between two looks, all but the last.
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

    /// A run begins with this message. Those that have come since are part of it.
    fn open(&mut self, input: Option<Input>, began: RunStart) -> Event {
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

    /// What news say of the run that is under way or closing. `is_new`: they began it, and may tell
    /// of those before it.
    fn note(
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
        // The agent was seen to work on the message before the message.
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
        run.was_canceled |= status == Some(RunStatus::Canceling);
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

    /// An idle agent may have come to the end of its run.
    fn settle(&mut self, observation: &Observation) {
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

    fn close(&mut self, run: OpenRun, end: End) -> Event {
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

    /// Whether the main trajectory is being worked on.
    fn works(&self) -> bool {
        self.status.is_some_and(is_work)
    }

    /// Whether everything has ended.
    fn is_idle(&self, says_fully_idle: bool) -> bool {
        let main = self.status.is_some_and(|status| !is_work(status));
        main && (self.fully_idle || (!says_fully_idle && !self.subagents_work()))
    }

    /// Whether a subagent works, by whatever tells so.
    fn subagents_work(&self) -> bool {
        self.has_active_children
            || self.is_listed_at_work
            || self
                .subtrajectories
                .values()
                .any(|sub| sub.status.is_some_and(is_work))
            || self.main.first_open_step(self.first_step()).is_some()
    }

    /// The first step of the run under way; without one, the first that there will be.
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

    /// When a run began that is the answer to this message.
    fn began(&self, input: Option<Input>, observation: &Observation) -> RunStart {
        match self.run {
            Run::Awaited { began, .. } => began,
            _ => self.message_began(input, observation),
        }
    }

    /// When a new message came, by the agent's clock, unless that cannot be: the look before did
    /// not show it. A message that came before the end of the run before has waited for that end.
    fn message_began(&self, input: Option<Input>, observation: &Observation) -> RunStart {
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

fn is_work(status: RunStatus) -> bool {
    matches!(
        status,
        RunStatus::Busy | RunStatus::Canceling | RunStatus::Running
    )
}

/// Between two steps the agent may say that it is idle; three seconds were seen to be enough to
/// tell such a gap from the end.
const GOES_ON_WITHIN: Duration = Duration::from_secs(3);

/// The agent has read an answer to its end a moment before its observer has: calls of a run may be
/// stated after its end.
const CALLS_END_WITHIN: Duration = Duration::from_millis(500);

/// A message that nothing has come of for so long was swallowed.
const SWALLOWED_AFTER: Duration = Duration::from_secs(10);

/// An idle agent is asked again after seconds only, and not for all of a conversation at once.
pub(super) const OBSERVED_WITHIN: Duration = Duration::from_secs(10);
