//! Strangers at the door of the running Gravimeter: Go's own TLS and HTTP behind the redirect, and
//! whoever comes without one.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::running::{
    FIRST, Provider, SECOND, count, intercepted, serve_ready, settled_usage, stop, wait_for,
    write_idle_agent,
};
use crate::stage::{
    self, AGENT, OPERATOR, PROVIDER_V4, PROVIDER_V6, STATE, as_user, install, on_stage, root, text,
};

/// Two HTTP versions, two ways to send the body, two families: every call is counted to the token.
pub(crate) fn a_go_client_with_only_the_bundle_is_counted_to_the_token() {
    build_client();
    on_stage(
        "client::a_go_client_with_only_the_bundle_is_counted_to_the_token",
        || {
            let providers = [
                Provider::start(PROVIDER_V4, FIRST),
                Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
            ];
            let gravimeter = set_up();
            let (mut runs, mut calls) = (0, 0);
            for provider in &providers {
                for (http2, proto) in [("-http2=true", "HTTP/2.0"), ("-http2=false", "HTTP/1.1")] {
                    for chunked in ["-chunked=true", "-chunked=false"] {
                        let output = client(provider)
                            .args([http2, chunked, "-n", "3"])
                            .output()
                            .expect("the client runs");
                        assert_eq!(
                            protocols(&output),
                            [proto; 3],
                            "{http2} {chunked} {}",
                            provider.at
                        );
                        (runs, calls) = (runs + 1, calls + 3);
                    }
                }
            }
            let usage = settled_usage(calls);
            let model = &usage["models"][MODEL];
            for (kind, each) in TOKENS {
                let sent: u64 = providers
                    .iter()
                    .filter_map(|it| it.truth()["models"][MODEL][kind].as_u64())
                    .sum();
                assert_eq!(sent, calls * each, "the directive was obeyed: {kind}");
                assert_eq!(model[format!("{kind}_tokens")], sent, "{kind}");
                assert_eq!(
                    count("gravimeter_tokens_total", &format!("kind=\"{kind}\"")),
                    sent,
                    "{kind}"
                );
            }
            assert_eq!(
                model["usage_quality"],
                json!({"exact": calls, "partial": 0, "unknown": 0})
            );
            wait_for("every connection", || intercepted() >= runs);
            assert_eq!(
                intercepted(),
                runs,
                "one connection for each run of the client, and nothing else"
            );
            stop(gravimeter);
        },
    );
}

/// Gravimeter is asked to end in the middle of an answer: the agent still gets all of it, and the
/// Gravimeter ends well.
pub(crate) fn a_stream_that_runs_at_sigterm_ends_whole() {
    build_client();
    on_stage("client::a_stream_that_runs_at_sigterm_ends_whole", || {
        let provider = Provider::with_pause(PROVIDER_V4, FIRST, 300);
        install();
        for (run, (http2, proto)) in [("-http2=true", "HTTP/2.0"), ("-http2=false", "HTTP/1.1")]
            .into_iter()
            .enumerate()
        {
            let gravimeter = set_up();
            let running = client(&provider)
                .arg(http2)
                .stdout(Stdio::piped())
                .spawn()
                .expect("the client runs");
            wait_for("the call", || {
                count("gravimeter_calls_in_flight", "provider") == 1
            });
            stop(gravimeter);
            // The client compares the hash of what it got with the provider's.
            assert_eq!(
                protocols(&running.wait_with_output().expect("its end")),
                [proto]
            );
            assert_eq!(provider.truth()["models"][MODEL]["calls"], run as u64 + 1);
            let left = stage::shell_as("root", &format!("pgrep -u {AGENT}"));
            assert!(
                !left.status.success(),
                "the agent has ended: {}",
                text(&left)
            );
        }
    });
}

/// Case 43: with NAT loaded the kernel names the door itself as the destination. Nothing is waited
/// for, and nothing dialled.
pub(crate) fn whoever_dials_the_redirect_door_itself_is_refused() {
    on_stage(
        "client::whoever_dials_the_redirect_door_itself_is_refused",
        || {
            let gravimeter = set_up();
            let refused = || count("gravimeter_connections_refused_total", "reason=\"loop\"");
            let mut expected = 0;
            for user in [OPERATOR, "root"] {
                for door in ["127.0.0.1", "::1"] {
                    // It says nothing: a Gravimeter that waited for a ClientHello would state a timeout
                    // instead.
                    let output = stage::shell_as(user, &format!("cat </dev/tcp/{door}/8742"));
                    expected += 1;
                    assert!(
                        output.status.success() && output.stdout.is_empty(),
                        "{user} at {door}: {}",
                        text(&output)
                    );
                    wait_for("the refusal", || refused() >= expected);
                    assert_eq!(refused(), expected, "{user} at {door}");
                }
            }
            assert_eq!(count("gravimeter_timeouts_total", "step"), 0);
            assert_eq!(
                count("gravimeter_connections_total", "disposition=\"refused\""),
                expected
            );
            assert_eq!(
                count("gravimeter_connections_total", "disposition"),
                expected,
                "nothing was passed on"
            );
            stop(gravimeter);
        },
    );
}

fn set_up() -> std::process::Child {
    install();
    write_idle_agent();
    serve_ready()
}

/// The client as the agent's user, with an environment of one variable beside `PATH`.
fn client(provider: &Provider) -> Command {
    install_client();
    let mut command = as_user(AGENT);
    command.env("SSL_CERT_FILE", format!("{STATE}/trust/bundle.pem"));
    command.args([CLIENT, "-connect", &provider.at, "-body", BODY]);
    command
}

/// The same as words for a shell, without an environment.
pub(crate) fn client_words(provider: &Provider) -> String {
    install_client();
    format!("{CLIENT} -connect {} -body '{BODY}'", provider.at)
}

fn install_client() {
    if !std::path::Path::new(CLIENT).exists() {
        root(&format!(
            "install -m 755 {} {CLIENT}",
            built_client().display()
        ));
    }
}

/// What the client says of its requests, all of which must have gone well.
fn protocols(output: &std::process::Output) -> Vec<String> {
    assert!(output.status.success(), "{}", text(output));
    let said = String::from_utf8_lossy(&output.stdout);
    let answers = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let proto = |answer: Value| {
        assert_eq!(answer["status"], 200, "{answer}");
        answer["proto"].as_str().expect("a protocol").to_owned()
    };
    answers.map(proto).collect()
}

/// Before the stage is set: Go's build cache is not on it.
pub(crate) fn build_client() {
    if stage::is_set() {
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go");
    // Two tests may build at the same time; neither may find the other's half-written file.
    let own = built_client().with_extension(format!(
        "{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&own)
        .arg(".")
        .current_dir(folder)
        .output();
    let built = built.expect("Go is installed (Debian's package golang-go)");
    assert!(built.status.success(), "{}", text(&built));
    std::fs::rename(own, built_client()).expect("the client takes its place");
}

fn built_client() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("go-client-netns")
}

const CLIENT: &str = "/usr/local/bin/go-client";
const MODEL: &str = "gemini-3.1-pro-low";
const BODY: &str = r#"{"model":"gemini-3.1-pro-low","request":{"contents":[{"role":"user","parts":[{"text":"demo: prompt=16 cached=4 thoughts=42 output=3 events=9"}]}]}}"#;
/// What the body makes the provider report, where the cached part of the prompt is told apart.
pub(crate) const TOKENS: [(&str, u64); 4] = [
    ("input", 12),
    ("cache_read", 4),
    ("thinking", 42),
    ("output", 3),
];
