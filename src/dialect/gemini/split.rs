//! The lists in which `usageMetadata` splits its counts by modality, and what they mean together.

use crate::dialect::tokens::count;
use crate::observe::json::Value;
use crate::record::{Label, Modality, ModalitySplits, PerModality, SplitSum};

/// The lists so far. Like the counts they are cumulative: a list of a later frame replaces the one
/// before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SplitLists {
    cached: PerModality,
    candidates: PerModality,
    prompt: PerModality,
    tool_use_prompt: PerModality,
    /// The entry that is being read.
    entry: Entry,
    /// Whether any list has an entry.
    is_split: bool,
}

/// A `ModalityTokenCount`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry {
    modality: Option<Modality>,
    /// In tokens.
    tokens: Option<u64>,
}

/// One of the lists, by the count that it splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum SplitList {
    Cached,
    Candidates,
    Prompt,
    ToolUsePrompt,
}

/// What is read of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum EntryPart {
    /// An entry, whole.
    Entry,
    Modality,
    Tokens,
}

impl SplitLists {
    /// Takes a value of a list. Entries without a known modality or a count are ignored.
    pub(super) fn take(&mut self, list: SplitList, part: EntryPart, value: &Value<'_>) {
        match (part, value) {
            (EntryPart::Entry, Value::Object) => self.entry = Entry::default(),
            (EntryPart::Entry, Value::End) => self.end_entry(list),
            (EntryPart::Entry, _) => {}
            (EntryPart::Modality, _) => self.entry.modality = modality(value),
            (EntryPart::Tokens, _) => self.entry.tokens = count(value),
        }
    }

    fn end_entry(&mut self, list: SplitList) {
        let Entry { modality, tokens } = std::mem::take(&mut self.entry);
        if let (Some(modality), Some(tokens)) = (modality, tokens) {
            let split = match list {
                SplitList::Cached => &mut self.cached,
                SplitList::Candidates => &mut self.candidates,
                SplitList::Prompt => &mut self.prompt,
                SplitList::ToolUsePrompt => &mut self.tool_use_prompt,
            };
            split.add(modality, tokens);
            self.is_split = true;
        }
    }

    /// Takes the lists of a later frame out of it.
    pub(super) fn merge(&mut self, later: &mut Self) {
        if !later.is_split {
            return;
        }
        let later = std::mem::take(later);
        self.cached.replace(later.cached);
        self.candidates.replace(later.candidates);
        self.prompt.replace(later.prompt);
        self.tool_use_prompt.replace(later.tool_use_prompt);
    }

    /// What the lists mean: the prompt includes what was cached, and thoughts have no list.
    pub(super) fn read(self) -> ModalitySplits {
        let mut splits = ModalitySplits::default();
        splits[SplitSum::Input] = self.prompt;
        splits[SplitSum::Input].merge(&self.tool_use_prompt);
        splits[SplitSum::CacheRead] = self.cached;
        splits[SplitSum::Output] = self.candidates;
        splits
    }
}

/// The modality that a value names: in capitals, in small letters in the Interactions API, or by
/// the number of `google.ai.generativelanguage.v1.Modality` where enums are asked for as numbers.
fn modality(value: &Value<'_>) -> Option<Modality> {
    match value {
        Value::Number("1") => Some(Modality::Text),
        Value::Number("2") => Some(Modality::Image),
        Value::Number("3") => Some(Modality::Video),
        Value::Number("4") => Some(Modality::Audio),
        Value::Number("5") => Some(Modality::Document),
        Value::String { text, cut: false } => Modality::ALL
            .iter()
            .copied()
            .find(|modality| modality.as_str().eq_ignore_ascii_case(text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(&str, &str)]) -> SplitLists {
        let mut lists = SplitLists::default();
        for (modality, tokens) in entries {
            let text = Value::String {
                text: modality,
                cut: false,
            };
            let number = Value::Number(modality);
            let is_number = modality.starts_with(|c: char| c.is_ascii_digit());
            let modality = if is_number { number } else { text };
            for (part, value) in [
                (EntryPart::Entry, Value::Object),
                (EntryPart::Tokens, Value::Number(tokens)),
                (EntryPart::Modality, modality),
                (EntryPart::Entry, Value::End),
            ] {
                lists.take(SplitList::Prompt, part, &value);
            }
        }
        lists
    }

    fn prompt(lists: SplitLists) -> Vec<(&'static str, u64)> {
        let split = lists.read()[SplitSum::Input];
        let known = split.iter().filter(|(_, tokens)| *tokens > 0);
        known
            .map(|(modality, tokens)| (modality.as_str(), tokens))
            .collect()
    }

    #[test]
    fn modalities_are_known_by_name_and_number() {
        let named = [
            ("TEXT", "1"),
            ("Image", "2"),
            ("video", "3"),
            ("AUDIO", "4"),
        ];
        let expected = [("audio", 4), ("image", 2), ("text", 1), ("video", 3)];
        assert_eq!(prompt(list(&named)), expected);
        let numbered = [("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", "5")];
        let expected = [
            ("audio", 4),
            ("document", 5),
            ("image", 2),
            ("text", 1),
            ("video", 3),
        ];
        assert_eq!(prompt(list(&numbered)), expected);
        let unknown = [("MODALITY_UNSPECIFIED", "1"), ("0", "2"), ("TEXT", "-3")];
        assert_eq!(prompt(list(&unknown)), []);
    }

    #[test]
    fn a_later_list_replaces_the_one_before_unless_it_is_empty() {
        let mut lists = list(&[("TEXT", "5"), ("IMAGE", "7"), ("TEXT", "1")]);
        assert_eq!(prompt(lists), [("image", 7), ("text", 6)]);
        lists.merge(&mut list(&[("TEXT", "0")]));
        assert_eq!(prompt(lists), [("image", 7), ("text", 6)]);
        lists.merge(&mut list(&[("TEXT", "20")]));
        assert_eq!(prompt(lists), [("text", 20)]);
    }
}
