//! Index of conversations by trajectory, session and trace id: only what was reported, never
//! guesses.
//!
//! Input: what the agent and its telemetry report; output: answers to lookups. Bounded: the least
//! recently used entries are dropped first.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::read::{MAX_SUMMARIES, Summary};
use super::update::Update;
use crate::record::{CallIds, CorrelationMethod, Id, JoinedIds};

/// Finds the conversation of a call by the call's identifiers.
#[derive(Debug)]
pub struct ConversationIndex {
    /// Conversation by trajectory.
    trajectories: LruCache<Id, Id>,
    /// The main trajectory of a conversation.
    mains: LruCache<Id, Id>,
    /// The owner of each session.
    sessions: LruCache<Id, SessionOwner>,
    /// What the provider's trace of a call was reported with.
    traces: LruCache<Id, TraceTarget>,
    /// For a subagent's conversation, the conversation that it works for.
    roots: LruCache<Id, Id>,
    /// Conversations that the agent itself has named.
    confirmed: LruCache<Id, ()>,
}

/// The conversation that a session belongs to. Some agents keep a session for a conversation or
/// longer; agy 1.3.3 makes up a new one for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SessionOwner {
    /// One call of this conversation, with this provider's id, used it; it may be that call's
    /// alone.
    Seen { cascade: Id, call: Id },
    /// Several calls used it, all of this conversation.
    Stable(Id),
    /// Calls of several conversations used it, so it identifies none.
    Shared,
}

/// What a trace id maps to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TraceTarget {
    Cascade(Id),
    Trajectory(Id),
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The call belongs to this conversation, found by this method.
    Cascade(Id, CorrelationMethod),
    /// The call names a conversation that the agent has not confirmed: some write another
    /// identifier in its place.
    Unconfirmed(Id),
    /// Not known.
    Nothing,
}

impl Default for ConversationIndex {
    fn default() -> Self {
        Self {
            trajectories: LruCache::new(MAX_NAMES),
            mains: LruCache::new(MAX_NAMES),
            sessions: LruCache::new(MAX_SESSIONS),
            traces: LruCache::new(MAX_TRACES),
            roots: LruCache::new(MAX_NAMES),
            confirmed: LruCache::new(MAX_NAMES),
        }
    }
}

impl ConversationIndex {
    /// The agent reports a conversation. Returns whether that is new.
    pub fn confirm(&mut self, cascade: &Id) -> bool {
        self.confirmed.put(cascade.clone(), ()).is_none()
    }

    /// Sets a conversation's main trajectory. Returns whether that is new.
    pub fn set_main_trajectory(&mut self, trajectory: &Id, cascade: &Id) -> bool {
        let is_new =
            self.mains.put(cascade.clone(), trajectory.clone()).as_ref() != Some(trajectory);
        self.add_trajectory(trajectory, cascade) || is_new
    }

    /// The main trajectory of a conversation, if the agent has reported it.
    #[must_use]
    pub fn main_of(&self, cascade: &Id) -> Option<&Id> {
        self.mains.peek(cascade)
    }

    /// Records that a trajectory belongs to a conversation. Returns whether that is new: a
    /// subagent's trajectory is reported both as its own conversation's and as that of the
    /// conversation it works for, which counts as the same.
    pub fn add_trajectory(&mut self, trajectory: &Id, cascade: &Id) -> bool {
        let known = self.trajectories.get(trajectory).cloned();
        let is_new = known.is_none_or(|known| self.root_of(&known) != self.root_of(cascade));
        if is_new {
            self.trajectories.put(trajectory.clone(), cascade.clone());
        }
        is_new
    }

    /// Records a subagent's trajectory within a conversation. Returns whether that is new. The
    /// conversation whose main trajectory it is works for this one.
    pub fn add_subtrajectory(&mut self, trajectory: &Id, cascade: &Id) -> bool {
        let own = self
            .trajectories
            .get(trajectory)
            .filter(|own| self.mains.peek(*own) == Some(trajectory))
            .cloned();
        match own {
            Some(own) if self.root_of(&own) != self.root_of(cascade) => {
                self.set_root(&own, cascade)
            }
            _ => self.add_trajectory(trajectory, cascade),
        }
    }

    /// Records that a conversation is a subagent's and works for another. Returns whether that is
    /// new; a cycle is rejected.
    pub fn set_root(&mut self, cascade: &Id, root: &Id) -> bool {
        let is_new = self.root_of(root) != self.root_of(cascade);
        if is_new {
            self.roots.put(cascade.clone(), root.clone());
        }
        is_new
    }

    /// Records that a call of a conversation used a session. `call` is the provider's id of the
    /// call, so that the same call is not counted twice. Returns whether lookups by the session
    /// change.
    pub fn add_session(&mut self, session: &Id, cascade: &Id, call: &Id) -> bool {
        let known = self.sessions.get(session).cloned();
        let owner = match known {
            None => SessionOwner::Seen {
                cascade: cascade.clone(),
                call: call.clone(),
            },
            Some(SessionOwner::Seen {
                cascade: own,
                call: first,
            }) if self.root_of(&own) == self.root_of(cascade) => {
                if first == *call {
                    return false;
                }
                SessionOwner::Stable(own)
            }
            Some(SessionOwner::Stable(own)) if self.root_of(&own) == self.root_of(cascade) => {
                return false;
            }
            Some(SessionOwner::Shared) => return false,
            Some(SessionOwner::Seen { .. } | SessionOwner::Stable(_)) => SessionOwner::Shared,
        };
        let is_stable = matches!(owner, SessionOwner::Stable(_));
        self.sessions.put(session.clone(), owner);
        is_stable
    }

    /// Records that a trace belongs to a conversation. Returns whether that is new.
    pub fn add_trace(&mut self, trace: &Id, cascade: &Id) -> bool {
        let target = TraceTarget::Cascade(cascade.clone());
        self.traces.put(trace.clone(), target.clone()) != Some(target)
    }

    /// Records identifiers that telemetry reports together. Returns whether anything is new.
    pub fn join(&mut self, ids: &JoinedIds) -> bool {
        let JoinedIds {
            cascade,
            trajectory,
            provider_trace,
        } = ids;
        let mut is_new = cascade
            .as_ref()
            .is_some_and(|cascade| self.confirm(cascade));
        if let (Some(trajectory), Some(cascade)) = (trajectory, cascade) {
            is_new |= self.add_trajectory(trajectory, cascade);
        }
        is_new
            | match (provider_trace, cascade, trajectory) {
                (Some(trace), Some(cascade), _) => self.add_trace(trace, cascade),
                (Some(trace), None, Some(trajectory)) => {
                    self.add_trace_of_trajectory(trace, trajectory)
                }
                _ => false,
            }
    }

    /// Records that a trace belongs to a trajectory, which is weaker than a conversation.
    fn add_trace_of_trajectory(&mut self, trace: &Id, trajectory: &Id) -> bool {
        let is_new = !matches!(self.traces.get(trace), Some(TraceTarget::Cascade(_)));
        let target = TraceTarget::Trajectory(trajectory.clone());
        is_new && self.traces.put(trace.clone(), target.clone()) != Some(target)
    }

    /// Finds the conversation of a call with these identifiers. `named_by`: the method by which the
    /// request itself names one.
    ///
    /// The most certain comes first: a trajectory that the agent has reported, a conversation that
    /// it has, a trace that it or its telemetry reported, a session that was seen to belong to one
    /// conversation.
    pub fn find(&mut self, ids: &CallIds, named_by: CorrelationMethod) -> Found {
        let named = [&ids.trajectory, &ids.labelled_trajectory];
        if let Some(cascade) = named
            .into_iter()
            .flatten()
            .find_map(|id| self.trajectories.get(id).cloned())
        {
            return Found::Cascade(self.root_of(&cascade), named_by);
        }
        // An agent that names its conversation in a header field does so in every request, and
        // nothing else confirms it.
        if named_by == CorrelationMethod::Header
            && let Some(conversation) = &ids.conversation
        {
            return Found::Cascade(self.root_of(conversation), named_by);
        }
        if let Some(cascade) = ids
            .conversation
            .as_ref()
            .and_then(|conversation| self.confirmed(conversation))
        {
            return Found::Cascade(cascade, named_by);
        }
        if let Some(cascade) = ids.unexplained.as_ref().and_then(|uuid| self.named(uuid)) {
            return Found::Cascade(cascade, CorrelationMethod::RequestId);
        }
        if let Some(cascade) = ids
            .provider_trace
            .as_ref()
            .and_then(|trace| self.traced(trace))
        {
            return Found::Cascade(cascade, CorrelationMethod::TraceId);
        }
        match (
            ids.session
                .as_ref()
                .and_then(|session| self.sessions.get(session)),
            &ids.conversation,
        ) {
            (Some(SessionOwner::Stable(cascade)), _) => {
                let cascade = cascade.clone();
                Found::Cascade(self.root_of(&cascade), CorrelationMethod::Session)
            }
            (_, Some(conversation)) => Found::Unconfirmed(conversation.clone()),
            _ => Found::Nothing,
        }
    }

    /// The root of this conversation, if the agent has reported it.
    fn confirmed(&mut self, conversation: &Id) -> Option<Id> {
        let is_known =
            self.confirmed.get(conversation).is_some() || self.roots.contains(conversation);
        is_known.then(|| self.root_of(conversation))
    }

    /// The root of the conversation with this id, or of the one with a trajectory of this id.
    fn named(&mut self, uuid: &Id) -> Option<Id> {
        let cascade = self.trajectories.get(uuid).cloned();
        cascade
            .map(|cascade| self.root_of(&cascade))
            .or_else(|| self.confirmed(uuid))
    }

    /// The root of the conversation that the trace of a call maps to.
    fn traced(&mut self, trace: &Id) -> Option<Id> {
        let cascade = match self.traces.get(trace).cloned()? {
            TraceTarget::Cascade(cascade) => cascade,
            TraceTarget::Trajectory(trajectory) => self.trajectories.get(&trajectory)?.clone(),
        };
        Some(self.root_of(&cascade))
    }

    /// The topmost conversation: subagents may have subagents.
    #[must_use]
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

    /// Records which ids an update reports together. Returns whether any of it is new.
    pub(super) fn learn(&mut self, cascade: &Id, update: &Update) -> bool {
        let mut is_new = self.confirm(cascade);
        if let Some(root) = &update.root {
            is_new |= self.set_root(cascade, root);
        }
        if let Some(trajectory) = &update.trajectory {
            is_new |= self.set_main_trajectory(trajectory, cascade);
        }
        for (trajectory, _) in &update.subtrajectories {
            is_new |= self.add_subtrajectory(trajectory, cascade);
        }
        let all = std::iter::once(&update.main)
            .chain(update.subtrajectories.iter().map(|(_, news)| news));
        for (_, generation) in all.flat_map(|news| &news.generations) {
            for trace in &generation.traces {
                is_new |= self.add_trace(trace, cascade);
            }
            if let (Some(session), Some(name)) = (&generation.session, generation.name()) {
                is_new |= self.add_session(session, cascade, name);
            }
        }
        is_new
    }

    /// Records which ids an entry of the list of conversations reports together. Returns whether any
    /// of it is new.
    pub(super) fn learn_summary(&mut self, summary: &Summary) -> bool {
        let mut is_new = self.confirm(&summary.cascade);
        if let Some(root) = &summary.root {
            is_new |= self.set_root(&summary.cascade, root);
        }
        if let Some(trajectory) = &summary.trajectory {
            is_new |= self.set_main_trajectory(trajectory, &summary.cascade);
        }
        is_new
    }
}

/// About 100 bytes each. The longest list of conversations fits twice: an index that it filled
/// would forget each id just before the list comes again.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::new(2 * MAX_SUMMARIES).unwrap();

/// Each call has one: twice as many as calls that may still be joined. Older ones are never looked
/// up.
const MAX_TRACES: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();

/// As many as calls may wait for their session's owner. A session in use is not the least recently
/// used one.
const MAX_SESSIONS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Deepest nesting of subagents. Forgotten entries may leave a cycle, where the walk must end.
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
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            conversation: Some(id("agent-7")),
            trajectory: Some(id("t")),
            ..CallIds::default()
        };
        assert_eq!(
            index.find(&ids, CorrelationMethod::RequestId),
            Found::Unconfirmed(id("agent-7"))
        );
        assert!(
            index.add_trajectory(&id("t"), &id("c")) && !index.add_trajectory(&id("t"), &id("c"))
        );
        assert_eq!(
            index.find(&ids, CorrelationMethod::RequestId),
            found("c", CorrelationMethod::RequestId)
        );
    }

    #[test]
    fn a_header_field_names_the_conversation_without_confirmation() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            conversation: Some(id("c")),
            ..CallIds::default()
        };
        assert_eq!(
            index.find(&ids, CorrelationMethod::RequestId),
            Found::Unconfirmed(id("c"))
        );
        assert_eq!(
            index.find(&ids, CorrelationMethod::Header),
            found("c", CorrelationMethod::Header)
        );
        index.set_root(&id("c"), &id("root"));
        assert_eq!(
            index.find(&ids, CorrelationMethod::Header),
            found("root", CorrelationMethod::Header)
        );
    }

    #[test]
    fn a_subagent_works_for_its_root() {
        let mut index = ConversationIndex::default();
        index.add_trajectory(&id("t"), &id("grandchild"));
        index.set_root(&id("grandchild"), &id("child"));
        index.set_root(&id("child"), &id("c"));
        index.set_root(&id("c"), &id("c"));
        let ids = CallIds {
            labelled_trajectory: Some(id("t")),
            ..CallIds::default()
        };
        assert_eq!(
            index.find(&ids, CorrelationMethod::Labels),
            found("c", CorrelationMethod::Labels)
        );
        assert!(!index.set_root(&id("c"), &id("grandchild")), "a ring");
        assert_eq!(
            index.find(&ids, CorrelationMethod::Labels),
            found("c", CorrelationMethod::Labels)
        );
    }

    #[test]
    fn a_subagents_trajectory_is_its_own_and_that_of_its_root_alike() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            trajectory: Some(id("t")),
            ..CallIds::default()
        };
        assert!(
            index.set_main_trajectory(&id("t"), &id("child"))
                && index.add_subtrajectory(&id("t"), &id("c"))
        );
        assert_eq!(
            index.root_of(&id("child")),
            id("c"),
            "the agent said so in two steps"
        );
        assert_eq!(
            index.find(&ids, CorrelationMethod::RequestId),
            found("c", CorrelationMethod::RequestId)
        );
        let mut say_again = || {
            index.set_main_trajectory(&id("t"), &id("child"))
                | index.add_subtrajectory(&id("t"), &id("c"))
        };
        assert!(!say_again() && !say_again(), "nothing new");
        assert_eq!(index.main_of(&id("child")), Some(&id("t")));
    }

    #[test]
    fn a_subagents_trajectory_may_be_told_by_its_root_first() {
        let mut index = ConversationIndex::default();
        assert!(
            index.add_subtrajectory(&id("t"), &id("c"))
                && !index.add_subtrajectory(&id("t"), &id("c"))
        );
        index.set_main_trajectory(&id("t"), &id("child"));
        index.set_root(&id("child"), &id("c"));
        let ids = CallIds {
            trajectory: Some(id("t")),
            ..CallIds::default()
        };
        assert_eq!(
            index.find(&ids, CorrelationMethod::RequestId),
            found("c", CorrelationMethod::RequestId)
        );
    }

    #[test]
    fn a_session_tells_something_once_two_calls_of_one_conversation_have_it_and_none_of_another() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            session: Some(id("s")),
            ..CallIds::default()
        };
        assert_eq!(index.find(&ids, CorrelationMethod::None), Found::Nothing);
        assert!(
            !index.add_session(&id("s"), &id("a"), &id("x"))
                && !index.add_session(&id("s"), &id("a"), &id("x"))
        );
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            Found::Nothing,
            "it may be that call's alone"
        );
        assert!(
            index.add_session(&id("s"), &id("a"), &id("y"))
                && !index.add_session(&id("s"), &id("a"), &id("z"))
        );
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            found("a", CorrelationMethod::Session)
        );
        index.add_session(&id("s"), &id("b"), &id("v"));
        index.add_session(&id("s"), &id("a"), &id("w"));
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            Found::Nothing,
            "two conversations share it"
        );
    }

    #[test]
    fn what_the_wire_names_and_nobody_knows_leaves_the_word_to_trace_and_session() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            conversation: Some(id("agent-7")),
            trajectory: Some(id("unknown")),
            provider_trace: Some(id("x")),
            session: Some(id("s")),
            ..CallIds::default()
        };
        let named_by = CorrelationMethod::RequestId;
        assert_eq!(
            index.find(&ids, named_by),
            Found::Unconfirmed(id("agent-7"))
        );
        index.add_session(&id("s"), &id("c"), &id("y"));
        index.add_session(&id("s"), &id("c"), &id("z"));
        assert_eq!(
            index.find(&ids, named_by),
            found("c", CorrelationMethod::Session)
        );
        index.add_trace(&id("x"), &id("d"));
        assert_eq!(
            index.find(&ids, named_by),
            found("d", CorrelationMethod::TraceId)
        );
        index.add_trajectory(&id("unknown"), &id("e"));
        assert_eq!(
            index.find(&ids, named_by),
            found("e", CorrelationMethod::RequestId)
        );
    }

    #[test]
    fn a_uuid_that_is_not_explained_counts_where_the_agent_has_named_something_so() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            unexplained: Some(id("u")),
            ..CallIds::default()
        };
        assert_eq!(index.find(&ids, CorrelationMethod::None), Found::Nothing);
        index.add_trajectory(&id("u"), &id("c"));
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            found("c", CorrelationMethod::RequestId)
        );
        let ids = CallIds {
            unexplained: Some(id("d")),
            ..CallIds::default()
        };
        index.confirm(&id("d"));
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            found("d", CorrelationMethod::RequestId)
        );
    }

    #[test]
    fn a_session_of_a_conversation_and_its_subagent_is_one_of_one_conversation() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            session: Some(id("s")),
            ..CallIds::default()
        };
        index.add_session(&id("s"), &id("child"), &id("x"));
        index.set_root(&id("child"), &id("c"));
        assert!(
            index.add_session(&id("s"), &id("c"), &id("y")),
            "the root's as well"
        );
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            found("c", CorrelationMethod::Session)
        );
    }

    #[test]
    fn a_trace_that_leads_further_is_news_and_one_that_leads_less_far_is_not() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            provider_trace: Some(id("x")),
            ..CallIds::default()
        };
        let metrics = JoinedIds {
            trajectory: Some(id("t")),
            provider_trace: Some(id("x")),
            cascade: None,
        };
        assert!(index.join(&metrics));
        assert!(index.add_trace(&id("x"), &id("c")) && !index.add_trace(&id("x"), &id("c")));
        assert!(!index.join(&metrics));
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            found("c", CorrelationMethod::TraceId)
        );
    }

    #[test]
    fn a_conversation_that_telemetry_names_is_confirmed() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            conversation: Some(id("c")),
            ..CallIds::default()
        };
        assert!(index.join(&JoinedIds {
            cascade: Some(id("c")),
            ..JoinedIds::default()
        }));
        assert_eq!(
            index.find(&ids, CorrelationMethod::RequestId),
            found("c", CorrelationMethod::RequestId)
        );
    }

    #[test]
    fn telemetry_leads_from_a_trace_to_the_conversation() {
        let mut index = ConversationIndex::default();
        let ids = CallIds {
            provider_trace: Some(id("x")),
            ..CallIds::default()
        };
        let metrics = JoinedIds {
            trajectory: Some(id("t")),
            provider_trace: Some(id("x")),
            cascade: None,
        };
        assert!(index.join(&metrics) && !index.join(&metrics));
        assert_eq!(index.find(&ids, CorrelationMethod::None), Found::Nothing);
        let analytics = JoinedIds {
            cascade: Some(id("c")),
            trajectory: Some(id("t")),
            provider_trace: None,
        };
        assert!(index.join(&analytics));
        assert_eq!(
            index.find(&ids, CorrelationMethod::None),
            found("c", CorrelationMethod::TraceId)
        );
        let unknown = CallIds {
            trajectory: Some(id("unknown")),
            ..ids
        };
        assert_eq!(
            index.find(&unknown, CorrelationMethod::RequestId),
            found("c", CorrelationMethod::TraceId)
        );
    }
}
