//! What the agent prints: read for its announcement, and logged where that is asked for.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::process::ChildStderr;
use tokio::time::{interval, timeout};

use super::super::announce::Announcement;
use super::super::lines::Lines;
use super::super::program::Program;
use super::{AgentState, Supervision, Supervisor};
use crate::record::printable;

impl Supervisor {
    /// Reads to the end.
    pub(super) async fn drain<R: AsyncRead + Unpin>(&self, lines: &mut Lines<R>) {
        while let Some(line) = lines.next().await {
            self.log(&line);
        }
    }

    /// Output may hold prompts and tokens: it is dropped unless the configuration asks for it.
    fn log(&self, line: &str) {
        if self.supervision.log_output {
            tracing::info!(target: "agent", line = printable(line));
        }
    }
}

/// Reads the agent's standard error.
pub(super) struct StderrReader<'a> {
    pub(super) supervisor: &'a Supervisor,
    pub(super) stderr: Lines<ChildStderr>,
    pub(super) program: &'a Program,
    pub(super) pid: u32,
    /// The last lines, the oldest first.
    last: VecDeque<String>,
}

impl<'a> StderrReader<'a> {
    pub(super) fn new(
        supervisor: &'a Supervisor,
        stderr: Lines<ChildStderr>,
        program: &'a Program,
        pid: u32,
    ) -> Self {
        Self {
            supervisor,
            stderr,
            program,
            pid,
            last: VecDeque::new(),
        }
    }

    /// Logs the last lines, where they are kept and not in the log already.
    pub(super) fn log_last_lines(&self) {
        if !self.supervision().log_output {
            for line in &self.last {
                tracing::warn!(line, "the agent said before it ended");
            }
        }
    }

    fn supervision(&self) -> &Supervision {
        &self.supervisor.supervision
    }

    fn take(&mut self, line: &str) {
        self.supervisor.log(line);
        if self.supervision().shows_last_lines {
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(shortened(line));
        }
    }

    /// Follows the announcement until it is complete or late, then reads on to the end.
    pub(super) async fn read(&mut self) {
        let mut announcement = self.program.announcement.clone();
        if let Some(announcement) = &mut announcement {
            let limit = self.supervisor.supervision.announce_timeout;
            match timeout(limit, self.wait_for(announcement)).await {
                Ok(Announced::Closed) => return,
                Ok(Announced::Complete) => {}
                Err(_) => tracing::warn!(
                    https_port = announcement.https_port,
                    http_port = announcement.http_port,
                    "the agent did not announce both of its ports in time"
                ),
            }
        }
        let mut known = announcement.unwrap_or_default();
        self.supervisor
            .state
            .send_replace(AgentState::Up(known.clone()));
        // A late announcement counts as well, and so does one of an agent without a preset.
        while let Some(line) = self.stderr.next().await {
            known.read_line(&line);
            self.supervisor
                .state
                .send_if_modified(|state| state.announce(&known));
            self.take(&line);
        }
    }

    async fn wait_for(&mut self, announcement: &mut Announcement) -> Announced {
        let mut looks = interval(DISCOVERY_INTERVAL);
        while !announcement.is_complete() {
            // An unfinished line stays in `Lines`, a tick in the interval.
            tokio::select! {
                line = self.stderr.next() => {
                    let Some(line) = line else { return Announced::Closed };
                    announcement.read_line(&line);
                    self.take(&line);
                }
                _ = looks.tick() => self.discover(announcement).await,
            }
        }
        Announced::Complete
    }

    async fn discover(&self, announcement: &mut Announcement) {
        let (folder, pid, mut seen) = (
            self.program.discovery_folder.clone(),
            self.pid,
            announcement.clone(),
        );
        let look = tokio::task::spawn_blocking(move || {
            seen.discover(&folder, pid);
            seen
        });
        if let Ok(seen) = look.await {
            *announcement = seen;
        }
    }
}

/// As much of a line as a terminal shows without trouble.
fn shortened(line: &str) -> String {
    let beginning: String = line.chars().take(LAST_LINE_LENGTH).collect();
    printable(&beginning)
}

/// What ended the wait for an announcement.
enum Announced {
    Closed,
    Complete,
}

/// An error and its context; a trace of a crash has more, of which the end matters.
const LAST_LINES: usize = 10;

/// In characters: some lines of a terminal.
const LAST_LINE_LENGTH: usize = 300;

/// The discovery file is a second choice and need not be found at once.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::launch::{Choice, Config};
    use crate::record::FanOut;

    /// What is logged of a line, as JSON.
    fn logged(log_output: bool, line: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let log = std::fs::File::create(&path).expect("a log");
        let subscriber = tracing_subscriber::fmt().json().with_writer(log).finish();
        let choice = Choice::Command("/bin/agent".into());
        let supervision = Supervision {
            log_output,
            ..Supervision::default()
        };
        let supervisor = Supervisor::new(
            choice,
            Config::default(),
            supervision,
            folder.path(),
            Arc::new(FanOut(Vec::new())),
        );
        tracing::subscriber::with_default(subscriber, || supervisor.log(line));
        std::fs::read_to_string(path).expect("the log")
    }

    #[test]
    fn what_an_agent_prints_is_shown_escaped() {
        let log = logged(true, "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}ok");
        let log: serde_json::Value = serde_json::from_str(&log).expect("a line");
        assert_eq!(log["fields"]["line"], r"\u{1b}]0;x\u{7}\u{9b}2J\u{202e}ok");
        assert_eq!(logged(false, "anything"), "");
    }
}
