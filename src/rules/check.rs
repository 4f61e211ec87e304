//! What is wrong with rules although each key is right: a rule that cannot match, two that
//! contradict each other, a model whose price is not known.

use std::sync::Arc;

use super::action::Action;
use super::conditions::Conditions;
use super::json::Pointer;
use super::read::Flaw;
use super::{Rule, Rules};
use crate::dialect::may_answer;
use crate::record::{Host, HostPattern, Model};

/// The flaws of these rules, in their order.
pub(super) fn check(rules: &[Rule]) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let earlier = rules.get(..index).unwrap_or_default();
        flaws.extend(alone(rule));
        flaws.extend(earlier.iter().filter_map(|earlier| between(earlier, rule)));
    }
    flaws
}

/// The rules that put a model in place whose price is not known, so that the cost of their calls
/// would not be known either. `is_priced` says of which models it is.
pub fn unknown_models(rules: &Rules, is_priced: impl Fn(&Model) -> bool) -> Vec<Flaw> {
    let of = |rule: &Rule| {
        let model = rule.actions.iter().find_map(Action::model);
        let model = model.filter(|model| !is_priced(model))?;
        let message = format!(
            "no price is known for {model}, so that its calls would have no cost: correct the name, or add a [[price]] to the table of pricing.file"
        );
        Some(rule.flaw(Some("model"), message))
    };
    rules.rules.iter().filter_map(of).collect()
}

/// The rules that name a host which none of these patterns intercepts, so that they cannot match.
pub fn foreign_hosts(rules: &Rules, intercepted: &[HostPattern]) -> Vec<Flaw> {
    let is_reached = |named: &HostPattern| {
        intercepted.iter().any(|pattern| {
            pattern == named
                || exact(named).is_some_and(|host| pattern.matches(&host))
                || exact(pattern).is_some_and(|host| named.matches(&host))
        })
    };
    let of = |rule: &Rule| {
        let hosts = &rule.conditions.hosts;
        let foreign = hosts.iter().find(|named| !is_reached(named))?;
        let message = format!(
            "{foreign} is not intercepted, so that the rule cannot match there: correct the name, or add it to intercept.hosts"
        );
        Some(rule.flaw(Some("match.host"), message))
    };
    rules.rules.iter().filter_map(of).collect()
}

impl Rule {
    fn flaw(&self, key: Option<&str>, message: String) -> Flaw {
        Flaw {
            path: Arc::clone(&self.path),
            line: self.line,
            key: key.map(str::to_owned),
            message: format!("rule {}: {message}", self.name),
        }
    }
}

/// What is wrong with a rule by itself.
fn alone(rule: &Rule) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if rule.denial().is_some() && rule.actions.len() > 1 {
        let message = "it refuses requests and changes them: keep deny alone, or leave it out";
        flaws.push(rule.flaw(Some("deny"), message.to_owned()));
    }
    if rule.is_dry_run && !rule.conditions.fields.is_empty() {
        let message = "a dry run sees no header fields, so that it cannot match: leave out match.header or dry_run";
        flaws.push(rule.flaw(Some("match.header"), message.to_owned()));
    }
    if !can_match(&rule.conditions) {
        let message = "it cannot match: none of the hosts is one of such a provider; correct match.host or match.provider";
        flaws.push(rule.flaw(Some("match.provider"), message.to_owned()));
    }
    let twice = |(index, action): (usize, &Action)| {
        let earlier = rule.actions.get(..index).unwrap_or_default();
        earlier.iter().find_map(|earlier| conflict(earlier, action))
    };
    if let Some(what) = rule.actions.iter().enumerate().find_map(twice) {
        let message = format!("it changes {what} twice: keep one of the two");
        flaws.push(rule.flaw(None, message));
    }
    flaws
}

/// What is wrong with two rules together.
fn between(earlier: &Rule, later: &Rule) -> Option<Flaw> {
    let first = format!(
        "{} ({}:{})",
        earlier.name,
        earlier.path.display(),
        earlier.line
    );
    if earlier.name == later.name {
        let message =
            format!("there is another rule of this name, {first}: give one of them another name");
        return Some(later.flaw(Some("name"), message));
    }
    // A dry run is in nobody's way.
    if earlier.is_dry_run || !earlier.conditions.cover(&later.conditions) {
        return None;
    }
    if !earlier.goes_on {
        let message = format!(
            "it cannot match: {first} matches all that it matches and ends the search; put it before that one, or write continue = true there"
        );
        return Some(later.flaw(None, message));
    }
    let pairs = earlier
        .actions
        .iter()
        .flat_map(|first| later.actions.iter().map(move |then| (first, then)));
    let what = pairs
        .into_iter()
        .find_map(|(first, then)| conflict(first, then))?;
    let message = format!(
        "it changes {what}, which {first} has changed already for all of these requests: leave it to one of the two, or narrow what {} matches",
        earlier.name
    );
    Some(later.flaw(None, message))
}

/// What both actions write, so that one of them is in vain. An equal action does no harm.
fn conflict(first: &Action, then: &Action) -> Option<String> {
    let overlap =
        |a: &Pointer, b: &Pointer| (a.contains(b) || b.contains(a)).then(|| format!("{b}"));
    match (first, then) {
        _ if first == then => None,
        (Action::MaxOutputTokens(_), Action::MaxOutputTokens(_)) => {
            Some("the limit of output tokens".to_owned())
        }
        (Action::MaxThinkingTokens(_), Action::MaxThinkingTokens(_)) => {
            Some("the budget for thinking".to_owned())
        }
        (Action::Model(_), Action::Model(_)) => Some("the model".to_owned()),
        (
            Action::RemoveField(a) | Action::SetField(a, _),
            Action::RemoveField(b) | Action::SetField(b, _),
        ) => (a == b).then(|| format!("the header field {a}")),
        // One may add to what the other has written.
        (Action::Remove(a), Action::Remove(b) | Action::Replace(b, _) | Action::Set(b, _))
        | (
            Action::Replace(a, _) | Action::Set(a, _),
            Action::Remove(b) | Action::Replace(b, _) | Action::Set(b, _),
        ) => overlap(a, b),
        _ => None,
    }
}

/// Whether one of the hosts may be one of the providers'.
fn can_match(conditions: &Conditions) -> bool {
    let Conditions {
        hosts, providers, ..
    } = conditions;
    hosts.is_empty()
        || providers.is_empty()
        || hosts.iter().any(|host| match exact(host) {
            Some(host) => providers
                .iter()
                .any(|provider| may_answer(&host, *provider)),
            None => true,
        })
}

/// The host, if the pattern is a whole name.
fn exact(pattern: &HostPattern) -> Option<Host> {
    let text = pattern.to_string();
    Host::parse(&text).ok().filter(|_| pattern.is_exact())
}
