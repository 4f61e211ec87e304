//! The configuration file: text enters, settings with their lines leave.
//!
//! Every mistake is found in one pass; a file that is not TOML gives its syntax errors only. Values are not checked here.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key};
use super::nearest::nearest;
use super::source::{Mistake, Setting, Source};
use super::value::Value;

/// Reads the settings of a file.
///
/// # Errors
/// Mistakes, when the file cannot be read, is no TOML, or holds keys that do not exist; the settings beside them are kept.
pub(super) fn read(path: &Path) -> (Vec<Setting>, Vec<Mistake>) {
    match load(path) {
        Ok(text) => parse(path, &text),
        Err(what) => (Vec::new(), vec![Mistake::of_place(Source::File { path: path.into(), line: 0 }, what)]),
    }
}

fn load(path: &Path) -> Result<String, String> {
    let about = |what: &dyn std::fmt::Display| format!("the file cannot be read ({what}): check its path and permissions");
    let size = path.metadata().map_err(|error| about(&error))?.len();
    if size > MAX_BYTES {
        return Err(format!("the file has {size} bytes, a configuration at most {MAX_BYTES}: is it another file?"));
    }
    std::fs::read_to_string(path).map_err(|error| about(&error))
}

/// The settings and mistakes of a file's text.
pub(super) fn parse(path: &Path, text: &str) -> (Vec<Setting>, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk { path, text, settings: Vec::new(), mistakes: Vec::new() };
    if errors.is_empty() {
        walk.table("", document.get_ref());
    }
    for error in errors {
        let what = error.message().trim().replace('\n', ", ");
        let source = walk.source(&error.span().unwrap_or_default());
        walk.mistakes.push(Mistake::of_place(source, format!("this is not TOML: {what}")));
    }
    walk.settings.sort_by_key(|setting| line_of(&setting.source));
    walk.mistakes.sort_by_key(|mistake| line_of(&mistake.source));
    (walk.settings, walk.mistakes)
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
            let dotted = if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let source = self.source(&name.span());
            match (KEYS.iter().find(|key| key.name == dotted), value.get_ref()) {
                (Some(key), given) => self.settings.push(Setting { key, value: convert(given), source }),
                (None, DeValue::Table(inner)) if is_section(&dotted) => self.table(&dotted, inner),
                (None, given) => self.mistakes.push(unknown(source, dotted, given)),
            }
        }
    }

    fn source(&self, span: &Range<usize>) -> Source {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        Source::File { path: PathBuf::from(self.path), line }
    }
}

fn line_of(source: &Source) -> usize {
    if let Source::File { line, .. } = source { *line } else { 0 }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section() == name)
}

fn unknown(source: Source, dotted: String, given: &DeValue<'_>) -> Mistake {
    if is_section(&dotted) {
        let example = KEYS.iter().find(|key| key.section() == dotted).map_or("", Key::leaf);
        let message = format!("is a section, not a key: write its keys below [{dotted}], such as {example} = ...");
        return Mistake::new(source, dotted, message);
    }
    let message = if given.is_table() {
        match nearest(&dotted, KEYS.iter().map(Key::section)) {
            Some(section) => format!("there is no such section: did you mean [{section}]?"),
            None => "there is no such section: `gravimeter config reference` lists all keys".to_owned(),
        }
    } else {
        no_such_key(&dotted)
    };
    Mistake::new(source, dotted, message)
}

fn no_such_key(name: &str) -> String {
    match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(key) => format!("there is no such key: did you mean {key}?"),
        None => "there is no such key: `gravimeter config reference` lists all keys".to_owned(),
    }
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let read = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
            read.map_or(Value::Other("a number beyond 64 bits"), Value::Integer)
        }
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Array(values) => Value::List(values.iter().map(|value| convert(value.get_ref())).collect()),
        DeValue::Table(table) => {
            let entry = |(name, value): (&Spanned<_>, &Spanned<_>)| (name_of(name), convert(value.get_ref()));
            Value::Map(table.iter().map(entry).collect())
        }
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    }
}

fn name_of(name: &Spanned<toml::de::DeString<'_>>) -> String {
    name.get_ref().to_string()
}

/// A configuration with every key is 10 kB; what is larger was named by mistake.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads text as one TOML value, for variables and flags that are given in that form.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    DeValue::parse(text).ok().map(|value| convert(value.get_ref()))
}
