//! Logs, once for each rule and reason, that a rule which matches a request cannot be applied to it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tracing::warn;

use crate::record::{Fact, RuleUse, Sink};

/// Logs rules that cannot be applied.
#[derive(Debug, Default)]
pub(in crate::app) struct RuleLog {
    /// What has been logged: rules with reasons. Locked for as long as it takes to look one up.
    logged: Mutex<BTreeSet<(String, String)>>,
}

impl RuleLog {
    /// The reason, if it is the first of its kind, and there is room to remember it.
    fn news<'a>(&self, used: &'a RuleUse) -> Option<&'a str> {
        let reason = used.reason.as_deref()?;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new =
            logged.len() < MAX_LOGGED && logged.insert((used.rule.to_string(), reason.to_owned()));
        is_new.then_some(reason)
    }
}

impl Sink for RuleLog {
    fn receive(&self, fact: &Fact) {
        if let Fact::RuleUsed(used) = fact
            && let Some(reason) = self.news(used)
        {
            warn!(
                rule = %used.rule,
                result = %used.result,
                reason,
                "a rule matches a request and cannot be applied to it; this is logged once for each reason"
            );
        }
    }
}

/// Most reasons that are logged and remembered.
const MAX_LOGGED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RuleName, RuleResult};

    #[test]
    fn each_reason_is_logged_once_and_their_number_is_bounded() {
        let log = RuleLog::default();
        let used = |rule: &str, reason: Option<String>| RuleUse {
            rule: RuleName::parse(rule).unwrap(),
            result: RuleResult::Failed,
            reason,
        };
        let is_new = |used: &RuleUse| log.news(used).is_some();
        assert!(is_new(&used("a", Some("x".to_owned()))));
        assert!(!is_new(&used("a", Some("x".to_owned()))));
        assert!(is_new(&used("b", Some("x".to_owned()))));
        assert!(!is_new(&used("a", None)));
        let news = (0..1000).filter(|number| is_new(&used("c", Some(number.to_string()))));
        assert_eq!(news.count(), MAX_LOGGED - 2);
    }
}
