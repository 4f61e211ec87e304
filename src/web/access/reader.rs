//! Reads one section of the file: keys are taken by name, and unknown keys are reported as mistakes
//! at its end.
//!
//! Values are returned as texts, lists and switches with their lines; no value is ever repeated in
//! a mistake.

use super::mistakes::Mistake;
use super::yaml::{Entry, Node, Value};

/// A text with its line.
pub(super) type Text = (String, usize);

/// The keys of a section that were not taken yet.
pub(super) struct Section<'a> {
    name: &'static str,
    rest: Vec<&'a Entry>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Opens the section of that name; that of the file itself has an empty name.
    pub(super) fn open(name: &'static str, node: &'a Node, mistakes: &mut Vec<Mistake>) -> Self {
        let rest = match &node.value {
            Value::Map(entries) => entries.iter().collect(),
            Value::Empty => Vec::new(),
            Value::List(_) | Value::Text(_) => {
                mistakes.push(Mistake::new(
                    node.line,
                    name,
                    "keys are expected here: write each as key: value",
                ));
                Vec::new()
            }
        };
        Self {
            name,
            rest,
            known: Vec::new(),
        }
    }

    /// The value of a key that has one, and the line of the key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<(&'a Node, usize)> {
        self.known.push(key);
        let at = self.rest.iter().position(|entry| entry.key == key)?;
        let entry = self.rest.remove(at);
        (entry.node.value != Value::Empty).then_some((&entry.node, entry.line))
    }

    /// A text; an empty one counts as none, as it does for the Prometheus exporters.
    pub(super) fn text(&mut self, key: &'static str, mistakes: &mut Vec<Mistake>) -> Option<Text> {
        match self.take(key)? {
            (
                Node {
                    value: Value::Text(text),
                    ..
                },
                line,
            ) => (!text.is_empty()).then(|| (text.clone(), line)),
            (_, line) => {
                mistakes.push(Mistake::new(
                    line,
                    self.full(key),
                    "one text is expected here",
                ));
                None
            }
        }
    }

    /// A boolean in any form of YAML 1.1.
    pub(super) fn switch(
        &mut self,
        key: &'static str,
        default: bool,
        mistakes: &mut Vec<Mistake>,
    ) -> bool {
        let Some((text, line)) = self.text(key, mistakes) else {
            return default;
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                mistakes.push(Mistake::new(line, self.full(key), "write true or false"));
                default
            }
        }
    }

    /// A list of texts.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Vec<Text>> {
        let (node, line) = self.take(key)?;
        let text = |node: &Node| match &node.value {
            Value::Text(text) if !text.is_empty() => Some((text.clone(), node.line)),
            _ => None,
        };
        let texts = if let Value::List(nodes) = &node.value {
            nodes.iter().map(text).collect()
        } else {
            None
        };
        if texts.is_none() {
            mistakes.push(Mistake::new(
                line,
                self.full(key),
                "a list of texts is expected here: write [one, two]",
            ));
        }
        texts
    }

    /// All remaining keys with their values.
    pub(super) fn all(&mut self) -> Vec<&'a Entry> {
        std::mem::take(&mut self.rest)
    }

    /// Reports keys that were not taken as unknown.
    pub(super) fn end(self, mistakes: &mut Vec<Mistake>) {
        for entry in &self.rest {
            let message = format!(
                "there is no such key: the keys here are {}",
                self.known.join(", ")
            );
            mistakes.push(Mistake::new(
                entry.line,
                self.full(&shown(&entry.key)),
                message,
            ));
        }
    }

    /// A key's full name, with its section.
    pub(super) fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }
}

/// A key as it may be logged.
pub(super) fn shown(key: &str) -> String {
    key.chars()
        .take(MAX_SHOWN)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Longer than every key; a longer text may be a misplaced value.
const MAX_SHOWN: usize = 32;
