//! The metrics of what programs spend in repositories; exported only where that is asked for.
//!
//! Names of programs and repositories come from the machine and from requests, so that only so many
//! pairs of them become labels: all others are counted together.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::costs::Costs;
use super::labels::{ByRepository, ByRepositoryAndKind};
use super::series::{add, declare};
use crate::record::{Call, Caller, CallerTotals, ProgramName, RepositoryName, Totals};

/// Counters of calls by program and repository.
#[derive(Debug)]
pub(super) struct RepositoryMetrics {
    calls: Family<ByRepository, Counter>,
    tokens: Family<ByRepositoryAndKind, Counter>,
    cost: Family<ByRepository, Costs>,
    /// The pairs of program and repository that have labels of their own: locked to look one up or
    /// to add it.
    known: Mutex<BTreeSet<(String, String)>>,
}

impl RepositoryMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        Self {
            calls: declare(
                registry,
                "gravimeter_repository_calls_total",
                "LLM calls by the program that made them and the repository it works in",
                Family::default(),
            ),
            tokens: declare(
                registry,
                "gravimeter_repository_tokens_total",
                "Tokens by the program that used them and the repository it works in",
                Family::default(),
            ),
            cost: declare(
                registry,
                "gravimeter_repository_cost_usd_total",
                "What LLM calls cost, by the program that made them and the repository it works in",
                Family::default(),
            ),
            known: Mutex::default(),
        }
    }

    /// Resumes from what earlier processes counted.
    pub(super) fn resume(&self, totals: &Totals) {
        totals.callers.iter().for_each(|group| self.add(group));
    }

    pub(super) fn ended(&self, call: &Call) {
        let Caller {
            program,
            repository,
            ..
        } = &call.caller;
        if program.is_none() && repository.is_none() {
            return;
        }
        self.add(&CallerTotals {
            program: program.clone(),
            repository: repository.clone(),
            calls: 1,
            tokens: call.usage.counts(),
            cost: call.cost.unwrap_or_default(),
        });
    }

    fn add(&self, group: &CallerTotals) {
        let program = group.program.as_ref().map_or(UNKNOWN, ProgramName::as_str);
        let repository = group
            .repository
            .as_ref()
            .map_or(UNKNOWN, RepositoryName::as_str);
        let (program, repository) = self.labels(program, repository);
        let labels = ByRepository {
            program: program.clone(),
            repository: repository.clone(),
        };
        add(&self.calls.get_or_create_owned(&labels), group.calls);
        self.cost.get_or_create_owned(&labels).add(group.cost);
        for (kind, tokens) in group.tokens.by_public_name() {
            let labels = ByRepositoryAndKind {
                program: program.clone(),
                repository: repository.clone(),
                kind,
            };
            add(&self.tokens.get_or_create_owned(&labels), tokens);
        }
    }

    /// The pair itself while there is room for it.
    fn labels(&self, program: &str, repository: &str) -> (String, String) {
        let pair = (program.to_owned(), repository.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_PAIRS {
            known.insert(pair.clone());
        }
        if known.contains(&pair) {
            pair
        } else {
            (OTHER.to_owned(), OTHER.to_owned())
        }
    }
}

/// Pairs with labels of their own: a person has some dozen repositories and a handful of agents.
const MAX_PAIRS: usize = 200;

const UNKNOWN: &str = "unknown";
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{TokenKind, sample_call};

    fn call(program: &str, repository: Option<&str>) -> Call {
        let mut call = sample_call();
        call.usage = call.usage.with(TokenKind::Input, 3);
        call.caller.program = ProgramName::new(program);
        call.caller.repository = repository.and_then(RepositoryName::new);
        call
    }

    #[test]
    fn labels_are_bounded_and_nothing_is_lost() {
        let metrics = RepositoryMetrics::declare(&mut Registry::default());
        metrics.ended(&sample_call());
        for number in 0..MAX_PAIRS + 10 {
            metrics.ended(&call("claude", Some(&format!("r{number}"))));
        }
        metrics.ended(&call("claude", Some("r0")));
        let count = |program: &str, repository: &str| {
            let labels = ByRepository {
                program: program.to_owned(),
                repository: repository.to_owned(),
            };
            metrics.calls.get_or_create_owned(&labels).get()
        };
        assert_eq!(count("claude", "r0"), 2);
        assert_eq!(count(OTHER, OTHER), 10);
        assert_eq!(count(UNKNOWN, UNKNOWN), 0, "nobody is known to have called");
    }
}
