//! Entries as proto3 JSON: defaults left out, 64-bit numbers as strings, enums by name, times as
//! RFC 3339.

use serde_json::{Map, Value, json};

use super::entries::{Attempt, Executor, Generation, Stats, Step};
use super::names::StepKind;
use super::state::{Cascade, Trajectory};

/// What has a JSON form.
pub(in crate::demo::agent) trait Document {
    /// The form, with fields that no client knows here and there.
    fn document(&self) -> Value;
}

impl Document for Step {
    fn document(&self) -> Value {
        let (payload, content) = self.payload();
        let mut document = json!({
            "type": self.kind.name(), "status": self.status.name(),
            "metadata": {
                "createdAt": self.created.to_string(), "viewableAt": self.created.to_string(),
                "completedAt": self.completed.map(|time| time.to_string()), "executionId": self.execution,
                "source": "CORTEX_STEP_SOURCE_MODEL",
            },
        });
        if let Some(fields) = document.as_object_mut() {
            fields.insert(payload.to_owned(), content);
            fields.insert(
                "subtrajectory".to_owned(),
                self.inside.as_ref().map(|inside| inside.document()).into(),
            );
        }
        without_defaults(document)
    }
}

impl Step {
    fn payload(&self) -> (&'static str, Value) {
        let text = &self.text;
        match self.kind {
            StepKind::UserInput => (
                "userInput",
                json!({"userResponse": text, "items": [{"text": text}]}),
            ),
            StepKind::PlannerResponse => ("plannerResponse", json!({"response": text})),
            StepKind::Checkpoint => ("checkpoint", json!({"userIntent": text})),
            StepKind::ErrorMessage => {
                ("errorMessage", json!({"error": {"userErrorMessage": text}}))
            }
            StepKind::GrepSearch => ("grepSearch", json!({"query": text})),
            StepKind::InvokeSubagent => ("invokeSubagent", json!({"prompt": text})),
            StepKind::RunCommand => ("runCommand", json!({"commandLine": text, "exitCode": 0})),
            StepKind::ViewFile => ("viewFile", json!({"absolutePathUri": text})),
            StepKind::Unheard => (
                "holodeck",
                json!({"program": {"name": text, "safeties": [true, false]}}),
            ),
        }
    }
}

impl Document for Generation {
    fn document(&self) -> Value {
        let usage = self.usage.as_ref().map(|stats| self.stats(stats));
        let retries: Vec<Value> = self
            .attempts
            .iter()
            .map(|attempt| self.attempt(attempt))
            .collect();
        without_defaults(json!({
            "stepIndices": [self.step], "executionId": self.execution,
            "chatModel": {
                "model": self.card.name, "responseModel": self.answered_by, "usage": usage, "retryInfos": retries,
                "chatStartMetadata": {"createdAt": self.created.to_string(), "startStepIndex": self.step},
                "timeToFirstToken": usage.is_some().then_some("0.195s"), "streamingDuration": usage.is_some().then_some("1.2s"),
            },
        }))
    }
}

impl Generation {
    fn attempt(&self, attempt: &Attempt) -> Value {
        let refused = attempt.usage.is_none();
        json!({
            "traceId": attempt.trace, "usage": attempt.usage.as_ref().map(|stats| self.stats(stats)),
            "error": refused.then_some("RESOURCE_EXHAUSTED (code 429)"),
            "retryReason": refused.then_some("RETRY_REASON_API_RETRYABLE"),
        })
    }

    fn stats(&self, stats: &Stats) -> Value {
        let tool = (stats.tool > 0)
            .then(|| json!([{"modality": "MODALITY_TEXT", "tokenCount": stats.tool}]));
        json!({
            "model": self.card.name, "apiProvider": format!("API_PROVIDER_{}", self.card.provider),
            "inputTokens": int64(stats.input), "cacheReadTokens": int64(stats.cache_read),
            "outputTokens": int64(stats.output), "thinkingOutputTokens": int64(stats.thinking),
            "responseOutputTokens": int64(stats.output - stats.thinking),
            "responseHeader": {"sessionID": self.session}, "responseId": stats.response_id,
            "messageId": stats.message_id, "toolUsePromptTokensDetails": tool,
        })
    }
}

impl Document for Executor {
    fn document(&self) -> Value {
        without_defaults(json!({
            "terminationReason": self.reason.name(), "numGeneratorInvocations": self.invocations,
            "lastStepIdx": self.last_step, "executionId": self.execution,
        }))
    }
}

impl Document for Cascade {
    /// `CascadeTrajectorySummary`
    fn document(&self) -> Value {
        let root = self
            .root
            .as_ref()
            .map(|root| json!({"rootConversationId": root}));
        without_defaults(json!({
            "summary": self.summary, "stepCount": self.main.steps.len(), "trajectoryId": self.main.id,
            "status": self.main.status.name(), "createdTime": self.created.to_string(),
            "lastModifiedTime": self.modified.to_string(),
            "lastUserInputTime": self.last_input.map(|(time, _)| time.to_string()),
            "lastUserInputStepIndex": self.last_input.map(|(_, step)| step),
            "hasActiveChildren": self.has_active_children(), "notFullyIdle": !self.is_fully_idle(),
            "trajectoryMetadata": root, "workspaces": [{"workspaceFolderAbsoluteUri": "file:///demo"}],
            "moodOfTheDay": {"curious": 0.75},
        }))
    }
}

impl Document for Trajectory {
    /// `gemini_coder.Trajectory`
    fn document(&self) -> Value {
        without_defaults(json!({
            "trajectoryId": self.id, "trajectoryType": "CORTEX_TRAJECTORY_TYPE_CASCADE",
            "steps": documents(&self.steps), "generatorMetadata": documents(&self.generations),
            "executorMetadatas": documents(&self.executors),
        }))
    }
}

/// The forms of entries.
pub(in crate::demo::agent) fn documents<T: Document>(entries: &[std::sync::Arc<T>]) -> Vec<Value> {
    entries.iter().map(|entry| entry.document()).collect()
}

/// A 64-bit number.
fn int64(number: u64) -> String {
    if number == 0 {
        String::new()
    } else {
        number.to_string()
    }
}

/// Leaves out the fields that hold their default. Elements of lists are values of their own and
/// stay.
pub(in crate::demo::agent) fn without_defaults(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, without_defaults(value)));
            Value::Object(
                fields
                    .filter(|(_, value)| !is_default(value))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(elements) => {
            Value::Array(elements.into_iter().map(without_defaults).collect())
        }
        other => other,
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        // An empty message is there.
        Value::Bool(true) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::demo::agent::cascade::StepStatus;
    use crate::demo::usage::UsageMetadata;

    #[test]
    fn defaults_are_left_out_but_empty_messages_and_elements_stay() {
        let document =
            json!({"a": 0, "b": "", "c": false, "d": null, "e": [], "f": {}, "g": [0, {"h": 0}]});
        assert_eq!(without_defaults(document), json!({"f": {}, "g": [0, {}]}));
    }

    #[test]
    fn a_planner_without_text_is_there_all_the_same() {
        let step = Step::new(
            StepKind::PlannerResponse,
            StepStatus::Pending,
            Timestamp::UNIX_EPOCH,
            "e",
        );
        let document = step.document();
        assert_eq!(
            (&document["plannerResponse"], &document["status"]),
            (&json!({}), &json!("CORTEX_STEP_STATUS_PENDING"))
        );
        assert_eq!(document["metadata"]["createdAt"], "1970-01-01T00:00:00Z");
        assert!(document["metadata"].get("completedAt").is_none());
    }

    #[test]
    fn a_call_counts_as_the_language_server_does_and_repeats_its_usage() {
        let usage = UsageMetadata {
            prompt_token_count: 17_933,
            cached_content_token_count: 15_942,
            candidates_token_count: 56,
            thoughts_token_count: 44,
            ..UsageMetadata::default()
        };
        let mut call = Generation::new("claude-opus-4-6-thinking", "e", 3, Timestamp::UNIX_EPOCH);
        call.refused("t1".to_owned());
        let stats = Stats::new(usage, "claude-opus-4-6-thinking", "demo-t2", "t2");
        call.answered(
            "claude-opus-4-6-thinking",
            "-5".to_owned(),
            "t2".to_owned(),
            stats,
        );
        let model = &call.document()["chatModel"];
        let told = json!({
            "model": "MODEL_PLACEHOLDER_M26", "apiProvider": "API_PROVIDER_ANTHROPIC_VERTEX", "inputTokens": "1991",
            "cacheReadTokens": "15942", "outputTokens": "100", "thinkingOutputTokens": "44", "responseOutputTokens": "56",
            "responseHeader": {"sessionID": "-5"}, "responseId": "req_vrtx_t2", "messageId": "demo-t2",
        });
        assert_eq!(
            (&model["usage"], &model["retryInfos"][1]["usage"]),
            (&told, &told)
        );
        assert_eq!(
            (
                &model["retryInfos"][0]["traceId"],
                model["retryInfos"][0].get("usage")
            ),
            (&json!("t1"), None)
        );
    }
}
