//! The conversations of one agent, and the streams of their states.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::log::Log;
use super::state::Cascade;
use super::viewers::{StayingViewer, Viewers};

/// The conversations in the order of their beginning.
#[derive(Debug, Default)]
pub(in crate::demo::agent) struct Store {
    conversations: Mutex<VecDeque<Arc<StoredConversation>>>,
    log: Arc<Mutex<Log>>,
}

/// One conversation: its current state, and the channel of its changes.
#[derive(Debug)]
pub(in crate::demo::agent) struct StoredConversation {
    state: Mutex<Arc<Cascade>>,
    news: broadcast::Sender<Arc<Cascade>>,
    viewers: Viewers,
    log: Arc<Mutex<Log>>,
}

/// What an id names: a conversation, or a subagent of one.
#[derive(Debug, Clone)]
pub(in crate::demo::agent) struct Subject {
    stored: Arc<StoredConversation>,
    subagent: Option<usize>,
}

/// Every state of a subject from now on, none left out unless the reader falls far behind.
pub(in crate::demo::agent) struct Snapshots {
    first: Option<Arc<Cascade>>,
    news: broadcast::Receiver<Arc<Cascade>>,
    subagent: Option<usize>,
    /// Held as long as the snapshots.
    _place: Option<StayingViewer>,
}

impl Store {
    /// Begins a conversation. The oldest ones that are over are dropped.
    pub(in crate::demo::agent) fn open(&self, cascade: Cascade) -> Arc<StoredConversation> {
        let stored = Arc::new(StoredConversation {
            state: Mutex::new(Arc::new(cascade)),
            news: broadcast::Sender::new(NEWS),
            viewers: Viewers::default(),
            log: Arc::clone(&self.log),
        });
        let mut conversations = lock(&self.conversations);
        conversations.push_back(Arc::clone(&stored));
        while conversations.len() > MAX_CONVERSATIONS {
            let Some(at) = conversations
                .iter()
                .position(|stored| Arc::strong_count(stored) == 1)
            else {
                break;
            };
            conversations.remove(at);
        }
        stored
    }

    /// Finds what an id names.
    pub(in crate::demo::agent) fn find(&self, id: &str) -> Option<Subject> {
        lock(&self.conversations).iter().find_map(|stored| {
            let state = stored.state();
            let subagent = state
                .subagents
                .iter()
                .position(|subagent| subagent.inside.is_none() && subagent.id == id);
            (state.id == id || subagent.is_some()).then(|| Subject {
                stored: Arc::clone(stored),
                subagent,
            })
        })
    }

    /// Every conversation, those of subagents included, for a client that asks for the list.
    pub(in crate::demo::agent) fn all(&self) -> Vec<Cascade> {
        let conversations = lock(&self.conversations).clone();
        conversations
            .iter()
            .for_each(|stored| stored.viewers.note_listing());
        let states = conversations.iter().map(|stored| stored.state());
        states
            .flat_map(|state| {
                let own = state
                    .subagents
                    .iter()
                    .enumerate()
                    .filter(|(_, subagent)| subagent.inside.is_none());
                let subagents: Vec<_> = own
                    .filter_map(|(number, _)| state.of_subagent(number))
                    .collect();
                std::iter::once(Cascade::clone(&state)).chain(subagents)
            })
            .collect()
    }

    /// Writes to the log what is part of no conversation that can be followed.
    pub(in crate::demo::agent) fn note(&self, note: impl FnOnce(&mut Log)) {
        note(&mut lock(&self.log));
    }

    /// What happened so far.
    pub(in crate::demo::agent) fn log(&self) -> Log {
        lock(&self.log).clone()
    }
}

impl StoredConversation {
    /// The current state.
    pub(in crate::demo::agent) fn state(&self) -> Arc<Cascade> {
        Arc::clone(&lock(&self.state))
    }

    /// Changes the state at one moment, and notifies its followers afterwards.
    pub(in crate::demo::agent) fn write<T>(
        &self,
        change: impl FnOnce(&mut Cascade, Timestamp) -> T,
    ) -> T {
        let mut state = lock(&self.state);
        let now = Timestamp::now();
        let cascade = Arc::make_mut(&mut state);
        cascade.modified = now;
        let result = change(cascade, now);
        // It is fine if there are no receivers.
        let _ = self.news.send(Arc::clone(&state));
        result
    }

    /// Writes to the log. Within [`StoredConversation::write`] the entry is there before any client
    /// sees the new state.
    pub(in crate::demo::agent) fn note(&self, note: impl FnOnce(&mut Log)) {
        note(&mut lock(&self.log));
    }

    /// Within the [`StoredConversation::write`] that ends a run: a client without a staying stream
    /// has to look again to see the next one.
    pub(in crate::demo::agent) fn run_ended(&self) {
        self.viewers.run_ended();
    }

    /// Waits for a client that will see the next run; `false` when none came within `limit`.
    pub(in crate::demo::agent) async fn is_watched(&self, limit: Duration) -> bool {
        self.viewers.wait(limit).await
    }
}

impl Subject {
    /// The current state, for a client that looks once.
    pub(in crate::demo::agent) fn state(&self) -> Option<Cascade> {
        let state = self.stored.state();
        self.stored.viewers.note_request();
        view(&state, self.subagent)
    }

    /// The current state, then every later one, for a client that stays across runs or just looks
    /// at the next one.
    pub(in crate::demo::agent) fn follow(&self, stays: bool) -> Snapshots {
        // Under the lock no state can fall between the two.
        let state = lock(&self.stored.state);
        let news = self.stored.news.subscribe();
        let place = stays.then(|| self.stored.viewers.join());
        if !stays {
            self.stored.viewers.note_request();
        }
        Snapshots {
            first: Some(Arc::clone(&state)),
            news,
            subagent: self.subagent,
            _place: place,
        }
    }
}

impl Snapshots {
    /// The next state; `None` when the conversation is forgotten. Cancel-safe.
    pub(in crate::demo::agent) async fn next(&mut self) -> Option<Cascade> {
        loop {
            let state = match self.first.take() {
                Some(state) => state,
                None => match self.news.recv().await {
                    Ok(state) => state,
                    // What was missed is part of the next state.
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            };
            if let Some(state) = view(&state, self.subagent) {
                return Some(state);
            }
        }
    }
}

fn view(state: &Arc<Cascade>, subagent: Option<usize>) -> Option<Cascade> {
    match subagent {
        None => Some(Cascade::clone(state)),
        Some(number) => state.of_subagent(number),
    }
}

/// What a panicking thread left behind is still consistent: every change is whole before the lock
/// is let go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// States that a slow reader may be behind; a run has about thirty.
const NEWS: usize = 1024;
/// Most conversations that are kept besides those that go on.
const MAX_CONVERSATIONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::agent::cascade::RunStatus;

    fn cascade(number: usize) -> Cascade {
        Cascade::new(
            format!("c{number}"),
            format!("t{number}"),
            Timestamp::UNIX_EPOCH,
        )
    }

    #[tokio::test]
    async fn a_follower_sees_every_state_in_order() {
        let store = Store::default();
        let stored = store.open(cascade(0));
        let mut snapshots = store.find("c0").unwrap().follow(true);
        for status in [RunStatus::Running, RunStatus::Canceling, RunStatus::Idle] {
            stored.write(|cascade, _| cascade.main.status = status);
        }
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(snapshots.next().await.unwrap().main.status);
        }
        assert_eq!(
            seen,
            [
                RunStatus::Idle,
                RunStatus::Running,
                RunStatus::Canceling,
                RunStatus::Idle
            ]
        );
    }

    #[tokio::test]
    async fn old_conversations_are_forgotten_but_not_those_that_go_on() {
        let store = Store::default();
        let kept = store.open(cascade(0));
        drop(store.open(cascade(1)));
        let mut forgotten = store.find("c1").unwrap().follow(true);
        for number in 2..=MAX_CONVERSATIONS {
            drop(store.open(cascade(number)));
        }
        assert!(
            store.find("c0").is_some() && store.find("c1").is_none() && store.find("c2").is_some()
        );
        assert!(forgotten.next().await.is_some());
        assert!(forgotten.next().await.is_none());
        drop(kept);
    }
}
