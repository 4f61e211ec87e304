//! All that is known of conversations and of calls that may still find theirs. Pure: facts and news enter with the time,
//! facts leave.

mod live;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime};

use live::Live;
use lru::LruCache;

use super::compare::{Books, WireCall};
use super::conversation::Moment;
use super::read::Summary;
use super::runs::SeenCall;
use super::threads::{Found, Threads};
use super::update::{RunStatus, TrajectoryUpdate, Update};
use crate::record::{
    Call, CallIds, Correlated, Correlation, CorrelationMethod, Fact, Id, JoinedIds, Operation, Quality, UpdateSource,
};

/// What the correlator knows.
#[derive(Debug)]
pub(super) struct State {
    threads: Threads,
    books: Books,
    /// The latest calls, oldest first: what is learned of them later follows them.
    recent: VecDeque<Recent>,
    conversations: LruCache<Id, Live>,
    following: Option<Following>,
}

/// An agent that is being followed.
#[derive(Debug)]
struct Following {
    /// What is older is history to a conversation that is not known.
    since: SystemTime,
    /// The sources that have said once that everything had ended: from then on nothing less counts as the end.
    say_fully_idle: BTreeSet<UpdateSource>,
}

#[derive(Debug)]
struct Recent {
    ids: CallIds,
    /// What the wire told of the method.
    told: CorrelationMethod,
    cascade: Option<Id>,
    seen: SeenCall,
    /// How its conversation is known has been stated.
    is_settled: bool,
    /// Until when it is waited for the agent's word; `None` when that is over.
    waits_until: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            threads: Threads::default(),
            books: Books::default(),
            recent: VecDeque::new(),
            conversations: LruCache::new(MAX_CONVERSATIONS),
            following: None,
        }
    }
}

impl State {
    pub(super) fn follow(&mut self, since: SystemTime) {
        self.following = Some(Following { since, say_fully_idle: BTreeSet::new() });
    }

    pub(super) fn unfollow(&mut self, now: Moment) -> Vec<Fact> {
        self.following = None;
        let mut facts = Vec::new();
        while let Some((cascade, live)) = self.conversations.pop_lru() {
            facts.extend(self.give_up(&cascade, live, now));
        }
        // Nobody is left who could tell the other side.
        self.books = Books::default();
        facts
    }

    /// Gives a call the conversation that is known now. Returns whether the agent should be asked.
    pub(super) fn correlate(&mut self, call: &mut Call) -> bool {
        if !has_conversation(call.operation) {
            return false;
        }
        match self.threads.find(&call.ids, call.correlation.method) {
            Found::Cascade(cascade, method) => call.correlation = Correlation { cascade: Some(cascade), method },
            // Without an agent to ask, what the wire says is all there is.
            Found::Unconfirmed(cascade) if self.following.is_none() => call.correlation.cascade = Some(cascade),
            Found::Unconfirmed(_) | Found::Nothing => return self.following.is_some(),
        }
        false
    }

    /// Takes a call that has been handed on.
    pub(super) fn take(&mut self, call: &Call, now: Moment) -> Vec<Fact> {
        if !has_conversation(call.operation) {
            return Vec::new();
        }
        let mut facts = Vec::new();
        let Correlation { cascade, method } = call.correlation.clone();
        let is_settled = cascade.is_some() || method != CorrelationMethod::None;
        if is_settled {
            facts.push(Fact::CorrelationSettled(method));
        }
        let seen = SeenCall::new(call, now);
        if let Some(cascade) = &cascade {
            facts.push(Fact::CascadeUpdated(UpdateSource::Traffic));
            facts.extend(self.assign(cascade, seen.clone(), now));
        }
        facts.extend(self.compare(call, now));
        let waits_until = cascade.is_none().then(|| now.at + AGENT_TELLS_WITHIN);
        let told = match method {
            CorrelationMethod::Session | CorrelationMethod::TraceId => CorrelationMethod::None,
            told => told,
        };
        self.recent.push_back(Recent { ids: call.ids.clone(), told, cascade, seen, is_settled, waits_until });
        let oldest = (self.recent.len() > MAX_RECENT).then(|| self.recent.pop_front()).flatten();
        if oldest.is_some_and(|oldest| !oldest.is_settled) {
            facts.push(Fact::CorrelationSettled(CorrelationMethod::None));
        }
        facts
    }

    pub(super) fn join(&mut self, ids: &JoinedIds, now: Moment) -> Vec<Fact> {
        if self.threads.join(ids) { self.look_again(now) } else { Vec::new() }
    }

    pub(super) fn summaries(&mut self, summaries: &[Summary], now: Moment) -> Vec<Fact> {
        let mut is_new = false;
        for summary in summaries {
            is_new |= self.threads.confirm(&summary.cascade);
            if let Some(root) = &summary.root {
                is_new |= self.threads.root(&summary.cascade, root);
            }
            if let Some(trajectory) = &summary.trajectory {
                is_new |= self.threads.main(trajectory, &summary.cascade);
            }
        }
        let mut facts = if is_new { self.look_again(now) } else { Vec::new() };
        facts.extend(summaries.iter().flat_map(|summary| self.fold(&summary.cascade, now)));
        facts
    }

    pub(super) fn update(&mut self, cascade: &Id, update: &Update, source: UpdateSource, now: Moment) -> Vec<Fact> {
        let Some(following) = &mut self.following else { return Vec::new() };
        if update.fully_idle {
            following.say_fully_idle.insert(source);
        }
        let says_fully_idle = following.say_fully_idle.contains(&source);
        let mut facts = if self.learn(cascade, update) { self.look_again(now) } else { Vec::new() };
        facts.extend(self.fold(cascade, now));
        let root = self.threads.root_of(cascade);
        if root == *cascade {
            facts.extend(self.apply(&root, update, source, says_fully_idle, now));
        } else {
            let of_subagent = as_subtrajectory(self.name_of(cascade).clone(), update);
            facts.extend(self.apply(&root, &of_subagent, source, says_fully_idle, now));
        }
        facts
    }

    pub(super) fn delete(&mut self, cascade: &Id, now: Moment) -> Vec<Fact> {
        if let Some(live) = self.conversations.pop(cascade) {
            return self.give_up(cascade, live, now);
        }
        let root = self.threads.root_of(cascade);
        let Some(following) = self.following.as_ref().filter(|_| self.conversations.contains(&root)) else {
            return Vec::new();
        };
        // A subagent that is gone works no more.
        let says_fully_idle = !following.say_fully_idle.is_empty();
        let gone = as_subtrajectory(
            self.name_of(cascade).clone(),
            &Update { status: Some(RunStatus::Idle), ..Update::default() },
        );
        self.apply(&root, &gone, UpdateSource::Polling, says_fully_idle, now)
    }

    pub(super) fn tick(&mut self, now: Moment) -> Vec<Fact> {
        let mut facts = self.stop_waiting(now);
        let Self { books, conversations, .. } = self;
        for (cascade, live) in conversations.iter_mut() {
            let events = live.conversation.tick(now);
            facts.extend(live.tell(cascade, events, books, now));
        }
        facts.extend(books.tick(now.at).into_iter().map(Fact::UsageCompared));
        facts
    }

    pub(super) fn known(&self, cascade: &Id, trajectory: Option<&Id>) -> (u32, u32) {
        let root = self.threads.root_of(cascade);
        let subtrajectory = (root != *cascade).then(|| trajectory.unwrap_or(self.name_of(cascade)));
        self.conversations.peek(&root).map_or((0, 0), |live| live.conversation.known(subtrajectory))
    }

    pub(super) fn is_running(&self, cascade: &Id) -> bool {
        let root = self.threads.root_of(cascade);
        let Some(live) = self.conversations.peek(&root) else { return false };
        let Live { conversation, .. } = live;
        let is_own = root == *cascade;
        let is_awaited = is_own && conversation.waits();
        is_awaited || (conversation.is_running() && (is_own || conversation.is_at_work(self.name_of(cascade))))
    }

    /// Under which name the conversation that a subagent's conversation works for knows it: that of its trajectory.
    fn name_of<'a>(&'a self, cascade: &'a Id) -> &'a Id {
        self.threads.main_of(cascade).unwrap_or(cascade)
    }

    /// News of a conversation that works for no other.
    fn apply(
        &mut self,
        cascade: &Id,
        update: &Update,
        source: UpdateSource,
        says_fully_idle: bool,
        now: Moment,
    ) -> Vec<Fact> {
        let mut facts = self.make_room(cascade, now);
        let Some(Following { since, .. }) = self.following else { return facts };
        let Self { books, conversations, .. } = self;
        let live = conversations.get_or_insert_mut_ref(cascade, || Live::new(since));
        if live.trajectory.is_none() {
            live.trajectory.clone_from(&update.trajectory);
        }
        let events = live.conversation.apply(update, source, says_fully_idle, now);
        facts.extend(live.tell(cascade, events, books, now));
        facts
    }

    /// A conversation that was followed on its own may turn out to be a subagent's.
    fn fold(&mut self, cascade: &Id, now: Moment) -> Vec<Fact> {
        let root = self.threads.root_of(cascade);
        let Some(Following { since, .. }) = self.following.as_ref().filter(|_| root != *cascade) else {
            return Vec::new();
        };
        let since = *since;
        let Some(mut live) = self.conversations.pop(cascade) else { return Vec::new() };
        let events = live.conversation.lose(now);
        let mut facts = live.tell(cascade, events, &mut self.books, now);
        facts.extend(self.make_room(&root, now));
        let name = self.name_of(cascade).clone();
        let of_root = self.conversations.get_or_insert_mut_ref(&root, || Live::new(since));
        of_root.conversation.adopt(name, live.conversation);
        facts
    }

    /// Makes room for a conversation that is not known: the one that had news longest ago is given up.
    fn make_room(&mut self, cascade: &Id, now: Moment) -> Vec<Fact> {
        let has_room = self.conversations.len() < MAX_CONVERSATIONS.get() || self.conversations.contains(cascade);
        let oldest = (!has_room).then(|| self.conversations.pop_lru()).flatten();
        let Some((oldest, live)) = oldest else { return Vec::new() };
        // Should it come again, what has been told of it is history.
        if let Some(following) = &mut self.following {
            following.since = now.wall;
        }
        self.give_up(&oldest, live, now)
    }

    fn give_up(&mut self, cascade: &Id, mut live: Live, now: Moment) -> Vec<Fact> {
        let events = live.conversation.lose(now);
        live.tell(cascade, events, &mut self.books, now)
    }

    fn compare(&mut self, call: &Call, now: Moment) -> Option<Fact> {
        if self.following.is_none() || call.quality != Quality::Exact || call.usage.total() == 0 {
            return None;
        }
        let CallIds { response, provider_trace: trace, .. } = call.ids.clone();
        self.books.wire(WireCall { response, trace, usage: call.usage }, now.at).map(Fact::UsageCompared)
    }

    /// What an update says of who belongs to whom. Returns whether any of it is new.
    fn learn(&mut self, cascade: &Id, update: &Update) -> bool {
        let threads = &mut self.threads;
        let mut is_new = threads.confirm(cascade);
        if let Some(root) = &update.root {
            is_new |= threads.root(cascade, root);
        }
        if let Some(trajectory) = &update.trajectory {
            is_new |= threads.main(trajectory, cascade);
        }
        for (trajectory, _) in &update.subtrajectories {
            is_new |= threads.subtrajectory(trajectory, cascade);
        }
        let all = std::iter::once(&update.main).chain(update.subtrajectories.iter().map(|(_, news)| news));
        for (_, generation) in all.flat_map(|news| &news.generations) {
            for trace in &generation.traces {
                is_new |= threads.trace(trace, cascade);
            }
            if let Some(session) = &generation.session {
                is_new |= threads.session(session, cascade);
            }
        }
        is_new
    }

    /// Something was learned: calls may have found their conversation, or another one.
    fn look_again(&mut self, now: Moment) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut recent = std::mem::take(&mut self.recent);
        for call in &mut recent {
            let Found::Cascade(cascade, method) = self.threads.find(&call.ids, call.told) else { continue };
            if call.cascade.as_ref() != Some(&cascade) {
                facts.extend(self.move_call(call, cascade, method, now));
            }
        }
        self.recent = recent;
        facts
    }

    fn move_call(&mut self, call: &mut Recent, cascade: Id, method: CorrelationMethod, now: Moment) -> Vec<Fact> {
        let before = call.cascade.replace(cascade.clone());
        if let Some(live) = before.and_then(|before| self.conversations.peek_mut(&before)) {
            live.calls.remove(call.seen.number);
        }
        let mut facts = self.assign(&cascade, call.seen.clone(), now);
        if !std::mem::replace(&mut call.is_settled, true) {
            facts.push(Fact::CorrelationSettled(method));
        }
        call.waits_until = None;
        let correlation = Correlation { cascade: Some(cascade), method };
        facts.push(Fact::Correlated(Correlated { call: call.seen.number, correlation }));
        facts
    }

    /// The agent has had its time: what the wire says of a conversation counts now, and nothing else will be learned soon.
    fn stop_waiting(&mut self, now: Moment) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut recent = std::mem::take(&mut self.recent);
        for call in recent.iter_mut().filter(|call| call.waits_until.is_some_and(|until| now.at >= until)) {
            call.waits_until = None;
            if let Some(conversation) = call.ids.conversation.clone() {
                facts.extend(self.move_call(call, conversation, call.told, now));
            } else if !std::mem::replace(&mut call.is_settled, true) {
                facts.push(Fact::CorrelationSettled(CorrelationMethod::None));
            }
        }
        self.recent = recent;
        facts
    }

    /// A call belongs to a conversation; it counts in the run in which it began.
    fn assign(&mut self, cascade: &Id, seen: SeenCall, now: Moment) -> Vec<Fact> {
        let facts = self.make_room(cascade, now);
        if let Some(Following { since, .. }) = self.following {
            self.conversations.get_or_insert_mut_ref(cascade, || Live::new(since)).calls.add(seen);
        }
        facts
    }
}

/// A subagent's own conversation as news of the one that it works for.
fn as_subtrajectory(name: Id, update: &Update) -> Update {
    let news = TrajectoryUpdate { status: update.status.or(update.main.status), ..update.main.clone() };
    let own = std::iter::once((name, news));
    Update { subtrajectories: own.chain(update.subtrajectories.iter().cloned()).collect(), ..Update::default() }
}

/// Counting tokens and completing lines belong to no conversation.
fn has_conversation(operation: Operation) -> bool {
    !matches!(operation, Operation::Autocomplete | Operation::CountTokens)
}

/// The agent lists its conversations within seconds; one that it does not know by then it will not name.
const AGENT_TELLS_WITHIN: Duration = Duration::from_secs(30);

/// Calls that may still be told their conversation, some 400 bytes each.
const MAX_RECENT: usize = 4_096;

/// Conversations that are followed or had calls lately. One with 2,300 steps takes 150 kB, most take a few.
const MAX_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
