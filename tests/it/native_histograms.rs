//! Promise: a real Prometheus ingests native histograms that are right to one percent, with their
//! exemplars, and knows what goes on after a restart from what begins anew.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gravimeter::export::Metrics;
use gravimeter::export::formats::Format;
use gravimeter::ledger::Ledger;
use gravimeter::record::{Call, Fact, Model, Models, Sink as _};
use gravimeter::web::{self, Live, Readiness, Web};
use jiff::Timestamp;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::prometheus::{Prometheus, free_address};
use crate::kit::upstream::Upstream;
use crate::ledger::call as whole_call;
use crate::traces::facts;

/// A scraped exporter whose calls take as long as the test says.
struct Exporter {
    addr: SocketAddr,
    metrics: Arc<Metrics>,
    _ended: DropGuard,
}

impl Exporter {
    async fn start() -> Self {
        let models: Arc<Models> = Arc::default();
        let metrics = Arc::new(Metrics::new(
            gravimeter::export::Config::default(),
            Arc::clone(&models),
        ));
        let web = Web::new(
            web::Config::default(),
            None,
            Arc::clone(&metrics),
            Arc::new(Ledger::new(Timestamp::now(), Arc::clone(&models))),
            Readiness::new([]),
            Arc::new(Live::new(models)),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(web.serve(listener, tasks.clone(), stopping.clone()));
        Self {
            addr,
            metrics,
            _ended: stopping.drop_guard(),
        }
    }

    /// A call for each duration, of a model that is called after it.
    fn calls(&self) {
        for (number, (model, seconds)) in (0..).zip(DURATIONS) {
            let place = facts::place(number + 1, None);
            let mut call = Call {
                model: Model::from_wire(model),
                ..facts::call(number, Some(place))
            };
            call.timing.duration = Duration::from_secs_f64(seconds);
            call.timing.started_at = SystemTime::now() - call.timing.duration;
            self.metrics.receive(&Fact::Call(Box::new(call)));
        }
    }
}

const DURATIONS: [(&str, f64); 4] = [
    ("10-milliseconds", 0.01),
    ("10-seconds", 10.0),
    ("7-minutes", 420.0),
    ("30-minutes", 1800.0),
];

const NATIVE: &str = "gravimeter_call_duration_seconds";

const CLASSIC: &str = "gravimeter_call_duration_seconds_bucket";

/// Every quantile of what is counted while Prometheus scrapes is right to one percent.
async fn is_right_to_one_percent(prometheus: &Prometheus, exporter: &Exporter) {
    for (model, seconds) in DURATIONS {
        for quantile in [0.5, 0.99] {
            let query = format!(
                "histogram_quantile({quantile}, sum(rate({NATIVE}{{model=\"{model}\"}}[1m])))"
            );
            let answer = until(async || {
                exporter.calls();
                prometheus.value(&query).await.filter(|it| it.is_finite())
            })
            .await;
            let error = answer / seconds - 1.0;
            assert!(error.abs() < 0.01, "{query} is {answer}, not {seconds}");
        }
    }
}

async fn has_exemplars_of_each_model(prometheus: &Prometheus) {
    for (number, (model, seconds)) in (1..).zip(DURATIONS) {
        let query = format!("{NATIVE}{{model=\"{model}\"}}");
        let found = until(async || {
            let found = prometheus.exemplars(&query).await;
            (!found.is_empty()).then_some(found)
        })
        .await;
        for (series, exemplar) in found {
            assert_eq!(series["__name__"], NATIVE);
            assert_eq!(exemplar["labels"]["span_id"], format!("{number:016x}"));
            let value: f64 = exemplar["value"]
                .as_str()
                .expect("text")
                .parse()
                .expect("a number");
            assert!((value - seconds).abs() < 1e-9, "{exemplar}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_shows_the_p99_of_seven_minute_calls_as_seven_minutes() {
    let exporter = Exporter::start().await;
    let features = ["native-histograms"];
    let Some(prometheus) = Prometheus::with("", &features, &[exporter.addr], &[]) else {
        return;
    };
    is_right_to_one_percent(&prometheus, &exporter).await;
    has_exemplars_of_each_model(&prometheus).await;
    assert_eq!(
        prometheus.value(&format!("count({CLASSIC})")).await,
        None,
        "who asks for protobuf keeps the native ones alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_3_shows_the_same_and_keeps_the_classic_ones_where_it_is_told_to() {
    let exporter = Exporter::start().await;
    let features = ["native-histograms"];
    let options = ", always_scrape_classic_histograms: true";
    let Some(prometheus) = Prometheus::third(options, &features, &[exporter.addr]) else {
        return;
    };
    is_right_to_one_percent(&prometheus, &exporter).await;
    has_exemplars_of_each_model(&prometheus).await;
    let classic = format!(
        "histogram_quantile(0.99, sum by (le) (rate({CLASSIC}{{model=\"7-minutes\"}}[1m])))"
    );
    let answer = prometheus.value(&classic).await.expect("a number");
    assert!((327.68..=655.36).contains(&answer), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_without_native_histograms_keeps_the_classic_ones() {
    let exporter = Exporter::start().await;
    let Some(prometheus) = Prometheus::with("", &[], &[exporter.addr], &[]) else {
        return;
    };
    exporter.calls();
    let buckets = format!("count({CLASSIC}{{model=\"7-minutes\"}})");
    let count = until(async || prometheus.value(&buckets).await).await;
    assert_eq!(count, 16.0);
    assert_eq!(prometheus.value(&format!("count({NATIVE})")).await, None);
}

/// A program that a Prometheus scrapes, and that may be started again at the same place.
struct Restarted {
    upstream: Upstream,
    flags: Vec<String>,
    web: SocketAddr,
}

impl Restarted {
    async fn new() -> Self {
        let web = free_address();
        let upstream = Upstream::start().await;
        let flags = upstream.flags(&["--web.listen", &web.to_string()]);
        Self {
            upstream,
            flags,
            web,
        }
    }

    async fn start(&self, folder: tempfile::TempDir) -> Binary {
        Binary::with(Command::new(PROGRAM), folder, &self.flags).await
    }

    async fn calls(&self, binary: &Binary, count: usize) {
        let mut ends = self.upstream.pair(binary).await;
        for _ in 0..count {
            whole_call(&mut ends).await;
        }
    }
}

const CALLS: &str = "sum(gravimeter_calls_total{outcome=\"ok\"})";

/// Three calls, a kill in the middle of everything, two more calls; a gone exporter goes stale, no
/// counter is seen to jump or to fall.
async fn a_restart_is_no_jump(prometheus: &Prometheus, place: &Restarted) {
    let scraped = |count: f64| async move {
        until(async || (prometheus.value(CALLS).await == Some(count)).then_some(())).await;
    };
    let binary = place.start(tempfile::tempdir().expect("a folder")).await;
    place.calls(&binary, 1).await;
    scraped(1.0).await;
    place.calls(&binary, 2).await;
    scraped(3.0).await;
    let before = read(place.web).await;
    let last_reading = SystemTime::now();
    let folder = binary.kill().await;
    until(async || prometheus.value(CALLS).await.is_none().then_some(())).await;
    assert_eq!(prometheus.value(&format!("count({NATIVE})")).await, None);

    let binary = place.start(folder).await;
    scraped(3.0).await;
    place.calls(&binary, 2).await;
    scraped(5.0).await;
    let resets = "sum(resets(gravimeter_calls_total[10m]))";
    assert_eq!(prometheus.value(resets).await, Some(0.0));
    // What one scrape adds to the one before it is never more than the calls between them.
    let step = "sum(gravimeter_calls_total{outcome=\"ok\"}) - sum(gravimeter_calls_total{outcome=\"ok\"} offset 1s)";
    let steps = format!("max_over_time(({step})[10m:1s])");
    let largest = prometheus.value(&steps).await.expect("a number");
    assert!((1.0..=2.0).contains(&largest), "{largest}");
    let falls = format!("min_over_time(({step})[10m:1s])");
    let smallest = prometheus.value(&falls).await.expect("a number");
    assert!(smallest >= 0.0, "{smallest}");
    start_times_tell_what_began_anew(&before, last_reading, &read(place.web).await);
    binary.stop().await;
}

/// A counter that goes on has the start that it had or an earlier one, whichever a scraper has
/// seen; one that begins anew has a later one.
fn start_times_tell_what_began_anew(
    before: &[MetricFamily],
    last_reading: SystemTime,
    after: &[MetricFamily],
) {
    let (mut resumed, mut anew) = (0, 0);
    for (name, labels, value, start) in counters(after) {
        let earlier = counters(before).find(|(was, had, ..)| *was == name && *had == labels);
        let Some((_, _, was, _)) = earlier else {
            continue;
        };
        if start <= last_reading {
            assert!(value >= was, "{name} {labels:?} fell and began earlier");
            resumed += 1;
        } else {
            anew += 1;
            assert_ne!(
                name, "gravimeter_tokens_total",
                "{labels:?}: the ledger has it"
            );
        }
    }
    assert!(resumed > 3 && anew > 3, "{resumed} {anew}");
}

/// Name, labels, value and start of every counter above zero.
fn counters(
    families: &[MetricFamily],
) -> impl Iterator<Item = (&str, Vec<(&str, &str)>, f64, SystemTime)> {
    families.iter().flat_map(|family| {
        family.metric.iter().filter_map(|metric| {
            let counter = metric
                .counter
                .as_ref()
                .filter(|counter| counter.value > 0.0)?;
            let start = counter.start_timestamp.expect("a start");
            let labels = metric.label.iter();
            Some((
                family.name.as_str(),
                labels
                    .map(|label| (label.name.as_str(), label.value.as_str()))
                    .collect(),
                counter.value,
                SystemTime::try_from(start).expect("a time"),
            ))
        })
    })
}

/// A scrape as protobuf.
async fn read(exporter: SocketAddr) -> Vec<MetricFamily> {
    let content_type = Format::Protobuf.content_type();
    let mut stream = TcpStream::connect(exporter).await.expect("an exporter");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {exporter}\r\nAccept: {content_type}\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let end_of_head = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&answer[..end_of_head]).into_owned();
    assert!(head.contains(content_type), "{head}");
    let mut rest = &answer[end_of_head + 4..];
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).expect("a family"));
    }
    families
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_sees_no_jump_over_a_kill() {
    let place = Restarted::new().await;
    let Some(prometheus) = Prometheus::with("", &["native-histograms"], &[place.web], &[]) else {
        return;
    };
    a_restart_is_no_jump(&prometheus, &place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_3_begins_a_counter_at_zero_and_sees_no_jump_over_a_kill() {
    let place = Restarted::new().await;
    let features = ["native-histograms", "created-timestamp-zero-ingestion"];
    let Some(prometheus) = Prometheus::third("", &features, &[place.web]) else {
        return;
    };
    a_restart_is_no_jump(&prometheus, &place).await;
    // The first call is in no difference of two scrapes: it is in the one from the start.
    let increase = "sum(max_over_time(gravimeter_calls_total{outcome=\"ok\"}[10m]) \
                    - min_over_time(gravimeter_calls_total{outcome=\"ok\"}[10m]))";
    assert_eq!(prometheus.value(increase).await, Some(5.0));
}
