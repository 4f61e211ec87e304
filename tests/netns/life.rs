//! The agent's life under kill -9 of everyone, in a loop of crashes, and at the end.

use crate::role::{Part, Supervised};
use crate::stage::{self, AGENT, OPERATOR, root, write_program};

const AGENT_PATH: &str = "/usr/local/bin/agent";

/// Writes down that it runs, and that it was asked to end. It says nothing: a pipe that nobody
/// reads any more would end it.
const PATIENT: &str = "#!/bin/bash
exec >/dev/null 2>&1
trap 'echo asked >>\"$HOME/log\"; exit 0' TERM
echo $$ >>\"$HOME/pids\"
while :; do sleep 0.05; done
";

fn log(name: &str) -> Vec<String> {
    root(&format!("cat /var/lib/{AGENT}/{name} 2>/dev/null || true"))
        .lines()
        .map(str::to_owned)
        .collect()
}

fn started(supervised: &mut Supervised, runs: usize) {
    supervised.until("AgentUp(true)");
    while log("pids").len() < runs {
        std::thread::yield_now();
    }
}

/// Zombies do not count: the stage's first process reaps them when it comes to it.
fn is_running(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

pub(crate) fn a_shutdown_asks_the_agent_first() {
    stage::on_stage("life::a_shutdown_asks_the_agent_first", || {
        stage::install();
        for (run, user) in [OPERATOR, "root"].into_iter().enumerate() {
            write_program(AGENT_PATH, PATIENT);
            let mut supervised = Supervised::start(user, &Part::new(AGENT_PATH));
            started(&mut supervised, run + 1);
            root(&format!("[[ -s {}/agent.json ]]", stage::STATE));
            let said = supervised.shut_down();
            assert_eq!(said.last().map(String::as_str), Some("ended"), "{said:?}");
            assert!(
                said.contains(&"AgentUp(false)".to_owned()) && said.contains(&"Stopped".to_owned()),
                "{said:?}"
            );
            assert_eq!(log("log").len(), run + 1, "asked by SIGTERM, once");
            root(&format!("[[ ! -e {}/agent.json ]]", stage::STATE));
        }
    });
}

pub(crate) fn an_agent_of_our_own_user_needs_no_root() {
    stage::on_stage("life::an_agent_of_our_own_user_needs_no_root", || {
        write_program(
            AGENT_PATH,
            "#!/bin/bash\nid -un >\"$HOME/user\"\nexec sleep 1000\n",
        );
        let part = Part {
            as_ourselves: true,
            ..Part::new(AGENT_PATH)
        };
        let mut supervised = Supervised::start(OPERATOR, &part);
        supervised.until("Up(Announcement { https_port: None, http_port: None, lsp_port: None, csrf_token: None })");
        while root("cat /var/lib/ann/user 2>/dev/null || true") != "ann\n" {}
        assert_eq!(
            supervised.shut_down().last().map(String::as_str),
            Some("ended")
        );
    });
}

pub(crate) fn an_agent_that_does_not_listen_is_killed_with_its_children() {
    stage::on_stage(
        "life::an_agent_that_does_not_listen_is_killed_with_its_children",
        || {
            stage::install();
            let deaf = "#!/bin/bash\ntrap '' TERM\necho $$ >>\"$HOME/pids\"\nsleep 1000 &\necho $! >>\"$HOME/pids\"\nwait\n";
            write_program(AGENT_PATH, deaf);
            let part = Part {
                stop_timeout_ms: 100,
                ..Part::new(AGENT_PATH)
            };
            let mut supervised = Supervised::start(OPERATOR, &part);
            started(&mut supervised, 2);
            assert_eq!(
                supervised.shut_down().last().map(String::as_str),
                Some("ended")
            );
            assert!(!log("pids").iter().any(|pid| is_running(pid)));
        },
    );
}

/// Writes down itself, a child in a session of its own that ignores SIGTERM, and a daemon whose
/// parent has ended.
const DETACHES: &str = r#"#!/bin/bash
exec >/dev/null 2>&1
echo $$ >>"$HOME/pids"
setsid bash -c 'trap "" TERM; echo $$ >>"$HOME/pids"; exec sleep 1000' &
(setsid bash -c 'echo $$ >>"$HOME/pids"; exec sleep 1000' &)
while [[ $(wc -l <"$HOME/pids") -lt 3 ]]; do sleep 0.01; done
"#;

/// Runs `script` as an agent by every way there is, and looks whether one of the processes that it
/// wrote down is left.
fn leaves_nothing(script: &str, end: impl Fn(Supervised)) {
    stage::install();
    for (user, as_ourselves) in [(OPERATOR, false), ("root", false), (OPERATOR, true)] {
        let home = if as_ourselves {
            "/var/lib/ann"
        } else {
            "/var/lib/antigravity-ls"
        };
        let pids = || {
            root(&format!("cat {home}/pids 2>/dev/null || true"))
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        root(&format!("rm -f {home}/pids"));
        write_program(AGENT_PATH, script);
        let part = Part {
            as_ourselves,
            restarts: 0,
            stop_timeout_ms: 100,
            ..Part::new(AGENT_PATH)
        };
        let mut supervised = Supervised::start(user, &part);
        supervised.until("AgentUp(true)");
        while pids().len() < 3 {
            std::thread::yield_now();
        }
        end(supervised);
        let left: Vec<_> = pids().into_iter().filter(|pid| is_running(pid)).collect();
        assert!(left.is_empty(), "{user}: {left:?} of {:?}", pids());
    }
}

pub(crate) fn what_an_agent_has_detached_ends_with_gravimeter() {
    stage::on_stage(
        "life::what_an_agent_has_detached_ends_with_gravimeter",
        || {
            leaves_nothing(&format!("{DETACHES}exec sleep 1000\n"), |supervised| {
                assert_eq!(
                    supervised.shut_down().last().map(String::as_str),
                    Some("ended")
                );
            });
        },
    );
}

pub(crate) fn what_an_agent_has_detached_ends_with_the_agent() {
    stage::on_stage(
        "life::what_an_agent_has_detached_ends_with_the_agent",
        || {
            leaves_nothing(&format!("{DETACHES}exit 7\n"), |mut supervised| {
                let said = supervised.rest();
                assert!(
                    said.last()
                        .is_some_and(|line| line.starts_with("error: the agent did not stay up")),
                    "{said:?}"
                );
            });
        },
    );
}

/// Gravimeter becomes the parent of what an agent detaches, and must take note of each end.
pub(crate) fn what_an_agent_has_detached_is_reaped() {
    stage::on_stage("life::what_an_agent_has_detached_is_reaped", || {
        stage::install();
        let script = r#"#!/bin/bash
            for n in {1..20}; do (setsid bash -c 'ps -o ppid= -p $$ >/dev/null; echo $PPID >>"$HOME/parents"' &); done
            while [[ $(wc -l <"$HOME/parents") -lt 20 ]]; do sleep 0.01; done
            echo $$ >>"$HOME/pids"
            exec sleep 1000
        "#;
        write_program(AGENT_PATH, script);
        for (run, user) in [OPERATOR, "root"].into_iter().enumerate() {
            root(&format!("rm -f /var/lib/{AGENT}/parents"));
            let mut supervised = Supervised::start(user, &Part::new(AGENT_PATH));
            started(&mut supervised, run + 1);
            let dead = || {
                root(&format!(
                    "ps --ppid {} -o stat= | grep -c ^Z || true",
                    supervised.child.id()
                ))
            };
            let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while dead().trim() != "0" {
                assert!(
                    std::time::Instant::now() < patience,
                    "{user}: {} zombies",
                    dead().trim()
                );
            }
            let foster = supervised.child.id().to_string();
            assert!(
                log("parents").contains(&foster),
                "{user}: {foster} was nobody's parent: {:?}",
                log("parents")
            );
            assert_eq!(
                supervised.shut_down().last().map(String::as_str),
                Some("ended")
            );
        }
    });
}

pub(crate) fn a_killed_agent_is_started_again() {
    stage::on_stage("life::a_killed_agent_is_started_again", || {
        stage::install();
        write_program(AGENT_PATH, PATIENT);
        let mut supervised = Supervised::start(OPERATOR, &Part::new(AGENT_PATH));
        started(&mut supervised, 1);
        root(&format!("kill -9 {}", log("pids")[0]));
        supervised.until("AgentUp(false)");
        supervised.until("AgentRestarted(Killed)");
        started(&mut supervised, 2);
        assert_eq!(
            supervised.shut_down().last().map(String::as_str),
            Some("ended")
        );
    });
}

pub(crate) fn a_killed_sudo_leaves_no_second_agent() {
    stage::on_stage("life::a_killed_sudo_leaves_no_second_agent", || {
        stage::install();
        write_program(AGENT_PATH, PATIENT);
        let mut supervised = Supervised::start(OPERATOR, &Part::new(AGENT_PATH));
        started(&mut supervised, 1);
        root("pkill -9 -x sudo");
        supervised.until("AgentRestarted(Killed)");
        assert_eq!(log("log"), ["asked"], "the orphan was asked to end");
        started(&mut supervised, 2);
        assert!(!is_running(&log("pids")[0]) && is_running(&log("pids")[1]));
        assert_eq!(
            supervised.shut_down().last().map(String::as_str),
            Some("ended")
        );
    });
}

pub(crate) fn the_orphan_of_a_killed_supervisor_is_found() {
    stage::on_stage("life::the_orphan_of_a_killed_supervisor_is_found", || {
        stage::install();
        write_program(AGENT_PATH, PATIENT);
        let mut first = Supervised::start(OPERATOR, &Part::new(AGENT_PATH));
        started(&mut first, 1);
        first.child.kill().expect("a signal");
        first.child.wait().expect("its status");
        let orphan = log("pids")[0].clone();
        assert!(is_running(&orphan), "it outlives its supervisor");
        let mut second = Supervised::start(OPERATOR, &Part::new(AGENT_PATH));
        started(&mut second, 2);
        assert!(!is_running(&orphan));
        assert_eq!(log("log"), ["asked"]);
        assert_eq!(second.shut_down().last().map(String::as_str), Some("ended"));
    });
}

pub(crate) fn a_loop_of_crashes_ends() {
    stage::on_stage("life::a_loop_of_crashes_ends", || {
        stage::install();
        write_program(AGENT_PATH, "#!/bin/bash\nexit 7\n");
        let said = Supervised::start(
            OPERATOR,
            &Part {
                restarts: 2,
                ..Part::new(AGENT_PATH)
            },
        )
        .rest();
        let facts: Vec<_> = said
            .iter()
            .filter(|line| line.starts_with("Agent"))
            .collect();
        let life = ["AgentUp(true)", "AgentUp(false)"];
        let again = ["AgentRestarted(Failed)", "AgentUp(true)", "AgentUp(false)"];
        assert_eq!(facts, [&life[..], &again, &again].concat(), "{said:?}");
        let expected = "error: the agent did not stay up (starts after the first: 2; the last end: failed): --agent.log_output true shows what it prints";
        assert_eq!(said.last().map(String::as_str), Some(expected));
    });
}

pub(crate) fn ports_are_announced_and_a_chatty_agent_is_not_held_up() {
    stage::on_stage(
        "life::ports_are_announced_and_a_chatty_agent_is_not_held_up",
        || {
            stage::install();
            // It reads its metadata to the end of file, and says far more than a pipe holds before
            // it comes to the point.
            let chatty = "#!/bin/bash
            cat >\"$HOME/stdin\"
            head -c 1000000 /dev/zero | tr '\\0' x | tee /dev/stderr
            echo >&2
            echo 'server.go:485] Language server listening on random port at 49463 for HTTPS (gRPC)' >&2
            echo 'server.go:492] Language server listening on random port at 49464 for HTTP' >&2
            exec sleep 1000\n";
            write_program(AGENT_PATH, chatty);
            let mut supervised = Supervised::start(
                OPERATOR,
                &Part {
                    preset: true,
                    ..Part::new(AGENT_PATH)
                },
            );
            supervised.until(
            "Up(Announcement { https_port: Some(49463), http_port: Some(49464), lsp_port: None, csrf_token: Some(CsrfToken(..)) })",
        );
            root(&format!("grep -q antigravity /var/lib/{AGENT}/stdin"));
            assert_eq!(
                supervised.shut_down().last().map(String::as_str),
                Some("ended")
            );
        },
    );
}
