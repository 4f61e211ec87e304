//! Reads the whole state of a conversation out of its tree.

use std::time::SystemTime;

use jiff::Timestamp;

use super::interest::{
    chat_model, executor, generation, state, step, timestamp, trajectory, usage,
};
use super::tree::Node;
use crate::cascade::read::names::{Named, model_of_number};
use crate::cascade::update::{
    AgentUsage, Generation, RunStatus, Step, Termination, TrajectoryUpdate, Update,
};
use crate::record::{Id, Model, TokenUsage};

/// The update that a `CascadeState` stands for.
pub(super) fn update(root: &Node) -> Update {
    let main = root.field(state::TRAJECTORY);
    Update {
        cascade: root.field(state::CASCADE).id(),
        trajectory: main.field(trajectory::ID).id(),
        status: named::<RunStatus>(root.field(state::STATUS)),
        has_active_children: root.field(state::ACTIVE_CHILDREN).is_true(),
        main: trajectory_update(main, std::slice::from_ref(root.field(state::EXECUTOR))),
        subtrajectories: subtrajectories(main),
        ..Update::default()
    }
}

/// The trajectories of subagents inside of the steps, at any depth: the depth of the tree is
/// bounded.
fn subtrajectories(node: &Node) -> Vec<(Id, TrajectoryUpdate)> {
    let inside = node
        .field(trajectory::STEPS)
        .elements()
        .iter()
        .map(|step| step.field(step::SUBTRAJECTORY));
    let read = inside
        .filter(|inside| !inside.is_empty())
        .flat_map(|inside| {
            let own = inside
                .field(trajectory::ID)
                .id()
                .map(|id| (id, trajectory_update(inside, &[])));
            own.into_iter().chain(subtrajectories(inside))
        });
    read.collect()
}

/// `latest` is the executor that the state has beside the trajectory; it is used where the
/// trajectory lists none.
fn trajectory_update(node: &Node, latest: &[Node]) -> TrajectoryUpdate {
    let steps = node.field(trajectory::STEPS).elements();
    let executors = match node.field(trajectory::EXECUTORS).elements() {
        [] => latest,
        listed => listed,
    };
    TrajectoryUpdate {
        status: None,
        steps: indexed(steps)
            .map(|(index, node)| (index, read_step(node)))
            .collect(),
        total_steps: u32::try_from(steps.len()).ok().filter(|_| !node.is_empty()),
        generations: indexed(node.field(trajectory::GENERATIONS).elements())
            .map(|(index, node)| (index, read_generation(node)))
            .collect(),
        terminations: indexed(executors)
            .filter_map(|(index, node)| {
                Some((
                    index,
                    named::<Termination>(node.field(executor::TERMINATION))?,
                ))
            })
            .collect(),
    }
}

fn read_step(node: &Node) -> Step {
    let (metadata, planner) = (node.field(step::METADATA), node.field(step::PLANNER));
    let nothing = Step::default();
    Step {
        kind: named(node.field(step::KIND)).unwrap_or(nothing.kind),
        status: named(node.field(step::STATUS)).unwrap_or(nothing.status),
        created_at: time(metadata.field(step::CREATED_AT)),
        completed_at: time(metadata.field(step::COMPLETED_AT)),
        has_text: step::TEXTS
            .iter()
            .any(|text| planner.field(*text).has_text()),
    }
}

fn read_generation(node: &Node) -> Generation {
    let chat = node.field(generation::CHAT_MODEL);
    let usage = chat.field(chat_model::USAGE);
    let mut messages: Vec<_> = [usage::MESSAGE, usage::ASSIGNED_MESSAGE]
        .iter()
        .filter_map(|field| usage.field(*field).id())
        .collect();
    messages.dedup();
    Generation {
        model: chat
            .field(chat_model::MODEL)
            .number()
            .and_then(model_of_number),
        served_model: chat
            .field(chat_model::SERVED_MODEL)
            .id()
            .map(|id| Model::from_wire(id.as_str())),
        usage: (!usage.is_empty()).then(|| read_usage(usage)),
        response: usage.field(usage::RESPONSE).id(),
        messages,
        session: usage::SESSIONS
            .iter()
            .find_map(|key| usage.field(usage::HEADER).key(key).id()),
        traces: traces(chat.field(chat_model::RETRIES)),
        execution: node.field(generation::EXECUTION).id(),
    }
}

fn read_usage(node: &Node) -> AgentUsage {
    let tokens = |field| {
        node.field(field)
            .number()
            .filter(|tokens| *tokens <= TokenUsage::MAX_OF_A_KIND)
            .unwrap_or(0)
    };
    AgentUsage {
        input: tokens(usage::INPUT),
        cache_read: tokens(usage::CACHE_READ),
        cache_write: tokens(usage::CACHE_WRITE),
        output: tokens(usage::OUTPUT),
        thinking: tokens(usage::THINKING),
    }
}

fn traces(retries: &Node) -> Vec<Id> {
    retries
        .elements()
        .iter()
        .filter_map(|retry| retry.field(chat_model::TRACE).id())
        .collect()
}

fn indexed(elements: &[Node]) -> impl Iterator<Item = (u32, &Node)> {
    (0..=u32::MAX).zip(elements)
}

fn named<T: Named>(node: &Node) -> Option<T> {
    T::from_number(node.number()?)
}

fn time(node: &Node) -> Option<SystemTime> {
    let seconds = i64::try_from(node.field(timestamp::SECONDS).number()?).ok()?;
    let nanos = i32::try_from(node.field(timestamp::NANOS).number().unwrap_or(0)).ok()?;
    SystemTime::try_from(Timestamp::new(seconds, nanos).ok()?).ok()
}
