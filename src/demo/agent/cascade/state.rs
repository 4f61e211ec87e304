//! One conversation as it stands at one moment. Cloning it shares the entries, so that a snapshot
//! costs little and two snapshots tell by address what has changed.

use std::sync::Arc;

use jiff::Timestamp;

use super::entries::{Executor, Generation, Step};
use super::names::{RunStatus, Termination};

/// A conversation with its subagents.
#[derive(Debug, Clone)]
pub(in crate::demo::agent) struct Cascade {
    pub(in crate::demo::agent) id: String,
    /// The conversation that this one works for, when it is a subagent's.
    pub(in crate::demo::agent) root: Option<String>,
    pub(in crate::demo::agent) created: Timestamp,
    pub(in crate::demo::agent) modified: Timestamp,
    /// When the user last said something, and in which step.
    pub(in crate::demo::agent) last_input: Option<(Timestamp, usize)>,
    pub(in crate::demo::agent) summary: String,
    pub(in crate::demo::agent) main: Trajectory,
    pub(in crate::demo::agent) subagents: Vec<Subagent>,
}

/// A subagent: a conversation of its own for those who ask for it by its id.
#[derive(Debug, Clone)]
pub(in crate::demo::agent) struct Subagent {
    pub(in crate::demo::agent) id: String,
    pub(in crate::demo::agent) created: Timestamp,
    pub(in crate::demo::agent) trajectory: Trajectory,
    /// The step of the main trajectory that holds its trajectory: then it is no conversation of its
    /// own.
    pub(in crate::demo::agent) inside: Option<usize>,
}

/// One line of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo::agent) struct Trajectory {
    pub(in crate::demo::agent) id: String,
    pub(in crate::demo::agent) status: RunStatus,
    pub(in crate::demo::agent) steps: Vec<Arc<Step>>,
    pub(in crate::demo::agent) generations: Vec<Arc<Generation>>,
    pub(in crate::demo::agent) executors: Vec<Arc<Executor>>,
}

impl Cascade {
    /// An idle conversation in which nothing was said yet.
    pub(in crate::demo::agent) fn new(id: String, trajectory: String, now: Timestamp) -> Self {
        Self {
            id,
            root: None,
            created: now,
            modified: now,
            last_input: None,
            summary: String::new(),
            main: Trajectory::new(trajectory, RunStatus::Idle),
            subagents: Vec::new(),
        }
    }

    /// The trajectory of the subagent with this number, or the main one.
    pub(in crate::demo::agent) fn trajectory(
        &mut self,
        subagent: Option<usize>,
    ) -> &mut Trajectory {
        let subagent = subagent.and_then(|number| self.subagents.get_mut(number));
        subagent.map_or(&mut self.main, |subagent| &mut subagent.trajectory)
    }

    /// Whether a subagent is at work that has a conversation of its own.
    pub(in crate::demo::agent) fn has_active_children(&self) -> bool {
        self.subagents
            .iter()
            .any(|subagent| subagent.inside.is_none() && subagent.is_at_work())
    }

    /// Whether nobody is at work.
    pub(in crate::demo::agent) fn is_fully_idle(&self) -> bool {
        self.main.status == RunStatus::Idle && !self.subagents.iter().any(Subagent::is_at_work)
    }

    /// The main trajectory with those of subagents inside of its steps.
    pub(in crate::demo::agent) fn with_inside(&self) -> Trajectory {
        let mut main = self.main.clone();
        for subagent in &self.subagents {
            if let Some(step) = subagent.inside {
                main.change(step, |step| {
                    step.inside = Some(Box::new(subagent.trajectory.clone()))
                });
            }
        }
        main
    }

    /// A subagent's conversation, as the list of all conversations has it.
    pub(in crate::demo::agent) fn of_subagent(&self, number: usize) -> Option<Self> {
        let Subagent {
            id,
            created,
            trajectory,
            ..
        } = self.subagents.get(number)?.clone();
        Some(Self {
            id,
            root: Some(self.id.clone()),
            created,
            modified: self.modified,
            last_input: None,
            summary: "Subagent".to_owned(),
            main: trajectory,
            subagents: Vec::new(),
        })
    }
}

impl Subagent {
    fn is_at_work(&self) -> bool {
        self.trajectory.status != RunStatus::Idle
    }
}

impl Trajectory {
    /// Without entries.
    pub(in crate::demo::agent) fn new(id: String, status: RunStatus) -> Self {
        Self {
            id,
            status,
            steps: Vec::new(),
            generations: Vec::new(),
            executors: Vec::new(),
        }
    }

    /// Appends a step and returns its index.
    pub(in crate::demo::agent) fn add(&mut self, step: Step) -> usize {
        self.steps.push(Arc::new(step));
        self.steps.len() - 1
    }

    /// Appends a call and returns its index.
    pub(in crate::demo::agent) fn call(&mut self, generation: Generation) -> usize {
        self.generations.push(Arc::new(generation));
        self.generations.len() - 1
    }

    /// Changes a step in a copy, which replaces it.
    pub(in crate::demo::agent) fn change(&mut self, step: usize, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.get_mut(step) {
            change(Arc::make_mut(step));
        }
    }

    /// Changes a call in a copy, which replaces it.
    pub(in crate::demo::agent) fn change_call(
        &mut self,
        call: usize,
        change: impl FnOnce(&mut Generation),
    ) {
        if let Some(generation) = self.generations.get_mut(call) {
            change(Arc::make_mut(generation));
        }
    }

    /// States why the executor that made `invocations` calls came to its end.
    pub(in crate::demo::agent) fn terminate(&mut self, reason: Termination, execution: &str) {
        let invocations = self
            .generations
            .iter()
            .filter(|call| call.execution == execution)
            .count();
        let last_step = self.steps.len().saturating_sub(1);
        self.executors.push(Arc::new(Executor {
            reason,
            invocations,
            last_step,
            execution: execution.to_owned(),
        }));
    }
}
