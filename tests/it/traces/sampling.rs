//! An agent that traces itself decides for its own traces, over HTTP/1.1 and HTTP/2, and its
//! traffic stays as it is.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use gravimeter::demo::CLOUD_CODE_HOST;
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::{Endpoint, Protocol, Sampler};
use gravimeter::record::Host;
use http::{HeaderMap, Request, Response};
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::{client, server};
use tokio_util::task::TaskTracker;

use super::conversation::{Seen, is_setup};
use crate::kit::agent::{Agent, knock};
use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply};
use crate::kit::pki::Pki;
use crate::kit::provider::Provider;
use crate::kit::{read_all, read_some, soon, write_pieces};
use crate::whole::{Whole, sum};

const PATH: &str = "/v1internal:streamGenerateContent?alt=sse";

const ANSWER: &str = concat!(
    r#"data: {"response":{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"#,
    r#""usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"totalTokenCount":10}}}"#,
    "\r\n\r\n"
);

/// What the agent says of its own trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    NotRecorded,
    Recorded,
}

const ALPN: [&str; 2] = ["http/1.1", "h2"];

/// One call: what is said of it, over what, and its number, which its model and its trace bear.
#[derive(Debug, Clone, Copy)]
struct Asked {
    says: Says,
    alpn: &'static str,
    number: usize,
}

impl Asked {
    fn all() -> Vec<Self> {
        let says = [Says::Nothing, Says::NotRecorded, Says::Recorded];
        let ways = says
            .into_iter()
            .flat_map(|says| ALPN.map(|alpn| (says, alpn)));
        ways.enumerate()
            .map(|(number, (says, alpn))| Self { says, alpn, number })
            .collect()
    }

    fn trace(self) -> String {
        format!("4bf92f3577b34da6a3ce929d0e0e47{:02x}", self.number)
    }

    fn parent(self) -> Option<String> {
        let flags = match self.says {
            Says::Nothing => return None,
            Says::NotRecorded => "00",
            Says::Recorded => "01",
        };
        Some(format!("00-{}-00f067aa0ba902b7-{flags}", self.trace()))
    }

    fn name(self) -> String {
        format!("generate_content {}", self.model())
    }

    fn model(self) -> String {
        format!("gemini-{}", self.number)
    }

    fn body(self) -> String {
        format!(
            r#"{{"model":"{}","request":{{"contents":[]}}}}"#,
            self.model()
        )
    }
}

/// A Gravimeter between an agent and a provider whose every byte is the test's own.
struct Stage {
    whole: Whole,
    provider: Provider,
    agent: String,
    collector: Collector,
}

impl Stage {
    async fn set(sampler: Sampler, ratio: f64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        let provider = Provider::start(pki.server(CLOUD_CODE_HOST, &["h2", "http/1.1"])).await;
        let collector = Collector::start(&[Reply::Take]).await;
        let root = pki.write_root(folder.path());
        let whole = Whole::with(ProviderOptions::default(), |config| {
            config.upstream.extra_roots = vec![root];
            let host = Host::parse(CLOUD_CODE_HOST).expect("a host");
            config.relay.resolve.insert((host, 443), provider.address());
            config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
            config.otlp.protocol = Protocol::Grpc;
            config.otlp.sampling = sampler.sampling(ratio);
            config.otlp.flush_interval = Duration::from_millis(20);
        })
        .await;
        let agent = std::fs::read_to_string(whole.state.path().join("ca/ca.pem")).expect("a CA");
        Self {
            whole,
            provider,
            agent,
            collector,
        }
    }

    async fn ask(&self, asked: Asked) {
        let agent = Agent::new(&self.agent, &[asked.alpn]);
        let tcp = knock(self.whole.connect(), &format!("{CLOUD_CODE_HOST}:443"))
            .await
            .expect("an open door");
        let (agent, provider) = tokio::join!(
            agent.handshake(tcp, CLOUD_CODE_HOST),
            self.provider.accept()
        );
        let (agent, provider) = (agent.expect("trust"), provider.expect("trust"));
        if asked.alpn == "h2" {
            http2(asked, agent, provider).await
        } else {
            http1(asked, agent, provider).await
        }
    }

    /// Every span of a call, and every trace that an exemplar names, once Gravimeter has ended.
    async fn spans(self, calls: usize) -> (Vec<Span>, BTreeSet<String>) {
        until(async || {
            let counted = sum(&self.whole.series("gravimeter_calls_total").await, &[]);
            (counted >= calls as u64).then_some(())
        })
        .await;
        let web = self.whole.exporter();
        let exposition = open_metrics(web).await;
        let named = exposition
            .split("trace_id=\"")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        let named = named.collect();
        self.whole.stop().await;
        let spans = self
            .collector
            .all()
            .into_iter()
            .filter(|span| !is_setup(&span.name));
        (spans.collect(), named)
    }
}

async fn open_metrics(web: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(web).await.expect("an exporter");
    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: {web}\r\n{accept}\r\nConnection: close\r\n\r\n");
    write_pieces(&mut stream, request.as_bytes(), &[usize::MAX], false).await;
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer))
        .await
        .expect("an answer");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    answer
}

/// What the provider gets is what the agent has sent, to the byte.
async fn http1(
    asked: Asked,
    mut agent: client::TlsStream<TcpStream>,
    mut provider: server::TlsStream<TcpStream>,
) {
    let body = asked.body();
    let parent = asked
        .parent()
        .map(|parent| format!("Traceparent: {parent}\r\n"))
        .unwrap_or_default();
    let length = body.len();
    let sent = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {CLOUD_CODE_HOST}\r\n{parent}Content-Length: {length}\r\n\r\n{body}"
    );
    write_pieces(&mut agent, sent.as_bytes(), &[usize::MAX], false).await;
    let came = read_some(&mut provider, sent.len()).await;
    assert_eq!(String::from_utf8_lossy(&came), sent);
    let length = ANSWER.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n{ANSWER}"
    );
    write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], false).await;
    assert_eq!(read_some(&mut agent, answer.len()).await, answer.as_bytes());
    drop(agent);
    assert_eq!(
        read_all(&mut provider).await.0,
        b"",
        "nothing comes behind the request"
    );
}

/// What the provider gets is what the agent has sent, to the field.
async fn http2(
    asked: Asked,
    agent: client::TlsStream<TcpStream>,
    provider: server::TlsStream<TcpStream>,
) {
    let mut request = Request::post(format!("https://{CLOUD_CODE_HOST}{PATH}"));
    if let Some(parent) = asked.parent() {
        request = request.header("traceparent", parent);
    }
    let request = request.body(()).expect("a request");
    let sent = request.headers().clone();
    let (came, ()) = tokio::join!(
        soon(answer(provider)),
        soon(exchange(agent, request, asked.body()))
    );
    assert_eq!(came, sent);
}

async fn exchange(tls: client::TlsStream<TcpStream>, request: Request<()>, body: String) {
    let (sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
    let connection = TaskTracker::new().spawn(connection);
    let mut sender = sender.ready().await.expect("a stream");
    let (response, mut stream) = sender.send_request(request, false).expect("a request");
    stream.send_data(Bytes::from(body), true).expect("a body");
    let mut body = response.await.expect("a response").into_body();
    let mut said = Vec::new();
    while let Some(data) = body.data().await {
        said.extend_from_slice(&data.expect("data"));
    }
    assert_eq!(said, ANSWER.as_bytes());
    drop((sender, stream, body));
    connection
        .await
        .expect("no panic")
        .expect("an end in order");
}

async fn answer(tls: server::TlsStream<TcpStream>) -> HeaderMap {
    let mut connection = h2::server::handshake(tls).await.expect("HTTP/2");
    let (mut request, mut answer) = connection
        .accept()
        .await
        .expect("a request")
        .expect("in order");
    let fields = request.headers().clone();
    let answering = async move {
        while let Some(data) = request.body_mut().data().await {
            data.expect("a body");
        }
        let response = Response::builder()
            .header("content-type", "text/event-stream")
            .body(())
            .expect("a response");
        let mut stream = answer.send_response(response, false).expect("a response");
        stream
            .send_data(Bytes::from_static(ANSWER.as_bytes()), true)
            .expect("data");
    };
    tokio::join!(answering, async {
        while connection.accept().await.is_some() {}
    });
    fields
}

/// Of which calls a span must come, where that does not depend on chance.
fn is_recorded(sampler: Sampler, says: Says) -> Option<bool> {
    match (sampler, says) {
        (Sampler::AlwaysOn, _) => Some(true),
        (Sampler::AlwaysOff, _) => Some(false),
        (_, Says::Recorded) => Some(true),
        (_, Says::NotRecorded) => Some(false),
        (Sampler::ParentBasedAlwaysOn, Says::Nothing) => Some(true),
        (Sampler::ParentBasedAlwaysOff, Says::Nothing) => Some(false),
        (Sampler::ParentBasedTraceIdRatio | Sampler::TraceIdRatio, Says::Nothing) => None,
    }
}

async fn obeys(sampler: Sampler) {
    let stage = Stage::set(sampler, 0.5).await;
    for asked in Asked::all() {
        stage.ask(asked).await;
    }
    let (spans, named) = stage.spans(Asked::all().len()).await;
    for asked in Asked::all() {
        let of_call: Vec<_> = spans
            .iter()
            .filter(|span| span.name == asked.name())
            .collect();
        let expected = is_recorded(sampler, asked.says);
        assert!(of_call.len() <= 1, "{sampler:?} {asked:?} {of_call:?}");
        if let Some(expected) = expected {
            assert_eq!(of_call.len() == 1, expected, "{sampler:?} {asked:?}");
        }
        if asked.says != Says::Nothing {
            assert_eq!(
                named.contains(&asked.trace()),
                expected == Some(true),
                "{sampler:?} {asked:?}: exemplars"
            );
        }
        let Some(span) = of_call.first() else {
            continue;
        };
        let (seen, is_remote) = (
            Seen::from(*span),
            span.flags & SpanFlags::ContextIsRemoteMask as u32 != 0,
        );
        if asked.says == Says::Nothing {
            assert_eq!(
                (&*seen.parent, is_remote),
                ("", false),
                "{sampler:?} {asked:?}"
            );
            assert!(
                named.contains(&seen.trace),
                "{sampler:?} {asked:?}: exemplars"
            );
        } else {
            assert_eq!(
                (seen.trace, &*seen.parent, is_remote),
                (asked.trace(), "00f067aa0ba902b7", true),
                "{asked:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_traces_itself_decides_for_its_own_traces() {
    for sampler in [
        Sampler::ParentBasedAlwaysOn,
        Sampler::ParentBasedAlwaysOff,
        Sampler::ParentBasedTraceIdRatio,
    ] {
        obeys(sampler).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_traces_itself_decides_nothing_where_it_is_not_asked() {
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        obeys(sampler).await;
    }
}
