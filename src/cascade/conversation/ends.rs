//! When a run ended, and how.

use std::time::{Instant, SystemTime};

use super::clock::{CLOCK_TOLERANCE, Moment, instant_of};
use super::trajectory::Input;
use super::{Conversation, End, Look, OpenRun};
use crate::cascade::update::{Step, Termination};
use crate::record::{RunOutcome, StepKind, StepStatus, UpdateSource};

impl Conversation {
    /// The end of a run whose agent was seen to be idle, and of whose steps a later message is none. A stream tells the end
    /// at once; otherwise the agent's own times tell it better.
    pub(super) fn end_of(&self, run: &OpenRun, next: Option<Input>, idle: Moment, look: &Look) -> End {
        let is_seen = look.source != UpdateSource::Polling && run.worked.is_some();
        let completed = if is_seen { None } else { self.last_completed(run, next, look.now) };
        let latest = next.and_then(|next| instant_of(next.created_at?, look.now)).unwrap_or(look.now.at);
        let index = next.map_or(u32::MAX, |next| next.index);
        let at = completed.unwrap_or(idle.at).min(latest);
        End {
            at,
            latest: if is_seen { at } else { idle.at.min(latest).max(at) },
            outcome: self.outcome(run, index),
            steps: index.min(self.main.len()),
        }
    }

    /// When all steps of a run were completed, by the agent's clock, if that can be.
    fn last_completed(&self, run: &OpenRun, next: Option<Input>, now: Moment) -> Option<Instant> {
        let index = next.map_or(u32::MAX, |next| next.index);
        let last = self.main.steps_between(run.first_step, index).next_back()?.completed_at?;
        let latest = next.and_then(|next| next.created_at);
        let others = self.subtrajectories.values().flat_map(|sub| sub.steps(0)).filter_map(|step| step.completed_at);
        let others = others.filter(|at| latest.is_none_or(|latest| *at <= latest));
        let at = instant_of(others.fold(last, SystemTime::max), now)?;
        (at + CLOCK_TOLERANCE >= run.worked.unwrap_or(run.began.at)).then_some(at)
    }

    /// How a run ended whose steps end before this index.
    fn outcome(&self, run: &OpenRun, end: u32) -> RunOutcome {
        let steps = || self.main.steps_between(run.first_step, end);
        let last = steps().rfind(|step| !is_bookkeeping(step));
        let last_is = |status: StepStatus| last.is_some_and(|step| step.status == status);
        let last_fails = last_is(StepStatus::Error) || last.is_some_and(|step| step.kind == StepKind::ErrorMessage);
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

    /// The end of a run that was followed by another one between two looks: nothing less than the agent's own times tells it
    /// from a message that came while the agent worked. A stream that has not been left shows every end.
    pub(super) fn end_between_looks(&self, run: &OpenRun, next: Input, look: &Look) -> Option<End> {
        let may_be = look.after_gap || self.is_idle(look.says_fully_idle);
        let last = self.last_of_turn(run.first_step, next)?;
        let is_told = last.completed_at.is_some() && next.created_at.is_some();
        let is_answered = last.kind != StepKind::UserInput;
        let at = self.last_completed(run, Some(next), look.now).filter(|_| may_be && is_told && is_answered)?;
        let latest = next.created_at.and_then(|created| instant_of(created, look.now)).unwrap_or(at).max(at);
        Some(End { at, latest, outcome: self.outcome(run, next.index), steps: next.index })
    }

    /// The last step of the turn before a message, if the turn had come to its end.
    pub(super) fn last_of_turn(&self, first: u32, next: Input) -> Option<&Step> {
        let last = self.main.steps_between(first, next.index).rfind(|step| !is_bookkeeping(step))?;
        let is_broken_off = matches!(last.status, StepStatus::Canceled | StepStatus::Error | StepStatus::Interrupted);
        // After a tool, and after what calls for one, the agent would have gone on.
        let ends_turn = matches!(last.kind, StepKind::ErrorMessage | StepKind::PlannerResponse | StepKind::UserInput);
        let is_before = last.completed_at.zip(next.created_at).is_none_or(|(completed, created)| completed <= created);
        (is_before && last.status.is_final() && (is_broken_off || ends_turn)).then_some(last)
    }

    /// Whether something has come of a message that has ended.
    pub(super) fn shows_an_end(&self, input: Input) -> bool {
        self.main.steps(input.index + 1).any(|step| step.status.is_final())
    }
}

/// Whether the step is more than the message and what the agent adds to it.
fn is_answer(step: &Step) -> bool {
    match step.kind {
        StepKind::UserInput => false,
        StepKind::PlannerResponse => step.has_text,
        _ => !is_bookkeeping(step),
    }
}

/// What the agent does for itself, of which the user hears nothing: a title that is refused fails no run.
fn is_bookkeeping(step: &Step) -> bool {
    matches!(step.kind, StepKind::Checkpoint | StepKind::EphemeralMessage)
}
