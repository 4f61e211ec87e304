//! Methods with one answer: those that a client polls, and those that it calls once.

use serde_json::{Map, Value, json};

use super::fault::Fault;
use crate::demo::agent::cascade::{Cascade, Document, Store, documents, without_defaults};
use crate::demo::models;
use crate::demo::{MODELS, models::card};

/// Whether there is such a method.
pub(super) fn knows(method: &str) -> bool {
    METHODS.contains(&method)
}

/// The answer to a known method.
pub(super) fn answer(store: &Store, method: &str, asked: &Value) -> Result<Value, Fault> {
    let document = match method {
        "GetAllCascadeTrajectories" => summaries(store),
        "GetAvailableModels" => json!({"response": {"models": models::catalogue()}}),
        "GetCascadeTrajectory" => trajectory(&cascade(store, asked)?),
        "GetCascadeTrajectoryGeneratorMetadata" => {
            let cascade = cascade(store, asked)?;
            let calls = cascade
                .main
                .generations
                .get(offset(asked, "generatorMetadataOffset")..)
                .unwrap_or_default();
            json!({"generatorMetadata": documents(calls)})
        }
        "GetCascadeTrajectorySteps" => {
            let cascade = cascade(store, asked)?;
            let main = cascade.with_inside();
            let steps = main
                .steps
                .get(offset(asked, "stepOffset")..)
                .unwrap_or_default();
            json!({"steps": documents(steps)})
        }
        "GetUserStatus" => user_status(),
        "Heartbeat" => json!({}),
        "LoadTrajectory" => cascade(store, asked).map(|_| json!({}))?,
        "RetrieveUserQuotaSummary" => json!({"response": {"groups": models::quota_groups()}}),
        _ => return Err(Fault::NO_METHOD),
    };
    Ok(without_defaults(document))
}

fn cascade(store: &Store, asked: &Value) -> Result<Cascade, Fault> {
    let id = asked
        .get("cascadeId")
        .and_then(Value::as_str)
        .unwrap_or_default();
    store
        .find(id)
        .and_then(|subject| subject.state())
        .ok_or(Fault::NO_TRAJECTORY)
}

/// A number, which proto3 JSON may also have as a string.
fn offset(asked: &Value, name: &str) -> usize {
    let number = asked
        .get(name)
        .and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    number
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or_default()
}

fn summaries(store: &Store) -> Value {
    let summaries: Map<_, _> = store
        .all()
        .iter()
        .map(|cascade| (cascade.id.clone(), cascade.document()))
        .collect();
    json!({"trajectorySummaries": summaries})
}

fn trajectory(cascade: &Cascade) -> Value {
    let mut trajectory = cascade.with_inside().document();
    if let Some(fields) = trajectory.as_object_mut() {
        fields.insert("cascadeId".to_owned(), cascade.id.clone().into());
        fields.insert(
            "metadata".to_owned(),
            json!({"createdAt": cascade.created.to_string()}),
        );
    }
    json!({
        "trajectory": trajectory, "status": cascade.main.status.name(),
        "numTotalSteps": cascade.main.steps.len(), "numTotalGeneratorMetadata": cascade.main.generations.len(),
    })
}

fn user_status() -> Value {
    let configs = MODELS.map(|model| {
        let card = card(model);
        json!({"label": card.display, "modelOrAlias": {"model": card.name}, "supportsImages": true, "quotaInfo": card.quota()})
    });
    json!({"userStatus": {
        "name": "A user of the demo", "email": "user@demo.invalid", "userTier": {"id": "free-tier", "name": "Demo"},
        "planStatus": {"availablePromptCredits": 500, "availableFlowCredits": 100, "planInfo": {"planName": "Demo"}},
        "cascadeModelConfigData": {"clientModelConfigs": configs},
    }})
}

const METHODS: [&str; 9] = [
    "GetAllCascadeTrajectories",
    "GetAvailableModels",
    "GetCascadeTrajectory",
    "GetCascadeTrajectoryGeneratorMetadata",
    "GetCascadeTrajectorySteps",
    "GetUserStatus",
    "Heartbeat",
    "LoadTrajectory",
    "RetrieveUserQuotaSummary",
];
