use std::io::Read;
use std::net::Ipv4Addr;

use flate2::read::GzDecoder;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::plan::{Plan, Refusal};
use super::stream::{Piece, Shape, refusal, sse, unary};
use super::*;
use crate::demo::pki::crypto;
use crate::demo::usage::UsageMetadata;
use crate::demo::websocket::{OFFER, Role, Socket, is_sealed, key};

const SHAPE: Shape<'_> = Shape {
    model: "m",
    wrapped: true,
    gzip: false,
};

fn plan(directive: &str) -> Plan {
    Plan::make(&ProviderOptions::default(), b"key", directive).unwrap()
}

fn documents(pieces: &[Piece]) -> Vec<Value> {
    let bytes: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| piece.bytes.to_vec())
        .collect();
    let text = String::from_utf8(bytes).unwrap();
    text.split("\r\n\r\n")
        .filter(|event| !event.is_empty())
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn usage(document: &Value) -> Option<UsageMetadata> {
    document
        .pointer("/response/usageMetadata")
        .map(|usage| serde_json::from_value(usage.clone()).unwrap())
}

#[test]
fn a_stream_thinks_first_grows_and_ends_with_the_plan() {
    let plan = plan("demo: prompt=16 cached=4 thoughts=42 output=3 events=6");
    let documents = documents(&sse(&plan, SHAPE));
    assert_eq!(documents.len(), 6);
    let thoughts: Vec<bool> = documents
        .iter()
        .map(|event| {
            event
                .pointer("/response/candidates/0/content/parts/0/thought")
                .is_some()
        })
        .collect();
    assert_eq!(thoughts, [true, true, false, false, false, false]);
    let totals: Vec<u64> = documents
        .iter()
        .map(|event| usage(event).unwrap().total_token_count)
        .collect();
    assert!(totals.is_sorted());
    assert_eq!(usage(&documents[5]), Some(plan.usage));
    assert_eq!(plan.usage.total_token_count, 61);
    let finished = |event: &Value| {
        event
            .pointer("/response/candidates/0/finishReason")
            .is_some()
    };
    assert_eq!(
        documents.iter().map(finished).collect::<Vec<_>>(),
        [false, false, false, false, false, true]
    );
    assert!(
        documents
            .iter()
            .all(|event| event["traceId"] == plan.trace_id.as_str())
    );
}

#[test]
fn zeros_come_first_and_late_usage_after_the_finish_reason() {
    let plan = plan("demo: output=5 events=2 zeros=2 late=1 sparse=1");
    let documents = documents(&sse(&plan, SHAPE));
    let usages: Vec<_> = documents.iter().map(usage).collect();
    assert_eq!(
        usages,
        [
            Some(UsageMetadata::default()),
            Some(UsageMetadata::default()),
            None,
            None,
            Some(plan.usage)
        ]
    );
    assert!(
        documents[3]
            .pointer("/response/candidates/0/finishReason")
            .is_some()
    );
    assert!(documents[4].pointer("/response/candidates").is_none());
}

#[test]
fn one_event_carries_thoughts_and_output_together() {
    let plan = plan("demo: thoughts=7 output=5 events=1");
    assert_eq!(usage(&documents(&sse(&plan, SHAPE))[0]), Some(plan.usage));
}

#[test]
fn a_held_stream_stops_where_it_is_told() {
    let pieces = sse(&plan("demo: prompt=10 output=8 events=4 hold=2"), SHAPE);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1].known.candidates_token_count, 4);
}

#[test]
fn gzip_decodes_to_the_plain_stream_and_event_by_event() {
    let plan = plan("demo: output=5 events=3");
    let (plain, coded) = (
        sse(&plan, SHAPE),
        sse(
            &plan,
            Shape {
                gzip: true,
                ..SHAPE
            },
        ),
    );
    let all: Vec<u8> = coded
        .iter()
        .flat_map(|piece| piece.bytes.to_vec())
        .collect();
    let mut decoded = Vec::new();
    GzDecoder::new(all.as_slice())
        .read_to_end(&mut decoded)
        .unwrap();
    let expected: Vec<u8> = plain
        .iter()
        .flat_map(|piece| piece.bytes.to_vec())
        .collect();
    assert_eq!(decoded, expected);

    let mut first = vec![0; plain[0].bytes.len()];
    GzDecoder::new(&coded[0].bytes[..])
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(first, plain[0].bytes);
}

#[test]
fn the_public_api_has_no_wrapper() {
    let answer = unary(
        &plan("demo: output=5"),
        Shape {
            wrapped: false,
            ..SHAPE
        },
    );
    let document: Value = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!(document["usageMetadata"]["candidatesTokenCount"], 5);
    assert!(document.get("traceId").is_none());
}

#[test]
fn refusals_have_details_or_none() {
    let reason = |kind| {
        let document: Value = serde_json::from_slice(&refusal(kind, "m")).unwrap();
        document
            .pointer("/error/details/0/reason")
            .map(|reason| reason.as_str().unwrap().to_owned())
    };
    assert_eq!(reason(Refusal::Quota).as_deref(), Some("QUOTA_EXHAUSTED"));
    assert_eq!(
        reason(Refusal::Rate).as_deref(),
        Some("RATE_LIMIT_EXCEEDED")
    );
    assert_eq!(reason(Refusal::Bare), None);
}

#[tokio::test]
async fn the_truth_can_be_read_from_outside() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let options = ProviderOptions {
        control: Some(any),
        ..ProviderOptions::default()
    };
    let provider = Provider::start(options, any, &tracker, &shutdown)
        .await
        .unwrap();
    provider
        .tally
        .update(|tally| tally.model("m").tokens.thinking = 42);

    let mut tcp = TcpStream::connect(provider.control.unwrap()).await.unwrap();
    tcp.write_all(b"GET /truth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let tally: Tally = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(tally, provider.truth());
    assert_eq!(tally.models["m"].tokens.thinking, 42);
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
}

/// A TLS connection to the provider, as Codex opens one.
async fn connect(provider: &Provider) -> TlsStream<TcpStream> {
    let root = CertificateDer::from_pem_slice(provider.root_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(provider.addr).await.unwrap();
    let host = CHATGPT_HOST.try_into().unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(host, tcp).await.unwrap()
}

#[tokio::test]
async fn a_socket_is_compressed_where_the_client_offers_it() {
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let provider = Provider::start(ProviderOptions::default(), any, &tracker, &shutdown)
        .await
        .unwrap();
    let path = responses::PATH;
    for is_offered in [true, false] {
        let offer = match is_offered {
            true => format!("Sec-WebSocket-Extensions: {OFFER}\r\n"),
            false => String::new(),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {CHATGPT_HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n{offer}\r\n",
            key(1)
        );
        let mut tls = connect(&provider).await;
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tls.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        let agreed = "\r\nsec-websocket-extensions: permessage-deflate\r\n";
        assert_eq!(head.contains(agreed), is_offered, "{head}");

        let mut socket = Socket::new(tls, Role::Client, is_offered);
        let opening = serde_json::json!({"model": "m", "generate": false});
        socket.send(opening.to_string()).await.unwrap();
        let created = socket.next().await.unwrap().unwrap();
        let completed = socket.next().await.unwrap().unwrap();
        let completed = serde_json::from_str(&completed).unwrap();
        assert!(is_sealed(&completed, &created), "{created} {completed}");
        socket.close().await;
    }
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let failed = Provider::start(
        ProviderOptions::default(),
        addr,
        &TaskTracker::new(),
        &CancellationToken::new(),
    )
    .await;
    assert!(failed.unwrap_err().to_string().contains(&addr.to_string()));
}
