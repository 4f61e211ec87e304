//! Promise: a Go program with nothing but `SSL_CERT_FILE` set works through Gravimeter and is
//! counted, like the real language server.

use std::path::PathBuf;
use std::process::Command;

use gravimeter::demo::provider::ProviderOptions;
use serde_json::Value;

use crate::kit::binary::until;
use crate::whole::{Whole, sum};

/// Builds the client once for each call; Go's own cache makes the second time short.
fn client() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("go-client-it");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(folder)
        .output();
    let built = built.expect("Go is installed (Debian's package golang-go)");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    binary
}

/// Runs the client with an environment of two variables and reads what it says of each request.
async fn run(whole: &Whole, client: &PathBuf, flags: &[&str]) -> Vec<Value> {
    let mut command = tokio::process::Command::new(client);
    command
        .env_clear()
        .env("SSL_CERT_FILE", whole.bundle())
        .arg("-proxy")
        .arg(whole.connect().to_string())
        .args(flags);
    let output = command.output().await.expect("the client runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{flags:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_go_client_with_only_the_bundle_works_and_is_counted() {
    let client = client();
    let whole = Whole::start(ProviderOptions::default()).await;
    let body = r#"{"model":"gemini-3.1-pro-low","request":{"contents":[{"role":"user","parts":[{"text":"demo: prompt=16 cached=4 thoughts=42 output=3 events=5 gzip=1"}]}]}}"#;
    let mut calls = 0;
    for (http2, proto) in [("-http2=true", "HTTP/2.0"), ("-http2=false", "HTTP/1.1")] {
        for gzip in ["transport", "explicit", "none"] {
            for chunked in ["-chunked=true", "-chunked=false"] {
                let said = run(
                    &whole,
                    &client,
                    &[http2, chunked, "-gzip", gzip, "-n", "3", "-body", body],
                )
                .await;
                assert_eq!(said.len(), 3);
                for answer in &said {
                    assert_eq!(
                        (&answer["status"], &answer["proto"]),
                        (&Value::from(200), &Value::from(proto)),
                        "{answer}"
                    );
                }
                calls += 3;
            }
        }
    }
    // The client has its answer before the observer has.
    until(async || {
        (sum(&whole.series("gravimeter_calls_total").await, &[]) == calls).then_some(())
    })
    .await;
    let tokens = whole.series("gravimeter_tokens_total").await;
    for (kind, each) in [
        ("input", 12),
        ("cache_read", 4),
        ("thinking", 42),
        ("output", 3),
    ] {
        assert_eq!(
            sum(&tokens, &[&format!("kind=\"{kind}\"")]),
            calls * each,
            "{kind}"
        );
    }
    let quality = whole.series("gravimeter_usage_reports_total").await;
    assert_eq!(sum(&quality, &["quality=\"exact\""]), calls);
    whole.stop().await;
}
