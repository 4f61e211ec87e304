//! A desktop application in a network namespace of its own: the RPC of the language server that it
//! starts is reached inside, where no port of it is visible from outside.

use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::run::{HOME, REPORT, line, nothing_is_left, on_network, report};
use crate::running::{FIRST, Provider, root_file, wait_for};
use crate::stage::{OPERATOR, PROGRAM, PROVIDER_V4, STATE, as_user, root, shell_as, text};

const USERS: u64 = 2;
const MESSAGES: u64 = 3;
const OWN: u64 = 4;

pub(crate) fn its_language_server_is_followed_from_inside() {
    on_network(
        "application::its_language_server_is_followed_from_inside",
        || {
            let _provider = Provider::start(PROVIDER_V4, FIRST);
            write_application();
            let exporter = format!("{HOME}/exporter");
            let words = format!("--scope namespace --web.socket {exporter} -- {HOME}/antigravity");
            let run = start(&line(&words));
            wait_for("the last turn", || turns(&exporter) == USERS * MESSAGES);
            end(run);
            nothing_is_left();
        },
    );
}

/// The service gets the namespaces with the session, and reaches the language server inside as the
/// run itself would.
pub(crate) fn a_service_follows_its_language_server_from_inside() {
    on_network(
        "application::a_service_follows_its_language_server_from_inside",
        || {
            let _provider = Provider::start(PROVIDER_V4, FIRST);
            write_application();
            let exporter = format!("{HOME}/exporter");
            let folder = format!("{HOME}/.config/gravimeter");
            let settings = format!(
                "[web]\nlisten = \"off\"\nsocket = \"{exporter}\"\n[upstream]\nextra_roots = [\"{}\"]\n",
                root_file(FIRST)
            );
            root(&format!(
                "mkdir -p {folder} && chmod -R a+rX {HOME}/.config"
            ));
            std::fs::write(format!("{folder}/gravimeter.toml"), settings).expect("written");
            let mut service = as_user(OPERATOR);
            service.args(["bash", "-c", &format!("HOME={HOME} exec {PROGRAM} serve")]);
            service
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut service = service.spawn().expect("the service runs");
            let sessions = Path::new(STATE).join("sessions.sock");
            wait_for("the service", || sessions.exists());
            let words = format!(
                "cd {HOME}; HOME={HOME} exec {PROGRAM} run --json {REPORT} --scope namespace -- {HOME}/antigravity"
            );
            let run = start(&words);
            wait_for("the last turn", || turns(&exporter) == USERS * MESSAGES);
            end(run);
            wait_for(
                "the end of the namespace, before that of the service",
                || root("lsns --noheadings --type net | wc -l").trim() == "1",
            );
            kill_process(Pid::from_child(&service), Signal::TERM).expect("it runs");
            assert!(service.wait().expect("it ends").success());
            nothing_is_left();
        },
    );
}

/// A shell line of the operator's, in the background.
fn start(line: &str) -> Child {
    let mut command = as_user(OPERATOR);
    command.args(["bash", "-c", line]).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it runs")
}

/// Ends the application as a person does, and asserts that the report has all of it.
fn end(run: Child) {
    kill_process(Pid::from_child(&run), Signal::TERM).expect("it runs");
    let output = run.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output));

    let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let server = &outcome["language_server"];
    assert_eq!(server["broken"], 0, "{outcome}");
    let report = report();
    assert_eq!(report["scope"], "namespace", "{report}");
    assert_eq!(report["conversations"], USERS, "{report}");
    let runs: u64 = sum(&report["runs"]);
    assert_eq!(runs, USERS * MESSAGES, "{report}");
    assert_eq!(sum(&report["tokens"]), received(server), "{report}");
    // It does not trust the CA, and is not asked to.
    assert_eq!(outcome["own_answers"], OWN, "{outcome}");
}

/// All tokens that the language server has received.
fn received(server: &Value) -> u64 {
    let models = server["tally"]["models"].as_object().expect("models");
    let of = |model: &Value| -> u64 { KINDS.iter().filter_map(|kind| model[kind].as_u64()).sum() };
    models.values().map(of).sum()
}

/// As the stand-in names them.
const KINDS: [&str; 7] = [
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "tool_input",
    "output",
    "thinking",
];

fn sum(numbers: &Value) -> u64 {
    let numbers = numbers.as_object().expect("an object").values();
    numbers.filter_map(Value::as_u64).sum()
}

fn write_application() {
    let language_server = format!("{HOME}/language_server_linux_x64");
    root(&format!(
        "touch {language_server} && mount --bind {PROGRAM} {language_server}"
    ));
    let options = json!({
        "executable": language_server,
        "roots": root_file(FIRST),
        "own_requests": OWN,
        "language_server": {
            "dial": format!("{PROVIDER_V4}:443"),
            "conversations": USERS,
            "rounds": MESSAGES,
            "stays": true,
            "patience_ms": 3_000,
            "pause_ms": 5,
            "upload_bytes": 512,
            "backoff_ms": 1,
            "abort_percent": 0,
        },
    });
    let program = Path::new(HOME).join("antigravity");
    let script = format!("#!/bin/sh\nexec {PROGRAM} demo-app --options '{options}'\n");
    std::fs::write(&program, script).expect("written");
    root(&format!("chmod 755 {}", program.display()));
}

/// Turns that have ended, as `/v1/cascades` has them; none while nothing answers.
fn turns(exporter: &str) -> u64 {
    let ask = format!("curl --silent --unix-socket {exporter} http://localhost/v1/cascades");
    let output = shell_as(OPERATOR, &ask);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let listed = answer["cascades"].as_array().cloned().unwrap_or_default();
    let turns = listed
        .iter()
        .map(|conversation| &conversation["runs_ended"]);
    turns.filter_map(Value::as_u64).sum()
}
