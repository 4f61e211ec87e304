//! Promise: no secret, prompt or answer ever leaves by the log, the exporter, a span or a file, at
//! any level, in any disguise.
//!
//! Every exchange carries canaries; afterwards everything that the program has said or written is
//! searched for each of them.

mod control;
mod http2;
mod notices;
mod recordings;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gravimeter::demo::CLOUD_CODE_HOST;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::kit::agent::{Agent, knock_with};
use crate::kit::binary::{Binary, resolve};
use crate::kit::canary::Canary;
use crate::kit::collector::{Collector, Reply};
use crate::kit::pki::Pki;
use crate::kit::provider::Provider;
use crate::kit::{read_all, read_some, write_pieces};
use recordings::{Cut, Recording, recordings};

pub const GEMINI_HOST: &str = "generativelanguage.googleapis.com";
/// Its provider has a certificate of a CA that nobody trusts.
const DISTRUSTED_HOST: &str = "cloudcode-pa.googleapis.com";
/// The program leads it through as it is.
const TUNNELLED_HOST: &str = "telemetry.example.com";
/// Names of models may be told: this one proves that the calls were read.
pub const MODEL: &str = "gemini-of-the-canaries";

/// Who asks about conversations, and who collects spans, is told their identifiers; nobody else is.
const TELLING: [&str; 4] = ["/", "/v1/cascades", "/v1/usage?by=cascade", SPANS];

/// Its file names conversations, and is for its owner only.
const LEDGER: &str = "ledger.db";

/// What has come to the collector.
const SPANS: &str = "spans";

/// All canaries that were let go.
#[derive(Default)]
pub struct Nest {
    pub secrets: Vec<Canary>,
    /// They name a conversation: nobody's secret, but no label either.
    pub ids: Vec<Canary>,
}

impl Nest {
    fn text(&mut self, name: &'static str) -> String {
        self.secrets.push(Canary::new(name));
        self.secrets.last().expect("one").text.clone()
    }

    /// One of letters and digits only.
    fn plain(&mut self, name: &'static str) -> String {
        self.secrets.push(Canary::new(name));
        self.secrets.last().expect("one").plain()
    }

    /// One as a URL holds it.
    fn url(&mut self, name: &'static str) -> String {
        self.text(name)
            .replace('/', "%2F")
            .replace('+', "%2B")
            .replace(' ', "%20")
    }

    fn id(&mut self, name: &'static str) -> String {
        self.ids.push(Canary::new(name));
        self.ids.last().expect("one").plain()
    }

    /// One in the form in which Gravimeter looks for ids inside others.
    fn uuid(&mut self, name: &'static str) -> String {
        self.ids.push(Canary::new(name));
        format!(
            "5b1f6a52-0f0e-4a39-9d3c-{}",
            self.ids.last().expect("one").part()
        )
    }

    fn request_fields(&mut self) -> Vec<(&'static str, String)> {
        let names = [
            "authorization",
            "x-api-key",
            "x-goog-api-key",
            "cookie",
            "proxy-authorization",
            "x-unknown",
        ];
        names
            .iter()
            .map(|name| (*name, format!("Bearer {}", self.text(name))))
            .collect()
    }

    fn answer_fields(&mut self) -> String {
        let (cookie, server, trace) = (
            self.text("set-cookie"),
            self.text("server"),
            self.id("trace id in the head"),
        );
        format!(
            "Set-Cookie: session={cookie}\r\nServer: {server}\r\nX-CloudAICompanion-Trace-Id: {trace}\r\n"
        )
    }

    /// Secrets where Gravimeter does look.
    fn odd_fields(&mut self) -> String {
        let (kind, coding) = (self.text("content-type"), self.plain("content-encoding"));
        format!(
            "Content-Type: {kind}; charset={kind}\r\nContent-Encoding: {coding}\r\nRetry-After: {kind}\r\n"
        )
    }
}

/// The program between an agent and providers of the test.
struct Stage {
    binary: Binary,
    collector: Collector,
    roots: String,
    cloud_code: Provider,
    gemini: Provider,
    distrusted: Provider,
}

impl Stage {
    async fn set(nest: &mut Nest) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (pki, alpn) = (Pki::new(), ["h2", "http/1.1"]);
        let cloud_code = Provider::start(pki.server(CLOUD_CODE_HOST, &alpn)).await;
        let gemini = Provider::start(pki.server(GEMINI_HOST, &alpn)).await;
        let distrusted = Provider::start(Pki::new().server(DISTRUSTED_HOST, &alpn)).await;
        let file = folder.path().join("gravimeter.toml");
        fs::write(
            &file,
            agent_that_tells(&nest.plain("environment and output of the agent")),
        )
        .expect("written");
        let root = pki.write_root(folder.path());
        let mut flags = ["--log.level", "trace", "--config"]
            .map(str::to_owned)
            .to_vec();
        flags.push(file.to_str().expect("UTF-8").to_owned());
        flags.extend([
            "--upstream.extra_roots".to_owned(),
            root.to_str().expect("UTF-8").to_owned(),
        ]);
        let collector = Collector::start(&[Reply::Take]).await;
        flags.extend([
            "--otlp.endpoint".to_owned(),
            format!("http://{}", collector.addr),
        ]);
        flags.extend(["--otlp.metrics", "--otlp.metrics_interval", "100ms"].map(str::to_owned));
        flags.push("--otlp.diagnostics".to_owned());
        flags.extend(resolve(CLOUD_CODE_HOST, cloud_code.address()));
        flags.extend(resolve(TUNNELLED_HOST, cloud_code.address()));
        flags.extend(resolve(GEMINI_HOST, gemini.address()));
        flags.extend(resolve(DISTRUSTED_HOST, distrusted.address()));
        let binary = Binary::start(&flags).await;
        binary.wait_for("gravimeter_agent_up", &[], 1).await;
        Self {
            roots: binary.root_pem(),
            binary,
            collector,
            cloud_code,
            gemini,
            distrusted,
        }
    }

    fn provider(&self, host: &str) -> &Provider {
        if host == GEMINI_HOST {
            &self.gemini
        } else {
            &self.cloud_code
        }
    }

    async fn knock(&self, nest: &mut Nest, host: &str) -> TcpStream {
        let field = format!(
            "Proxy-Authorization: Basic {}\r\n",
            nest.text("proxy-authorization at the door")
        );
        knock_with(self.binary.connect, &format!("{host}:443"), &field)
            .await
            .expect("an open door")
    }

    async fn replay(&self, nest: &mut Nest, recording: &Recording) {
        let agent = Agent::new(&self.roots, &["http/1.1"]);
        let tcp = self.knock(nest, recording.host).await;
        let provider = self.provider(recording.host).accept();
        let (agent, provider) = tokio::join!(agent.handshake(tcp, recording.host), provider);
        let (mut agent, mut provider) = (agent.expect("trust"), provider.expect("trust"));
        let sent = read_some(&mut provider, recording.request.len());
        let ((), sent) = tokio::join!(
            write_pieces(&mut agent, &recording.request, &[1 << 14, 7], false),
            sent
        );
        assert!(sent == recording.request, "the bytes pass");
        write_pieces(
            &mut provider,
            &recording.response,
            &[usize::MAX],
            recording.cut == Cut::InOrder,
        )
        .await;
        match recording.cut {
            Cut::ByAgent => {
                read_some(&mut agent, recording.response.len()).await;
                drop(agent);
                read_all(&mut provider).await;
            }
            Cut::ByProvider | Cut::InOrder => {
                drop(provider);
                assert!(
                    read_all(&mut agent).await.0 == recording.response,
                    "the bytes pass"
                );
            }
        }
    }

    /// What is refused at the door, in the hello, by the provider's certificate; and what passes
    /// undecrypted.
    async fn be_refused(&self, nest: &mut Nest) {
        let secret = nest.text("at the door");
        for request in [
            format!(
                "GET http://{CLOUD_CODE_HOST}/{secret}?key={secret} HTTP/1.1\r\nCookie: {secret}\r\n\r\n"
            ),
            format!("CONNECT {secret} HTTP/1.1\r\nProxy-Authorization: {secret}\r\n\r\n"),
            format!("CONNECT a:443 HTTP/1.1\r\nProxy-Authorization : {secret}\r\n\r\n"),
            format!("CONNECT user:{secret}@127.0.0.1:443 HTTP/1.1\r\n\r\n"),
            format!(
                "CONNECT a:443 HTTP/1.1\r\nProxy-Authorization: {}\r\n\r\n",
                secret.repeat(4096)
            ),
            secret.clone(),
        ] {
            let mut tcp = TcpStream::connect(self.binary.connect)
                .await
                .expect("an open door");
            // A door that has refused may be shut before the last byte is sent.
            let _ = tcp.write_all(request.as_bytes()).await;
            let _ = tcp.shutdown().await;
            read_all(&mut tcp).await;
        }
        let hello = [
            &[22, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3][..],
            nest.text("malformed hello").repeat(9).as_bytes(),
        ]
        .concat();
        let mut tcp = self.knock(nest, CLOUD_CODE_HOST).await;
        let _ = tcp.write_all(&hello).await;
        read_all(&mut tcp).await;

        let tcp = self.knock(nest, DISTRUSTED_HOST).await;
        let agent = Agent::new(&self.roots, &["http/1.1"]);
        let (agent, _) = tokio::join!(
            agent.handshake(tcp, DISTRUSTED_HOST),
            self.distrusted.accept()
        );
        assert!(agent.is_err(), "the provider is not trusted");

        let secret = nest.text("tunnelled");
        let mut tcp = self.knock(nest, TUNNELLED_HOST).await;
        write_pieces(&mut tcp, secret.as_bytes(), &[usize::MAX], true).await;
        let mut provider = self.cloud_code.accept_tcp().await;
        assert_eq!(read_all(&mut provider).await.0, secret.as_bytes());
    }

    /// Everything that the program has said, written or shows of itself.
    async fn words(&self, nest: &mut Nest) -> Vec<(String, Vec<u8>)> {
        let mut words = Vec::new();
        let fields = format!(
            "Authorization: {0}\r\nCookie: {0}\r\nX-Api-Key: {0}\r\n",
            nest.text("field to the exporter")
        );
        let (odd, key) = (
            nest.plain("path to the exporter"),
            nest.plain("query to the exporter"),
        );
        let open_metrics = "Accept: application/openmetrics-text; version=1.0.0\r\n";
        let silent = [
            "/metrics",
            "/v1/usage",
            "/v1/usage?by=provider",
            "/v1/budgets",
            "/v1/quotas",
            "/healthz",
            "/readyz",
            "/v1/openapi.json",
        ];
        for path in silent.into_iter().chain(TELLING) {
            words.push((
                path.to_owned(),
                self.binary.ask(path, &fields).await.into_bytes(),
            ));
        }
        // What the page links to tells identifiers as it does itself.
        let page = self.binary.ask("/", "").await;
        let links = page
            .split("href=\"")
            .filter_map(|rest| rest.split('"').next());
        let of_one =
            |link: &&str| link.starts_with("/calls/") || link.starts_with("/conversations/");
        let links: BTreeSet<&str> = links.filter(of_one).collect();
        assert!(!links.is_empty(), "calls and conversations have pages");
        for link in links {
            let answer = self.binary.ask(link, &fields).await;
            words.push(("/".to_owned(), answer.into_bytes()));
            let as_json = link.split('?').next().unwrap_or(link);
            let as_json = as_json.replace("/conversations/", "/cascades/");
            let answer = self.binary.ask(&format!("/v1{as_json}"), &fields).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{as_json}: {answer}");
            words.push(("/v1/cascades".to_owned(), answer.into_bytes()));
        }
        words.push((
            "OpenMetrics".to_owned(),
            self.binary.ask("/metrics", open_metrics).await.into_bytes(),
        ));
        for path in [
            format!("/{odd}"),
            format!("/v1/usage?key={key}"),
            format!("/v1/usage?since={key}"),
            format!("/v1/cascades?cursor={key}"),
            format!("/v1/cascades/{odd}"),
            format!("/v1/calls/{odd}"),
            format!("/calls/{odd}"),
            format!("/conversations/{odd}"),
            format!("/?tz={key}"),
            format!("/v1/quotas?{key}"),
        ] {
            let answer = self.binary.ask(&path, &fields).await;
            assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
            words.push(("a refused question".to_owned(), answer.into_bytes()));
        }
        for file in ["cmdline", "environ", "comm", "status"] {
            let path = Path::new("/proc")
                .join(self.binary.pid().as_raw_nonzero().to_string())
                .join(file);
            // Without root nobody may read the environment of a process that is not dumpable.
            words.extend(fs::read(path).map(|bytes| (format!("/proc/PID/{file}"), bytes)));
        }
        files(&self.binary.state(), &mut words);
        words
    }
}

/// An agent whose environment and output hold a secret.
fn agent_that_tells(secret: &str) -> String {
    let tell = "echo $SECRET; echo $SECRET >&2; exec sleep 600";
    format!(
        "[agent]\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"{tell}\"]\nenv = {{ SECRET = \"{secret}\" }}\n"
    )
}

fn files(folder: &Path, words: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        let (path, name) = (entry.path(), entry.path().display().to_string());
        if path.is_dir() {
            files(&path, words);
        } else if path.is_file() {
            words.push((name.clone(), fs::read(&path).expect("a file")));
        }
        words.push(("a name of a file".to_owned(), name.into_bytes()));
    }
}

fn leaks<'a>(
    canaries: &'a [Canary],
    words: &'a [(String, Vec<u8>)],
) -> impl Iterator<Item = String> + 'a {
    canaries.iter().flat_map(move |canary| {
        let found = words
            .iter()
            .map(|(place, words)| (place, canary.found_in(words)));
        let found = found.filter(|(_, disguises)| !disguises.is_empty());
        found.map(|(place, disguises)| format!("{} in {place}: {disguises:?}", canary.name))
    })
}

#[tokio::test]
async fn no_secret_leaves_gravimeter() {
    let mut nest = Nest::default();
    let stage = Stage::set(&mut nest).await;
    let recordings = recordings(&mut nest);
    for recording in &recordings {
        stage.replay(&mut nest, recording).await;
    }
    let streams = http2::exchange(&mut nest, &stage).await;
    stage.be_refused(&mut nest).await;

    let calls = recordings
        .iter()
        .filter(|recording| recording.is_call)
        .count() as u64
        + streams;
    let binary = &stage.binary;
    // Some are refused before the model has its label.
    binary.wait_for("gravimeter_calls_total", &[], calls).await;
    for reason in [
        "http1_malformed",
        "http2_malformed",
        "malformed_json",
        "decode_error",
        "limit",
    ] {
        binary
            .wait_for(
                "gravimeter_observer_failures_total",
                &[&format!("reason=\"{reason}\"")],
                1,
            )
            .await;
    }
    for reason in ["bad_request", "bad_hello", "upstream_handshake"] {
        binary
            .wait_for(
                "gravimeter_connections_refused_total",
                &[&format!("reason=\"{reason}\"")],
                1,
            )
            .await;
    }
    let mut words = stage.words(&mut nest).await;
    let Stage {
        mut binary,
        collector,
        ..
    } = stage;
    binary.signal(Signal::TERM);
    assert!(binary.exit().await.success());
    words.push(("the log".to_owned(), binary.log().into_bytes()));
    words.push(("stdout".to_owned(), binary.output().into_bytes()));
    words.extend(
        collector
            .messages()
            .into_iter()
            .map(|message| (SPANS.to_owned(), message)),
    );
    words.push((
        "the head of an export".to_owned(),
        format!("{:?}", collector.requests()).into_bytes(),
    ));

    assert!(
        binary.log().contains("\"level\":\"DEBUG\"") && binary.log().contains(CLOUD_CODE_HOST),
        "the log is full"
    );
    assert!(
        String::from_utf8_lossy(&words[0].1).contains(MODEL),
        "the calls were read"
    );
    let spans = collector.all();
    let of_model = spans
        .iter()
        .filter(|span| span.name.ends_with(MODEL))
        .count();
    assert!(
        of_model as u64 >= calls,
        "{of_model} spans for {calls} calls of the model"
    );
    let relayed = spans.iter().filter(|span| span.name == "relay").count();
    assert!(
        relayed >= recordings.len(),
        "{relayed} diagnostic spans for {} recordings",
        recordings.len()
    );
    assert!(
        nest.secrets.len() > 150 && nest.ids.len() > 50,
        "{} {}",
        nest.secrets.len(),
        nest.ids.len()
    );
    let (telling, silent): (Vec<_>, Vec<_>) = words
        .iter()
        .cloned()
        .partition(|(place, _)| TELLING.contains(&place.as_str()) || place.contains(LEDGER));
    let ledger: Vec<_> = words
        .iter()
        .filter(|(place, _)| place.contains(LEDGER))
        .cloned()
        .collect();
    assert!(
        leaks(&nest.ids, &ledger).count() > 0,
        "the ledger has the calls"
    );
    assert!(
        leaks(&nest.ids, &telling).count() > 0,
        "the identifiers were read"
    );
    let found: Vec<_> = leaks(&nest.secrets, &words)
        .chain(leaks(&nest.ids, &silent))
        .collect();
    assert!(
        found.is_empty(),
        "{} leaks:\n{}",
        found.len(),
        found.join("\n")
    );
}
