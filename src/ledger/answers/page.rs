//! A page of the groups of an answer of `/v1/usage`: whole answers enter, and leave with the groups
//! of one page.
//!
//! Hours, days, weeks and months stand in the order of time; everything else by tokens, the most first, then by
//! key. The totals are always those of the whole span. Nothing is remembered between two pages: a
//! cursor says behind which group the next one begins.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};

use super::callers::CallerKind;
use super::cascades::InvalidCursor;
use super::report::UsageReport;
use super::usage::Usage;
use crate::ledger::file::grouping::{By, Period};
use crate::record::Label;

/// Which groups of an answer are wanted; by default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub limit: Option<usize>,
    /// Only what follows an earlier page of the same grouping.
    pub cursor: Option<UsageCursor>,
}

/// Where the next page begins: [`UsageReport::next_cursor`] of the page before it. The text is for
/// machines alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageCursor {
    by: By,
    last: Place,
}

/// Where a group stands among the others: groups are shown in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ledger) struct Place {
    /// The beginning of a period in seconds; of everything else what its tokens lack to the most
    /// that there can be.
    rank: i128,
    pub(in crate::ledger) key: String,
}

impl Place {
    pub(in crate::ledger) fn of(period: &Period) -> Self {
        Self {
            rank: period.start().as_second().into(),
            key: period.to_string(),
        }
    }
}

impl UsageCursor {
    /// The grouping whose pages it is for.
    #[must_use]
    pub fn by(&self) -> By {
        self.by
    }
}

impl FromStr for UsageCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(InvalidCursor);
        let by = By::parse(part()?).ok_or(InvalidCursor)?;
        let rank = part()?.parse().map_err(|_| InvalidCursor)?;
        let key = URL_SAFE_NO_PAD.decode(part()?).map_err(|_| InvalidCursor)?;
        // A place among the groups, which need not be that of a group: any bytes have one.
        let key = String::from_utf8_lossy(&key).into_owned();
        Ok(Self {
            by,
            last: Place { rank, key },
        })
    }
}

impl fmt::Display for UsageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { rank, key } = &self.last;
        write!(f, "{}.{rank}.{}", self.by, URL_SAFE_NO_PAD.encode(key))
    }
}

impl Serialize for UsageCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl UsageReport {
    /// The same with the groups of a page alone.
    pub(in crate::ledger) fn cut(mut self, by: By, page: &Page) -> Self {
        let period = |period: &Period, _: &Usage| Place::of(period);
        let next = match by {
            By::Cascade => cut(&mut self.cascades, page, |key, group| {
                spent(key, &group.usage)
            }),
            By::Branch | By::Program | By::Repository | By::Session => CallerKind::of(by)
                .and_then(|kind| self.callers(kind))
                .and_then(|groups| cut(groups, page, |key, group| spent(key, &group.usage))),
            By::Day => cut(&mut self.days, page, period),
            By::Hour => cut(&mut self.hours, page, period),
            By::Model => cut(&mut self.models, page, |key, group| {
                spent(key, &group.usage)
            }),
            By::Month => cut(&mut self.months, page, period),
            By::Operation => cut(&mut self.operations, page, |key, usage| {
                spent(key.as_str(), usage)
            }),
            By::Provider => cut(&mut self.providers, page, |key, usage| {
                spent(key.as_str(), usage)
            }),
            By::Rule => cut(&mut self.rules, page, |key, group| spent(key, &group.usage)),
            By::Subagent => cut(&mut self.subagents, page, |key, group| {
                spent(key, &group.usage)
            }),
            By::Week => cut(&mut self.weeks, page, period),
        };
        self.next_cursor = next.map(|last| UsageCursor { by, last });
        self.groups = Some(self.list(by));
        self
    }
}

/// The place of a group that is no period.
pub(super) fn spent(key: &str, usage: &Usage) -> Place {
    Place {
        rank: i128::from(u64::MAX - usage.total_tokens),
        key: key.to_owned(),
    }
}

/// Leaves the groups of the page; returns the place of the last one where others follow.
fn cut<K: Ord, V>(
    groups: &mut Option<BTreeMap<K, V>>,
    page: &Page,
    place: impl Fn(&K, &V) -> Place,
) -> Option<Place> {
    let limit = page.limit.unwrap_or(usize::MAX);
    let all = groups
        .take()?
        .into_iter()
        .map(|(key, group)| (place(&key, &group), key, group));
    let is_wanted = |at: &Place| page.cursor.as_ref().is_none_or(|cursor| *at > cursor.last);
    let mut wanted: Vec<_> = all.filter(|(at, ..)| is_wanted(at)).collect();
    let has_more = wanted.len() > limit;
    if has_more {
        wanted.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        wanted.truncate(limit);
    }
    let last = wanted
        .last()
        .map(|(at, ..)| at.clone())
        .filter(|_| has_more);
    *groups = Some(
        wanted
            .into_iter()
            .map(|(_, key, group)| (key, group))
            .collect(),
    );
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn a_cursor_is_read_as_it_was_written(rank in any::<i128>(), key: String, by in prop::sample::select(By::ALL)) {
            let cursor = UsageCursor { by, last: Place { rank, key } };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_is_taken_for_what_it_is_not(text: String) {
            if let Ok(cursor) = text.parse::<UsageCursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }
    }
}
