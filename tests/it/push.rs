//! Promise: pushed metrics say what a scrape says, and no outage of the collector loses a count or
//! doubles it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gravimeter::config::{self, Inputs, Places};
use gravimeter::demo::agent::{AgentOptions, converse};
use gravimeter::demo::provider::ProviderOptions;
use gravimeter::export::Metrics;
use gravimeter::export::formats::Format;
use gravimeter::export::otlp::{
    Config, Endpoint, HistogramAggregation, Protocol, Push, Pusher, Resource, Temporality,
};
use gravimeter::record::{Fact, Sink as _};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply};
use crate::kit::soon;
use crate::skip;
use crate::traces::decoder::{METRICS, decoded};
use crate::traces::real::Rotel;
use crate::traces::{PROTOCOLS, facts, no_roots};
use crate::whole::{Whole, series, sum};

/// Pushes every few milliseconds.
fn pushing(collector: &Collector, protocol: Protocol, temporality: Temporality) -> Config {
    let mut config = crate::traces::config(collector.addr, protocol);
    config.metrics = Push {
        enabled: true,
        temporality,
        interval: Duration::from_millis(5),
        ..config.metrics
    };
    config
}

/// A registry and who pushes it.
struct Pushed {
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Pushed {
    fn start(config: &Config) -> Self {
        let metrics = Arc::new(Metrics::new(
            gravimeter::export::Config::default(),
            Arc::default(),
        ));
        let pusher =
            Pusher::new(config, Resource::new(config), Arc::clone(&metrics)).expect("an endpoint");
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(pusher.run(no_roots(), tasks.clone(), stopping.clone()));
        Self {
            metrics,
            tasks,
            stopping,
        }
    }

    fn call(&self, number: u64) {
        self.metrics
            .receive(&Fact::Call(Box::new(facts::call(number, None))));
    }

    fn shown(&self, metric: &str) -> BTreeMap<String, f64> {
        series(
            &String::from_utf8(self.metrics.encode(Format::Text).expect("an exposition"))
                .expect("text"),
            metric,
        )
    }

    async fn end(&self) {
        self.stopping.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

/// The sum of a metric over all series.
fn total(push: &[Metric], name: &str) -> u64 {
    let Some(metric) = push.iter().find(|metric| metric.name == name) else {
        return 0;
    };
    match metric.data.as_ref().expect("data") {
        metric::Data::Sum(sum) => {
            let values = sum.data_points.iter().map(|point| match point.value {
                Some(number_data_point::Value::AsDouble(value)) => value as u64,
                other => panic!("{other:?}"),
            });
            values.sum()
        }
        metric::Data::Histogram(histogram) => {
            histogram.data_points.iter().map(|point| point.count).sum()
        }
        metric::Data::ExponentialHistogram(histogram) => {
            histogram.data_points.iter().map(|point| point.count).sum()
        }
        other => panic!("{name}: {other:?}"),
    }
}

const CALLS: &str = "gravimeter_calls";
const DURATION: &str = "gravimeter_call_duration";

#[tokio::test]
async fn deltas_add_up_whatever_the_collector_does() {
    let script = [
        Reply::Take,
        Reply::Status(503),
        Reply::Status(400),
        Reply::Take,
        Reply::Reset,
        Reply::Status(500),
        Reply::Take,
    ];
    for (protocol, histograms) in [
        (Protocol::Grpc, HistogramAggregation::Exponential),
        (Protocol::HttpProtobuf, HistogramAggregation::Exponential),
        (Protocol::HttpProtobuf, HistogramAggregation::Explicit),
    ] {
        let collector = Collector::start(&script).await;
        let mut config = pushing(&collector, protocol, Temporality::Delta);
        config.metrics.histograms = histograms;
        let pushed = Pushed::start(&config);
        for number in 1..=100 {
            pushed.call(number);
            let before = collector.requests().len();
            if number % 10 == 0 {
                until(async || (collector.requests().len() > before).then_some(())).await;
            }
        }
        pushed.end().await;
        let pushes = collector.pushes();
        assert!(pushes.len() > 2, "{protocol:?}: several were taken");
        for name in [CALLS, DURATION, "gen_ai.client.inference.duration"] {
            assert_eq!(
                pushes.iter().map(|push| total(push, name)).sum::<u64>(),
                100,
                "{protocol:?} {name}"
            );
        }
        let tokens = sum(&pushed.shown("gravimeter_tokens_total"), &[]);
        let told: u64 = pushes
            .iter()
            .map(|push| total(push, "gravimeter_tokens"))
            .sum();
        assert_eq!(told, tokens, "{protocol:?}");
        let dropped = pushed.shown("gravimeter_otlp_points_dropped_total");
        assert!(sum(&dropped, &["reason=\"rejected\""]) > 0, "{dropped:?}");
    }
}

#[tokio::test]
async fn cumulative_sums_end_with_what_a_scrape_shows() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(&[Reply::Take]).await;
        let pushed = Pushed::start(&pushing(&collector, protocol, Temporality::Cumulative));
        (1..=7).for_each(|number| pushed.call(number));
        until(async || (collector.pushes().len() > 2).then_some(())).await;
        pushed.end().await;
        let pushes = collector.pushes();
        let last = pushes.last().expect("a push");
        assert_eq!(
            (total(last, CALLS), total(last, DURATION)),
            (7, 7),
            "{protocol:?}"
        );
        assert_eq!(
            total(last, "gravimeter_tokens"),
            sum(&pushed.shown("gravimeter_tokens_total"), &[])
        );
        let exported = sum(&pushed.shown("gravimeter_otlp_points_exported_total"), &[]);
        let dropped = sum(&pushed.shown("gravimeter_otlp_points_dropped_total"), &[]);
        assert_eq!(
            (exported, dropped),
            (pushes.iter().flatten().map(points).sum(), 0),
            "{protocol:?}"
        );
    }
}

fn points(metric: &Metric) -> u64 {
    let points = match metric.data.as_ref().expect("data") {
        metric::Data::Gauge(gauge) => gauge.data_points.len(),
        metric::Data::Sum(sum) => sum.data_points.len(),
        metric::Data::Histogram(histogram) => histogram.data_points.len(),
        metric::Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        other => panic!("{other:?}"),
    };
    points as u64
}

/// A collector of other people's making reads the points as they were meant.
#[tokio::test]
async fn a_real_collector_takes_pushed_metrics() {
    let forms = [
        (
            HistogramAggregation::Exponential,
            "DataType: ExponentialHistogram",
        ),
        (HistogramAggregation::Explicit, "DataType: Histogram"),
    ];
    let cases = PROTOCOLS
        .into_iter()
        .flat_map(|protocol| forms.map(|form| (protocol, form)));
    for (protocol, (histograms, kind)) in cases {
        let Some(rotel) = Rotel::printing("metrics").await else {
            return;
        };
        let addr = if protocol == Protocol::Grpc {
            rotel.grpc
        } else {
            rotel.http
        };
        let mut config = crate::traces::config(addr, protocol);
        // One push, at the end.
        config.metrics = Push {
            enabled: true,
            histograms,
            interval: Duration::from_secs(600),
            ..config.metrics
        };
        let pushed = Pushed::start(&config);
        (1..=7).for_each(|number| pushed.call(number));
        pushed.end().await;
        let mut before = String::new();
        let said = until(async || {
            let said = rotel.said();
            // What is being printed is not taken for the whole.
            let is_whole = said == before && said.contains(DURATION);
            before.clone_from(&said);
            is_whole.then_some(said)
        })
        .await;
        let described = |name: &str| {
            let (_, rest) = said.split_once(&format!("-> Name: {name}\n")).expect(name);
            rest.split("\nMetric #")
                .next()
                .expect("its points")
                .to_owned()
        };
        let calls = described(CALLS);
        for part in [
            "DataType: Sum",
            "IsMonotonic: true",
            "AGGREGATION_TEMPORALITY_CUMULATIVE",
            "Value: 7",
        ] {
            assert!(calls.contains(part), "{protocol:?} {part}: {calls}");
        }
        let duration = described(DURATION);
        for part in ["Unit: s", kind, "Count: 7", "Sum: 10.5"] {
            assert!(duration.contains(part), "{protocol:?} {part}: {duration}");
        }
    }
}

/// An exponential histogram as OpenTelemetry's own classes read it.
#[derive(serde::Deserialize)]
struct Decoded {
    count: u64,
    sum: f64,
    /// Lower bound, upper bound and count.
    buckets: Vec<(f64, f64, u64)>,
    /// Trace, span and value.
    exemplars: Vec<(String, String, f64)>,
}

#[tokio::test]
async fn another_decoder_sees_the_buckets_and_exemplars_that_were_meant() {
    let Some(classes) = skip::tool("opentelemetry-proto", "otlp", Some("OTLP_CLASSES")) else {
        return;
    };
    for protocol in PROTOCOLS {
        let collector = Collector::start(&[Reply::Take]).await;
        let mut config = pushing(&collector, protocol, Temporality::Cumulative);
        // One push, at the end.
        config.metrics.interval = Duration::from_secs(600);
        let pushed = Pushed::start(&config);
        let durations = [250, 1500, 1501, 40_000].map(Duration::from_millis);
        for (number, duration) in (1..).zip(durations) {
            let mut call = facts::call(number, Some(facts::place(0x10 + number, None)));
            call.timing.duration = duration;
            // An exemplar from before the program is not sent.
            call.timing.started_at = SystemTime::now();
            pushed.metrics.receive(&Fact::Call(Box::new(call)));
        }
        pushed.end().await;
        let read: Vec<BTreeMap<String, Vec<Decoded>>> =
            decoded(METRICS, &classes, &collector.messages()).expect("what it can read");
        let [histogram] = &read[0][DURATION][..] else {
            panic!("one series")
        };
        assert_eq!(
            (histogram.count, histogram.sum),
            (4, 43.251),
            "{protocol:?}"
        );
        let counts = durations.map(|duration| {
            let value = duration.as_secs_f64();
            let mut around = histogram.buckets.iter();
            let bucket = around.find(|(lower, upper, _)| *lower < value && value <= *upper);
            let (lower, upper, count) = bucket.expect("a bucket");
            assert!(upper / lower < 1.01, "{protocol:?} {lower}..{upper}");
            *count
        });
        assert_eq!(counts, [1, 2, 2, 1], "{protocol:?}");
        let named: Vec<_> = histogram
            .exemplars
            .iter()
            .map(|(trace, span, value)| {
                assert_eq!((trace.len(), span.len()), (32, 16));
                (span[14..].to_owned(), *value)
            })
            .collect();
        assert!(
            named.contains(&("11".to_owned(), 0.25)) && named.contains(&("14".to_owned(), 40.0)),
            "{protocol:?} {named:?}"
        );
    }
}

#[tokio::test]
async fn a_part_that_is_rejected_is_counted() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(&[Reply::Partial(3), Reply::Take]).await;
        let pushed = Pushed::start(&pushing(&collector, protocol, Temporality::Cumulative));
        until(async || (!collector.pushes().is_empty()).then_some(())).await;
        pushed.end().await;
        let dropped = pushed.shown("gravimeter_otlp_points_dropped_total");
        assert_eq!(sum(&dropped, &["reason=\"rejected\""]), 3, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_silent_collector_holds_nothing_up_at_the_end() {
    let collector = Collector::start(&[Reply::Silent]).await;
    let mut config = pushing(&collector, Protocol::HttpProtobuf, Temporality::Delta);
    config.timeout = Duration::from_secs(600);
    let pushed = Pushed::start(&config);
    until(async || (!collector.requests().is_empty()).then_some(())).await;
    pushed.end().await;
    assert!(
        sum(
            &pushed.shown("gravimeter_otlp_points_dropped_total"),
            &["reason=\"shutdown\""]
        ) > 0
    );
}

/// Through the whole program: what is pushed last is what `/metrics` and the provider's books say,
/// and its spans and points come from one and the same instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gravimeter_pushes_what_it_has_counted() {
    let collector = Collector::start(&[Reply::Take]).await;
    let whole = Whole::with(
        ProviderOptions {
            seed: 5,
            max_events: 4,
            ..ProviderOptions::default()
        },
        |config| {
            config.otlp.endpoint = Endpoint::parse(&format!("http://{}", collector.addr));
            config.otlp.metrics = Push {
                enabled: true,
                interval: Duration::from_millis(20),
                ..config.otlp.metrics.clone()
            };
        },
    )
    .await;
    let agent = AgentOptions {
        rounds: Some(4),
        pause_ms: 0,
        ..whole.agent()
    };
    let outcome = converse(
        agent,
        whole.provider_tasks.tracker(),
        whole.provider_tasks.stopping(),
    )
    .await
    .expect("an agent");
    assert!(outcome.is_clean(), "{:?}", outcome.failures);
    let calls = until(async || {
        let calls = sum(&whole.series("gravimeter_calls_total").await, &[]);
        (calls >= outcome.tally.models.values().map(|model| model.calls).sum()).then_some(calls)
    })
    .await;
    let tokens = sum(&whole.series("gravimeter_tokens_total").await, &[]);
    whole.stop().await;
    let pushes = collector.pushes();
    let last = pushes.last().expect("a push");
    assert_eq!(
        (total(last, CALLS), total(last, "gravimeter_tokens")),
        (calls, tokens)
    );
    assert_eq!(
        instances(&collector).len(),
        1,
        "{:?}",
        instances(&collector)
    );
}

/// By the specification's variables, each signal goes to a collector of its own, and a secret for
/// one never reaches the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_one_signal_is_not_told_to_the_collector_of_the_other() {
    let (spans, metrics) = (
        Collector::start(&[Reply::Take]).await,
        Collector::start(&[Reply::Take]).await,
    );
    let variables = [
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            format!("http://{}/v1/traces", spans.addr),
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "authorization=canary-of-spans".to_owned(),
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "GZIP".to_owned()),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            format!("http://{}/v1/metrics", metrics.addr),
        ),
        ("OTEL_METRICS_EXPORTER", "otlp".to_owned()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "20".to_owned()),
    ];
    let home = ("HOME".into(), "/home/nobody".into());
    let inputs = Inputs {
        file: None,
        flags: Vec::new(),
        places: Places::default(),
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .chain([home])
            .collect(),
    };
    let otlp = config::load(&inputs).expect("a configuration").config.otlp;
    let options = ProviderOptions {
        seed: 5,
        max_events: 4,
        ..ProviderOptions::default()
    };
    let whole = Whole::with(options, |config| config.otlp = otlp).await;
    let agent = AgentOptions {
        rounds: Some(2),
        pause_ms: 0,
        ..whole.agent()
    };
    let outcome = converse(
        agent,
        whole.provider_tasks.tracker(),
        whole.provider_tasks.stopping(),
    )
    .await
    .expect("an agent");
    assert!(outcome.is_clean(), "{:?}", outcome.failures);
    whole.stop().await;
    assert!(
        !spans.all().is_empty() && !metrics.pushes().is_empty(),
        "either was sent"
    );
    assert!(
        spans.pushes().is_empty() && metrics.all().is_empty(),
        "neither went to the other"
    );
    for (headers, _) in spans.requests() {
        assert_eq!(headers["authorization"], "canary-of-spans");
        assert_eq!(headers["content-encoding"], "gzip");
    }
    for (headers, _) in metrics.requests() {
        let shown = format!("{headers:?}");
        assert!(
            !headers.contains_key("authorization") && !shown.contains("canary"),
            "{shown}"
        );
        assert!(!headers.contains_key("content-encoding"), "{shown}");
    }
}

/// Every `service.instance.id` that the collector was told.
fn instances(collector: &Collector) -> std::collections::BTreeSet<String> {
    let resources = collector.resources();
    let attributes = resources.iter().flat_map(|resource| &resource.attributes);
    let ids = attributes
        .filter(|it| it.key == "service.instance.id")
        .filter_map(|it| it.value.clone()?.value);
    ids.map(|value| {
        if let Value::StringValue(id) = value {
            id
        } else {
            panic!("a text")
        }
    })
    .collect()
}

#[tokio::test]
async fn nothing_is_pushed_unless_it_is_asked_for() {
    let collector = Collector::start(&[Reply::Take]).await;
    let config = crate::traces::config(collector.addr, Protocol::Grpc);
    let metrics = Arc::new(Metrics::new(
        gravimeter::export::Config::default(),
        Arc::default(),
    ));
    assert!(Pusher::new(&config, Resource::new(&config), metrics).is_none());
}
