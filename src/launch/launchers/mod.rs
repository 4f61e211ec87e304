//! Launchers: a desktop entry or a shell function that starts a program through `gravimeter run`,
//! so that nobody has to think of it.
//!
//! What enters: a program's name and the folders of the user. What leaves: one file for each
//! launcher, which says in itself that it is one. No other file is ever written or removed.

mod desktop;
mod shell;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub(crate) use shell::{Shell, quoted};

/// Where launchers are, and what they are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folders {
    /// `$XDG_DATA_HOME`, or `~/.local/share`.
    pub data: PathBuf,
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    pub config: PathBuf,
    /// `$XDG_DATA_DIRS`: where the machine's desktop entries are, the first wins.
    pub system: Vec<PathBuf>,
    /// `$PATH`.
    pub path: OsString,
}

/// What starts the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LauncherKind {
    /// An entry in the menu of the desktop.
    Desktop,
    /// A function of this shell with the program's name.
    Shell(Shell),
}

/// A launcher to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LauncherRequest {
    /// The program, as one types it.
    pub program: String,
    /// What starts it; the one that suits the program where there is `None`.
    pub kind: Option<LauncherKind>,
    /// The shell that a function is for if no kind is given.
    pub shell: Shell,
    /// Our own executable.
    pub gravimeter: PathBuf,
}

/// A launcher that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramLauncher {
    /// The program.
    pub program: String,
    /// What starts it.
    pub kind: LauncherKind,
    /// Its file.
    pub file: PathBuf,
}

/// A launcher could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LauncherError {
    /// The file is there and not ours.
    #[error("{} is not a launcher of gravimeter: move it away, or choose another kind by --as", .0.display())]
    Foreign(PathBuf),
    /// A file could not be read, written or removed.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing of that name to start.
    #[error(
        "{0} is neither a program in PATH nor an application of this desktop: install it first"
    )]
    NoProgram(String),
    /// There is no launcher of that name.
    #[error("there is no launcher of {0}: `gravimeter launcher list` shows those that are there")]
    None(String),
    /// The name cannot be that of a command.
    #[error("{0:?} is no name of a program: write it as you type it, without folder and arguments")]
    Name(String),
}

/// Makes a launcher, or makes it anew.
///
/// # Errors
/// [`LauncherError`]; nothing is written then.
pub(crate) fn install(
    request: &LauncherRequest,
    folders: &Folders,
) -> Result<ProgramLauncher, LauncherError> {
    let program = &request.program;
    if !is_name(program) {
        return Err(LauncherError::Name(program.clone()));
    }
    let application = desktop::application(program, folders)?;
    let kind = request.kind.unwrap_or(match application {
        Some(_) => LauncherKind::Desktop,
        None => LauncherKind::Shell(request.shell),
    });
    let is_program = is_in_path(program, folders);
    let text = match (kind, &application) {
        (LauncherKind::Desktop, Some(application)) => {
            desktop::observed(program, application, &request.gravimeter)
        }
        (LauncherKind::Desktop, None) if is_program => desktop::plain(program, &request.gravimeter),
        (LauncherKind::Shell(shell), _) if is_program => {
            shell.function(program, &request.gravimeter)
        }
        _ => return Err(LauncherError::NoProgram(program.clone())),
    };
    let file = file(program, kind, folders);
    if read(&file)?.is_some_and(|text| !is_ours(&text, program)) {
        return Err(LauncherError::Foreign(file));
    }
    write(&file, &text)?;
    Ok(ProgramLauncher {
        program: program.clone(),
        kind,
        file,
    })
}

/// Removes the launchers of a program, and returns what is gone.
///
/// # Errors
/// [`LauncherError`]
pub(crate) fn remove(
    program: &str,
    folders: &Folders,
) -> Result<Vec<ProgramLauncher>, LauncherError> {
    let mut found = list(folders)?;
    found.retain(|launcher| launcher.program == program);
    if found.is_empty() {
        return Err(LauncherError::None(program.to_owned()));
    }
    for launcher in &found {
        fs::remove_file(&launcher.file).map_err(of_file(&launcher.file))?;
    }
    Ok(found)
}

/// All launchers, by the name of their program.
///
/// # Errors
/// [`LauncherError::File`]
pub(crate) fn list(folders: &Folders) -> Result<Vec<ProgramLauncher>, LauncherError> {
    let mut found = Vec::new();
    for kind in KINDS {
        let (folder, prefix, suffix) = place(kind, folders);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(of_file(&folder))?,
        };
        for entry in entries {
            let file = entry.map_err(of_file(&folder))?.path();
            let name = file.file_name().and_then(|name| name.to_str());
            let program = name.and_then(|name| name.strip_prefix(prefix)?.strip_suffix(suffix));
            let Some(program) = program.map(str::to_owned) else {
                continue;
            };
            // What cannot be read is nobody's launcher.
            if fs::read_to_string(&file).is_ok_and(|text| is_ours(&text, &program)) {
                found.push(ProgramLauncher {
                    program,
                    kind,
                    file,
                });
            }
        }
    }
    found.sort_by(|a, b| a.program.cmp(&b.program));
    Ok(found)
}

/// Where the file of a launcher is: its folder, and what stands before and behind the program's name.
fn place(kind: LauncherKind, folders: &Folders) -> (PathBuf, &'static str, &'static str) {
    match kind {
        LauncherKind::Desktop => (folders.data.join("applications"), "gravimeter-", ".desktop"),
        LauncherKind::Shell(Shell::Fish) => (folders.config.join("fish/functions"), "", ".fish"),
        LauncherKind::Shell(Shell::Bash | Shell::Zsh) => {
            (folders.data.join("gravimeter/launchers"), "", ".sh")
        }
    }
}

fn file(program: &str, kind: LauncherKind, folders: &Folders) -> PathBuf {
    let (folder, prefix, suffix) = place(kind, folders);
    folder.join(format!("{prefix}{program}{suffix}"))
}

/// Bash and Zsh share a file.
const KINDS: [LauncherKind; 3] = [
    LauncherKind::Desktop,
    LauncherKind::Shell(Shell::Bash),
    LauncherKind::Shell(Shell::Fish),
];

/// A file is a launcher if one of its lines says so, by which it is known for what it is.
fn is_ours(text: &str, program: &str) -> bool {
    let (key, comment) = (desktop::mark(program), shell::mark(program));
    text.lines().any(|line| line == key || line == comment)
}

/// A name that needs no quotes anywhere.
fn is_name(program: &str) -> bool {
    let mut letters = program.chars();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    letters.next().is_some_and(is_plain)
        && letters.all(|letter| is_plain(letter) || letter == '-' || letter == '.')
        && program.len() <= MAX_NAME
        && !shell::RESERVED.contains(&program)
}

fn is_in_path(program: &str, folders: &Folders) -> bool {
    super::foreground::Executable::find(program.as_ref(), &folders.path).is_ok()
}

fn read(file: &Path) -> Result<Option<String>, LauncherError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of_file(file)(error)),
    }
}

/// Whole or not at all, under a name that is nobody's.
fn write(file: &Path, text: &str) -> Result<(), LauncherError> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(of_file(folder))?;
    let unfinished = file.with_extension(format!("{}.new", std::process::id()));
    let written = fs::File::create_new(&unfinished)
        .and_then(|mut new| new.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&unfinished, file));
    written.map_err(|error| {
        // Where it was not made there is nothing to remove.
        let _ = fs::remove_file(&unfinished);
        of_file(file)(error)
    })
}

fn of_file(path: &Path) -> impl FnOnce(io::Error) -> LauncherError + '_ {
    move |source| LauncherError::File {
        path: path.to_owned(),
        source,
    }
}

/// Longer than the name of any program, and far below what a file's name may have.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests;
