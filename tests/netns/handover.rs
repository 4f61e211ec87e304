//! Sessions that are handed over to a service of another user.

use std::fs;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run::{HOME, call, nothing_is_left, on_network, quoted};
use crate::running::{FIRST, Provider, root_file, wait_for};
use crate::stage::{
    OPERATOR, PROGRAM, PROVIDER_V4, STATE, as_user, root, shell_as, text, write_program,
};

/// The service's user and home.
const METER: &str = "meter";
const METER_HOME: &str = "/var/lib/meter";
/// A user who is not in the group.
const MALLORY: &str = "mallory";
const MALLORY_HOME: &str = "/var/lib/mallory";

const SOCKET: &str = "/var/lib/meter/sessions.sock";

pub(crate) fn a_service_of_another_user_takes_the_sessions_of_its_group_alone() {
    on_network(
        "handover::a_service_of_another_user_takes_the_sessions_of_its_group_alone",
        || {
            let _provider = Provider::start(PROVIDER_V4, FIRST);
            root(&format!(
                "groupadd metered
                 useradd --create-home --home-dir {METER_HOME} --groups metered {METER}
                 useradd --create-home --home-dir {MALLORY_HOME} {MALLORY}
                 usermod --append --groups metered {OPERATOR}
                 chmod 755 {METER_HOME}; mkdir -p /etc/gravimeter"
            ));
            configure("group = \"metered\"");
            let service = serve();
            wait_for("the group's socket", || {
                shell_as("root", &format!("stat -c '%a %U %G' {SOCKET}")).stdout
                    == format!("660 {METER} metered\n").as_bytes()
            });

            assert_eq!(spent(OPERATOR, HOME, &call(PROVIDER_V4)), Kept::Elsewhere);
            let [session] = &sessions()[..] else {
                panic!("one session");
            };
            assert_eq!(session["usage"]["calls"], 1, "{session}");
            let id = session["id"].as_str().expect("an id");
            let details = ask(&format!("/v1/sessions/{id}"));
            // It cannot look into the processes of another user.
            assert_eq!(
                details["programs"],
                serde_json::json!(["bash"]),
                "{details}"
            );

            // Nor find a language server there: the run does that by itself.
            let agy = format!("{HOME}/agy");
            write_program(&agy, &format!("#!/bin/bash\n{}\n", call(PROVIDER_V4)));
            let run = format!("--program '*' -- {agy}");
            assert_eq!(spent_by(OPERATOR, HOME, &run), Kept::InOwnLedger);
            assert_eq!(
                spent(MALLORY, MALLORY_HOME, &call(PROVIDER_V4)),
                Kept::InOwnLedger
            );
            assert_eq!(sessions().len(), 1, "{:?}", sessions());
            end(service);

            // Without a group it takes those of its own user, whatever becomes of the socket's mode.
            configure("");
            let service = serve();
            wait_for("the owner's socket", || {
                shell_as("root", &format!("stat -c '%a' {SOCKET}")).stdout == b"600\n"
            });
            root(&format!("chmod 666 {SOCKET}"));
            assert_eq!(spent(OPERATOR, HOME, &call(PROVIDER_V4)), Kept::InOwnLedger);
            assert_eq!(sessions().len(), 1, "{:?}", sessions());
            end(service);
            nothing_is_left();
        },
    );
}

/// Where the calls of a run are kept.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// In the service's ledger.
    Elsewhere,
    InOwnLedger,
}

/// Runs a shell line that makes one call, as a user.
fn spent(user: &str, home: &str, line: &str) -> Kept {
    spent_by(user, home, &format!("-- bash -c {}", quoted(line)))
}

/// Runs a program, given behind further options, that makes one call.
fn spent_by(user: &str, home: &str, program: &str) -> Kept {
    let report = format!("{home}/run.json");
    let output = shell_as(
        user,
        &format!(
            "cd {home}; HOME={home} exec {PROGRAM} run --json {report} --scope namespace {program}"
        ),
    );
    assert!(output.status.success(), "{user}: {}", text(&output));
    let report: Value = serde_json::from_str(&root(&format!("cat {report}"))).expect("JSON");
    assert_eq!(report["calls"], 1, "{user}: {report}");
    let file = report["ledger"]["file"].as_str().expect("it is kept");
    if file.starts_with(home) || file.starts_with(STATE) {
        Kept::InOwnLedger
    } else {
        assert!(file.starts_with(METER_HOME), "{report}");
        Kept::Elsewhere
    }
}

/// The configuration that the service and all runs read.
fn configure(sessions: &str) {
    let text = format!(
        "[state]\ndir = \"{METER_HOME}/state\"\n[web]\nlisten = \"off\"\nsocket = \"{METER_HOME}/exporter\"\n\
         [sessions]\nsocket = \"{SOCKET}\"\n{sessions}\n[upstream]\nextra_roots = [\"{}\"]\n",
        root_file(FIRST)
    );
    fs::write("/etc/gravimeter/gravimeter.toml", text).expect("written");
}

fn serve() -> Child {
    as_user(METER)
        .args([
            "bash",
            "-c",
            &format!("HOME={METER_HOME} exec {PROGRAM} serve"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the service runs")
}

fn end(mut service: Child) {
    kill_process(Pid::from_child(&service), Signal::TERM).expect("it runs");
    assert!(service.wait().expect("it ends").success());
}

/// The sessions that the service has, the last to begin first.
fn sessions() -> Vec<Value> {
    let answer = ask("/v1/sessions");
    answer["sessions"].as_array().expect("a list").clone()
}

fn ask(path: &str) -> Value {
    let curl =
        format!("curl -sS --fail --unix-socket {METER_HOME}/exporter http://localhost{path}");
    let output = shell_as("root", &curl);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{path}: {}", text(&output)))
}
