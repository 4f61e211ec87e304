//! Groups of a report by the rules that changed requests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::usage::Usage;
use crate::ledger::file::rules::FoundRules;
use crate::ledger::memory::models::Names;
use crate::ledger::memory::sums::ByModel;
use crate::record::{DisplayName, Model, RuleName};

/// A group of a report by the rules that changed requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleGroup {
    /// Which rules, in the order in which they were applied; none is everything else.
    pub rules: Vec<RuleName>,
    /// The model that most tokens went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// What people call it, where the agent told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// The calls.
    #[serde(flatten)]
    pub usage: Usage,
}

impl RuleGroup {
    fn new(rules: &[RuleName], sums: &ByModel, names: &Names) -> Self {
        let main = sums.main();
        Self {
            rules: rules.to_vec(),
            model: main.map(|served| served.model.clone()),
            display_name: main.and_then(|served| names.of(served)).cloned(),
            usage: Usage::from(&sums.total()),
        }
    }
}

/// Groups by rules, and one of all other calls where there are any.
pub(super) fn by_rule(
    found: &[FoundRules],
    other: &ByModel,
    names: &Names,
) -> BTreeMap<String, RuleGroup> {
    let group = |found: &FoundRules| {
        let rules: Vec<_> = found.rules.iter().map(RuleName::as_str).collect();
        let key = match rules.as_slice() {
            [NONE] => format!("rule/{NONE}"),
            rules => rules.join("+"),
        };
        (key, RuleGroup::new(&found.rules, &found.sums, names))
    };
    let rest = (!other.0.is_empty()).then(|| (NONE.to_owned(), RuleGroup::new(&[], other, names)));
    found.iter().map(group).chain(rest).collect()
}

/// The key of calls that no rule is known to have changed.
const NONE: &str = "none";
