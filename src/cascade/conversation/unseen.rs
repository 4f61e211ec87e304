//! Runs that nobody saw: they began and ended between two looks, and only the steps tell of them.

use std::time::{Instant, SystemTime};

use super::clock::{Began, instant_of};
use super::trajectory::Input;
use super::{Conversation, End, Event, Look, Run, SWALLOWED_AFTER, is_answer};
use crate::record::StepStatus;

impl Conversation {
    /// Every run but the last that the steps show to have been over when the user's next message came. A message that came
    /// while the agent worked is part of the run before it.
    pub(super) fn unseen_runs(&mut self, look: &Look) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(input) = self.main.next_input(self.handled) {
            if let Run::Open(run) | Run::Closing { run, .. } = self.run {
                let Some(at) = self.over_before(run.first_step, run.began.wall, input, look) else { break };
                let at = run.worked.map_or(at, |worked| at.max(worked));
                let end = End { at, outcome: self.outcome(&run, input.index), steps: input.index };
                events.push(self.close(run, end));
                continue;
            }
            let Some(next) = self.main.next_input(Some(input)) else { break };
            let began = input.created_at.and_then(|created| Some((created, Began::told(created, look.now)?)));
            let Some((created, began)) = began else { break };
            let Some(at) = self.over_before(input.index, created, next, look) else { break };
            events.push(self.open(began, Some(input)));
            if let Run::Open(run) = self.run {
                let end = End { at, outcome: self.outcome(&run, next.index), steps: next.index };
                events.push(self.close(run, end));
            }
        }
        events
    }

    /// When the steps from `first` on, which the user had asked for at `began`, were over, if that was before `next` came.
    fn over_before(&self, first: u32, began: SystemTime, next: Input, look: &Look) -> Option<Instant> {
        let came = next.created_at?;
        let steps = || self.main.steps_between(first, next.index);
        if steps().any(|step| is_under_way(step.status)) {
            return None;
        }
        let is_answered = steps().any(is_answer);
        if !is_answered && came.duration_since(began).is_ok_and(|after| after < SWALLOWED_AFTER) {
            // Two messages in a row are more likely one question than a lost one.
            return None;
        }
        let of_subagents = self.subtrajectories.values().flat_map(|sub| sub.steps(0)).filter_map(|step| step.completed_at);
        let of_subagents = of_subagents.filter(|at| *at >= began && *at <= came);
        let completed = steps().filter_map(|step| step.completed_at).chain(of_subagents).max()?;
        if completed > came {
            return None;
        }
        instant_of(completed, look.now)
    }
}

fn is_under_way(status: StepStatus) -> bool {
    use StepStatus::{Generating, Pending, Queued, Running, Waiting};
    matches!(status, Generating | Pending | Queued | Running | Waiting)
}
