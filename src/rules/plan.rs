//! What is to be done with one request: by its head first, then by its body.
//!
//! The rules that the head does not rule out are carried along. If all that they ask of a request
//! and do to it is in its head, the body is never looked at.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Response};

use super::action::Failure;
use super::coding::{self, Unreadable};
use super::conditions::Answer;
use super::draft::Draft;
use super::fields::is_signed;
use super::{Fallback, RequestHead, Rule};
use crate::dialect::{AskedCall, RefusalReason, RequestRefusal};
use crate::record::{AppliedRules, RuleName, RuleResult, RuleUse};

/// What is to be done with a request.
#[derive(Debug)]
pub enum Plan<'a> {
    /// It goes as it is.
    Pass,
    /// Its head is enough: [`HeadPlan::apply`] comes before the head is sent, the body goes as it
    /// comes.
    Head(HeadPlan<'a>),
    /// Its body is needed.
    Body {
        /// So many bytes of it at most, as they come, which may be compressed. A larger body is not
        /// read, nor one for which there is no memory: [`BodyPlan::too_large`] says what happens
        /// instead.
        limit: usize,
        /// What is done with it.
        with: BodyPlan<'a>,
    },
}

/// What is done with a request whose body need not be known.
#[derive(Debug)]
pub struct HeadPlan<'a>(Request<'a>);

/// What is done with a request whose body is known.
#[derive(Debug)]
pub struct BodyPlan<'a>(Request<'a>);

/// Why a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    /// It is larger than the rules for it allow.
    Limit,
    /// Other bodies take the memory that there is for all of them.
    Memory,
}

/// What became of a request.
#[derive(Debug)]
pub struct Outcome {
    /// How it goes on.
    pub decision: Decision,
    /// The rules that matched it, with what each did: one
    /// [`Fact::RuleUsed`](crate::record::Fact::RuleUsed) each.
    pub uses: Vec<RuleUse>,
}

/// How a request goes on.
#[derive(Debug)]
pub enum Decision {
    /// As it came, to the byte.
    Unchanged,
    /// The header map has the fields to be sent, with `content-length` and `content-encoding` as the
    /// new body needs them.
    Changed {
        /// Path and query, where they are others than those of the agent.
        target: Option<PathAndQuery>,
        /// The body; `None` where it goes as it came.
        body: Option<Bytes>,
        /// The rules that changed it, for the record of the call.
        rules: AppliedRules,
    },
    /// Not at all: this is the answer.
    Denied(Response<Bytes>),
}

/// A request, and the rules that may match it.
#[derive(Debug)]
struct Request<'a> {
    rules: Vec<&'a Rule>,
    call: AskedCall,
    target: PathAndQuery,
    is_signed: bool,
    /// The memory that there is for the text of the body, in bytes.
    memory: usize,
}

/// The body, as far as it can be read.
enum Body {
    /// Its text.
    Text(String),
    /// It is not read, because it is too large.
    TooLarge(TooLarge),
    /// It has no text.
    Unreadable(Failure),
}

/// What keeps a rule from being applied to a request.
struct Obstacle {
    result: RuleResult,
    /// Whether the rule says that the request is refused then.
    on_it: Fallback,
    reason: String,
}

impl<'a> Plan<'a> {
    pub(super) fn of(
        rules: impl Iterator<Item = &'a Rule>,
        call: AskedCall,
        request: &RequestHead<'_>,
    ) -> Self {
        let mut candidates = Vec::new();
        let mut needs_body = false;
        for rule in rules {
            let answer = rule.conditions.match_head(&call, request);
            if answer == Answer::No {
                continue;
            }
            needs_body |= answer == Answer::Unknown || rule.needs_body(&call);
            candidates.push(rule);
            if answer == Answer::Yes && !rule.goes_on {
                break;
            }
        }
        let Some(limit) = candidates.iter().map(|rule| rule.max_body).max() else {
            return Self::Pass;
        };
        let request = Request {
            rules: candidates,
            is_signed: is_signed(request.headers, request.target),
            target: request.target.clone(),
            call,
            memory: usize::MAX,
        };
        // What is asked for over a socket is in no body.
        if needs_body && !request.call.is_socket() {
            Self::Body {
                limit,
                with: BodyPlan(request),
            }
        } else {
            Self::Head(HeadPlan(request))
        }
    }
}

impl HeadPlan<'_> {
    /// Applies the rules to the head. A rule that needs more than the head of a request that opens a
    /// WebSocket fails.
    pub fn apply(self, headers: &mut HeaderMap) -> Outcome {
        self.0.apply(headers, Body::Unreadable(Failure::Socket))
    }
}

impl BodyPlan<'_> {
    /// The same where there is memory for a text of so many bytes at most.
    #[must_use]
    pub fn within(self, memory: usize) -> Self {
        Self(Request { memory, ..self.0 })
    }

    /// Applies the rules to head and body.
    pub fn apply(self, headers: &mut HeaderMap, body: &[u8]) -> Outcome {
        let limit = self.0.rules.iter().map(|rule| rule.max_body).max();
        let limit = limit.unwrap_or_default();
        let body = match coding::decode(headers, body, limit.min(self.0.memory)) {
            Ok(text) => Body::Text(text),
            Err(Unreadable::Coded) => Body::Unreadable(Failure::Unreadable),
            Err(Unreadable::TooLarge) if self.0.memory < limit => Body::TooLarge(TooLarge::Memory),
            Err(Unreadable::TooLarge) => Body::TooLarge(TooLarge::Limit),
        };
        self.0.apply(headers, body)
    }

    /// The body is not read, for this reason: only rules that need no more than the head are
    /// applied.
    pub fn too_large(self, headers: &mut HeaderMap, why: TooLarge) -> Outcome {
        self.0.apply(headers, Body::TooLarge(why))
    }
}

impl Request<'_> {
    fn apply(self, headers: &mut HeaderMap, body: Body) -> Outcome {
        let asked = match &body {
            Body::Text(text) => self.call.read(text.as_bytes()),
            Body::TooLarge(_) | Body::Unreadable(_) => None,
        };
        let original = Draft::new(
            &self.call,
            headers.clone(),
            self.target.clone(),
            match &body {
                Body::Text(text) => text.clone(),
                Body::TooLarge(_) | Body::Unreadable(_) => String::new(),
            },
        );
        let mut draft = original.clone();
        let mut uses = Vec::new();
        let mut names = Vec::new();
        let mut note = |rule: &Rule, result, reason| {
            uses.push(RuleUse {
                rule: rule.name.clone(),
                result,
                reason,
            });
        };
        for rule in &self.rules {
            let answer = rule.conditions.match_asked(&self.call, asked.as_ref());
            if answer == Answer::No {
                continue;
            }
            match self.attempt(rule, answer, &draft, &body) {
                Ok(Attempt::Denied(message)) => {
                    note(rule, RuleResult::Denied, None);
                    let decision = self.deny(rule, RefusalReason::Denied, message);
                    return Outcome { decision, uses };
                }
                Ok(Attempt::Changed(changed)) => {
                    draft = *changed;
                    names.push(rule.name.clone());
                    note(rule, RuleResult::Applied, None);
                }
                Ok(Attempt::Unchanged) => note(rule, RuleResult::Unchanged, None),
                Err(obstacle) => {
                    note(rule, obstacle.result, Some(obstacle.reason.clone()));
                    if obstacle.on_it == Fallback::Deny {
                        let reason = match obstacle.result {
                            RuleResult::TooLarge => RefusalReason::TooLarge,
                            _ => RefusalReason::Denied,
                        };
                        let message = format!("it cannot be applied: {}", obstacle.reason);
                        let decision = self.deny(rule, reason, &message);
                        return Outcome { decision, uses };
                    }
                }
            }
            if answer == Answer::Yes && !rule.goes_on {
                break;
            }
        }
        let decision = decide(draft, &original, headers, names);
        Outcome { decision, uses }
    }

    fn attempt<'d, 'r>(
        &self,
        rule: &'r Rule,
        answer: Answer,
        draft: &Draft<'d>,
        body: &Body,
    ) -> Result<Attempt<'d, 'r>, Obstacle> {
        let denial = rule.denial();
        if self.is_signed && denial.is_none() {
            return Err(Obstacle {
                result: RuleResult::Signed,
                on_it: Fallback::Pass,
                reason: SIGNED.to_owned(),
            });
        }
        if answer == Answer::Unknown || rule.needs_body(&self.call) {
            rule.may_read(body)?;
        }
        if let Some(message) = denial {
            return Ok(Attempt::Denied(message));
        }
        match rule.applied_to(draft) {
            Ok(changed) if changed.differs_from(draft) => Ok(Attempt::Changed(Box::new(changed))),
            Ok(_) => Ok(Attempt::Unchanged),
            Err(failure) => Err(rule.failed(&failure)),
        }
    }

    fn deny(&self, rule: &Rule, reason: RefusalReason, message: &str) -> Decision {
        let message = format!("refused by the rule {} of Gravimeter: {message}", rule.name);
        let refusal = RequestRefusal {
            reason,
            message: &message,
        };
        Decision::Denied((self.call.form().refuse)(&refusal))
    }
}

/// What a rule does to a request.
enum Attempt<'d, 'r> {
    Changed(Box<Draft<'d>>),
    /// It refuses the request, with this message.
    Denied(&'r str),
    Unchanged,
}

impl Rule {
    /// Whether the body can be read for it.
    fn may_read(&self, body: &Body) -> Result<(), Obstacle> {
        match body {
            Body::Text(text) if text.len() <= self.max_body => Ok(()),
            Body::Text(_) => Err(self.too_large(TooLarge::Limit)),
            Body::TooLarge(why) => Err(self.too_large(*why)),
            Body::Unreadable(failure) => Err(self.failed(failure)),
        }
    }

    fn too_large(&self, why: TooLarge) -> Obstacle {
        let reason = match why {
            TooLarge::Limit => format!(
                "the body has more than {} bytes (max_body_mib)",
                self.max_body
            ),
            TooLarge::Memory => NO_MEMORY.to_owned(),
        };
        Obstacle {
            result: RuleResult::TooLarge,
            on_it: self.on_too_large,
            reason,
        }
    }

    fn failed(&self, failure: &Failure) -> Obstacle {
        Obstacle {
            result: RuleResult::Failed,
            on_it: self.on_error,
            reason: failure.to_string(),
        }
    }
}

/// Puts the changed fields into `headers`, if there are any.
fn decide(
    draft: Draft<'_>,
    original: &Draft<'_>,
    headers: &mut HeaderMap,
    names: Vec<RuleName>,
) -> Decision {
    if names.is_empty() {
        return Decision::Unchanged;
    }
    let is_new_text = draft.text != original.text;
    *headers = draft.headers;
    Decision::Changed {
        target: (draft.target != original.target).then_some(draft.target),
        body: is_new_text.then(|| coding::encode(headers, draft.text)),
        rules: AppliedRules {
            names,
            asked_model: draft.asked_model,
        },
    }
}

/// Why a body is not read that alone would be small enough.
const NO_MEMORY: &str = "the bodies of other requests take all the memory that there is for rules (rules.max_memory_mib)";

/// Why a signed request stays as it is.
const SIGNED: &str = "the request is signed: its provider would refuse it changed";
