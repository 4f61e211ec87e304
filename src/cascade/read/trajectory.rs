//! Reads steps, calls to models and executor ends, wherever a message has them. Of a step's content
//! only whether the model has written something is read.

use super::Malformed;
use super::entries::{Budget, Entries};
use super::fields::{Count, GenerationField, StepField, TrajectoryField};
use super::values::{enum_model, has_text, id, model, named, time, tokens};
use crate::cascade::update::{
    AgentUsage, Generation, RunStatus, Step, Termination, TrajectoryUpdate,
};
use crate::observe::json::Value;
use crate::record::Id;

/// The update of one trajectory, while it is being read.
#[derive(Debug, Default)]
pub(super) struct TrajectoryDraft {
    id: Option<Id>,
    status: Option<RunStatus>,
    root: Option<Id>,
    steps: Entries<Step>,
    generations: Entries<GenerationDraft>,
    /// Executors with their termination reasons; one that still runs has none.
    executors: Entries<Option<Termination>>,
    /// Trajectories inside of its steps that are being read, the outermost first.
    open: Vec<Self>,
    /// Inner trajectories that have been read.
    inside: Vec<(Id, TrajectoryUpdate)>,
}

/// The update of one trajectory, and of those of subagents inside of its steps.
pub(super) type ReadTrajectories = (TrajectoryUpdate, Vec<(Id, TrajectoryUpdate)>);

/// A call to a model, while it is being read.
#[derive(Debug, Default)]
pub(super) struct GenerationDraft {
    said: Generation,
    message: Option<Id>,
    assigned_message: Option<Id>,
}

impl TrajectoryDraft {
    pub(super) fn read_value(
        &mut self,
        field: TrajectoryField,
        value: Value<'_>,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        match (field, value, self.open.last_mut()) {
            (TrajectoryField::Subtrajectory, Value::Array | Value::Object, _) => {
                budget.spend()?;
                self.open.push(Self::default());
            }
            (TrajectoryField::Subtrajectory, Value::End, _) => self.close()?,
            (TrajectoryField::Subtrajectory, ..) => {}
            (_, _, Some(inside)) => return inside.read_own_value(field, value, budget),
            (_, _, None) => return self.read_own_value(field, value, budget),
        }
        Ok(())
    }

    /// Ends the innermost trajectory that is being read. One without an id is dropped.
    fn close(&mut self) -> Result<(), Malformed> {
        let Some(mut closed) = self.open.pop() else {
            return Ok(());
        };
        let id = closed.id.take();
        let (update, _) = closed.finish(0)?;
        self.inside.extend(id.map(|id| (id, update)));
        Ok(())
    }

    fn read_own_value(
        &mut self,
        field: TrajectoryField,
        value: Value<'_>,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        match field {
            TrajectoryField::Executors(part) => {
                return self.executors.read_part(part, value, budget);
            }
            TrajectoryField::Generations(part) => {
                return self.generations.read_part(part, value, budget);
            }
            TrajectoryField::Steps(part) => return self.steps.read_part(part, value, budget),
            TrajectoryField::Generation(field) => {
                self.generations
                    .last()
                    .into_iter()
                    .for_each(|draft| draft.read_value(field, value));
            }
            TrajectoryField::Step(field) => {
                self.steps
                    .last()
                    .into_iter()
                    .for_each(|step| set_step_field(step, field, value));
            }
            TrajectoryField::Termination => {
                self.executors
                    .last()
                    .into_iter()
                    .for_each(|reason| *reason = named(value));
            }
            TrajectoryField::Id => self.id = id(value),
            TrajectoryField::Root => self.root = id(value),
            TrajectoryField::Status => self.status = named(value),
            TrajectoryField::Subtrajectory => {}
        }
        Ok(())
    }

    /// The root conversation: the one that this one works for, or itself.
    pub(super) fn root(&self) -> Option<&Id> {
        self.root.as_ref()
    }

    /// Returns what was read; `first` is the index of the first entry of lists without indices.
    pub(super) fn finish(self, first: u32) -> Result<ReadTrajectories, Malformed> {
        let total_steps = self.steps.total();
        let generations = self.generations.finish(first)?.into_iter();
        let executors = self.executors.finish(first)?.into_iter();
        let update = TrajectoryUpdate {
            status: self.status,
            steps: self.steps.finish(first)?,
            total_steps,
            generations: generations
                .map(|(index, draft)| (index, draft.finish()))
                .collect(),
            terminations: executors
                .filter_map(|(index, reason)| Some((index, reason?)))
                .collect(),
        };
        Ok((update, self.inside))
    }
}

/// Sets a field of a step.
fn set_step_field(step: &mut Step, field: StepField, value: Value<'_>) {
    let Step {
        kind,
        status,
        created_at,
        completed_at,
        has_text: said,
    } = step;
    match field {
        StepField::CompletedAt => *completed_at = time(value),
        StepField::CreatedAt => *created_at = time(value),
        StepField::Kind => *kind = named(value).unwrap_or(*kind),
        StepField::Status => *status = named(value).unwrap_or(*status),
        StepField::Text => *said |= has_text(value),
    }
}

impl GenerationDraft {
    fn read_value(&mut self, field: GenerationField, value: Value<'_>) {
        let Self {
            said,
            message,
            assigned_message,
        } = self;
        match field {
            GenerationField::AssignedMessage => *assigned_message = id(value),
            GenerationField::Count(count) => {
                set_count(said.usage.get_or_insert_default(), count, value)
            }
            GenerationField::Execution => said.execution = id(value),
            GenerationField::Message => *message = id(value),
            GenerationField::Model => said.model = enum_model(value),
            GenerationField::Response => said.response = id(value),
            GenerationField::ServedModel => said.served_model = model(value),
            GenerationField::Session => said.session = id(value),
            GenerationField::Trace => push_trace(&mut said.traces, id(value)),
            GenerationField::Usage if value == Value::Object => {
                said.usage = Some(AgentUsage::default())
            }
            GenerationField::Usage => {}
        }
    }

    fn finish(self) -> Generation {
        let mut messages: Vec<_> = self
            .message
            .into_iter()
            .chain(self.assigned_message)
            .collect();
        messages.dedup();
        Generation {
            messages,
            ..self.said
        }
    }
}

fn set_count(usage: &mut AgentUsage, count: Count, value: Value<'_>) {
    let slot = match count {
        Count::CacheRead => &mut usage.cache_read,
        Count::CacheWrite => &mut usage.cache_write,
        Count::Input => &mut usage.input,
        Count::Output => &mut usage.output,
        Count::Thinking => &mut usage.thinking,
    };
    *slot = tokens(value).unwrap_or(*slot);
}

/// Adds the trace of an attempt. Only the oldest may be dropped: the last one is that of the final
/// usage.
fn push_trace(traces: &mut Vec<Id>, trace: Option<Id>) {
    traces.extend(trace);
    if traces.len() > MAX_TRACES {
        traces.remove(0);
    }
}

/// Most attempts of one call that are kept. The agent has been seen to make five.
const MAX_TRACES: usize = 32;
