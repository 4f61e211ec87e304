//! The newest conversations, in bounded memory: calls are stored under the thread that they belong
//! to, and moved when more is known of them.
//!
//! Sums are never lost: the sums of what is evicted are kept in one group. Details are lost: those of
//! the oldest calls and of the least recently active conversations first. A call can only be moved while its
//! details are kept.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::call::{CallId, CallRecord};
use super::conversation::{Conversation, MAX_SUBAGENTS, Opening, Rank, SubagentSums, end_of};
use super::sums::{ByModel, Served};
use super::thread::Thread;
use super::time::time;
use crate::record::{CascadeRun, Correlated, Id, Model, RunStarted, StepEnded};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Conversations, and threads of calls whose conversation is not known. A person begins a few
    /// dozen a day; one is kept in some 5 kB, or 50 kB if it calls every model that has a name of
    /// its own.
    pub cascades: usize,
    /// Calls with their details, of all conversations together: hours of a busy agent, in some 4
    /// MB.
    pub calls: usize,
    /// Calls with their details of one conversation: an answer that lists them has some 300 kB.
    pub calls_of_a_cascade: usize,
    /// Ended runs of one conversation.
    pub runs_of_a_cascade: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cascades: 1000,
            calls: 4000,
            calls_of_a_cascade: 500,
            runs_of_a_cascade: 20,
        }
    }
}

/// A call with its details, and where it is counted.
#[derive(Debug)]
struct StoredCall {
    thread: Thread,
    served: Served,
    record: CallRecord,
}

/// All conversations.
#[derive(Debug)]
pub(in crate::ledger) struct Store {
    limits: Limits,
    threads: HashMap<Thread, Conversation>,
    /// Every thread but [`Thread::Unknown`], which is never evicted: the least recently active one
    /// is the first.
    by_activity: BTreeMap<Rank, Thread>,
    /// The calls with their details, by number: the oldest one is the first. Those of earlier
    /// processes have negative ones.
    calls: BTreeMap<i64, StoredCall>,
    /// The sums of evicted threads.
    other: ByModel,
    /// Calls whose conversation became known after their details had been dropped.
    too_late: u64,
    /// The number of the next conversation.
    next: u64,
}

impl Store {
    /// An empty store.
    pub(in crate::ledger) fn new(limits: Limits) -> Self {
        Self {
            limits,
            threads: HashMap::new(),
            by_activity: BTreeMap::new(),
            calls: BTreeMap::new(),
            other: ByModel::default(),
            too_late: 0,
            next: 0,
        }
    }

    /// Counts a call under the conversation it is known to belong to, or under its thread.
    pub(in crate::ledger) fn place(
        &mut self,
        record: CallRecord,
        served: Served,
        cascade: Option<&Id>,
    ) {
        let number = signed(record.number);
        self.forget(number);
        let thread = Thread::new(cascade, record.trajectory.as_ref());
        let conversation = self.touch(&thread, record.started_at, record.ended_at());
        conversation.add(&served, &record);
        conversation.calls.insert(number);
        self.calls.insert(
            number,
            StoredCall {
                thread: thread.clone(),
                served,
                record,
            },
        );
        self.shrink(&thread);
    }

    /// Moves a call to where it is known to belong now.
    pub(in crate::ledger) fn correlate(&mut self, correlated: &Correlated) {
        let Some(StoredCall {
            served, mut record, ..
        }) = self.take_out(signed(correlated.call))
        else {
            self.too_late += 1;
            return;
        };
        record.method = correlated.correlation.method;
        self.place(record, served, correlated.correlation.cascade.as_ref());
    }

    pub(in crate::ledger) fn run_started(&mut self, run: &RunStarted) {
        let started_at = time(run.started_at);
        let thread = Thread::Cascade(run.cascade.clone());
        self.touch(&thread, started_at, started_at).running_since = Some(started_at);
        self.shrink(&thread);
    }

    pub(in crate::ledger) fn run_ended(&mut self, run: &CascadeRun) {
        let limit = self.limits.runs_of_a_cascade;
        let thread = Thread::Cascade(run.cascade.clone());
        self.touch(&thread, time(run.started_at), end_of(run))
            .run_ended(run, limit);
        self.shrink(&thread);
    }

    /// Steps carry no time: `now` stands for it.
    pub(in crate::ledger) fn step_ended(&mut self, step: &StepEnded, now: Timestamp) {
        let thread = Thread::Cascade(step.cascade.clone());
        *self
            .touch(&thread, now, now)
            .steps
            .entry((step.step, step.status))
            .or_default() += 1;
        self.shrink(&thread);
    }

    /// Puts a conversation of an earlier process back, whose sums were among those of all others.
    pub(in crate::ledger) fn put_back(
        &mut self,
        id: Id,
        sums: ByModel,
        began: Timestamp,
        ended: Timestamp,
    ) {
        sums.0
            .iter()
            .for_each(|(served, sums)| self.other.take_away(served, sums));
        let thread = Thread::Cascade(id);
        self.touch(&thread, began, ended).sums.merge(&sums);
        self.shrink(&thread);
    }

    /// How many runs of each conversation have ended.
    pub(in crate::ledger) fn runs_ended(&self) -> HashMap<Id, u64> {
        let threads = self.threads.iter();
        let ended = threads.filter_map(|(thread, conversation)| match thread {
            Thread::Cascade(id) => Some((id.clone(), conversation.runs_ended)),
            Thread::Trajectory(_) | Thread::Unknown => None,
        });
        ended.collect()
    }

    /// Adds sums of earlier processes, which belong to conversations that are not kept apart.
    pub(in crate::ledger) fn add_other(&mut self, sums: &ByModel) {
        self.other.merge(sums);
    }

    /// Sets how many runs of the conversation had ended with the run that was put back last.
    pub(in crate::ledger) fn runs_were(&mut self, cascade: &Id, number: u64) {
        if let Some(conversation) = self.threads.get_mut(&Thread::Cascade(cascade.clone())) {
            conversation.runs_ended = number;
        }
    }

    /// Puts a call back that the sums of its conversation count already, if there is room for its
    /// details: the newest are put back first.
    pub(in crate::ledger) fn put_back_call(
        &mut self,
        number: i64,
        cascade: Id,
        served: Served,
        record: CallRecord,
    ) {
        let (thread, limit) = (Thread::Cascade(cascade), self.limits.calls_of_a_cascade);
        let has_room = |of: &Conversation| of.calls.len() < limit;
        if self.calls.len() >= self.limits.calls || !self.threads.get(&thread).is_some_and(has_room)
        {
            return;
        }
        let conversation = self.touch(&thread, record.started_at, record.ended_at());
        conversation.opened_by(&record);
        conversation.calls.insert(number);
        self.calls.insert(
            number,
            StoredCall {
                thread,
                served,
                record,
            },
        );
    }

    /// Puts back what a subagent has called, which the sums of its conversation count already.
    pub(in crate::ledger) fn put_back_subagent(
        &mut self,
        cascade: &Id,
        subagent: Id,
        sums: SubagentSums,
    ) {
        if let Some(conversation) = self.threads.get_mut(&Thread::Cascade(cascade.clone()))
            && conversation.subagents.len() < MAX_SUBAGENTS
        {
            conversation
                .subagents
                .entry(subagent)
                .or_default()
                .merge(sums);
        }
    }

    /// Puts back which models have answered calls of a conversation instead of the one that was
    /// asked for.
    pub(in crate::ledger) fn put_back_substitutions(
        &mut self,
        cascade: &Id,
        asked: &Served,
        answered: &Model,
        calls: u64,
    ) {
        if let Some(conversation) = self.threads.get_mut(&Thread::Cascade(cascade.clone())) {
            conversation.substitutions.add(asked, answered, calls);
        }
    }

    pub(in crate::ledger) fn limits(&self) -> Limits {
        self.limits
    }

    /// The sums of every thread, and of all that are not kept apart: together they are the sums of
    /// all calls.
    pub(in crate::ledger) fn groups(&self) -> impl Iterator<Item = (Option<&Thread>, &ByModel)> {
        let threads = self
            .threads
            .iter()
            .map(|(thread, conversation)| (Some(thread), &conversation.sums));
        threads.chain([(None, &self.other)])
    }

    /// The conversation of that id.
    pub(in crate::ledger) fn cascade(&self, id: &Id) -> Option<&Conversation> {
        self.threads.get(&Thread::Cascade(id.clone()))
    }

    /// A call of this process whose details are kept, with its conversation.
    pub(in crate::ledger) fn call(&self, id: CallId) -> Option<(&CallRecord, Option<&Id>)> {
        let stored = self.calls.get(&signed(id.number()))?;
        let cascade = match &stored.thread {
            Thread::Cascade(cascade) => Some(cascade),
            Thread::Trajectory(_) | Thread::Unknown => None,
        };
        (stored.record.id == id).then_some((&stored.record, cascade))
    }

    /// Conversations that were active before `rank`, the newest activity first.
    pub(in crate::ledger) fn cascades(
        &self,
        before: Option<Rank>,
    ) -> impl Iterator<Item = (&Id, &Conversation)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (Unbounded, before.map_or(Unbounded, Excluded));
        self.by_activity
            .range(range)
            .rev()
            .filter_map(|(_, thread)| match thread {
                Thread::Cascade(id) => Some((id, self.threads.get(thread)?)),
                Thread::Trajectory(_) | Thread::Unknown => None,
            })
    }

    /// The calls of a conversation that are kept, the newest first.
    pub(in crate::ledger) fn calls_of(
        &self,
        conversation: &Conversation,
    ) -> impl Iterator<Item = &CallRecord> {
        conversation
            .calls
            .iter()
            .rev()
            .filter_map(|number| self.calls.get(number))
            .map(|kept| &kept.record)
    }

    pub(in crate::ledger) fn too_late(&self) -> u64 {
        self.too_late
    }

    /// The thread, which is made where there is none, after something happened in it.
    fn touch(&mut self, thread: &Thread, began: Timestamp, ended: Timestamp) -> &mut Conversation {
        self.next += 1;
        let made = || Conversation::new(self.next, began);
        let conversation = self.threads.entry(thread.clone()).or_insert_with(made);
        self.by_activity.remove(&conversation.rank);
        conversation.touch(began, ended);
        if *thread != Thread::Unknown {
            self.by_activity.insert(conversation.rank, thread.clone());
        }
        conversation
    }

    /// Keeps every limit after `thread` has grown.
    fn shrink(&mut self, thread: &Thread) {
        let limit = self.limits.calls_of_a_cascade;
        let grown = self
            .threads
            .get_mut(thread)
            .filter(|conversation| conversation.calls.len() > limit);
        if let Some(oldest) = grown.and_then(|conversation| conversation.calls.pop_first()) {
            self.calls.remove(&oldest);
        }
        if self.calls.len() > self.limits.calls
            && let Some(oldest) = self.calls.keys().next().copied()
        {
            self.forget(oldest);
        }
        if self.by_activity.len() > self.limits.cascades {
            self.evict();
        }
    }

    /// Evicts the least recently active thread; its sums are kept.
    fn evict(&mut self) {
        let evicted = self
            .by_activity
            .pop_first()
            .and_then(|(_, thread)| self.threads.remove(&thread));
        let Some(evicted) = evicted else { return };
        self.other.merge(&evicted.sums);
        evicted
            .calls
            .iter()
            .for_each(|number| _ = self.calls.remove(number));
    }

    /// Drops a call's details; it stays counted where it is.
    fn forget(&mut self, number: i64) -> Option<StoredCall> {
        let kept = self.calls.remove(&number)?;
        if let Some(conversation) = self.threads.get_mut(&kept.thread) {
            conversation.calls.remove(&number);
        }
        Some(kept)
    }

    /// Takes a call out of its thread, and the thread away if nothing else is known of it.
    fn take_out(&mut self, number: i64) -> Option<StoredCall> {
        let kept = self.forget(number)?;
        let conversation = self.threads.get_mut(&kept.thread)?;
        conversation.take_away(&kept.served, &kept.record);
        let others = conversation.calls.iter();
        let others = others.filter_map(|number| self.calls.get(number));
        conversation.opening = Opening::of(others.map(|call| &call.record));
        if conversation.is_empty() {
            self.by_activity.remove(&conversation.rank);
            self.threads.remove(&kept.thread);
        }
        Some(kept)
    }
}

/// The number of a call of this process.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
