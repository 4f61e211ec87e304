//! A response, as one document or as the events of a stream, and what it says.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::items::{Asked, ItemsOf, SearchPart, WebSearches};
use super::plan::{self, Plan, PlanField};
use super::refusal::{DETAILS, Detail, ErrorObject, Limits};
use super::usage::{Count, Counts, REPORTS, RESPONSES_COUNTS, Reading, USAGE_REPORTS};
use crate::dialect::answer::{ReadAnswer, Said, take_later};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::{id, model};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model, Reported, ServerTools, TurnEnd};

/// Reads one answer.
#[derive(Debug, Default)]
pub(super) struct Response {
    limits: Limits,
    /// What the complete documents have said.
    said: Document,
    is_over: bool,
    /// The document that is being read.
    current: Document,
}

/// What one document says, or several in order.
#[derive(Debug, Default)]
struct Document {
    kind: Kind,
    counts: Counts,
    reports: Reports,
    /// The limit of a plan that it tells of, over a WebSocket.
    plan: Plan,
    /// Those that were told of before.
    plans: Vec<Plan>,
    status: Option<Id>,
    /// Why it is incomplete.
    reason: Option<Id>,
    model: Option<Model>,
    response: Option<Id>,
    error: Option<ErrorObject>,
    /// The error that the event itself is, where it is one.
    own_error: ErrorObject,
    /// The HTTP status that such an event names.
    http_status: Option<u16>,
    has_content: bool,
    searches: WebSearches,
    /// It answers the questions of a decision, which has no status.
    has_answers: bool,
    asked: Asked,
    /// An item of it stands for a conversation that was shortened.
    is_compacted: bool,
    /// It says itself that the agent's turn goes on.
    asks_again: bool,
}

/// What a document is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// An event with a piece of content.
    Delta,
    /// An event that is an error and has no response.
    Error,
    /// The event with a response that has failed, after which nothing follows.
    Failed,
    /// The event that an item of the response is done.
    ItemDone,
    /// The event with a response that is at its end, after which nothing follows.
    Last,
    /// Any other event.
    Other,
    /// No event, but the response itself.
    #[default]
    Whole,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "error" => Self::Error,
            "response.completed" | "response.incomplete" => Self::Last,
            "response.failed" => Self::Failed,
            "response.output_item.done" => Self::ItemDone,
            _ if name.starts_with("response.") && name.ends_with(".delta") => Self::Delta,
            _ => Self::Other,
        }
    }

    /// Which items such a document has.
    fn items(self) -> ItemsOf {
        match self {
            Self::ItemDone => ItemsOf::CompleteItem,
            Self::Failed | Self::Last | Self::Whole => ItemsOf::Response,
            Self::Delta | Self::Error | Self::Other => ItemsOf::Other,
        }
    }
}

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseField {
    /// One of the answers to the questions of a decision.
    Answer,
    /// A value that is content by being there.
    Content,
    Count(Count),
    Detail(Detail),
    /// Whether the turn is over, where the response says so itself.
    EndTurn,
    Error,
    /// What an item of the answer is.
    ItemType,
    Model,
    /// The code of an event that is an error.
    OwnCode,
    Plan(PlanField),
    Report(Report),
    /// Why the response is incomplete.
    Reason,
    Response,
    Search(SearchPart),
    /// How far the response has come, or the HTTP status of an event that is an error.
    Status,
    /// What kind of event it is.
    Type,
}

static PATHS: LazyLock<Paths<ResponseField>> = LazyLock::new(|| {
    let of_response = ["", "response."].into_iter().flat_map(|place| {
        let counts = RESPONSES_COUNTS
            .map(|(name, count)| (format!("{place}usage.{name}"), ResponseField::Count(count)));
        let details = DETAILS.map(|(name, detail)| {
            (
                format!("{place}error.{name}"),
                ResponseField::Detail(detail),
            )
        });
        let others = OF_RESPONSE.map(|(name, field)| (format!("{place}{name}"), field));
        let reports = REPORTS.map(|(name, report)| (format!("{place}{name}"), report));
        let of_usage = USAGE_REPORTS.map(|(name, report)| (format!("{place}usage.{name}"), report));
        let reports = reports.into_iter().chain(of_usage);
        let reports = reports.map(|(path, report)| (path, ResponseField::Report(report)));
        counts
            .into_iter()
            .chain(details)
            .chain(others)
            .chain(reports)
    });
    let others = [
        ("answers[]", ResponseField::Answer),
        ("code", ResponseField::OwnCode),
        ("item", ResponseField::Search(SearchPart::OfEvent)),
        (
            "item.action.type",
            ResponseField::Search(SearchPart::Action),
        ),
        ("item.type", ResponseField::ItemType),
        ("output[]", ResponseField::Content),
        (
            "response.output[]",
            ResponseField::Search(SearchPart::OfResponse),
        ),
        ("type", ResponseField::Type),
    ];
    let others = others.map(|(path, field)| (path.to_owned(), field));
    let plan = plan::paths().map(|(path, field)| (path, ResponseField::Plan(field)));
    Paths::new(of_response.chain(plan).chain(others))
});

const OF_RESPONSE: [(&str, ResponseField); 8] = [
    ("end_turn", ResponseField::EndTurn),
    ("error", ResponseField::Error),
    ("id", ResponseField::Response),
    ("incomplete_details.reason", ResponseField::Reason),
    ("model", ResponseField::Model),
    (
        "output[].action.type",
        ResponseField::Search(SearchPart::Action),
    ),
    ("output[].type", ResponseField::ItemType),
    ("status", ResponseField::Status),
];

impl Document {
    fn take(&mut self, field: ResponseField, value: &Value<'_>) {
        match (field, value) {
            (ResponseField::Answer, Value::Object) => {
                self.has_content = true;
                self.has_answers = true;
            }
            (ResponseField::Content, Value::Object | Value::End) => {
                self.has_content = true;
                self.searches.take(SearchPart::OfResponse, value);
            }
            (ResponseField::Search(part), _) => self.searches.take(part, value),
            (ResponseField::Error, Value::Object | Value::String { .. }) => {
                self.error.get_or_insert_default();
            }
            (_, Value::End | Value::Null)
            | (ResponseField::Answer | ResponseField::Content | ResponseField::Error, _) => {}
            (ResponseField::Count(count), _) => self.counts.take(count, value),
            (ResponseField::Detail(detail), _) => {
                self.error.get_or_insert_default().take(detail, value)
            }
            (ResponseField::EndTurn, _) => self.asks_again |= *value == Value::Bool(false),
            (ResponseField::ItemType, Value::String { text, .. }) => {
                self.asked.add(text);
                self.is_compacted |= *text == "compaction";
                self.searches.take(SearchPart::Type, value);
            }
            (ResponseField::Model, _) => self.model = model(*value),
            (ResponseField::Plan(field), _) => self.plan.take(field, value),
            (ResponseField::Report(which), _) => self.reports.take(which, value),
            (ResponseField::Status, Value::Number(text)) => {
                self.http_status = text.parse().ok();
                self.own_error.take(Detail::Name, value);
            }
            (ResponseField::OwnCode, _) => self.own_error.take(Detail::Name, value),
            (ResponseField::Reason, _) => self.reason = id(*value),
            (ResponseField::Response, _) => self.response = id(*value),
            (ResponseField::Status, _) => self.status = id(*value),
            (ResponseField::Type, Value::String { text, .. }) => self.kind = Kind::of(text),
            (ResponseField::ItemType | ResponseField::Type, _) => {}
        }
    }

    /// Whether the agent's turn is over. A response that was cut short may be asked for again.
    fn turn_end(&self) -> TurnEnd {
        let status = self.status.as_ref().map(Id::as_str);
        match status {
            Some("completed") if self.asks_again => TurnEnd::GoesOn,
            Some("completed") => self.asked.turn_end(),
            _ => TurnEnd::Unknown,
        }
    }

    /// Why the model stopped, when it has.
    fn finish_reason(&self) -> Option<&Id> {
        let status = self.status.as_ref()?;
        match status.as_str() {
            "cancelled" | "completed" => Some(status),
            "incomplete" => self.reason.as_ref().or(Some(status)),
            _ => None,
        }
    }

    fn has_failed(&self) -> bool {
        let status = self.status.as_ref().map(Id::as_str);
        self.kind == Kind::Failed || status == Some("failed")
    }

    fn is_last(&self) -> bool {
        match self.kind {
            Kind::Failed | Kind::Last => true,
            Kind::Whole => self.has_answers || self.finish_reason().is_some() || self.has_failed(),
            // Over a socket, where it stands for a whole response.
            Kind::Error => self.http_status.is_some(),
            Kind::Delta | Kind::ItemDone | Kind::Other => false,
        }
    }

    fn merge(&mut self, later: Self) {
        self.counts.merge(later.counts);
        self.reports.merge(later.reports);
        later.plan.merge_into(&mut self.plans);
        take_later(&mut self.status, later.status);
        take_later(&mut self.reason, later.reason);
        take_later(&mut self.model, later.model);
        take_later(&mut self.response, later.response);
        self.searches
            .merge(later.searches, later.kind == Kind::ItemDone);
        self.error = self.error.or(later.error);
        self.http_status = self.http_status.or(later.http_status);
        self.asked.merge(later.asked, later.kind.items());
        self.is_compacted |= later.is_compacted;
        self.asks_again |= later.asks_again;
    }
}

impl Response {
    fn reported(&self) -> Reported {
        let reported = self.said.reports.read();
        let told = reported.server_tools;
        Reported {
            server_tools: ServerTools {
                web_searches: told.web_searches.or(self.said.searches.read()),
                ..told
            },
            ..reported
        }
    }
}

impl ReadAnswer for Response {
    type Field = ResponseField;

    fn paths(&self) -> &'static Paths<ResponseField> {
        &PATHS
    }

    fn head(&mut self, head: &ResponseHead) {
        self.limits = Limits::of(head);
    }

    fn value(&mut self, field: ResponseField, value: &Value<'_>) -> bool {
        self.current.take(field, value);
        false
    }

    fn end_document(&mut self, _: Option<&str>) -> bool {
        let mut document = std::mem::take(&mut self.current);
        if document.kind == Kind::Error {
            document.error = Some(document.error.unwrap_or_default().and(document.own_error));
        } else if document.has_failed() {
            document.error.get_or_insert_default();
        }
        self.is_over |= document.is_last();
        let has_content = document.has_content || document.kind == Kind::Delta;
        self.said.merge(document);
        has_content
    }

    fn drop_document(&mut self) {
        self.current = Document::default();
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn has_last_word(&self) -> bool {
        self.is_over
    }

    fn said(&self, _: SystemTime) -> Said {
        let Reading {
            usage,
            total,
            modalities,
            is_sound,
        } = self.said.counts.read();
        Said {
            status: self.said.http_status,
            usage,
            total,
            modalities,
            is_sound,
            finish_reason: self.said.finish_reason().cloned(),
            turn_end: self.said.turn_end(),
            tool_calls: self.said.asked.tool_calls(),
            is_compacted: self.said.is_compacted,
            served_model: self.said.model.clone(),
            response: self.said.response.clone(),
            reported: self.reported(),
            limits: self.said.plans.iter().flat_map(Plan::limits).collect(),
            error: self.limits.refusal(self.said.error),
            ..Said::default()
        }
    }
}
