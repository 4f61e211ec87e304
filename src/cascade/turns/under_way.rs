//! The calls that have begun and not ended: what a run still waits for.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::cascade::conversation::Moment;
use crate::record::{CallStarted, Provider};

/// Calls under way, by their number. Which conversation they belong to is known only at their end.
#[derive(Debug, Default)]
pub(super) struct CallsUnderWay(BTreeMap<u64, (Provider, Instant)>);

impl CallsUnderWay {
    pub(super) fn add(&mut self, started: &CallStarted, now: Moment) {
        let ago = now
            .wall
            .duration_since(started.started_at)
            .unwrap_or_default();
        let began = now.at.checked_sub(ago).unwrap_or(now.at);
        self.0.insert(started.number, (started.provider, began));
        if self.0.len() > MAX_UNDER_WAY {
            self.0.pop_first();
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.0.remove(&number);
    }

    /// Whether every call of the provider that began before this time has ended.
    pub(super) fn have_ended_before(&self, provider: Provider, at: Instant) -> bool {
        let is_missing = |(of, began): &(Provider, Instant)| *of == provider && *began < at;
        !self.0.values().any(is_missing)
    }
}

/// A hundred agents have some thousand calls under way; each takes 48 bytes here.
const MAX_UNDER_WAY: usize = 8_192;
