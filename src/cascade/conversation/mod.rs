//! One conversation as a state machine: news enter, what they mean leaves, above all where a run begins and ends.
//!
//! A run is a message of the user and all that follows until the agent and its subagents are idle. Idle alone is no end: it
//! is also said before a run begins, between two steps, and while subagents work. No I/O and no clock: every call is told
//! the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use super::update::{Generation, RunStatus, Step, Termination, TrajectoryUpdate, Update};
use crate::record::{Id, RunOutcome, StepKind, StepStatus, UpdateSource};

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The monotonic clock.
    pub at: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

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
    RunStarted(Began),
    /// A step has come to its end.
    StepEnded(StepKind, StepStatus),
}

/// When a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Began {
    /// On the monotonic clock.
    pub at: Instant,
    /// On the wall clock.
    pub wall: SystemTime,
}

/// A run from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRun {
    /// When it began.
    pub began: Began,
    /// When it ended.
    pub ended: Instant,
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
    handled_input: Option<u32>,
    /// How many terminations are those of earlier runs.
    handled_terminations: u32,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    /// None is under way.
    None,
    /// The user has written, and nothing has been seen to come of it.
    Awaited { since: Moment },
    /// The agent works.
    Open(OpenRun),
    /// The agent is idle; unless it goes on soon, this was the end.
    Closing { run: OpenRun, ended: Instant, deadline: Instant },
}

#[derive(Debug, Clone, Copy)]
struct OpenRun {
    began: Began,
    /// The first step that belongs to it.
    first_step: u32,
    /// The first entry of the terminations that does.
    first_termination: u32,
    was_canceled: bool,
    has_failed: bool,
    has_generated: bool,
}

#[derive(Debug, Default)]
struct Trajectory {
    steps: Vec<Option<Step>>,
    status: Option<RunStatus>,
    generations: u32,
    terminations: Vec<Option<Termination>>,
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
            handled_input: None,
            handled_terminations: 0,
        }
    }

    /// Whether a run is under way, or might go on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.run, Run::Open(_) | Run::Closing { .. })
    }

    /// Whether time alone may change something.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.run, Run::Awaited { .. } | Run::Closing { .. })
    }

    /// The number of steps and of generations that are known of the main trajectory, or of a subagent's: where polling
    /// goes on.
    #[must_use]
    pub fn known(&self, subtrajectory: Option<&Id>) -> (u32, u32) {
        let trajectory = subtrajectory.map_or(Some(&self.main), |id| self.subtrajectories.get(id));
        trajectory.map_or((0, 0), |trajectory| (trajectory.len(), trajectory.generations))
    }

    /// When the run began that is under way or closing, and when it ended, if it did.
    #[must_use]
    pub fn current(&self) -> Option<(Began, Option<Instant>)> {
        match self.run {
            Run::None | Run::Awaited { .. } => None,
            Run::Open(run) => Some((run.began, None)),
            Run::Closing { run, ended, .. } => Some((run.began, Some(ended))),
        }
    }

    /// Takes news. `says_fully_idle`: this agent is known to say when everything has ended, so that nothing less counts.
    pub fn apply(&mut self, update: &Update, source: UpdateSource, says_fully_idle: bool, now: Moment) -> Vec<Event> {
        if update.status.is_some() {
            self.status = update.status;
            self.fully_idle = update.fully_idle;
            self.has_active_children = update.has_active_children;
        }
        let mut seen = Seen { fresh: true, ..Seen::default() };
        if update.status.is_some() || update.main != TrajectoryUpdate::default() {
            let is_first = self.last.is_none();
            self.main.apply(&update.main, &mut seen);
            if is_first {
                self.forget_history(&mut seen);
            }
        }
        for (id, news) in &update.subtrajectories {
            self.apply_to_subtrajectory(id, news, &mut seen);
        }
        let before = self.last.replace(now);
        let mut events = Vec::new();
        self.advance(source, says_fully_idle, before, now, &mut events);
        if let Run::Open(run) | Run::Closing { run, .. } = &mut self.run {
            run.has_generated |= !seen.generations.is_empty();
            run.was_canceled |= self.status == Some(RunStatus::Canceling);
            run.has_failed |= self.status == Some(RunStatus::Error);
        }
        let fresh = seen.fresh;
        events.extend(seen.ended.into_iter().map(|(kind, status)| Event::StepEnded(kind, status)));
        events.extend(seen.generations.into_iter().map(|generation| Event::Generation { generation, fresh }));
        events
    }

    fn apply_to_subtrajectory(&mut self, id: &Id, news: &TrajectoryUpdate, seen: &mut Seen) {
        let is_first = !self.subtrajectories.contains_key(id);
        if is_first && self.subtrajectories.len() == MAX_SUBTRAJECTORIES {
            return;
        }
        let mut of_subagent = Seen::default();
        self.subtrajectories.entry(id.clone()).or_default().apply(news, &mut of_subagent);
        // What a subagent had done before its conversation was looked at is history.
        if !(is_first && matches!(self.run, Run::None) && !self.works()) {
            seen.ended.append(&mut of_subagent.ended);
        }
        seen.generations.append(&mut of_subagent.generations);
    }

    /// Time passes: what was waited for long enough is settled.
    pub fn tick(&mut self, now: Moment) -> Vec<Event> {
        match self.run {
            Run::Closing { run, ended, deadline } if now.at >= deadline => vec![self.close(run, ended)],
            Run::Awaited { since } if now.at.saturating_duration_since(since.at) >= SWALLOWED_AFTER => {
                let run = self.open(self.input_began(since), since);
                vec![Event::RunStarted(run.began), self.close(run, since.at)]
            }
            _ => Vec::new(),
        }
    }

    /// The agent, the conversation or the house goes away.
    pub fn lose(&mut self, now: Moment) -> Vec<Event> {
        match std::mem::replace(&mut self.run, Run::None) {
            Run::None | Run::Awaited { .. } => Vec::new(),
            Run::Open(run) => {
                vec![Event::RunEnded(EndedRun { began: run.began, ended: now.at, outcome: RunOutcome::Lost })]
            }
            Run::Closing { run, ended, .. } => vec![self.close(run, ended)],
        }
    }

    /// In the first picture, what came before the last message of the user is history, and so is that message when it is
    /// older than the following and nothing comes of it any more.
    fn forget_history(&mut self, seen: &mut Seen) {
        let ended = self.main.ended_executors();
        let input = self.main.last_input();
        let is_recent = input.is_some_and(|(_, step)| step.created_at.is_some_and(|at| at >= self.since));
        if self.works() || is_recent {
            let first = input.map_or(0, |(index, _)| index);
            self.handled_input = first.checked_sub(1);
            let current = self.main.steps.iter().skip(first as usize).flatten();
            seen.ended = current.filter(|step| step.status.is_final()).map(|step| (step.kind, step.status)).collect();
            // The last one may be that of a run that has just ended.
            self.handled_terminations = if self.works() { ended } else { ended.saturating_sub(1) };
        } else {
            self.handled_input = input.map(|(index, _)| index);
            self.handled_terminations = ended;
            seen.ended.clear();
        }
        // A conversation that begins with this run has no history.
        seen.fresh = self.handled_input.is_none();
    }

    fn advance(
        &mut self,
        source: UpdateSource,
        says_fully_idle: bool,
        before: Option<Moment>,
        now: Moment,
        events: &mut Vec<Event>,
    ) {
        let works = self.works();
        let is_idle = self.is_idle(says_fully_idle);
        let has_new_input = self.new_input().is_some();
        match self.run {
            Run::Closing { run, ended, .. } if works || has_new_input => {
                if has_new_input {
                    events.push(self.close(run, ended));
                    self.advance(source, says_fully_idle, before, now, events);
                } else {
                    self.run = Run::Open(run);
                }
            }
            Run::None | Run::Awaited { .. } if works => {
                let began = self.work_began(before, now);
                let run = self.open(began, now);
                events.push(Event::RunStarted(run.began));
            }
            Run::None | Run::Awaited { .. } if is_idle && has_new_input => {
                if self.shows_the_end_of_a_run() {
                    // It began and ended between two looks.
                    let run = self.open(self.input_began(now), now);
                    events.push(Event::RunStarted(run.began));
                    self.settle(run, self.last_completed(run, run.began.at, now), now);
                } else if matches!(self.run, Run::None) {
                    self.run = Run::Awaited { since: now };
                }
            }
            Run::Open(run) if is_idle => {
                let ended = match (source, before) {
                    (UpdateSource::Polling, Some(before)) => self.last_completed(run, before.at, now),
                    _ => now.at,
                };
                self.settle(run, ended, now);
            }
            _ => {}
        }
    }

    fn open(&mut self, began: Began, now: Moment) -> OpenRun {
        let input = self.new_input();
        let first_step = input.unwrap_or(self.main.len());
        self.handled_input = input.or(self.handled_input);
        let run = OpenRun {
            began: Began { at: began.at.min(now.at), ..began },
            first_step,
            first_termination: self.handled_terminations,
            was_canceled: false,
            has_failed: false,
            has_generated: false,
        };
        self.run = Run::Open(run);
        run
    }

    fn settle(&mut self, run: OpenRun, ended: Instant, now: Moment) {
        let wait = if self.fully_idle { CALLS_END_WITHIN } else { GOES_ON_WITHIN };
        self.run = Run::Closing { run, ended: ended.max(run.began.at), deadline: now.at + wait };
    }

    fn close(&mut self, run: OpenRun, ended: Instant) -> Event {
        self.run = Run::None;
        let outcome = self.outcome(run);
        self.handled_terminations = self.main.ended_executors();
        Event::RunEnded(EndedRun { began: run.began, ended, outcome })
    }

    fn outcome(&self, run: OpenRun) -> RunOutcome {
        let terminations = self.main.terminations.iter().skip(run.first_termination as usize).flatten();
        let last_termination = terminations.last().copied();
        let steps = || self.main.steps.iter().skip(run.first_step as usize).flatten();
        let last = steps().last();
        let last_is = |status: StepStatus| last.is_some_and(|step| step.status == status);
        let last_fails = last.is_some_and(|step| step.kind == StepKind::ErrorMessage) || last_is(StepStatus::Error);
        if run.was_canceled || last_termination == Some(Termination::Canceled) || last_is(StepStatus::Canceled) {
            RunOutcome::Canceled
        } else if run.has_failed || last_termination == Some(Termination::Error) || last_fails {
            RunOutcome::Error
        } else if !run.has_generated && steps().all(|step| step.kind == StepKind::UserInput) {
            RunOutcome::Swallowed
        } else {
            RunOutcome::Ok
        }
    }

    /// Whether the main trajectory is being worked on.
    fn works(&self) -> bool {
        matches!(self.status, Some(RunStatus::Busy | RunStatus::Canceling | RunStatus::Running))
    }

    /// Whether everything has ended.
    fn is_idle(&self, says_fully_idle: bool) -> bool {
        let main = matches!(self.status, Some(RunStatus::Idle | RunStatus::Error));
        let subagents_work = self.has_active_children
            || self
                .subtrajectories
                .values()
                .any(|sub| matches!(sub.status, Some(RunStatus::Busy | RunStatus::Canceling | RunStatus::Running)));
        main && (self.fully_idle || (!says_fully_idle && !subagents_work))
    }

    /// The last message of the user, when no run has answered it yet.
    fn new_input(&self) -> Option<u32> {
        let (index, _) = self.main.last_input()?;
        (self.handled_input.is_none_or(|handled| index > handled)).then_some(index)
    }

    fn shows_the_end_of_a_run(&self) -> bool {
        let Some(input) = self.new_input() else { return false };
        self.main.steps.iter().skip(input as usize + 1).flatten().any(|step| step.status.is_final())
    }

    /// When the agent began to work: with the user's message, by the agent's clock, unless that cannot be.
    fn work_began(&self, before: Option<Moment>, now: Moment) -> Began {
        let began = self.input_began(now);
        // Work on an older message is only known to have begun since the last look.
        let is_new = self.new_input().is_some();
        let can_be = before.is_none_or(|before| began.at + CLOCK_TOLERANCE >= before.at);
        if is_new && can_be { began } else { Began { at: now.at, wall: now.wall } }
    }

    /// When the user's last message came.
    fn input_began(&self, now: Moment) -> Began {
        let created = self.main.last_input().and_then(|(_, step)| step.created_at);
        let at = created.and_then(|created| instant_of(created, now));
        match (at, created) {
            (Some(at), Some(wall)) => Began { at, wall },
            _ => Began { at: now.at, wall: now.wall },
        }
    }

    /// When the last step of a run was completed, by the agent's clock, if that lies between two looks; now otherwise.
    fn last_completed(&self, run: OpenRun, after: Instant, now: Moment) -> Instant {
        let main = self.main.steps.iter().skip(run.first_step as usize);
        let all = main.chain(self.subtrajectories.values().flat_map(|sub| &sub.steps)).flatten();
        let last = all.filter_map(|step| step.completed_at).max().and_then(|at| instant_of(at, now));
        last.filter(|at| *at + CLOCK_TOLERANCE >= after).unwrap_or(now.at)
    }
}

/// What one message brought that was not known before.
#[derive(Debug, Default)]
struct Seen {
    /// The wire must have seen the generations.
    fresh: bool,
    ended: Vec<(StepKind, StepStatus)>,
    generations: Vec<Generation>,
}

impl Trajectory {
    fn apply(&mut self, news: &TrajectoryUpdate, seen: &mut Seen) {
        self.status = news.status.or(self.status);
        if let Some(total) = news.total_steps {
            self.steps.truncate(total as usize);
        }
        for (index, step) in &news.steps {
            let Some(slot) = slot(&mut self.steps, *index) else { continue };
            let was_final = slot.as_ref().is_some_and(|before| before.status.is_final());
            if step.status.is_final() && !was_final {
                seen.ended.push((step.kind, step.status));
            }
            *slot = Some(step.clone());
        }
        for (index, generation) in &news.generations {
            // An entry without usage is still under way and comes again.
            if generation.usage.is_some() && *index >= self.generations && *index < MAX_ENTRIES {
                self.generations = index + 1;
                seen.generations.push(generation.clone());
            }
        }
        for (index, termination) in &news.terminations {
            if let Some(slot) = slot(&mut self.terminations, *index) {
                *slot = Some(*termination);
            }
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    fn ended_executors(&self) -> u32 {
        u32::try_from(self.terminations.len()).unwrap_or(u32::MAX)
    }

    fn last_input(&self) -> Option<(u32, &Step)> {
        let (index, step) = self.steps.iter().enumerate().rev().find_map(|(index, step)| {
            let step = step.as_ref().filter(|step| step.kind == StepKind::UserInput)?;
            Some((index, step))
        })?;
        Some((u32::try_from(index).ok()?, step))
    }
}

/// The place of an entry, made if need be; `None` beyond the limit.
fn slot<T: Clone>(entries: &mut Vec<Option<T>>, index: u32) -> Option<&mut Option<T>> {
    if index >= MAX_ENTRIES {
        return None;
    }
    let index = index as usize;
    if entries.len() <= index {
        entries.resize(index + 1, None);
    }
    entries.get_mut(index)
}

/// A time by the agent's clock as a moment of ours; `None` when it lies in our future, so that its clock must be wrong.
fn instant_of(time: SystemTime, now: Moment) -> Option<Instant> {
    match now.wall.duration_since(time) {
        Ok(ago) => now.at.checked_sub(ago),
        Err(ahead) => (ahead.duration() <= CLOCK_TOLERANCE).then_some(now.at),
    }
}

/// Between two steps the agent may say that it is idle; three seconds were seen to be enough to tell such a gap from the end.
const GOES_ON_WITHIN: Duration = Duration::from_secs(3);

/// The agent has read an answer to its end a moment before its observer has: calls of a run may be stated after its end.
const CALLS_END_WITHIN: Duration = Duration::from_millis(500);

/// A message that nothing has come of for so long was swallowed.
const SWALLOWED_AFTER: Duration = Duration::from_secs(10);

/// Agent and house share a machine and its clock; what differs more is another clock.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// Steps, generations or terminations of one trajectory; the longest known has some 2,300. At 64 bytes each: 6 MB.
const MAX_ENTRIES: u32 = 100_000;

/// Subagents of one conversation; a handful is usual.
const MAX_SUBTRAJECTORIES: usize = 1_000;

#[cfg(test)]
mod tests;
