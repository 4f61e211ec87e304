//! Builders of updates for tests.

use super::update::{
    AgentUsage, Generation, RunStatus, Step, Termination, TrajectoryUpdate, Update,
};
use crate::record::Id;

pub(super) fn id(text: &str) -> Id {
    Id::from_wire(text).unwrap()
}

pub(super) fn status(status: RunStatus) -> Update {
    Update {
        status: Some(status),
        ..Update::default()
    }
}

pub(super) fn idle() -> Update {
    status(RunStatus::Idle)
}

pub(super) fn running() -> Update {
    status(RunStatus::Running)
}

/// A finished call to a model, of 7 tokens, with the provider's ids of its response and trace.
pub(super) fn generation(name: &str) -> Generation {
    Generation {
        usage: Some(AgentUsage {
            input: 5,
            output: 2,
            ..AgentUsage::default()
        }),
        response: Some(id(&format!("response-{name}"))),
        traces: vec![id(name)],
        ..Generation::default()
    }
}

impl Update {
    pub(super) fn steps(mut self, first: u32, steps: impl IntoIterator<Item = Step>) -> Self {
        self.main.steps.extend((first..).zip(steps));
        self
    }

    pub(super) fn generations(
        mut self,
        first: u32,
        generations: impl IntoIterator<Item = Generation>,
    ) -> Self {
        self.main.generations.extend((first..).zip(generations));
        self
    }

    pub(super) fn termination(mut self, index: u32, termination: Termination) -> Self {
        self.main.terminations.push((index, termination));
        self
    }

    pub(super) fn sub(mut self, trajectory: &str, news: TrajectoryUpdate) -> Self {
        self.subtrajectories.push((id(trajectory), news));
        self
    }

    pub(super) fn of_trajectory(mut self, trajectory: &str) -> Self {
        self.trajectory = Some(id(trajectory));
        self
    }

    pub(super) fn of_root(mut self, root: &str) -> Self {
        self.root = Some(id(root));
        self
    }

    pub(super) fn fully(mut self) -> Self {
        self.fully_idle = true;
        self
    }

    pub(super) fn with_children(mut self) -> Self {
        self.has_active_children = true;
        self
    }
}
