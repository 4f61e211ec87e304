//! What is wrong with a web configuration file: all of it at once, each with its line and what to
//! write instead.
//!
//! No message repeats a value of the file: it may be a key, a hash or a password.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// From 1; 0 when the whole file is meant.
    pub(super) line: usize,
    /// Under which key; empty where there is none.
    pub(super) key: String,
    pub(super) message: String,
}

impl Mistake {
    pub(super) fn new(line: usize, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            line,
            key: key.into(),
            message: message.into(),
        }
    }

    pub(super) fn of_line(line: usize, message: impl Into<String>) -> Self {
        Self::new(line, "", message)
    }

    pub(super) fn of_file(message: impl Into<String>) -> Self {
        Self::of_line(0, message)
    }
}

/// Why a web configuration file cannot be used: one line for each mistake, in the order of the
/// file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessError {
    path: PathBuf,
    mistakes: Vec<Mistake>,
}

impl AccessError {
    pub(super) fn new(path: &Path, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| mistake.line);
        Self {
            path: path.to_owned(),
            mistakes,
        }
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Mistake { line, key, message }) in self.mistakes.iter().enumerate() {
            let line_end = if number == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}:", self.path.display())?;
            if *line > 0 {
                write!(f, "{line}:")?;
            }
            if !key.is_empty() {
                write!(f, " {key}:")?;
            }
            write!(f, " {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for AccessError {}
