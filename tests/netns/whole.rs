//! The whole main job: a stand-in language server as its own user, led by real rules and started through a real sudo by the
//! house of another user, and on to providers at addresses that are not loopback.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{
    AGENT, OPERATOR, PROGRAM, PROVIDER_V4, PROVIDER_V6, SCRIPT, STATE, all_rules, as_user, install, on_stage, root,
    shell_as, text, write_program,
};

/// Case 42 and its IPv6 half: counts are exact, other users' traffic is untouched, nothing of the rules stays behind.
pub(crate) fn a_language_server_of_its_own_user_is_counted_to_the_token() {
    on_stage("whole::a_language_server_of_its_own_user_is_counted_to_the_token", || {
        foreign_rules();
        let before = all_rules();
        let providers = [Provider::start(PROVIDER_V4, 9401), Provider::start(&format!("[{PROVIDER_V6}]"), 9402)];
        install();
        write_program(AGENT_PROGRAM, &agent_program(&providers));
        let house = serve();
        wait_for("both visits", || Path::new("/var/lib/antigravity-ls/done").exists());

        let truths: Vec<Value> = providers.iter().map(Provider::truth).collect();
        let usage = settled_usage(truths.iter().map(exchanges).sum());
        let models = truths[0]["models"].as_object().expect("models");
        assert!(!models.is_empty());
        for model in models.keys() {
            for kind in ["input", "cache_read", "tool_input", "output", "thinking"] {
                let sent: u64 = truths.iter().map(|truth| truth["models"][model][kind].as_u64().unwrap_or(0)).sum();
                let label = format!("model=\"{model}\",kind=\"{kind}\"}} {sent}");
                assert_eq!(usage["models"][model][format!("{kind}_tokens")], sent, "{model} {kind}");
                assert!(scrape().contains(&label), "/metrics: {label}");
            }
        }
        for line in ["redirect_active{family=\"ipv4\"} 1", "redirect_active{family=\"ipv6\"} 1", "agent_up 1"] {
            assert!(scrape().contains(&format!("gravimeter_{line}")), "{line}");
        }
        assert!(shell_as("root", &format!("pgrep -u {AGENT} -x sleep")).status.success());

        others_go_straight_to_the_provider();
        assert!(
            !shell_as(AGENT, "curl -s -m 5 127.0.0.1:8741/metrics").status.success(),
            "the exporter is out of reach"
        );
        assert!(!shell_as(AGENT, "curl -s -m 5 127.0.0.1:8742/").status.success(), "so is the redirect door");
        stop(house);
        assert!(!shell_as("root", &format!("pgrep -u {AGENT}")).status.success(), "the agent has ended");
        root(&format!("{SCRIPT} remove --purge"));
        assert_eq!(all_rules(), before, "the rules are as they were");
    });
}

/// Issuers tell who answered: the house's CA for the agent's user, the provider's own root for everybody else.
fn others_go_straight_to_the_provider() {
    let connections =
        || scrape().lines().filter(|line| line.starts_with("gravimeter_connections_total")).collect::<String>();
    let issuer = |user: &str| {
        let line = format!(
            "openssl s_client -connect {PROVIDER_V4}:443 -servername {HOST} </dev/null 2>/dev/null | openssl x509 -noout -issuer"
        );
        text(&shell_as(user, &line))
    };
    let before = connections();
    for other in ["root", OPERATOR] {
        assert!(!issuer(other).contains("Gravimeter CA"), "{other}: {}", issuer(other));
    }
    assert_eq!(connections(), before, "the house saw nothing of it");
    assert!(issuer(AGENT).contains("Gravimeter CA"), "{}", issuer(AGENT));
}

/// Case 50: rules that somebody took away show in the metric and in readiness.
pub(crate) fn rules_that_vanish_are_told() {
    on_stage("whole::rules_that_vanish_are_told", || {
        install();
        write_program(AGENT_PROGRAM, "#!/bin/bash\nexec sleep infinity\n");
        let house = serve();
        let ready = || shell_as(OPERATOR, "curl -fs 127.0.0.1:8741/readyz").status.success();
        wait_for("readiness", ready);
        root("iptables -t nat -F OUTPUT");
        wait_for("the metric", || scrape().contains("gravimeter_redirect_active{family=\"ipv4\"} 0"));
        wait_for("unreadiness", || !ready());
        stop(house);
    });
}

/// M5: the house refuses to run as the user whose traffic is led to it.
pub(crate) fn the_redirected_user_cannot_run_the_house() {
    on_stage("whole::the_redirected_user_cannot_run_the_house", || {
        install();
        let home = format!("/var/lib/{AGENT}/state");
        let flags = ["serve", "--capture.redirect", "require", "--state.dir", &home];
        let output = as_user(AGENT).arg(PROGRAM).args(flags).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("whose traffic is redirected"), "{}", text(&output));
    });
}

/// The demo as root and as anybody: the books agree, and nothing stays behind.
pub(crate) fn the_demo_leaves_nothing_behind() {
    on_stage("whole::the_demo_leaves_nothing_behind", || {
        foreign_rules();
        let before = all_rules();
        for (user, way) in [("root", "redirected by uid"), (OPERATOR, "through the CONNECT proxy")] {
            let output = shell_as(user, &format!("HOME=/var/lib/ann {PROGRAM} demo --for 4s"));
            assert!(output.status.success(), "{user}: {}", text(&output));
            assert!(text(&output).contains("own books say the same"), "{user}: {}", text(&output));
            assert!(text(&output).contains(way), "{user}: {}", text(&output));
        }
        assert_eq!(all_rules(), before);
        assert!(!shell_as("root", &format!("id {AGENT}")).status.success(), "the user is gone");
        assert!(!Path::new("/var/lib/gravimeter-demo").exists(), "the folder is gone");
        assert!(!shell_as("root", "pgrep -f demo-agent").status.success(), "no process is left");
    });
}

/// A foreign rule in every table: what the kernel prints of a table that nobody has used yet differs by itself.
fn foreign_rules() {
    let rule = "OUTPUT -p tcp --dport 9 -j ACCEPT";
    root(&format!("for i in iptables ip6tables; do for t in nat filter; do $i -t $t -A {rule}; done; done"));
}

/// A stand-in provider at an address that is not loopback.
struct Provider {
    process: Child,
    at: String,
    control: u16,
}

impl Provider {
    fn start(address: &str, control: u16) -> Self {
        let options = json!({"seed": control, "control": format!("127.0.0.1:{control}")}).to_string();
        let at = format!("{address}:443");
        let process = Command::new(PROGRAM)
            .args(["demo-provider", "--options", &options, "--listen", &at, "--root", &root_file(control)])
            .stdout(Stdio::null())
            .spawn()
            .expect("a provider");
        let provider = Self { process, at, control };
        wait_for("the provider", || shell_as("root", &provider.question()).status.success());
        provider
    }

    fn question(&self) -> String {
        format!("curl -fs 127.0.0.1:{}/truth", self.control)
    }

    fn truth(&self) -> Value {
        serde_json::from_str(&root(&self.question())).expect("JSON")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn root_file(control: u16) -> String {
    format!("/var/lib/provider-{control}.pem")
}

/// Visits each provider in turn, says so, and stays.
fn agent_program(providers: &[Provider]) -> String {
    let visits = providers.iter().map(|provider| {
        let options = json!({
            "dial": provider.at, "conversations": 4, "rounds": 3, "pause_ms": 0, "backoff_ms": 1, "abort_percent": 0,
        });
        format!("{PROGRAM} demo-agent --options '{options}' </dev/null || exit 1\n")
    });
    format!(
        "#!/bin/bash\ncat >/dev/null\n{}touch /var/lib/{AGENT}/done\nexec sleep infinity\n",
        visits.collect::<String>()
    )
}

fn serve() -> Child {
    let roots: Vec<_> = [9401, 9402].map(root_file).into_iter().filter(|file| Path::new(file).exists()).collect();
    root(&format!("chmod 755 {STATE}"));
    let mut command = as_user(OPERATOR);
    command.args([PROGRAM, "serve", "--state.dir", STATE, "--agent.user", AGENT, "--agent.command", AGENT_PROGRAM]);
    if !roots.is_empty() {
        command.args(["--upstream.extra_roots", &roots.join(",")]);
    }
    command.stdin(Stdio::null()).spawn().expect("the house")
}

/// SIGTERM, and an orderly end.
fn stop(mut house: Child) {
    root(&format!("kill -TERM {}", house.id()));
    assert!(house.wait().expect("the house ends").success());
}

fn scrape() -> String {
    text(&shell_as(OPERATOR, "curl -fs 127.0.0.1:8741/metrics"))
}

/// Every request that a model was named in, however it ended.
fn exchanges(truth: &Value) -> u64 {
    let models = truth["models"].as_object().expect("models").values();
    models
        .flat_map(|model| ["calls", "refused", "aborted", "counted"].map(|end| model[end].as_u64().unwrap_or(0)))
        .sum()
}

/// The usage once every call has been counted.
fn settled_usage(calls: u64) -> Value {
    let usage = || -> Value {
        serde_json::from_str(&text(&shell_as(OPERATOR, "curl -fs 127.0.0.1:8741/v1/usage"))).expect("JSON")
    };
    wait_for("every call", || usage()["totals"]["calls"].as_u64() >= Some(calls));
    assert_eq!(usage()["totals"]["calls"], calls);
    usage()
}

/// Polls for what must come; the limit is far beyond anything healthy.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come");
        sleep(Duration::from_millis(50));
    }
}

const HOST: &str = "daily-cloudcode-pa.googleapis.com";
const AGENT_PROGRAM: &str = "/usr/local/bin/stand-in-language-server";
