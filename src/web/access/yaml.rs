//! Parses a YAML file into a tree with line numbers.
//!
//! Input: text; output: [`Node`]s or a [`Mistake`]. Anchors, aliases and tags are refused: no web
//! configuration needs them, and aliases of aliases grow without limit. No value is ever repeated
//! in a mistake: it may be a key or a hash.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::mistakes::Mistake;

/// One value of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its line, from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// The content of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// No value, as after a key without one.
    Empty,
    List(Vec<Node>),
    /// Each key occurs once.
    Map(Vec<Entry>),
    Text(String),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line of the key, from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) node: Node,
}

/// Reads the one document of a file; an empty file is an empty document.
pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
    let mut events = Events(Parser::new_from_str(text));
    let mut document = None;
    loop {
        let (event, line) = events.next()?;
        match event {
            Event::StreamEnd => {
                return Ok(document.unwrap_or(Node {
                    line: 1,
                    value: Value::Empty,
                }));
            }
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if document.is_some() => {
                return Err(Mistake::of_line(
                    line,
                    "a second document: keep one of them, without ---",
                ));
            }
            event => document = Some(events.node(event, line, 0)?),
        }
    }
}

struct Events<'a>(Parser<'a, saphyr_parser::StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), Mistake> {
        match self.0.next_event() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, start.line())),
            Some(Err(error)) => Err(not_yaml(&error)),
            None => Err(Mistake::of_line(
                1,
                "the file ends too early: write it anew",
            )),
        }
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Mistake> {
        if depth > MAX_DEPTH {
            return Err(Mistake::of_line(
                line,
                "nested too deeply: no key of a web configuration stands there",
            ));
        }
        let value = match event {
            Event::Scalar(text, style, 0, None) if is_null(&text, style) => Value::Empty,
            Event::Scalar(text, _, 0, None) => Value::Text(text.into_owned()),
            Event::SequenceStart(0, None) => self.list(depth)?,
            Event::MappingStart(0, None) => self.map(depth)?,
            _ => {
                return Err(Mistake::of_line(
                    line,
                    "anchors, aliases and tags are not read: write the value itself",
                ));
            }
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Mistake> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(nodes)),
                (event, line) => nodes.push(self.node(event, line, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(key, _, 0, None) => key.into_owned(),
                _ => {
                    return Err(Mistake::of_line(
                        line,
                        "a key must be a text: write it as key: value",
                    ));
                }
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                return Err(Mistake::of_line(
                    line,
                    format!("the key of line {} again: keep one of them", first.line),
                ));
            }
            let (event, value_line) = self.next()?;
            let node = self.node(event, value_line, depth + 1)?;
            entries.push(Entry { line, key, node });
        }
    }
}

/// Whether it is null in YAML's core schema.
fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The parser's syntax error; it never quotes the text.
fn not_yaml(error: &ScanError) -> Mistake {
    Mistake::of_line(
        error.marker().line(),
        format!(
            "this is not YAML ({}): check indentation and quotes",
            error.info()
        ),
    )
}

/// Deeper than any key of a web configuration; bounds our recursion.
const MAX_DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: usize, text: &str) -> Node {
        Node {
            line,
            value: Value::Text(text.to_owned()),
        }
    }

    #[test]
    fn values_know_their_lines() {
        let read = parse("# first\na: 1\nb:\n  - x\n  - 'y'\nc:\n").unwrap();
        let list = Node {
            line: 4,
            value: Value::List(vec![text(4, "x"), text(5, "y")]),
        };
        let Value::Map(entries) = read.value else {
            panic!("a map")
        };
        let entry = |line, key: &str, node| Entry {
            line,
            key: key.to_owned(),
            node,
        };
        assert_eq!(entries[0], entry(2, "a", text(2, "1")));
        assert_eq!(entries[1], entry(3, "b", list));
        assert_eq!(
            (entries[2].key.as_str(), &entries[2].node.value),
            ("c", &Value::Empty)
        );
        assert_eq!(parse("").unwrap().value, Value::Empty);
        assert_eq!(parse("# nothing\n---\n").unwrap().value, Value::Empty);
    }

    #[test]
    fn what_grows_or_hides_is_refused_with_its_line() {
        for (file, line, part) in [
            ("a: &x 1\nb: *x\n", 1, "anchors"),
            ("a: 1\nb: !!str 2\n", 2, "tags"),
            ("a: 1\nb: 2\na: 3\n", 3, "the key of line 1 again"),
            ("a: 1\n---\nb: 1\n", 3, "a second document"),
            ("a: [1\n", 1, "not YAML"),
            ("? [a]\n: 1\n", 1, "must be a text"),
            ("a: [[[[[[[[[[[[1]]]]]]]]]]]]\n", 1, "nested too deeply"),
        ] {
            let mistake = parse(file).unwrap_err();
            assert!(mistake.message.contains(part), "{file:?}: {mistake:?}");
            assert!(mistake.line >= line, "{file:?}: {mistake:?}");
        }
    }

    #[test]
    fn a_mistake_never_repeats_a_value() {
        for file in [
            "k: 'SECRET\n",
            "k: [SECRET\nk: }\n",
            "SECRET: 1\nSECRET: 2\n",
            "k: *SECRET\n",
            "\tk: SECRET: x",
        ] {
            let mistake = parse(file).unwrap_err();
            assert!(!mistake.message.contains("SECRET"), "{mistake:?}");
        }
    }
}
