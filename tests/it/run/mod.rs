//! Promise: `gravimeter run` shows what a program has spent, and the program behaves as it would
//! without it.
//!
//! Everything runs as an ordinary user, with the stand-in provider as a process of its own.

mod application;
mod endings;
mod sessions;
mod spent;
mod terminal;
mod untrusting;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::binary::PROGRAM;

/// The host of the stand-in provider.
pub const HOST: &str = "daily-cloudcode-pa.googleapis.com";

/// An ordinary user of every Debian: `nobody`.
pub(crate) const USER: u32 = 65_534;

/// A provider, and a home for an ordinary user.
pub(crate) struct Stage {
    folder: TempDir,
    provider: Child,
    address: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a folder");
        // Where the tests were built, another user may not go.
        let program = folder.path().join("gravimeter");
        fs::hard_link(PROGRAM, &program)
            .or_else(|_| fs::copy(PROGRAM, &program).map(|_| ()))
            .expect("a copy");
        if rustix::process::geteuid().is_root() {
            chown(&home, Some(USER), Some(USER)).expect("given away");
        }
        let (provider, address) = start_provider(folder.path());
        Self {
            folder,
            provider,
            address,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// A command that is still to be named, run as an ordinary user with a clean environment.
    pub(crate) fn as_user(&self) -> Command {
        let mut command = Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            let user = USER.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
        } else {
            command.args(["--no-new-privs", "--"]);
        }
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// The words of `gravimeter run` with the provider in the place of the real one, in front of
    /// further flags and the program.
    pub(crate) fn words(&self, scope: &str) -> Vec<String> {
        [
            self.path("gravimeter").to_str().expect("UTF-8"),
            "run",
            "--scope",
            scope,
            "--upstream.extra_roots",
            self.path("root.pem").to_str().expect("UTF-8"),
            "--upstream.resolve",
            &format!("{HOST}:443={}", self.address),
            "--json",
            self.json_path().to_str().expect("UTF-8"),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// `gravimeter run` by the CONNECT proxy.
    pub(crate) fn run(&self, program: &[&str]) -> Command {
        let mut command = self.as_user();
        command.args(self.words("proxy")).arg("--").args(program);
        command
    }

    fn json_path(&self) -> PathBuf {
        self.home().join("run.json")
    }

    /// What `--json` has written.
    pub(crate) fn json(&self) -> Value {
        let text = fs::read_to_string(self.json_path()).expect("a report");
        serde_json::from_str(&text).expect("JSON")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.provider.kill();
        let _ = self.provider.wait();
    }
}

/// The stand-in provider, which is asked for every answer by the request itself.
pub fn start_provider(folder: &Path) -> (Child, String) {
    let mut provider = Command::new(PROGRAM)
        .args(["demo-provider", "--root"])
        .arg(folder.join("root.pem"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the provider");
    let mut line = String::new();
    let stdout = provider.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    let address = said["listen"].as_str().expect("an address").to_owned();
    (provider, address)
}

/// A call by curl that costs what `directive` says.
pub(crate) fn call(directive: &str) -> Vec<String> {
    let body = format!(
        r#"{{"model":"gemini-3-pro","request":{{"contents":[{{"role":"user","parts":[{{"text":"demo: {directive}"}}]}}]}}}}"#
    );
    let url = format!("https://{HOST}/v1internal:streamGenerateContent?alt=sse");
    [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "60",
        "--data",
        &body,
        &url,
    ]
    .map(str::to_owned)
    .to_vec()
}

pub(crate) fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
