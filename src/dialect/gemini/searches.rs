//! Searches of the web by which an answer was grounded: the queries that a generation lists, or the
//! count of an interaction.

use crate::dialect::tokens::count;
use crate::observe::json::Value;

/// The searches that were told of so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Searches {
    /// Queries that were listed.
    listed: u64,
    /// Searches that were counted.
    counted: Option<u64>,
    /// The entry of the counts that is being read.
    entry: Entry,
}

/// How often one tool was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry {
    is_search: bool,
    uses: Option<u64>,
}

/// What is read of searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum SearchPart {
    /// A query that was made.
    Query,
    /// An entry of the counts by tool, whole.
    Tool,
    /// Which tool it counts.
    ToolType,
    /// How often that was used.
    ToolUses,
}

impl Searches {
    pub(super) fn take(&mut self, part: SearchPart, value: &Value<'_>) {
        match (part, value) {
            (SearchPart::Query, Value::String { text, cut }) => {
                self.listed += u64::from(*cut || !text.is_empty());
            }
            (SearchPart::Tool, Value::Object) => self.entry = Entry::default(),
            (SearchPart::Tool, Value::End) => {
                let Entry { is_search, uses } = std::mem::take(&mut self.entry);
                if let Some(uses) = uses.filter(|_| is_search) {
                    self.counted = Some(self.counted.unwrap_or(0).saturating_add(uses));
                }
            }
            (SearchPart::ToolType, Value::String { text, .. }) => {
                self.entry.is_search = *text == "google_search";
            }
            (SearchPart::ToolUses, _) => self.entry.uses = count(value),
            (SearchPart::Query | SearchPart::Tool | SearchPart::ToolType, _) => {}
        }
    }

    /// Takes over what a later frame says, which may repeat what was said before.
    pub(super) fn merge(&mut self, later: Self) {
        self.listed = self.listed.max(later.listed);
        self.counted = later.counted.or(self.counted);
    }

    /// How many there were, where anything is told of them.
    pub(super) fn read(self) -> Option<u64> {
        self.counted
            .or(Some(self.listed).filter(|queries| *queries > 0))
    }
}
