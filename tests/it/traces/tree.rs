//! The spans of a few conversations, all that is in them: held against a page that was read and
//! approved.
//!
//! After a wanted change write the page anew and read the difference: `APPROVE=1 cargo test --test
//! it traces::tree`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use gravimeter::demo::agent::{AgentOptions, Protocol as Http};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::Endpoint;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::conversation::{ALL, Conversation};
use crate::kit::collector::{Collector, Reply};

/// Ids and times, by what they are called in the page instead.
#[derive(Default)]
struct StandIns(BTreeMap<(&'static str, String), usize>);

/// Attributes whose values are ids.
const IDS: [(&str, &str); 2] = [
    ("gen_ai.conversation.id", "conversation"),
    ("gen_ai.response.id", "response"),
];

impl StandIns {
    /// The same for the same id, numbered as they come.
    fn of(&mut self, kind: &'static str, id: &str) -> String {
        let next = 1 + self.0.keys().filter(|(known, _)| *known == kind).count();
        let number = *self.0.entry((kind, id.to_owned())).or_insert(next);
        format!("<{kind} {number}>")
    }

    fn value(&mut self, key: &str, value: Option<&AnyValue>) -> String {
        let Some(value) = value.and_then(|value| value.value.as_ref()) else {
            return "nothing".to_owned();
        };
        match value {
            Value::StringValue(text) => match IDS.iter().find(|(name, _)| *name == key) {
                Some((_, kind)) => self.of(kind, text),
                None if text.parse::<jiff::Timestamp>().is_ok() => "<time>".to_owned(),
                None => format!("{text:?}"),
            },
            Value::DoubleValue(number)
                if key.ends_with("_usd") || key.starts_with("gen_ai.request.") =>
            {
                number.to_string()
            }
            Value::DoubleValue(_) => "<seconds>".to_owned(),
            Value::IntValue(number) => number.to_string(),
            Value::BoolValue(is) => is.to_string(),
            Value::ArrayValue(array) => {
                let values: Vec<_> = array
                    .values
                    .iter()
                    .map(|it| self.value(key, Some(it)))
                    .collect();
                format!("[{}]", values.join(", "))
            }
            other => panic!("{other:?} is nothing that is sent"),
        }
    }
}

struct Page<'a> {
    spans: &'a [Span],
    stand_ins: StandIns,
    written: usize,
    text: String,
}

impl Page<'_> {
    fn write(spans: &[Span]) -> String {
        let mut page = Page {
            spans,
            stand_ins: StandIns::default(),
            written: 0,
            text: String::new(),
        };
        page.children(&[], 0);
        assert_eq!(
            page.written,
            spans.len(),
            "every span has a parent that has come, or none"
        );
        page.text
    }

    /// Those of one parent, in the order of their beginnings.
    fn children(&mut self, parent: &[u8], depth: usize) {
        let mut children: Vec<_> = self
            .spans
            .iter()
            .filter(|span| span.parent_span_id == parent)
            .collect();
        children.sort_by_key(|span| span.start_time_unix_nano);
        for span in children {
            self.span(span, depth);
            self.children(&span.span_id, depth + 1);
        }
    }

    fn span(&mut self, span: &Span, depth: usize) {
        self.written += 1;
        let trace = self.stand_ins.of("trace", &format!("{:?}", span.trace_id));
        let kind = span
            .kind()
            .as_str_name()
            .trim_start_matches("SPAN_KIND_")
            .to_lowercase();
        let flags = span.flags;
        self.line(
            depth,
            &format!("{} ({kind}, flags {flags:#x}, {trace})", span.name),
        );
        self.attributes(depth + 1, &span.attributes);
        for event in &span.events {
            assert!(
                (span.start_time_unix_nano..=span.end_time_unix_nano)
                    .contains(&event.time_unix_nano),
                "{span:?}"
            );
            self.line(depth + 1, &format!("* {}", event.name));
            self.attributes(depth + 2, &event.attributes);
        }
        // One that is not set says what none says.
        if let Some(status) = span
            .status
            .as_ref()
            .filter(|status| **status != Status::default())
        {
            self.line(
                depth + 1,
                &format!("= {} {:?}", status.code().as_str_name(), status.message),
            );
        }
    }

    fn attributes(&mut self, depth: usize, attributes: &[KeyValue]) {
        for attribute in attributes {
            let value = self
                .stand_ins
                .value(&attribute.key, attribute.value.as_ref());
            self.line(depth, &format!("- {} {value}", attribute.key));
        }
    }

    fn line(&mut self, depth: usize, words: &str) {
        writeln!(self.text, "{:1$}{words}", "", 2 * depth).expect("memory");
    }
}

/// One user whose calls need tools and subagents, are refused, retried and stopped: all of it
/// follows from the seeds. Each message begins a conversation of its own: here the next one comes
/// at once and ends the run before, which may be a moment before the last call of that run is
/// stated.
async fn spans() -> Vec<Span> {
    let collector = Collector::start(&[Reply::Take]).await;
    let script = ProviderOptions {
        seed: 9,
        max_events: 4,
        pause_ms: 5,
        refused_percent: 20,
        ..ProviderOptions::default()
    };
    let user = AgentOptions {
        protocol: Http::Http1,
        conversations: 1,
        rounds: Some(3),
        cascade_rounds: 1,
        abort_percent: 15,
        swallow_percent: 0,
        tool_percent: 50,
        subagent_percent: 50,
        seed: 9,
        ..AgentOptions::default()
    };
    let conversation = Conversation::hold(script, user, |config| {
        config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
        config.otlp.sampling = ALL;
        config.cascade.follow.idle_interval = Duration::from_millis(500);
        config.otlp.flush_interval = Duration::from_millis(20);
    })
    .await;
    conversation.end().await;
    collector.all()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_as_approved() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/traces/tree.txt");
    let seen = Page::write(&spans().await);
    if std::env::var_os("APPROVE").is_some() {
        std::fs::write(&page, &seen).expect("a writable page");
    }
    let approved = std::fs::read_to_string(&page).expect("an approved page");
    assert!(
        seen == approved,
        "the spans are others than {} has; they are:\n{seen}",
        page.display()
    );
}
