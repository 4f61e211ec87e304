//! Tests of rules on whole requests.

mod decisions;
mod golden;
mod matching;
mod mistakes;
mod untouched;

use std::path::PathBuf;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Decision, Flaw, Outcome, Plan, RequestHead, Rules, Source, TooLarge, read};
use crate::record::{Caller, Host, RuleResult};

/// A request of an agent.
struct Request {
    host: &'static str,
    target: &'static str,
    headers: HeaderMap,
    body: String,
    caller: Caller,
}

impl Request {
    fn new(host: &'static str, target: &'static str, body: &str) -> Self {
        Self {
            host,
            target,
            headers: HeaderMap::new(),
            body: body.to_owned(),
            caller: Caller::default(),
        }
    }

    /// For one message of the form that most tests use.
    fn message(body: &str) -> Self {
        Self::new("api.anthropic.com", "/v1/messages", body)
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self
    }

    fn plan<'a>(&self, rules: &'a Rules) -> Plan<'a> {
        rules.plan(&RequestHead {
            host: &Host::parse(self.host).expect("a host"),
            method: &Method::POST,
            target: &self.target.parse::<PathAndQuery>().expect("a target"),
            headers: &self.headers,
            caller: &self.caller,
        })
    }

    /// What the rules make of it.
    fn under(&self, rules: &str) -> Changed {
        let rules = rules_of(rules);
        let mut headers = self.headers.clone();
        let outcome = match self.plan(&rules) {
            Plan::Pass => Outcome {
                decision: Decision::Unchanged,
                uses: Vec::new(),
            },
            Plan::Head(plan) => plan.apply(&mut headers),
            Plan::Body { limit, with } if self.body.len() > limit => {
                with.too_large(&mut headers, TooLarge::Limit)
            }
            Plan::Body { with, .. } => with.apply(&mut headers, self.body.as_bytes()),
        };
        Changed { headers, outcome }
    }
}

/// What became of a request.
struct Changed {
    headers: HeaderMap,
    outcome: Outcome,
}

impl Changed {
    /// The body that is sent, where it is another one.
    fn body(&self) -> Option<&str> {
        match &self.outcome.decision {
            Decision::Changed {
                body: Some(body), ..
            } => Some(std::str::from_utf8(body).expect("UTF-8")),
            _ => None,
        }
    }

    fn target(&self) -> Option<String> {
        match &self.outcome.decision {
            Decision::Changed { target, .. } => target.as_ref().map(ToString::to_string),
            _ => None,
        }
    }

    fn denial(&self) -> Option<(u16, &str)> {
        match &self.outcome.decision {
            Decision::Denied(response) => {
                let body = std::str::from_utf8(response.body()).expect("UTF-8");
                Some((response.status().as_u16(), body))
            }
            _ => None,
        }
    }

    fn is_unchanged(&self) -> bool {
        matches!(self.outcome.decision, Decision::Unchanged)
    }

    /// Each rule that matched, with what it did.
    fn uses(&self) -> Vec<(&str, RuleResult)> {
        let uses = self.outcome.uses.iter();
        uses.map(|used| (used.rule.as_str(), used.result)).collect()
    }
}

fn try_read(text: &str) -> Result<Rules, Vec<Flaw>> {
    read(&[Source {
        path: PathBuf::from("rules.toml"),
        text: text.to_owned(),
        is_configuration: false,
    }])
}

fn rules_of(text: &str) -> Rules {
    try_read(text).unwrap_or_else(|flaws| {
        let flaws: Vec<_> = flaws.iter().map(ToString::to_string).collect();
        panic!("{text}\n{}", flaws.join("\n"))
    })
}

/// One rule of this name with these keys.
fn rule(name: &str, keys: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\n{keys}\n")
}
