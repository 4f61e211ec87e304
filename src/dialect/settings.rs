//! The settings of a generation, as requests write them. Each dialect lists where they stand.

use super::answer::take_later;
use super::request::id;
use super::tokens::count;
use crate::observe::json::Value;
use crate::record::{FiniteNumber, OutputType, RequestSettings};

/// One of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Choices,
    FrequencyPenalty,
    MaxTokens,
    OutputType,
    PresencePenalty,
    ReasoningLevel,
    Seed,
    Temperature,
    TopK,
    TopP,
}

impl Setting {
    /// Takes its value. A setting that goes by several names keeps the last one that says something.
    pub(super) fn take(self, value: Value<'_>, known: &mut RequestSettings) {
        match self {
            Self::Choices => take_later(&mut known.choices, count(&value)),
            Self::FrequencyPenalty => take_later(&mut known.frequency_penalty, number(value)),
            Self::MaxTokens => take_later(&mut known.max_tokens, count(&value)),
            Self::OutputType => take_later(&mut known.output_type, output_type(value)),
            Self::PresencePenalty => take_later(&mut known.presence_penalty, number(value)),
            Self::ReasoningLevel => take_later(&mut known.reasoning_level, id(value)),
            Self::Seed => take_later(&mut known.seed, whole_number(value)),
            Self::Temperature => take_later(&mut known.temperature, number(value)),
            Self::TopK => take_later(&mut known.top_k, count(&value)),
            Self::TopP => take_later(&mut known.top_p, number(value)),
        }
    }
}

fn number(value: Value<'_>) -> Option<FiniteNumber> {
    match value {
        Value::Number(text) => text.parse().ok().and_then(FiniteNumber::new),
        _ => None,
    }
}

fn whole_number(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    }
}

fn output_type(value: Value<'_>) -> Option<OutputType> {
    match value {
        // The schema of a document, which Ollama takes instead of a name.
        Value::Object => Some(OutputType::Json),
        Value::String { text, .. } => match text {
            "application/json" | "json" | "json_object" | "json_schema" => Some(OutputType::Json),
            "text" | "text/plain" => Some(OutputType::Text),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Recognised, recognise};
    use crate::observe::coding::DecodeLimit;
    use crate::observe::exchange::{Fields, RequestHead};
    use crate::observe::memory::Memory;
    use crate::record::Host;

    const CHAT: &str = "api.openai.com/v1/chat/completions";
    const GENERATION: &str =
        "generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent";

    /// What a POST of this body to this host and path says.
    fn settings(url: &str, body: &str) -> RequestSettings {
        let (host, path) = url.split_once('/').expect("a path");
        let head = RequestHead {
            method: "POST".into(),
            path: format!("/{path}"),
            query: Vec::new(),
            fields: Fields::default(),
        };
        let host = Host::parse(host).expect("a host");
        let Some(Recognised::Call(call)) = recognise(&host, &head) else {
            panic!("{url} is a call");
        };
        let mut request = (call.request)(&head, &Memory::default());
        request
            .feed(body.as_bytes(), &mut DecodeLimit::default())
            .expect("JSON");
        request.settings()
    }

    /// `max_tokens`, `temperature`, `top_p` and the type of the output.
    type Usual = (Option<u64>, Option<f64>, Option<f64>, Option<OutputType>);

    fn usual(settings: &RequestSettings) -> Usual {
        (
            settings.max_tokens,
            settings.temperature.map(FiniteNumber::get),
            settings.top_p.map(FiniteNumber::get),
            settings.output_type,
        )
    }

    #[test]
    fn each_form_has_its_own_names_for_the_same_settings() {
        let all = (Some(100), Some(0.5), Some(0.9), Some(OutputType::Json));
        let no_type = (Some(100), Some(0.5), Some(0.9), None);
        for (settings, expected) in [
            (
                settings(
                    CHAT,
                    r#"{"max_completion_tokens":100,"temperature":0.5,"top_p":0.9,"response_format":{"type":"json_object"}}"#,
                ),
                all,
            ),
            (
                settings(
                    "api.openai.com/v1/responses",
                    r#"{"max_output_tokens":100,"temperature":5e-1,"top_p":0.9,"text":{"format":{"type":"json_schema","schema":{"type":"object"}}}}"#,
                ),
                all,
            ),
            (
                settings(
                    "api.mistral.ai/v1/conversations",
                    r#"{"completion_args":{"max_tokens":100,"temperature":0.5,"top_p":0.9}}"#,
                ),
                no_type,
            ),
            (
                settings(
                    "api.anthropic.com/v1/messages",
                    r#"{"max_tokens":100,"temperature":0.5,"top_p":0.9,"output_config":{"format":{"type":"json_schema"}}}"#,
                ),
                all,
            ),
            (
                settings(
                    "bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude/converse",
                    r#"{"inferenceConfig":{"maxTokens":100,"temperature":0.5,"topP":0.9}}"#,
                ),
                no_type,
            ),
            (
                settings(
                    "localhost/api/chat",
                    r#"{"format":{"type":"object"},"options":{"num_predict":100,"temperature":0.5,"top_p":0.9}}"#,
                ),
                all,
            ),
            (
                settings(
                    GENERATION,
                    r#"{"generationConfig":{"maxOutputTokens":100,"temperature":0.5,"topP":0.9,"responseMimeType":"application/json"}}"#,
                ),
                all,
            ),
            (
                settings(
                    "cloudcode-pa.googleapis.com/v1internal:generateContent",
                    r#"{"request":{"generation_config":{"max_output_tokens":100,"temperature":0.5,"top_p":0.9,"response_mime_type":"application/json"}}}"#,
                ),
                all,
            ),
            (
                settings(
                    "generativelanguage.googleapis.com/v1beta/interactions",
                    r#"{"generation_config":{"max_output_tokens":100,"temperature":0.5,"top_p":0.9}}"#,
                ),
                no_type,
            ),
        ] {
            assert_eq!(usual(&settings), expected, "{settings:?}");
        }
    }

    #[test]
    fn settings_that_few_requests_have_are_read_too() {
        let settings_of_chat = settings(
            CHAT,
            r#"{"n":3,"seed":-7,"top_k":40,"frequency_penalty":-0.5,"presence_penalty":1,"reasoning_effort":"high"}"#,
        );
        let number = |number| FiniteNumber::new(number);
        let expected = RequestSettings {
            choices: Some(3),
            frequency_penalty: number(-0.5),
            presence_penalty: number(1.0),
            reasoning_level: id(Value::String {
                text: "high",
                cut: false,
            }),
            seed: Some(-7),
            top_k: Some(40),
            ..RequestSettings::default()
        };
        assert_eq!(settings_of_chat, expected);
        let of_generation = settings(
            GENERATION,
            r#"{"generationConfig":{"candidateCount":3,"seed":-7,"topK":40,"frequencyPenalty":-0.5,"presencePenalty":1,
            "thinkingConfig":{"thinkingLevel":"high"}}}"#,
        );
        assert_eq!(of_generation, expected);
    }

    #[test]
    fn what_is_no_setting_is_not_reported() {
        let read = |body: &str| settings(CHAT, body);
        for body in [
            r#"{"temperature":null,"top_p":"0.5","seed":1.5,"n":-1,"max_tokens":true}"#,
            r#"{"temperature":1e999,"response_format":{"type":"a later one"}}"#,
            r#"{"messages":[{"content":"canary","temperature":0.5,"max_tokens":7}]}"#,
        ] {
            assert_eq!(read(body), RequestSettings::default(), "{body}");
        }
        let later = r#"{"max_tokens":7,"max_completion_tokens":null}"#;
        assert_eq!(read(later).max_tokens, Some(7));
    }
}
