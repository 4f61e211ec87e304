//! A list of entries and the list of their indices, which come in either order.

use super::Malformed;
use super::values::whole_number;
use crate::cascade::update::MAX_ENTRIES;
use crate::observe::json::Value;

/// Entries and their indices.
#[derive(Debug)]
pub(super) struct Entries<E> {
    indices: Vec<u32>,
    entries: Vec<E>,
    total: Option<u32>,
}

/// One part of such a list.
#[derive(Debug, Clone, Copy)]
pub enum ListPart {
    /// The list of the entries.
    Entries,
    /// An entry.
    Entry,
    /// An index.
    Index,
    /// The list of the indices.
    Indices,
    /// How many entries there are outside of the message.
    Total,
}

/// How many entries a message may still have, all of its lists together.
#[derive(Debug)]
pub(super) struct Budget(u32);

impl<E: Default> Entries<E> {
    /// Reads a part of the list; what is inside an entry goes to [`Self::last`].
    pub(super) fn read_part(
        &mut self,
        part: ListPart,
        value: Value<'_>,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        match (part, value) {
            // When a member is repeated, the last one counts.
            (ListPart::Entries, Value::Array) => self.entries.clear(),
            (ListPart::Indices, Value::Array) => self.indices.clear(),
            (_, Value::End) | (ListPart::Entries | ListPart::Indices, _) => {}
            // A value of any type is an entry: the indices count it.
            (ListPart::Entry, _) => {
                budget.spend()?;
                self.entries.push(E::default());
            }
            (ListPart::Index, _) => {
                let index = whole_number(value)
                    .and_then(|index| u32::try_from(index).ok())
                    .ok_or(Malformed::Indices)?;
                if index >= MAX_ENTRIES || self.indices.len() >= MAX_ENTRIES as usize {
                    return Err(Malformed::TooMany);
                }
                self.indices.push(index);
            }
            (ListPart::Total, _) => self.total = whole_number(value).map(bounded).transpose()?,
        }
        Ok(())
    }

    /// The entry that is being read.
    pub(super) fn last(&mut self) -> Option<&mut E> {
        self.entries.last_mut()
    }

    /// How many entries there are outside of the message, when it says so.
    pub(super) fn total(&self) -> Option<u32> {
        self.total
    }

    /// The entries by their indices; the first one is `first` when the message has no indices.
    pub(super) fn finish(self, first: u32) -> Result<Vec<(u32, E)>, Malformed> {
        if self.indices.is_empty() {
            return Ok((first..=u32::MAX).zip(self.entries).collect());
        }
        if self.indices.len() != self.entries.len() {
            return Err(Malformed::Indices);
        }
        Ok(self.indices.into_iter().zip(self.entries).collect())
    }
}

impl<E> Default for Entries<E> {
    fn default() -> Self {
        Self {
            indices: Vec::new(),
            entries: Vec::new(),
            total: None,
        }
    }
}

impl Budget {
    pub(super) fn spend(&mut self) -> Result<(), Malformed> {
        self.0 = self.0.checked_sub(1).ok_or(Malformed::TooMany)?;
        Ok(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_ENTRIES)
    }
}

fn bounded(number: u64) -> Result<u32, Malformed> {
    u32::try_from(number)
        .ok()
        .filter(|number| *number <= MAX_ENTRIES)
        .ok_or(Malformed::TooMany)
}
