//! Readers of values that stand for themselves: texts, numbers, times, paths, users and words.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{Value, Wrong};
use crate::capture::peer::{InvalidPattern, ProgramPattern};

impl Value {
    /// The name of a program, in which a `*` stands for any characters.
    pub(in crate::config) fn program_pattern(&self) -> Result<ProgramPattern, Wrong> {
        let text = self.text()?;
        text.parse()
            .map_err(|wrong: InvalidPattern| Wrong::new(format!("{self} is {wrong}")))
    }

    /// A text that is not empty and holds no control character.
    pub(in crate::config) fn text(&self) -> Result<String, Wrong> {
        match self {
            Self::Text(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
                Ok(text.clone())
            }
            _ => Err(self.is_not("a text", "it in quotes, without line breaks")),
        }
    }

    /// `true` or `false`.
    pub(in crate::config) fn switch(&self) -> Result<bool, Wrong> {
        match self {
            Self::Switch(on) => Ok(*on),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => Err(self.is_not("true or false", "true or false without quotes")),
        }
    }

    /// A whole number within a range.
    pub(in crate::config) fn number<T: TryFrom<u32>>(
        &self,
        range: RangeInclusive<u32>,
    ) -> Result<T, Wrong> {
        let number = match self {
            Self::Integer(number) => u32::try_from(*number).ok(),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        };
        let fitting = number
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        fitting.ok_or_else(|| {
            let example = 100.clamp(*range.start(), *range.end());
            let what = format!("a whole number from {} to {}", range.start(), range.end());
            self.is_not(&what, &format!("it without quotes, such as {example}"))
        })
    }

    /// A time with a unit, longer than nothing and at most [`LONGEST`].
    pub(in crate::config) fn duration(&self) -> Result<Duration, Wrong> {
        let bare = match self {
            Self::Integer(number) => Some(number.to_string()),
            Self::Text(text)
                if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() =>
            {
                Some(text.clone())
            }
            _ => None,
        };
        if let Some(number) = bare {
            let in_seconds = format!("{number}s");
            let how = match Self::Text(in_seconds.clone()).duration() {
                Ok(_) => format!("write it as {in_seconds:?} for seconds"),
                Err(_) => r#"write a time such as "10s", "5m" or "1h30m""#.to_owned(),
            };
            return Err(Wrong::new(format!("{number} has no unit: {how}")));
        }
        let Self::Text(text) = self else {
            return Err(self.is_not("a time", r#"it as "10s", "5m" or "1h30m""#));
        };
        let read = text
            .parse::<SignedDuration>()
            .ok()
            .and_then(|it| Duration::try_from(it).ok());
        match read {
            None => Err(self.is_not("a time", r#"it as "10s", "5m" or "1h30m""#)),
            Some(it) if it.is_zero() => Err(Wrong::new(format!(
                r#"{self} leaves no time at all: write "10s" or more"#
            ))),
            Some(it) if it > LONGEST => {
                let hours = LONGEST.as_secs() / 3600;
                Err(Wrong::new(format!(
                    r#"{self} is longer than a year: write "{hours}h" (366 days) or less"#
                )))
            }
            Some(it) => Ok(it),
        }
    }

    /// A number from 0 to 1.
    pub(in crate::config) fn fraction(&self) -> Result<f64, Wrong> {
        let number = match self {
            Self::Fraction(text) | Self::Text(text) => text.parse().ok(),
            Self::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            _ => None,
        };
        let fitting = number.filter(|number| (0.0..=1.0).contains(number));
        let how = "it is not a number from 0 to 1: write it without quotes, such as 0.25";
        fitting.ok_or_else(|| Wrong::new(how.to_owned()))
    }

    /// One of a few words.
    pub(in crate::config) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Wrong> {
        let given = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        words
            .iter()
            .find(|(word, _)| *word == given)
            .map(|(_, it)| *it)
            .ok_or_else(|| {
                let all: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                self.is_not("one of its words", &all.join(" or "))
            })
    }

    /// A path that does not depend on where the program is started.
    pub(in crate::config) fn path(&self) -> Result<PathBuf, Wrong> {
        match self.text() {
            Ok(text) if text.starts_with('/') => Ok(text.into()),
            _ => {
                let name = if let Self::Text(text) = self {
                    Path::new(text).file_name()
                } else {
                    None
                };
                let path = |name: &str| Self::Text(format!("/path/to/{name}"));
                let given = name
                    .and_then(OsStr::to_str)
                    .map(path)
                    .filter(|path| path.text().is_ok());
                let example = given.unwrap_or_else(|| path("it")).to_toml(false);
                Err(self.is_not("a whole path", &format!("it from the root, as {example}")))
            }
        }
    }

    /// A path that may begin at the folder of the configuration file, which only who knows that
    /// file can tell.
    pub(in crate::config) fn path_beside(&self) -> Result<PathBuf, Wrong> {
        self.text()
            .map(PathBuf::from)
            .map_err(|_| self.is_not("a path", r#"it as "/etc/gravimeter/prices.toml""#))
    }

    /// The permissions of a file, as `chmod` takes them.
    pub(in crate::config) fn mode(&self) -> Result<u32, Wrong> {
        let digits = if let Self::Text(text) = self {
            text.as_str()
        } else {
            ""
        };
        let octal = (3..=4).contains(&digits.len())
            && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode = u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| octal && *mode <= 0o777);
        mode.ok_or_else(|| {
            self.is_not(
                "a mode of a file",
                r#"it in octal digits and quotes, as "0660""#,
            )
        })
    }

    /// The name of an account of this machine.
    pub(in crate::config) fn user(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let start = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let rest = text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.')
        });
        if start && rest && text.len() <= 32 {
            return Ok(text);
        }
        Err(self.is_not(
            "a user name",
            r#"a name of /etc/passwd, such as "antigravity-ls" (no number)"#,
        ))
    }

    /// The name of an account of this machine, or a uid.
    pub(in crate::config) fn user_or_uid(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok() {
            return Ok(text);
        }
        self.user().map_err(|_| {
            self.is_not(
                "a user",
                r#"a name of /etc/passwd or a uid, such as "ann" or "1000""#,
            )
        })
    }

    /// What to log, in the syntax of `EnvFilter`. It would take a misspelt level for the name of a
    /// module and log nothing.
    pub(in crate::config) fn log_filter(&self) -> Result<String, Wrong> {
        let text = self.text()?;
        let directive =
            |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
        if text.split(',').all(directive)
            && EnvFilter::builder().with_regex(false).parse(&text).is_ok()
        {
            return Ok(text);
        }
        let how = r#""error", "warn", "info", "debug", "trace" or "off", or by module "info,gravimeter::relay=debug""#;
        Err(self.is_not("a log level", how))
    }
}

/// Longer limits are mistakes, and timers reckon with them.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
