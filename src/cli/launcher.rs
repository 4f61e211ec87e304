//! `gravimeter launcher`: a desktop entry or a shell function that starts a program observed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use crate::config::{Places, process_environment};
use crate::launch::find::running_application;
use crate::launch::launchers::{self, LauncherKind, LauncherRequest, ProgramLauncher, Shell};

/// Start a program observed, from the desktop or by its name in a shell, without a further thought
#[derive(Debug, Args)]
pub(super) struct Launcher {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a desktop entry or a shell function that starts a program through `gravimeter run`
    ///
    /// An application gets an entry beside its own; any other program a function of its name. Only
    /// files of gravimeter are written.
    #[command(after_help = "\
Examples:
  gravimeter launcher install antigravity
  gravimeter launcher install claude
  gravimeter launcher install codex --as fish")]
    Install {
        /// The program, as you type it
        program: String,
        /// What starts it; what suits the program when not given
        #[arg(long = "as", value_enum, value_name = "KIND")]
        kind: Option<Kind>,
    },
    /// Show the launchers that are there
    List,
    /// Remove the launchers of a program, and nothing else
    Remove {
        /// The program
        program: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// An entry in the menu of the desktop
    Desktop,
    /// A function for Bash
    Bash,
    /// A function for fish
    Fish,
    /// A function for Zsh
    Zsh,
}

impl From<Kind> for LauncherKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Desktop => Self::Desktop,
            Kind::Bash => Self::Shell(Shell::Bash),
            Kind::Fish => Self::Shell(Shell::Fish),
            Kind::Zsh => Self::Shell(Shell::Zsh),
        }
    }
}

impl Launcher {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let environment = process_environment();
        let folders = Places::launcher_folders(&environment)
            .context("there is no home folder for launchers: set HOME")?;
        match self.action {
            Action::Install { program, kind } => {
                let shell = Places::shell(&environment).and_then(|path| Shell::of_path(&path));
                let request = LauncherRequest {
                    program,
                    kind: kind.map(LauncherKind::from),
                    shell: shell.unwrap_or(Shell::Bash),
                    gravimeter: own_program()?,
                };
                explain(&launchers::install(&request, &folders)?, request.shell, out)?;
            }
            Action::List => {
                for launcher in launchers::list(&folders)? {
                    let (program, file) = (&launcher.program, launcher.file.display());
                    writeln!(out, "{program:<16} {:<12} {file}", word(launcher.kind))?;
                }
            }
            Action::Remove { program } => {
                for launcher in launchers::remove(&program, &folders)? {
                    writeln!(out, "removed {}", launcher.file.display())?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what was made and what is still to be done.
fn explain(made: &ProgramLauncher, shell: Shell, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "made {}", made.file.display())?;
    let program = &made.program;
    match made.kind {
        LauncherKind::Desktop => writeln!(
            out,
            "The menu has a second entry for {program}, \"(Gravimeter)\", which starts it observed.\n\
             What it spent: gravimeter usage"
        )?,
        LauncherKind::Shell(of_file) => {
            // Bash and Zsh share the file.
            let shell = if of_file == Shell::Fish {
                of_file
            } else {
                shell
            };
            if let Some((file, line)) = shell.setup(&made.file) {
                writeln!(out, "Add this line to {file}:\n\n  {line}\n")?;
            }
            writeln!(
                out,
                "In a new terminal, `{program}` is then observed; `command {program}` is not."
            )?;
        }
    }
    if let Some(pid) = running_application(program) {
        writeln!(
            out,
            "{program} runs already (process {pid}), unobserved: quit it, and start it by the new entry."
        )?;
    }
    Ok(())
}

fn word(kind: LauncherKind) -> &'static str {
    match kind {
        LauncherKind::Desktop => "desktop",
        LauncherKind::Shell(Shell::Bash | Shell::Zsh) => "bash or zsh",
        LauncherKind::Shell(Shell::Fish) => "fish",
    }
}

/// A launcher outlives the shell that it was made in: it names the program by its path.
fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of the running program is not known")
}
