//! Both formats say the same, and their readers accept them.

use std::time::UNIX_EPOCH;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use proptest::prelude::*;

use super::kit::{every_fact, exemplars, metrics, promtool, samples};
use crate::export::series::declare;
use crate::export::text::{Format, encode, negotiate};
use crate::record::Sink as _;

#[test]
fn the_accept_header_picks_the_format() {
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                        application/openmetrics-text;version=0.0.1;q=0.4,\
                        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for (accept, format) in [
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
fn text_is_made_line_by_line() {
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
    assert_eq!(encode(&registry, Format::Text).expect("text"), expected);
    let openmetrics = encode(&registry, Format::OpenMetrics).expect("text");
    assert!(
        openmetrics.contains("# TYPE things counter")
            && openmetrics.contains("# UNIT wait_seconds seconds")
    );
    assert!(openmetrics.ends_with("# EOF\n"));
}

#[test]
fn exemplars_stay_in_openmetrics() {
    let mut registry = Registry::default();
    let histogram = HistogramWithExemplars::new([1.0].into_iter());
    histogram.observe(
        0.5,
        Some(vec![("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")]),
        None,
    );
    registry.register("h", "H", histogram);
    assert!(
        encode(&registry, Format::OpenMetrics)
            .expect("text")
            .contains("# {trace_id=")
    );
    let text = encode(&registry, Format::Text).expect("text");
    assert!(
        text.contains("h_bucket{le=\"1.0\"} 1\n") && !text.contains("trace_id"),
        "{text}"
    );
}

#[test]
fn an_exemplar_is_cut_where_there_are_no_labels_before_it() {
    let mut registry = Registry::default();
    let counter = CounterWithExemplar::<Vec<(&str, &str)>>::default();
    counter.inc_by(7, Some(vec![("trace_id", "a} # {\"")]), Some(UNIX_EPOCH));
    registry.register("c", "C", counter);
    assert!(
        encode(&registry, Format::OpenMetrics)
            .expect("text")
            .contains("c_total 7 # {trace_id=")
    );
    assert_eq!(
        encode(&registry, Format::Text).expect("text"),
        "# HELP c_total C.\n# TYPE c_total counter\nc_total 7\n"
    );
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let Some((clean, said)) = promtool(&metrics.encode(Format::Text).expect("text")) else {
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
    let openmetrics = metrics.encode(Format::OpenMetrics).expect("text");
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
        let text = encode(&registry, Format::Text).expect("text");
        let openmetrics = encode(&registry, Format::OpenMetrics).expect("text");
        prop_assert_eq!(samples(&text), samples(&openmetrics));
        prop_assert!(exemplars(&text).is_empty());
        prop_assert_eq!(exemplars(&openmetrics).len(), observations);
    }
}
