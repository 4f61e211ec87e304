//! What was spent before today and before the last days of the reader's time zone. What was spent
//! since then is the rest of all: both change at the same moment.

use jiff::{SignedDuration, Timestamp};

use super::Reader;
use crate::ledger::{By, Ledger, Usage, UsageQuery};

/// The usage before the last days.
#[derive(Debug)]
pub(in crate::web) struct RecentDays {
    read_at: Timestamp,
    pub(super) spans: Vec<DaySpan>,
}

/// A span of time from the beginning of a day up to now.
#[derive(Debug)]
pub(super) struct DaySpan {
    pub(super) name: &'static str,
    pub(super) since: Timestamp,
    /// What was spent before it; `None` while the ledger's file cannot be read.
    before: Option<Usage>,
}

impl DaySpan {
    /// What of all usage belongs to it, as far as that is known.
    pub(super) fn usage(&self, all: &Usage) -> Option<Usage> {
        self.before.as_ref().map(|before| all.without(before))
    }
}

impl RecentDays {
    /// Reads them from the ledger. Blocks while its file is read.
    pub(in crate::web) fn read(ledger: &Ledger, reader: &Reader, now: Timestamp) -> Self {
        let span = |(name, days_ago): (&'static str, i32)| {
            let since = reader.start_of_day(now, days_ago);
            let query = UsageQuery {
                by: By::Provider,
                until: Some(since),
                ..UsageQuery::default()
            };
            let report = ledger.query(&query, now);
            DaySpan {
                name,
                since,
                before: report.ok().map(|report| report.totals),
            }
        };
        Self {
            read_at: now,
            spans: SPANS.map(span).into(),
        }
    }

    /// Whether they must be read again: a day has begun, or some time has passed.
    pub(in crate::web) fn is_stale(&self, reader: &Reader, now: Timestamp) -> bool {
        let today = self.spans.first().map(|span| span.since);
        today != Some(reader.start_of_day(now, 0)) || now.duration_since(self.read_at) >= REFRESH
    }
}

/// Whole days with today, by how many days ago they begin.
const SPANS: [(&str, i32); 3] = [("Today", 0), ("7 days", 6), ("30 days", 29)];

/// How often an open page reads the ledger's file again. Calls of the last moments of a day may come
/// to the file after its end, and a file that could not be read, or was another program's, may be
/// there again.
const REFRESH: SignedDuration = SignedDuration::from_secs(10);
