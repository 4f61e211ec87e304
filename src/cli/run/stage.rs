//! The hidden commands that `gravimeter run` starts itself with: the steps on the way to the program.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::capture::namespace::{enter, inside, loopback};
use crate::capture::{cgroup, probe};
use crate::launch::foreground::{ExecPlan, execute};

/// A step of `gravimeter run`; for gravimeter itself, not for people
#[derive(Debug, Args)]
#[command(hide = true)]
pub(in crate::cli) struct RunStage {
    #[command(subcommand)]
    stage: Stage,
}

#[derive(Debug, Subcommand)]
enum Stage {
    /// Make connections to loopback for the other end of standard input, until it closes
    DialLoopback,
    /// Prepare the namespace that this process is in, and wait
    HoldNamespace {
        /// The namespace has no network but a loopback device
        #[arg(long)]
        isolated: bool,
        /// Other machines can be reached by IPv6
        #[arg(long, requires = "isolated")]
        with_ipv6: bool,
        /// Where redirected connections arrive
        listen: Vec<SocketAddr>,
    },
    /// Go into a cgroup, and go on there
    EnterCgroup {
        /// Its folder
        folder: PathBuf,
        /// The next program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        next: Vec<OsString>,
    },
    /// Enter the namespace that standard input hands over, and go on there
    EnterNamespace {
        /// The next program and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        next: Vec<OsString>,
    },
    /// Make a connection that redirect rules catch
    ProbeRedirect,
    /// Become the program
    ExecProgram {
        /// The process that has asked for it
        #[arg(long)]
        parent: u32,
        /// Its soft limit of open files
        #[arg(long)]
        open_files: Option<u64>,
        /// Its path, its argument 0 and all others
        #[arg(required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

impl RunStage {
    pub(in crate::cli) fn run(self) -> anyhow::Result<ExitCode> {
        match self.stage {
            Stage::DialLoopback => {
                loopback::serve(io::stdin()).map_err(|error| {
                    anyhow::anyhow!(
                        "{error}; this command is for gravimeter itself, not for people"
                    )
                })?;
                Ok(ExitCode::SUCCESS)
            }
            Stage::HoldNamespace {
                isolated,
                with_ipv6,
                listen,
            } => {
                let network = match isolated {
                    true => inside::Network::Isolated { ipv6: with_ipv6 },
                    false => inside::Network::Whole,
                };
                inside::hold(io::stdin(), &listen, network).map_err(without_cause)?;
                Ok(ExitCode::SUCCESS)
            }
            Stage::EnterCgroup { folder, next } => {
                let entered: Infallible =
                    cgroup::enter::enter(&folder, &next).map_err(without_cause)?;
                match entered {}
            }
            Stage::EnterNamespace { next } => {
                let entered: Infallible =
                    enter::enter(io::stdin(), &next).map_err(without_cause)?;
                match entered {}
            }
            Stage::ProbeRedirect => {
                probe::connect()?;
                Ok(ExitCode::SUCCESS)
            }
            Stage::ExecProgram {
                parent,
                open_files,
                words,
            } => exec(parent, open_files, words),
        }
    }
}

fn exec(parent: u32, open_files: Option<u64>, words: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut words = words.into_iter();
    let path = words.next().map(PathBuf::from).unwrap_or_default();
    let plan = ExecPlan {
        parent,
        open_files,
        path,
        arguments: words.collect(),
    };
    match execute(plan) {
        Ok(never) => match never {},
        Err(error) => {
            writeln!(io::stderr(), "gravimeter: {error}")?;
            Ok(ExitCode::from(error.exit_code()))
        }
    }
}

/// The error's own words name its cause already.
fn without_cause(error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
