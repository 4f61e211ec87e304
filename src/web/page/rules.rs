//! The rules that change requests: how many hold, what each has done, and whether an edit of them has
//! mistakes.

use std::fmt::{self, Write as _};

use super::View;
use super::html::{escaped, grouped};
use crate::record::RuleResult;

/// Nothing where there are no rules.
pub(super) fn list(html: &mut String, view: &View<'_>) -> fmt::Result {
    let rules = &view.live.rules;
    if rules.active == 0 && !rules.is_broken && rules.uses.is_empty() {
        return Ok(());
    }
    write!(
        html,
        "<h2>Rules</h2><p class=\"note\">{} change requests.</p><ul class=\"events\">",
        match rules.active {
            1 => "One rule may".to_owned(),
            active => format!("{active} rules may"),
        }
    )?;
    if rules.is_broken {
        html.push_str(
            "<li><span class=\"dot bad\">The last edit has mistakes</span> the rules before it hold; \
             the log and <code>gravimeter rules check</code> name them</li>",
        );
    }
    for ((rule, result), count) in &rules.uses {
        let class = match result {
            RuleResult::Failed | RuleResult::Signed | RuleResult::TooLarge => "bad",
            RuleResult::Applied
            | RuleResult::Denied
            | RuleResult::DryRun
            | RuleResult::Unchanged => "good",
        };
        let result = result.to_string().replace('_', " ");
        write!(
            html,
            "<li><span class=\"dot {class}\">{}</span> {result} {}</li>",
            escaped(rule.as_str()),
            grouped(*count)
        )?;
    }
    html.push_str("</ul>");
    Ok(())
}
