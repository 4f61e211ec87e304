//! The request of a message: its model and settings, and what Claude Code says in header fields of its
//! conversation, its subagent and its turn.
//!
//! Source of the fields: code.claude.com/docs "LLM gateways", and Claude Code 2.1.332, which sends
//! those of the turn to Anthropic's own hosts by default and elsewhere with
//! `CLAUDE_CODE_GATEWAY_HINT_HEADERS=1`.

use std::sync::LazyLock;

use crate::dialect::request::{ReadRequest, model};
use crate::dialect::settings::Setting;
use crate::dialect::turns::{Part, SinceModel};
use crate::observe::exchange::RequestHead;
use crate::observe::json::{Paths, Value};
use crate::record::{
    AgentName, CallIds, CorrelationMethod, Id, Model, RequestSettings, Turn, TurnStep,
};

/// The header field in which Claude Code names its conversation, in every request.
pub(super) const SESSION: &str = "x-claude-code-session-id";

/// The subagent that asks; absent where the main agent does.
pub(super) const SUBAGENT: &str = "x-claude-code-agent-id";

/// The subagent that has started that one; absent where the main agent has.
pub(super) const PARENT_SUBAGENT: &str = "x-claude-code-parent-agent-id";

/// What kind of subagent asks: `Explore`, `Plan`, `custom`, ...
pub(super) const SUBAGENT_KIND: &str = "x-claude-code-agent-type";

/// The message of the user that the agent works on.
pub(super) const PROMPT: &str = "x-claude-code-prompt-id";

/// What a request is for: one of [`STEPS`], or `compaction` or `auxiliary`.
pub(super) const CLASS: &str = "x-claude-code-request-class";

/// The classes of requests with which an agent or a subagent does its work.
const STEPS: [&str; 3] = ["main", "subagent", "workflow"];

/// Reads the body of a request.
#[derive(Debug, Default)]
pub(in crate::dialect) struct MessageRequest {
    model: Option<Model>,
    settings: RequestSettings,
    is_compacted: bool,
    ids: CallIds,
    prompt: Option<Id>,
    is_step: bool,
    /// The message that is being read.
    message: Message,
    since_model: SinceModel,
}

#[derive(Debug, Clone, Copy, Default)]
struct Message {
    role: Role,
    has_tool_result: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    Assistant,
    User,
    /// No part of the conversation, such as a message of the system.
    #[default]
    Other,
}

/// What is read of a body.
#[derive(Debug, Clone, Copy)]
pub(in crate::dialect) enum MessageField {
    /// What a part of a message is.
    BlockType,
    /// A message.
    Message,
    Model,
    /// Whose message it is.
    Role,
    Setting(Setting),
}

impl Message {
    /// `None` for a message that is no part of the conversation.
    fn part(self) -> Option<Part> {
        match self.role {
            Role::Assistant => Some(Part::Model),
            Role::User if self.has_tool_result => Some(Part::ToolResult),
            Role::User => Some(Part::User),
            Role::Other => None,
        }
    }
}

impl ReadRequest for MessageRequest {
    type Field = MessageField;

    fn paths(&self) -> &'static Paths<MessageField> {
        static PATHS: LazyLock<Paths<MessageField>> = LazyLock::new(|| {
            let message = [
                ("model", MessageField::Model),
                ("messages[]", MessageField::Message),
                ("messages[].role", MessageField::Role),
                ("messages[].content[].type", MessageField::BlockType),
            ];
            let settings = SETTINGS.map(|(path, setting)| (path, MessageField::Setting(setting)));
            Paths::new(message.into_iter().chain(settings))
        });
        &PATHS
    }

    fn head(&mut self, head: &RequestHead) {
        let id = |name| head.fields.get(name).and_then(Id::from_wire);
        let subagent = id(SUBAGENT);
        let is_subagent = subagent.is_some();
        self.ids = CallIds {
            conversation: id(SESSION),
            subagent,
            parent_subagent: id(PARENT_SUBAGENT).filter(|_| is_subagent),
            subagent_kind: id(SUBAGENT_KIND).filter(|_| is_subagent),
            ..CallIds::default()
        };
        self.prompt = id(PROMPT);
        self.is_step = head
            .fields
            .get(CLASS)
            .is_some_and(|class| STEPS.contains(&class));
    }

    fn value(&mut self, field: MessageField, value: Value<'_>) {
        match (field, value) {
            (MessageField::BlockType, Value::String { text, .. }) => {
                self.message.has_tool_result |= text == "tool_result";
                // Everything before it is left out by the provider.
                self.is_compacted |= text == "compaction";
            }
            (MessageField::Message, Value::Object) => self.message = Message::default(),
            (MessageField::Message, Value::End) => {
                if let Some(part) = self.message.part() {
                    self.since_model.add(part);
                }
            }
            (MessageField::Model, _) => self.model = model(value),
            (MessageField::Role, Value::String { text, .. }) => {
                self.message.role = match text {
                    "assistant" => Role::Assistant,
                    "user" => Role::User,
                    _ => Role::Other,
                }
            }
            (MessageField::Setting(setting), _) => setting.take(value, &mut self.settings),
            (MessageField::BlockType | MessageField::Message | MessageField::Role, _) => {}
        }
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn settings(&self) -> RequestSettings {
        self.settings.clone()
    }

    fn is_compacted(&self) -> bool {
        self.is_compacted
    }

    fn ids(&self) -> CallIds {
        self.ids.clone()
    }

    fn method(&self) -> CorrelationMethod {
        match self.ids.conversation {
            Some(_) => CorrelationMethod::Header,
            None => CorrelationMethod::None,
        }
    }

    fn turn(&self) -> Turn {
        let is_claude_code = self.ids.conversation.is_some();
        Turn {
            agent: is_claude_code.then_some(AgentName::ClaudeCode),
            id: self.prompt.clone(),
            step: if self.is_step {
                self.since_model.step()
            } else {
                TurnStep::Unknown
            },
            ..Turn::default()
        }
    }
}

/// The settings of Anthropic's form, of Bedrock's Converse (`inferenceConfig`) and of Ollama
/// (`options`).
const SETTINGS: [(&str, Setting); 18] = [
    ("additionalModelRequestFields.top_k", Setting::TopK),
    ("format", Setting::OutputType),
    ("inferenceConfig.maxTokens", Setting::MaxTokens),
    ("inferenceConfig.temperature", Setting::Temperature),
    ("inferenceConfig.topP", Setting::TopP),
    ("max_tokens", Setting::MaxTokens),
    ("options.frequency_penalty", Setting::FrequencyPenalty),
    ("options.num_predict", Setting::MaxTokens),
    ("options.presence_penalty", Setting::PresencePenalty),
    ("options.seed", Setting::Seed),
    ("options.temperature", Setting::Temperature),
    ("options.top_k", Setting::TopK),
    ("options.top_p", Setting::TopP),
    ("output_config.effort", Setting::ReasoningLevel),
    ("output_config.format.type", Setting::OutputType),
    ("temperature", Setting::Temperature),
    ("top_k", Setting::TopK),
    ("top_p", Setting::TopP),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exchange::Fields;
    use crate::observe::json::PathReader;

    /// A request of Claude Code with these header fields and messages.
    fn read(fields: &[(&'static str, &str)], messages: &str) -> MessageRequest {
        let listed = fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let head = RequestHead {
            method: "POST".into(),
            path: "/v1/messages".into(),
            query: Vec::new(),
            fields: Fields {
                listed: listed.collect(),
                ..Fields::default()
            },
        };
        let mut request = MessageRequest::default();
        request.head(&head);
        let mut reader = PathReader::new(request.paths());
        let body = format!(r#"{{"model":"m","messages":[{messages}]}}"#);
        reader.feed(body.as_bytes(), &mut |field, value| {
            request.value(field, value);
        });
        request
    }

    const USER: &str = r#"{"role":"user","content":"canary"}"#;

    #[test]
    fn what_stands_since_the_models_last_words_tells_the_step() {
        let blocks = r#"{"role":"user","content":[{"type":"text","text":"canary"}]}"#;
        let call = r#"{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"Bash","input":{"type":"tool_result"}}]}"#;
        let result = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":[{"type":"text"}]}]}"#;
        let result_and_words = r#"{"content":[{"type":"tool_result","tool_use_id":"c"},{"type":"text","text":"canary"}],"role":"user"}"#;
        let system = r#"{"role":"system","content":"canary"}"#;
        for (messages, step) in [
            (&[USER][..], TurnStep::Begins),
            (&[USER, call, blocks], TurnStep::Begins),
            (&[USER, call, result], TurnStep::Continues),
            (&[USER, call, result_and_words], TurnStep::Continues),
            (&[USER, call, result, blocks], TurnStep::Continues),
            (&[USER, call, result, call, USER, system], TurnStep::Begins),
            (&[USER, call], TurnStep::Continues),
        ] {
            let fields = [(SESSION, "s"), (PROMPT, "p"), (CLASS, "main")];
            let messages = messages.join(",");
            let turn = read(&fields, &messages).turn();
            assert_eq!(turn.step, step, "{messages}");
            assert_eq!(turn.agent, Some(AgentName::ClaudeCode));
            assert_eq!(turn.id.as_ref().map(Id::as_str), Some("p"));
        }
    }

    #[test]
    fn only_a_request_of_the_agents_own_work_is_a_step() {
        for (class, step) in [
            (Some("main"), TurnStep::Begins),
            (Some("subagent"), TurnStep::Begins),
            (Some("workflow"), TurnStep::Begins),
            (Some("compaction"), TurnStep::Unknown),
            (Some("auxiliary"), TurnStep::Unknown),
            (Some("a later one"), TurnStep::Unknown),
            (None, TurnStep::Unknown),
        ] {
            let class = class.map(|class| (CLASS, class));
            let fields: Vec<_> = [(SESSION, "s")].into_iter().chain(class).collect();
            assert_eq!(read(&fields, USER).turn().step, step, "{class:?}");
        }
        assert_eq!(read(&[], USER).turn(), Turn::default());
    }

    #[test]
    fn a_parent_without_a_subagent_says_nothing() {
        let all = [
            (SESSION, "s"),
            (SUBAGENT, "a"),
            (PARENT_SUBAGENT, "b"),
            (SUBAGENT_KIND, "Explore"),
        ];
        let text = |id: &Option<Id>| id.as_ref().map(|id| id.to_string());
        let read = |fields: &[(&'static str, &str)]| {
            let ids = read(fields, USER).ids();
            [
                ids.conversation,
                ids.subagent,
                ids.parent_subagent,
                ids.subagent_kind,
            ]
            .map(|id| text(&id))
        };
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(
            read(&all),
            [some("s"), some("a"), some("b"), some("Explore")]
        );
        assert_eq!(
            read(&[all[0], all[2], all[3]]),
            [some("s"), None, None, None]
        );
    }
}
