//! Maps calls and runs to OpenTelemetry spans: a pure mapping, free of any SDK.
//!
//! A finished [`crate::record::Call`] or [`crate::record::CascadeRun`] enters, with its place in a
//! trace; [`Span`]s leave. Their names stand in [`super::genai::attribute`]. No span holds a
//! prompt, a completion, a header or a query.

mod call;
mod run;

use std::time::{Duration, SystemTime};

use crate::record::{Cost, FiniteNumber, SpanId, TraceId};

pub use call::{handshakes, of_call};
pub use run::{of_run, of_subagent};

/// One span, finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its instrumentation scope.
    pub scope: Scope,
    /// Its trace.
    pub trace: TraceId,
    /// Itself.
    pub id: SpanId,
    /// What it is part of.
    pub parent: Option<Parent>,
    /// What is done, and to what.
    pub name: String,
    /// Which side of a conversation it is.
    pub kind: Kind,
    /// Wall clock at its beginning.
    pub start: SystemTime,
    /// Wall clock at its end.
    pub end: SystemTime,
    /// Its attributes, each name once.
    pub attributes: Vec<Attribute>,
    /// What happened in it, in the order of time.
    pub events: Vec<Event>,
    /// The failure it ended in, as `error.type` has it.
    pub error: Option<&'static str>,
}

/// The instrumentation scope of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Gravimeter's own work, and how long it takes.
    Diagnostics,
    /// What the agent does.
    Record,
}

/// The span that another one is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Which one.
    pub id: SpanId,
    /// Whether another process has made it.
    pub is_remote: bool,
}

/// Which side of a conversation a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The side that asks.
    Client,
    /// Neither: what happens within.
    Internal,
}

/// Something that happened in a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// When.
    pub at: SystemTime,
    /// What is known of it.
    pub attributes: Vec<Attribute>,
}

/// A name of [`super::genai::attribute`] and its value.
pub type Attribute = (&'static str, Value);

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A number that is not whole, such as seconds.
    Double(f64),
    /// A count.
    Int(i64),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl From<FiniteNumber> for Value {
    fn from(number: FiniteNumber) -> Self {
        Self::Double(number.get())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

impl From<u64> for Value {
    /// Saturates: OTLP has no larger numbers.
    fn from(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<Duration> for Value {
    /// In seconds.
    fn from(duration: Duration) -> Self {
        Self::Double(duration.as_secs_f64())
    }
}

impl From<Cost> for Value {
    /// In US dollars.
    fn from(cost: Cost) -> Self {
        Self::Double(cost.usd())
    }
}

/// A builder of attributes: unknown values are left out.
#[derive(Debug, Default)]
struct Attributes(Vec<Attribute>);

impl Attributes {
    fn put(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0.push((name, value.into()));
        self
    }

    fn put_known(&mut self, name: &'static str, value: Option<impl Into<Value>>) -> &mut Self {
        self.0.extend(value.map(|value| (name, value.into())));
        self
    }
}

/// The first content-bearing event of an answer. The GenAI convention has no name for it.
pub const FIRST_CHUNK: &str = "gravimeter.first_chunk";

/// The provider's refusal for quota, rate or capacity.
pub const RATE_LIMIT: &str = "gravimeter.rate_limit";

/// `start` plus a duration; saturates.
fn after(start: SystemTime, duration: Duration) -> SystemTime {
    start.checked_add(duration).unwrap_or(start)
}

#[cfg(test)]
mod tests;
