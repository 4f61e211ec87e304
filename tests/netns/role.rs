//! Parts that are played by this binary as the operator: a supervisor, and one look at the rules.
//!
//! The roles are ignored tests, started by the tests with `--ignored` as another user.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gravimeter::capture::redirect;
use gravimeter::launch::{Choice, Config, Preset, Supervision, Supervisor};
use gravimeter::record::{Fact, Record};
use tokio_util::sync::CancellationToken;

use crate::stage::{self, AGENT, OPERATOR, PROGRAM, SELF, STATE};

/// How the supervised agent differs from a plain one.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    /// The agent's executable.
    pub(crate) command: String,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Variables for it.
    pub(crate) env: Vec<(String, String)>,
    /// No other user: the supervisor's own.
    pub(crate) as_ourselves: bool,
    /// The traffic is redirected by uid.
    pub(crate) redirected: bool,
    /// With the Antigravity preset.
    pub(crate) preset: bool,
    /// How many restarts are allowed.
    pub(crate) restarts: u32,
    /// How long the agent may take to end.
    pub(crate) stop_timeout_ms: u64,
}

impl Part {
    /// A plain agent with the given executable.
    pub(crate) fn new(command: &str) -> Self {
        Self {
            command: command.into(),
            restarts: 3,
            stop_timeout_ms: 30_000,
            ..Self::default()
        }
    }
}

/// A supervisor in a process of its own.
pub(crate) struct Supervised {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Supervised {
    /// Starts it as `user`.
    pub(crate) fn start(user: &str, part: &Part) -> Self {
        let mut child = role(user, SUPERVISOR, Some(part))
            .stdin(Stdio::piped())
            .spawn()
            .expect("the role");
        let lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// The next thing it says.
    pub(crate) fn next(&mut self) -> String {
        let said = self.lines.by_ref().map(|line| line.expect("a line"));
        said.into_iter()
            .find_map(|line| line.strip_prefix(SAYS).map(str::to_owned))
            .expect("the role ended")
    }

    /// Reads on until it says `expected`.
    pub(crate) fn until(&mut self, expected: &str) {
        while self.next() != expected {}
    }

    /// Shuts it down; what it says from then on.
    pub(crate) fn shut_down(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let said = self.rest();
        self.child.wait().expect("its status");
        said
    }

    /// All that it says until it ends.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let lines = self.lines.by_ref().map(|line| line.expect("a line"));
        lines
            .filter_map(|line| line.strip_prefix(SAYS).map(str::to_owned))
            .collect()
    }
}

/// What `Redirect::status` answers the operator.
pub(crate) fn status() -> String {
    let output = role(OPERATOR, STATUS, None).output().expect("the role");
    let said = stage::text(&output);
    said.lines()
        .find_map(|line| line.strip_prefix(SAYS))
        .unwrap_or(&said)
        .to_owned()
}

fn role(user: &str, name: &str, part: Option<&Part>) -> Command {
    let mut command = stage::as_user(user);
    command.arg(SELF).env(ROLE, name).stdout(Stdio::piped());
    command.env(PART, serde_json::to_string(&part).expect("json"));
    // What must never reach the agent.
    command
        .env("GRAVIMETER_SECRET", "canary")
        .env("LD_LIBRARY_PATH", "/canary")
        .env("HTTPS_PROXY", "http://canary");
    command
}

/// Plays the role that this process was started for, if it was for one.
pub(crate) fn play() -> bool {
    match std::env::var_os(ROLE)
        .as_deref()
        .and_then(|role| role.to_str())
    {
        Some(SUPERVISOR) => supervisor(),
        Some(STATUS) => status_of_the_rules(),
        _ => return false,
    }
    true
}

fn say(what: &str) {
    let _ = std::io::stdout().write_all(format!("\n{SAYS}{what}\n").as_bytes());
}

struct Saying;

impl Record for Saying {
    fn record(&self, fact: Fact) {
        say(&format!("{fact:?}"));
    }
}

fn supervisor() {
    let part = std::env::var_os(PART)
        .expect("a part")
        .into_string()
        .expect("text");
    let part: Part = serde_json::from_str(&part).expect("a part");
    let choice = match part.preset {
        true => Choice::Preset {
            preset: Preset::Antigravity,
            command: Some(part.command.into()),
        },
        false => Choice::Command(part.command.into()),
    };
    let config = Config {
        args: part.args,
        env: part.env.into_iter().collect(),
        user: (!part.as_ourselves).then(|| AGENT.into()),
        redirected: part.redirected,
        program: Some(PROGRAM.into()),
        ..Config::default()
    };
    let supervision = Supervision {
        restart_limit: part.restarts,
        restart_backoff_initial: Duration::from_millis(10),
        stop_timeout: Duration::from_millis(part.stop_timeout_ms),
        ..Supervision::default()
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.cancel();
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let supervisor = Supervisor::new(
        choice,
        config,
        supervision,
        Path::new(STATE),
        Arc::new(Saying),
    );
    let mut state = supervisor.subscribe();
    runtime.block_on(async {
        let states = async {
            while state.changed().await.is_ok() {
                let now = state.borrow_and_update().clone();
                say(&format!("{now:?}"));
            }
        };
        let (ended, ()) = tokio::join!(supervisor.run(shutdown), states);
        match ended {
            Ok(()) => say("ended"),
            Err(error) => say(&format!("error: {error}")),
        }
    });
    std::process::exit(0);
}

fn status_of_the_rules() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let status = runtime.block_on(redirect::Redirect::new(redirect::Config::default()).status());
    match status {
        Ok(status) => say(&format!("Ok({status:?})")),
        Err(error) => say(&error.to_string()),
    }
}

const ROLE: &str = "NETNS_TEST_ROLE";
const SUPERVISOR: &str = "supervisor";
const STATUS: &str = "status of the rules";
const PART: &str = "NETNS_TEST_PART";
const SAYS: &str = "role: ";
