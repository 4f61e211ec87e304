//! Facts to count, and a reader of expositions that shares no code with their writer.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost::Message as _;

use crate::budget::{Amount, Budget, Budgets, GroupBy, OnError, Unit, Window};
use crate::export::formats::Format;
use crate::export::{Config, Metrics};
use crate::record::{
    AgentName, ByteDirection, Call, CallStarted, Caller, CascadeRun, ContentChunks, Correlated,
    Correlation, CorrelationMethod, DisplayName, Disposition, Fact, FollowFailure, Handshake,
    HandshakeFailure, Host, Id, IpFamily, JoinedIds, LeafResult, LedgerFailure, LedgerRecord,
    Model, ModelName, Models, NotificationResult, NotificationTarget, ObserverFailure, Operation,
    Outcome, Provider, ProviderTime, Quality, Quota, QuotaWindow, RateLimit, RateLimitReason,
    RefuseReason, Reported, RestartReason, RuleName, RuleResult, RuleUse, RunOutcome, RunStarted,
    Side, SpanId, StepEnded, StepKind, StepStatus, SubagentRun, TimeoutStep, Timing, TlsVersion,
    TokenKind, TokenUsage, TraceContext, TraceId, UpdateSource, UsageComparison, sample_call,
};
use crate::skip;

pub(crate) fn metrics() -> Metrics {
    let metrics = Metrics::new(Config::default(), Arc::default());
    metrics.show_budgets(Arc::new(budgets()));
    metrics
}

/// One budget of which nothing is spent.
fn budgets() -> Budgets {
    let budget = Budget {
        name: "daily".parse().expect("a name"),
        limit: Amount {
            unit: Unit::Calls,
            value: 100,
        },
        window: Window::Day,
        by: GroupBy::All,
        only: Vec::new(),
        warn: 0.8,
        stop: Some(1.0),
        on_error: OnError::Open,
        zone: TimeZone::UTC,
    };
    Budgets::new(vec![budget], Arc::default(), |_| None, Timestamp::now())
}

pub(crate) fn limited(models: usize) -> Metrics {
    Metrics::new(Config::default(), Arc::new(Models::new(models)))
}

/// A streamed chat that went well: 100 tokens in, 30 of them cached; 20 out, 5 of them thinking.
pub(crate) fn call(model: &str) -> Call {
    Call {
        model: Model::from_wire(model),
        usage: TokenUsage::default()
            .with(TokenKind::Input, 70)
            .with(TokenKind::CacheRead, 30)
            .with(TokenKind::Output, 15)
            .with(TokenKind::Thinking, 5),
        quality: Quality::Exact,
        timing: Timing {
            started_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            duration: Duration::from_millis(1500),
            time_to_first_chunk: Some(Duration::from_millis(300)),
            content_duration: Some(Duration::from_micros(1_187_500)),
        },
        ..sample_call()
    }
}

pub(crate) fn rate_limited(model: &str) -> Call {
    let rate_limit = RateLimit {
        reason: RateLimitReason::Capacity,
        retry_after: None,
        resets_at: None,
    };
    Call {
        outcome: Outcome::RateLimited,
        status: Some(429),
        rate_limit: Some(rate_limit),
        usage: TokenUsage::default(),
        quality: Quality::Unknown,
        ..call(model)
    }
}

pub(crate) fn id(text: &str) -> Id {
    Id::from_wire(text).expect("an id")
}

/// A run of ten seconds that went well, of three calls and 360 tokens.
pub(crate) fn run(cascade: &str, model: &str) -> CascadeRun {
    CascadeRun {
        agent: AgentName::Antigravity,
        cascade: id(cascade),
        trajectory: None,
        model: Model::from_wire(model),
        has_several_models: false,
        outcome: RunOutcome::Ok,
        started_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        duration: Duration::from_secs(10),
        time_to_first_chunk: Some(Duration::from_secs(2)),
        calls: 3,
        tool_calls: None,
        tokens: 360,
        cost: None,
        trace: None,
    }
}

/// A span that is exported.
pub(crate) fn sampled(trace: u128, span: u64) -> TraceContext {
    TraceContext {
        trace: TraceId::new(trace).expect("a trace"),
        span: SpanId::new(span).expect("a span"),
        parent: None,
        has_remote_parent: false,
        sampled: true,
    }
}

/// One that is not.
pub(crate) fn unsampled(trace: u128, span: u64) -> TraceContext {
    TraceContext {
        sampled: false,
        ..sampled(trace, span)
    }
}

pub(crate) fn quota(model: &str, remaining: f64) -> Quota {
    Quota {
        provider: Provider::CloudCode,
        model: Model::from_wire(model),
        window: QuotaWindow::Weekly,
        remaining,
        resets_at: Some(UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
    }
}

pub(crate) fn named(model: &str, display: &str) -> ModelName {
    ModelName {
        provider: Provider::CloudCode,
        model: Model::from_wire(model),
        display: DisplayName::from_wire(display).expect("a name"),
        placeholder: None,
    }
}

pub(crate) fn started(provider: Provider) -> CallStarted {
    let host = Host::parse("api.example.com").expect("a host");
    CallStarted {
        number: 0,
        provider,
        host,
        operation: Operation::Chat,
        model: None,
        started_at: UNIX_EPOCH,
        caller: Caller::default(),
    }
}

/// One fact of every kind, so that every metric has a series.
pub(crate) fn every_fact() -> Vec<Fact> {
    let provider = Provider::CloudCode;
    let ms = Duration::from_millis;
    vec![
        Fact::AgentRestarted(RestartReason::Failed),
        Fact::AgentUp(true),
        Fact::AcceptFailed,
        Fact::Bytes {
            direction: ByteDirection::Sent,
            count: 10,
            delay: Some(Duration::from_micros(70)),
        },
        Fact::Bytes {
            direction: ByteDirection::Received,
            count: 20,
            delay: None,
        },
        Fact::CaExpiry(UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
        Fact::CallStarted(started(provider)),
        Fact::CascadeUpdated(UpdateSource::AgentState),
        Fact::ContentChunks(ContentChunks {
            provider,
            operation: Operation::Chat,
            model: Model::from_wire("m"),
            gap: ms(3),
            count: 2,
        }),
        Fact::Call(Box::new(Call {
            trace: Some(sampled(1, 2)),
            served_model: Some(Model::from_wire("n")),
            is_substituted: true,
            reported: Reported {
                nano_credits: Some(1),
                time: ProviderTime {
                    first_byte: None,
                    total: Some(ms(1200)),
                },
                ..Reported::default()
            },
            ..call("m")
        })),
        Fact::CallTraced {
            call: 0,
            trace: sampled(1, 2),
        },
        Fact::ConnectionOpened(Disposition::Intercepted),
        Fact::ConnectionOpened(Disposition::Tunnelled),
        Fact::ConnectionClosed(Disposition::Tunnelled),
        Fact::ConnectionRefused(RefuseReason::Loop),
        Fact::Correlated(Correlated {
            call: 0,
            correlation: Correlation {
                cascade: Some(id("c")),
                method: CorrelationMethod::TraceId,
            },
        }),
        Fact::CorrelationSettled(CorrelationMethod::TraceId),
        Fact::FollowFailed(FollowFailure::Timeout),
        Fact::Handshake(Handshake {
            side: Side::Upstream,
            version: TlsVersion::Tls13,
            resumed: false,
            duration: ms(20),
        }),
        Fact::HandshakeFailed {
            side: Side::Agent,
            reason: HandshakeFailure::UnknownCa,
        },
        Fact::IdsJoined(JoinedIds {
            cascade: Some(id("c")),
            ..JoinedIds::default()
        }),
        Fact::Leaf(LeafResult::Minted),
        Fact::LedgerDropped(LedgerRecord::Call),
        Fact::LedgerFailed(LedgerFailure::Write),
        Fact::ModelNamed(named("m", "Model M (High)")),
        Fact::ObserverFailed(ObserverFailure::Limit),
        Fact::Quota(quota("m", 0.5)),
        Fact::Redirect {
            family: IpFamily::Ipv4,
            active: true,
        },
        Fact::RuleUsed(RuleUse {
            rule: RuleName::parse("tone").expect("a name"),
            result: RuleResult::Applied,
            reason: None,
        }),
        Fact::RulesRead {
            active: 1,
            is_broken: false,
        },
        Fact::RunStarted(RunStarted {
            cascade: id("c"),
            started_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        }),
        Fact::RunEnded(Box::new(CascadeRun {
            tool_calls: Some(4),
            trace: Some(sampled(1, 3)),
            ..run("c", "m")
        })),
        Fact::SubagentEnded(Box::new(SubagentRun {
            subagent: id("s"),
            kind: Some(id("Explore")),
            run: CascadeRun {
                agent: AgentName::ClaudeCode,
                trace: Some(sampled(1, 4)),
                ..run("c", "m")
            },
        })),
        Fact::StepEnded(StepEnded {
            cascade: id("c"),
            step: StepKind::PlannerResponse,
            status: StepStatus::Done,
        }),
        Fact::NotificationEnded {
            target: NotificationTarget::Desktop,
            result: NotificationResult::Sent,
        },
        Fact::TimedOut(TimeoutStep::Idle),
        Fact::UpstreamConnected(ms(12)),
        Fact::UsageCompared(UsageComparison::Agree),
    ]
}

/// A sample's identity: its name and its labels.
pub(crate) type Key = (String, BTreeMap<String, String>);

/// What stands behind a sample in OpenMetrics.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// Seconds since the Unix epoch.
    pub(crate) at: Option<f64>,
}

/// All samples of an exposition in either format, exemplars left aside. Panics on anything that is
/// no exposition.
pub(crate) fn samples(exposition: &str) -> BTreeMap<Key, String> {
    let mut samples = BTreeMap::new();
    for (key, value, _) in lines(exposition) {
        assert!(
            samples.insert(key.clone(), value).is_none(),
            "twice: {key:?}"
        );
    }
    samples
}

/// What a scrape shows in one of the forms that are text.
pub(crate) fn exposition(metrics: &Metrics, format: Format) -> String {
    String::from_utf8(metrics.encode(format).expect("an exposition")).expect("text")
}

/// What a scrape in protobuf shows, read by the schema alone.
pub(crate) fn decoded(metrics: &Metrics) -> Vec<MetricFamily> {
    let bytes = metrics.encode(Format::Protobuf).expect("an exposition");
    let (mut rest, mut families) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
    }
    families
}

/// All samples of families, by the names that text gives them.
pub(crate) fn by_sample(families: &[MetricFamily]) -> BTreeMap<Key, f64> {
    let mut samples = BTreeMap::new();
    for (family, metric) in families
        .iter()
        .flat_map(|family| family.metric.iter().map(move |metric| (family, metric)))
    {
        let pairs = metric.label.iter();
        let labels: BTreeMap<_, _> = pairs
            .map(|label| (label.name.clone(), label.value.clone()))
            .collect();
        let mut add = |suffix: &str, labels: &BTreeMap<String, String>, value: f64| {
            let key = (format!("{}{suffix}", family.name), labels.clone());
            assert!(samples.insert(key, value).is_none(), "twice");
        };
        let value = metric.counter.as_ref().map(|counter| counter.value);
        if let Some(value) = value.or(metric.gauge.as_ref().map(|gauge| gauge.value)) {
            add("", &labels, value);
        }
        if let Some(histogram) = &metric.histogram {
            add("_sum", &labels, histogram.sample_sum);
            add("_count", &labels, histogram.sample_count as f64);
            for bucket in &histogram.bucket {
                let le = if bucket.upper_bound.is_infinite() {
                    "+Inf".to_owned()
                } else {
                    let le = bucket.upper_bound.to_string();
                    if le.contains('.') { le } else { le + ".0" }
                };
                let mut labels = labels.clone();
                labels.insert("le".to_owned(), le);
                add("_bucket", &labels, bucket.cumulative_count as f64);
            }
        }
    }
    samples
}

/// All exemplars of an exposition. Panics on anything that is no exposition.
pub(crate) fn exemplars(exposition: &str) -> BTreeMap<Key, Exemplar> {
    lines(exposition)
        .filter_map(|(key, _, exemplar)| Some((key, exemplar?)))
        .collect()
}

fn lines(exposition: &str) -> impl Iterator<Item = (Key, String, Option<Exemplar>)> {
    exposition
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(sample)
}

fn sample(line: &str) -> (Key, String, Option<Exemplar>) {
    let name_len = line.find(['{', ' ']).expect("a name");
    let (name, rest) = line.split_at(name_len);
    let (labels, rest) = if rest.starts_with('{') {
        labels(rest)
    } else {
        (BTreeMap::new(), rest)
    };
    let rest = rest.strip_prefix(' ').expect("a space");
    let (value, exemplar) = rest
        .split_once(" # ")
        .map_or((rest, None), |(value, rest)| (value, Some(exemplar(rest))));
    value.parse::<f64>().expect("a number");
    ((name.to_owned(), labels), value.to_owned(), exemplar)
}

fn exemplar(text: &str) -> Exemplar {
    let (labels, rest) = labels(text);
    let mut numbers = rest
        .split_whitespace()
        .map(|number| number.parse::<f64>().expect("a number"));
    let exemplar = Exemplar {
        labels,
        value: numbers.next().expect("a value"),
        at: numbers.next(),
    };
    assert_eq!(numbers.next(), None, "{text}");
    exemplar
}

/// What stands in braces, and what follows them.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let mut rest = text.strip_prefix('{').expect("a brace");
    while !rest.starts_with('}') {
        let (label, tail) = rest.split_once("=\"").expect("a label");
        let (value, tail) = unquote(tail);
        labels.insert(label.to_owned(), value);
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    (labels, &rest[1..])
}

/// What stands before the closing quote, with its escapes resolved, and what follows the quote.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("an escaped character").1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    panic!("a quote is missing: {text}")
}

/// The sample's value; `labels` are those that matter, written `name=value`.
pub(crate) fn value(metrics: &Metrics, name: &str, labels: &[&str]) -> Option<f64> {
    let exposition = exposition(metrics, Format::Text);
    let wanted = |found: &BTreeMap<String, String>| {
        labels.iter().all(|label| {
            let (name, value) = label.split_once('=').expect("name=value");
            found.get(name).map(String::as_str) == Some(value)
        })
    };
    let mut found = samples(&exposition)
        .into_iter()
        .filter(|((sample, found), _)| sample == name && wanted(found))
        .map(|(_, value)| value.parse::<f64>().expect("a number"))
        .peekable();
    found.peek()?;
    Some(found.sum())
}

/// What `promtool check metrics` says of an exposition in text 0.0.4; skips the test where it is
/// not installed.
pub(crate) fn promtool(exposition: &str) -> Option<(bool, String)> {
    if !skip::has_program("promtool", "prometheus") {
        return None;
    }
    let mut command = Command::new("promtool");
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut promtool = command.spawn().expect("promtool");
    promtool
        .stdin
        .take()
        .expect("a pipe")
        .write_all(exposition.as_bytes())
        .expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}
