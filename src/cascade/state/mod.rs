//! All that is known of conversations and of calls that may still find theirs. Pure: facts and news enter with the time,
//! facts leave.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;

use super::compare::{Books, WireCall};
use super::conversation::{Conversation, EndedRun, Event, Moment};
use super::read::Summary;
use super::runs::{Calls, SeenCall};
use super::threads::{Found, Threads};
use super::update::{TrajectoryUpdate, Update};
use crate::record::{
    Call, CallIds, CascadeRun, Correlated, Correlation, CorrelationMethod, Fact, Id, JoinedIds, Operation, Quality,
    RunOutcome, RunStarted, StepEnded, UpdateSource,
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
#[derive(Debug, Clone, Copy)]
struct Following {
    since: SystemTime,
    /// It has said once that everything had ended: from then on nothing less counts as the end.
    says_fully_idle: bool,
}

#[derive(Debug)]
struct Live {
    conversation: Conversation,
    trajectory: Option<Id>,
    calls: Calls,
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
        self.following = Some(Following { since, says_fully_idle: false });
    }

    pub(super) fn unfollow(&mut self, now: Moment) -> Vec<Fact> {
        self.following = None;
        let mut facts = Vec::new();
        while let Some((cascade, mut live)) = self.conversations.pop_lru() {
            let events = live.conversation.lose(now);
            self.state_events(&cascade, &mut live, events, now, &mut facts);
        }
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
        let is_settled = method != CorrelationMethod::None;
        if is_settled {
            facts.push(Fact::CorrelationSettled(method));
        }
        let seen = SeenCall::new(call, now.at);
        if let Some(cascade) = &cascade {
            facts.push(Fact::CascadeUpdated(UpdateSource::Traffic));
            self.assign(cascade, seen.clone());
        }
        if self.following.is_some() && call.quality == Quality::Exact && call.usage.total() > 0 {
            let CallIds { response, provider_trace: trace, .. } = call.ids.clone();
            let judged = self.books.wire(WireCall { response, trace, usage: call.usage }, now.at);
            facts.extend(judged.map(Fact::UsageCompared));
        }
        let waits_until = cascade.is_none().then(|| now.at + AGENT_TELLS_WITHIN);
        let told = if method == CorrelationMethod::TraceId || method == CorrelationMethod::Session {
            CorrelationMethod::None
        } else {
            method
        };
        self.recent.push_back(Recent { ids: call.ids.clone(), told, cascade, seen, is_settled, waits_until });
        if self.recent.len() > MAX_RECENT
            && let Some(oldest) = self.recent.pop_front()
            && !oldest.is_settled
        {
            facts.push(Fact::CorrelationSettled(CorrelationMethod::None));
        }
        facts
    }

    pub(super) fn join(&mut self, ids: &JoinedIds) -> Vec<Fact> {
        if self.threads.join(ids) { self.look_again() } else { Vec::new() }
    }

    pub(super) fn summaries(&mut self, summaries: &[Summary]) -> Vec<Fact> {
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
        if is_new { self.look_again() } else { Vec::new() }
    }

    pub(super) fn update(&mut self, cascade: &Id, update: &Update, source: UpdateSource, now: Moment) -> Vec<Fact> {
        let Some(following) = &mut self.following else { return Vec::new() };
        following.says_fully_idle |= update.fully_idle;
        let Following { since, says_fully_idle } = *following;
        let mut facts = Vec::new();
        if self.learn(cascade, update) {
            facts.extend(self.look_again());
        }
        let root = self.threads.root_of(cascade);
        let of_subagent;
        let update = if root == *cascade {
            update
        } else {
            of_subagent = as_subtrajectory(cascade, update);
            &of_subagent
        };
        let mut live = self.live(&root, since, now, &mut facts);
        live.trajectory = live.trajectory.take().or_else(|| update.trajectory.clone());
        let events = live.conversation.apply(update, source, says_fully_idle, now);
        self.state_events(&root, &mut live, events, now, &mut facts);
        self.conversations.put(root, live);
        facts
    }

    pub(super) fn delete(&mut self, cascade: &Id, now: Moment) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(mut live) = self.conversations.pop(cascade) {
            let events = live.conversation.lose(now);
            self.state_events(cascade, &mut live, events, now, &mut facts);
        }
        facts
    }

    pub(super) fn tick(&mut self, now: Moment) -> Vec<Fact> {
        let mut facts = self.stop_waiting(now);
        let running = self.conversations.iter().filter(|(_, live)| live.conversation.waits());
        let cascades: Vec<Id> = running.map(|(cascade, _)| cascade.clone()).collect();
        for cascade in cascades {
            let Some(mut live) = self.conversations.pop(&cascade) else { continue };
            let events = live.conversation.tick(now);
            self.state_events(&cascade, &mut live, events, now, &mut facts);
            self.conversations.put(cascade, live);
        }
        facts.extend(self.books.tick(now.at).into_iter().map(Fact::UsageCompared));
        facts
    }

    pub(super) fn known(&self, cascade: &Id) -> (u32, u32) {
        let root = self.threads.root_of(cascade);
        let subtrajectory = (root != *cascade).then_some(cascade);
        self.conversations.peek(&root).map_or((0, 0), |live| live.conversation.known(subtrajectory))
    }

    pub(super) fn is_running(&self, cascade: &Id) -> bool {
        self.conversations.peek(cascade).is_some_and(|live| live.conversation.is_running())
    }

    /// Takes the conversation out, so that its events can be stated; a new one when it is not known.
    fn live(&mut self, cascade: &Id, since: SystemTime, now: Moment, facts: &mut Vec<Fact>) -> Live {
        if let Some(live) = self.conversations.pop(cascade) {
            return live;
        }
        if self.conversations.len() == MAX_CONVERSATIONS.get()
            && let Some((oldest, mut live)) = self.conversations.pop_lru()
        {
            let events = live.conversation.lose(now);
            self.state_events(&oldest, &mut live, events, now, facts);
        }
        Live { conversation: Conversation::new(since), trajectory: None, calls: Calls::default() }
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
    fn look_again(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut recent = std::mem::take(&mut self.recent);
        for call in &mut recent {
            let Found::Cascade(cascade, method) = self.threads.find(&call.ids, call.told) else { continue };
            if call.cascade.as_ref() != Some(&cascade) {
                facts.extend(self.move_call(call, cascade, method));
            }
        }
        self.recent = recent;
        facts
    }

    fn move_call(&mut self, call: &mut Recent, cascade: Id, method: CorrelationMethod) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(before) = call.cascade.replace(cascade.clone())
            && let Some(live) = self.conversations.peek_mut(&before)
        {
            live.calls.remove(call.seen.number);
        }
        self.assign(&cascade, call.seen.clone());
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
                facts.extend(self.move_call(call, conversation, call.told));
            } else if !std::mem::replace(&mut call.is_settled, true) {
                facts.push(Fact::CorrelationSettled(CorrelationMethod::None));
            }
        }
        self.recent = recent;
        facts
    }

    /// A call belongs to a conversation; it counts in the run in which it began.
    fn assign(&mut self, cascade: &Id, seen: SeenCall) {
        let Some(following) = self.following else { return };
        let live = self.conversations.get_or_insert_mut_ref(cascade, || Live {
            conversation: Conversation::new(following.since),
            trajectory: None,
            calls: Calls::default(),
        });
        live.calls.add(seen);
    }

    fn state_events(&mut self, cascade: &Id, live: &mut Live, events: Vec<Event>, now: Moment, facts: &mut Vec<Fact>) {
        for event in events {
            match event {
                Event::Generation { generation, fresh } => {
                    facts.extend(self.books.agent(generation, fresh, now.at).map(Fact::UsageCompared));
                }
                Event::RunEnded(run) => facts.push(Fact::RunEnded(Box::new(ended(cascade, live, run)))),
                Event::RunStarted(began) => {
                    facts.push(Fact::RunStarted(RunStarted { cascade: cascade.clone(), started_at: began.wall }));
                }
                Event::StepEnded(step, status) => {
                    facts.push(Fact::StepEnded(StepEnded { cascade: cascade.clone(), step, status }));
                }
            }
        }
    }
}

fn ended(cascade: &Id, live: &mut Live, run: EndedRun) -> CascadeRun {
    let calls = live.calls.of_run(run.began.at, run.ended);
    let began = calls.began.unwrap_or(run.began.at);
    let earlier = run.began.at.saturating_duration_since(began);
    // An agent that made calls has not lost its prompt, whatever steps it shows.
    let outcome = match run.outcome {
        RunOutcome::Swallowed if calls.count > 0 => RunOutcome::Ok,
        outcome => outcome,
    };
    CascadeRun {
        cascade: cascade.clone(),
        trajectory: live.trajectory.clone(),
        model: calls.model,
        outcome,
        started_at: run.began.wall - earlier,
        duration: run.ended.saturating_duration_since(began),
        time_to_first_chunk: calls.first_chunk.map(|first| first.saturating_duration_since(began)),
        calls: calls.count,
        tokens: calls.tokens,
    }
}

/// A subagent's own conversation as news of the one that it works for.
fn as_subtrajectory(cascade: &Id, update: &Update) -> Update {
    let news = TrajectoryUpdate { status: update.status.or(update.main.status), ..update.main.clone() };
    let id = update.trajectory.clone().unwrap_or_else(|| cascade.clone());
    Update { subtrajectories: vec![(id, news)], ..Update::default() }
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

#[cfg(test)]
mod tests;
