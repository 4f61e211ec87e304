//! The running Gravimeter of a test, the providers around it, and what both say of themselves.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{AGENT, OPERATOR, PROGRAM, STATE, as_user, root, shell_as, text, write_program};

/// What the providers' certificates are for.
pub(crate) const HOST: &str = "daily-cloudcode-pa.googleapis.com";
/// What Gravimeter starts as its agent.
pub(crate) const AGENT_PROGRAM: &str = "/usr/local/bin/stand-in-language-server";
/// The root of every stand-in provider calls itself so.
pub(crate) const PROVIDER_ISSUER: &str = "Gravimeter demo provider";
/// Gravimeter's own CA calls itself so.
pub(crate) const GRAVIMETER_ISSUER: &str = "Gravimeter CA";

/// A stand-in provider at an address that is not loopback.
pub(crate) struct Provider {
    process: Child,
    /// Address and port, as one dials it.
    pub(crate) at: String,
    control: u16,
}

impl Provider {
    /// Starts it on port 443 of `address` and waits until it serves.
    pub(crate) fn start(address: &str, control: u16) -> Self {
        Self::with_pause(address, control, 0)
    }

    /// The same with so many milliseconds between two events of a stream.
    pub(crate) fn with_pause(address: &str, control: u16, pause_ms: u64) -> Self {
        let control_at = format!("127.0.0.1:{control}");
        let options =
            json!({"seed": control, "control": control_at, "pause_ms": pause_ms}).to_string();
        let at = format!("{address}:443");
        let process = Command::new(PROGRAM)
            .args([
                "demo-provider",
                "--options",
                &options,
                "--listen",
                &at,
                "--root",
                &root_file(control),
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("a provider");
        let provider = Self {
            process,
            at,
            control,
        };
        wait_for("the provider", || {
            shell_as("root", &provider.question()).status.success()
        });
        provider
    }

    fn question(&self) -> String {
        format!("curl -fs 127.0.0.1:{}/truth", self.control)
    }

    /// What it has really served.
    pub(crate) fn truth(&self) -> Value {
        serde_json::from_str(&root(&self.question())).expect("JSON")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The control port of the first provider on a stage.
pub(crate) const FIRST: u16 = 9401;
/// The control port of the second one.
pub(crate) const SECOND: u16 = 9402;

/// Where a provider writes its root certificate.
pub(crate) fn root_file(control: u16) -> String {
    format!("/var/lib/provider-{control}.pem")
}

/// An agent that only stays.
pub(crate) fn write_idle_agent() {
    write_program(AGENT_PROGRAM, "#!/bin/bash\nexec sleep infinity\n");
}

/// Starts Gravimeter as the operator, with the roots of the providers that run.
pub(crate) fn serve() -> Child {
    serve_with(&[])
}

/// The same, with settings in its environment.
pub(crate) fn serve_with(variables: &[(&str, &str)]) -> Child {
    let roots: Vec<_> = [FIRST, SECOND]
        .map(root_file)
        .into_iter()
        .filter(|file| Path::new(file).exists())
        .collect();
    root(&format!("chmod 755 {STATE}"));
    let mut command = as_user(OPERATOR);
    command.args([
        PROGRAM,
        "serve",
        "--state.dir",
        STATE,
        "--agent.user",
        AGENT,
        "--agent.command",
        AGENT_PROGRAM,
    ]);
    if !roots.is_empty() {
        command.args(["--upstream.extra_roots", &roots.join(",")]);
    }
    command
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .spawn()
        .expect("Gravimeter")
}

/// Starts Gravimeter and waits until it is ready.
pub(crate) fn serve_ready() -> Child {
    serve_ready_with(&[])
}

/// The same, with settings in its environment.
pub(crate) fn serve_ready_with(variables: &[(&str, &str)]) -> Child {
    let gravimeter = serve_with(variables);
    wait_for("readiness", || readiness() == "200");
    gravimeter
}

/// SIGTERM, and an orderly end.
pub(crate) fn stop(mut gravimeter: Child) {
    root(&format!("kill -TERM {}", gravimeter.id()));
    let status = gravimeter.wait().expect("an end");
    assert!(status.success(), "{status}");
}

/// The status code of `/readyz`.
pub(crate) fn readiness() -> String {
    text(&shell_as(
        OPERATOR,
        "curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:8741/readyz",
    ))
}

/// The metrics, or nothing while nobody answers.
pub(crate) fn scrape() -> String {
    text(&shell_as(OPERATOR, "curl -fs 127.0.0.1:8741/metrics"))
}

/// The sum of a metric's series whose labels hold `label`.
pub(crate) fn count(metric: &str, label: &str) -> u64 {
    let page = scrape();
    let series = page.lines().filter_map(|line| {
        line.strip_prefix(metric)?
            .strip_prefix('{')?
            .split_once("} ")
    });
    let chosen = series.filter(|(labels, _)| labels.contains(label));
    chosen
        .map(|(_, value)| value.parse::<u64>().expect("a count"))
        .sum()
}

/// Connections that were intercepted so far.
pub(crate) fn intercepted() -> u64 {
    count(
        "gravimeter_connections_total",
        "disposition=\"intercepted\"",
    )
}

/// Every request that a model was named in, however it ended.
pub(crate) fn exchanges(truth: &Value) -> u64 {
    let models = truth["models"].as_object().expect("models").values();
    models
        .flat_map(|model| {
            ["calls", "refused", "aborted", "counted"].map(|end| model[end].as_u64().unwrap_or(0))
        })
        .sum()
}

/// The usage once every call has been counted.
pub(crate) fn settled_usage(calls: u64) -> Value {
    wait_for("every call", || {
        usage()["totals"]["calls"].as_u64() >= Some(calls)
    });
    let usage = usage();
    assert_eq!(usage["totals"]["calls"], calls);
    usage
}

/// The answer of `/v1/usage`; null while nobody answers.
pub(crate) fn usage() -> Value {
    serde_json::from_str(&text(&shell_as(
        OPERATOR,
        "curl -fs 127.0.0.1:8741/v1/usage",
    )))
    .unwrap_or_default()
}

/// Who signed the certificate that `user` is shown at `address`.
pub(crate) fn issuer(user: &str, address: &str) -> String {
    let certificate =
        format!("openssl s_client -connect {address} -servername {HOST} </dev/null 2>/dev/null");
    said(&shell_as(
        user,
        &format!("{certificate} | openssl x509 -noout -issuer"),
    ))
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

/// A foreign rule in every table: what the kernel prints of a table that nobody has used yet
/// differs by itself.
pub(crate) fn foreign_rules() {
    let rule = "OUTPUT -p tcp --dport 9 -j ACCEPT";
    root(&format!(
        "for i in iptables ip6tables; do for t in nat filter; do $i -t $t -A {rule}; done; done"
    ));
}

/// Polls for what must come; the limit is far beyond anything healthy.
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} did not come"
        );
        sleep(Duration::from_millis(50));
    }
}
