//! Stands before all views: gives each call its conversation, and turns the agent's news into runs and steps.
//!
//! Facts enter and leave, enriched; news of the agent ([`Update`]) enter from whoever follows it. A call whose conversation
//! is not known yet goes on at once; what is learned later follows as [`Fact::Correlated`]. Nothing is guessed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::conversation::Moment;
use super::read::Summary;
use super::state::State;
use super::update::Update;
use crate::record::{Call, Fact, FollowFailure, Id, JoinedIds, Record, UpdateSource};

/// The record that knows conversations.
pub struct Correlator {
    next: Arc<dyn Record>,
    /// Guards all that is known; held while facts are handed on, so that what is said later arrives later.
    state: Mutex<State>,
    /// A call names a conversation that nobody knows: whoever follows the agent should look.
    wanted: Notify,
}

impl Correlator {
    /// Hands every fact on to `next`.
    #[must_use]
    pub fn new(next: Arc<dyn Record>) -> Self {
        Self { next, state: Mutex::default(), wanted: Notify::new() }
    }

    /// An agent is being followed from now on: its word on conversations will come.
    pub fn followed(&self) {
        self.state().follow(SystemTime::now());
    }

    /// The agent is gone, or is not followed any more.
    pub fn unfollowed(&self) {
        self.with(|state, now| state.unfollow(now));
    }

    /// News of a conversation came.
    pub fn update(&self, cascade: &Id, update: &Update, source: UpdateSource) {
        self.with(|state, now| {
            let mut facts = vec![Fact::CascadeUpdated(source)];
            facts.extend(state.update(cascade, update, source, now));
            facts
        });
    }

    /// The agent's list of conversations came.
    pub fn summaries(&self, summaries: &[Summary]) {
        self.with(|state, now| state.summaries(summaries, now));
    }

    /// The agent has this conversation no more.
    pub fn deleted(&self, cascade: &Id) {
        self.with(|state, now| state.delete(cascade, now));
    }

    /// News of a conversation was lost.
    pub fn failed(&self, failure: FollowFailure) {
        self.next.record(Fact::FollowFailed(failure));
    }

    /// How many steps and generations are known of a conversation, or of the trajectory of a subagent's.
    #[must_use]
    pub fn known(&self, cascade: &Id) -> (u32, u32) {
        self.state().known(cascade)
    }

    /// Whether a run of the conversation, or of the one that it works for, is under way, or might go on.
    #[must_use]
    pub fn is_running(&self, cascade: &Id) -> bool {
        self.state().is_running(cascade)
    }

    /// Waits until a call names a conversation that nobody knows. Cancel-safe; one waiter at a time.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Settles what has waited long enough; called several times a second.
    pub fn tick(&self) {
        self.with(State::tick);
    }

    fn call(&self, mut call: Box<Call>) {
        let now = now();
        let mut state = self.state();
        let is_open = state.correlate(&mut call);
        self.next.record(Fact::Call(call.clone()));
        state.take(&call, now).into_iter().for_each(|fact| self.next.record(fact));
        drop(state);
        if is_open {
            self.wanted.notify_one();
        }
    }

    fn joined(&self, ids: JoinedIds) {
        self.next.record(Fact::IdsJoined(ids.clone()));
        self.with(|state, now| {
            let mut facts = vec![Fact::CascadeUpdated(UpdateSource::Traffic)];
            facts.extend(state.join(&ids, now));
            facts
        });
    }

    fn with(&self, change: impl FnOnce(&mut State, Moment) -> Vec<Fact>) {
        let now = now();
        let mut state = self.state();
        change(&mut state, now).into_iter().for_each(|fact| self.next.record(fact));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record for Correlator {
    fn record(&self, fact: Fact) {
        match fact {
            Fact::Call(call) => self.call(call),
            Fact::IdsJoined(ids) => self.joined(ids),
            other => self.next.record(other),
        }
    }
}

fn now() -> Moment {
    Moment { at: std::time::Instant::now(), wall: SystemTime::now() }
}
