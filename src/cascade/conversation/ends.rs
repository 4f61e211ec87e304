//! Determines when a run ended, and how.

use std::time::{Instant, SystemTime};

use super::clock::{CLOCK_TOLERANCE, Moment, RunStart, instant_of};
use super::trajectory::Input;
use super::{Conversation, End, Idle, Observation, OpenRun};
use crate::cascade::update::{Step, Termination};
use crate::record::{RunOutcome, StepKind, StepStatus};

impl End {
    /// The same end, but no later than the start of the next run.
    pub(super) fn before(self, next: RunStart) -> Self {
        Self {
            at: self.at.min(next.at),
            latest: self.latest.min(next.at),
            ..self
        }
    }
}

impl Conversation {
    /// The end of a run whose agent was found idle. Steps from `next` on do not belong to it. A
    /// stream that shows the change gives the end best; otherwise the agent's own times do.
    pub(super) fn end_of(
        &self,
        run: &OpenRun,
        next: Option<Input>,
        idle: Idle,
        observation: &Observation,
    ) -> End {
        let completed = if idle.is_seen {
            None
        } else {
            self.last_completed(run, next, observation.now)
        };
        let latest = self.message_began(next, observation).at;
        let index = next.map_or(u32::MAX, |next| next.index);
        let at = completed.unwrap_or(idle.at).min(latest);
        End {
            at,
            latest: if idle.is_seen {
                at
            } else {
                idle.at.min(latest).max(at)
            },
            outcome: self.outcome(run, index),
            steps: index.min(self.main.len()),
        }
    }

    /// When all steps of a run were completed, by the agent's clock, if that is possible. A
    /// subagent's step may be completed later than the last one.
    fn last_completed(&self, run: &OpenRun, next: Option<Input>, now: Moment) -> Option<Instant> {
        let index = next.map_or(u32::MAX, |next| next.index);
        let steps = || self.main.steps_between(run.first_step, index);
        let last = ended_at(steps().next_back()?)?;
        let latest = next.and_then(|next| next.created_at);
        let others = steps()
            .chain(self.subtrajectories.values().flat_map(|sub| sub.steps(0)))
            .filter_map(ended_at);
        let others = others.filter(|at| latest.is_none_or(|latest| *at <= latest));
        let at = instant_of(others.fold(last, SystemTime::max), now)?;
        (at + CLOCK_TOLERANCE >= run.worked.unwrap_or(run.began.at)).then_some(at)
    }

    /// The outcome of a run whose steps end before this index.
    fn outcome(&self, run: &OpenRun, end: u32) -> RunOutcome {
        let steps = || self.main.steps_between(run.first_step, end);
        let last = steps().rfind(|step| !is_bookkeeping(step));
        let last_is = |status: StepStatus| last.is_some_and(|step| step.status == status);
        let last_fails = last_is(StepStatus::Error)
            || last.is_some_and(|step| step.kind == StepKind::ErrorMessage);
        let ended_by = |termination: Termination| run.termination == Some(termination);
        if run.was_canceled || ended_by(Termination::Canceled) || last_is(StepStatus::Canceled) {
            RunOutcome::Canceled
        } else if run.has_failed || ended_by(Termination::Error) || last_fails {
            RunOutcome::Error
        } else if !run.has_generated && !steps().any(is_answer) {
            RunOutcome::Swallowed
        } else {
            RunOutcome::Ok
        }
    }

    /// The end of a run that was followed by another one between two observations. An error
    /// message, or a step that was broken off, is the end of the agent's work, whether or not it
    /// has a time. After an answer, only the agent's own times distinguish the end from a message
    /// that came while the agent worked. A stream without a gap shows every end.
    pub(super) fn end_between_observations(
        &self,
        run: &OpenRun,
        next: Input,
        observation: &Observation,
    ) -> Option<End> {
        let may_be = observation.after_gap || self.is_idle(observation.says_fully_idle);
        let last = self.last_of_turn(run.first_step, next).filter(|_| may_be)?;
        let began = self.message_began(Some(next), observation);
        let completed = self.last_completed(run, Some(next), observation.now);
        let at = match completed.filter(|_| began.is_reported && ended_at(last).is_some()) {
            Some(at) if last.kind != StepKind::UserInput => at,
            None if gives_up(last) => completed.or(run.worked).unwrap_or(run.began.at),
            _ => return None,
        };
        let latest = if began.is_reported { began.at } else { at };
        let end = End {
            at,
            latest,
            outcome: self.outcome(run, next.index),
            steps: next.index,
        };
        Some(end.before(began))
    }

    /// The last step of the turn before a message, if the turn had come to its end.
    pub(super) fn last_of_turn(&self, first: u32, next: Input) -> Option<&Step> {
        let last = self
            .main
            .steps_between(first, next.index)
            .rfind(|step| !is_bookkeeping(step))?;
        // After a tool step, or a step that calls for one, the agent would have gone on.
        let ends_turn = matches!(last.kind, StepKind::PlannerResponse | StepKind::UserInput)
            && last.status.is_final();
        let is_before = ended_at(last)
            .zip(next.created_at)
            .is_none_or(|(ended, created)| ended <= created);
        (is_before && (gives_up(last) || ends_turn)).then_some(last)
    }

    /// Whether a step after this message has ended.
    pub(super) fn shows_an_end(&self, input: Input) -> bool {
        self.main
            .steps(input.index + 1)
            .any(|step| step.status.is_final())
    }
}

/// When a step ended, by the agent's clock. An error message takes no time, and need not have a
/// completion time.
fn ended_at(step: &Step) -> Option<SystemTime> {
    let at_once = (step.kind == StepKind::ErrorMessage)
        .then_some(step.created_at)
        .flatten();
    step.completed_at.or(at_once)
}

/// Whether the agent does not go on after this step.
fn gives_up(step: &Step) -> bool {
    use StepStatus::{Canceled, Error, Interrupted, Other};
    let is_error_message =
        step.kind == StepKind::ErrorMessage && (step.status.is_final() || step.status == Other);
    is_error_message || matches!(step.status, Canceled | Error | Interrupted)
}

/// Whether the step is more than the user's message and what the agent adds to it by itself.
fn is_answer(step: &Step) -> bool {
    match step.kind {
        StepKind::UserInput => false,
        StepKind::PlannerResponse => step.has_text,
        _ => !is_bookkeeping(step),
    }
}

/// Whether the step is the agent's own bookkeeping, invisible to the user: a refused title does not
/// fail a run.
fn is_bookkeeping(step: &Step) -> bool {
    matches!(step.kind, StepKind::Checkpoint | StepKind::EphemeralMessage)
}
