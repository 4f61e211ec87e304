//! The record in front of all views: gives each call its conversation, and turns the agent's
//! updates into runs and steps.
//!
//! Facts pass through, enriched; updates of the agent ([`Update`]) come from `follow`. A call whose
//! conversation is not known yet is passed on at once; what is learned later follows as
//! [`Fact::Correlated`]. Nothing is guessed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::conversation::Moment;
use super::read::Summary;
use super::state::{Arrival, CorrelatorState};
use super::update::Update;
use crate::record::{Call, Fact, FollowFailure, Id, JoinedIds, Record, Sampling, UpdateSource};

/// A [`Record`] that assigns calls to conversations.
pub struct Correlator {
    next: Arc<dyn Record>,
    /// Guards everything that is known; locked while facts are passed on, so that they arrive in
    /// order.
    state: Mutex<CorrelatorState>,
    /// Notified when a call names an unknown conversation, or a run may be over: the follower
    /// should poll the agent's list of conversations.
    wanted: Notify,
}

impl Correlator {
    /// A correlator that passes every fact on to `next`.
    #[must_use]
    pub fn new(next: Arc<dyn Record>) -> Self {
        Self {
            next,
            state: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    /// Also assigns span contexts to calls and runs, recorded as `sampling` says.
    #[must_use]
    pub fn tracing(self, sampling: Sampling) -> Self {
        self.state().trace(sampling);
        self
    }

    /// An agent is being followed from now on, so its updates on conversations will come.
    pub fn followed(&self) {
        self.state().follow(SystemTime::now());
    }

    /// The agent is gone, or is no longer followed.
    pub fn unfollowed(&self) {
        self.with(|state, now| state.unfollow(now));
    }

    /// Applies an update of a conversation.
    pub fn update(&self, cascade: &Id, update: &Update, source: UpdateSource) {
        self.with(|state, now| state.update(cascade, update, source, now));
        // The source does not report subagents and the conversation looks idle. A poller has the
        // list already.
        if source != UpdateSource::Polling && self.needs_list(cascade) {
            self.wanted.notify_one();
        }
    }

    /// Whether a run is over unless subagents still work, which only the agent's list of
    /// conversations may show.
    #[must_use]
    pub fn needs_list(&self, cascade: &Id) -> bool {
        self.state().needs_list(cascade)
    }

    /// The first step that may still change in a conversation with this main trajectory, which may
    /// be a subagent's.
    #[must_use]
    pub fn first_open_step(&self, cascade: &Id, trajectory: Option<&Id>) -> Option<u32> {
        self.state().first_open_step(cascade, trajectory)
    }

    /// Whether calls of a conversation wait for their run, so that there must have been one.
    #[must_use]
    pub fn has_waiting_calls(&self, cascade: &Id) -> bool {
        self.state().has_waiting_calls(cascade)
    }

    /// Applies the agent's list of conversations.
    pub fn summaries(&self, summaries: &[Summary]) {
        self.with(|state, now| state.summaries(summaries, now));
    }

    /// The agent no longer has this conversation.
    pub fn deleted(&self, cascade: &Id) {
        self.with(|state, now| state.delete(cascade, now));
    }

    /// Updates of a conversation were lost.
    pub fn failed(&self, failure: FollowFailure) {
        self.next.record(Fact::FollowFailed(failure));
    }

    /// The number of known steps and generations of a conversation with this main trajectory, which
    /// may be a subagent's.
    #[must_use]
    pub fn known(&self, cascade: &Id, trajectory: Option<&Id>) -> (u32, u32) {
        self.state().known(cascade, trajectory)
    }

    /// Whether a run of the conversation is under way, might go on, or is awaited, so that updates
    /// will come. For a subagent's conversation: whether it works within a run.
    #[must_use]
    pub fn is_running(&self, cascade: &Id) -> bool {
        self.state().is_running(cascade)
    }

    /// Waits until the agent's list of conversations is needed at once. Cancel-safe; one waiter at
    /// a time.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Finishes what has waited long enough; called several times a second.
    pub fn tick(&self) {
        self.with(CorrelatorState::tick);
    }

    /// No further calls come: runs that are known from calls alone end here.
    pub fn stop(&self) {
        self.with(CorrelatorState::stop);
    }

    fn call(&self, mut call: Box<Call>) {
        let now = now();
        let mut state = self.state();
        let Arrival { named_by, is_open } = state.correlate(&mut call, now);
        self.pass_on(&mut state);
        self.next.record(Fact::Call(call.clone()));
        state.record_call(&call, named_by, now);
        self.pass_on(&mut state);
        drop(state);
        if is_open {
            self.wanted.notify_one();
        }
    }

    fn joined(&self, ids: JoinedIds) {
        self.next.record(Fact::IdsJoined(ids.clone()));
        self.with(|state, now| state.join(&ids, now));
    }

    fn with(&self, change: impl FnOnce(&mut CorrelatorState, Moment)) {
        let now = now();
        let mut state = self.state();
        change(&mut state, now);
        self.pass_on(&mut state);
    }

    /// Records the facts that follow from what has changed.
    fn pass_on(&self, state: &mut CorrelatorState) {
        state.take_facts().for_each(|fact| self.next.record(fact));
    }

    fn state(&self) -> MutexGuard<'_, CorrelatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record for Correlator {
    fn record(&self, fact: Fact) {
        match fact {
            Fact::Call(call) => self.call(call),
            Fact::CallStarted(started) => {
                self.state().call_started(&started, now());
                self.next.record(Fact::CallStarted(started));
            }
            Fact::IdsJoined(ids) => self.joined(ids),
            other => self.next.record(other),
        }
    }
}

fn now() -> Moment {
    Moment {
        at: std::time::Instant::now(),
        wall: SystemTime::now(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::cascade::test_updates::{id, idle, running};
    use crate::cascade::update::Step;
    use crate::record::{
        CallIds, Correlation, CorrelationMethod, StepKind, StepStatus, sample_call,
    };

    /// Keeps all facts in their order.
    #[derive(Default)]
    struct Facts(Mutex<Vec<Fact>>);

    impl Record for Facts {
        fn record(&self, fact: Fact) {
            self.0.lock().unwrap().push(fact);
        }
    }

    impl Facts {
        fn take(&self) -> Vec<Fact> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn correlator() -> (Arc<Facts>, Correlator) {
        let facts = Arc::new(Facts::default());
        (facts.clone(), Correlator::new(facts))
    }

    fn call(number: u64, trajectory: &str) -> Fact {
        Fact::Call(Box::new(Call {
            number,
            ids: CallIds {
                labelled_trajectory: Some(id(trajectory)),
                ..CallIds::default()
            },
            correlation: Correlation {
                cascade: None,
                method: CorrelationMethod::Labels,
            },
            ..sample_call()
        }))
    }

    fn joined(trajectory: &str, cascade: &str) -> JoinedIds {
        JoinedIds {
            trajectory: Some(id(trajectory)),
            cascade: Some(id(cascade)),
            provider_trace: None,
        }
    }

    fn message() -> Step {
        let created_at = Some(SystemTime::now());
        Step {
            kind: StepKind::UserInput,
            status: StepStatus::Done,
            created_at,
            ..Step::default()
        }
    }

    #[test]
    fn facts_pass_in_their_order_with_what_is_known() {
        let (facts, correlator) = correlator();
        correlator.record(Fact::AgentUp(true));
        correlator.record(call(1, "t"));
        correlator.record(Fact::IdsJoined(joined("t", "c")));
        correlator.record(call(2, "t"));
        let said: Vec<String> = facts
            .take()
            .into_iter()
            .map(|fact| match fact {
                Fact::Call(call) => {
                    format!(
                        "call {} {:?}",
                        call.number,
                        call.correlation.cascade.map(|id| id.to_string())
                    )
                }
                Fact::Correlated(correlated) => format!("correlated {}", correlated.call),
                Fact::CorrelationSettled(method) => format!("settled {method}"),
                Fact::CascadeUpdated(source) => format!("updated {source}"),
                Fact::IdsJoined(_) => "joined".to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        let expected = [
            "AgentUp(true)",
            "call 1 None",
            "joined",
            "updated traffic",
            "settled labels",
            "correlated 1",
            "call 2 Some(\"c\")",
            "settled labels",
            "updated traffic",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn news_of_the_agent_become_facts() {
        let (facts, correlator) = correlator();
        correlator.followed();
        assert!(!correlator.is_running(&id("c")));
        correlator.update(
            &id("c"),
            &running().steps(0, [message()]),
            UpdateSource::AgentState,
        );
        assert!(correlator.is_running(&id("c")));
        assert_eq!(correlator.known(&id("c"), None), (1, 0));
        correlator.update(&id("c"), &idle(), UpdateSource::AgentState);
        correlator.failed(FollowFailure::Timeout);
        correlator.tick();
        correlator.deleted(&id("c"));
        correlator.unfollowed();
        let facts = facts.take();
        let is_expected: Vec<bool> = vec![
            facts[0] == Fact::CascadeUpdated(UpdateSource::AgentState),
            matches!(&facts[1], Fact::RunStarted(run) if run.cascade == id("c")),
            matches!(&facts[2], Fact::StepEnded(step) if step.step == StepKind::UserInput),
            facts[3] == Fact::CascadeUpdated(UpdateSource::AgentState),
            facts[4] == Fact::FollowFailed(FollowFailure::Timeout),
            matches!(&facts[5], Fact::RunEnded(run) if run.cascade == id("c")),
        ];
        assert_eq!(is_expected, [true; 6], "{facts:?}");
        assert_eq!(facts.len(), 6);
    }

    #[tokio::test]
    async fn who_follows_is_woken_by_a_call_of_an_unknown_conversation() {
        let (_, correlator) = correlator();
        correlator.record(call(1, "t"));
        correlator.followed();
        correlator.record(Fact::IdsJoined(joined("t", "c")));
        correlator.record(call(2, "t"));
        let mut wanted = std::pin::pin!(correlator.wanted());
        assert!(
            futures_util::poll!(&mut wanted).is_pending(),
            "what is known is not asked for"
        );
        correlator.record(call(3, "u"));
        wanted.await;
    }

    #[test]
    fn of_many_threads_no_fact_is_lost_and_a_call_comes_before_what_is_learned_of_it() {
        const CALLS: u64 = 400;
        let (facts, correlator) = correlator();
        correlator.followed();
        let (made, to_learn) = mpsc::channel();
        thread::scope(|threads| {
            for worker in 0..4 {
                let (made, correlator) = (made.clone(), &correlator);
                threads.spawn(move || {
                    for number in (0..CALLS).filter(|number| number % 4 == worker) {
                        // Another thread learns the conversation while this one states the call.
                        made.send(number).unwrap();
                        correlator.record(call(number, &format!("t{number}")));
                        correlator.record(Fact::AgentUp(true));
                    }
                });
            }
            drop(made);
            threads.spawn(|| {
                for number in to_learn {
                    correlator.record(Fact::IdsJoined(joined(&format!("t{number}"), "c")));
                    correlator.tick();
                }
            });
        });
        let facts = facts.take();
        let count = |is: fn(&Fact) -> bool| facts.iter().filter(|fact| is(fact)).count() as u64;
        assert_eq!(count(|fact| matches!(fact, Fact::AgentUp(true))), CALLS);
        assert_eq!(count(|fact| matches!(fact, Fact::IdsJoined(_))), CALLS);
        assert_eq!(count(|fact| matches!(fact, Fact::Call(_))), CALLS);
        assert_eq!(
            count(|fact| matches!(fact, Fact::CorrelationSettled(_))),
            CALLS
        );
        let mut stated = std::collections::BTreeMap::new();
        for fact in &facts {
            match fact {
                Fact::Call(call) => {
                    let known = call.correlation.cascade.is_some();
                    assert_eq!(stated.insert(call.number, known), None);
                }
                Fact::Correlated(correlated) => {
                    assert_eq!(
                        stated.insert(correlated.call, true),
                        Some(false),
                        "call {}",
                        correlated.call
                    );
                }
                _ => {}
            }
        }
        assert!(stated.len() as u64 == CALLS && stated.values().all(|known| *known));
    }
}
