//! A session of the Realtime API: each message is an event with a `type`.
//!
//! A response has its figures in `response.done` and nowhere else. What is said to the model may be
//! written down by another model, which reports figures of its own.
//!
//! Source: openai/openai-python `src/openai/types/realtime`.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use super::refusal::{Detail, ErrorObject, Limits};
use super::usage::{Count, Counts, REALTIME_COUNTS, Reading};
use crate::dialect::answer::Said;
use crate::dialect::limits::{Limit, Scope, ratio};
use crate::dialect::realtime::{Event, ReadRealtime, Reply};
use crate::dialect::request::{id, model};
use crate::dialect::times::{SECOND, measured};
use crate::observe::Direction;
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::record::{Id, Model, Provider, QuotaWindow};

/// A reader of a session's messages.
pub(super) fn reader(_: Provider) -> Box<dyn ReadRealtime> {
    Box::new(Realtime {
        agent: Side::new(),
        provider: Side::new(),
        asked: None,
        model: None,
        transcriber: None,
    })
}

struct Realtime {
    agent: Side,
    provider: Side,
    /// The agent's name of its last request, where it has one.
    asked: Option<Id>,
    /// The model of the session.
    model: Option<Model>,
    /// The model that writes down what is said.
    transcriber: Option<Model>,
}

/// The messages of one direction.
struct Side {
    reader: PathReader<Field>,
    /// The message that is being read.
    message: Message,
}

impl Side {
    fn new() -> Self {
        Self {
            reader: PathReader::new(&PATHS),
            message: Message::default(),
        }
    }
}

/// What one message says.
#[derive(Debug, Default)]
struct Message {
    kind: Kind,
    /// The agent's name of it.
    event: Option<Id>,
    response: Option<Id>,
    status: Option<Id>,
    /// Why the response ended before it was complete.
    reason: Option<Id>,
    counts: Counts,
    error: Option<ErrorObject>,
    /// The message of the agent that an error is about.
    error_of: Option<Id>,
    model: Option<Model>,
    transcriber: Option<Model>,
    limits: Vec<NamedLimit>,
    limit: NamedLimit,
}

/// What a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// The agent asks for a response.
    Ask,
    Begun,
    Delta,
    Done,
    Error,
    Limits,
    #[default]
    Other,
    Session,
    Transcribed,
}

impl Kind {
    fn of(direction: Direction, name: &str) -> Self {
        match (direction, name) {
            (Direction::ToProvider, "response.create") => Self::Ask,
            (Direction::ToProvider, _) => Self::Other,
            (_, "conversation.item.input_audio_transcription.completed") => Self::Transcribed,
            (_, "error") => Self::Error,
            (_, "rate_limits.updated") => Self::Limits,
            (_, "response.created") => Self::Begun,
            (_, "response.done") => Self::Done,
            (_, "session.created" | "session.updated") => Self::Session,
            _ if name.starts_with("response.") && name.ends_with(".delta") => Self::Delta,
            _ => Self::Other,
        }
    }
}

/// A limit of an API key, as `rate_limits.updated` lists it.
#[derive(Debug, Default)]
struct NamedLimit {
    window: Option<QuotaWindow>,
    limit: Option<String>,
    remaining: Option<String>,
    /// How long it takes until it is full again.
    resets_in: Option<Duration>,
}

/// What is read of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Count(Count),
    Error,
    ErrorDetail(Detail),
    ErrorOf,
    Event,
    Limit,
    LimitMost,
    LimitName,
    LimitRemaining,
    LimitReset,
    Model,
    Reason,
    Response,
    Status,
    Transcriber,
    Type,
}

static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    // Figures of a response, and of what was written down.
    let counts = ["response.usage.", "usage."].into_iter().flat_map(|place| {
        REALTIME_COUNTS.map(|(name, count)| (format!("{place}{name}"), Field::Count(count)))
    });
    let others = OTHERS.map(|(path, field)| (path.to_owned(), field));
    Paths::new(counts.chain(others))
});

const OTHERS: [(&str, Field); 22] = [
    ("error", Field::Error),
    ("error.code", Field::ErrorDetail(Detail::Name)),
    ("error.event_id", Field::ErrorOf),
    ("error.type", Field::ErrorDetail(Detail::Name)),
    ("event_id", Field::Event),
    ("rate_limits[]", Field::Limit),
    ("rate_limits[].limit", Field::LimitMost),
    ("rate_limits[].name", Field::LimitName),
    ("rate_limits[].remaining", Field::LimitRemaining),
    ("rate_limits[].reset_seconds", Field::LimitReset),
    ("response.id", Field::Response),
    ("response.status", Field::Status),
    ("response.status_details.error", Field::Error),
    (
        "response.status_details.error.code",
        Field::ErrorDetail(Detail::Name),
    ),
    (
        "response.status_details.error.type",
        Field::ErrorDetail(Detail::Name),
    ),
    ("response.status_details.reason", Field::Reason),
    ("response_id", Field::Response),
    (
        "session.audio.input.transcription.model",
        Field::Transcriber,
    ),
    (
        "session.input_audio_transcription.model",
        Field::Transcriber,
    ),
    ("session.model", Field::Model),
    ("transcription.model", Field::Transcriber),
    ("type", Field::Type),
];

impl Message {
    fn take(&mut self, direction: Direction, field: Field, value: &Value<'_>) {
        match (field, value) {
            (Field::Limit, Value::Object) => self.limit = NamedLimit::default(),
            (Field::Limit, Value::End) if self.limits.len() < MAX_LIMITS => {
                self.limits.push(std::mem::take(&mut self.limit));
            }
            (Field::Error, Value::Object) => _ = self.error.get_or_insert_default(),
            (_, Value::End | Value::Null) | (Field::Error | Field::Limit, _) => {}
            (Field::Count(count), _) => self.counts.take(count, value),
            (Field::ErrorDetail(detail), _) => {
                self.error.get_or_insert_default().take(detail, value);
            }
            (Field::ErrorOf, _) => self.error_of = id(*value),
            (Field::Event, _) => self.event = id(*value),
            (Field::LimitMost, _) => self.limit.limit = number(value),
            (Field::LimitName, Value::String { text, .. }) => {
                self.limit.window = match *text {
                    "requests" => Some(QuotaWindow::Requests),
                    "tokens" => Some(QuotaWindow::Tokens),
                    _ => None,
                };
            }
            (Field::LimitRemaining, _) => self.limit.remaining = number(value),
            (Field::LimitReset, _) => self.limit.resets_in = measured(value, SECOND),
            (Field::Model, _) => self.model = model(*value),
            (Field::Reason, _) => self.reason = id(*value),
            (Field::Response, _) => self.response = id(*value),
            (Field::Status, _) => self.status = id(*value),
            (Field::Transcriber, _) => self.transcriber = model(*value),
            (Field::Type, Value::String { text, .. }) => self.kind = Kind::of(direction, text),
            (Field::LimitName | Field::Type, _) => {}
        }
    }

    /// What a response says at its end, or what was written down.
    fn said(self) -> Said {
        let Reading {
            usage,
            total,
            modalities,
            is_sound,
        } = self.counts.read();
        let status = self.status.as_ref().map(Id::as_str);
        let error = match status {
            Some("failed") => Some(self.error.unwrap_or_default()),
            _ => self.error,
        };
        Said {
            usage,
            total,
            modalities,
            is_sound,
            finish_reason: match status {
                Some("failed") => None,
                _ => self.reason.or(self.status),
            },
            response: self.response,
            error: Limits::default().refusal(error),
            ..Said::default()
        }
    }
}

/// A number, as it stands on the wire.
fn number(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Number(text) => Some((*text).to_owned()),
        _ => None,
    }
}

impl NamedLimit {
    fn read(self, now: SystemTime) -> Option<Limit> {
        Some(Limit {
            scope: Scope::Model,
            window: self.window?,
            remaining: ratio(self.remaining.as_deref(), self.limit.as_deref())?,
            resets_at: self.resets_in.and_then(|time| now.checked_add(time)),
        })
    }
}

impl Realtime {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToProvider => &mut self.agent,
            Direction::ToAgent => &mut self.provider,
        }
    }

    fn events(&mut self, message: Message, now: SystemTime) -> Vec<Event> {
        match message.kind {
            Kind::Ask => {
                self.asked = message.event;
                vec![Event::Asked]
            }
            Kind::Begun => vec![Event::Begun(message.response)],
            Kind::Delta => vec![Event::Content(message.response)],
            Kind::Done => {
                let said = Said {
                    served_model: self.model.clone(),
                    ..message.said()
                };
                vec![Event::Ended(said.response.clone(), Box::new(said))]
            }
            // An error of something else than the last request leaves that as it is.
            Kind::Error if message.error_of.is_some() && message.error_of != self.asked => {
                Vec::new()
            }
            Kind::Error => vec![Event::Refused(Box::new(message.said()))],
            Kind::Limits => {
                let limits = message.limits.into_iter();
                vec![Event::Limits(
                    limits.filter_map(|limit| limit.read(now)).collect(),
                )]
            }
            Kind::Other => Vec::new(),
            Kind::Session => {
                self.transcriber = message.transcriber.or(self.transcriber.take());
                self.model = message.model.or(self.model.take());
                self.model.clone().map(Event::Model).into_iter().collect()
            }
            Kind::Transcribed => {
                let model = self.transcriber.clone().unwrap_or_else(Model::unknown);
                vec![Event::Transcribed(model, Box::new(message.said()))]
            }
        }
    }
}

impl ReadRealtime for Realtime {
    fn fragment(&mut self, direction: Direction, payload: &[u8]) {
        let Side { reader, message } = self.side(direction);
        reader.feed(payload, &mut |field, value| {
            message.take(direction, field, &value);
        });
    }

    fn end_message(&mut self, direction: Direction, now: SystemTime) -> Vec<Event> {
        let Side { reader, message } = self.side(direction);
        let is_whole = reader.status() == Status::Complete;
        reader.reset();
        let message = std::mem::take(message);
        if is_whole {
            self.events(message, now)
        } else {
            Vec::new()
        }
    }

    /// A response apart from the conversation may be under way beside one that is part of it.
    fn takes_turns(&self) -> bool {
        false
    }

    /// A response says nothing before its end.
    fn so_far(&self, _: Option<&Id>) -> Reply {
        Reply::default()
    }
}

/// There are two: of requests and of tokens.
const MAX_LIMITS: usize = 8;
