//! Desktop entries, by the Desktop Entry Specification 1.5
//! (<https://specifications.freedesktop.org/desktop-entry-spec/latest/>).

use std::path::Path;

use super::{Folders, LauncherError, read};

/// What is taken over of an application's own entry: its text, as it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Application(Vec<(String, String)>);

impl Application {
    /// Reads the group `Desktop Entry`; `None` when it starts nothing.
    fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim);
        let group = lines
            .skip_while(|line| *line != GROUP)
            .skip(1)
            .take_while(|line| !line.starts_with('['));
        let keys = group.filter_map(|line| line.split_once('='));
        let keys = keys.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        let application = Self(keys.collect());
        let is_hidden = application.get("Hidden") == Some("true");
        (application.get("Exec").is_some() && !is_hidden).then_some(application)
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == key)?;
        Some(&found.1)
    }
}

/// The desktop entry with the name of the program, where there is one. The user's own hides that of
/// the machine.
pub(super) fn application(
    program: &str,
    folders: &Folders,
) -> Result<Option<Application>, LauncherError> {
    for folder in std::iter::once(&folders.data).chain(&folders.system) {
        let file = folder
            .join("applications")
            .join(format!("{program}.desktop"));
        if let Some(application) = read(&file)?.as_deref().and_then(Application::parse) {
            return Ok(Some(application));
        }
    }
    Ok(None)
}

/// An entry that starts the application through us. It opens no files and no links by itself, so
/// that what the person has set for these stays as it is.
pub(super) fn observed(program: &str, application: &Application, gravimeter: &Path) -> String {
    let name = application.get("Name").unwrap_or(program);
    let exec = application.get("Exec").unwrap_or(program);
    let taken = TAKEN_OVER.iter().filter_map(|key| {
        let value = application.get(key)?;
        Some(format!("{key}={value}\n"))
    });
    entry(program, name, exec, &taken.collect::<String>(), gravimeter)
}

/// An entry for a program without one of its own.
pub(super) fn plain(program: &str, gravimeter: &Path) -> String {
    entry(program, program, program, "", gravimeter)
}

fn entry(program: &str, name: &str, exec: &str, others: &str, gravimeter: &Path) -> String {
    let (mark, gravimeter) = (mark(program), word(gravimeter));
    format!(
        "{GROUP}\nType=Application\nName={name} (Gravimeter)\nExec={gravimeter} run -- {exec}\n\
         {others}{mark}\n"
    )
}

/// The key by which the file is known.
pub(super) fn mark(program: &str) -> String {
    format!("X-Gravimeter-Launcher={program}")
}

/// A path as one word of `Exec`: quoted, then escaped once more as every value is.
fn word(path: &Path) -> String {
    let mut quoted = String::from('"');
    for letter in path.display().to_string().chars() {
        match letter {
            '"' | '`' | '$' => quoted.extend(['\\', '\\', letter]),
            '\\' => quoted.push_str(r"\\\\"),
            '%' => quoted.push_str("%%"),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

const GROUP: &str = "[Desktop Entry]";

/// What makes it look and behave as the application in menus and docks.
const TAKEN_OVER: [&str; 9] = [
    "Categories",
    "Comment",
    "GenericName",
    "Icon",
    "Keywords",
    "Path",
    "StartupNotify",
    "StartupWMClass",
    "Terminal",
];
