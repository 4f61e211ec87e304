//! A conversation as a tree of numbered fields: `exa.jetski_cortex_pb.CascadeState`, as far as the
//! stand-in fills it.
//!
//! Source of the numbers: the descriptors that ship inside the agent's own bundles. As in proto3, a
//! field that holds its default is not there.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::demo::agent::cascade::{
    Cascade, Generation, RunStatus, Stats, Step, StepKind, Trajectory,
};

/// A message: its fields by number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Message(pub(super) BTreeMap<u32, Field>);

/// The content of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    One(Value),
    Many(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Enum(u32),
    Int32(i32),
    Int64(i64),
    Uint32(u32),
    Uint64(u64),
    Text(String),
    Message(Message),
}

impl Message {
    fn one(mut self, number: u32, value: Value) -> Self {
        if !value.is_default() {
            self.0.insert(number, Field::One(value));
        }
        self
    }

    fn text(self, number: u32, text: &str) -> Self {
        self.one(number, Value::Text(text.to_owned()))
    }

    fn part(self, number: u32, message: Option<Message>) -> Self {
        match message {
            Some(message) => self.one(number, Value::Message(message)),
            None => self,
        }
    }

    fn many(mut self, number: u32, values: impl IntoIterator<Item = Value>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        if !values.is_empty() {
            self.0.insert(number, Field::Many(values));
        }
        self
    }

    fn map(mut self, number: u32, key: &str, value: &str) -> Self {
        let entry = (key.to_owned(), Value::Text(value.to_owned()));
        self.0.insert(number, Field::Map([entry].into()));
        self
    }
}

impl Value {
    fn is_default(&self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::Enum(value) | Self::Uint32(value) => *value == 0,
            Self::Int32(value) => *value == 0,
            Self::Int64(value) => *value == 0,
            Self::Uint64(value) => *value == 0,
            Self::Text(value) => value.is_empty(),
            // An empty message is there.
            Self::Message(_) => false,
        }
    }
}

/// The state of a conversation. While tools are at work it holds a field that nobody knows.
pub(super) fn state(cascade: &Cascade) -> Message {
    let waiting = cascade.main.status == RunStatus::Waiting;
    Message::default()
        .text(1, &cascade.id)
        .part(2, Some(trajectory(&cascade.with_inside())))
        .one(3, Value::Enum(cascade.main.status.number()))
        .one(11, Value::Bool(cascade.has_active_children()))
        .part(
            971,
            waiting.then(|| {
                Message::default()
                    .text(1, "unheard of")
                    .one(2, Value::Int64(-1))
            }),
        )
}

fn trajectory(trajectory: &Trajectory) -> Message {
    let executors = trajectory.executors.iter().map(|executor| {
        Value::Message(
            Message::default()
                .one(1, Value::Enum(executor.reason.number()))
                .text(9, &executor.execution),
        )
    });
    Message::default()
        .text(1, &trajectory.id)
        .many(
            2,
            trajectory
                .steps
                .iter()
                .map(|entry| Value::Message(step(entry))),
        )
        .many(
            3,
            trajectory
                .generations
                .iter()
                .map(|call| Value::Message(generation(call))),
        )
        .many(9, executors)
}

fn step(step: &Step) -> Message {
    let metadata = Message::default()
        .part(1, Some(timestamp(step.created)))
        .part(8, step.completed.map(timestamp))
        .text(12, &step.execution);
    let said = Message::default().text(1, &step.text);
    let (payload, content) = match step.kind {
        StepKind::PlannerResponse => (20, said),
        StepKind::UserInput => (19, Message::default().text(2, &step.text)),
        StepKind::Checkpoint => (30, said),
        StepKind::ErrorMessage => (31, said),
        _ => (972, said),
    };
    Message::default()
        .one(1, Value::Enum(step.kind.number()))
        .one(4, Value::Enum(step.status.number()))
        .part(5, Some(metadata))
        .part(6, step.inside.as_deref().map(trajectory))
        .part(payload, Some(content))
}

fn generation(call: &Generation) -> Message {
    let stats = |stats: &Stats| usage(call, stats);
    let retries = call.attempts.iter().map(|attempt| {
        let usage = attempt.usage.as_ref().map(stats);
        Value::Message(Message::default().part(2, usage).text(4, &attempt.trace))
    });
    let chat = Message::default()
        .one(3, Value::Enum(call.card.number))
        .part(4, call.usage.as_ref().map(stats))
        .many(17, retries)
        .text(19, call.answered_by.as_deref().unwrap_or_default());
    let step = u32::try_from(call.step).unwrap_or(u32::MAX);
    Message::default()
        .part(1, Some(chat))
        .many(2, [Value::Uint32(step)])
        .text(4, &call.execution)
}

fn usage(call: &Generation, stats: &Stats) -> Message {
    Message::default()
        .one(1, Value::Enum(call.card.number))
        .one(2, Value::Uint64(stats.input))
        .one(3, Value::Uint64(stats.output))
        .one(5, Value::Uint64(stats.cache_read))
        .text(7, stats.message_id.as_deref().unwrap_or_default())
        .map(8, "sessionID", &call.session)
        .one(9, Value::Uint64(stats.thinking))
        .one(10, Value::Uint64(stats.output - stats.thinking))
        .text(11, &stats.response_id)
}

fn timestamp(time: Timestamp) -> Message {
    Message::default()
        .one(1, Value::Int64(time.as_second()))
        .one(2, Value::Int32(time.subsec_nanosecond()))
}
