//! A session of the Live API: each message is an object whose one member says what it is, beside
//! which any message of the provider may have `usageMetadata`.
//!
//! The model answers turn by turn, and the figures are those of one turn, whose prompt is all that
//! was said before. They may come with any message of the turn, cumulative like those of a
//! generation, and as late as behind its end.
//!
//! Source: googleapis/js-genai `src/types.ts` (`LiveClientMessage`, `LiveServerMessage`).

use std::sync::LazyLock;
use std::time::SystemTime;

use super::answer::Frame;
use super::paths::{Field, in_both_cases, part_paths, usage_paths};
use super::searches::SearchPart;
use crate::dialect::answer::Said;
use crate::dialect::realtime::{Event, ReadRealtime, Reply};
use crate::dialect::request::id;
use crate::observe::Direction;
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::record::{Id, Model, Provider};

/// A reader of a session's messages.
pub(super) fn reader(provider: Provider) -> Box<dyn ReadRealtime> {
    Box::new(Live {
        provider,
        asks: PathReader::new(&OF_AGENT),
        request: Request::default(),
        answers: PathReader::new(&OF_PROVIDER),
        message: Message::default(),
        turn: Turn::default(),
    })
}

struct Live {
    provider: Provider,
    asks: PathReader<Ask>,
    /// The message of the agent that is being read.
    request: Request,
    answers: PathReader<Part>,
    /// The message of the provider that is being read.
    message: Message,
    turn: Turn,
}

/// What a message of the agent says.
#[derive(Debug, Default)]
struct Request {
    model: Option<Model>,
    asks: bool,
}

/// What a message of the provider says.
#[derive(Debug, Default)]
struct Message {
    frame: Frame,
    ends_turn: bool,
    is_interrupted: bool,
}

/// What the messages of the current turn of the model say together.
#[derive(Debug, Default)]
struct Turn {
    frame: Frame,
    is_interrupted: bool,
    /// It has ended; its figures may still come.
    is_over: bool,
}

/// What is read of a message of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Model,
    /// Something that is answered when it is `true`.
    When,
    /// Something that is answered by being there.
    Whenever,
}

/// What is read of a message of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    EndOfTurn,
    Interruption,
    OfAnswer(Field),
    /// Why the turn has ended.
    Reason,
}

/// What is said by voice is no request: the provider hears by itself when somebody has finished.
static OF_AGENT: LazyLock<Paths<Ask>> = LazyLock::new(|| {
    let paths = [
        ("clientContent.turnComplete", Ask::When),
        ("realtimeInput.activityEnd", Ask::Whenever),
        ("realtimeInput.text", Ask::Whenever),
        ("setup.model", Ask::Model),
        ("toolResponse", Ask::Whenever),
    ];
    let paths = paths.map(|(path, ask)| (path.to_owned(), ask));
    Paths::new(paths.into_iter().flat_map(in_both_cases))
});

static OF_PROVIDER: LazyLock<Paths<Part>> = LazyLock::new(|| {
    let own = [
        ("serverContent.interrupted", Part::Interruption),
        ("serverContent.turnComplete", Part::EndOfTurn),
        ("serverContent.turnCompleteReason", Part::Reason),
    ];
    let own = own.map(|(path, part)| (path.to_owned(), part));
    let others = [
        (
            "serverContent.groundingMetadata.webSearchQueries[]",
            Field::Search(SearchPart::Query),
        ),
        ("toolCall.functionCalls[]", Field::Part),
        ("toolCall.functionCalls[].name", Field::Content),
    ];
    let others = others.map(|(path, field)| (path.to_owned(), field));
    let of_answer = part_paths("serverContent.modelTurn.parts[]")
        .chain(usage_paths())
        .chain(others)
        .map(|(path, field)| (path, Part::OfAnswer(field)));
    Paths::new(own.into_iter().chain(of_answer).flat_map(in_both_cases))
});

impl Request {
    fn take(&mut self, field: Ask, value: &Value<'_>) {
        match (field, value) {
            (_, Value::End | Value::Null) => {}
            (Ask::Model, Value::String { text, .. }) => {
                // `models/{model}`, or the whole name of the resource.
                let name = text.rsplit('/').next().filter(|name| !name.is_empty());
                self.model = name.map(Model::from_wire);
            }
            (Ask::Model, _) => {}
            (Ask::When, _) => self.asks |= *value == Value::Bool(true),
            (Ask::Whenever, _) => self.asks = true,
        }
    }
}

impl Message {
    /// Takes a value, unless the turn so far has `said` the same.
    fn take(&mut self, part: Part, value: &Value<'_>, provider: Provider, said: &Frame) {
        match part {
            Part::EndOfTurn => self.ends_turn |= *value == Value::Bool(true),
            Part::Interruption => self.is_interrupted |= *value == Value::Bool(true),
            Part::OfAnswer(field) => self.frame.take(field, value, provider, said),
            Part::Reason => self.frame.finish_reason = id(*value),
        }
    }
}

impl Turn {
    fn said(&self, now: SystemTime) -> Said {
        let interrupted = || Id::from_wire("interrupted").filter(|_| self.is_interrupted);
        let said = self.frame.said(now);
        Said {
            finish_reason: said.finish_reason.or_else(interrupted),
            ..said
        }
    }

    fn has_figures(&self, now: SystemTime) -> bool {
        !self.frame.said(now).usage.is_unreported()
    }

    /// The end of the turn, and a new one that has not begun.
    fn end(&mut self, now: SystemTime) -> Event {
        let ended = std::mem::take(self);
        Event::Ended(None, Box::new(ended.said(now)))
    }
}

impl Live {
    fn asked(&mut self, request: Request, now: SystemTime) -> Vec<Event> {
        let mut events: Vec<_> = request.model.map(Event::Model).into_iter().collect();
        if request.asks {
            // Figures that have not come by now do not come.
            events.extend(self.turn.is_over.then(|| self.turn.end(now)));
            events.push(Event::Asked);
        }
        events
    }

    fn answered(&mut self, mut message: Message, now: SystemTime) -> Vec<Event> {
        message.frame.end_part();
        let (has_content, mut events) = (message.frame.has_content(), Vec::new());
        if self.turn.is_over && has_content {
            events.push(self.turn.end(now));
        }
        self.turn.frame.merge(&mut message.frame);
        self.turn.is_interrupted |= message.is_interrupted;
        self.turn.is_over |= message.ends_turn;
        events.extend(has_content.then_some(Event::Content(None)));
        if self.turn.is_over && self.turn.has_figures(now) {
            events.push(self.turn.end(now));
        }
        events
    }
}

impl ReadRealtime for Live {
    fn fragment(&mut self, direction: Direction, payload: &[u8]) {
        let Self {
            provider,
            asks,
            request,
            answers,
            message,
            turn,
        } = self;
        match direction {
            Direction::ToProvider => {
                asks.feed(payload, &mut |field, value| request.take(field, &value));
            }
            Direction::ToAgent => {
                answers.feed(payload, &mut |part, value| {
                    message.take(part, &value, *provider, &turn.frame)
                });
            }
        }
    }

    fn end_message(&mut self, direction: Direction, now: SystemTime) -> Vec<Event> {
        match direction {
            Direction::ToProvider => {
                let is_whole = self.asks.status() == Status::Complete;
                self.asks.reset();
                let request = std::mem::take(&mut self.request);
                is_whole.then(|| self.asked(request, now))
            }
            Direction::ToAgent => {
                let is_whole = self.answers.status() == Status::Complete;
                self.answers.reset();
                let message = std::mem::take(&mut self.message);
                is_whole.then(|| self.answered(message, now))
            }
        }
        .unwrap_or_default()
    }

    fn takes_turns(&self) -> bool {
        true
    }

    fn so_far(&self, _: Option<&Id>) -> Reply {
        Reply {
            said: self.turn.said(SystemTime::UNIX_EPOCH),
            is_over: self.turn.is_over,
        }
    }
}
