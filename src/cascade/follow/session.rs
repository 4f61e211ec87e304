//! All conversations of one agent: who is watched on a stream, who is asked for, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Config;
use super::ask::{Agent, Failure};
use super::ladder::{Ladder, Rung};
use super::watch::{Watch, WatchEnd};
use crate::cascade::client::Client;
use crate::cascade::correlate::Correlator;
use crate::cascade::read::{ModelConfig, Summary};
use crate::cascade::update::{RunStatus, Update};
use crate::dialect::quota::Told;
use crate::record::{
    Fact, FollowFailure, Id, Model, ModelName, Provider, Quota, QuotaWindow, Record as _, UpdateSource,
};

/// One agent that is being followed.
pub(super) struct Session {
    config: Config,
    agent: Arc<Agent>,
    correlator: Arc<Correlator>,
    ladder: Ladder,
    watches: JoinSet<(Id, Rung, WatchEnd)>,
    watched: BTreeMap<Id, (Rung, AbortHandle)>,
    /// Conversations whose streams fail: they are asked for until the ladder is climbed again.
    failing: BTreeSet<Id>,
    /// What the list said last; `None` before the first look.
    listed: Option<BTreeMap<Id, Listed>>,
    /// Looks that failed in a row.
    failures: u32,
    /// The agent's word counts: it answers.
    is_followed: bool,
    /// Failures of these kinds have been logged.
    told: BTreeSet<FollowFailure>,
    /// Models on the wire by the agent's own numbers.
    placeholders: BTreeMap<Id, Model>,
}

/// What the list says of a conversation, as far as it shows that something has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Listed {
    status: Option<RunStatus>,
    step_count: Option<u32>,
    last_modified: Option<SystemTime>,
}

impl Session {
    pub(super) fn new(config: Config, client: Client, correlator: Arc<Correlator>) -> Self {
        Self {
            ladder: Ladder::new(config.retry_upward),
            config,
            agent: Arc::new(Agent::new(client)),
            correlator,
            watches: JoinSet::new(),
            watched: BTreeMap::new(),
            failing: BTreeSet::new(),
            listed: None,
            failures: 0,
            is_followed: false,
            told: BTreeSet::new(),
            placeholders: BTreeMap::new(),
        }
    }

    /// Follows for as long as the caller waits.
    pub(super) async fn run(mut self) {
        let mut quotas = interval(self.config.quota_interval);
        quotas.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let correlator = Arc::clone(&self.correlator);
        loop {
            let works = self.look().await;
            let pause = self.pause(works);
            // What ends one of these early is kept: a permit of the correlator, an ended watch, a tick.
            tokio::select! {
                () = sleep(pause) => {}
                () = async { correlator.wanted().await; sleep(BETWEEN_LOOKS).await; } => {}
                Some(ended) = self.watches.join_next() => {
                    if let Ok((cascade, rung, end)) = ended {
                        self.watch_ended(&cascade, rung, end);
                    }
                }
                _ = quotas.tick() => self.ask_for_quotas().await,
            }
        }
    }

    /// Until the next look.
    fn pause(&self, works: bool) -> Duration {
        let asks = self.ladder.rung() == Rung::Polling || !self.failing.is_empty();
        match (self.failures, asks && works) {
            (0, true) => self.config.poll_interval,
            (0, false) => self.config.idle_interval,
            (failures, _) => {
                (self.config.poll_interval * 2u32.saturating_pow(failures.min(8))).min(self.config.idle_interval)
            }
        }
    }

    /// Looks at the list of conversations, and at those that no stream tells of. Returns whether any is being worked on.
    async fn look(&mut self) -> bool {
        if self.ladder.climb(Instant::now()) {
            self.failing.clear();
            self.watched.retain(|_, (rung, handle)| {
                let stays = *rung == Rung::AgentState;
                if !stays {
                    handle.abort();
                }
                stays
            });
        }
        let summaries = match self.agent.summaries().await {
            Ok(summaries) => summaries,
            Err(failure) => {
                self.look_failed(failure);
                return false;
            }
        };
        self.failures = 0;
        if !std::mem::replace(&mut self.is_followed, true) {
            self.correlator.followed();
        }
        self.correlator.summaries(&summaries);
        self.forget_deleted(&summaries);
        let mut works = false;
        let is_first = self.listed.is_none();
        let mut listed = self.listed.take().unwrap_or_default();
        for summary in &summaries {
            let now = Listed::of(summary);
            let has_changed = listed.insert(summary.cascade.clone(), now.clone()).as_ref() != Some(&now);
            let is_worked_on = is_worked_on(summary) || self.correlator.is_running(&summary.cascade);
            works |= is_worked_on;
            // What is idle at the first look is history.
            if is_worked_on || (has_changed && !is_first) {
                self.attend(summary).await;
            }
        }
        self.listed = Some(listed);
        works
    }

    /// A conversation has news: they come by a stream, or are asked for.
    async fn attend(&mut self, summary: &Summary) {
        let cascade = &summary.cascade;
        if self.watched.contains_key(cascade) {
            return;
        }
        let rung = self.ladder.rung();
        // The state of a conversation tells of its subagents.
        if rung == Rung::AgentState && summary.root.is_some() && !self.failing.contains(cascade) {
            return;
        }
        let can_be_watched =
            rung != Rung::Polling && self.watched.len() < self.config.max_streams && !self.failing.contains(cascade);
        if can_be_watched {
            let watch = Watch {
                agent: Arc::clone(&self.agent),
                correlator: Arc::clone(&self.correlator),
                cascade: cascade.clone(),
                rung,
            };
            let handle = self.watches.spawn(watch.run());
            self.watched.insert(cascade.clone(), (rung, handle));
        } else if let Err(failure) = self.ask_for(summary).await {
            self.tell(failure);
        }
    }

    /// Asks for what has been added to a conversation, and for the latest steps once more: they may have changed.
    async fn ask_for(&mut self, summary: &Summary) -> Result<(), Failure> {
        let cascade = &summary.cascade;
        let (steps, generations) = self.correlator.known(cascade, summary.trajectory.as_ref());
        let mut main = self.agent.steps(cascade, steps.saturating_sub(STEPS_AGAIN)).await?;
        main.generations = self.agent.generations(cascade, generations).await?.generations;
        let update = Update {
            cascade: Some(cascade.clone()),
            root: summary.root.clone(),
            trajectory: summary.trajectory.clone(),
            status: summary.status,
            fully_idle: false,
            has_active_children: summary.has_active_children || summary.not_fully_idle,
            main,
            subtrajectories: Vec::new(),
        };
        self.correlator.update(cascade, &update, UpdateSource::Polling);
        Ok(())
    }

    fn watch_ended(&mut self, cascade: &Id, rung: Rung, end: WatchEnd) {
        self.watched.remove(cascade);
        // What changed meanwhile was left to the stream: it counts as changed once more.
        if let Some(listed) = self.listed.as_mut().and_then(|listed| listed.get_mut(cascade)) {
            *listed = Listed::default();
        }
        match end {
            WatchEnd::Deleted => self.correlator.deleted(cascade),
            WatchEnd::Failing(failure) => {
                self.failing.insert(cascade.clone());
                self.log(failure);
            }
            WatchEnd::Missing => {
                self.correlator.failed(FollowFailure::Disabled);
                if self.ladder.missing(rung, Instant::now()) {
                    tracing::info!(?rung, next = ?self.ladder.rung(), "the agent does not offer this way of following it");
                }
            }
            WatchEnd::Quiet => {}
        }
    }

    fn look_failed(&mut self, failure: Failure) {
        self.tell(failure);
        self.failures = self.failures.saturating_add(1);
        if self.failures == GONE_AFTER && std::mem::replace(&mut self.is_followed, false) {
            self.watches.abort_all();
            self.watched.clear();
            self.listed = None;
            self.correlator.unfollowed();
        }
    }

    fn forget_deleted(&mut self, summaries: &[Summary]) {
        let Some(listed) = &mut self.listed else { return };
        let there: BTreeSet<&Id> = summaries.iter().map(|summary| &summary.cascade).collect();
        let gone: Vec<Id> = listed.keys().filter(|cascade| !there.contains(cascade)).cloned().collect();
        for cascade in gone {
            listed.remove(&cascade);
            self.failing.remove(&cascade);
            self.correlator.deleted(&cascade);
        }
    }

    async fn ask_for_quotas(&mut self) {
        match self.agent.models().await {
            Ok(told) => {
                let numbered = |name: &ModelName| Some((name.placeholder.clone()?, name.model.clone()));
                self.placeholders.extend(told.names.iter().filter_map(numbered));
                self.state(told);
            }
            Err(failure) => self.tell_unless_missing(failure),
        }
        match self.agent.quotas().await {
            Ok(told) => self.state(told),
            Err(failure) if failure.is_missing() => self.ask_for_user_status().await,
            Err(failure) => self.tell(failure),
        }
    }

    async fn ask_for_user_status(&mut self) {
        match self.agent.user_status().await {
            Ok(models) => {
                let quotas = models.into_iter().filter_map(|model| self.quota(model)).collect();
                self.state(Told { names: Vec::new(), quotas });
            }
            Err(failure) => self.tell_unless_missing(failure),
        }
    }

    /// Under the model's name on the wire, where that is known.
    fn quota(&self, of: ModelConfig) -> Option<Quota> {
        let named = || Model::from_wire(of.placeholder.as_str());
        Some(Quota {
            provider: Provider::CloudCode,
            model: self.placeholders.get(&of.placeholder).cloned().unwrap_or_else(named),
            window: QuotaWindow::Unspecified,
            remaining: of.remaining?,
            resets_at: of.resets_at,
        })
    }

    fn state(&self, told: Told) {
        told.facts().for_each(|fact: Fact| self.correlator.record(fact));
    }

    fn tell_unless_missing(&mut self, failure: Failure) {
        if !failure.is_missing() {
            self.tell(failure);
        }
    }

    fn tell(&mut self, failure: Failure) {
        self.correlator.failed(failure.reason());
        self.log(failure);
    }

    /// Each kind once: an agent that is away fails every second.
    fn log(&mut self, failure: Failure) {
        if self.told.insert(failure.reason()) {
            tracing::warn!(error = %failure, "news of the agent's conversations are lost; its traffic is not affected");
        }
    }
}

impl Listed {
    fn of(summary: &Summary) -> Self {
        let Summary { status, step_count, last_modified, .. } = summary;
        Self { status: *status, step_count: *step_count, last_modified: *last_modified }
    }
}

fn is_worked_on(summary: &Summary) -> bool {
    let works = matches!(summary.status, Some(RunStatus::Busy | RunStatus::Canceling | RunStatus::Running));
    works || summary.has_active_children || summary.not_fully_idle
}

/// Many calls may name unknown conversations at once; one look answers for all of them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// After so many failed looks in a row the agent counts as gone.
const GONE_AFTER: u32 = 3;

/// A step changes while it is one of the latest; a project that polls for a living reads as many again.
const STEPS_AGAIN: u32 = 20;
