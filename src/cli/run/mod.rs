//! `gravimeter run`: any program in the foreground, and what it has spent when it ends.

mod stage;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::flags::ConfigFlags;
use super::{block_on, logging, printable_lines};
use crate::app::{self, RunFolder, RunRequest};
use crate::capture::peer::ProgramPattern;
use crate::config::{Places, process_environment};
use crate::export::diagnostics::Diagnostics;
use crate::launch::find::{model_callers, running_application};
use crate::launch::foreground::{Ending, Executable, end_by_signal};

pub(super) use stage::RunStage;

/// Run a program and say what it spent when it ends
///
/// The program has the terminal to itself. Its log goes to a file that the summary names.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gravimeter run -- my-agent
  gravimeter run --json spent.json -- python3 agent.py
  gravimeter run --scope proxy -- npx some-agent 'explain this repository'

The exit code is that of the program; 126: it cannot be executed, 127: it was not found.
Everything else is configuration: gravimeter help config, or docs/operate/run.md.")]
pub(super) struct Run {
    /// How its connections are captured
    #[arg(long, value_enum, default_value = "auto")]
    scope: Scope,
    /// Observe only programs of that name, of all that this one starts; repeatable. For antigravity
    /// it is language_server* unless you say otherwise ('*': all)
    #[arg(long, value_name = "PATTERN")]
    program: Vec<ProgramPattern>,
    /// Print no summary
    #[arg(long)]
    quiet: bool,
    /// Write the summary as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFlags,
    /// The program and its arguments
    #[arg(
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// The first of namespace, cgroup and proxy that works here; the summary says which, and why
    Auto,
    /// A control group, for which root has once run `gravimeter redirect install --cgroup`: all its
    /// connections to port 443 are seen, and the network is the machine's own
    Cgroup,
    /// A network namespace of its own: all its connections to port 443 are seen, without its help
    Namespace,
    /// The CONNECT proxy: connections are seen where the program uses HTTPS_PROXY
    Proxy,
    /// The program runs as another user (capture.user), for whom root has once run `gravimeter
    /// redirect install`
    User,
}

impl From<Scope> for app::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Auto => Self::Auto,
            Scope::Cgroup => Self::Cgroup,
            Scope::Namespace => Self::Namespace,
            Scope::Proxy => Self::Proxy,
            Scope::User => Self::User,
        }
    }
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let environment = process_environment();
        let (name, arguments) = match self.command.split_first() {
            Some((name, arguments)) => (name.clone(), arguments.to_vec()),
            None => anyhow::bail!("there is no program to run: write it behind `--`"),
        };
        let search = environment.iter().find(|(name, _)| name == "PATH");
        let search = search.map_or(OsStr::new(USUAL_PATH), |(_, value)| value);
        let executable = match Executable::find(&name, search) {
            Ok(executable) => executable,
            Err(error) => {
                writeln!(io::stderr(), "gravimeter: {error}")?;
                return Ok(ExitCode::from(error.exit_code()));
            }
        };
        // Before the program is started: its figures shall not be lost by a wrong path.
        let json = self.json.as_deref().map(open_json).transpose()?;
        // Every flag is meant for this run alone.
        let by_itself = self.config.is_given();
        let loaded = self.config.load()?;
        let warnings = loaded.warnings.clone();
        let mut config = loaded.for_run(&Places::default(), &environment);
        if !self.program.is_empty() {
            config.relay.programs = self.program;
        } else if config.relay.programs.is_empty() && self.scope != Scope::User {
            // Processes of another user cannot be told apart.
            let callers = model_callers(&executable.title());
            config.relay.programs = callers.iter().flat_map(|name| name.parse()).collect();
        }
        let folder = RunFolder::create(&config.state_dir)?;
        if self.scope != Scope::User {
            // Another user could not read it there.
            config.bundle = folder.bundle();
        }
        let diagnostics = Diagnostics::new(&config.otlp);
        let log = folder.log().context("the log of the run")?;
        let limit = logging::start_in_file(&config.log, log, diagnostics.as_ref())?;
        for warning in warnings {
            tracing::warn!(%warning, "a variable of OpenTelemetry is passed over");
        }
        let already_running = running_application(&executable.title());
        if let Some(pid) = already_running {
            writeln!(
                io::stderr(),
                "gravimeter: {} runs already (process {pid}) and takes over what is started now, \
                 unobserved: quit it, then start it again by `gravimeter run`",
                executable.title()
            )?;
        }
        let request = RunRequest {
            executable,
            arguments,
            environment,
            scope: self.scope.into(),
            by_itself,
            log: folder.log_path(),
            already_running,
        };
        let ran = async { Ok(app::run(config, request, diagnostics).await?) };
        let (ending, summary) = block_on(limit.watch(ran))?;
        drop(folder);
        if let Some((path, file)) = json {
            write_json(&summary.json, file).with_context(|| path.display().to_string())?;
        }
        if !self.quiet {
            // Where standard error is closed, there is nothing left to report to.
            let _ = io::stderr().write_all(printable_lines(&summary.text).as_bytes());
        }
        Ok(end_like(ending))
    }
}

fn open_json(path: &Path) -> anyhow::Result<(PathBuf, File)> {
    let file = File::create(path).with_context(|| format!("--json {}", path.display()))?;
    Ok((path.to_owned(), file))
}

fn write_json(report: &Value, mut file: File) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut file, report)?;
    file.write_all(b"\n")
}

/// Ends as the program has: by the same signal or with its exit code.
fn end_like(ending: Ending) -> ExitCode {
    if let Ending::Signalled(number) = ending {
        // Returns only when it fails; then the exit code says as much as it can.
        let _ = end_by_signal(number);
    }
    ExitCode::from(ending.exit_code())
}

/// What a shell takes where `PATH` is not set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
