//! A real Prometheus scrapes a real Gravimeter while an agent works and things go wrong; then every
//! expression of every panel, mark, variable and rule must answer with a number: from classic
//! histograms, and from native ones alone.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use gravimeter::app::Tasks;
use gravimeter::cascade::client::{Endpoint as Rpc, Token};
use gravimeter::demo::agent::{AgentOptions, StandIn, start};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::otlp::Endpoint;
use gravimeter::launch::Choice;
use gravimeter::record::Host;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::expression::{LastEdge, last_edges};
use super::lint::{label_values, searches};
use super::prometheus::{Histograms, Prometheus, free_port};
use super::troubled::Troubled;
use super::{boards, list, panels, text};
use crate::kit::agent::{Agent, knock};
use crate::kit::binary::{PROGRAM, until};
use crate::kit::collector::{Collector, Reply};
use crate::kit::pki::Pki;
use crate::kit::provider::Provider;
use crate::kit::{read_all, soon};
use crate::whole::{Whole, sum};

/// Metrics of boards that Gravimeter cannot have in this test: they are asked of every instance
/// instead.
const ELSEWHERE: [(&str, &str); 7] = [
    (
        "gravimeter_ai_credits_total",
        "the stand-in provider charges no credits; the troubled exporter states them",
    ),
    (
        "gravimeter_budget_stops_total",
        "no budget stops the agent of this test; the troubled exporter has one that does",
    ),
    (
        "gravimeter_budget_used_ratio",
        "it has no budget; the troubled exporter has one",
    ),
    (
        "gravimeter_cascade_follow_errors_total",
        "no news of the stand-in is lost; the troubled exporter loses some",
    ),
    (
        "gravimeter_redirect_active",
        "rules in the kernel take root; the troubled exporter states them",
    ),
    (
        "changes(process_start_time_seconds",
        "Gravimeter of this test starts once; another process starts twice",
    ),
    (
        "gravimeter_rules_applied_total",
        "no rule changes its requests; the troubled exporter states one that does",
    ),
];

/// What went wrong in Gravimeter itself, and must be seen by Prometheus.
const FAULTS: [&str; 10] = [
    "gravimeter_calls_total{outcome=\"aborted\"}",
    "gravimeter_calls_total{outcome=\"rate_limited\"}",
    "gravimeter_calls_total{outcome=\"server_error\"}",
    "gravimeter_calls_total{outcome=\"truncated\"}",
    "gravimeter_connections_total{disposition=\"refused\"}",
    "gravimeter_connections_total{disposition=\"tunnelled\"}",
    "gravimeter_otlp_spans_dropped_total{reason=\"rejected\"}",
    "gravimeter_tls_handshake_failures_total{side=\"agent\",reason=\"unknown_ca\"}",
    "gravimeter_tls_handshake_failures_total{side=\"upstream\"}",
    "gravimeter_agent_restarts_total{reason=\"failed\"}",
];

/// Long after every expression has had its data, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);

/// An expression that must answer, and where it stands.
struct Question {
    of: String,
    expression: String,
    /// Whether it must lead to traces, too.
    exemplars: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_answers_from_classic_histograms() {
    every_expression_answers(Histograms::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_answers_from_native_histograms() {
    every_expression_answers(Histograms::Native).await;
}

async fn every_expression_answers(histograms: Histograms) {
    let gravimeter = Gravimeter::start().await;
    let troubled = Troubled::start().await;
    let mut other = Restarted::new();
    let instance = gravimeter.whole.exporter();
    let targets = [instance, troubled.addr, other.addr];
    let Some(prometheus) = Prometheus::start(&targets, histograms) else {
        return;
    };
    until(async || (prometheus.values("up == 1").await.len() == 3).then_some(())).await;

    let mut open = questions(instance);
    open.extend(
        prometheus
            .rules()
            .await
            .into_iter()
            .map(|(of, expression)| Question {
                of,
                expression,
                exemplars: false,
            }),
    );
    open.extend(FAULTS.iter().map(|fault| {
        let expression = format!(
            "sum({}) > 0",
            fault.replace('{', &format!("{{instance=\"{instance}\","))
        );
        Question {
            of: "a fault of this test".to_owned(),
            expression,
            exemplars: false,
        }
    }));

    let deadline = Instant::now() + PATIENCE;
    for round in 0.. {
        gravimeter.work(round).await;
        troubled.state();
        other.next(&prometheus).await;
        let mut rest = Vec::new();
        for question in open {
            if !answers(&prometheus, &question).await {
                rest.push(question);
            }
        }
        open = rest;
        if open.is_empty() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "no data for {} of them:\n{}",
            open.len(),
            told(&open)
        );
        sleep(Duration::from_millis(500)).await;
    }
    links_ask_for_what_spans_have(&gravimeter.collector);
    let classic = prometheus.values(CLASSIC_BUCKETS).await;
    assert_eq!(classic.is_empty(), histograms == Histograms::Native);
    no_quantile_is_the_last_edge(&prometheus, troubled.addr, histograms).await;
    gravimeter.stop().await;
}

/// All series of classic buckets.
const CLASSIC_BUCKETS: &str = r#"count({__name__=~"gravimeter_.+_bucket"})"#;

/// A quantile beyond the classic buckets is infinite, since nobody knows it; native ones know it.
async fn no_quantile_is_the_last_edge(
    prometheus: &Prometheus,
    troubled: SocketAddr,
    histograms: Histograms,
) {
    let mut asked = BTreeSet::new();
    for board in boards() {
        for panel in panels(&board.json) {
            for target in list(&panel["targets"]) {
                let expression = text(&target["expr"]);
                for LastEdge { family, edge } in last_edges(expression).expect("PromQL") {
                    if histograms == Histograms::Classic {
                        let edges = prometheus.edges(&family).await;
                        assert_eq!(edges.last(), Some(&edge), "{family}");
                    }
                    let of_troubled = fill_in(expression, troubled)
                        .replace(r#"model=~".+""#, r#"model="beyond""#);
                    let values = prometheus.all_values(&of_troubled).await;
                    let title = &panel["title"];
                    assert!(!values.contains(&edge), "{title}: {values:?}");
                    let beyond = match histograms {
                        Histograms::Classic => values.contains(&f64::INFINITY),
                        Histograms::Native => values
                            .iter()
                            .any(|value| value.is_finite() && *value > edge),
                    };
                    // That is a speed: the slowest is 0.
                    let is_inverse = expression.starts_with("1 / ");
                    assert!(beyond || is_inverse, "{title}: {expression}: {values:?}");
                    asked.insert(family);
                }
            }
        }
    }
    assert_eq!(asked.len(), 12, "{asked:?}");
}

/// What data links search for in Tempo stands in the spans that came.
fn links_ask_for_what_spans_have(collector: &Collector) {
    let spans = collector.all();
    let keys: BTreeSet<_> = spans
        .iter()
        .flat_map(|span| span.attributes.iter().map(|it| &*it.key))
        .collect();
    let mut asked = BTreeSet::new();
    for search in boards().iter().flat_map(|board| searches(&board.json)) {
        let traceql = text(&search["queries"][0]["query"]).to_owned();
        let attributes = traceql
            .split("span.")
            .skip(1)
            .filter_map(|rest| rest.split_once('='))
            // Of spans that must not have the attribute.
            .filter(|(_, value)| !value.starts_with("nil"))
            .map(|(key, _)| key.to_owned());
        asked.extend(attributes);
        if let Some((_, name)) = traceql.split_once("{name=\"") {
            let name = name.split('"').next().expect("a name");
            assert!(
                spans.iter().any(|span| span.name == name),
                "no span is named {name}"
            );
        }
    }
    assert!(
        !asked.is_empty() && asked.iter().all(|key| keys.contains(&**key)),
        "{asked:?} of {keys:?}"
    );
}

fn told(questions: &[Question]) -> String {
    questions
        .iter()
        .map(|Question { of, expression, .. }| format!("{of}: {expression}\n"))
        .collect()
}

async fn answers(prometheus: &Prometheus, question: &Question) -> bool {
    !prometheus.values(&question.expression).await.is_empty()
        && (!question.exemplars || prometheus.exemplars(&question.expression).await > 0)
}

/// Everything that boards ask.
fn questions(gravimeter: SocketAddr) -> Vec<Question> {
    let mut questions = Vec::new();
    for board in boards() {
        let mut ask = |of: &str, expression: &str, exemplars: bool| {
            let expression = fill_in(expression, gravimeter);
            questions.push(Question {
                of: format!("{}: {of}", board.name),
                expression,
                exemplars,
            });
        };
        for panel in panels(&board.json) {
            for target in list(&panel["targets"]) {
                ask(
                    text(&panel["title"]),
                    text(&target["expr"]),
                    target["exemplar"] == true,
                );
            }
        }
        for mark in list(&board.json["annotations"]["list"]) {
            ask(text(&mark["name"]), text(&mark["expr"]), false);
        }
        for variable in list(&board.json["templating"]["list"])
            .iter()
            .filter(|variable| variable["type"] == "query")
        {
            let (metric, label) = label_values(text(&variable["query"])).expect("label_values");
            let named = match metric.strip_suffix('}') {
                Some(selector) => format!("{selector}, {label}!=\"\"}}"),
                None => format!("{metric}{{{label}!=\"\"}}"),
            };
            ask(text(&variable["name"]), &format!("count({named})"), false);
        }
    }
    assert!(
        questions.len() > 150,
        "the boards are read: {}",
        questions.len()
    );
    questions
}

/// What Grafana puts in the place of variables: one instance, all of the rest.
fn fill_in(expression: &str, gravimeter: SocketAddr) -> String {
    let instance = if ELSEWHERE.iter().any(|(part, _)| expression.contains(part)) {
        ".+".to_owned()
    } else {
        gravimeter.to_string()
    };
    let values = [
        // The longer name first.
        ("$__rate_interval", "30s"),
        ("$__range", "5m"),
        // The day that begins now has no data yet.
        (" offset -1d", ""),
        ("$instance", &instance),
        ("$job", "gravimeter"),
        ("$model", ".+"),
        ("$provider", ".+"),
    ];
    let filled = values
        .iter()
        .fold(expression.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        });
    assert!(
        !filled.contains('$'),
        "a variable that nobody knows: {filled}"
    );
    filled
}

/// A Gravimeter with all that there is to see: conversations that are followed, a collector that rejects
/// some spans, an agent that is supervised, and providers of several kinds.
struct Gravimeter {
    whole: Whole,
    stand_in: StandIn,
    tasks: Tasks,
    collector: Collector,
    broken: Provider,
    stranger: Provider,
    marks: TempDir,
}

/// A provider whose answers are the test's own.
const BROKEN: &str = "generativelanguage.googleapis.com";

/// An answer of another model than the one that [`Gravimeter::answer`] asks for.
const ANSWER_OF_ANOTHER_MODEL: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"STOP\"}],\
    \"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":2,\"totalTokenCount\":6},\
    \"modelVersion\":\"cheaper\"}";

/// One whom nobody trusts.
const STRANGER: &str = "aiplatform.googleapis.com";

/// A host that is not intercepted.
const UNLISTED: &str = "other.example.org";

const TOKEN: &str = "csrf";

impl Gravimeter {
    async fn start() -> Self {
        let tasks = Tasks::default();
        let options = AgentOptions {
            csrf_token: TOKEN.to_owned(),
            ..AgentOptions::default()
        };
        let stand_in = start(&options, tasks.tracker(), tasks.stopping())
            .await
            .expect("a stand-in");
        let address = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let rpc = Rpc::new(
            address(stand_in.http),
            address(stand_in.https),
            Token::new(TOKEN),
        )
        .expect("an endpoint");
        let collector = Collector::start(&[Reply::Take, Reply::Partial(1)]).await;
        let (pki, unknown) = (Pki::new(), Pki::new());
        let broken = Provider::start(pki.server(BROKEN, &["http/1.1"])).await;
        let stranger = Provider::start(unknown.server(STRANGER, &["http/1.1"])).await;
        let marks = tempfile::tempdir().expect("a folder");
        let roots = pki.write_root(marks.path());
        let folder = marks.path().to_str().expect("UTF-8").to_owned();
        let script = ProviderOptions {
            seed: 11,
            max_events: 6,
            pause_ms: 2,
            refused_percent: 25,
            ..ProviderOptions::default()
        };
        let whole = Whole::with(script, |config| {
            config.cascade.endpoint = Some(rpc);
            config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
            config.otlp.flush_interval = Duration::from_millis(200);
            config.upstream.extra_roots.push(roots);
            config.capture.connect_request = Duration::from_secs(1);
            for (host, to) in [
                (BROKEN, &broken),
                (STRANGER, &stranger),
                (UNLISTED, &broken),
            ] {
                config
                    .relay
                    .resolve
                    .insert((Host::parse(host).expect("a host"), 443), to.address());
            }
            config.agent = Some(Choice::Command("/bin/sh".into()));
            config.launch.args = vec!["-c".to_owned(), AGENT.to_owned(), folder];
            config.launch.program = Some(PROGRAM.into());
            config.supervision.restart_backoff_initial = Duration::from_millis(100);
        })
        .await;
        Self {
            whole,
            stand_in,
            tasks,
            collector,
            broken,
            stranger,
            marks,
        }
    }

    /// One round of everything: conversations, and each fault once. The agent's process fails in
    /// the first.
    async fn work(&self, round: u64) {
        fs::write(self.marks.path().join("fail"), "").expect("a writable folder");
        let options = AgentOptions {
            conversations: 4,
            rounds: Some(4),
            cascade_rounds: 2,
            patience_ms: 1_000,
            backoff_ms: 1,
            abort_percent: 25,
            swallow_percent: 10,
            upload_bytes: 2048,
            csrf_token: TOKEN.to_owned(),
            seed: round,
            ..self.whole.agent()
        };
        self.stand_in.converse(options).await.expect("an agent");
        self.answer(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            .await;
        self.answer(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        )
        .await;
        self.answer(ANSWER_OF_ANOTHER_MODEL).await;
        self.tunnel().await;
        self.distrust().await;
        self.meet_the_stranger().await;
        self.say_nothing().await;
        knock(self.whole.connect(), "127.0.0.1:443")
            .await
            .expect_err("nobody is led to this machine");
        let settled = async || {
            let spans = sum(
                &self
                    .whole
                    .series("gravimeter_otlp_spans_exported_total")
                    .await,
                &[],
            );
            (spans > 0).then_some(())
        };
        until(settled).await;
    }

    /// A call of the public API that gets these bytes for an answer, and then the end of the
    /// connection.
    async fn answer(&self, bytes: &[u8]) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let agent = Agent::new(&self.root_pem(), &["http/1.1"]);
        let tcp = knock(self.whole.connect(), &format!("{BROKEN}:443"))
            .await
            .expect("an open door");
        let (agent, provider) = tokio::join!(agent.handshake(tcp, BROKEN), self.broken.accept());
        let (mut agent, mut provider) = (agent.expect("trust"), provider.expect("trust"));
        let path = "/v1beta/models/broken:generateContent";
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: {BROKEN}\r\nContent-Length: 2\r\n\r\n{{}}");
        agent
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut asked = vec![0; request.len()];
        soon(provider.read_exact(&mut asked))
            .await
            .expect("a request");
        provider.write_all(bytes).await.expect("an answer");
        provider.shutdown().await.expect("an end");
        read_all(&mut agent).await;
    }

    fn root_pem(&self) -> String {
        fs::read_to_string(self.whole.state.path().join("ca/ca.pem")).expect("a CA")
    }

    /// Bytes that are passed on unread.
    async fn tunnel(&self) {
        let door = self.whole.connect();
        let tcp = knock(door, &format!("{UNLISTED}:443"))
            .await
            .expect("an open door");
        let stranger = Agent::new(&self.root_pem(), &["http/1.1"]);
        let (agent, provider) =
            tokio::join!(stranger.handshake(tcp, UNLISTED), self.broken.accept());
        assert!(
            agent.is_err() && provider.is_err(),
            "the certificate is the provider's own"
        );
    }

    /// An agent that trusts somebody else.
    async fn distrust(&self) {
        let agent = Agent::new(self.whole.provider.root_pem(), &["http/1.1"]);
        let tcp = knock(self.whole.connect(), &format!("{BROKEN}:443"))
            .await
            .expect("an open door");
        let (agent, _) = tokio::join!(agent.handshake(tcp, BROKEN), self.broken.accept());
        assert!(agent.is_err(), "the leaf is of a CA that it does not know");
    }

    /// A provider that shows a certificate of nobody knows whom.
    async fn meet_the_stranger(&self) {
        let agent = Agent::new(&self.root_pem(), &["http/1.1"]);
        let tcp = knock(self.whole.connect(), &format!("{STRANGER}:443"))
            .await
            .expect("an open door");
        let (agent, provider) =
            tokio::join!(agent.handshake(tcp, STRANGER), self.stranger.accept());
        assert!(
            agent.is_err() && provider.is_err(),
            "nothing passes unverified"
        );
    }

    /// A connection that asks for nothing.
    async fn say_nothing(&self) {
        let mut tcp = TcpStream::connect(self.whole.connect())
            .await
            .expect("an open door");
        read_all(&mut tcp).await;
    }

    async fn stop(self) {
        assert!(!self.collector.all().is_empty(), "spans have come");
        self.tasks
            .drain(Duration::from_secs(10), std::future::pending())
            .await;
        self.whole.stop().await;
    }
}

/// Fails once, when it is told to, and then runs on for as long as there is a test.
const AGENT: &str = r#"
    if [ ! -e "$0/failed" ]; then
        until [ -e "$0/fail" ]; do sleep 0.1; done
        : > "$0/failed"
        exit 3
    fi
    while [ -e "$0/failed" ]; do sleep 1; done
"#;

/// A process of the program that is started, started again, and then taken away for good.
struct Restarted {
    addr: SocketAddr,
    child: Child,
    folder: TempDir,
    is_second: bool,
}

impl Restarted {
    fn new() -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let folder = tempfile::tempdir().expect("a folder");
        let child = serve(addr, &folder);
        Self {
            addr,
            child,
            folder,
            is_second: false,
        }
    }

    /// The next of its states, once Prometheus has seen the one before.
    async fn next(&mut self, prometheus: &Prometheus) {
        let of = |metric: &str| format!("{metric}{{instance=\"{}\"}}", self.addr);
        let restarted = !prometheus
            .values(&format!(
                "changes({}[5m]) > 0",
                of("process_start_time_seconds")
            ))
            .await
            .is_empty();
        if self.is_second && restarted {
            self.child.kill().await.expect("a process");
        }
        if !self.is_second
            && !prometheus
                .values(&of("process_start_time_seconds"))
                .await
                .is_empty()
        {
            self.child.kill().await.expect("a process");
            self.child = serve(self.addr, &self.folder);
            self.is_second = true;
        }
    }
}

fn serve(web: SocketAddr, state: &TempDir) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args([
        "serve",
        "--web.listen",
        &web.to_string(),
        "--capture.listen",
        "127.0.0.1:0",
    ]);
    command.args([
        "--capture.connect_listen",
        "127.0.0.1:0",
        "--capture.redirect",
        "off",
        "--log.level",
        "error",
    ]);
    command
        .arg("--state.dir")
        .arg(state.path())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}
