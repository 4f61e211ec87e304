//! The program under test: `gravimeter serve` on the stage, and what it says of the calls.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gravimeter::dialect;
use serde_json::Value;

use crate::client::PROXY_USER;
use crate::provider::{self, HOSTS, OF_A_CUSTOMER};
use crate::stage::{
    AGENT, OPERATOR, PROGRAM, PROVIDER_V4, STATE, as_user, install, root, shell_as, text,
    write_program,
};

/// Where its CONNECT proxy listens.
pub(crate) const PROXY: &str = "127.0.0.1:8743";

/// Where its base-URL door is.
pub(crate) const BASE_URL: &str = "127.0.0.1:8744";

/// The running program.
pub(crate) struct Gravimeter(Child);

impl Gravimeter {
    /// Installs the redirect of the agent's user, starts the program with the CONNECT proxy beside
    /// it, and waits until it is ready. Its spans go to the collector.
    /// `rules` is the text of a file of rules.
    pub(crate) fn start(collector: SocketAddr, rules: &str) -> Self {
        install();
        write_program(IDLE_AGENT, "#!/bin/bash\nexec sleep infinity\n");
        root(&format!(
            "useradd {PROXY_USER} && chmod 755 {STATE} && mkdir {RULES}"
        ));
        std::fs::write(format!("{RULES}/rules.toml"), rules).expect("a folder of rules");
        let users = format!("{PROXY_USER},root");
        // The providers' address is one of this machine, to which the proxy leads nobody unless it
        // is told to.
        let resolve = HOSTS.map(|host| format!("{host}:443={PROVIDER_V4}:443"));
        let intercepted: Vec<&str> = dialect::hosts().chain([OF_A_CUSTOMER]).collect();
        let child = as_user(OPERATOR)
            .args([PROGRAM, "serve", "--state.dir", STATE])
            .args(["--agent.user", AGENT, "--agent.command", IDLE_AGENT])
            .args(["--capture.connect_listen", PROXY])
            .args(["--capture.connect_users", &users])
            .args(["--capture.base_url.listen", BASE_URL])
            .args(["--rules.folder", RULES])
            .args(["--intercept.hosts", &intercepted.join(",")])
            .args(["--otlp.endpoint", &format!("http://{collector}")])
            .args(["--upstream.extra_roots", provider::ROOT])
            .args(["--upstream.resolve", &resolve.join(",")])
            .stdin(Stdio::null())
            .spawn()
            .expect("gravimeter");
        wait_for("readiness", || ask("/readyz").is_some());
        Self(child)
    }

    /// SIGTERM, and an orderly end.
    pub(crate) fn stop(mut self) {
        root(&format!("kill -TERM {}", self.0.id()));
        let status = self.0.wait().expect("gravimeter ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Gravimeter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answer of `/v1/usage` to a query, once as many calls as expected are in it.
pub(crate) fn usage(query: &str, calls: u64) -> Value {
    let now = || {
        let answer = ask(&format!("/v1/usage{query}")).unwrap_or_default();
        serde_json::from_str::<Value>(&answer).unwrap_or_default()
    };
    wait_for("every call", || {
        now()["totals"]["calls"].as_u64() >= Some(calls)
    });
    now()
}

/// The answer to a path of `/v1`, once it is as expected.
pub(crate) fn answer(path: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    let now = || {
        let answer = ask(path).unwrap_or_default();
        serde_json::from_str::<Value>(&answer).unwrap_or_default()
    };
    let mut last = Value::Null;
    wait_for(path, || {
        last = now();
        is_expected(&last)
    });
    last
}

/// The series of a metric: their labels, as they are exposed, and their values.
pub(crate) fn series(metric: &str) -> Vec<(String, u64)> {
    let page = ask("/metrics").expect("metrics");
    let of_metric = page.lines().filter_map(|line| {
        let (labels, value) = line
            .strip_prefix(metric)?
            .strip_prefix('{')?
            .split_once("} ")?;
        Some((labels.to_owned(), value.parse().expect("a count")))
    });
    of_metric.collect()
}

/// The sum of a metric's series whose labels hold each of `parts`.
pub(crate) fn count(metric: &str, parts: &[&str]) -> u64 {
    let all = series(metric).into_iter();
    all.filter(|(labels, _)| parts.iter().all(|part| labels.contains(part)))
        .map(|(_, value)| value)
        .sum()
}

/// Polls for what must come; the limit is far beyond anything healthy.
pub(crate) fn wait_for(what: &str, mut is_done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} did not come"
        );
        sleep(Duration::from_millis(50));
    }
}

/// The body of a successful answer.
fn ask(path: &str) -> Option<String> {
    let output = shell_as(OPERATOR, &format!("curl -fs '127.0.0.1:8741{path}'"));
    output.status.success().then(|| text(&output))
}

/// Where its rules are.
const RULES: &str = "/var/lib/rules";

/// The agent that the program itself starts, which only stays.
const IDLE_AGENT: &str = "/usr/local/bin/idle-agent";
