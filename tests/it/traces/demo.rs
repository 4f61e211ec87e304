//! `gravimeter demo --otlp`: the program itself sends the spans of its stand-ins to a collector.

use std::net::SocketAddr;

use tokio::process::Command;

use crate::kit::binary::PROGRAM;
use crate::kit::collector::{Collector, Reply};
use crate::kit::soon;
use crate::whole::any_port;

/// Lets the demo run for so long, in a home of its own, and send its spans to the collector.
pub async fn demo(run_for: &str, collector: SocketAddr, protocol: &[&str]) {
    demo_with(run_for, collector, protocol, &[]).await;
}

/// The same with these variables in its environment.
async fn demo_with(
    run_for: &str,
    collector: SocketAddr,
    protocol: &[&str],
    variables: &[(&str, &str)],
) {
    let home = tempfile::tempdir().expect("a folder");
    let web = std::net::TcpListener::bind(any_port())
        .and_then(|free| free.local_addr())
        .expect("a port");
    let mut command = Command::new(PROGRAM);
    command.args([
        "demo",
        "--no-redirect",
        "--speed",
        "20",
        "--for",
        run_for,
        "--web.listen",
        &web.to_string(),
    ]);
    command
        .args(["--otlp", &format!("http://{collector}")])
        .args(protocol)
        .kill_on_drop(true);
    command
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(variables.iter().copied());
    let output = soon(command.output()).await.expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn the_demo_speaks_what_the_collector_does() {
    for (protocol, kind) in [
        (&[][..], "application/x-protobuf"),
        (&["--otlp-protocol", "auto"], "application/x-protobuf"),
        (
            &["--otlp-protocol", "http/protobuf"],
            "application/x-protobuf",
        ),
        (&["--otlp-protocol", "grpc"], "application/grpc"),
    ] {
        let collector = Collector::start(&[Reply::Take]).await;
        demo("2s", collector.addr, protocol).await;
        let requests = collector.requests();
        assert!(!requests.is_empty(), "{protocol:?}");
        for (head, _) in requests {
            assert_eq!(head["content-type"], kind, "{protocol:?}");
        }
        assert!(
            collector
                .all()
                .iter()
                .any(|span| span.name.starts_with("chat ")),
            "{protocol:?}"
        );
    }
}

/// The demo takes no notice of the variables that are meant for every program of a machine, and so
/// must the library that it exports by: their headers are for another collector.
#[tokio::test]
async fn what_the_library_reads_of_the_environment_has_no_effect() {
    let elsewhere = Collector::start(&[Reply::Take]).await;
    let other = format!("http://{}", elsewhere.addr);
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start(&[Reply::Take]).await;
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", other.as_str()),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", other.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-first=canary"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-second=canary"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=canary"),
            ("OTEL_SERVICE_NAME", "canary"),
        ];
        let given = ["--otlp-protocol", protocol];
        demo_with("2s", collector.addr, &given, &variables).await;
        let requests = collector.requests();
        assert!(!requests.is_empty(), "{protocol}");
        for (head, _) in requests {
            let shown = format!("{head:?}");
            assert!(!shown.contains("canary"), "{protocol}: {shown}");
            for field in ["content-encoding", "grpc-encoding"] {
                assert!(!head.contains_key(field), "{protocol}: {shown}");
            }
        }
        let resources = format!("{:?}", collector.resources());
        assert!(!resources.contains("canary"), "{protocol}: {resources}");
        assert!(!collector.all().is_empty(), "{protocol}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_protocol_needs_a_collector() {
    let mut command = Command::new(PROGRAM);
    let output = soon(
        command
            .args(["demo", "--for", "1s", "--otlp-protocol", "grpc"])
            .output(),
    )
    .await
    .expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--otlp <URL>"), "{said}");
}
