//! Ends that nobody planned, and those of the demo: the agent never gets past a dead Gravimeter, and
//! nothing is left behind.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::running::{
    AGENT_PROGRAM, FIRST, HOST, Provider, SECOND, foreign_rules, readiness, serve_ready, stop,
    usage, wait_for, write_idle_agent,
};
use crate::stage::{
    AGENT, OPERATOR, PROGRAM, PROVIDER_V4, PROVIDER_V6, STATE, all_rules, as_user, install,
    on_stage, root, shell_as, text, write_program,
};

/// `kill -9`: the agent's connections are refused, never let through; the next Gravimeter finds the
/// orphan and works.
pub(crate) fn a_killed_gravimeter_fails_closed_and_comes_back() {
    on_stage(
        "ends::a_killed_gravimeter_fails_closed_and_comes_back",
        || {
            let providers = [
                Provider::start(PROVIDER_V4, FIRST),
                Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
            ];
            install();
            write_program(
                AGENT_PROGRAM,
                "#!/bin/bash\necho $$ >>\"$HOME/pids\"\nexec sleep infinity\n",
            );
            let mut gravimeter = serve_ready();
            assert_eq!(visits(&providers), ["passed", "passed"]);
            let orphan = wait_for_agent(1);

            gravimeter.kill().expect("a signal");
            gravimeter.wait().expect("its status");
            assert_eq!(visits(&providers), ["refused", "refused"]);
            assert!(runs(&orphan), "the agent outlives its supervisor");

            let gravimeter = serve_ready();
            let successor = wait_for_agent(2);
            assert!(
                !runs(&orphan) && runs(&successor),
                "{orphan} gave way to {successor}"
            );
            assert_eq!(visits(&providers), ["passed", "passed"]);
            stop(gravimeter);
            assert!(!runs(&successor));
        },
    );
}

/// What becomes of a request of the agent's user, who trusts Gravimeter's bundle, at each provider.
fn visits(providers: &[Provider]) -> Vec<&'static str> {
    let visit = |provider: &Provider| {
        let line = format!(
            "curl -sS -o /dev/null --cacert {STATE}/trust/bundle.pem --connect-to {HOST}:443:{} https://{HOST}/",
            provider.at
        );
        let output = shell_as(AGENT, &line);
        // 7 is curl's word for a connection that was not made; a time-out would be 28.
        match output.status.code() {
            Some(0) => "passed",
            Some(7) => "refused",
            _ => panic!("{}: {}", provider.at, text(&output)),
        }
    };
    providers.iter().map(visit).collect()
}

/// The pid of the agent of the given run.
fn wait_for_agent(run: usize) -> String {
    let pids = || root(&format!("cat /var/lib/{AGENT}/pids 2>/dev/null || true"));
    wait_for("the agent", || pids().lines().count() == run);
    pids().lines().last().expect("a pid").to_owned()
}

/// Zombies do not count: the stage's first process reaps them when it comes to it.
fn runs(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

/// The demo as root and as anybody: the books agree, and nothing stays behind.
pub(crate) fn the_demo_leaves_nothing_behind() {
    on_stage("ends::the_demo_leaves_nothing_behind", || {
        set_up_a_new_machine();
        let before = Traces::look();
        for (user, way, _) in DEMOS {
            let output = demo(user)
                .args(["--for", "5s"])
                .output()
                .expect("the demo runs");
            assert!(output.status.success(), "{user}: {}", text(&output));
            for words in [BOOKS_AGREE, way] {
                assert!(text(&output).contains(words), "{user}: {}", text(&output));
            }
            assert_eq!(before.changes(), NOTHING, "{user}");
        }
    });
}

/// Ctrl-C, which a terminal sends to the whole process group, in the middle of the traffic.
pub(crate) fn an_interrupted_demo_leaves_nothing_behind() {
    on_stage("ends::an_interrupted_demo_leaves_nothing_behind", || {
        set_up_a_new_machine();
        let before = Traces::look();
        for (user, _, expected) in DEMOS {
            let mut command = demo(user);
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0);
            let running = command.spawn().expect("the demo runs");
            wait_for("traffic", || usage()["totals"]["calls"].as_u64() > Some(0));
            // What is looked at must show a demo that runs, or its absence would say nothing.
            let made = before.changes().join("\n");
            for expected in expected {
                assert!(made.contains(expected), "{user}: {expected}: {made}");
            }
            root(&format!("kill -INT -- -{}", running.id()));
            let output = running.wait_with_output().expect("its end");
            assert!(
                output.status.success(),
                "{user}: {}: {}",
                output.status,
                text(&output)
            );
            assert!(
                text(&output).contains(BOOKS_AGREE),
                "{user}: {}",
                text(&output)
            );
            assert_eq!(before.changes(), NOTHING, "{user}");
        }
    });
}

/// As root, `serve` needs no installation: it makes what is missing and takes exactly that away.
/// Where an agent cannot be started it makes nothing, and what was installed before stays.
pub(crate) fn what_serve_installs_as_root_goes_with_it() {
    on_stage("ends::what_serve_installs_as_root_goes_with_it", || {
        set_up_a_new_machine();
        write_idle_agent();
        let before = Traces::look();
        let output = serve_as_root("/no/such/agent").output();
        let output = output.expect("it runs");
        assert!(!output.status.success() && text(&output).contains("/no/such/agent"));
        assert_eq!(before.changes(), NOTHING, "{}", text(&output));

        let running = serve_as_root(AGENT_PROGRAM).spawn().expect("it runs");
        wait_for("readiness", || readiness() == "200");
        let made = before.changes().join("\n");
        for expected in ["GRAVIMETER_gravimeter", "antigravity-ls:"] {
            assert!(made.contains(expected), "{expected}: {made}");
        }
        stop(running);
        assert_eq!(before.changes(), NOTHING);

        install();
        let installed = Traces::look();
        let running = serve_as_root(AGENT_PROGRAM).spawn().expect("it runs");
        wait_for("readiness", || readiness() == "200");
        stop(running);
        assert_eq!(installed.changes(), NOTHING);
    });
}

fn serve_as_root(agent: &str) -> Command {
    let mut command = as_user("root");
    command.args([PROGRAM, "serve", "--state.dir", "/mnt/state"]);
    command.args(["--agent.user", AGENT, "--agent.command", agent]);
    command
}

/// Nothing of Gravimeter is installed, not even the state folder that a stage has.
fn set_up_a_new_machine() {
    foreign_rules();
    root(&format!("rmdir {STATE}"));
}

fn demo(user: &str) -> Command {
    let mut command = as_user(user);
    command.env("HOME", "/var/lib/ann").args([PROGRAM, "demo"]);
    command
}

/// Everything that a demo makes, line by line: rules, accounts, files, processes.
struct Traces(Vec<String>);

impl Traces {
    fn look() -> Self {
        let others = root(
            "cat /etc/passwd /etc/group /etc/shadow
            find /var/lib /usr/local -maxdepth 2 | sort
            find /var/lib/ann /etc/sudoers.d | sort
            ps -eo stat=,user=,args= | awk '!/^Z/ && /gravimeter dem[o]/ { print $2, $3, $4 }'",
        );
        Self(
            all_rules()
                .lines()
                .chain(others.lines())
                .map(str::to_owned)
                .collect(),
        )
    }

    /// What has come since, and what has gone; nothing when all is as it was.
    fn changes(&self) -> Vec<String> {
        let now = Self::look();
        let came = now
            .0
            .iter()
            .filter(|line| !self.0.contains(line))
            .map(|line| format!("+ {line}"));
        let went = self
            .0
            .iter()
            .filter(|line| !now.0.contains(line))
            .map(|line| format!("- {line}"));
        let mut changes: Vec<_> = came.chain(went).collect();
        if changes.is_empty() && now.0 != self.0 {
            changes.push("the order".to_owned());
        }
        changes
    }
}

/// Who runs it, by which way its agent comes, and what it makes.
const DEMOS: [(&str, &str, &[&str]); 2] = [
    (
        "root",
        "redirected by the uid",
        &[
            "GRAVIMETER_demo",
            "antigravity-ls:",
            "/var/lib/gravimeter-demo",
            "demo-agent",
        ],
    ),
    (
        OPERATOR,
        "through the CONNECT proxy",
        &["/var/lib/ann/.local/state/gravimeter/demo", "demo-agent"],
    ),
];
const NOTHING: [&str; 0] = [];
const BOOKS_AGREE: &str = "own books say the same";
