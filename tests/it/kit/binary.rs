//! The program itself as a process of its own, with its log, its state and its ends in the test's
//! hands.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::soon;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gravimeter");

/// Asks again and again until there is an answer; the limit is [`soon`]'s.
pub async fn until<T>(mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(answer) = answer().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// A `gravimeter serve` that listens.
pub struct Binary {
    pub child: Child,
    pub web: SocketAddr,
    pub connect: SocketAddr,
    folder: TempDir,
    state: PathBuf,
}

/// Resident memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

impl Binary {
    /// Starts the program with a folder of its own for state and log.
    pub async fn start(flags: &[String]) -> Self {
        Self::with(
            Command::new(PROGRAM),
            tempfile::tempdir().expect("a folder"),
            flags,
        )
        .await
    }

    /// Starts it by `command`, which ends with the program's name.
    pub async fn with(command: Command, folder: TempDir, flags: &[String]) -> Self {
        let given = flags
            .iter()
            .position(|flag| flag == "--state.dir")
            .map(|at| PathBuf::from(&flags[at + 1]));
        let state = given.unwrap_or_else(|| folder.path().join("state"));
        let mut child = spawn(command, &state, folder.path(), flags);
        let log = folder.path().join("stderr");
        let (web, connect) = until(async || {
            let said = fs::read_to_string(&log).expect("a log");
            let ended = child.try_wait().expect("a child");
            assert!(
                ended.is_none(),
                "it ended before it listened: {ended:?}\n{said}"
            );
            addresses(&said)
        })
        .await;
        Self {
            child,
            web,
            connect,
            folder,
            state,
        }
    }

    /// Where its state lies for us, if it sees another place under that name.
    pub fn with_state_at(self, state: PathBuf) -> Self {
        Self { state, ..self }
    }

    pub fn pid(&self) -> Pid {
        pid(&self.child)
    }

    pub fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// Everything said on stderr so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).expect("a log")
    }

    /// Everything said on stdout so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).expect("an output")
    }

    /// The certificate of its CA.
    pub fn root_pem(&self) -> String {
        fs::read_to_string(self.state.join("ca/ca.pem")).expect("a CA")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a running process");
    }

    /// Its end, with what it said.
    pub async fn exit(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.expect("a child")
    }

    /// Kills it; what it has left behind is handed back for the next one.
    pub async fn kill(mut self) -> TempDir {
        self.child.kill().await.expect("a running process");
        self.folder
    }

    /// SIGTERM and an orderly end.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        assert!(self.exit().await.success(), "{}", self.log());
    }

    /// The answer to a GET, head and body, as it stands on the wire.
    pub async fn ask(&self, path: &str, fields: &str) -> String {
        let mut stream = TcpStream::connect(self.web).await.expect("an exporter");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{fields}Connection: close\r\n\r\n",
            self.web
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer))
            .await
            .expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    /// The sum over all series of a metric whose labels hold every one of `parts`.
    pub async fn sum(&self, metric: &str, parts: &[&str]) -> u64 {
        crate::whole::sum(
            &crate::whole::series(&crate::whole::get(self.web, "/metrics").await, metric),
            parts,
        )
    }

    /// Resident memory now and at its highest, in bytes: proc_pid_status(5).
    pub fn memory(&self) -> Memory {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = fs::read_to_string(status).expect("a running process");
        let bytes = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .expect("a line of its own");
            line.trim()
                .trim_end_matches(" kB")
                .parse::<u64>()
                .expect("a number")
                << 10
        };
        Memory {
            now: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        }
    }

    /// Waits until a metric is at least `wanted`.
    pub async fn wait_for(&self, metric: &str, parts: &[&str], wanted: u64) {
        until(async || (self.sum(metric, parts).await >= wanted).then_some(())).await;
    }
}

/// Starts `serve` on ports that the system chooses, with JSON lines for a log.
pub fn spawn(mut command: Command, state: &Path, logs: &Path, flags: &[String]) -> Child {
    let file = |name: &str| File::create(logs.join(name)).expect("a writable folder");
    command.args(["serve", "--capture.listen", "127.0.0.1:0"]);
    command.args([
        "--capture.connect_listen",
        "127.0.0.1:0",
        "--log.format",
        "json",
    ]);
    if !flags.iter().any(|flag| flag == "--web.listen") {
        command.args(["--web.listen", "127.0.0.1:0"]);
    }
    if !flags.iter().any(|flag| flag == "--capture.redirect") {
        command.args(["--capture.redirect", "off"]);
    }
    if !flags.iter().any(|flag| flag == "--state.dir") {
        command.arg("--state.dir").arg(state);
    }
    command.args(flags);
    command
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .kill_on_drop(true);
    command.spawn().expect("the program starts")
}

pub fn pid(child: &Child) -> Pid {
    let pid = child.id().expect("a process that was not waited for");
    Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid")
}

/// What `listening` says in the log: the exporter and the CONNECT proxy.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let said = lines
        .into_iter()
        .find(|line| line["message"] == "listening")?;
    let address = |name: &str| said[name].as_str()?.parse().ok();
    Some((address("web")?, address("connect")?))
}

/// The flag that leads a host to a provider of the test.
pub fn resolve(host: &str, provider: SocketAddr) -> [String; 2] {
    [
        "--upstream.resolve".to_owned(),
        format!("{host}:443={provider}"),
    ]
}
