//! Everything known of conversations and of calls that may still be assigned to one. Pure: facts
//! and updates enter with the time; the facts that follow wait to be taken by
//! [`CorrelatorState::take_facts`].

mod calls;
mod live;
mod named;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::{Instant, SystemTime};

pub(super) use calls::Arrival;
use calls::RecentCall;
use live::{EmitContext, FollowedConversation};
use lru::LruCache;

use super::compare::UsageReconciler;
use super::conversation::Moment;
use super::emit::Emitter;
use super::index::ConversationIndex;
use super::read::Summary;
use super::turns::Turns;
use super::update::{RunStatus, TrajectoryUpdate, Update};
use crate::record::{Fact, Id, JoinedIds, Sampling, UpdateSource};

/// The correlator's state.
#[derive(Debug)]
pub(super) struct CorrelatorState {
    index: ConversationIndex,
    reconciler: UsageReconciler,
    /// The latest calls, oldest first, which may still be moved to another conversation.
    recent: VecDeque<RecentCall>,
    /// When the first of them has waited long enough for the agent; `None` while none waits.
    first_wait_ends: Option<Instant>,
    conversations: LruCache<Id, FollowedConversation>,
    /// When the last run of a dropped conversation ended: should the conversation come back, its
    /// runs begin later.
    ends: LruCache<Id, Instant>,
    following: Option<Following>,
    /// The conversations of agents that report nothing, but name their turns in their calls.
    turns: Turns,
    /// The sampling of traces; `None` where tracing is off.
    sampling: Option<Sampling>,
    /// What is to be recorded, in this order.
    facts: Vec<Fact>,
}

/// An agent that is being followed.
#[derive(Debug)]
struct Following {
    /// For a conversation that is new here, everything older is history.
    since: SystemTime,
    /// The sources that have reported once that everything had ended: from then on nothing less
    /// counts as the end.
    say_fully_idle: BTreeSet<UpdateSource>,
}

impl Default for CorrelatorState {
    fn default() -> Self {
        Self {
            index: ConversationIndex::default(),
            reconciler: UsageReconciler::default(),
            recent: VecDeque::new(),
            first_wait_ends: None,
            conversations: LruCache::new(MAX_CONVERSATIONS),
            ends: LruCache::new(MAX_CONVERSATIONS),
            following: None,
            turns: Turns::default(),
            sampling: None,
            facts: Vec::new(),
        }
    }
}

impl CorrelatorState {
    /// The facts since the last time, in the order in which they are to be recorded.
    pub(super) fn take_facts(&mut self) -> impl Iterator<Item = Fact> {
        self.facts.drain(..)
    }

    pub(super) fn trace(&mut self, sampling: Sampling) {
        self.sampling = Some(sampling);
    }

    pub(super) fn follow(&mut self, since: SystemTime) {
        self.following = Some(Following {
            since,
            say_fully_idle: BTreeSet::new(),
        });
    }

    pub(super) fn unfollow(&mut self, now: Moment) {
        self.following = None;
        while let Some((cascade, live)) = self.conversations.pop_lru() {
            self.give_up(&cascade, live, now);
        }
        self.place_alone(now);
        // No agent is left that could report the other side.
        self.reconciler = UsageReconciler::default();
    }

    pub(super) fn join(&mut self, ids: &JoinedIds, now: Moment) {
        self.facts.push(Fact::CascadeUpdated(UpdateSource::Traffic));
        if self.index.join(ids) {
            self.look_again(now);
        }
    }

    pub(super) fn summaries(&mut self, summaries: &[Summary], now: Moment) {
        let mut is_new = false;
        for summary in summaries {
            is_new |= self.index.learn_summary(summary);
        }
        if is_new {
            self.look_again(now);
        }
        for summary in summaries {
            self.fold(&summary.cascade, now);
            self.apply_listed(summary, now);
        }
    }

    /// Applies what the list says of subagents, where nothing better shows when everything has
    /// ended.
    fn apply_listed(&mut self, summary: &Summary, now: Moment) {
        if !self.needs_list(&summary.cascade) {
            return;
        }
        let (conversations, mut context) = self.followed(now);
        if let Some(live) = conversations.peek_mut(&summary.cascade) {
            let events = live
                .conversation
                .apply_listed(summary.is_at_rest_with_subagents(), now);
            live.emit(&summary.cascade, events, &mut context);
        }
    }

    /// Whether a run is over unless subagents still work, which only the list of conversations may
    /// show.
    pub(super) fn needs_list(&self, cascade: &Id) -> bool {
        let says_fully_idle = |source| {
            self.following
                .as_ref()
                .is_some_and(|it| it.say_fully_idle.contains(&source))
        };
        let live = self
            .conversations
            .peek(cascade)
            .map(|live| &live.conversation);
        live.is_some_and(|live| live.rests() && !live.source().is_some_and(says_fully_idle))
    }

    pub(super) fn update(
        &mut self,
        cascade: &Id,
        update: &Update,
        source: UpdateSource,
        now: Moment,
    ) {
        self.facts.push(Fact::CascadeUpdated(source));
        let Some(following) = &mut self.following else {
            return;
        };
        if update.fully_idle {
            following.say_fully_idle.insert(source);
        }
        let says_fully_idle = following.say_fully_idle.contains(&source);
        if self.index.learn(cascade, update) {
            self.look_again(now);
        }
        self.fold(cascade, now);
        let root = self.index.root_of(cascade);
        if root == *cascade {
            self.apply(&root, update, source, says_fully_idle, now);
        } else {
            let of_subagent = as_subtrajectory(self.name_of(cascade).clone(), update);
            self.apply(&root, &of_subagent, source, says_fully_idle, now);
        }
    }

    pub(super) fn delete(&mut self, cascade: &Id, now: Moment) {
        if let Some(live) = self.conversations.pop(cascade) {
            return self.give_up(cascade, live, now);
        }
        let root = self.index.root_of(cascade);
        let Some(following) = self
            .following
            .as_ref()
            .filter(|_| self.conversations.contains(&root))
        else {
            return;
        };
        // A subagent that is gone no longer works.
        let says_fully_idle = !following.say_fully_idle.is_empty();
        let gone = as_subtrajectory(
            self.name_of(cascade).clone(),
            &Update {
                status: Some(RunStatus::Idle),
                ..Update::default()
            },
        );
        self.apply(&root, &gone, UpdateSource::Polling, says_fully_idle, now);
    }

    pub(super) fn tick(&mut self, now: Moment) {
        self.stop_waiting(now);
        let (conversations, mut context) = self.followed(now);
        for (cascade, live) in conversations.iter_mut() {
            let events = live.conversation.tick(now);
            live.emit(cascade, events, &mut context);
            live.stop_waiting(&mut context.out);
        }
        let compared = self.reconciler.tick(now.at);
        self.facts
            .extend(compared.into_iter().map(Fact::UsageCompared));
        let (turns, mut out) = self.turns(now);
        turns.tick(&mut out);
    }

    /// No further calls come.
    pub(super) fn stop(&mut self, now: Moment) {
        let (turns, mut out) = self.turns(now);
        turns.lose(&mut out);
    }

    pub(super) fn known(&self, cascade: &Id, trajectory: Option<&Id>) -> (u32, u32) {
        let root = self.index.root_of(cascade);
        let subtrajectory = (root != *cascade).then(|| trajectory.unwrap_or(self.name_of(cascade)));
        self.conversations
            .peek(&root)
            .map_or((0, 0), |live| live.conversation.known(subtrajectory))
    }

    /// The first step that may still change in a conversation with this main trajectory, which may
    /// be a subagent's.
    pub(super) fn first_open_step(&self, cascade: &Id, trajectory: Option<&Id>) -> Option<u32> {
        let root = self.index.root_of(cascade);
        let subtrajectory = (root != *cascade).then(|| trajectory.unwrap_or(self.name_of(cascade)));
        self.conversations
            .peek(&root)?
            .conversation
            .first_open_step(subtrajectory)
    }

    /// Whether calls of a conversation wait for their run.
    pub(super) fn has_waiting_calls(&self, cascade: &Id) -> bool {
        self.conversations
            .peek(cascade)
            .is_some_and(|live| live.calls.are_waiting())
    }

    pub(super) fn is_running(&self, cascade: &Id) -> bool {
        let root = self.index.root_of(cascade);
        let Some(live) = self.conversations.peek(&root) else {
            return false;
        };
        let FollowedConversation { conversation, .. } = live;
        let is_own = root == *cascade;
        let is_awaited = is_own && conversation.waits();
        is_awaited
            || (conversation.is_running()
                && (is_own || conversation.is_at_work(self.name_of(cascade))))
    }

    /// The id under which the root conversation knows a subagent's conversation: that of its
    /// trajectory.
    fn name_of<'a>(&'a self, cascade: &'a Id) -> &'a Id {
        self.index.main_of(cascade).unwrap_or(cascade)
    }

    /// Applies an update to a root conversation.
    fn apply(
        &mut self,
        cascade: &Id,
        update: &Update,
        source: UpdateSource,
        says_fully_idle: bool,
        now: Moment,
    ) {
        self.make_room(cascade, now);
        self.make_live(cascade, now);
        let (conversations, mut context) = self.followed(now);
        let Some(live) = conversations.get_mut(cascade) else {
            return;
        };
        if live.trajectory.is_none() {
            live.trajectory.clone_from(&update.trajectory);
        }
        let events = live
            .conversation
            .apply(update, source, says_fully_idle, now);
        live.emit(cascade, events, &mut context);
    }

    /// The followed conversations, and what turns their events into facts.
    fn followed(
        &mut self,
        now: Moment,
    ) -> (&mut LruCache<Id, FollowedConversation>, EmitContext<'_>) {
        let context = EmitContext {
            reconciler: &mut self.reconciler,
            out: Emitter::new(&mut self.facts, self.sampling, now),
        };
        (&mut self.conversations, context)
    }

    /// The conversations that are known from calls alone, and where their facts go.
    fn turns(&mut self, now: Moment) -> (&mut Turns, Emitter<'_>) {
        let out = Emitter::new(&mut self.facts, self.sampling, now);
        (&mut self.turns, out)
    }

    /// Merges a conversation that was followed on its own into the one it turns out to work for.
    fn fold(&mut self, cascade: &Id, now: Moment) {
        let root = self.index.root_of(cascade);
        if self.following.is_none() || root == *cascade {
            return;
        }
        let Some(mut live) = self.conversations.pop(cascade) else {
            return;
        };
        let (_, mut context) = self.followed(now);
        live.lose(cascade, &mut context);
        self.make_room(&root, now);
        let name = self.name_of(cascade).clone();
        self.make_live(&root, now);
        if let Some(of_root) = self.conversations.get_mut(&root) {
            of_root.conversation.adopt(name, live.conversation);
        }
    }

    /// Follows a conversation, unless it is followed already or no agent is. It continues after the
    /// last run that was reported of it, and takes the calls that came before the agent was
    /// followed: the run under way may have begun before them.
    fn make_live(&mut self, cascade: &Id, now: Moment) {
        let Some(Following { since, .. }) = self.following else {
            return;
        };
        if self.conversations.contains(cascade) {
            return;
        }
        let mut live = FollowedConversation::new(since);
        if let Some(end) = self.ends.pop(cascade) {
            live.conversation.begin_after(end);
            live.calls.begin_after(end);
        }
        self.unassigned_calls(cascade)
            .for_each(|call| live.calls.add_earlier(call, now.at));
        self.conversations.put(cascade.clone(), live);
    }

    /// Makes room for a new conversation by dropping the one that was updated longest ago.
    fn make_room(&mut self, cascade: &Id, now: Moment) {
        let has_room = self.conversations.len() < MAX_CONVERSATIONS.get()
            || self.conversations.contains(cascade);
        let oldest = (!has_room).then(|| self.conversations.pop_lru()).flatten();
        let Some((oldest, live)) = oldest else {
            return;
        };
        // Should it come back, what has been reported of it is history.
        if let Some(following) = &mut self.following {
            following.since = now.wall;
        }
        self.give_up(&oldest, live, now);
    }

    fn give_up(&mut self, cascade: &Id, mut live: FollowedConversation, now: Moment) {
        let (_, mut context) = self.followed(now);
        live.lose(cascade, &mut context);
        if let Some(end) = live.conversation.last_end() {
            self.ends.put(cascade.clone(), end);
        }
    }
}

/// A subagent's own conversation as an update of the one that it works for.
fn as_subtrajectory(name: Id, update: &Update) -> Update {
    let news = TrajectoryUpdate {
        status: update.status.or(update.main.status),
        ..update.main.clone()
    };
    let own = std::iter::once((name, news));
    Update {
        subtrajectories: own.chain(update.subtrajectories.iter().cloned()).collect(),
        ..Update::default()
    }
}

/// Most conversations that are followed or had calls lately. One with 2,300 steps takes 150 kB,
/// most take a few.
const MAX_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
