//! The known state of one trajectory, so that only what is new in each message counts.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::cascade::update::{
    Generation, MAX_ENTRIES, RunStatus, Step, Termination, TrajectoryUpdate,
};
use crate::record::{Id, StepKind, StepStatus, UpdateSource};

/// One trajectory.
#[derive(Debug, Default)]
pub(super) struct Trajectory {
    pub(super) status: Option<RunStatus>,
    /// The source of the status.
    pub(super) status_by: Option<UpdateSource>,
    /// Whether something had happened before following began; `None` until its steps have been
    /// seen.
    pub(super) has_history: Option<bool>,
    steps: BTreeMap<u32, Step>,
    /// The calls to models that have been reported, each with the provider's id of it.
    known_generations: BTreeMap<u32, Option<Id>>,
    terminations: BTreeMap<u32, Termination>,
}

/// What one message added to what was known.
#[derive(Debug, Default)]
pub(super) struct TrajectoryChanges {
    /// Steps that have ended.
    pub(super) ended: Vec<(StepKind, StepStatus)>,
    /// Calls to models that have ended.
    pub(super) generations: Vec<Generation>,
    /// No call of the trajectory had been seen before these.
    are_first: bool,
    /// Why the last executor ended.
    pub(super) termination: Option<Termination>,
}

/// A message of the user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub(super) index: u32,
    pub(super) created_at: Option<SystemTime>,
}

impl Trajectory {
    pub(super) fn apply(&mut self, update: &TrajectoryUpdate) -> TrajectoryChanges {
        self.status = update.status.or(self.status);
        let total = update.total_steps.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
        self.steps.split_off(&total);
        let mut news = TrajectoryChanges {
            are_first: self.known_generations.is_empty(),
            ..TrajectoryChanges::default()
        };
        for (index, step) in update.steps.iter().filter(|(index, _)| *index < total) {
            let before = self.steps.insert(*index, step.clone());
            if step.status.is_final() && !before.is_some_and(|before| before.status.is_final()) {
                news.ended.push((step.kind, step.status));
            }
        }
        // An entry without usage is still under way and comes again.
        let ended = update
            .generations
            .iter()
            .filter(|(_, generation)| generation.usage.is_some());
        for (index, generation) in ended.filter(|(index, _)| *index < MAX_ENTRIES) {
            if self.is_new_generation(*index, generation) {
                news.generations.push(generation.clone());
            }
        }
        for (index, termination) in update
            .terminations
            .iter()
            .filter(|(index, _)| *index < MAX_ENTRIES)
        {
            if self.terminations.insert(*index, *termination) != Some(*termination) {
                news.termination = Some(*termination);
            }
        }
        news
    }

    /// Whether a call is new; it is known from now on. Where steps were taken back, another call
    /// may stand at a known index.
    fn is_new_generation(&mut self, index: u32, generation: &Generation) -> bool {
        let Generation {
            response,
            messages,
            traces,
            ..
        } = generation;
        let name = response
            .as_ref()
            .or(messages.first())
            .or(traces.last())
            .cloned();
        match self.known_generations.insert(index, name.clone()) {
            None => true,
            Some(before) => before.is_some() && name.is_some() && before != name,
        }
    }

    /// Whether the wire must have seen these calls.
    pub(super) fn is_fresh(&self, news: &TrajectoryChanges) -> bool {
        self.has_history
            .is_some_and(|has_history| !(has_history && news.are_first))
    }

    /// The number of steps, and of calls to models up to the last known one.
    pub(super) fn known(&self) -> (u32, u32) {
        (
            self.len(),
            self.known_generations
                .last_key_value()
                .map_or(0, |(index, _)| index + 1),
        )
    }

    pub(super) fn len(&self) -> u32 {
        self.steps
            .last_key_value()
            .map_or(0, |(index, _)| index + 1)
    }

    /// The first step from an index on in which a subagent works.
    pub(super) fn first_open_step(&self, first: u32) -> Option<u32> {
        self.steps
            .range(first..)
            .find(|(_, step)| step.is_subagent_at_work())
            .map(|(index, _)| *index)
    }

    /// The steps from an index on.
    pub(super) fn steps(&self, first: u32) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.range(first..).map(|(_, step)| step)
    }

    /// The steps from an index on and before another.
    pub(super) fn steps_between(
        &self,
        first: u32,
        end: u32,
    ) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.range(first.min(end)..end).map(|(_, step)| step)
    }

    /// The messages of the user before an index.
    pub(super) fn inputs(&self, end: u32) -> impl DoubleEndedIterator<Item = Input> {
        let inputs = self
            .steps
            .range(..end)
            .filter(|(_, step)| step.kind == StepKind::UserInput);
        inputs.map(|(index, step)| Input {
            index: *index,
            created_at: step.created_at,
        })
    }
}

impl Input {
    /// Whether it is another message, which came later. Where steps were taken back, it may stand
    /// at an earlier index.
    pub(super) fn is_after(self, other: Self) -> bool {
        self.index > other.index
            || self
                .created_at
                .zip(other.created_at)
                .is_some_and(|(own, others)| own > others)
    }
}
