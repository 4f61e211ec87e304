//! The stage that counts what dry runs would have changed: a finished call passes as it came,
//! followed by the rules that match it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::record::{Fact, Record, RuleResult, RuleUse};
use crate::rules::Rules;

/// Tries the dry runs on every call.
pub(in crate::app) struct DryRuns {
    rules: watch::Receiver<Arc<Rules>>,
    next: Arc<dyn Record>,
}

impl DryRuns {
    /// Hands facts on to `next`.
    pub(in crate::app) fn new(rules: watch::Receiver<Arc<Rules>>, next: Arc<dyn Record>) -> Self {
        Self { rules, next }
    }

    /// Those that match the call.
    fn uses(&self, fact: &Fact) -> Vec<RuleUse> {
        let Fact::Call(call) = fact else {
            return Vec::new();
        };
        let rules = Arc::clone(&self.rules.borrow());
        let uses = rules.would_use(call).map(|rule| RuleUse {
            rule: rule.clone(),
            result: RuleResult::DryRun,
            reason: None,
        });
        uses.collect()
    }
}

impl Record for DryRuns {
    fn record(&self, fact: Fact) {
        let uses = self.uses(&fact);
        self.next.record(fact);
        for used in uses {
            self.next.record(Fact::RuleUsed(used));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;
    use crate::record::sample_call;
    use crate::rules::{Source, read};

    #[derive(Default)]
    struct Kept(Mutex<Vec<Fact>>);

    impl Record for Kept {
        fn record(&self, fact: Fact) {
            self.0.lock().unwrap().push(fact);
        }
    }

    #[test]
    fn a_call_is_followed_by_the_dry_runs_that_match_it() {
        let text = "[[rule]]\nname = \"a\"\ndry_run = true\ndeny = \"no\"\n";
        let source = Source {
            path: PathBuf::from("rules.toml"),
            text: text.to_owned(),
            is_configuration: false,
        };
        let (_sender, rules) = watch::channel(Arc::new(read(&[source]).unwrap()));
        let kept = Arc::<Kept>::default();
        let stage = DryRuns::new(rules, Arc::clone(&kept) as _);
        stage.record(Fact::AcceptFailed);
        stage.record(Fact::Call(Box::new(sample_call())));
        let facts = kept.0.lock().unwrap();
        assert!(matches!(facts[..2], [Fact::AcceptFailed, Fact::Call(_)]));
        let Fact::RuleUsed(used) = &facts[2] else {
            panic!("a rule")
        };
        assert_eq!((used.rule.as_str(), used.result), ("a", RuleResult::DryRun));
        assert_eq!(facts.len(), 3);
    }
}
