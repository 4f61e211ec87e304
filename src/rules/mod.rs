//! Rules that change requests on their way to a provider, where a person has written one.
//!
//! A rule says which calls it is for (host, provider, operation, model, caller, header fields) and
//! what it does to them: edit the JSON of the body, add to the system prompt, put another model or
//! lower limits in, set or remove header fields, or refuse the request. Without a rule nothing is
//! changed.
//!
//! A request is looked at in two steps. [`Rules::plan`] decides by its head alone whether a rule can
//! match; only then is the body buffered, and [`BodyPlan::apply`] decides on the rest. Every rule
//! is applied as a whole or not at all, and an edit replaces only the bytes of the values that it
//! names: all else of a body stays as the agent has written it, down to white space, the order of
//! members and the text of numbers.
//!
//! What the requests of providers look like is said by [`crate::dialect::RequestForm`]; no provider
//! is known here. Everything is free of I/O, clocks and logs.

mod action;
mod check;
mod coding;
mod conditions;
mod draft;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod glob;
mod json;
mod plan;
mod prompt;
mod read;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use crate::dialect::AskedCall;
use crate::record::{Call, Caller, Host, RuleName};

use action::Action;
use conditions::Conditions;

pub use check::{foreign_hosts, unknown_models};
pub(crate) use coding::decode;
pub use plan::{BodyPlan, Decision, HeadPlan, Outcome, Plan, TooLarge};
pub use read::{Flaw, KEY, Source, read};

/// Rules that were checked, in the order in which they are tried. The default has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// The head of a request, as the agent has sent it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The host that the agent asks for.
    pub host: &'a Host,
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a PathAndQuery,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// Who asks, as far as it is known by now.
    pub caller: &'a Caller,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    name: RuleName,
    /// In which file it stands.
    path: Arc<Path>,
    /// On which line, from 1.
    line: usize,
    /// Which calls it is for.
    conditions: Conditions,
    /// What it does to them, in this order.
    actions: Vec<Action>,
    /// Later rules are tried, too.
    goes_on: bool,
    /// It is only counted.
    is_dry_run: bool,
    /// The largest body that is read for it, in bytes, before and after decompression.
    max_body: usize,
    /// What happens to a request whose body is larger.
    on_too_large: Fallback,
    /// What happens to a request that it cannot be applied to.
    on_error: Fallback,
}

/// What happens to a request that a rule matches and cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// It goes as it was.
    Pass,
    /// It is refused.
    Deny,
}

impl Rules {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// The names of all rules, in their order.
    pub fn names(&self) -> impl Iterator<Item = &RuleName> {
        self.rules.iter().map(|rule| &rule.name)
    }

    /// Whether a request to this host may be changed. Rules that are only counted do not matter
    /// here.
    #[must_use]
    pub fn may_match(&self, host: &Host) -> bool {
        self.live().any(|rule| rule.conditions.may_be_at(host))
    }

    /// What is to be done with a request, by its head.
    #[must_use]
    pub fn plan<'a>(&'a self, request: &RequestHead<'_>) -> Plan<'a> {
        let call = AskedCall::of(
            request.host,
            request.method,
            request.target,
            request.headers,
        );
        match call {
            Some(call) => Plan::of(self.live(), call, request),
            None => Plan::Pass,
        }
    }

    /// The dry runs that would have changed or refused this call if no rule was a dry run, judged by
    /// what is known of a call that was observed: everything but its header fields, which no rule
    /// that is a dry run may ask for.
    pub fn would_use<'a>(&'a self, call: &'a Call) -> impl Iterator<Item = &'a RuleName> {
        let matching = |rule: &&Rule| rule.conditions.match_call(call);
        let mut is_over = false;
        self.rules
            .iter()
            .filter(matching)
            .take_while(move |rule| !std::mem::replace(&mut is_over, !rule.goes_on))
            .filter(|rule| rule.is_dry_run)
            .map(|rule| &rule.name)
    }

    /// The same rules, those that are dry runs among them as if they were none.
    #[must_use]
    pub fn without_dry_runs(mut self) -> Self {
        self.rules
            .iter_mut()
            .for_each(|rule| rule.is_dry_run = false);
        self
    }

    fn live(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| !rule.is_dry_run)
    }
}

/// The largest body that is read for a rule where it does not say otherwise, in bytes. Requests
/// with several images and a long conversation have some ten MiB; providers refuse more than 20 to
/// 100.
const DEFAULT_MAX_BODY: usize = 32 << 20;
