//! Merges an update into what is known: the status, the main trajectory, subagents. What had
//! happened before following began is recognised here as history; it is never counted.

use std::time::SystemTime;

use super::clock::{CLOCK_TOLERANCE, Moment, instant_of};
use super::trajectory::{Trajectory, TrajectoryChanges};
use super::{Conversation, Observation};
use crate::cascade::update::{RunStatus, Step, TrajectoryUpdate, Update};
use crate::record::{Id, StepKind, StepStatus, UpdateSource};

impl Conversation {
    /// Adopts another conversation that turns out to be that of a subagent of this one: what was
    /// reported of it is not reported again.
    pub(in crate::cascade) fn adopt(&mut self, id: Id, other: Self) {
        let mut main = other.main;
        main.status = other.status;
        for (id, trajectory) in std::iter::once((id, main)).chain(other.subtrajectories) {
            if self.subtrajectories.len() < MAX_SUBTRAJECTORIES {
                self.subtrajectories.entry(id).or_insert(trajectory);
            }
        }
    }

    /// Applies the status. A message with a status replaces everything known of it. One without may
    /// still report that everything has ended, or that subagents work.
    pub(super) fn apply_status(&mut self, update: &Update) {
        let idle = update.fully_idle.then_some(RunStatus::Idle);
        if let Some(status) = update.status.or(update.main.status).or(idle) {
            self.status = Some(status);
            self.fully_idle = update.fully_idle;
            self.has_active_children = update.has_active_children;
            self.is_listed_at_work &= !self.works();
        } else if update.has_active_children {
            self.fully_idle = false;
            self.has_active_children = true;
        }
    }

    pub(super) fn apply_main(
        &mut self,
        update: &Update,
        observation: &Observation,
    ) -> TrajectoryChanges {
        let is_about_main = update.status.is_some() || update.main != TrajectoryUpdate::default();
        let mut news = self.main.apply(&update.main);
        // Only the first message of this stream is known to be complete: others may bring the
        // status before the steps.
        let has_steps = !update.main.steps.is_empty() || update.main.total_steps.is_some();
        let is_picture =
            has_steps || (is_about_main && observation.source == UpdateSource::AgentState);
        if is_picture && self.main.has_history.is_none() {
            self.forget_history(&mut news, observation.now);
        }
        news
    }

    /// Separates history in the first full snapshot: what came before the first message since
    /// following began is history. Without such a message everything is, except the last message
    /// when the agent is working on it.
    fn forget_history(&mut self, news: &mut TrajectoryChanges, now: Moment) {
        let len = self.main.len();
        let is_recent = |at: SystemTime| at >= self.since && instant_of(at, now).is_some();
        let recent = self
            .main
            .inputs(len)
            .find(|input| input.created_at.is_some_and(is_recent));
        let at_work = self.main.inputs(len).next_back().filter(|_| self.works());
        let first = match recent.or(at_work) {
            Some(input) => input.index,
            None if self.works() => 0,
            None => len,
        };
        self.handled = self.main.inputs(first).next_back();
        news.ended = self.main.steps(first).filter_map(ended).collect();
        self.main.has_history = Some(len > 0 && !(recent.is_some() && self.handled.is_none()));
    }

    pub(super) fn apply_subtrajectory(
        &mut self,
        id: &Id,
        news: &TrajectoryUpdate,
        observation: &Observation,
    ) -> Option<TrajectoryChanges> {
        let has_room = self.subtrajectories.len() < MAX_SUBTRAJECTORIES
            || self.subtrajectories.contains_key(id);
        let sub = has_room.then(|| self.subtrajectories.entry(id.clone()).or_default())?;
        if news.status.is_some() {
            sub.status_by = Some(observation.source);
        }
        Some(sub.apply(news))
    }

    /// Forgets the statuses of subagents that the agent-state stream reported once that stream has
    /// been left for another source. No other source updates the status of those whose trajectories
    /// stand inside of steps: their steps show whether they work.
    pub(super) fn forget_statuses_of_left_stream(
        &mut self,
        update: &Update,
        observation: &Observation,
    ) {
        if update.status.is_some() && observation.source != UpdateSource::AgentState {
            let by_stream = |sub: &&mut Trajectory| sub.status_by == Some(UpdateSource::AgentState);
            self.subtrajectories
                .values_mut()
                .filter(by_stream)
                .for_each(|sub| sub.status = None);
        }
    }

    /// Drops what a subagent had done before its run was observed: that is history.
    pub(super) fn drop_history_of_subtrajectory(
        &mut self,
        id: &Id,
        mut news: TrajectoryChanges,
    ) -> Option<(bool, TrajectoryChanges)> {
        let began = self.current().map(|(began, _)| began.wall);
        let sub = self.subtrajectories.get_mut(id)?;
        if sub.has_history.is_none() && sub.len() > 0 {
            let first = sub.steps(0).find_map(|step| step.created_at);
            let is_of_run = began
                .is_some_and(|began| first.is_none_or(|first| first + CLOCK_TOLERANCE >= began));
            sub.has_history = Some(!is_of_run);
            if !is_of_run {
                news.ended.clear();
            }
        }
        Some((sub.is_fresh(&news), news))
    }
}

fn ended(step: &Step) -> Option<(StepKind, StepStatus)> {
    step.status.is_final().then_some((step.kind, step.status))
}

/// Most subagents of one conversation; a handful is usual.
pub(super) const MAX_SUBTRAJECTORIES: usize = 1_000;
