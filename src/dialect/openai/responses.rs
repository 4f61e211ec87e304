//! A response, as one document or as the events of a stream, and what it says.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::items::{Asked, ItemsOf};
use super::limits::{PRIMARY, PlanPart, PlanWindow, SECONDARY};
use super::refusal::{DETAILS, Detail, ErrorObject, Limits};
use super::usage::{Count, Counts, REPORTS, RESPONSES_COUNTS, Reading, USAGE_REPORTS};
use crate::dialect::answer::{ReadAnswer, Said};
use crate::dialect::reports::{Report, Reports};
use crate::dialect::request::{id, model};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model, TurnEnd};

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
    /// Both windows of the plan, over a WebSocket.
    plan: [PlanWindow; 2],
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
    /// It answers the questions of a decision, which has no status.
    has_answers: bool,
    asked: Asked,
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
    /// The event with an item of the answer that is complete.
    Item,
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
            "response.output_item.done" => Self::Item,
            _ if name.starts_with("response.") && name.ends_with(".delta") => Self::Delta,
            _ => Self::Other,
        }
    }

    /// Which items such a document has.
    fn items(self) -> ItemsOf {
        match self {
            Self::Item => ItemsOf::CompleteItem,
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
    /// What is said of the first or the second window of a plan.
    Plan(usize, PlanPart),
    Report(Report),
    /// Why the response is incomplete.
    Reason,
    Response,
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
        ("item.type", ResponseField::ItemType),
        ("output[]", ResponseField::Content),
        ("type", ResponseField::Type),
    ];
    let others = others.map(|(path, field)| (path.to_owned(), field));
    Paths::new(of_response.chain(plan()).chain(others))
});

/// Where messages over a WebSocket speak of the windows of a plan: by themselves, or among the
/// header fields of a refusal.
fn plan() -> impl Iterator<Item = (String, ResponseField)> {
    let windows = [("primary", PRIMARY), ("secondary", SECONDARY)];
    windows
        .into_iter()
        .enumerate()
        .flat_map(|(at, (name, of_head))| {
            [
                ("used_percent", of_head.used, PlanPart::UsedPercent),
                ("window_minutes", of_head.minutes, PlanPart::Minutes),
                ("reset_at", of_head.reset, PlanPart::ResetsAt),
            ]
            .into_iter()
            .flat_map(move |(member, field, part)| {
                [
                    format!("rate_limits.{name}.{member}"),
                    format!("headers.{field}"),
                ]
                .map(|path| (path, ResponseField::Plan(at, part)))
            })
        })
}

const OF_RESPONSE: [(&str, ResponseField); 7] = [
    ("end_turn", ResponseField::EndTurn),
    ("error", ResponseField::Error),
    ("id", ResponseField::Response),
    ("incomplete_details.reason", ResponseField::Reason),
    ("model", ResponseField::Model),
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
            (ResponseField::Content, Value::Object) => self.has_content = true,
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
            (ResponseField::ItemType, Value::String { text, .. }) => self.asked.add(text),
            (ResponseField::Model, _) => self.model = model(*value),
            (ResponseField::Plan(at, part), _) => {
                if let Some(window) = self.plan.get_mut(at) {
                    window.take(part, value);
                }
            }
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
            Kind::Delta | Kind::Item | Kind::Other => false,
        }
    }

    fn merge(&mut self, later: Self) {
        self.counts.merge(later.counts);
        self.reports.merge(later.reports);
        // The last word on a window counts.
        for (known, new) in self.plan.iter_mut().zip(later.plan) {
            if new != PlanWindow::default() {
                *known = new;
            }
        }
        self.status = later.status.or(self.status.take());
        self.reason = later.reason.or(self.reason.take());
        self.model = later.model.or(self.model.take());
        self.response = later.response.or(self.response.take());
        self.error = self.error.or(later.error);
        self.http_status = self.http_status.or(later.http_status);
        self.asked.merge(later.asked, later.kind.items());
        self.asks_again |= later.asks_again;
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
            served_model: self.said.model.clone(),
            response: self.said.response.clone(),
            reported: self.said.reports.read(),
            limits: self
                .said
                .plan
                .into_iter()
                .filter_map(PlanWindow::limit)
                .collect(),
            error: self.limits.refusal(self.said.error),
            ..Said::default()
        }
    }
}
