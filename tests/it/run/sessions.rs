//! Sessions: who has called, in which repository, and how a running service observes every run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::{HOST, Stage, borrowed, call, err, out};
use crate::kit::binary::until;

const USAGE: &str = "prompt=16 cached=4 thoughts=42 output=3";

/// A text that must be found nowhere.
const CANARY: &str = "CANARY-b7f2";

impl Stage {
    /// Writes the user's own configuration, which `serve` and `run` both read: the provider's
    /// stand-in is in the place of the real one, and the exporter is a Unix socket.
    pub(super) fn configure(&self) {
        let folder = self.home().join(".config/gravimeter");
        fs::create_dir_all(&folder).expect("a folder");
        let text = format!(
            "[web]\nlisten = \"off\"\nsocket = {:?}\n[capture]\nlisten = [\"127.0.0.1:0\"]\nconnect_listen = \"127.0.0.1:0\"\n\
             [upstream]\nextra_roots = [{:?}]\nresolve = {{ {:?} = {:?} }}\n",
            self.home().join("web.sock"),
            self.path("root.pem"),
            format!("{HOST}:443"),
            self.address
        );
        fs::write(folder.join("gravimeter.toml"), text).expect("written");
    }

    /// `gravimeter` with these words, as the user.
    fn gravimeter(&self, words: &[&str]) -> Command {
        let mut command = self.as_user();
        command.arg(self.path("gravimeter")).args(words);
        command
    }

    /// A run that a service may observe: no flag says how.
    pub(super) fn run_anyhow(&self, program: &[&str]) -> Command {
        let json = self.json_path();
        let json = json.to_str().expect("UTF-8");
        let mut command = self.gravimeter(&["run", "--scope", "proxy", "--json", json, "--"]);
        command.args(program);
        command
    }

    /// What a command of gravimeter prints as JSON.
    fn answer(&self, words: &[&str]) -> Value {
        let output = self.gravimeter(words).output().expect("it runs");
        assert!(output.status.success(), "{words:?}: {}", err(&output));
        serde_json::from_str(&out(&output)).expect("JSON")
    }

    /// The sessions that are kept, the last to begin first.
    pub(super) fn sessions(&self) -> Vec<Value> {
        let answer = self.answer(&["sessions", "--json"]);
        answer["sessions"].as_array().expect("a list").clone()
    }

    fn state(&self) -> PathBuf {
        self.home().join(".local/state/gravimeter")
    }
}

/// `gravimeter serve` as the user leaves it on: no agent, no redirect.
pub(super) struct Service(Child);

impl Service {
    pub(super) async fn start(stage: &Stage) -> Self {
        let mut command = stage.gravimeter(&["serve"]);
        command.stderr(Stdio::null()).stdout(Stdio::null());
        let mut service = Self(command.spawn().expect("it runs"));
        until(async || {
            assert!(service.0.try_wait().expect("a child").is_none(), "it runs");
            let ready = stage.gravimeter(&["sessions", "--json"]).output();
            let is_ready = ready.is_ok_and(|it| it.status.success() && it.stderr.is_empty());
            (is_ready && stage.state().join("sessions.sock").exists()).then_some(())
        })
        .await;
        service
    }

    /// Ends it as a crash does.
    fn kill(&mut self) {
        // setpriv has become gravimeter.
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that calls, says so by making a file, waits for another one, and calls again.
fn two_calls(stage: &Stage) -> (String, PathBuf, PathBuf) {
    let (called, go) = (stage.home().join("called"), stage.home().join("go"));
    let words = call(USAGE);
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let curl = quoted.join(" ");
    let script = format!(
        "{curl} >/dev/null; touch {}; while ! test -e {}; do sleep 0.01; done; {curl} --retry 30 --retry-all-errors --retry-delay 1 >/dev/null",
        called.display(),
        go.display()
    );
    (script, called, go)
}

fn git(folder: &Path, words: &[&str]) {
    let status = Command::new("git")
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .status();
    assert!(status.expect("git").success(), "{words:?}");
}

/// Every file below a folder that holds the text.
fn holding(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if entry.file_type().expect("a type").is_dir() {
            holding(&path, text, found);
        } else if let Ok(bytes) = fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        {
            found.push(path);
        }
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", err(output));
    err(output)
}

/// Arguments of the program and credentials of the repository are found nowhere.
#[test]
fn a_session_knows_its_program_and_repository_and_keeps_no_secret() {
    let stage = Stage::new();
    stage.configure();
    let repository = stage.path("project");
    fs::create_dir(&repository).expect("a folder");
    git(
        &repository,
        &["init", "--quiet", "--initial-branch", "side"],
    );
    let origin = format!("https://user:{CANARY}@example.com/owner/name.git");
    git(&repository, &["remote", "add", "origin", &origin]);
    let quoted: Vec<_> = call(USAGE).iter().map(|word| format!("'{word}'")).collect();
    let script = format!("{}; : {CANARY}", quoted.join(" "));
    let mut run = stage.run_anyhow(&["sh", "-c", &script, CANARY]);
    let output = run.current_dir(&repository).output().expect("it runs");
    let summary = succeeded(&output);
    assert!(!summary.contains(CANARY), "{summary}");

    let sessions = stage.sessions();
    let [session] = sessions.as_slice() else {
        panic!("{sessions:?}");
    };
    for (key, value) in [
        ("program", "sh"),
        ("repository", "example.com/owner/name"),
        ("folder", "project"),
        ("branch", "side"),
        ("state", "ended"),
    ] {
        assert_eq!(session[key], value, "{session}");
    }
    assert_eq!(session["usage"]["total_tokens"], 61, "{session}");
    let id = session["id"].as_str().expect("an id");
    let details = stage.answer(&["sessions", id]);
    assert_eq!(
        details["programs"],
        serde_json::json!(["curl"]),
        "{details}"
    );
    for (by, kind) in [
        ("program", "programs"),
        ("repository", "repositories"),
        ("branch", "branches"),
        ("session", "sessions"),
    ] {
        let usage = stage.answer(&["usage", "--json", "--by", by]);
        let key = match by {
            "program" => "curl",
            "repository" => "example.com/owner/name",
            "branch" => "example.com/owner/name side",
            _ => id,
        };
        assert_eq!(usage[kind][key]["total_tokens"], 61, "{by}: {usage}");
    }
    let csv = stage.gravimeter(&["sessions", "--csv"]).output();
    let csv = out(&csv.expect("it runs"));
    assert!(
        csv.contains(",ended,sh,example.com/owner/name,project,side,"),
        "{csv}"
    );
    let mut found = Vec::new();
    holding(&stage.state(), CANARY, &mut found);
    assert!(found.is_empty(), "{found:?}");
    assert!(stage.state().join("ledger.db").exists(), "where it looked");
}

#[test]
fn a_working_directory_that_is_gone_has_no_repository_and_harms_nothing() {
    let stage = Stage::new();
    stage.configure();
    let program = stage.path("gravimeter");
    let script = format!(
        "mkdir gone && cd gone && rmdir ../gone && exec {} run --scope proxy -- true",
        program.display()
    );
    let mut shell = stage.as_user();
    let output = shell.args(["sh", "-c", &script]).output().expect("it runs");
    succeeded(&output);
    let sessions = stage.sessions();
    assert_eq!(sessions.len(), 1);
    assert!(sessions[0].get("repository").is_none(), "{sessions:?}");
}

/// Any number of runs come and go: the service has them all, in one ledger.
#[tokio::test]
async fn a_service_observes_every_run() {
    let stage = Stage::new();
    stage.configure();
    let _service = Service::start(&stage).await;
    let (script, called, go) = two_calls(&stage);
    let mut first = stage.run_anyhow(&["sh", "-c", &script]);
    let first = first.stderr(Stdio::piped()).spawn().expect("it runs");
    until(async || called.exists().then_some(())).await;
    // A second one, while the first goes on.
    let second = stage.run_anyhow(&borrowed(&call(USAGE))).output();
    let summary = succeeded(&second.expect("it runs"));
    assert!(summary.contains("tokens        61: "), "{summary}");
    assert!(
        summary.contains("`gravimeter usage`"),
        "it is kept: {summary}"
    );
    assert_eq!(stage.json()["tokens"]["thinking"], 42);
    let states = |stage: &Stage| {
        let sessions = stage.sessions();
        let states = sessions.iter();
        let states = states.map(|it| format!("{} {}", it["state"], it["usage"]["calls"]));
        states.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(states(&stage), r#""ended" 1, "running" 1"#);
    fs::write(&go, "").expect("written");
    let first = first.wait_with_output().expect("it ends");
    let summary = succeeded(&first);
    assert!(summary.contains("calls         2: 2 ok"), "{summary}");
    assert_eq!(states(&stage), r#""ended" 1, "ended" 2"#);
    let usage = stage.answer(&["usage", "--json", "--by", "program"]);
    assert_eq!(usage["programs"]["curl"]["calls"], 3, "{usage}");
}

/// The program goes on: what it calls from then on, its own run observes.
#[tokio::test]
async fn a_service_that_is_killed_costs_no_call() {
    let stage = Stage::new();
    stage.configure();
    let mut service = Service::start(&stage).await;
    let (script, called, go) = two_calls(&stage);
    let mut run = stage.run_anyhow(&["sh", "-c", &script]);
    let run = run.stderr(Stdio::piped()).spawn().expect("it runs");
    until(async || called.exists().then_some(())).await;
    until(async || (stage.sessions()[0]["usage"]["calls"] == 1).then_some(())).await;
    service.kill();
    fs::write(&go, "").expect("written");
    let output = run.wait_with_output().expect("it ends");
    let summary = succeeded(&output);
    assert!(summary.contains("calls         1: 1 ok"), "{summary}");
    assert!(
        summary.contains("a service that observed it has ended"),
        "{summary}"
    );
    // The ledger was free again: both calls are there, in the one session.
    let sessions = stage.sessions();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(sessions[0]["usage"]["calls"], 2, "{sessions:?}");
    assert_eq!(sessions[0]["state"], "ended", "{sessions:?}");
}

#[tokio::test]
async fn a_service_that_is_started_again_goes_on_with_the_session() {
    let stage = Stage::new();
    stage.configure();
    let mut service = Service::start(&stage).await;
    let (script, called, go) = two_calls(&stage);
    let mut run = stage.run_anyhow(&["sh", "-c", &script]);
    let run = run.stderr(Stdio::piped()).spawn().expect("it runs");
    until(async || called.exists().then_some(())).await;
    until(async || (stage.sessions()[0]["usage"]["calls"] == 1).then_some(())).await;
    service.kill();
    let _service = Service::start(&stage).await;
    until(async || (stage.sessions()[0]["state"] == "running").then_some(())).await;
    fs::write(&go, "").expect("written");
    succeeded(&run.wait_with_output().expect("it ends"));
    let sessions = stage.sessions();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(sessions[0]["usage"]["calls"], 2, "{sessions:?}");
    assert_eq!(sessions[0]["state"], "ended", "{sessions:?}");
}

/// What another version, or something that is no `run`, may send.
#[tokio::test]
async fn what_is_no_offer_is_refused_with_a_reason_and_harms_nothing() {
    let stage = Stage::new();
    stage.configure();
    let _service = Service::start(&stage).await;
    let offer = |version: u32, server: &str| {
        format!(
            r#"{{"offer": {{"version": {version}, "session": "s", "program": "p", "folder": null, "remote": null, "branch": null,
             "started_at": 1, "redirect": 0, "programs": [], "tunnels_untrusting": false, "language_server": {server}}}}}"#
        )
        .replace('\n', " ")
    };
    let inside = r#"{"ca_folder": "/x", "in_namespace": true, "is_expected": false}"#;
    for (line, descriptors, why) in [
        (offer(1, "null"), "tcp", "another version"),
        ("no JSON".to_owned(), "tcp", "another version"),
        (offer(2, "null"), "tcp.connected", "does not listen"),
        (offer(2, "null"), "udp", "a socket cannot be used"),
        (offer(2, inside), "tcp", "namespaces are missing"),
    ] {
        let mut python = stage.as_user();
        python.args(["python3", "-c", OFFER]);
        python
            .arg(stage.state().join("sessions.sock"))
            .arg(descriptors)
            .arg(&line);
        let output = python.output().expect("python");
        let said = out(&output);
        assert!(
            said.contains("refused") && said.contains(why),
            "{line} {descriptors}: {said} {}",
            err(&output)
        );
    }
    let run = stage.run_anyhow(&borrowed(&call(USAGE))).output();
    succeeded(&run.expect("it runs"));
    assert_eq!(stage.sessions().len(), 1, "only the true one");
}

const OFFER: &str = r#"
import socket, sys
path, kind, line = sys.argv[1:]
service = socket.socket(socket.AF_UNIX)
service.settimeout(60)
service.connect(path)
listener = socket.create_server(("127.0.0.1", 0))
sockets = {"tcp": listener, "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM)}
sockets["tcp.connected"] = socket.create_connection(listener.getsockname())
socket.send_fds(service, [b"F"], [sockets[kind].fileno()])
service.sendall(line.encode() + b"\n")
print(service.makefile().readline())
"#;

/// The program does not trust it, and would only see errors of its TLS library.
#[tokio::test]
async fn a_service_with_another_ca_does_not_get_the_session() {
    let stage = Stage::new();
    stage.configure();
    let mut service = Service::start(&stage).await;
    let (called, go) = (stage.home().join("called"), stage.home().join("go"));
    let quoted: Vec<_> = call(USAGE).iter().map(|word| format!("'{word}'")).collect();
    let curl = quoted.join(" ");
    let script = format!(
        "{curl} >/dev/null; touch {}; while ! test -e {}; do sleep 0.01; done; {curl}; echo curl $?",
        called.display(),
        go.display()
    );
    let mut run = stage.run_anyhow(&["sh", "-c", &script]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let run = run.expect("it runs");
    until(async || called.exists().then_some(())).await;
    until(async || (stage.sessions()[0]["usage"]["calls"] == 1).then_some(())).await;
    service.kill();
    fs::remove_dir_all(stage.state().join("ca")).expect("a CA");
    let _service = Service::start(&stage).await;
    let runs = stage.state().join("runs");
    until(async || {
        let mut found = Vec::new();
        holding(&runs, "nobody observes the program any more", &mut found);
        (!found.is_empty()).then_some(())
    })
    .await;
    fs::write(&go, "").expect("written");
    let output = run.wait_with_output().expect("it ends");
    // The kernel's refusal: nothing listens any more.
    assert!(
        out(&output).contains("curl 7\n"),
        "{} {}",
        out(&output),
        err(&output)
    );
    assert!(stage.sessions().iter().all(|it| it["state"] != "running"));
}

/// The run goes on by itself, and so has the ledger: a service that starts meanwhile gets it when
/// the run ends, with what it has recorded by then.
#[tokio::test]
async fn a_service_that_starts_beside_a_run_takes_its_ledger_over() {
    let stage = Stage::new();
    stage.configure();
    let (script, called, go) = two_calls(&stage);
    let mut run = stage.run_anyhow(&["sh", "-c", &script]);
    let run = run.stderr(Stdio::piped()).spawn().expect("it runs");
    until(async || called.exists().then_some(())).await;
    let _service = Service::start(&stage).await;
    let handed = stage.run_anyhow(&borrowed(&call(USAGE))).output();
    let summary = succeeded(&handed.expect("it runs"));
    assert!(summary.contains("in the ledger when"), "not yet: {summary}");
    // Which the service answers: the other one's ledger is not its own yet.
    assert_eq!(stage.sessions().len(), 1);
    fs::write(&go, "").expect("written");
    let summary = succeeded(&run.wait_with_output().expect("it ends"));
    assert!(summary.contains("calls         2: 2 ok"), "{summary}");
    until(async || (stage.sessions().len() == 2).then_some(())).await;
    for by in ["model", "day", "program"] {
        let usage = stage.answer(&["usage", "--json", "--by", by]);
        assert_eq!(usage["totals"]["calls"], 3, "{by}: {usage}");
    }
    let later = stage.run_anyhow(&borrowed(&call(USAGE))).output();
    let summary = succeeded(&later.expect("it runs"));
    assert!(summary.contains("`gravimeter usage`"), "kept: {summary}");
    assert_eq!(stage.sessions().len(), 3);
}

/// A run that is killed ends its session; the service goes on with the others.
#[tokio::test]
async fn a_run_that_is_killed_ends_its_session() {
    let stage = Stage::new();
    stage.configure();
    let _service = Service::start(&stage).await;
    let (script, called, _) = two_calls(&stage);
    let mut run = stage.run_anyhow(&["sh", "-c", &script]);
    let mut run = run.stderr(Stdio::null()).spawn().expect("it runs");
    until(async || called.exists().then_some(())).await;
    run.kill().expect("killed");
    run.wait().expect("ended");
    until(async || (stage.sessions()[0]["state"] == "ended").then_some(())).await;
    let again = stage.run_anyhow(&borrowed(&call(USAGE))).output();
    let summary = succeeded(&again.expect("it runs"));
    assert!(summary.contains("calls         1: 1 ok"), "{summary}");
    assert_eq!(stage.sessions().len(), 2);
}

#[test]
fn connections_of_other_programs_pass_unread() {
    let stage = Stage::new();
    stage.configure();
    let words = call(USAGE);
    let of = |pattern: &str| {
        let mut run = stage.gravimeter(&["run", "--scope", "proxy", "--program", pattern, "--"]);
        let output = run.args(&words).output().expect("it runs");
        assert!(out(&output).contains("usageMetadata"), "{}", err(&output));
        succeeded(&output)
    };
    assert!(of("cur*").contains("tokens        61: "));
    let summary = of("language_server*");
    assert!(
        summary.contains("passed on unread (other_program)"),
        "{summary}"
    );
}
