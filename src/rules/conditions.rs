//! Which requests a rule is for.
//!
//! What was asked for is judged as the agent sent it, whatever earlier rules have changed since.

use http::HeaderName;

use super::RequestHead;
use super::glob::Glob;
use crate::dialect::{Asked, AskedCall, may_answer};
use crate::record::{
    Call, Caller, Host, HostPattern, Model, Operation, ProgramName, Provider, RepositoryName,
    SessionId,
};

/// What a request must be for a rule to match: all that is named. An empty list names nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conditions {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) providers: Vec<Provider>,
    pub(super) operations: Vec<Operation>,
    pub(super) models: Vec<Glob>,
    pub(super) programs: Vec<Glob>,
    pub(super) repositories: Vec<Glob>,
    pub(super) sessions: Vec<Glob>,
    pub(super) subagent: Option<Subagent>,
    /// Header fields that the request must have, whatever they say.
    pub(super) fields: Vec<HeaderName>,
}

/// Which agent within a conversation asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subagent {
    /// Any subagent.
    Any,
    /// A subagent of one of these kinds.
    Kind(Vec<Glob>),
    /// The main agent.
    Main,
}

/// Whether a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    No,
    /// That depends on what is not known yet.
    Unknown,
    Yes,
}

/// What a request asks for, as far as it is known.
struct Known<'a> {
    provider: Provider,
    operation: Option<Operation>,
    model: Option<&'a Model>,
    /// Whether a subagent asks, and of which kind.
    subagent: Option<(bool, Option<&'a str>)>,
}

impl Conditions {
    /// Whether a request to this host may match.
    pub(super) fn may_be_at(&self, host: &Host) -> bool {
        let is_named = self.hosts.is_empty() || self.hosts.iter().any(|named| named.matches(host));
        let is_possible =
            self.providers.is_empty() || self.providers.iter().any(|of| may_answer(host, *of));
        is_named && is_possible
    }

    /// Judges by the head of a request.
    pub(super) fn match_head(&self, call: &AskedCall, head: &RequestHead<'_>) -> Answer {
        let has = |field: &HeaderName| head.headers.contains_key(field);
        if !self.may_be_at(head.host)
            || !self.is_caller(head.caller)
            || !self.fields.iter().all(has)
        {
            return Answer::No;
        }
        self.match_asked(call, None)
    }

    /// Judges by the body, too; what the head has shown is not judged again.
    pub(super) fn match_asked(&self, call: &AskedCall, asked: Option<&Asked>) -> Answer {
        self.match_known(&Known {
            provider: call.provider(),
            operation: asked.map(|asked| asked.operation).or(call.operation()),
            model: asked.map(|asked| &asked.model).or(call.model()),
            subagent: asked.map(|asked| {
                let kind = asked.subagent_kind.as_ref();
                (asked.is_subagent, kind.map(crate::record::Id::as_str))
            }),
        })
    }

    /// Judges a call that was observed. Its header fields are not known.
    pub(super) fn match_call(&self, call: &Call) -> bool {
        let asked_model = call
            .rules
            .as_ref()
            .and_then(|rules| rules.asked_model.as_ref());
        let kind = call.ids.subagent_kind.as_ref();
        let known = Known {
            provider: call.provider,
            operation: Some(call.operation),
            model: Some(asked_model.unwrap_or(&call.model)),
            subagent: Some((
                call.ids.subagent.is_some(),
                kind.map(crate::record::Id::as_str),
            )),
        };
        self.may_be_at(&call.host)
            && self.is_caller(&call.caller)
            && self.fields.is_empty()
            && self.match_known(&known) == Answer::Yes
    }

    fn is_caller(&self, caller: &Caller) -> bool {
        let one_of = |globs: &[Glob], name: Option<&str>| {
            globs.is_empty() || name.is_some_and(|name| any(globs, name))
        };
        one_of(
            &self.programs,
            caller.program.as_ref().map(ProgramName::as_str),
        ) && one_of(
            &self.repositories,
            caller.repository.as_ref().map(RepositoryName::as_str),
        ) && one_of(
            &self.sessions,
            caller.session.as_ref().map(SessionId::as_str),
        )
    }

    fn match_known(&self, known: &Known<'_>) -> Answer {
        let provider = self.providers.is_empty() || self.providers.contains(&known.provider);
        let operation = answer(self.operations.is_empty(), known.operation, |operation| {
            self.operations.contains(&operation)
        });
        let model = answer(self.models.is_empty(), known.model, |model| {
            any(&self.models, model.as_str())
        });
        let subagent = match &self.subagent {
            None => Answer::Yes,
            Some(wanted) => answer(false, known.subagent, |(is_one, kind)| match wanted {
                Subagent::Any => is_one,
                Subagent::Main => !is_one,
                Subagent::Kind(kinds) => is_one && kind.is_some_and(|kind| any(kinds, kind)),
            }),
        };
        let all = [
            if provider { Answer::Yes } else { Answer::No },
            operation,
            model,
            subagent,
        ];
        if all.contains(&Answer::No) {
            Answer::No
        } else if all.contains(&Answer::Unknown) {
            Answer::Unknown
        } else {
            Answer::Yes
        }
    }

    /// Whether every request that `other` matches is matched by this one, as far as their texts show
    /// it: `true` is certain.
    pub(super) fn cover(&self, other: &Self) -> bool {
        fn within<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
            let is_covered = |narrow: &T| wide.iter().any(|wide| covers(wide, narrow));
            wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(is_covered))
        }
        within(&self.hosts, &other.hosts, |wide, narrow| {
            wide == narrow || Host::parse(&narrow.to_string()).is_ok_and(|host| wide.matches(&host))
        }) && within(&self.providers, &other.providers, PartialEq::eq)
            && within(&self.operations, &other.operations, PartialEq::eq)
            && within(&self.models, &other.models, Glob::covers)
            && within(&self.programs, &other.programs, Glob::covers)
            && within(&self.repositories, &other.repositories, Glob::covers)
            && within(&self.sessions, &other.sessions, Glob::covers)
            && (self.subagent.is_none() || self.subagent == other.subagent)
            && self.fields.iter().all(|field| other.fields.contains(field))
    }
}

fn answer<T>(is_free: bool, known: Option<T>, matches: impl FnOnce(T) -> bool) -> Answer {
    match known {
        _ if is_free => Answer::Yes,
        None => Answer::Unknown,
        Some(known) => match matches(known) {
            true => Answer::Yes,
            false => Answer::No,
        },
    }
}

fn any(globs: &[Glob], name: &str) -> bool {
    globs.iter().any(|glob| glob.matches(name))
}
