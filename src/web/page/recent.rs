//! What was spent today and in the last days of the reader's time zone.

use jiff::{SignedDuration, Timestamp};

use super::Reader;
use crate::ledger::{By, Ledger, Usage, UsageQuery};

/// The usage of the last days, up to now.
#[derive(Debug)]
pub(in crate::web) struct RecentDays {
    read_at: Timestamp,
    pub(super) spans: Vec<SpanUsage>,
}

/// What was spent since the beginning of a day.
#[derive(Debug)]
pub(super) struct SpanUsage {
    pub(super) name: &'static str,
    pub(super) since: Timestamp,
    /// `None` while the ledger's file cannot be read.
    pub(super) usage: Option<Usage>,
}

impl RecentDays {
    /// Reads them from the ledger. Blocks while its file is read.
    pub(in crate::web) fn read(ledger: &Ledger, reader: &Reader, now: Timestamp) -> Self {
        let span = |(name, days_ago): (&'static str, i32)| {
            let since = reader.start_of_day(now, days_ago);
            let query = UsageQuery {
                by: By::Provider,
                since: Some(since),
                ..UsageQuery::default()
            };
            let report = ledger.query(&query, now);
            SpanUsage {
                name,
                since,
                usage: report.ok().map(|report| report.totals),
            }
        };
        Self {
            read_at: now,
            spans: SPANS.map(span).into(),
        }
    }

    /// Whether it is too old to be shown.
    pub(in crate::web) fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.read_at) >= REFRESH
    }
}

/// Whole days with today, by how many days ago they begin.
const SPANS: [(&str, i32); 3] = [("Today", 0), ("7 days", 6), ("30 days", 29)];

/// How often an open page reads the ledger's file: often enough for sums of days.
const REFRESH: SignedDuration = SignedDuration::from_secs(3);
