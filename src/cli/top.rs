//! `gravimeter top`: what a running exporter sees, live on a terminal.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{bail, ensure};
use bytes::Bytes;
use clap::Args;
use jiff::tz::TimeZone;

use super::block_on;
use super::exporter::{Connection, Target, is_silence};
use crate::config::process_environment;
use crate::launch::foreground::{Ending, end_by_signal};
use crate::ledger::Zone;
use crate::top::{Answers, Ended, State, Theme, show};

/// Show conversations, calls, costs and limits live, as a running gravimeter sees them
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: ? explains them, q quits.
NO_COLOR=1 leaves colours away. Where nothing runs: `gravimeter usage` reads what was kept.")]
pub(super) struct Top {
    #[command(flatten)]
    target: Target,
}

impl Top {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let environment = process_environment();
        let variable = |name: &str| variable(&environment, name);
        check_terminal(variable("TERM"))?;
        let theme = Theme::new(variable("NO_COLOR"));
        let base = self.target.base_url()?;
        let zone = Zone::name_of_this_machine();
        let ended = block_on(async {
            let mut exporter = Exporter::new(base.clone(), zone.as_deref());
            // Where nothing runs, this is said before the terminal is taken over.
            let first = exporter.ask().await?;
            let times = match zone {
                Some(_) => TimeZone::system(),
                None => TimeZone::UTC,
            };
            let ask = async || exporter.ask().await.map_err(|error| reason(&error));
            Ok(show(State::new(base, times, first), theme, ask).await?)
        })?;
        Ok(match ended {
            Ended::Quit => ExitCode::SUCCESS,
            Ended::Signalled(number) => {
                // Returns only when it fails; then the exit code says as much as it can.
                let _ = end_by_signal(number);
                ExitCode::from(Ending::Signalled(number).exit_code())
            }
        })
    }
}

/// Whether a screen can be drawn.
fn check_terminal(term: Option<&OsStr>) -> anyhow::Result<()> {
    ensure!(
        io::stdout().is_terminal() && io::stdin().is_terminal(),
        "this draws on a terminal and reads its keys: for a file or a pipe there is `gravimeter usage`"
    );
    match term.and_then(OsStr::to_str) {
        None | Some("" | "dumb") => bail!(
            "TERM names no terminal that can place its cursor: set TERM, or use `gravimeter usage`"
        ),
        Some(_) => Ok(()),
    }
}

fn variable<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = environment.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_os_str())
}

/// Why no answer came, for one line.
fn reason(error: &anyhow::Error) -> String {
    if is_silence(error) {
        "nothing listens there".to_owned()
    } else {
        error.to_string()
    }
}

/// The exporter that is asked, over one connection as long as that lasts.
struct Exporter {
    base: String,
    paths: [String; 4],
    connection: Option<Connection>,
}

impl Exporter {
    fn new(base: String, zone: Option<&str>) -> Self {
        Self {
            base,
            paths: Answers::paths(zone),
            connection: None,
        }
    }

    async fn ask(&mut self) -> anyhow::Result<Answers> {
        if let Some(connection) = self.connection.take()
            && let Ok(answers) = self.ask_over(connection).await
        {
            return Ok(answers);
        }
        // The exporter may have closed the old one meanwhile.
        let connection = Connection::open(&self.base).await?;
        self.ask_over(connection).await
    }

    async fn ask_over(&mut self, mut connection: Connection) -> anyhow::Result<Answers> {
        let mut bodies = [const { Bytes::new() }; 4];
        for (path, body) in self.paths.iter().zip(&mut bodies) {
            *body = connection.get(path).await?;
        }
        let sessions = connection.find(Answers::SESSIONS_PATH).await?;
        self.connection = Some(connection);
        Ok(Answers::read(&self.paths, bodies, sessions)?)
    }
}
