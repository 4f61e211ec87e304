//! Both formats say the same, and their readers accept them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::prometheus_protobuf;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use proptest::prelude::*;

use super::kit::{
    Key, by_sample, decoded, every_fact, exemplars, exposition, metrics, promtool, samples,
};
use crate::export::formats::{Format, negotiate};
use crate::export::series::declare;
use crate::export::text::{open_metrics, plain};
use crate::export::{Config, Metrics};
use crate::record::Sink as _;

#[test]
fn the_accept_header_picks_the_format() {
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                        application/openmetrics-text;version=0.0.1;q=0.4,\
                        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let with_native_histograms = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
         application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, format) in [
        (with_native_histograms, Format::Protobuf),
        (
            "application/openmetrics-text,Application/Vnd.Google.Protobuf; Encoding=\"delimited\"; \
             Proto=\"io.prometheus.client.MetricFamily\"; escaping=underscores",
            Format::Protobuf,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,\
             application/openmetrics-text;q=0.6",
            Format::OpenMetrics,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0,*/*;q=0.1",
            Format::Text,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text,*/*;q=0.1",
            Format::Text,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
            Format::Text,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.write.v2.Request;encoding=delimited,*/*;q=0.1",
            Format::Text,
        ),
        (prometheus_2, Format::OpenMetrics),
        (prometheus_3, Format::OpenMetrics),
        ("application/openmetrics-text", Format::OpenMetrics),
        (
            "Application/OpenMetrics-Text; Version=\"1.0.0\"",
            Format::OpenMetrics,
        ),
        (
            "text/plain, application/openmetrics-text",
            Format::OpenMetrics,
        ),
        (
            "application/vnd.google.protobuf;q=1,application/openmetrics-text;q=0.1",
            Format::OpenMetrics,
        ),
        (
            "text/plain;q=0.9, application/openmetrics-text;q=0.8",
            Format::Text,
        ),
        (
            "application/openmetrics-text;q=0, text/plain;q=0.1",
            Format::Text,
        ),
        ("application/openmetrics-text;q=0", Format::Text),
        ("application/openmetrics-text; version=0.0.1", Format::Text),
        ("application/openmetrics-text;version=2.0.0", Format::Text),
        ("application/openmetrics-text;q=7", Format::Text),
        ("application/openmetrics-text;q=banana", Format::Text),
        ("application/openmetrics-text;q=1.001", Format::Text),
        ("text/html,*/*;q=0.8", Format::Text),
        ("*/*", Format::Text),
        ("nonsense", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(negotiate(Some(accept)), format, "{accept}");
    }
    assert_eq!(negotiate(None), Format::Text);
}

#[test]
fn text_is_what_prometheus_and_openmetrics_specify() {
    let mut registry = Registry::default();
    let family = declare(
        &mut registry,
        "things_total",
        "Things",
        Family::<Vec<(String, String)>, Counter>::default(),
    );
    family
        .get_or_create_owned(&vec![(
            "name".to_owned(),
            "a } # {x=\"1\"} 1\n\\".to_owned(),
        )])
        .inc_by(3);
    declare(
        &mut registry,
        "wait_seconds",
        "Wait",
        Gauge::<i64>::default(),
    )
    .set(-2);
    let info = prometheus_client::metrics::info::Info::new(vec![("version", "1")]);
    registry.register("build", "Build", info);
    let families = prometheus_protobuf::encode(&registry).expect("families");
    let expected = "\
# HELP things_total Things.
# TYPE things_total counter
things_total{name=\"a } # {x=\\\"1\\\"} 1\\n\\\\\"} 3
# HELP wait_seconds Wait.
# TYPE wait_seconds gauge
wait_seconds -2
# HELP build_info Build.
# TYPE build_info gauge
build_info{version=\"1\"} 1
";
    assert_eq!(plain(&families).expect("text"), expected);
    let expected = "\
# HELP things Things.
# TYPE things counter
things_total{name=\"a } # {x=\\\"1\\\"} 1\\n\\\\\"} 3
# HELP wait_seconds Wait.
# TYPE wait_seconds gauge
# UNIT wait_seconds seconds
wait_seconds -2
# HELP build Build.
# TYPE build info
build_info{version=\"1\"} 1
# EOF
";
    assert_eq!(open_metrics(&families, false).expect("text"), expected);
}

#[test]
fn exemplars_stay_in_openmetrics() {
    let mut registry = Registry::default();
    let histogram = HistogramWithExemplars::new([1.0].into_iter());
    let labels = vec![("trace_id", "a} # {\"")];
    histogram.observe(0.5, Some(labels.clone()), None);
    registry.register("h", "H", histogram);
    let counter = CounterWithExemplar::<Vec<(&str, &str)>>::default();
    counter.inc_by(7, Some(labels), Some(UNIX_EPOCH));
    registry.register("c", "C", counter);
    let families = prometheus_protobuf::encode(&registry).expect("families");
    let openmetrics = open_metrics(&families, false).expect("text");
    for line in [
        "h_bucket{le=\"1.0\"} 1 # {trace_id=\"a} # {\\\"\"} 0.5\n",
        "c_total 7 # {trace_id=\"a} # {\\\"\"} 7.0 0.0\n",
    ] {
        assert!(openmetrics.contains(line), "{openmetrics}");
    }
    let expected = "\
# HELP h H.
# TYPE h histogram
h_sum 0.5
h_count 1
h_bucket{le=\"1.0\"} 1
h_bucket{le=\"+Inf\"} 1
# HELP c_total C.
# TYPE c_total counter
c_total 7
";
    assert_eq!(plain(&families).expect("text"), expected);
}

#[test]
fn text_is_what_the_librarys_own_encoder_writes() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let mut theirs = String::new();
    prometheus_client::encoding::text::encode(&mut theirs, metrics.registry()).expect("text");
    let ours = exposition(&metrics, Format::OpenMetrics);
    let metadata = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(metadata(&ours), metadata(&theirs));
    let numbers = |text: &str| {
        let mut samples = samples(text);
        samples.retain(|(name, _), _| !name.starts_with("process_"));
        let parsed = samples.into_iter();
        let parsed = parsed.map(|(key, value)| (key, value.parse::<f64>().expect("a number")));
        parsed.collect::<Vec<_>>()
    };
    assert_eq!(numbers(&ours), numbers(&theirs));
}

#[test]
fn protobuf_carries_the_same_samples_as_text() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let of_protobuf = by_sample(&decoded(&metrics));
    let of_text = samples(&exposition(&metrics, Format::Text));
    let mut of_text: Vec<_> = of_text
        .into_iter()
        .map(|(key, value)| (key, value.parse::<f64>().expect("a number")))
        .collect();
    let mut of_protobuf = Vec::from_iter(of_protobuf);
    for samples in [&mut of_text, &mut of_protobuf] {
        samples.retain(|((name, _), _)| !name.starts_with("process_"));
    }
    assert!(of_text.len() > 500);
    assert_eq!(of_protobuf, of_text);
}

#[test]
fn native_buckets_hold_as_many_values_as_the_classic_ones() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let families = decoded(&metrics);
    let series = families.iter().flat_map(|family| &family.metric);
    let histograms: Vec<_> = series
        .filter_map(|metric| metric.histogram.as_ref())
        .collect();
    assert!(histograms.len() > 10);
    for histogram in histograms {
        let (mut count, mut all) = (0, histogram.zero_count);
        for delta in &histogram.positive_delta {
            count += delta;
            all += u64::try_from(count).expect("no bucket holds less than nothing");
        }
        let classic = histogram.bucket.last().expect("a bucket");
        assert_eq!(
            (all, all),
            (histogram.sample_count, classic.cumulative_count)
        );
        let buckets: u32 = histogram.positive_span.iter().map(|span| span.length).sum();
        assert_eq!(buckets as usize, histogram.positive_delta.len());
    }
}

#[test]
fn every_counter_and_histogram_says_since_when_it_counts_where_that_is_asked_for() {
    let config = Config {
        created_timestamps: true,
        ..Config::default()
    };
    let (asked, not_asked) = (Metrics::new(config, Arc::default()), metrics());
    for metrics in [&asked, &not_asked] {
        every_fact().iter().for_each(|fact| metrics.receive(fact));
    }
    let created = |metrics: &Metrics| -> Vec<(Key, f64)> {
        samples(&exposition(metrics, Format::OpenMetrics))
            .into_iter()
            .filter_map(|((name, labels), at)| {
                let family = name.strip_suffix("_created")?.to_owned();
                Some(((family, labels), at.parse().expect("a time")))
            })
            .collect()
    };
    assert_eq!(created(&not_asked), []);
    let mut of_protobuf = Vec::new();
    for family in decoded(&asked) {
        let name = family.name.strip_suffix("_total").unwrap_or(&family.name);
        for metric in &family.metric {
            let counter = metric
                .counter
                .as_ref()
                .map(|counter| counter.start_timestamp);
            let histogram = metric.histogram.as_ref().map(|it| it.start_timestamp);
            let Some(start) = counter.or(histogram) else {
                continue;
            };
            let start = SystemTime::try_from(start.expect("a start")).expect("a time");
            assert!(start <= SystemTime::now());
            let pairs = metric.label.iter();
            let labels = pairs.map(|label| (label.name.clone(), label.value.clone()));
            let since = start.duration_since(UNIX_EPOCH).expect("after 1970");
            of_protobuf.push(((name.to_owned(), labels.collect()), since.as_secs_f64()));
        }
    }
    of_protobuf.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(of_protobuf.len() > 100);
    assert_eq!(created(&asked), of_protobuf);
    let text = exposition(&asked, Format::Text);
    assert!(!text.contains("_created"), "0.0.4 knows no such sample");
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let Some((clean, said)) = promtool(&exposition(&metrics, Format::Text)) else {
        return;
    };
    assert!(clean && said.is_empty(), "{said}");
    let (clean, _) = promtool("# TYPE x counter\nx 1\n").expect("promtool");
    assert!(!clean, "promtool must be able to fail");
}

#[test]
fn every_family_is_explained_in_words_that_need_no_escape() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let openmetrics = exposition(&metrics, Format::OpenMetrics);
    let explained = openmetrics
        .lines()
        .filter(|line| line.starts_with("# HELP"));
    assert!(
        explained
            .clone()
            .all(|line| !line.contains(['"', '\\']) && !line.ends_with(".."))
    );
    assert_eq!(
        explained.count(),
        openmetrics
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .count()
    );
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn both_formats_carry_the_same_samples(
        series in prop::collection::hash_map(("\\PC*", any::<String>()), (any::<u64>(), any::<f64>()), 0..8)
    ) {
        let mut registry = Registry::default();
        let labels = Family::<Vec<(String, String)>, Counter>::default();
        let counters = declare(&mut registry, "c_total", "C", labels);
        let histogram: fn() -> HistogramWithExemplars<_> = || HistogramWithExemplars::new([0.5, 2.0].into_iter());
        let histograms = Family::<Vec<(String, String)>, _, _>::new_with_constructor(histogram);
        registry.register("h", "H", histograms.clone());
        let observations = series.values().filter(|(_, observed)| !observed.is_nan()).count();
        for ((a, b), (count, observed)) in series {
            let labels = vec![("a".to_owned(), a), ("b".to_owned(), b)];
            counters.get_or_create_owned(&labels).inc_by(count);
            histograms.get_or_create_owned(&labels).observe(observed, Some(labels.clone()), Some(UNIX_EPOCH));
        }
        let families = prometheus_protobuf::encode(&registry).expect("families");
        let text = plain(&families).expect("text");
        let openmetrics = open_metrics(&families, false).expect("text");
        prop_assert_eq!(samples(&text), samples(&openmetrics));
        prop_assert!(exemplars(&text).is_empty());
        prop_assert_eq!(exemplars(&openmetrics).len(), observations);
    }
}
