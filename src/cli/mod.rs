//! The command line: arguments enter, exit codes and words for people leave.
//!
//! One file for each command. Nothing here does the work itself: it reads the configuration, calls
//! a room, prints. Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration.

mod agent;
mod budget;
mod ca;
mod cascades;
mod completions;
mod config;
mod demo;
mod doctor;
mod env;
mod exporter;
mod flags;
mod help;
mod launcher;
mod log_limit;
mod logging;
mod prices;
mod redirect;
mod rules;
mod run;
mod serve;
mod sessions;
mod statusline;
mod top;
mod usage;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;
use crate::config::Mistakes;
use crate::record::printable;
use crate::web::access::AccessError;

/// Runs the program with its arguments, the program's name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout, the rest to stderr; when neither can be written there is nobody
            // to tell.
            let _ = error.print();
            if let Some(tip) = flags::switch_tip(&arguments).filter(|_| error.use_stderr()) {
                let _ = writeln!(io::stderr(), "\n{tip}");
            }
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match cli.command.run(&mut io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => told(&error),
    }
}

/// Tells an error to people and to the shell.
fn told(error: &anyhow::Error) -> ExitCode {
    let reader_is_gone = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    if error.chain().any(reader_is_gone) {
        // As in `gravimeter usage | head -1`: the reader has what it wanted.
        return ExitCode::SUCCESS;
    }
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        let _ = writeln!(io::stderr(), "{mistakes}");
        return ExitCode::from(WRONG_INPUT);
    }
    if let Some(mistakes) = web_mistakes(error) {
        let _ = writeln!(io::stderr(), "{mistakes}");
        return ExitCode::from(WRONG_INPUT);
    }
    // A message may repeat a name that somebody else has chosen.
    let _ = writeln!(
        io::stderr(),
        "error: {}",
        printable_lines(&with_causes(error))
    );
    ExitCode::FAILURE
}

/// The error and its causes, without those whose words it has in its own message.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            said if said.contains(&cause) => text,
            _ => format!("{text}: {cause}"),
        }
    })
}

/// [`printable`] for a text of several lines.
fn printable_lines(text: &str) -> String {
    text.split('\n')
        .map(printable)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is wrong with the web configuration file, if that is the error.
fn web_mistakes(error: &anyhow::Error) -> Option<&AccessError> {
    match error.downcast_ref() {
        Some(app::Error::Access(mistakes)) => Some(mistakes),
        _ => error.downcast_ref(),
    }
}

#[derive(Debug, Parser)]
#[command(name = "gravimeter", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = HELP_WIDTH)]
#[command(disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Serve(serve::Serve),
    Demo(demo::Demo),
    Usage(usage::Usage),
    Budget(Box<budget::Budget>),
    Top(top::Top),
    Statusline(statusline::Statusline),
    Cascades(cascades::Cascades),
    Sessions(sessions::Sessions),
    Prices(prices::PriceTable),
    Rules(rules::RulesCommand),
    Env(env::Env),
    Launcher(launcher::Launcher),
    Redirect(redirect::Redirect),
    Ca(ca::Ca),
    Doctor(doctor::Doctor),
    Config(config::Config),
    Completions(completions::Completions),
    Help(help::Help),
    AgentExec(agent::AgentExec),
    AgentSignal(agent::AgentSignal),
    RunStage(run::RunStage),
    DemoAgent(demo::DemoAgent),
    DemoApp(demo::DemoApp),
    DemoProvider(demo::DemoProvider),
}

impl Command {
    fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::Demo(command) => command.run(),
            Self::Usage(command) => command.run(out),
            Self::Budget(command) => command.run(out),
            Self::Top(command) => command.run(),
            Self::Statusline(command) => command.run(out),
            Self::Cascades(command) => command.run(out),
            Self::Sessions(command) => command.run(out),
            Self::Prices(command) => command.run(out),
            Self::Rules(command) => command.run(out),
            Self::Env(command) => command.run(out),
            Self::Launcher(command) => command.run(out),
            Self::Redirect(command) => command.run(out),
            Self::Ca(command) => command.run(out),
            Self::Doctor(command) => command.run(out),
            Self::Config(command) => command.run(out),
            Self::Completions(command) => command.run(out),
            Self::Help(command) => command.run(out),
            Self::AgentExec(command) => command.run(),
            Self::AgentSignal(command) => command.run(out),
            Self::RunStage(command) => command.run(),
            Self::DemoAgent(command) => command.run(),
            Self::DemoApp(command) => command.run(out),
            Self::DemoProvider(command) => command.run(out),
        }
    }
}

/// Runs a command's work on all cores.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Columns that a table on stdout may take.
fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(NO_TERMINAL_WIDTH)
}

/// Files and pipes take the whole table.
const NO_TERMINAL_WIDTH: usize = 160;

const ABOUT: &str = "See what an AI agent really spends, without touching a byte of its traffic";

const AFTER_HELP: &str = "\
What a program spends:     gravimeter run -- PROGRAM
Try it without an agent:   gravimeter demo
Check this machine:        gravimeter doctor
Start:                     gravimeter serve
What was spent:            gravimeter usage
What is spent now:         gravimeter top
What may be spent:         gravimeter budget
By which conversation:     gravimeter cascades
By which program:          gravimeter sessions
What can be configured:    gravimeter help config";

/// Longer lines are hard to read.
const HELP_WIDTH: usize = 110;

/// The exit code for wrong arguments and configurations, as clap has it.
const WRONG_INPUT: u8 = 2;

#[cfg(test)]
mod tests;
