//! Where a configuration file and the state usually lie.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::given::FILE_VARIABLE;
use crate::launch::launchers::Folders;

/// The machine's own places; tests have others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The file of the service.
    pub config_file: PathBuf,
    /// The state of the service.
    pub state_dir: PathBuf,
}

impl std::default::Default for Places {
    fn default() -> Self {
        Self {
            config_file: "/etc/gravimeter/gravimeter.toml".into(),
            state_dir: "/var/lib/gravimeter".into(),
        }
    }
}

impl Places {
    /// The file to read: the one that was named (by flag, then by variable), whether it exists or
    /// not, or else the first that exists of the machine's and the user's.
    pub(super) fn config_file(
        &self,
        named: Option<&Path>,
        variables: &[(OsString, OsString)],
    ) -> Option<PathBuf> {
        let named = named
            .map(Path::to_owned)
            .or_else(|| variable(variables, FILE_VARIABLE).map(PathBuf::from));
        named.or_else(|| {
            let users = user_folder(variables, "XDG_CONFIG_HOME", ".config")
                .map(|folder| folder.join("gravimeter.toml"));
            [Some(self.config_file.clone()), users]
                .into_iter()
                .flatten()
                .find(|path| path.exists())
        })
    }

    /// The folder of the state when no key names it: the machine's if it is ours to write, else the
    /// user's.
    #[must_use]
    pub fn state_dir(&self, variables: &[(OsString, OsString)]) -> Option<PathBuf> {
        if access(&self.state_dir, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
            return Some(self.state_dir.clone());
        }
        user_folder(variables, "XDG_STATE_HOME", ".local/state")
    }
}

impl Places {
    /// Where language servers of the user leave word of themselves, one folder for each kind of
    /// host program.
    pub(super) fn discovery_folders(&self, variables: &[(OsString, OsString)]) -> Vec<PathBuf> {
        let home = variable(variables, "HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute());
        let hosts = ["antigravity", "antigravity-ide", "antigravity-cli"];
        let folders =
            hosts.map(|host| Some(home.as_ref()?.join(".gemini").join(host).join("daemon")));
        folders.into_iter().flatten().collect()
    }
}

impl Places {
    /// Where launchers of the user are made.
    pub(crate) fn launcher_folders(variables: &[(OsString, OsString)]) -> Option<Folders> {
        let system = variable(variables, "XDG_DATA_DIRS");
        let system = std::env::split_paths(system.unwrap_or(OsStr::new(USUAL_DATA_FOLDERS)));
        Some(Folders {
            data: base_folder(variables, "XDG_DATA_HOME", ".local/share")?,
            config: base_folder(variables, "XDG_CONFIG_HOME", ".config")?,
            system: system.filter(|path| path.is_absolute()).collect(),
            path: variable(variables, "PATH")?.to_owned(),
        })
    }

    /// The shell of the user.
    pub(crate) fn shell(variables: &[(OsString, OsString)]) -> Option<PathBuf> {
        variable(variables, "SHELL").map(PathBuf::from)
    }
}

/// Where `XDG_DATA_DIRS` is not set, by the XDG Base Directory Specification.
const USUAL_DATA_FOLDERS: &str = "/usr/local/share:/usr/share";

/// `$NAME/gravimeter`, or `~/fallback/gravimeter`.
fn user_folder(variables: &[(OsString, OsString)], name: &str, fallback: &str) -> Option<PathBuf> {
    base_folder(variables, name, fallback).map(|base| base.join("gravimeter"))
}

/// `$NAME`, or `~/fallback`. A relative path in the variable is void.
/// <https://specifications.freedesktop.org/basedir-spec/latest/>
fn base_folder(variables: &[(OsString, OsString)], name: &str, fallback: &str) -> Option<PathBuf> {
    let absolute = |name| {
        variable(variables, name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(name).or_else(|| absolute("HOME").map(|home| home.join(fallback)))
}

fn variable<'a>(variables: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    let found = variables
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_os_str());
    found.filter(|value| !value.is_empty())
}
