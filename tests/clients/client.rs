//! Where the installed clients are, and how one of them is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use ::gravimeter::dialect;
use serde_json::Value;

use crate::stage::{AGENT, STATE, as_user, root, text};
use crate::{gravimeter, tap, under_run};

/// How a client's traffic comes to Gravimeter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The client is told that its provider is the base-URL door, and trusts no further CA.
    BaseUrl,
    /// The client is told to use the CONNECT proxy, by `HTTPS_PROXY`.
    Proxy,
    /// Through the CONNECT proxy as well, with a recorder in front of it ([`tap`]).
    Recorded,
    /// The client's user is redirected, and the client knows nothing of it.
    Redirect,
    /// `gravimeter run` starts it, in a namespace and on a terminal.
    Run,
}

/// The user whose programs use the proxy.
pub(crate) const PROXY_USER: &str = "bob";

/// Why the clients cannot be run here: what is missing of them.
pub(crate) fn obstacle() -> Option<String> {
    let programs = [PYTHON, NODE, CLAUDE, CODEX, GEMINI];
    let is_missing = |place: &&&str| !installed().join(place).exists();
    let missing = programs.iter().find(is_missing)?;
    Some(format!(
        "target/clients/{missing} is not installed: scripts/test.sh does it"
    ))
}

/// The folder in which `scripts/test.sh` installs them.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

/// Python with the SDKs, in the folder of the clients.
pub(crate) const PYTHON: &str = "python/bin/python";
/// Node, from the wheel that carries it.
pub(crate) const NODE: &str = "node";
/// Claude Code's program of this machine; the package's own start script needs Node for nothing
/// else than to find it.
pub(crate) const CLAUDE: &str = if cfg!(target_arch = "aarch64") {
    "node_modules/@anthropic-ai/claude-code-linux-arm64/claude"
} else {
    "node_modules/@anthropic-ai/claude-code-linux-x64/claude"
};
/// Codex' program of this machine, likewise.
pub(crate) const CODEX: &str = if cfg!(target_arch = "aarch64") {
    "node_modules/@openai/codex-linux-arm64/vendor/aarch64-unknown-linux-musl/bin/codex"
} else {
    "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
};
/// Gemini CLI, for Node.
pub(crate) const GEMINI: &str = "node_modules/@google/gemini-cli/bundle/gemini.js";

/// A client of one route, on the stage.
pub(crate) struct Client {
    route: Route,
    user: &'static str,
    environment: Vec<(&'static str, String)>,
}

impl Client {
    /// Makes the installed clients visible to every user of the stage, and a home for this one.
    pub(crate) fn new(route: Route) -> Self {
        let user = match route {
            Route::Redirect => AGENT,
            Route::BaseUrl | Route::Proxy | Route::Recorded | Route::Run => PROXY_USER,
        };
        root(&format!(
            "mkdir -p {PLACE} && mount --bind {} {PLACE} && install -d -o {user} {HOME} {HOME}/work",
            installed().display()
        ));
        let trust = match route {
            Route::Recorded => Some(tap::ROOT.to_owned()),
            Route::Proxy | Route::Redirect => Some(format!("{STATE}/trust/bundle.pem")),
            // It names them itself.
            Route::Run => None,
            Route::BaseUrl => None,
        };
        let mut environment = vec![
            ("HOME", HOME.to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "dumb".to_owned()),
        ];
        if let Some(trust) = trust {
            environment.push(("NODE_EXTRA_CA_CERTS", trust.clone()));
            environment.push(("SSL_CERT_FILE", trust));
        }
        match route {
            Route::Proxy => {
                environment.push(("HTTPS_PROXY", format!("http://{}", gravimeter::PROXY)))
            }
            Route::Recorded => environment.push(("HTTPS_PROXY", format!("http://{}", tap::PROXY))),
            Route::BaseUrl => environment.extend(base_urls()),
            Route::Redirect | Route::Run => {}
        }
        Self {
            route,
            user,
            environment,
        }
    }

    /// A program of the clients' folder, as the client's user and with its environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = as_user(self.user);
        command.args(["timeout", "--kill-after=5", "--foreground", LIMIT_SECONDS]);
        if self.route == Route::Run {
            command.args(under_run::WORDS);
        }
        command
            .arg(Path::new(PLACE).join(program))
            .envs(self.environment.iter().cloned())
            .current_dir(format!("{HOME}/work"));
        command
    }

    /// Runs it to its end, which must be a good one, and returns what it wrote to its standard
    /// output; on a terminal, everything that it wrote there.
    pub(crate) fn output(&self, command: &mut Command) -> String {
        match self.route {
            Route::Run => under_run::screen(command),
            Route::BaseUrl | Route::Proxy | Route::Recorded | Route::Redirect => output(command),
        }
    }

    /// Writes a file below the client's home.
    pub(crate) fn write(&self, place: &str, content: &str) {
        let path = format!("{HOME}/{place}");
        let folder = Path::new(&path).parent().expect("a folder").display();
        root(&format!("install -d -o {} {folder}", self.user));
        std::fs::write(&path, content).expect("a file of the client");
        root(&format!("chown {} {path}", self.user));
    }
}

/// What `gravimeter env` says to lead agents to the base-URL door.
fn base_urls() -> impl Iterator<Item = (&'static str, String)> {
    dialect::BASE_URL_PATHS.into_iter().filter_map(|path| {
        let (name, rest) = path.variable?;
        let url = format!("http://{}/{}{rest}", gravimeter::BASE_URL, path.segment);
        Some((name, url))
    })
}

/// Where a file of this folder is, for an interpreter.
pub(crate) fn script(name: &str) -> String {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name);
    let shown = format!("/usr/local/lib/{name}");
    root(&format!("install -m 644 {} {shown}", own.display()));
    shown
}

/// Runs a client to its end, which must be a good one, and returns what it wrote to its standard
/// output.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the client runs");
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        text(&output)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The lines of an output that are JSON documents.
pub(crate) fn documents(output: &str) -> Vec<Value> {
    output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The folder of the clients on the stage.
pub(crate) const PLACE: &str = "/usr/local/lib/clients";

/// The client's home on the stage.
pub(crate) const HOME: &str = "/var/lib/client";

/// Far more than any client takes for a few answers; all of a test has three minutes
/// (`stage::on_stage`).
const LIMIT_SECONDS: &str = "60";
