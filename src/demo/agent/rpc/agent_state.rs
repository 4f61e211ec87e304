//! `StreamAgentStateUpdates`: JSON, the whole state first, then what was replaced at which index.
//! It stays open across runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::envelope;
use super::fault::Fault;
use super::stream::StreamKind;
use crate::demo::agent::OfferedStreams;
use crate::demo::agent::cascade::{Cascade, Document, Trajectory, documents, without_defaults};

/// One stream.
#[derive(Default)]
pub(super) struct AgentState {
    last: Option<Cascade>,
}

impl AgentState {
    /// What a request asks for: `{"conversationId", "subscriberId"}` in an envelope.
    pub(super) fn asked(body: &Bytes) -> Option<(String, Self)> {
        let request: Value = serde_json::from_slice(&envelope::open(body)?).ok()?;
        Some((
            request.get("conversationId")?.as_str()?.to_owned(),
            Self::default(),
        ))
    }
}

impl StreamKind for AgentState {
    const STAYS: bool = true;

    fn off(offered_streams: OfferedStreams) -> Option<Fault> {
        (!offered_streams.agent_state).then_some(Fault::NO_METHOD)
    }

    fn message(&mut self, cascade: &Cascade) -> Option<Vec<u8>> {
        let update = update(self.last.as_ref(), cascade);
        self.last = Some(cascade.clone());
        update.map(|update| json!({"update": update}).to_string().into_bytes())
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// What has changed; `None` when nothing in the message has.
fn update(last: Option<&Cascade>, now: &Cascade) -> Option<Value> {
    let main = trajectory(last.map(|last| &last.main), &now.main);
    let subagents: Map<_, _> = subagents(last, now).collect();
    let idle = (now.is_fully_idle(), now.has_active_children());
    let same = last.is_some_and(|last| {
        last.main.status == now.main.status
            && idle == (last.is_fully_idle(), last.has_active_children())
    });
    if same && main.is_none() && subagents.is_empty() {
        return None;
    }
    let status = now.main.status.name();
    let mut main = main.unwrap_or_else(|| json!({}));
    if let (None, Some(fields)) = (last, main.as_object_mut()) {
        fields.insert(
            "trajectoryType".to_owned(),
            "CORTEX_TRAJECTORY_TYPE_CASCADE".into(),
        );
        fields.insert(
            "metadata".to_owned(),
            json!({"createdAt": now.created.to_string()}),
        );
    }
    let subagents = (!subagents.is_empty()).then_some(Value::Object(subagents));
    // Nobody knows of the weather yet.
    Some(without_defaults(json!({
        "conversationId": now.id, "trajectoryId": now.main.id,
        "status": status, "executableStatus": status, "executorLoopStatus": status,
        "mainTrajectoryUpdate": main, "subtrajectoryUpdates": subagents,
        "fullyIdle": idle.0, "hasActiveChildren": idle.1, "weather": last.is_none().then(|| json!({"wind": [1, {}]})),
    })))
}

fn subagents<'a>(
    last: Option<&'a Cascade>,
    now: &'a Cascade,
) -> impl Iterator<Item = (String, Value)> + 'a {
    let known: BTreeMap<&str, &Trajectory> = last
        .iter()
        .flat_map(|last| &last.subagents)
        .map(|known| (known.id.as_str(), &known.trajectory))
        .collect();
    now.subagents.iter().filter_map(move |subagent| {
        let old = known.get(subagent.id.as_str()).copied();
        let same = old.is_some_and(|old| old.status == subagent.trajectory.status);
        let mut update = match trajectory(old, &subagent.trajectory) {
            None if same => return None,
            update => update.unwrap_or_else(|| json!({})),
        };
        if let Some(fields) = update.as_object_mut() {
            fields.insert(
                "status".to_owned(),
                subagent.trajectory.status.name().into(),
            );
        }
        Some((subagent.trajectory.id.clone(), update))
    })
}

fn trajectory(last: Option<&Trajectory>, now: &Trajectory) -> Option<Value> {
    let updates = [
        (
            "stepsUpdate",
            replaced("steps", last.map(|last| &*last.steps), &now.steps),
        ),
        (
            "generatorMetadatasUpdate",
            replaced(
                "generatorMetadatas",
                last.map(|last| &*last.generations),
                &now.generations,
            ),
        ),
        (
            "executorMetadatasUpdate",
            replaced(
                "executorMetadatas",
                last.map(|last| &*last.executors),
                &now.executors,
            ),
        ),
    ];
    let updates: Map<_, _> = updates
        .into_iter()
        .filter_map(|(name, update)| Some((name.to_owned(), update?)))
        .collect();
    (!updates.is_empty()).then_some(Value::Object(updates))
}

/// The entries that are not the same ones as before, with their indices.
fn replaced<T: Document>(name: &str, last: Option<&[Arc<T>]>, now: &[Arc<T>]) -> Option<Value> {
    let last = last.unwrap_or_default();
    let is_new = |(index, entry): &(usize, &Arc<T>)| {
        last.get(*index).is_none_or(|old| !Arc::ptr_eq(old, entry))
    };
    let (indices, entries): (Vec<usize>, Vec<Arc<T>>) = now
        .iter()
        .enumerate()
        .filter(is_new)
        .map(|(index, entry)| (index, Arc::clone(entry)))
        .unzip();
    (!indices.is_empty())
        .then(|| json!({"indices": indices, name: documents(&entries), "totalLength": now.len()}))
}
