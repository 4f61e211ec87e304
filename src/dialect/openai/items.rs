//! The items of a Responses request and of its answer: which are the user's, which the model's, and
//! which ask the agent for the result of a tool.

use crate::dialect::turns::{Part, SinceModel};
use crate::observe::json::Value;
use crate::record::{TurnEnd, TurnStep};

/// What is read of the items of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    /// An item of the input.
    Begun,
    Role,
    /// A tool that the model may call.
    Tool,
    Type,
}

impl Item {
    pub(super) const PATHS: [(&'static str, Self); 5] = [
        ("input[]", Self::Begun),
        ("input[].role", Self::Role),
        ("input[].type", Self::Type),
        // Where tools are an item of their own.
        ("input[].tools[]", Self::Tool),
        ("tools[]", Self::Tool),
    ];
}

/// The items of a request.
#[derive(Debug, Default)]
pub(super) struct Items {
    item: OneItem,
    since_model: SinceModel,
    has_tools: bool,
    compacts: bool,
    are_compacted: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct OneItem {
    role: Option<Role>,
    kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Assistant,
    /// The system, or the developer of the agent.
    Other,
    User,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What the provider has made of a conversation to shorten it.
    Compaction,
    /// Asks the provider to shorten the conversation.
    CompactionTrigger,
    /// Words, whoever said them.
    Message,
    /// What the model has done, or what stands for it.
    Model,
    /// What no part of the conversation is.
    Other,
    ToolResult,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            // Codex has read both names, and keeps them.
            "compaction" | "compaction_summary" => Self::Compaction,
            "compaction_trigger" => Self::CompactionTrigger,
            "additional_tools" => Self::Other,
            _ if name.ends_with("_output") => Self::ToolResult,
            _ => Self::Model,
        }
    }
}

impl OneItem {
    /// `None` for an item that is no part of the conversation. One without a type is a message.
    fn part(self) -> Option<Part> {
        match (self.kind.unwrap_or(Kind::Message), self.role) {
            (Kind::Message, Some(Role::Assistant)) | (Kind::Compaction | Kind::Model, _) => {
                Some(Part::Model)
            }
            (Kind::Message, Some(Role::User)) => Some(Part::User),
            (Kind::ToolResult, _) => Some(Part::ToolResult),
            (Kind::Message | Kind::CompactionTrigger | Kind::Other, _) => None,
        }
    }
}

impl Items {
    pub(super) fn take(&mut self, item: Item, value: Value<'_>) {
        match (item, value) {
            (Item::Begun, Value::Object) => self.item = OneItem::default(),
            (Item::Begun, Value::End) => self.end_item(),
            (Item::Role, Value::String { text, .. }) => {
                self.item.role = Some(match text {
                    "assistant" => Role::Assistant,
                    "user" => Role::User,
                    _ => Role::Other,
                });
            }
            (Item::Tool, Value::Object) => self.has_tools = true,
            (Item::Type, Value::String { text, .. }) => self.item.kind = Some(Kind::of(text)),
            _ => {}
        }
    }

    fn end_item(&mut self) {
        let item = std::mem::take(&mut self.item);
        self.compacts |= item.kind == Some(Kind::CompactionTrigger);
        self.are_compacted |= item.kind == Some(Kind::Compaction);
        if let Some(part) = item.part() {
            self.since_model.add(part);
        }
    }

    /// Whether an item asks for a shorter conversation.
    pub(super) fn compacts(&self) -> bool {
        self.compacts
    }

    /// Whether an item stands for a conversation that was shortened.
    pub(super) fn are_compacted(&self) -> bool {
        self.are_compacted
    }

    /// An agent at work offers its tools to the model; a request for a summary or a title offers
    /// none. One that continues an earlier response need not repeat them.
    pub(super) fn step(&self, continues_response: bool) -> TurnStep {
        if (self.has_tools || continues_response) && !self.compacts {
            self.since_model.step()
        } else {
            TurnStep::Unknown
        }
    }
}

/// What the items of an answer ask the agent for. Each comes in events of its own, and all of them
/// once more in the response at the end, which some providers leave empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// Calls of tools that the agent makes, in the document that is read.
    calls: u32,
    /// Those whose items have been complete.
    complete: u32,
    /// Those of the response at the end.
    of_response: u32,
    has_tool_call: bool,
}

/// Which items of an answer a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemsOf {
    /// One that is complete.
    CompleteItem,
    /// One that begins.
    Other,
    /// All of them.
    Response,
}

impl Asked {
    /// An item of the answer has this type.
    pub(super) fn add(&mut self, kind: &str) {
        let is_call = kind.ends_with("_call") || kind == "mcp_approval_request";
        if is_call && !CALLED_BY_THE_PROVIDER.contains(&kind) {
            self.calls = self.calls.saturating_add(1);
        }
    }

    /// Takes what another document has, with these items.
    pub(super) fn merge(&mut self, later: Self, of: ItemsOf) {
        self.has_tool_call |= later.calls > 0;
        match of {
            ItemsOf::CompleteItem => self.complete = self.complete.saturating_add(later.calls),
            ItemsOf::Other => {}
            ItemsOf::Response => self.of_response = later.calls,
        }
    }

    /// How many calls of tools the agent is asked for.
    pub(super) fn tool_calls(self) -> u32 {
        self.complete.max(self.of_response)
    }

    /// Of a response that is complete.
    pub(super) fn turn_end(self) -> TurnEnd {
        if self.has_tool_call {
            TurnEnd::GoesOn
        } else {
            TurnEnd::Over
        }
    }
}

/// Searches of the web that a response tells of, item by item. A stream has an event for each item
/// when it is done, and may list all of them once more at its end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WebSearches {
    /// By the events.
    done: u64,
    /// By the response itself.
    listed: u64,
    /// The item that is being read.
    item: SearchItem,
}

#[derive(Debug, Clone, Copy, Default)]
struct SearchItem {
    is_search_call: bool,
    /// It does something else with what was found before, which is not paid for.
    only_reads: bool,
}

/// What is read of an item about searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SearchPart {
    /// What the tool did: `search`, `open_page`, `find_in_page`.
    Action,
    /// The item of an event, whole.
    OfEvent,
    /// An item of the response, whole.
    OfResponse,
    /// What the item is.
    Type,
}

impl WebSearches {
    pub(super) fn take(&mut self, part: SearchPart, value: &Value<'_>) {
        match (part, value) {
            (SearchPart::OfEvent | SearchPart::OfResponse, Value::Object) => {
                self.item = SearchItem::default();
            }
            (SearchPart::OfEvent, Value::End) => self.done += self.end_item(),
            (SearchPart::OfResponse, Value::End) => self.listed += self.end_item(),
            (SearchPart::Action, Value::String { text, .. }) => {
                self.item.only_reads = *text != "search";
            }
            (SearchPart::Type, Value::String { text, .. }) => {
                self.item.is_search_call = *text == "web_search_call";
            }
            _ => {}
        }
    }

    fn end_item(&mut self) -> u64 {
        let SearchItem {
            is_search_call,
            only_reads,
        } = std::mem::take(&mut self.item);
        u64::from(is_search_call && !only_reads)
    }

    /// Takes what a later document says; only an event that an item is done counts it.
    pub(super) fn merge(&mut self, later: Self, is_done: bool) {
        self.listed = self.listed.max(later.listed);
        if is_done {
            self.done += later.done;
        }
    }

    /// How many there were, where there were any.
    pub(super) fn read(self) -> Option<u64> {
        Some(self.done.max(self.listed)).filter(|searches| *searches > 0)
    }
}

/// Tools that the provider runs itself, within the same response.
const CALLED_BY_THE_PROVIDER: [&str; 5] = [
    "code_interpreter_call",
    "file_search_call",
    "image_generation_call",
    "mcp_call",
    "web_search_call",
];
