//! The request: its model and settings, and what Codex says of its conversation, its subagent and its turn, in
//! header fields and in `client_metadata`, and whether it asks for a shorter conversation.
//!
//! Source of the names: openai/codex `codex-rs/core/src/responses_metadata.rs`.

use std::sync::LazyLock;

use super::items::{Item, Items};
use super::workspace::TURN_METADATA;
use crate::dialect::request::{ReadRequest, id, model};
use crate::dialect::settings::Setting;
use crate::observe::exchange::RequestHead;
use crate::observe::json::{Paths, Value};
use crate::record::{
    AgentName, CallIds, CorrelationMethod, Id, Model, Operation, RepositoryName, RequestSettings,
    Turn, TurnStep,
};

/// The header fields in which Codex names its conversation, the most comprehensive first. It sends
/// several of them, in both spellings.
pub(super) const CONVERSATION: [&str; 5] = [
    "session_id",
    "session-id",
    "thread_id",
    "thread-id",
    "conversation_id",
];

/// Those of them that name the thread, which a subagent has of its own.
const THREAD: [&str; 2] = ["thread_id", "thread-id"];

/// The thread that has started this one.
pub(super) const PARENT_THREAD: &str = "x-codex-parent-thread-id";

/// What kind of subagent asks: `collab_spawn`, `review`, `compact`, ...
pub(super) const SUBAGENT_KIND: &str = "x-openai-subagent";

/// Reads the body of a request, or a message of the agent over a socket.
#[derive(Debug, Default)]
pub(super) struct OpenAiRequest {
    is_message: bool,
    /// The message is one that asks for a response.
    creates: bool,
    /// It asks for none but to warm up the cache.
    only_warms_up: bool,
    model: Option<Model>,
    settings: RequestSettings,
    /// The response that it continues.
    previous: Option<Id>,
    session: Option<Id>,
    thread: Option<Id>,
    parent_thread: Option<Id>,
    subagent_kind: Option<Id>,
    turn: Option<Id>,
    repository: Option<RepositoryName>,
    items: Items,
}

impl OpenAiRequest {
    /// A message over a socket: only `response.create` asks for a call.
    pub(super) fn over_socket() -> Self {
        Self {
            is_message: true,
            ..Self::default()
        }
    }

    /// The conversation. A subagent has the session of the agent that has started it; before they
    /// shared one, its parent was all that led there.
    fn conversation(&self) -> Option<&Id> {
        let has_own_session = self.is_main_thread();
        let parent = self.parent_thread.as_ref().filter(|_| has_own_session);
        parent.or(self.session.as_ref())
    }

    /// The subagent that asks: a thread of its own, of which Codex says that it is a subagent's.
    fn subagent(&self) -> Option<&Id> {
        let thread = self.thread.as_ref().or(self.session.as_ref());
        let is_own = self.parent_thread.is_some()
            || (self.subagent_kind.is_some() && !self.is_main_thread());
        thread.filter(|_| is_own)
    }

    /// Whether the thread is the session's own, as far as it is named.
    fn is_main_thread(&self) -> bool {
        self.thread
            .as_ref()
            .is_none_or(|thread| self.session.as_ref() == Some(thread))
    }
}

/// What is read of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestField {
    /// Whether anything is to be generated.
    Generate,
    Item(Item),
    Model,
    ParentThread,
    /// The response that the request continues, so that its input holds what is new.
    PreviousResponse,
    /// The session, where messages over a socket name it.
    Session,
    Setting(Setting),
    SubagentKind,
    Thread,
    Turn,
    /// The kind of message.
    Type,
}

impl ReadRequest for OpenAiRequest {
    type Field = RequestField;

    fn paths(&self) -> &'static Paths<RequestField> {
        static PATHS: LazyLock<Paths<RequestField>> = LazyLock::new(|| {
            let items = Item::PATHS.map(|(path, item)| (path.to_owned(), RequestField::Item(item)));
            let of_metadata =
                METADATA.map(|(key, field)| (format!("client_metadata.{key}"), field));
            let others = OTHERS.map(|(path, field)| (path.to_owned(), field));
            let settings =
                SETTINGS.map(|(path, setting)| (path.to_owned(), RequestField::Setting(setting)));
            let paths = items.into_iter().chain(of_metadata).chain(others);
            Paths::new(paths.chain(settings))
        });
        &PATHS
    }

    fn head(&mut self, head: &RequestHead) {
        let id = |name: &&str| head.fields.get(name).and_then(Id::from_wire);
        self.session = CONVERSATION.iter().find_map(id);
        self.thread = THREAD.iter().find_map(id);
        self.parent_thread = id(&PARENT_THREAD);
        self.subagent_kind = id(&SUBAGENT_KIND);
        let repository = head.fields.get(TURN_METADATA);
        self.repository = repository.and_then(RepositoryName::new);
    }

    fn value(&mut self, field: RequestField, value: Value<'_>) {
        let named = match field {
            RequestField::Session if self.is_message => &mut self.session,
            RequestField::ParentThread => &mut self.parent_thread,
            RequestField::SubagentKind => &mut self.subagent_kind,
            RequestField::Thread => &mut self.thread,
            RequestField::Turn => &mut self.turn,
            RequestField::PreviousResponse => &mut self.previous,
            RequestField::Session => return,
            RequestField::Setting(setting) => return setting.take(value, &mut self.settings),
            RequestField::Generate => {
                self.only_warms_up |= value == Value::Bool(false);
                return;
            }
            RequestField::Item(item) => return self.items.take(item, value),
            RequestField::Model => {
                self.model = model(value);
                return;
            }
            RequestField::Type => {
                if let Value::String { text, .. } = value {
                    self.creates = text == "response.create";
                }
                return;
            }
        };
        *named = id(value).or(named.take());
    }

    fn asks(&self) -> bool {
        !self.is_message || (self.creates && !self.only_warms_up)
    }

    fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn operation(&self) -> Option<Operation> {
        self.items.compacts().then_some(Operation::Compact)
    }

    fn settings(&self) -> RequestSettings {
        self.settings.clone()
    }

    fn is_compacted(&self) -> bool {
        self.items.are_compacted()
    }

    fn repository(&self) -> Option<&RepositoryName> {
        self.repository.as_ref()
    }

    fn ids(&self) -> CallIds {
        let (conversation, subagent) = (self.conversation(), self.subagent());
        let parent = self.parent_thread.as_ref();
        let parent = parent.filter(|parent| conversation != Some(parent));
        CallIds {
            conversation: conversation.cloned(),
            subagent: subagent.cloned(),
            parent_subagent: parent.filter(|_| subagent.is_some()).cloned(),
            subagent_kind: self.subagent_kind.clone().filter(|_| subagent.is_some()),
            previous_response: self.previous.clone(),
            ..CallIds::default()
        }
    }

    fn method(&self) -> CorrelationMethod {
        match self.conversation() {
            Some(_) => CorrelationMethod::Header,
            None => CorrelationMethod::None,
        }
    }

    /// Only Codex names its turns. A thread that is neither the conversation's own nor a subagent's
    /// is a side talk of the user, and a subagent without a thread of its own is the agent's
    /// housekeeping: no request of theirs is a step of the turn.
    fn turn(&self) -> Turn {
        let is_main_agents = self.is_main_thread() && self.subagent_kind.is_none();
        let is_step = self.subagent().is_some() || is_main_agents;
        Turn {
            agent: self.turn.as_ref().map(|_| AgentName::Codex),
            id: self.turn.clone(),
            step: if self.turn.is_some() && is_step {
                self.items.step(self.previous.is_some())
            } else {
                TurnStep::Unknown
            },
            ..Turn::default()
        }
    }
}

/// The keys of `client_metadata`, by which alone calls over a socket differ.
const METADATA: [(&str, RequestField); 5] = [
    ("session_id", RequestField::Session),
    ("thread_id", RequestField::Thread),
    ("turn_id", RequestField::Turn),
    (PARENT_THREAD, RequestField::ParentThread),
    (SUBAGENT_KIND, RequestField::SubagentKind),
];

const OTHERS: [(&str, RequestField); 4] = [
    ("generate", RequestField::Generate),
    ("model", RequestField::Model),
    ("previous_response_id", RequestField::PreviousResponse),
    ("type", RequestField::Type),
];

/// The settings of Responses, of Chat Completions, and of Mistral's conversations, which have them
/// in `completion_args`.
const SETTINGS: [(&str, Setting); 19] = [
    ("completion_args.max_tokens", Setting::MaxTokens),
    ("completion_args.random_seed", Setting::Seed),
    ("completion_args.temperature", Setting::Temperature),
    ("completion_args.top_p", Setting::TopP),
    ("frequency_penalty", Setting::FrequencyPenalty),
    ("max_completion_tokens", Setting::MaxTokens),
    ("max_output_tokens", Setting::MaxTokens),
    ("max_tokens", Setting::MaxTokens),
    ("n", Setting::Choices),
    ("presence_penalty", Setting::PresencePenalty),
    // Mistral's name of the seed.
    ("random_seed", Setting::Seed),
    ("reasoning.effort", Setting::ReasoningLevel),
    ("reasoning_effort", Setting::ReasoningLevel),
    ("response_format.type", Setting::OutputType),
    ("seed", Setting::Seed),
    ("temperature", Setting::Temperature),
    ("text.format.type", Setting::OutputType),
    // Of OpenRouter and of servers of open models.
    ("top_k", Setting::TopK),
    ("top_p", Setting::TopP),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exchange::Fields;
    use crate::observe::json::PathReader;

    /// What a request says of whom and of its turn, with these header fields and this body.
    fn read(fields: &[(&'static str, &str)], body: &str) -> (CallIds, Turn) {
        let listed = fields
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let head = RequestHead {
            method: "POST".into(),
            path: "/v1/responses".into(),
            query: Vec::new(),
            fields: Fields {
                listed: listed.collect(),
                ..Fields::default()
            },
        };
        let mut request = OpenAiRequest::default();
        request.head(&head);
        let mut reader = PathReader::new(request.paths());
        reader.feed(body.as_bytes(), &mut |field, value| {
            request.value(field, value);
        });
        (request.ids(), request.turn())
    }

    fn named(ids: &CallIds) -> [Option<&str>; 4] {
        [
            &ids.conversation,
            &ids.subagent,
            &ids.parent_subagent,
            &ids.subagent_kind,
        ]
        .map(|id| id.as_ref().map(Id::as_str))
    }

    #[test]
    fn a_thread_of_its_own_is_a_subagent_where_codex_says_so() {
        const PARENT: &str = "x-codex-parent-thread-id";
        const KIND: &str = "x-openai-subagent";
        for (fields, expected) in [
            (
                &[("session-id", "s"), ("thread-id", "s")][..],
                [Some("s"), None, None, None],
            ),
            (
                &[
                    ("session-id", "s"),
                    ("thread-id", "t"),
                    (PARENT, "s"),
                    (KIND, "collab_spawn"),
                ],
                [Some("s"), Some("t"), None, Some("collab_spawn")],
            ),
            (
                &[
                    ("session-id", "s"),
                    ("thread-id", "u"),
                    (PARENT, "t"),
                    (KIND, "collab_spawn"),
                ],
                [Some("s"), Some("u"), Some("t"), Some("collab_spawn")],
            ),
            (
                &[("session-id", "s"), ("thread-id", "r"), (KIND, "review")],
                [Some("s"), Some("r"), None, Some("review")],
            ),
            // Before subagents shared the session of their parent.
            (
                &[("session-id", "t"), ("thread-id", "t"), (PARENT, "s")],
                [Some("s"), Some("t"), None, None],
            ),
            (
                &[("session-id", "t"), (PARENT, "s")],
                [Some("s"), Some("t"), None, None],
            ),
            // A side talk, and the agent's housekeeping.
            (
                &[("session-id", "s"), ("thread-id", "x")],
                [Some("s"), None, None, None],
            ),
            (
                &[
                    ("session-id", "m"),
                    ("thread-id", "m"),
                    (KIND, "memory_consolidation"),
                ],
                [Some("m"), None, None, None],
            ),
            (&[], [None; 4]),
        ] {
            let (ids, _) = read(fields, "{}");
            assert_eq!(named(&ids), expected, "{fields:?}");
        }
    }

    #[test]
    fn only_a_turn_of_the_agent_or_of_its_subagent_is_a_step() {
        let body = |metadata: &str, rest: &str| {
            format!(
                r#"{{"client_metadata":{{"session_id":"s","turn_id":"t"{metadata}}},"tools":[{{"type":"function"}}],
                "input":[{{"role":"user","content":"canary"}}]{rest}}}"#
            )
        };
        let main = [("session-id", "s"), ("thread-id", "s")];
        let side = [("session-id", "s"), ("thread-id", "x")];
        let memory = [
            ("session-id", "s"),
            ("thread-id", "s"),
            ("x-openai-subagent", "memory_consolidation"),
        ];
        for (fields, body, step) in [
            (&main[..], body("", ""), TurnStep::Begins),
            (
                &main,
                body("", "").replace("tools", "no_tools"),
                TurnStep::Unknown,
            ),
            (
                &main,
                body("", r#","previous_response_id":"r""#).replace("tools", "no_tools"),
                TurnStep::Begins,
            ),
            (
                &main,
                body("", "").replace("turn_id", "no_turn"),
                TurnStep::Unknown,
            ),
            (&side, body("", ""), TurnStep::Unknown),
            (&memory, body("", ""), TurnStep::Unknown),
            (
                &side,
                body(r#","x-codex-parent-thread-id":"s""#, ""),
                TurnStep::Begins,
            ),
        ] {
            let (_, turn) = read(fields, &body);
            assert_eq!(turn.step, step, "{fields:?} {body}");
            let names_its_turn = body.contains("turn_id");
            assert_eq!(turn.agent.is_some(), names_its_turn);
            assert_eq!(turn.id.is_some(), names_its_turn);
        }
    }

    #[test]
    fn items_tell_whether_a_turn_begins_or_goes_on() {
        let user =
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"canary"}]}"#;
        let call = r#"{"type":"function_call","call_id":"c","name":"shell"}"#;
        let output = r#"{"type":"function_call_output","call_id":"c","output":"canary"}"#;
        let answer = r#"{"type":"message","role":"assistant","content":[]}"#;
        let system = r#"{"role":"developer","content":"canary"}"#;
        let tools = r#"{"type":"additional_tools","tools":[{"type":"function"}]}"#;
        let trigger = r#"{"type":"compaction_trigger"}"#;
        for (input, step) in [
            (&[system, user][..], TurnStep::Begins),
            (&[user, answer, user], TurnStep::Begins),
            (&[user, call, output], TurnStep::Continues),
            (&[user, call, output, user], TurnStep::Continues),
            (&[user, call, output, system], TurnStep::Continues),
            (&[user, answer, user, trigger], TurnStep::Unknown),
        ] {
            let input = input.join(",");
            let body =
                format!(r#"{{"input":[{tools},{input}],"client_metadata":{{"turn_id":"t"}}}}"#);
            assert_eq!(read(&[], &body).1.step, step, "{input}");
        }
    }
}
