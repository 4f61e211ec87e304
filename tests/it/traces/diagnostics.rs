//! The spans of what Gravimeter itself does with a connection: off unless asked for, and then a tree
//! for each connection, whole at whatever end. Exporting them makes none.

use std::collections::BTreeMap;
use std::time::Duration;

use gravimeter::export::diagnostics::Diagnostics;
use gravimeter::export::otlp::{Config, Protocol};
use gravimeter::record::Sampling;
use gravimeter::relay::Shutdown;
use gravimeter::relay::pass::Terms;
use gravimeter::relay::tunnel::tunnel;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags};
use prost::Message as _;
use tokio::io::{AsyncWriteExt as _, duplex};
use tracing_subscriber::layer::SubscriberExt as _;

use super::{Way, config, fate};
use crate::kit::agent::{Agent, knock};
use crate::kit::binary::{Binary, resolve};
use crate::kit::collector::{Collector, Reply, number};
use crate::kit::pki::Pki;
use crate::kit::provider::Provider;
use crate::kit::views::Facts;
use crate::kit::{Gravimeter, HOST, read_all, read_some, write_pieces};

const INTERCEPTED: &str = "generativelanguage.googleapis.com";
const TUNNELLED: &str = "telemetry.example.com";
const DISTRUSTED: &str = "cloudcode-pa.googleapis.com";

/// No call, so that nothing but diagnostics has a span.
const REQUEST: &[u8] = b"GET /nothing HTTP/1.1\r\nHost: example.com\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// What the steps of an intercepted connection are called, in their order.
const STEPS: [&str; 7] = [
    "connect request",
    "client hello",
    "dial",
    "tls handshake upstream",
    "leaf certificate",
    "tls handshake agent",
    "relay",
];

/// A connection: its own span, and those of its steps in the order of their beginning.
struct Tree {
    whole: Span,
    steps: Vec<Span>,
}

impl Tree {
    fn names(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.name.as_str()).collect()
    }

    fn step(&self, name: &str) -> &Span {
        self.steps
            .iter()
            .find(|step| step.name == name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.names()))
    }
}

/// The trees of all connections, by their disposition and host; each of them checked.
fn trees(spans: &[Span]) -> BTreeMap<String, Tree> {
    let wholes = spans.iter().filter(|span| span.parent_span_id.is_empty());
    let mut trees = BTreeMap::new();
    let mut counted = 0;
    for whole in wholes {
        assert_eq!(whole.name, "accept");
        let mut steps: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_span_id == whole.span_id)
            .cloned()
            .collect();
        steps.sort_by_key(|step| step.start_time_unix_nano);
        for step in &steps {
            assert_eq!(step.trace_id, whole.trace_id, "{}", step.name);
            assert!(
                whole.start_time_unix_nano <= step.start_time_unix_nano,
                "{}",
                step.name
            );
            assert!(
                step.start_time_unix_nano <= step.end_time_unix_nano,
                "{}",
                step.name
            );
            assert!(
                step.end_time_unix_nano <= whole.end_time_unix_nano,
                "{}",
                step.name
            );
            assert_eq!(
                step.flags,
                1 | SpanFlags::ContextHasIsRemoteMask as u32,
                "{}",
                step.name
            );
        }
        counted += 1 + steps.len();
        let key = ["gravimeter.disposition", "server.address", "error.type"]
            .map(|name| text(whole, name));
        let key = key
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let twice = trees.insert(
            key.clone(),
            Tree {
                whole: whole.clone(),
                steps,
            },
        );
        assert!(twice.is_none(), "two trees of {key}");
    }
    assert_eq!(
        counted,
        spans.len(),
        "every span is one of a connection or of its steps"
    );
    trees
}

/// The value of an attribute that is a text; empty where there is none.
fn text<'a>(span: &'a Span, name: &str) -> &'a str {
    let value = span
        .attributes
        .iter()
        .find(|it| it.key == name)
        .and_then(|it| it.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text,
        Some(other) => panic!("{name} is {other:?}"),
        None => "",
    }
}

fn error(span: &Span) -> &str {
    let status = span
        .status
        .as_ref()
        .map_or((0, ""), |status| (status.code, status.message.as_str()));
    let error = text(span, "error.type");
    let expected = if error.is_empty() {
        (0, "")
    } else {
        (2, error)
    };
    assert_eq!(status, expected, "{}", span.name);
    error
}

/// Names of scopes with the number of their spans.
fn scopes(collector: &Collector) -> BTreeMap<String, usize> {
    let mut scopes = BTreeMap::new();
    for message in collector.messages() {
        let request = ExportTraceServiceRequest::decode(&*message).expect("a request");
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.expect("a resource");
            assert!(
                resource
                    .attributes
                    .iter()
                    .any(|it| it.key == "service.instance.id"),
                "{resource:?}"
            );
            for of_scope in of_resource.scope_spans {
                *scopes
                    .entry(of_scope.scope.expect("a scope").name)
                    .or_default() += of_scope.spans.len();
            }
        }
    }
    scopes
}

/// One connection of each sort through the program, which then ends in peace while a last one has
/// not said anything yet.
async fn play(collector: &Collector, flags: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (pki, distrusted) = (Pki::new(), Pki::new());
    let root = pki.write_root(folder.path());
    let intercepted = Provider::start(pki.server(INTERCEPTED, &["http/1.1"])).await;
    let tunnelled = Provider::start(pki.server(TUNNELLED, &["http/1.1"])).await;
    let distrusted = Provider::start(distrusted.server(DISTRUSTED, &["http/1.1"])).await;
    let mut all = ["--log.level", "trace", "--upstream.extra_roots"]
        .map(str::to_owned)
        .to_vec();
    all.push(root.to_str().expect("UTF-8").to_owned());
    // A request for each span, on a connection that libraries would have a lot to say about.
    all.extend(
        [
            "--otlp.protocol",
            "grpc",
            "--otlp.batch",
            "1",
            "--otlp.flush_interval",
            "10ms",
        ]
        .map(str::to_owned),
    );
    all.extend([
        "--otlp.endpoint".to_owned(),
        format!("http://{}", collector.addr),
    ]);
    all.extend(flags.iter().map(|flag| (*flag).to_owned()));
    all.extend(resolve(INTERCEPTED, intercepted.address()));
    all.extend(resolve(TUNNELLED, tunnelled.address()));
    all.extend(resolve(DISTRUSTED, distrusted.address()));
    let mut binary = Binary::start(&all).await;
    let agent = Agent::new(&binary.root_pem(), &["http/1.1"]);
    let knock = async |host: &str| knock(binary.connect, &format!("{host}:443")).await;

    let tcp = knock(INTERCEPTED).await.expect("an open door");
    let (near, far) = tokio::join!(agent.handshake(tcp, INTERCEPTED), intercepted.accept());
    let (mut near, mut far) = (near.expect("trust"), far.expect("trust"));
    write_pieces(&mut near, REQUEST, &[usize::MAX], true).await;
    assert_eq!(read_all(&mut far).await.0, REQUEST);
    write_pieces(&mut far, ANSWER, &[usize::MAX], true).await;
    assert_eq!(read_all(&mut near).await.0, ANSWER);

    let itself = Agent::new(
        &std::fs::read_to_string(&root).expect("a root"),
        &["http/1.1"],
    );
    let tcp = knock(TUNNELLED).await.expect("an open door");
    let (near, far) = tokio::join!(itself.handshake(tcp, TUNNELLED), tunnelled.accept());
    let (near, mut far) = (near.expect("trust"), far.expect("trust"));
    drop(near);
    read_all(&mut far).await;
    drop(far);

    let tcp = knock(DISTRUSTED).await.expect("an open door");
    let (near, _) = tokio::join!(agent.handshake(tcp, DISTRUSTED), distrusted.accept());
    assert!(near.is_err(), "the provider is not trusted");
    binary
        .wait_for(
            "gravimeter_connections_refused_total",
            &["upstream_handshake"],
            1,
        )
        .await;
    assert!(
        knock("127.0.0.1").await.is_err(),
        "the inside is not served"
    );
    binary
        .wait_for(
            "gravimeter_connections_refused_total",
            &["forbidden_destination"],
            1,
        )
        .await;
    for disposition in ["intercepted", "tunnelled"] {
        binary
            .wait_for("gravimeter_connections_total", &[disposition], 1)
            .await;
    }

    let mut silent = knock("silent.example.com").await.expect("an open door");
    binary.signal(rustix::process::Signal::TERM);
    assert!(binary.exit().await.success(), "{}", binary.log());
    read_all(&mut silent).await;
    binary.log()
}

#[tokio::test]
async fn a_connection_has_a_tree_of_its_steps() {
    let collector = Collector::start(&[Reply::Take]).await;
    let log = play(&collector, &["--otlp.diagnostics"]).await;
    let spans = collector.all();
    let trees = trees(&spans);
    assert_eq!(trees.len(), 5, "{:?}", trees.keys());
    assert_eq!(trees["refused forbidden_destination"].names(), STEPS[..1]);
    assert_eq!(trees["refused shutdown"].names(), STEPS[..2]);

    let tree = &trees[&format!("intercepted {INTERCEPTED}")];
    assert_eq!(tree.names(), STEPS);
    assert_eq!(
        (text(&tree.whole, "gravimeter.door"), error(&tree.whole)),
        ("connect", "")
    );
    let relay = tree.step("relay");
    let bytes =
        ["gravimeter.bytes.sent", "gravimeter.bytes.received"].map(|name| number(relay, name));
    assert_eq!(
        bytes,
        [REQUEST, ANSWER].map(|bytes| Some(bytes.len() as u64))
    );
    assert_eq!(text(relay, "gravimeter.end"), "closed");
    assert_eq!(
        text(tree.step("leaf certificate"), "gravimeter.leaf"),
        "minted"
    );
    for side in ["tls handshake upstream", "tls handshake agent"] {
        assert_eq!(text(tree.step(side), "tls.protocol.version"), "1.3");
    }
    for name in ["dial", "tls handshake upstream"] {
        assert_eq!(text(tree.step(name), "server.address"), INTERCEPTED);
    }
    for step in &tree.steps {
        let took = step.end_time_unix_nano - step.start_time_unix_nano;
        let (busy, idle) = (
            number(step, "busy_ns").expect("a time"),
            number(step, "idle_ns").expect("a time"),
        );
        assert!(
            busy > 0 && busy + idle <= took.max(1) + SLACK,
            "{busy} + {idle} of {took}: {}",
            step.name
        );
    }

    let tree = &trees[&format!("tunnelled {TUNNELLED}")];
    let (named, hung_up) = (&tree.names()[..4], &tree.names()[4..]);
    assert_eq!(named, ["connect request", "client hello", "dial", "relay"]);
    assert!(hung_up.is_empty() || hung_up == ["hang up"], "{hung_up:?}");
    assert_eq!(text(&tree.whole, "gravimeter.tunnel.why"), "not_selected");

    let tree = &trees[&format!("refused {DISTRUSTED} upstream_handshake")];
    assert_eq!(tree.names(), [&STEPS[..4], &["hang up"]].concat());
    // The name of a CA that is trusted, and another key.
    assert_eq!(error(tree.step("tls handshake upstream")), "weak_signature");
    assert_eq!(error(&tree.whole), "upstream_handshake");

    assert_eq!(
        scopes(&collector),
        [("gravimeter.diagnostics".to_owned(), spans.len())].into()
    );
    assert!(
        collector.requests().len() >= spans.len(),
        "a request for each span, and none of them has made one"
    );
    assert!(
        !log.contains("client hello"),
        "the log does not tell of them"
    );
}

/// The two clocks are read one after the other.
const SLACK: u64 = 50_000_000;

#[tokio::test]
async fn without_being_asked_for_there_are_none() {
    let collector = Collector::start(&[Reply::Take]).await;
    play(&collector, &[]).await;
    assert_eq!(collector.connections(), 0);
}

/// A Gravimeter in this process whose diagnostics go to the collector.
fn diagnosed(config: &Config) -> (Way, impl Sized) {
    let diagnostics = Diagnostics::new(config).expect("diagnostics");
    let subscriber = tracing_subscriber::registry().with(diagnostics.layer());
    let way = Way::started(config);
    diagnostics.connect(&way.traces);
    (way, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn what_is_cut_off_has_an_end_too() {
    let collector = Collector::start(&[Reply::Take]).await;
    let config = Config {
        diagnostics: true,
        ..config(collector.addr, Protocol::HttpProtobuf)
    };
    let (way, _guard) = diagnosed(&config);
    let gravimeter = Gravimeter::start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    write_pieces(&mut agent, REQUEST, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut provider, REQUEST.len()).await, REQUEST);
    // No ClientHello comes on this one.
    let mut silent = gravimeter.knock(HOST).await;
    silent.flush().await.expect("a connection");
    gravimeter.close().await;
    let collected = way.end().await;
    assert_eq!(collected, fate(collector.all().len() as u64, &[]));
    let trees = trees(&collector.all());
    let cut = &trees[&format!("intercepted {HOST}")];
    assert_eq!(cut.names()[..7], STEPS);
    assert_eq!(text(cut.step("relay"), "gravimeter.end"), "shutdown");
    assert_eq!(
        number(cut.step("relay"), "gravimeter.bytes.sent"),
        Some(REQUEST.len() as u64)
    );
    let silent = &trees["refused shutdown"];
    assert_eq!(
        (silent.names(), error(&silent.whole)),
        (vec!["connect request", "client hello"], "shutdown")
    );
}

#[tokio::test]
async fn the_share_of_the_sampler_holds_for_them() {
    let collector = Collector::start(&[Reply::Take]).await;
    let sampling = Sampling {
        ratio: 0.0,
        follows_parent: true,
    };
    let config = Config {
        diagnostics: true,
        sampling,
        ..config(collector.addr, Protocol::HttpProtobuf)
    };
    let (way, _guard) = diagnosed(&config);
    let gravimeter = Gravimeter::start().await;
    drop(gravimeter.pair().await);
    gravimeter.seen().await;
    gravimeter.close().await;
    assert_eq!(way.end().await, fate(0, &[]));
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_not_waited_for() {
    let config = Config {
        diagnostics: true,
        queue: 2,
        ..config(([127, 0, 0, 1], 1).into(), Protocol::HttpProtobuf)
    };
    let diagnostics = Diagnostics::new(&config).expect("diagnostics");
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(diagnostics.layer()));
    // Nobody empties the queue.
    let way = Way::new(&config);
    diagnostics.connect(&way.traces);
    let gravimeter = Gravimeter::start().await;
    drop(gravimeter.pair().await);
    gravimeter.seen().await;
    gravimeter.close().await;
    // Some of the eight, and perhaps a ninth for the hanging up, are in the queue.
    let lost = way.fate().lost["queue_full"];
    assert!((6..=7).contains(&lost), "{lost}");
}

#[test]
fn nothing_is_prepared_where_nothing_is_exported() {
    let wanted = Config {
        diagnostics: true,
        ..config(([127, 0, 0, 1], 1).into(), Protocol::Grpc)
    };
    assert!(Diagnostics::new(&wanted).is_some());
    assert!(
        Diagnostics::new(&Config {
            endpoint: None,
            ..wanted.clone()
        })
        .is_none()
    );
    assert!(
        Diagnostics::new(&Config {
            enabled: false,
            ..wanted.clone()
        })
        .is_none()
    );
    assert!(
        Diagnostics::new(&Config {
            diagnostics: false,
            ..wanted
        })
        .is_none()
    );
}

#[tokio::test]
async fn what_is_aborted_says_so() {
    let collector = Collector::start(&[Reply::Take]).await;
    let config = Config {
        diagnostics: true,
        ..config(collector.addr, Protocol::HttpProtobuf)
    };
    let (way, _guard) = diagnosed(&config);
    let ((mut agent, mut near), (mut far, mut provider)) = (duplex(64), duplex(64));
    let (shutdown, facts) = (Shutdown::default(), Facts::default());
    let terms = Terms {
        idle: Duration::from_secs(60),
        shutdown: &shutdown,
        record: &facts,
    };
    tokio::select! {
        end = tunnel(&mut near, &mut far, &terms) => panic!("{end:?}"),
        () = async {
            agent.write_all(b"abc").await.expect("a pipe");
            assert_eq!(read_some(&mut provider, 3).await, b"abc");
        } => {}
    }
    assert_eq!(way.end().await, fate(1, &[]));
    let relay = &collector.all()[0];
    assert_eq!(
        (relay.name.as_str(), text(relay, "gravimeter.end")),
        ("relay", "aborted")
    );
    let bytes =
        ["gravimeter.bytes.sent", "gravimeter.bytes.received"].map(|name| number(relay, name));
    assert_eq!(bytes, [Some(3), Some(0)]);
}
