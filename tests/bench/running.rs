//! Gravimeter as a process of its own, so that its memory and processor time are nobody else's.

use std::io::{BufRead, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::provider::{HOST, Provider};

pub struct Gravimeter {
    process: Child,
    pub web: SocketAddr,
    pub connect: SocketAddr,
    state: TempDir,
}

impl Gravimeter {
    pub fn start(provider: &Provider) -> Self {
        Self::with(provider, &[])
    }

    /// With further flags.
    pub fn with(provider: &Provider, flags: &[String]) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let root = state.path().join("provider.pem");
        std::fs::write(&root, &provider.root_pem).expect("a writable folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_gravimeter"))
            .args([
                "serve",
                "--capture.redirect",
                "off",
                "--capture.max_connections",
                "20000",
                "--log.format",
                "json",
            ])
            .args([
                "--web.listen",
                "127.0.0.1:0",
                "--capture.listen",
                "127.0.0.1:0",
            ])
            .args(["--capture.connect_listen", "127.0.0.1:0"])
            .args([
                "--upstream.resolve",
                &format!("{HOST}:443={}", provider.address),
            ])
            .arg("--upstream.extra_roots")
            .arg(&root)
            .arg("--state.dir")
            .arg(state.path())
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut log = BufReader::new(process.stderr.take().expect("its log"));
        let (web, connect) = listening(&mut log);
        // Whatever else it says is taken, so that a full pipe never holds it up.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self {
            process,
            web,
            connect,
            state,
        }
    }

    /// The roots that its agent trusts.
    pub fn bundle(&self) -> String {
        std::fs::read_to_string(self.state.path().join("trust/bundle.pem")).expect("a bundle")
    }

    /// Resident memory in KiB.
    pub fn rss(&self) -> u64 {
        rss(&self.process.id().to_string())
    }

    pub fn cpu(&self) -> Duration {
        cpu(&self.process.id().to_string())
    }
}

impl Drop for Gravimeter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory of a process in KiB: proc_pid_status(5).
pub fn rss(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}

fn listening(log: &mut impl BufRead) -> (SocketAddr, SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut line = String::new();
    while log.read_line(&mut line).expect("a log") > 0 && Instant::now() < deadline {
        if let (Some(web), Some(connect)) =
            (address(&line, "\"web\":"), address(&line, "\"connect\":"))
        {
            return (web, connect);
        }
    }
    panic!("Gravimeter does not listen: {line}");
}

/// The first `127.0.0.1:port` behind a key, whatever is written around it.
fn address(line: &str, key: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(key)?;
    let (_, rest) = rest.split_once("127.0.0.1:")?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
}

/// Processor time of a process so far, user and system: fields 14 and 15 of proc_pid_stat(5), in
/// ticks of 10 ms.
pub fn cpu(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}
