//! Where a setting comes from, and what is wrong with it: every message names the place first.

use std::fmt;
use std::path::PathBuf;

use super::keys::{Key, Kind};
use super::value::Value;

/// Where a key was given its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: the default holds.
    Default,
    /// In a configuration file.
    File {
        /// Which one.
        path: PathBuf,
        /// On which line, from 1; 0 when the whole file is meant.
        line: usize,
    },
    /// On the command line, by the flag's name without its dashes.
    Flag(String),
    /// In the environment, by the variable's name.
    Variable(String),
}

impl Source {
    /// The same place, on a line of its own when one is known.
    pub(super) fn on_line(self, known: Option<usize>) -> Self {
        match (self, known) {
            (Self::File { path, .. }, Some(line)) => Self::File { path, line },
            (other, _) => other,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A key that was given a value that has not been checked yet.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) source: Source,
}

/// What a key is set to, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The key.
    pub key: &'static str,
    /// Its value as TOML; empty when it is not set. Values of [`Kind::Environment`],
    /// [`Kind::Secret`] and [`Kind::SecretTable`] are left out.
    pub value: String,
    /// Where it was set.
    pub source: Source,
}

impl Origin {
    pub(super) fn of_default(key: &Key) -> Self {
        Self {
            key: key.name,
            value: key.default.toml().unwrap_or_default().to_owned(),
            source: Source::Default,
        }
    }

    pub(super) fn of_setting(setting: Setting) -> Self {
        let hidden = matches!(
            setting.key.kind,
            Kind::Environment | Kind::Secret | Kind::SecretTable
        );
        Self {
            key: setting.key.name,
            value: setting.value.to_toml(hidden),
            source: setting.source,
        }
    }
}

/// One thing that is wrong: its place, its key where there is one, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub source: Source,
    /// Under which name, unless the place says it already.
    pub key: Option<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Mistake {
    pub(super) fn new(source: Source, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            source,
            key: Some(key.into()),
            message: message.into(),
        }
    }

    pub(super) fn of_place(source: Source, message: impl Into<String>) -> Self {
        Self {
            source,
            key: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A contradiction between defaults has no place.
        if self.source != Source::Default {
            write!(f, "{}: ", self.source)?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the order file, environment, flags,
/// contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub(super) fn sorted(mut mistakes: Vec<Mistake>) -> Self {
        // Sorting keeps files in the order in which they were read.
        let mut files: Vec<PathBuf> = Vec::new();
        mistakes.sort_by_cached_key(|mistake| match &mistake.source {
            Source::File { path, line } => {
                let number = files
                    .iter()
                    .position(|file| file == path)
                    .unwrap_or(files.len());
                files.extend((number == files.len()).then(|| path.clone()));
                (0, number, *line)
            }
            Source::Variable(_) => (1, 0, 0),
            Source::Flag(_) => (2, 0, 0),
            Source::Default => (3, 0, 0),
        });
        Self(mistakes)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.0.iter().enumerate() {
            let line_end = if number == 0 { "" } else { "\n" };
            write!(f, "{line_end}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
