//! Every recorded exchange, replayed on sockets through the whole program: metrics and `/v1/usage`
//! say what its `call.json` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gravimeter::app::{App, Surroundings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::kit::agent::{Agent, knock};
use crate::kit::binary::until;
use crate::kit::pki::Pki;
use crate::kit::provider::Provider;
use crate::kit::{read_all, read_some, write_pieces};
use crate::whole::{configuration, get, series, sum};

const KINDS: [&str; 6] = [
    "input",
    "cache_read",
    "cache_write",
    "tool_input",
    "output",
    "thinking",
];

/// The counters of the GenAI convention with a modality, the kinds of tokens that each adds up, and
/// what `more.json` calls the sum.
const GENAI_TOKENS: [(&str, &[&str], &str); 3] = [
    (
        "gen_ai_client_inference_usage_input_tokens_total",
        &["input", "cache_read", "cache_write", "tool_input"],
        "input",
    ),
    (
        "gen_ai_client_inference_usage_output_tokens_total",
        &["output", "thinking"],
        "output",
    ),
    (
        "gen_ai_client_inference_usage_cache_read_input_tokens_total",
        &["cache_read"],
        "cache_read",
    ),
];

struct Case {
    name: String,
    host: String,
    request: Vec<u8>,
    response: Vec<u8>,
    expected: Value,
    /// What is told besides calls, where `more.json` says so.
    more: Value,
}

impl Case {
    fn read(folder: &Path) -> Self {
        let file = |name: &str| fs::read(folder.join(name)).expect("a fixture");
        let request = file("request.http");
        let text = String::from_utf8_lossy(&request).into_owned();
        let host = text
            .lines()
            .find_map(|line| line.strip_prefix("Host: "))
            .expect("a Host field")
            .trim();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let name = folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let mut expected = serde_json::from_slice(&file("call.json")).expect("call.json");
        let more = fs::read(folder.join("more.json")).ok();
        let more: Option<Value> =
            more.map(|text| serde_json::from_slice(&text).expect("more.json"));
        let more = more.unwrap_or_default();
        complete(&mut expected, &more);
        Self {
            name,
            host,
            request,
            response: file("response.http"),
            expected,
            more,
        }
    }

    fn calls(&self) -> &[Value] {
        self.expected["calls"].as_array().expect("calls")
    }

    /// The quotas that are told of beside calls.
    fn quotas(&self) -> impl Iterator<Item = &Value> {
        let told = self.more["told"].as_array();
        told.into_iter().flatten().map(|told| &told["quota"])
    }

    /// What is expected of a counter that has one series for each set of labels.
    fn counts(
        &self,
        labels: impl Fn(&Value) -> Vec<(Vec<String>, u64)>,
    ) -> BTreeMap<Vec<String>, u64> {
        let mut counts = BTreeMap::new();
        for (labels, count) in self.calls().iter().flat_map(labels) {
            *counts.entry(labels).or_default() += count;
        }
        counts
    }
}

/// Brings what the files say into the form in which it is exported: writes to the cache have one
/// kind whatever their lifetime, and other models that took part have calls of their own.
fn complete(expected: &mut Value, more: &Value) {
    let calls = expected["calls"].as_array_mut().expect("calls");
    let mut parts = Vec::new();
    for (place, call) in calls.iter_mut().enumerate() {
        let others = more["calls"][place]["other_models"].as_array();
        for other in others.into_iter().flatten() {
            let mut part = call.clone();
            part["model"] = other["model"].clone();
            part["usage"] = other["usage"].clone();
            parts.push(part);
        }
        call["modality"] = more["calls"][place]["modality"].clone();
    }
    calls.append(&mut parts);
    for call in calls {
        let usage = &mut call["usage"];
        let written: u64 = ["cache_write", "cache_write_5m", "cache_write_1h"]
            .iter()
            .filter_map(|kind| usage[kind].as_u64())
            .sum();
        usage["cache_write"] = written.into();
    }
}

/// A Gravimeter for one host, with a provider of the test behind it.
pub struct Stage {
    pub app: App,
    provider: Provider,
    agent: Agent,
    _state: TempDir,
}

impl Stage {
    pub async fn set(host: &str) -> Self {
        Self::set_for(host, &["http/1.1"]).await
    }

    /// With ends that speak this protocol.
    pub async fn set_for(host: &str, alpn: &[&str]) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        let provider = Provider::start(pki.server(host, alpn)).await;
        let root = pki.write_root(state.path()).display().to_string();
        let config = configuration(
            state.path(),
            &[
                ("intercept.hosts", host),
                ("upstream.extra_roots", &root),
                (
                    "upstream.resolve",
                    &format!("{host}:443={}", provider.address()),
                ),
            ],
        );
        let app = App::start(config, Surroundings::default())
            .await
            .expect("a running Gravimeter");
        let root = fs::read_to_string(state.path().join("ca/ca.pem")).expect("a CA");
        Self {
            app,
            provider,
            agent: Agent::new(&root, alpn),
            _state: state,
        }
    }

    /// Both outer ends of a connection to the host.
    pub async fn pair(
        &self,
        host: &str,
    ) -> (client::TlsStream<TcpStream>, server::TlsStream<TcpStream>) {
        let door = self.app.addresses().connect.expect("a door");
        let tcp = knock(door, &format!("{host}:443"))
            .await
            .expect("an open door");
        let (agent, provider) =
            tokio::join!(self.agent.handshake(tcp, host), self.provider.accept());
        (agent.expect("trust"), provider.expect("trust"))
    }

    /// Both recordings in pieces; then the provider breaks off, as at the end of the recordings.
    async fn replay(&self, case: &Case, sizes: &[usize]) {
        let (mut agent, mut provider) = self.pair(&case.host).await;
        let sent = read_some(&mut provider, case.request.len());
        let ((), sent) = tokio::join!(write_pieces(&mut agent, &case.request, sizes, false), sent);
        assert_eq!(sent, case.request, "{}", case.name);
        write_pieces(&mut provider, &case.response, sizes, false).await;
        drop(provider);
        assert_eq!(read_all(&mut agent).await.0, case.response, "{}", case.name);
        drop(agent);
        let web = self.app.addresses().exporter().expect("an exporter");
        until(async || {
            let exposition = get(web, "/metrics").await;
            let counted = |metric| {
                sum(
                    &series(&exposition, metric),
                    &[r#"disposition="intercepted""#],
                )
            };
            let closed = counted("gravimeter_connections_active") == 0;
            (closed && counted("gravimeter_connections_total") == 1).then_some(())
        })
        .await;
    }
}

/// A member of a call as the label under which it is exported.
fn text(call: &Value, name: &str) -> String {
    format!("{name}={}", call[name])
}

fn check(case: &Case, exposition: &str, usage: &Value) {
    let name = &case.name;
    // A model gets its label with an answer: a call that is ok or has tokens, or a refusal that
    // tells of the model's quota. Calls that ended before that have none.
    let is_named = |call: &Value| {
        let tokens: u64 = KINDS
            .iter()
            .filter_map(|kind| call["usage"][kind].as_u64())
            .sum();
        let is_of_google = call["provider"]
            .as_str()
            .is_some_and(|name| name.starts_with("gcp."));
        let tells_quota = (is_of_google && call["rate_limit"]["reason"] == "quota_exhausted")
            || case.quotas().any(|quota| quota["model"] == call["model"]);
        call["outcome"] == "ok" || tokens > 0 || tells_quota
    };
    let model = |call: &Value| {
        let mut before = case
            .calls()
            .split_inclusive(|other| std::ptr::eq(other, call));
        let before = before.next().unwrap_or_default();
        let is_same = |other: &&Value| other["model"] == call["model"];
        if before.iter().filter(is_same).any(is_named) {
            text(call, "model")
        } else {
            r#"model="other""#.to_owned()
        }
    };
    let common = |call: &Value| vec![text(call, "provider"), model(call)];
    let of = |call: &Value, more: &[&str]| {
        common(call)
            .into_iter()
            .chain(more.iter().map(|name| text(call, name)))
            .collect::<Vec<_>>()
    };
    let compare = |metric: &str, expected: BTreeMap<Vec<String>, u64>| {
        let shown = series(exposition, metric);
        for (labels, count) in &expected {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            assert_eq!(sum(&shown, &labels), *count, "{name}: {metric} {labels:?}");
        }
        assert_eq!(
            sum(&shown, &[]),
            expected.values().sum::<u64>(),
            "{name}: {metric} counts nothing else"
        );
    };
    compare(
        "gravimeter_calls_total",
        case.counts(|call| vec![(of(call, &["operation", "outcome"]), 1)]),
    );
    compare(
        "gravimeter_usage_reports_total",
        case.counts(|call| vec![(of(call, &["quality"]), 1)]),
    );
    let tokens = |call: &Value| {
        let kind = |kind: &str| {
            let labels = common(call)
                .into_iter()
                .chain([format!("kind=\"{kind}\"")])
                .collect();
            (labels, call["usage"][kind].as_u64().unwrap_or(0))
        };
        KINDS.map(kind).to_vec()
    };
    compare("gravimeter_tokens_total", case.counts(tokens));
    for (metric, kinds, split) in GENAI_TOKENS {
        let by_modality = |call: &Value| {
            if call["operation"] == "count_tokens" {
                return Vec::new();
            }
            let total = kinds.iter().filter_map(|kind| call["usage"][kind].as_u64());
            let known = call["modality"][split].as_object().into_iter().flatten();
            let known: Vec<_> = known
                .filter_map(|(modality, tokens)| Some((modality.as_str(), tokens.as_u64()?)))
                .collect();
            let sum: u64 = known.iter().map(|(_, tokens)| tokens).sum();
            let all = known
                .into_iter()
                .chain([("unknown", total.sum::<u64>() - sum)]);
            all.map(|(modality, tokens)| {
                (
                    vec![format!("gen_ai_token_modality=\"{modality}\"")],
                    tokens,
                )
            })
            .collect()
        };
        compare(metric, case.counts(by_modality));
    }
    let refused = |call: &Value| {
        let reason = call["rate_limit"]["reason"].as_str()?;
        Some((
            common(call)
                .into_iter()
                .chain([format!("reason=\"{reason}\"")])
                .collect(),
            1,
        ))
    };
    compare(
        "gravimeter_rate_limits_total",
        case.counts(|call| refused(call).into_iter().collect()),
    );
    let failures = series(exposition, "gravimeter_observer_failures_total");
    let expected = case.expected["failures"].as_array().expect("failures");
    for failure in expected {
        assert!(
            sum(&failures, &[&format!("reason={failure}")]) > 0,
            "{name}: {failure}"
        );
    }
    assert_eq!(
        sum(&failures, &[]),
        expected.len() as u64,
        "{name}: failures"
    );
    assert_eq!(
        sum(&series(exposition, "gravimeter_calls_in_flight"), &[]),
        0,
        "{name}: in flight"
    );
    assert_eq!(
        sum(&series(exposition, "gravimeter_unread_calls_total"), &[]),
        0,
        "{name}: unread"
    );
    quotas_and_reports(case, exposition);
    in_usage(case, usage);
}

/// The gauges of quotas, the cost that the provider reports and the time that it took.
fn quotas_and_reports(case: &Case, exposition: &str) {
    let name = &case.name;
    let shown = series(exposition, "gravimeter_quota_remaining_ratio");
    for quota in case.quotas() {
        let all = Value::from("all");
        let model = if quota["model"].is_null() {
            &all
        } else {
            &quota["model"]
        };
        let labels = [
            format!("provider={}", quota["provider"]),
            format!("model={model}"),
            format!("window={}", quota["window"]),
        ];
        let is_it = |shown: &&String| labels.iter().all(|label| shown.contains(label));
        let found: Vec<_> = shown.keys().filter(is_it).collect();
        let [found] = found.as_slice() else {
            panic!("{name}: {labels:?} among {shown:?}")
        };
        assert_eq!(
            Some(shown[*found]),
            quota["remaining"].as_f64(),
            "{name}: {found}"
        );
    }
    let calls = case.more["calls"].as_array();
    let sum_of = |member: &str| -> Option<f64> {
        let figures = calls.into_iter().flatten();
        figures
            .filter_map(|call| call[member].as_f64())
            .reduce(|sum, more| sum + more)
    };
    let exported = |metric: &str, label: &str| -> f64 {
        let shown = series(exposition, metric);
        let of_it = shown.iter().filter(|(labels, _)| labels.contains(label));
        of_it.map(|(_, value)| value).sum()
    };
    assert_eq!(
        exported("gravimeter_cost_usd_total", r#"source="provider""#),
        sum_of("reported_cost_usd").unwrap_or(0.0),
        "{name}: reported cost"
    );
    for (member, label) in [
        ("provider_seconds", r#"until="end""#),
        ("provider_first_byte_seconds", r#"until="first_byte""#),
    ] {
        assert_eq!(
            exported("gravimeter_provider_time_seconds_sum", label),
            sum_of(member).unwrap_or(0.0),
            "{name}: {member}"
        );
    }
}

/// The totals of `/v1/usage`.
fn in_usage(case: &Case, usage: &Value) {
    let (name, totals) = (&case.name, &usage["totals"]);
    assert_eq!(totals["calls"], case.calls().len(), "{name}: calls");
    for kind in KINDS {
        let expected: u64 = case
            .calls()
            .iter()
            .filter_map(|call| call["usage"][kind].as_u64())
            .sum();
        assert_eq!(totals[format!("{kind}_tokens")], expected, "{name}: {kind}");
    }
    for call in case.calls() {
        let (quality, outcome) = (
            call["quality"].as_str().expect("text"),
            call["outcome"].as_str().expect("text"),
        );
        let same = |name: &str| {
            case.calls()
                .iter()
                .filter(|other| other[name] == call[name])
                .count()
        };
        assert_eq!(
            totals["usage_quality"][quality],
            same("quality"),
            "{name}: {quality}"
        );
        assert_eq!(
            totals["outcomes"][outcome],
            same("outcome"),
            "{name}: {outcome}"
        );
    }
}

/// Replays every exchange of a dialect.
async fn replay_all(dialect: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(dialect);
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .expect("fixtures")
        .map(|it| it.expect("one").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() > 30, "the fixtures are there");
    for (number, folder) in folders.iter().enumerate() {
        let case = Case::read(folder);
        let stage = Stage::set(&case.host).await;
        stage
            .replay(&case, [&[usize::MAX][..], &[1], &[3, 1, 7]][number % 3])
            .await;
        let web = stage.app.addresses().exporter().expect("an exporter");
        let usage = serde_json::from_str(&get(web, "/v1/usage").await).expect("JSON");
        check(&case, &get(web, "/metrics").await, &usage);
        stage.app.stop(std::future::pending()).await;
    }
}

#[tokio::test]
async fn every_fixture_is_counted_as_its_call() {
    replay_all("gemini").await;
}

#[tokio::test]
async fn every_fixture_of_anthropic_is_counted_as_its_call() {
    replay_all("anthropic").await;
}

#[tokio::test]
async fn every_fixture_of_openai_is_counted_as_its_call() {
    replay_all("openai").await;
}
