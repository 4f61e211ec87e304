//! The collector's configuration that is delivered: it holds together, and so does the way that it
//! describes.

use std::collections::BTreeMap;
use std::path::Path;

use gravimeter::export::otlp::{Config, Protocol};
use gravimeter::record::Fact;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde::Deserialize;
use serde_json::Value;

use super::conversation::Seen;
use super::facts::{calls, first_call, place, run};
use super::real::Rotel;
use super::{PROTOCOLS, Way, config, fate};
use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply};

const YAML: &str = include_str!("../../../deploy/otel-collector.yaml");

const DOCS: &str = include_str!("../../../docs/tracing.md");

/// As the collector has it: <https://opentelemetry.io/docs/collector/configuration/>.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deployed {
    receivers: BTreeMap<String, Value>,
    processors: BTreeMap<String, Value>,
    exporters: BTreeMap<String, Value>,
    extensions: BTreeMap<String, Value>,
    service: Service,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    extensions: Vec<String>,
    pipelines: BTreeMap<String, Pipeline>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipeline {
    receivers: Vec<String>,
    processors: Vec<String>,
    exporters: Vec<String>,
}

/// Puts variables, or their defaults, in their places, as YAML, which is what the collector does.
fn expanded(variables: &[(&str, &str)]) -> Deployed {
    let mut parts = YAML.split("${env:");
    let mut text = parts.next().expect("a beginning").to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("its end");
        let (name, default) = variable.split_once(":-").expect("a default");
        text += variables
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(default, |(_, value)| value);
        text += rest;
    }
    serde_saphyr::from_str(&text).expect("a configuration")
}

/// Every component, and what may be set of it here. A key that is new must be looked up in the
/// component's README first.
const COMPONENTS: [(&str, &[&str]); 7] = [
    ("otlp", &["protocols"]),
    (
        "memory_limiter",
        &["check_interval", "limit_mib", "spike_limit_mib"],
    ),
    (
        "batch",
        &["timeout", "send_batch_size", "send_batch_max_size"],
    ),
    ("debug", &["verbosity"]),
    (
        "otlp_http",
        &[
            "endpoint",
            "compression",
            "retry_on_failure",
            "sending_queue",
        ],
    ),
    ("otlp_http/metrics", &["endpoint"]),
    ("health_check", &["endpoint"]),
];

#[test]
fn every_part_of_a_pipeline_is_declared_and_every_part_is_used() {
    for exporters in [
        None,
        Some("[debug]"),
        Some("[otlp_http]"),
        Some("[debug, otlp_http]"),
    ] {
        let chosen: Vec<_> = exporters
            .iter()
            .map(|chosen| ("TRACE_EXPORTERS", *chosen))
            .collect();
        let deployed = expanded(&chosen);
        for (name, pipeline) in &deployed.service.pipelines {
            assert!(
                ["metrics", "traces"].contains(&name.as_str()),
                "nothing else comes: {name}"
            );
            assert!(
                pipeline
                    .receivers
                    .iter()
                    .all(|it| deployed.receivers.contains_key(it)),
                "{pipeline:?}"
            );
            assert!(
                pipeline
                    .processors
                    .iter()
                    .all(|it| deployed.processors.contains_key(it)),
                "{pipeline:?}"
            );
            assert!(
                pipeline
                    .exporters
                    .iter()
                    .all(|it| deployed.exporters.contains_key(it)),
                "{pipeline:?}"
            );
            assert_eq!(pipeline.receivers, ["otlp"]);
            assert_eq!(
                pipeline.processors,
                ["memory_limiter", "batch"],
                "the limiter comes first"
            );
        }
        let wanted = exporters.unwrap_or("[debug]");
        assert_eq!(
            format!(
                "[{}]",
                deployed.service.pipelines["traces"].exporters.join(", ")
            ),
            wanted
        );
        assert_eq!(
            Vec::from_iter(deployed.extensions.keys()),
            Vec::from_iter(&deployed.service.extensions)
        );
        let declared = [
            &deployed.receivers,
            &deployed.processors,
            &deployed.exporters,
            &deployed.extensions,
        ];
        let declared: BTreeMap<_, _> = declared.into_iter().flatten().collect();
        assert_eq!(declared.len(), COMPONENTS.len());
        for (name, known) in COMPONENTS {
            let set = declared
                .get(&name.to_owned())
                .unwrap_or_else(|| panic!("{name} is declared"));
            for key in set.as_object().expect("settings").keys() {
                assert!(known.contains(&key.as_str()), "{name}: {key}");
            }
        }
    }
}

#[test]
fn the_collector_listens_where_the_documentation_sends_spans() {
    let deployed = expanded(&[("TRACE_STORE", "http://store.example.com:4318")]);
    let protocols = &deployed.receivers["otlp"]["protocols"];
    assert_eq!(
        Vec::from_iter(protocols.as_object().expect("protocols").keys()),
        ["grpc", "http"]
    );
    for (protocol, port) in [("grpc", "4317"), ("http", "4318")] {
        let endpoint = protocols[protocol]["endpoint"]
            .as_str()
            .expect("an endpoint");
        assert_eq!(endpoint, format!("127.0.0.1:{port}"), "loopback alone");
        assert!(
            DOCS.contains(&format!("http://{endpoint}")),
            "{endpoint} is where the documentation sends spans"
        );
    }
    assert_eq!(
        deployed.exporters["otlp_http"]["endpoint"],
        "http://store.example.com:4318"
    );
    let health = deployed.extensions["health_check"]["endpoint"]
        .as_str()
        .expect("an endpoint");
    assert!(
        DOCS.contains(&format!("http://{health}/")),
        "{health} is where the documentation asks"
    );
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/otel-collector.yaml")
            .exists()
    );
    assert!(DOCS.contains("deploy/otel-collector.yaml"));
}

/// Receive, batch, export: by Rotel in the collector's place.
async fn two_hops(protocol: Protocol) {
    let store = Collector::start(&[Reply::Take]).await;
    let Some(rotel) = Rotel::forwarding(store.addr, protocol).await else {
        return;
    };
    let direct = Collector::start(&[Reply::Take]).await;
    for first in [
        if protocol == Protocol::Grpc {
            rotel.grpc
        } else {
            rotel.http
        },
        direct.addr,
    ] {
        let way = Way::started(&Config {
            batch: 16,
            ..config(first, protocol)
        });
        way.state([Fact::Call(Box::new(first_call(
            1,
            Some(place(0x11, Some(0x99))),
        )))]);
        way.state(calls(100, 60));
        way.state([Fact::RunEnded(Box::new(run(place(0x99, None))))]);
        assert_eq!(way.end().await, fate(65, &[]), "{protocol:?}");
    }
    let arrived = until(async || (store.all().len() >= 65).then(|| store.all())).await;
    let by_id = |spans: Vec<Span>| {
        spans
            .into_iter()
            .map(|span| (Seen::from(&span).id, span))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(arrived.len(), 65, "none came twice");
    assert_eq!(
        by_id(arrived),
        by_id(direct.all()),
        "{protocol:?}: the same as without a collector between"
    );
}

#[tokio::test]
async fn spans_pass_a_real_collector_unharmed() {
    for protocol in PROTOCOLS {
        two_hops(protocol).await;
    }
}
