//! The time from which each counter counts ("start timestamp", formerly "created timestamp").
//!
//! Prometheus puts a zero at that time when it first sees a series
//! (`--enable-feature=created-timestamp-zero-ingestion`), so that `increase()` includes what was
//! counted before its first scrape, and knows a restart even where a counter has overtaken its
//! earlier value. So the time must never be later than a value that was seen, nor move forward with
//! a counter that goes on from where an earlier process left it.
//!
//! A series that an earlier reading of all metrics did not have was zero then: it starts at that
//! reading. What is resumed from the ledger starts where the ledger begins. Histograms bring their
//! own start: they begin anew with each process.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    Counter, LabelPair, MetricFamily,
};

/// The start times of all counters' series.
#[derive(Debug)]
pub(super) struct StartTimes {
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    last_reading: SystemTime,
    /// By the hash of name and labels: a set of 20,000 series takes half a megabyte so, their names
    /// would take ten times as much.
    series: HashMap<u64, SystemTime>,
}

impl StartTimes {
    /// Counters whose series exist at the first reading start at this time.
    pub(super) fn new(started_at: SystemTime) -> Self {
        Self {
            hasher: RandomState::new(),
            known: Mutex::new(Known {
                last_reading: started_at,
                series: HashMap::new(),
            }),
        }
    }

    /// These families were read before anything was counted but what earlier processes did since
    /// `begun`.
    pub(super) fn resume(&self, families: &mut [MetricFamily], begun: SystemTime) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed = counters(families).filter(|(name, _, counter)| {
            // The processor time of this process is read, not counted.
            counter.value > 0.0 && !name.starts_with("process_")
        });
        for (name, labels, _) in resumed {
            let key = self.hasher.hash_one((name, labels));
            known.series.insert(key, begun);
        }
    }

    /// Puts the start time on each counter of a reading that began at `now`.
    pub(super) fn put_on(&self, families: &mut [MetricFamily], now: SystemTime) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Not later than this reading, though the clock was put back or another one overtook it.
        let appeared = known.last_reading.min(now);
        for (name, labels, counter) in counters(families) {
            let key = self.hasher.hash_one((name, labels));
            let started_at = *known.series.entry(key).or_insert(appeared);
            counter.start_timestamp = Some(started_at.into());
        }
        known.last_reading = known.last_reading.max(now);
    }
}

/// Name, labels and value of each counter's series.
fn counters(
    families: &mut [MetricFamily],
) -> impl Iterator<Item = (&str, &[LabelPair], &mut Counter)> {
    families.iter_mut().flat_map(|family| {
        let name = family.name.as_str();
        family.metric.iter_mut().filter_map(move |metric| {
            Some((name, metric.label.as_slice(), metric.counter.as_mut()?))
        })
    })
}

#[cfg(test)]
mod tests;
