//! Counts every failure of following an agent and logs each kind once.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::ask::Failure;
use crate::cascade::correlate::Correlator;
use crate::record::FollowFailure;

/// The failures of one agent.
pub(super) struct FailureLog {
    correlator: Arc<Correlator>,
    logged: Mutex<BTreeSet<FollowFailure>>,
}

impl FailureLog {
    pub(super) fn new(correlator: Arc<Correlator>) -> Self {
        Self {
            correlator,
            logged: Mutex::default(),
        }
    }

    /// Counts and logs a failure.
    pub(super) fn report(&self, failure: Failure) {
        self.count(failure);
        self.log(failure);
    }

    pub(super) fn count(&self, failure: Failure) {
        self.correlator.failed(failure.reason());
    }

    /// Logs each kind once: an agent that is away fails every few seconds.
    pub(super) fn log(&self, failure: Failure) {
        if self
            .logged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(failure.reason())
        {
            tracing::warn!(error = %failure, "updates of the agent's conversations are lost; its traffic is not affected");
        }
    }
}
