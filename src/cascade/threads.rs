//! Which trajectory, session and trace belongs to which conversation: what was said, never what was guessed.
//!
//! What the agent and its telemetry say enters, answers leave. Bounded: what was longest not asked for is forgotten first.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::record::{CallIds, CorrelationMethod, Id, JoinedIds};

/// The book of identifiers.
#[derive(Debug)]
pub struct Threads {
    /// Conversation by trajectory.
    trajectories: LruCache<Id, Id>,
    /// Conversation by session; `None` when several conversations share it, so that it tells nothing.
    sessions: LruCache<Id, Option<Id>>,
    /// What the provider's trace of one call was named together with.
    traces: LruCache<Id, Thread>,
    /// For a subagent's conversation, the one that it works for.
    roots: LruCache<Id, Id>,
    /// Conversations that the agent itself has named.
    confirmed: LruCache<Id, ()>,
}

/// What a trace leads to.
#[derive(Debug, Clone)]
enum Thread {
    Cascade(Id),
    Trajectory(Id),
}

/// Where a call belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// To this conversation, as this identifier tells.
    Cascade(Id, CorrelationMethod),
    /// The call names a conversation that the agent has not confirmed: some write another identifier in its place.
    Unconfirmed(Id),
    /// Not known.
    Nothing,
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            trajectories: LruCache::new(MAX_NAMES),
            sessions: LruCache::new(MAX_NAMES),
            traces: LruCache::new(MAX_NAMES),
            roots: LruCache::new(MAX_NAMES),
            confirmed: LruCache::new(MAX_NAMES),
        }
    }
}

impl Threads {
    /// The agent names a conversation. Returns whether that is new.
    pub fn confirm(&mut self, cascade: &Id) -> bool {
        self.confirmed.put(cascade.clone(), ()).is_none()
    }

    /// A trajectory belongs to a conversation. Returns whether that is new.
    pub fn trajectory(&mut self, trajectory: &Id, cascade: &Id) -> bool {
        self.trajectories.put(trajectory.clone(), cascade.clone()).as_ref() != Some(cascade)
    }

    /// A conversation is a subagent's and works for another. Returns whether that is new.
    pub fn root(&mut self, cascade: &Id, root: &Id) -> bool {
        cascade != root && self.roots.put(cascade.clone(), root.clone()).as_ref() != Some(root)
    }

    /// A session was seen in a conversation. Returns whether that is new.
    pub fn session(&mut self, session: &Id, cascade: &Id) -> bool {
        let cascade = self.root_of(cascade);
        match self.sessions.get(session) {
            Some(Some(known)) if *known == cascade => false,
            Some(None) => false,
            Some(Some(_)) => {
                self.sessions.put(session.clone(), None);
                true
            }
            None => {
                self.sessions.put(session.clone(), Some(cascade));
                true
            }
        }
    }

    /// A trace belongs to a conversation. Returns whether that is new.
    pub fn trace(&mut self, trace: &Id, cascade: &Id) -> bool {
        self.traces.put(trace.clone(), Thread::Cascade(cascade.clone())).is_none()
    }

    /// Telemetry names identifiers together. Returns whether anything is new.
    pub fn join(&mut self, ids: &JoinedIds) -> bool {
        let mut is_new = false;
        if let (Some(trajectory), Some(cascade)) = (&ids.trajectory, &ids.cascade) {
            is_new |= self.trajectory(trajectory, cascade);
            is_new |= self.confirm(cascade);
        }
        let thread = match (&ids.cascade, &ids.trajectory) {
            (Some(cascade), _) => Some(Thread::Cascade(cascade.clone())),
            (None, Some(trajectory)) => Some(Thread::Trajectory(trajectory.clone())),
            (None, None) => None,
        };
        if let (Some(trace), Some(thread)) = (&ids.provider_trace, thread) {
            is_new |= self.traces.put(trace.clone(), thread).is_none();
        }
        is_new
    }

    /// Where a call with these identifiers belongs. `told`: what the wire told of the method.
    pub fn find(&mut self, ids: &CallIds, told: CorrelationMethod) -> Found {
        let named = [&ids.trajectory, &ids.labelled_trajectory];
        if let Some(cascade) = named.into_iter().flatten().find_map(|id| self.trajectories.get(id).cloned()) {
            return Found::Cascade(self.root_of(&cascade), told);
        }
        if let Some(conversation) = &ids.conversation {
            return match self.confirmed.get(conversation).is_some() || self.roots.contains(conversation) {
                true => Found::Cascade(self.root_of(conversation), told),
                false => Found::Unconfirmed(conversation.clone()),
            };
        }
        // What the wire itself tells is not overruled; a trajectory that nobody knows yet stays one.
        if told != CorrelationMethod::None {
            return Found::Nothing;
        }
        let by_trace = ids.provider_trace.as_ref().and_then(|trace| self.traces.get(trace).cloned());
        let traced = match by_trace {
            Some(Thread::Cascade(cascade)) => Some(cascade),
            Some(Thread::Trajectory(trajectory)) => self.trajectories.get(&trajectory).cloned(),
            None => None,
        };
        if let Some(cascade) = traced {
            return Found::Cascade(self.root_of(&cascade), CorrelationMethod::TraceId);
        }
        let by_session = ids.session.as_ref().and_then(|session| self.sessions.get(session).cloned().flatten());
        match by_session {
            Some(cascade) => Found::Cascade(cascade, CorrelationMethod::Session),
            None => Found::Nothing,
        }
    }

    /// The conversation at the top: subagents may have subagents.
    pub fn root_of(&self, cascade: &Id) -> Id {
        let mut top = cascade;
        for _ in 0..MAX_DEPTH {
            match self.roots.peek(top) {
                Some(root) => top = root,
                None => break,
            }
        }
        top.clone()
    }
}

/// About 100 bytes each. An agent's list of conversations has hundreds.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// Subagents of subagents; a ring in what the agent says must end somewhere.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::from_wire(text).expect("an identifier")
    }

    fn found(cascade: &str, method: CorrelationMethod) -> Found {
        Found::Cascade(id(cascade), method)
    }

    #[test]
    fn a_trajectory_tells_more_than_the_name_beside_it() {
        let mut threads = Threads::default();
        let ids = CallIds { conversation: Some(id("agent-7")), trajectory: Some(id("t")), ..CallIds::default() };
        assert_eq!(threads.find(&ids, CorrelationMethod::RequestId), Found::Unconfirmed(id("agent-7")));
        assert!(threads.trajectory(&id("t"), &id("c")) && !threads.trajectory(&id("t"), &id("c")));
        assert_eq!(threads.find(&ids, CorrelationMethod::RequestId), found("c", CorrelationMethod::RequestId));
    }

    #[test]
    fn a_subagent_works_for_its_root() {
        let mut threads = Threads::default();
        threads.trajectory(&id("t"), &id("grandchild"));
        threads.root(&id("grandchild"), &id("child"));
        threads.root(&id("child"), &id("c"));
        threads.root(&id("c"), &id("c"));
        let ids = CallIds { labelled_trajectory: Some(id("t")), ..CallIds::default() };
        assert_eq!(threads.find(&ids, CorrelationMethod::Labels), found("c", CorrelationMethod::Labels));
        threads.root(&id("c"), &id("grandchild"));
        threads.find(&ids, CorrelationMethod::Labels);
    }

    #[test]
    fn a_session_of_two_conversations_tells_nothing() {
        let mut threads = Threads::default();
        let ids = CallIds { session: Some(id("s")), ..CallIds::default() };
        assert_eq!(threads.find(&ids, CorrelationMethod::None), Found::Nothing);
        threads.session(&id("s"), &id("a"));
        assert_eq!(threads.find(&ids, CorrelationMethod::None), found("a", CorrelationMethod::Session));
        threads.session(&id("s"), &id("b"));
        threads.session(&id("s"), &id("a"));
        assert_eq!(threads.find(&ids, CorrelationMethod::None), Found::Nothing);
    }

    #[test]
    fn telemetry_leads_from_a_trace_to_the_conversation() {
        let mut threads = Threads::default();
        let ids = CallIds { provider_trace: Some(id("x")), ..CallIds::default() };
        let metrics = JoinedIds { trajectory: Some(id("t")), provider_trace: Some(id("x")), cascade: None };
        assert!(threads.join(&metrics) && !threads.join(&metrics));
        assert_eq!(threads.find(&ids, CorrelationMethod::None), Found::Nothing);
        let analytics = JoinedIds { cascade: Some(id("c")), trajectory: Some(id("t")), provider_trace: None };
        assert!(threads.join(&analytics));
        assert_eq!(threads.find(&ids, CorrelationMethod::None), found("c", CorrelationMethod::TraceId));
        assert_eq!(threads.find(&ids, CorrelationMethod::RequestId), Found::Nothing, "the wire names another thread");
    }
}
