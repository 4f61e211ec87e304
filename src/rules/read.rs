//! The text of files with rules enters; the checked rules leave, or all flaws in one pass, each with
//! its file, its line, its key and what to write instead.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::action::Action;
use super::check::check;
use super::conditions::Conditions;
use super::prompt::End;
use super::values::{
    Given, fallback, field, field_value, glob, host, label, mebibytes, model, name, one_or_many,
    own_field, patch, pointer, pointers, subagent, switch, text, tokens,
};
use super::{DEFAULT_MAX_BODY, Fallback, Rule, Rules};
use crate::record::RuleName;

/// A file that may hold rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path, for messages.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// It is the configuration: what is no rule is none of this reader's concern.
    pub is_configuration: bool,
}

/// One thing that is wrong with rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// In which file.
    pub path: Arc<Path>,
    /// On which line, from 1.
    pub line: usize,
    /// Of which key, where it is one's.
    pub key: Option<String>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.path.display(), self.line)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Reads the rules of all files, in the order of the files.
///
/// # Errors
/// All flaws, from top to bottom.
pub fn read(sources: &[Source]) -> Result<Rules, Vec<Flaw>> {
    let mut rules = Vec::new();
    let mut flaws = Vec::new();
    for source in sources {
        let mut reader = Reader {
            path: source.path.as_path().into(),
            text: &source.text,
            flaws: Vec::new(),
        };
        rules.extend(reader.file(source.is_configuration));
        reader.flaws.sort_by_key(|flaw| flaw.line);
        flaws.append(&mut reader.flaws);
    }
    // Rules that are wrong by themselves would be said to contradict others as well.
    if flaws.is_empty() {
        flaws = check(&rules);
    }
    if flaws.is_empty() {
        Ok(Rules { rules })
    } else {
        Err(flaws)
    }
}

/// The walk through a file.
struct Reader<'a> {
    path: Arc<Path>,
    text: &'a str,
    flaws: Vec<Flaw>,
}

/// A rule in the making.
struct Draft {
    name: Option<RuleName>,
    conditions: Conditions,
    /// With their places in the order in which they are carried out.
    actions: Vec<(u8, Action)>,
    goes_on: bool,
    is_dry_run: bool,
    max_body: usize,
    on_too_large: Fallback,
    on_error: Fallback,
}

impl Reader<'_> {
    fn file(&mut self, is_configuration: bool) -> Vec<Rule> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        // One slip makes several errors of the parser; the first is the one that helps.
        if let Some(error) = errors.first() {
            // The reader of the configuration says it there.
            if !is_configuration {
                let what = error.message().trim().replace('\n', ", ");
                let span = error.span().unwrap_or_default();
                self.flaw(&span, None, format!("this is not TOML ({what}): {HOW}"));
            }
            return Vec::new();
        }
        let mut rules = Vec::new();
        for (name, value) in document.get_ref() {
            let is_rules = name.get_ref() == KEY;
            match value.get_ref().as_array().filter(|_| is_rules) {
                Some(tables) => {
                    rules.extend(tables.iter().filter_map(|given| self.rule(given)));
                }
                None if is_rules => {
                    self.flaw(
                        &name.span(),
                        Some(KEY),
                        format!("this is not a list of rules: {HOW}"),
                    );
                }
                None if is_configuration => {}
                None => {
                    let message = format!(
                        "there is nothing of that name: {HOW}; give a configuration as --config FILE"
                    );
                    self.flaw(&name.span(), Some(name.get_ref()), message);
                }
            }
        }
        rules
    }

    /// One `[[rule]]`; `None` when it has a flaw.
    fn rule(&mut self, given: &Given<'_>) -> Option<Rule> {
        let Some(table) = given.get_ref().as_table() else {
            self.flaw(
                &given.span(),
                Some(KEY),
                format!("this is not a table: {HOW}"),
            );
            return None;
        };
        let before = self.flaws.len();
        let mut draft = Draft::default();
        for (key, value) in table {
            let key_text: &str = key.get_ref();
            if key_text == "match" {
                self.conditions(&mut draft.conditions, value);
            } else if let Err(message) = draft.take(key_text, value.get_ref()) {
                self.flaw(&key.span(), Some(key_text), message);
            }
        }
        if draft.name.is_none() && self.flaws.len() == before {
            let how = r#"is missing: write a name, such as name = "short-answers""#;
            self.flaw(&given.span(), Some("name"), how.to_owned());
        }
        if draft.actions.is_empty() && self.flaws.len() == before {
            let message = format!("the rule does nothing: write one of {}", ACTIONS.join(", "));
            self.flaw(&given.span(), None, message);
        }
        let name = draft.name.clone().filter(|_| self.flaws.len() == before)?;
        Some(draft.finish(name, Arc::clone(&self.path), self.line(&given.span())))
    }

    fn conditions(&mut self, conditions: &mut Conditions, given: &Given<'_>) {
        let Some(table) = given.get_ref().as_table() else {
            let how = format!("this is not a table: write {CONDITIONS}");
            return self.flaw(&given.span(), Some("match"), how);
        };
        for (key, value) in table {
            let (key_text, value): (&str, _) = (key.get_ref(), value.get_ref());
            let read = match key_text {
                "header" => one_or_many(value, field).map(|read| conditions.fields = read),
                "host" => one_or_many(value, host).map(|read| conditions.hosts = read),
                "model" => one_or_many(value, glob).map(|read| conditions.models = read),
                "operation" => one_or_many(value, label).map(|read| conditions.operations = read),
                "program" => one_or_many(value, glob).map(|read| conditions.programs = read),
                "provider" => one_or_many(value, label).map(|read| conditions.providers = read),
                "repository" => one_or_many(value, glob).map(|read| conditions.repositories = read),
                "session" => one_or_many(value, glob).map(|read| conditions.sessions = read),
                "subagent" => subagent(value).map(|read| conditions.subagent = Some(read)),
                _ => Err(format!("there is no such condition: write {CONDITIONS}")),
            };
            if let Err(message) = read {
                self.flaw(&key.span(), Some(&format!("match.{key_text}")), message);
            }
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start);
        1 + memchr::memchr_iter(b'\n', before.unwrap_or(self.text.as_bytes())).count()
    }

    fn flaw(&mut self, span: &Range<usize>, key: Option<&str>, message: String) {
        self.flaws.push(Flaw {
            path: Arc::clone(&self.path),
            line: self.line(span),
            key: key.map(str::to_owned),
            message,
        });
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: None,
            conditions: Conditions::default(),
            actions: Vec::new(),
            goes_on: false,
            is_dry_run: false,
            max_body: DEFAULT_MAX_BODY,
            on_too_large: Fallback::Pass,
            on_error: Fallback::Pass,
        }
    }
}

impl Draft {
    fn take(&mut self, key: &str, given: &DeValue<'_>) -> Result<(), String> {
        let several = |given| -> Result<Vec<Action>, String> {
            Ok(match key {
                "patch" => vec![Action::Patch(patch(given)?)],
                "remove" => {
                    let places = one_or_many(given, pointer)?;
                    places.into_iter().map(Action::Remove).collect()
                }
                "remove_header" => {
                    let names = one_or_many(given, own_field)?;
                    names.into_iter().map(Action::RemoveField).collect()
                }
                "replace" => {
                    let values = pointers(given)?.into_iter();
                    values
                        .map(|(at, value)| Action::Replace(at, value))
                        .collect()
                }
                "set" => {
                    let values = pointers(given)?.into_iter();
                    values.map(|(at, value)| Action::Set(at, value)).collect()
                }
                _ => set_fields(given)?,
            })
        };
        let actions = match key {
            "name" => {
                self.name = Some(name(given)?);
                return Ok(());
            }
            "continue" => return switch(given).map(|on| self.goes_on = on),
            "dry_run" => return switch(given).map(|on| self.is_dry_run = on),
            "max_body_mib" => return mebibytes(given).map(|bytes| self.max_body = bytes),
            "on_error" => return fallback(given).map(|read| self.on_error = read),
            "on_too_large" => return fallback(given).map(|read| self.on_too_large = read),
            "append_system" => vec![Action::System(End::Append, text(given)?)],
            "deny" => vec![Action::Deny(text(given)?)],
            "include_usage" if switch(given)? => vec![Action::StreamUsage],
            "include_usage" => {
                return Err("false does nothing: leave it out, or write true".to_owned());
            }
            "max_output_tokens" => match tokens(given)? {
                0 => return Err("an answer needs at least one token: write 1 or more".to_owned()),
                most => vec![Action::MaxOutputTokens(most)],
            },
            "max_thinking_tokens" => vec![Action::MaxThinkingTokens(tokens(given)?)],
            "model" => vec![Action::Model(model(given)?)],
            "prepend_system" => vec![Action::System(End::Prepend, text(given)?)],
            "patch" | "remove" | "remove_header" | "replace" | "set" | "set_header" => {
                several(given)?
            }
            _ => {
                return Err(format!(
                    "there is no such key: write {}, or one of {}",
                    OTHERS.join(", "),
                    ACTIONS.join(", ")
                ));
            }
        };
        let place = ACTIONS.iter().position(|action| *action == key);
        let place = place.and_then(|place| u8::try_from(place).ok());
        let place = place.unwrap_or(u8::MAX);
        self.actions
            .extend(actions.into_iter().map(|action| (place, action)));
        Ok(())
    }

    fn finish(mut self, name: RuleName, path: Arc<Path>, line: usize) -> Rule {
        self.actions.sort_by_key(|(place, _)| *place);
        let actions = self.actions.into_iter().map(|(_, action)| action);
        Rule {
            name,
            path,
            line,
            conditions: self.conditions,
            actions: actions.collect(),
            goes_on: self.goes_on,
            is_dry_run: self.is_dry_run,
            max_body: self.max_body,
            on_too_large: self.on_too_large,
            on_error: self.on_error,
        }
    }
}

fn set_fields(given: &DeValue<'_>) -> Result<Vec<Action>, String> {
    let how = || r#"write a table of names and texts: { "x-title" = "tests" }"#.to_owned();
    let table = given.as_table().ok_or_else(how)?;
    let fields = table.iter().map(|(name, value)| {
        let value = field_value(value.get_ref())?;
        Ok(Action::SetField(own_field(name.get_ref())?, value))
    });
    fields.collect()
}

/// The list of rules in a document.
pub const KEY: &str = "rule";

/// What a rule can do, in the order in which it does it: JSON edits have the last word.
const ACTIONS: [&str; 13] = [
    "deny",
    "remove_header",
    "set_header",
    "model",
    "prepend_system",
    "append_system",
    "max_output_tokens",
    "max_thinking_tokens",
    "include_usage",
    "remove",
    "replace",
    "set",
    "patch",
];

/// What else a rule may say.
const OTHERS: [&str; 7] = [
    "name",
    "match",
    "continue",
    "dry_run",
    "max_body_mib",
    "on_too_large",
    "on_error",
];

/// What a file with rules looks like.
const HOW: &str =
    "a file of rules is made of [[rule]] blocks with a name, what they match and what they do";

/// What conditions look like.
const CONDITIONS: &str = "match = { model = \"gpt-*\" } with host, provider, operation, model, program, repository, session, subagent or header";
