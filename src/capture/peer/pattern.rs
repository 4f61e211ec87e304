//! Patterns that select programs by their names.

use std::fmt;
use std::str::FromStr;

use crate::record::{MAX_NAME_BYTES, ProgramName, matches_wildcard};

/// The name of a program, in which each `*` stands for any characters or none
/// (`language_server*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramPattern(String);

/// The text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of a program: write it without folder and arguments, with * for any characters (language_server*)"
)]
pub struct InvalidPattern;

impl FromStr for ProgramPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let is_name = !text.is_empty()
            && text.len() <= MAX_NAME_BYTES
            && !text.contains(|character: char| character == '/' || character.is_control());
        is_name.then(|| Self(text.to_owned())).ok_or(InvalidPattern)
    }
}

impl fmt::Display for ProgramPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ProgramPattern {
    /// Whether the pattern selects the program.
    #[must_use]
    pub fn matches(&self, program: &ProgramName) -> bool {
        matches_wildcard(&self.0, program.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches = |pattern: &str, name: &str| {
            let program = ProgramName::new(name).unwrap();
            pattern.parse::<ProgramPattern>().unwrap().matches(&program)
        };
        for (pattern, name) in [
            ("claude", "claude"),
            ("language_server*", "language_server"),
            ("language_server*", "language_server_linux_x64"),
            ("*server", "language_server"),
            ("l*_*64", "language_server_linux_x64"),
            ("*", "anything"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("claude", "claude2"),
            ("language_server*", "a_language_server"),
            ("*server", "servers"),
            ("a*a", "a"),
            ("l*x*64", "language_server_linux"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "/usr/bin/x", "a\nb", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(bad.parse::<ProgramPattern>(), Err(InvalidPattern), "{bad}");
        }
    }
}
