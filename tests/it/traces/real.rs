//! A collector of other people's making, Rotel, says what it has got.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use gravimeter::export::otlp::{Compression, Config, Protocol};
use gravimeter::record::{Fact, Outcome};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::facts::{TRACE, call, first_call, place, run};
use super::{Way, config, fate};
use crate::kit::binary::until;
use crate::skip;

/// A running Rotel. It ends when it is dropped.
pub struct Rotel {
    _child: Child,
    folder: TempDir,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

impl Rotel {
    /// One that prints every span. `None`, aloud, where it is not installed; never so in CI.
    pub async fn start() -> Option<Self> {
        Self::printing("traces").await
    }

    /// One that prints everything of a signal. The same.
    pub async fn printing(signal: &str) -> Option<Self> {
        Self::with(&[
            "--exporter",
            "blackhole",
            "--debug-log",
            signal,
            "--debug-log-verbosity",
            "detailed",
        ])
        .await
    }

    /// One that sends every span on. The same.
    pub async fn forwarding(to: SocketAddr, protocol: Protocol) -> Option<Self> {
        let (endpoint, protocol) = (
            format!("http://{to}"),
            if protocol == Protocol::Grpc {
                "grpc"
            } else {
                "http"
            },
        );
        let exporter = [
            "--otlp-exporter-endpoint",
            &endpoint,
            "--otlp-exporter-protocol",
            protocol,
        ];
        Self::with(&[&["--exporter", "otlp"], &exporter[..]].concat()).await
    }

    async fn with(exporter: &[&str]) -> Option<Self> {
        let program = skip::tool("Rotel", "rotel/rotel/rotel-agent", Some("ROTEL"))?;
        let folder = tempfile::tempdir().expect("a folder");
        let (grpc, http) = (free_port(), free_port());
        let out = std::fs::File::create(folder.path().join("out")).expect("a file");
        let child = Command::new(program)
            .arg("start")
            .args([
                "--otlp-grpc-endpoint",
                &grpc.to_string(),
                "--otlp-http-endpoint",
                &http.to_string(),
            ])
            .args(exporter)
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file"))
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .expect("Rotel");
        for addr in [grpc, http] {
            until(async || TcpStream::connect(addr).await.ok()).await;
        }
        Some(Self {
            _child: child,
            folder,
            grpc,
            http,
        })
    }

    /// All that it has printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).expect("its output")
    }

    /// The spans that it has printed, once there are so many.
    pub async fn spans(&self, count: usize) -> (String, Vec<Received>) {
        let mut before = String::new();
        until(async || {
            let out = self.said();
            // A span that is being printed is not taken for a whole one.
            let is_done = out == before;
            let (head, spans) = parse(&out);
            before = out;
            (is_done && spans.len() >= count).then_some((head, spans))
        })
        .await
    }
}

pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address")
}

/// A span as Rotel prints it: its fields, its attributes behind `@`, its events in the order of
/// time.
#[derive(Debug, Default)]
pub struct Received {
    fields: BTreeMap<String, String>,
    events: Vec<String>,
}

impl Received {
    pub fn is(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// What stands before the spans, and the spans.
fn parse(out: &str) -> (String, Vec<Received>) {
    let mut parts = out.split("\nSpan #");
    let head = parts.next().unwrap_or_default().to_owned();
    let spans = parts.map(|part| {
        let mut span = Received::default();
        let mut in_event = false;
        for line in part.lines().skip(1) {
            in_event |= line.starts_with("SpanEvent #");
            let (name, value) = line.trim().split_once(": ").unwrap_or((line.trim(), ""));
            match name.trim().strip_prefix("-> ") {
                Some("Name") if in_event => span.events.push(value.to_owned()),
                Some(attribute) if !in_event => {
                    span.fields
                        .insert(format!("@{attribute}"), value.to_owned());
                }
                None if !in_event => {
                    span.fields.insert(name.trim().to_owned(), value.to_owned());
                }
                _ => {}
            }
        }
        span
    });
    (head, spans.collect())
}

/// A conversation of one run: a call that opens a connection, one that fails.
fn conversation() -> Vec<Fact> {
    let failed = gravimeter::record::Call {
        outcome: Outcome::Truncated,
        ..call(2, Some(place(0x22, Some(0x99))))
    };
    vec![
        Fact::Call(Box::new(first_call(1, Some(place(0x11, Some(0x99)))))),
        Fact::Call(Box::new(failed)),
        Fact::RunEnded(Box::new(run(place(0x99, None)))),
    ]
}

async fn arrives(protocol: Protocol, compression: Compression) {
    let Some(rotel) = Rotel::start().await else {
        return;
    };
    let addr = if protocol == Protocol::Grpc {
        rotel.grpc
    } else {
        rotel.http
    };
    let service_name = Some("agent-host".to_owned());
    let way = Way::started(&Config {
        compression,
        service_name,
        ..config(addr, protocol)
    });
    way.state(conversation());
    assert_eq!(way.end().await, fate(6, &[]));

    let (head, spans) = rotel.spans(6).await;
    for part in [
        "service.name: Str(agent-host)",
        "service.instance.id: Str(",
        "host.name: Str(",
        "InstrumentationScope gravimeter ",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    let by_name: BTreeMap<_, _> = spans
        .iter()
        .map(|span| (format!("{} {}", span.is("Name"), span.is("ID")), span))
        .collect();
    let one = |name: &str| {
        by_name
            .iter()
            .find(|(known, _)| known.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {by_name:#?}"))
            .1
    };
    assert!(
        spans
            .iter()
            .all(|span| span.is("Trace ID") == format!("{TRACE:032x}")),
        "{spans:#?}"
    );

    let run = one("invoke_agent antigravity");
    assert_eq!(
        (run.is("ID"), run.is("Parent ID")),
        ("0000000000000099", "")
    );
    assert_eq!(
        (run.is("Kind"), run.is("@gravimeter.run.calls")),
        ("SPAN_KIND_INTERNAL", "Int(2)")
    );

    let chat = one("generate_content gemini-3-pro 0000000000000011");
    assert_eq!(
        (chat.is("Parent ID"), chat.is("Kind")),
        ("0000000000000099", "SPAN_KIND_CLIENT")
    );
    assert_eq!(
        (chat.is("Start time"), chat.is("End time")),
        ("1790000000000000000", "1790000001500000000")
    );
    assert_eq!(
        (
            chat.is("@gen_ai.usage.input_tokens"),
            chat.is("@gen_ai.request.stream")
        ),
        ("Int(100)", "Bool(true)")
    );
    assert_eq!(
        chat.is("@gen_ai.response.time_to_first_chunk"),
        "Double(0.25)"
    );
    assert_eq!(
        chat.is("@gen_ai.response.finish_reasons"),
        "Slice(Str(STOP))"
    );
    assert_eq!(chat.is("@gen_ai.conversation.id"), "Str(c-1)");
    assert_eq!(chat.events, ["gravimeter.first_chunk"]);

    let failed = one("generate_content gemini-3-pro 0000000000000022");
    assert_eq!(
        (failed.is("@error.type"), failed.is("Status message")),
        ("Str(truncated)", "truncated")
    );
    assert!(failed.is("Status code").contains("ERROR"), "{failed:?}");

    for name in [
        "tcp connect",
        "tls handshake upstream",
        "tls handshake agent",
    ] {
        assert_eq!(one(name).is("Parent ID"), "0000000000000011", "{name}");
    }
    assert_eq!(
        one("tls handshake agent").is("@tls.protocol.version"),
        "Str(1.3)"
    );
}

#[tokio::test]
async fn a_real_collector_takes_spans_over_grpc() {
    arrives(Protocol::Grpc, Compression::None).await;
}

#[tokio::test]
async fn a_real_collector_takes_packed_spans_over_grpc() {
    arrives(Protocol::Grpc, Compression::Gzip).await;
}

#[tokio::test]
async fn a_real_collector_takes_spans_over_http() {
    arrives(Protocol::HttpProtobuf, Compression::None).await;
}

#[tokio::test]
async fn a_real_collector_takes_packed_spans_over_http() {
    arrives(Protocol::HttpProtobuf, Compression::Gzip).await;
}
