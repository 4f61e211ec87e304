//! The configuration file: text enters, settings with their lines leave.
//!
//! Every mistake is found in one pass; a file that is not TOML gives its syntax errors only, or the
//! bracket from which they follow. Values are not checked here.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{Key, keys};
use super::nearest::nearest;
use super::source::{Mistake, Setting, Source};
use super::unclosed::unclosed;
use super::value::{Part, Value};
use crate::rules;

/// The settings of a file, and mistakes when it cannot be read, is no TOML, or holds keys that do
/// not exist.
pub(super) fn read(path: &Path) -> (Vec<Setting>, Vec<Mistake>) {
    match load(path) {
        Ok(text) => parse(path, &text),
        Err(what) => (
            Vec::new(),
            vec![Mistake::of_place(
                Source::File {
                    path: path.into(),
                    line: 0,
                },
                what,
            )],
        ),
    }
}

/// The text of a file, unless it cannot be a configuration.
pub(super) fn load(path: &Path) -> Result<String, String> {
    let about = |what: &dyn std::fmt::Display| {
        format!("the file cannot be read ({what}): check its path and permissions")
    };
    let size = path.metadata().map_err(|error| about(&error))?.len();
    if size > MAX_BYTES {
        return Err(format!(
            "the file has {size} bytes, a configuration at most {MAX_BYTES}: is it another file?"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| about(&error))
}

/// The settings and mistakes of a file's text.
pub(super) fn parse(path: &Path, text: &str) -> (Vec<Setting>, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk {
        path,
        text,
        settings: Vec::new(),
        mistakes: Vec::new(),
    };
    if errors.is_empty() {
        walk.table("", document.get_ref());
    } else if let Some(line) = unclosed(text) {
        // All other errors follow from this one.
        let source = Source::File {
            path: path.into(),
            line,
        };
        let what = "this bracket is not closed: close it on this line or before the next key";
        return (Vec::new(), vec![Mistake::of_place(source, what)]);
    }
    for error in errors {
        let source = walk.source(&error.span().unwrap_or_default());
        walk.mistakes
            .push(Mistake::of_place(source, syntax(error.message())));
    }
    // One slip makes several errors of the parser; the first of a line is the one that helps.
    walk.mistakes
        .dedup_by(|later, first| later.key.is_none() && later.source == first.source);
    walk.settings
        .sort_by_key(|setting| line_of(&setting.source));
    walk.mistakes
        .sort_by_key(|mistake| line_of(&mistake.source));
    (walk.settings, walk.mistakes)
}

/// Reads text as one TOML value, for variables and flags that are given in that form. Lines mean
/// nothing there.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let walk = Walk {
        path: Path::new(""),
        text,
        settings: Vec::new(),
        mistakes: Vec::new(),
    };
    Some(walk.convert(value.get_ref()))
}

/// The walk through a document's tables.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

impl Walk<'_> {
    /// Takes each entry of the table that stands under `section` (empty for the document).
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let dotted = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            let source = self.source(&name.span());
            match (keys().find(|key| key.name == dotted), value.get_ref()) {
                (Some(key), given) => self.settings.push(Setting {
                    key,
                    value: self.convert(given),
                    source,
                }),
                // Lists of tables have a reader of their own.
                (None, DeValue::Array(_)) if LISTS.contains(&dotted.as_str()) => {}
                (None, DeValue::Table(inner)) if is_section(&dotted) => self.table(&dotted, inner),
                (None, given) => self.mistakes.push(unknown(source, dotted, given)),
            }
        }
    }

    fn convert(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
                read.map_or(Value::Other("a number beyond 64 bits"), Value::Integer)
            }
            DeValue::Boolean(on) => Value::Switch(*on),
            DeValue::Array(values) => Value::List(
                values
                    .iter()
                    .map(|value| self.part("", &value.span(), value.get_ref()))
                    .collect(),
            ),
            DeValue::Table(table) => {
                let entries = table
                    .iter()
                    .map(|(name, value)| self.part(name.get_ref(), &name.span(), value.get_ref()));
                Value::Map(entries.collect())
            }
            DeValue::Float(number) => Value::Fraction(number.as_str().replace('_', "")),
            DeValue::Datetime(_) => Value::Other("a date"),
        }
    }

    fn part(&self, name: &str, span: &Range<usize>, value: &DeValue<'_>) -> Part {
        Part {
            name: name.to_owned(),
            value: self.convert(value),
            line: Some(self.line(span)),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..span.start)
            .unwrap_or(self.text.as_bytes());
        1 + memchr::memchr_iter(b'\n', before).count()
    }

    fn source(&self, span: &Range<usize>) -> Source {
        Source::File {
            path: PathBuf::from(self.path),
            line: self.line(span),
        }
    }
}

fn syntax(message: &str) -> String {
    let what = message.trim().replace('\n', ", ");
    let remedy = if what == "duplicate key" {
        "keep one of the two"
    } else {
        "texts stand in quotes, lists in brackets"
    };
    format!("this is not TOML ({what}): {remedy}")
}

fn line_of(source: &Source) -> usize {
    if let Source::File { line, .. } = source {
        *line
    } else {
        0
    }
}

fn is_section(name: &str) -> bool {
    keys().any(|key| key.section() == name)
}

fn unknown(source: Source, dotted: String, given: &DeValue<'_>) -> Mistake {
    if is_section(&dotted) {
        let example = keys()
            .find(|key| key.section() == dotted)
            .map_or("", Key::leaf);
        let message = format!(
            "is a section, not a key: write its keys below [{dotted}], such as {example} = ..."
        );
        return Mistake::new(source, dotted, message);
    }
    let message = if given.is_table() {
        match nearest(&dotted, keys().map(Key::section)) {
            Some(section) => format!("there is no such section: did you mean [{section}]?"),
            None => {
                "there is no such section: `gravimeter config reference` lists all keys".to_owned()
            }
        }
    } else {
        no_such_key(&dotted)
    };
    Mistake::new(source, dotted, message)
}

fn no_such_key(name: &str) -> String {
    match nearest(name, keys().map(|key| key.name)) {
        Some(key) => format!("there is no such key: did you mean {key}?"),
        None => "there is no such key: `gravimeter config reference` lists all keys".to_owned(),
    }
}

/// The lists of tables of a configuration.
const LISTS: [&str; 1] = [rules::KEY];

/// A configuration with every key is 10 kB; what is larger was named by mistake.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;
