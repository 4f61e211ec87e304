//! A command as people type it, looked up as a shell does.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::record::printable;

/// A program that can be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The name by which it was called, which is its argument 0.
    pub(crate) name: OsString,
}

/// The command cannot be executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// It is there, but is no program, or not for this user.
    #[error("{}: cannot be executed: {source}", printable(&path.display().to_string()))]
    NotExecutable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such file, or none in `PATH`.
    #[error("{}: command not found", printable(&.0.to_string_lossy()))]
    NotFound(OsString),
}

impl CommandError {
    /// The exit code that a shell gives, and everybody expects: POSIX, "Exit Status for Commands".
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotExecutable { .. } => 126,
            Self::NotFound(_) => 127,
        }
    }
}

impl Executable {
    /// Looks a command up: a name with a slash is a path, every other one is searched in the folders
    /// of `search` (the value of `PATH`).
    ///
    /// # Errors
    /// [`CommandError`].
    pub(crate) fn find(name: &OsStr, search: &OsStr) -> Result<Self, CommandError> {
        let found = |path: PathBuf| Self {
            path,
            name: name.to_owned(),
        };
        if name.as_encoded_bytes().contains(&b'/') {
            let path = PathBuf::from(name);
            return match usable(&path) {
                Ok(()) => Ok(found(path)),
                Err(error) => Err(Self::refused(name, path, error)),
            };
        }
        if name.is_empty() {
            return Err(CommandError::NotFound(name.to_owned()));
        }
        let mut refused = None;
        for folder in std::env::split_paths(search) {
            // An empty folder is the working directory.
            let path = Path::new(".").join(folder).join(name);
            match usable(&path) {
                Ok(()) => return Ok(found(path)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    refused.get_or_insert(Self::refused(name, path, error));
                }
                _ => {}
            }
        }
        Err(refused.unwrap_or_else(|| CommandError::NotFound(name.to_owned())))
    }

    fn refused(name: &OsStr, path: PathBuf, source: io::Error) -> CommandError {
        match source.kind() {
            io::ErrorKind::NotFound => CommandError::NotFound(name.to_owned()),
            _ => CommandError::NotExecutable { path, source },
        }
    }

    /// The program's own name without its folder, for people: printable.
    pub(crate) fn title(&self) -> String {
        let name = Path::new(&self.name).file_name().unwrap_or(&self.name);
        printable(&name.to_string_lossy())
    }
}

/// Whether there is a file that this user may execute.
fn usable(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn code(found: Result<Executable, CommandError>) -> Result<PathBuf, u8> {
        found
            .map(|executable| executable.path)
            .map_err(|error| error.exit_code())
    }

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, name, mode) in [
            (&first, "tool", 0o644),
            (&second, "tool", 0o755),
            (&first, "data", 0o644),
        ] {
            let path = folder.path().join(name);
            write(&path, "#!/bin/sh\n").unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(first.path().join("folder")).unwrap();
        let search = std::env::join_paths([first.path(), second.path()]).unwrap();
        let find = |name: &str| code(Executable::find(OsStr::new(name), &search));
        assert_eq!(find("tool"), Ok(second.path().join("tool")));
        assert_eq!(find("data"), Err(126));
        assert_eq!(find("folder"), Err(126));
        assert_eq!(find("nothing"), Err(127));
        assert_eq!(find(""), Err(127));
        let in_first = |name: &str| find(first.path().join(name).to_str().unwrap());
        assert_eq!(in_first("data"), Err(126));
        assert_eq!(in_first("folder"), Err(126));
        assert_eq!(in_first("nothing"), Err(127));
        assert_eq!(in_first("data/below"), Err(126));
        let whole = second.path().join("tool");
        assert_eq!(find(whole.to_str().unwrap()), Ok(whole));
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let error = Executable::find(OsStr::new("a\u{1b}[2J"), OsStr::new("/bin")).unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
        let executable = Executable {
            path: "/bin/x".into(),
            name: "/opt/a\nb".into(),
        };
        assert_eq!(executable.title(), "a\\nb");
    }
}
