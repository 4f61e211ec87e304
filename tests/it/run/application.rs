//! A desktop application under `gravimeter run`: the language server that it starts is followed, and
//! its own connections, which trust nobody but its own roots, stay whole.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use gravimeter::demo::agent::AppOutcome;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::sessions::Service;
use super::{Stage, err};
use crate::kit::binary::until;

/// Users of the language server, and messages of each.
const USERS: u64 = 3;
const MESSAGES: u64 = 4;

/// Requests of the application itself.
const OWN: u32 = 5;

#[tokio::test]
async fn its_language_server_is_followed_and_its_own_connections_stay_whole() {
    let stage = Stage::new();
    let program = application(&stage);
    let mut command = stage.as_user();
    let socket = stage.home().join("exporter");
    command.args(stage.words("proxy"));
    command
        .arg("--web.socket")
        .arg(&socket)
        .arg("--")
        .arg(program);
    let run = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    every_turn(&stage, "exporter").await;
    let received = whole(&stage, end(run));

    // And all of it is kept.
    let words = [
        "usage",
        "--by",
        "cascade",
        "--json",
        "--web.listen",
        "127.0.0.1:9",
    ];
    let kept: Value = serde_json::from_str(&gravimeter(&stage, &words)).expect("JSON");
    let groups = kept["groups"].as_array().expect("a list");
    let named = groups.iter().filter(|group| group["cascade"].is_string());
    assert_eq!(named.count() as u64, USERS, "{kept}");
    assert_eq!(kept["totals"]["total_tokens"], received, "{kept}");
}

/// A service does the same for a run that is handed over to it, and for more than one at a time.
#[tokio::test]
async fn a_service_follows_the_language_server_of_a_run() {
    let stage = Stage::new();
    stage.configure();
    let _service = Service::start(&stage).await;
    let program = application(&stage);
    let mut command = stage.run_anyhow(&[program.to_str().expect("UTF-8")]);
    let run = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // Only the service has an exporter.
    every_turn(&stage, "web.sock").await;
    assert_eq!(stage.sessions()[0]["state"], "running");
    let received = whole(&stage, end(run.expect("it runs")));
    let [session] = &stage.sessions()[..] else {
        panic!("one session");
    };
    assert_eq!(session["usage"]["total_tokens"], received, "{session}");
    // The next one has conversations of its own.
    let mut command = stage.run_anyhow(&[program.to_str().expect("UTF-8")]);
    let run = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    until(async || {
        let turns: u64 = conversations(&stage, "web.sock").values().sum();
        (turns == 2 * USERS * MESSAGES).then_some(())
    })
    .await;
    whole(&stage, end(run.expect("it runs")));
}

/// What is started then hands everything to the process that runs already, whose environment and
/// connections are made.
#[tokio::test]
async fn one_that_runs_already_is_named() {
    let stage = Stage::new();
    let program = stage.path("antigravity");
    fs::write(&program, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    let program = program.to_str().expect("UTF-8");
    // That of another user does not matter. Its number is the lower one.
    let mut of_another_user = Command::new("setpriv");
    of_another_user.args([
        "--reuid=1",
        "--regid=1",
        "--clear-groups",
        "--",
        "bash",
        "-c",
    ]);
    of_another_user.arg("exec -a /usr/share/antigravity/antigravity sleep 1000");
    let is_root = rustix::process::geteuid().is_root();
    let mut of_another_user = is_root.then(|| of_another_user.spawn().expect("it runs"));
    let mut before = stage
        .as_user()
        .args([
            "bash",
            "-c",
            "exec -a /usr/share/antigravity/antigravity sleep 1000",
        ])
        .spawn()
        .expect("it runs");
    let named = format!("process {})", before.id());
    let doctor = || gravimeter(&stage, &["doctor", "run", program]);
    // For a moment it is still called otherwise.
    until(async || doctor().contains(&named).then_some(())).await;
    if let Some(other) = &mut of_another_user {
        let command_line = format!("/proc/{}/cmdline", other.id());
        until(async || {
            let words = fs::read_to_string(&command_line).expect("it runs");
            words.contains("antigravity").then_some(())
        })
        .await;
    }
    let output = stage.run(&[program]).output().expect("it runs");
    if let Some(other) = &mut of_another_user {
        other.kill().expect("it runs");
        other.wait().expect("it ends");
    }
    before.kill().expect("it runs");
    before.wait().expect("it ends");
    let said = err(&output);
    let (warning, summary) = said.split_once('\n').expect("two lines");
    assert!(
        warning.contains(&named) && warning.contains("unobserved"),
        "{said}"
    );
    assert!(
        summary.contains(&named) && summary.contains("taken over"),
        "{said}"
    );
    assert_eq!(stage.json()["already_running"], before.id(), "{said}");
}

/// A program of this name, which is all that a person types.
fn application(stage: &Stage) -> std::path::PathBuf {
    let language_server = stage.path("language_server_linux_x64");
    fs::hard_link(stage.path("gravimeter"), &language_server).expect("a link");
    let options = json!({
        "executable": language_server,
        "roots": stage.path("root.pem"),
        "own_requests": OWN,
        "language_server": {
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
    let script = format!(
        "#!/bin/sh\nexec {} demo-app --options '{options}'\n",
        stage.path("gravimeter").display()
    );
    let program = stage.path("antigravity");
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    program
}

/// Waits until the exporter at that socket shows every turn.
async fn every_turn(stage: &Stage, socket: &str) {
    until(async || {
        let turns: u64 = conversations(stage, socket).values().sum();
        (turns == USERS * MESSAGES).then_some(())
    })
    .await;
}

/// Asserts that the report has everything that the language server has received, and its turns, and
/// that the application's own connections passed unread. Returns how many tokens were received.
fn whole(stage: &Stage, (outcome, summary): (AppOutcome, String)) -> u64 {
    assert!(outcome.language_server.is_clean(), "{outcome:?}");
    let json = stage.json();
    let log = &outcome.language_server.log;
    let models = outcome.language_server.tally.models.values();
    let received: u64 = models.map(|model| model.tokens.total()).sum();
    let counted = json["tokens"].as_object().expect("an object").values();
    let counted: u64 = counted.filter_map(Value::as_u64).sum();
    assert_eq!(counted, received, "{json}");
    assert_eq!(json["conversations"], USERS, "{json}");
    let turns = json["runs"].as_object().expect("an object").values();
    let turns: u64 = turns.filter_map(Value::as_u64).sum();
    assert_eq!(turns, log.runs.len() as u64, "{json}");
    let line = format!("conversations {USERS} with {} turns: ", USERS * MESSAGES);
    assert!(summary.contains(&line), "{summary}");

    // It does not trust the CA, and is not asked to.
    assert_eq!(outcome.own_answers, OWN, "{outcome:?}");
    let passed: u64 = json["unseen"]["tunnelled"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|passed| passed["host"] == super::HOST && passed["reason"] == "other_program")
        .filter_map(|passed| passed["connections"].as_u64())
        .sum();
    assert_eq!(passed, u64::from(OWN), "{json}");
    received
}

/// The conversations that `/v1/cascades` shows, with their turns that have ended; none while nothing
/// answers.
fn conversations(stage: &Stage, socket: &str) -> BTreeMap<String, u64> {
    let socket = stage.home().join(socket);
    let mut curl = stage.as_user();
    curl.args(["curl", "--silent", "--unix-socket"]).arg(socket);
    let output = curl.arg("http://localhost/v1/cascades").output();
    let answer: Value =
        serde_json::from_slice(&output.expect("curl runs").stdout).unwrap_or_default();
    let listed = answer["cascades"].as_array().cloned().unwrap_or_default();
    let turns = listed.iter().map(|conversation| {
        let id = conversation["id"].as_str().unwrap_or_default().to_owned();
        let turns = &conversation["runs_ended"];
        (id, turns.as_u64().unwrap_or_default())
    });
    turns.collect()
}

/// Ends the application as a person does, and returns what it has seen and the summary.
fn end(run: Child) -> (AppOutcome, String) {
    kill_process(Pid::from_child(&run), Signal::TERM).expect("it runs");
    let output = run.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", err(&output));
    let outcome = serde_json::from_slice(&output.stdout).expect("JSON");
    (outcome, err(&output))
}

fn gravimeter(stage: &Stage, words: &[&str]) -> String {
    let mut command = stage.as_user();
    let output = command.arg(stage.path("gravimeter")).args(words).output();
    super::out(&output.expect("it runs"))
}
