//! What was changed in the requests of one connection before they were sent.
//!
//! Whoever changes requests says so here, in the order in which it sends them; the observer reads
//! what was sent, and finds there what was changed in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::head::bounded_path;
use crate::record::AppliedRules;

/// The changes to the requests of one connection that were not observed yet.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<VecDeque<Sent>>>);

/// A request that is about to be sent.
#[derive(Debug)]
struct Sent {
    method: String,
    /// Without the query, as observers keep it.
    path: String,
    rules: Option<AppliedRules>,
}

impl Changes {
    /// The next request that is sent, whether it was changed or not.
    pub fn add(&self, method: &str, path: &str, rules: Option<AppliedRules>) {
        let mut requests = self.lock();
        // An observer that was dropped takes nothing any more.
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(Sent {
            method: method.to_owned(),
            path: bounded_path(path.as_bytes()),
            rules,
        });
    }

    /// The rules that changed the next request that was observed. Those before it were never sent:
    /// the agent had given them up.
    #[must_use]
    pub fn take(&self, method: &str, path: &str) -> Option<AppliedRules> {
        let mut requests = self.lock();
        let is_it = |sent: &Sent| sent.method == method && sent.path == path;
        let place = requests.iter().position(is_it)?;
        requests.drain(..=place).next_back()?.rules
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than a connection has streams that are sent and not yet observed.
const MAX_REQUESTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RuleName;

    fn rules(name: &str) -> Option<AppliedRules> {
        Some(AppliedRules {
            names: vec![RuleName::parse(name).unwrap()],
            asked_model: None,
        })
    }

    #[test]
    fn each_request_has_its_own_and_those_never_sent_are_passed_over() {
        let changes = Changes::default();
        changes.add("POST", "/given-up", rules("a"));
        changes.add("POST", "/v1/messages", None);
        changes.add("POST", "/v1/messages", rules("b"));
        changes.add("POST", "/later", rules("c"));
        assert_eq!(changes.take("POST", "/v1/messages"), None);
        assert_eq!(changes.take("POST", "/v1/messages"), rules("b"));
        assert_eq!(changes.take("POST", "/v1/messages"), None);
        assert_eq!(changes.take("GET", "/later"), None);
        assert_eq!(changes.take("POST", "/later"), rules("c"));
        for number in 0..=MAX_REQUESTS {
            changes.add("POST", &number.to_string(), rules("d"));
        }
        assert_eq!(changes.lock().len(), MAX_REQUESTS);
    }
}
