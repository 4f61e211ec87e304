//! Shell functions. A function goes before the program of its name, and `gravimeter run` looks in
//! `PATH` alone, so that neither can start the other in a circle.

use std::path::Path;

/// A shell that people type commands into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// fish, which finds functions by the names of their files.
    Fish,
    /// Zsh.
    Zsh,
}

impl Shell {
    /// The shell of this path, as `$SHELL` has it; `None` for another one.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        match path.file_name()?.to_str()? {
            "bash" => Some(Self::Bash),
            "fish" => Some(Self::Fish),
            "zsh" => Some(Self::Zsh),
            _ => None,
        }
    }

    /// What has to be done once for the function to be there: the file of the shell, and the line to
    /// add to it; `None` where nothing has to be.
    pub(crate) fn setup(self, launcher: &Path) -> Option<(&'static str, String)> {
        let path = quoted(&launcher.display().to_string());
        let line = format!("[ ! -f {path} ] || . {path}");
        match self {
            Self::Bash => Some(("~/.bashrc", line)),
            Self::Zsh => Some(("~/.zshrc", line)),
            Self::Fish => None,
        }
    }

    /// The text of a file that defines the function.
    pub(super) fn function(self, program: &str, gravimeter: &Path) -> String {
        let (mark, gravimeter) = (mark(program), quoted(&gravimeter.display().to_string()));
        match self {
            // Without the word `function`, an alias of the same name would be put in its place.
            Self::Bash | Self::Zsh => {
                format!(
                    "{mark}\nfunction {program} {{\n    {gravimeter} run -- {program} \"$@\"\n}}\n"
                )
            }
            Self::Fish => format!(
                "{mark}\nfunction {program} --wraps {program} --description '{program}, observed \
                 by Gravimeter'\n    {gravimeter} run -- {program} $argv\nend\n"
            ),
        }
    }
}

/// The line by which the file is known.
pub(super) fn mark(program: &str) -> String {
    format!(
        "# Made by `gravimeter launcher install {program}`; `gravimeter launcher remove {program}` removes it."
    )
}

/// One word for any of these shells: a quote or a backslash stands outside of the quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => quoted.extend(['\'', '\\', letter, '\'']),
            letter => quoted.push(letter),
        }
    }
    quoted.push('\'');
    quoted
}

/// Words of the shells themselves, which no function may have for a name.
pub(super) const RESERVED: [&str; 26] = [
    "and", "begin", "builtin", "case", "command", "coproc", "do", "done", "elif", "else", "end",
    "esac", "exec", "fi", "for", "function", "if", "in", "not", "or", "select", "switch", "then",
    "time", "until", "while",
];
