//! All conversations of one agent: who is watched on a stream, who is asked for, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id as TaskId, JoinError, JoinSet};
use tokio::time::sleep;

use super::Config;
use super::ask::{Agent, Failure};
use super::complaints::Complaints;
use super::ladder::{Ladder, Rung};
use super::quotas::Quotas;
use super::watch::{Watch, WatchEnd};
use crate::cascade::client::Client;
use crate::cascade::correlate::Correlator;
use crate::cascade::read::Summary;
use crate::cascade::update::{RunStatus, Step, Update};
use crate::record::{Id, Label as _, StepStatus, UpdateSource};

/// One agent that is being followed.
pub(super) struct Session {
    config: Config,
    agent: Arc<Agent>,
    correlator: Arc<Correlator>,
    complaints: Arc<Complaints>,
    ladder: Ladder,
    /// Rungs of which it has been logged that they are missing.
    missing: BTreeSet<Rung>,
    watches: JoinSet<(Id, Rung, WatchEnd)>,
    watched: BTreeMap<Id, (Rung, AbortHandle)>,
    /// Conversations whose streams fail, and since when: they are asked for, until a stream is tried again.
    failing: BTreeMap<Id, Instant>,
    /// Conversations of which news could not be had; nobody says again that there are any.
    owed: BTreeMap<Id, Retry>,
    /// What the list said last; `None` before the first look.
    listed: Option<BTreeMap<Id, Listed>>,
    /// What the list said of conversations of which it was not believed that they are idle.
    doubted: BTreeMap<Id, Listed>,
    /// Looks that failed in a row.
    failures: u32,
    /// The agent's word counts: it answers.
    is_followed: watch::Sender<bool>,
}

/// Something that fails is tried more and more rarely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retry {
    failures: u32,
    not_before: Instant,
}

/// Where the news of a conversation come from.
#[derive(Debug)]
enum Attended {
    /// From an answer.
    Asked(Update),
    /// It cannot be had at the moment.
    Later,
    /// A stream tells of it.
    Watched,
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
            complaints: Arc::new(Complaints::new(Arc::clone(&correlator))),
            correlator,
            missing: BTreeSet::new(),
            watches: JoinSet::new(),
            watched: BTreeMap::new(),
            failing: BTreeMap::new(),
            owed: BTreeMap::new(),
            doubted: BTreeMap::new(),
            listed: None,
            failures: 0,
            is_followed: watch::Sender::new(false),
        }
    }

    /// Follows for as long as the caller waits.
    pub(super) async fn run(self) {
        let (agent, correlator) = (Arc::clone(&self.agent), Arc::clone(&self.correlator));
        let quotas = Quotas::new(agent, correlator, Arc::clone(&self.complaints));
        let quotas = quotas.run(self.config.quota_interval, self.is_followed.subscribe());
        // Beside each other: for its quotas the agent asks the provider, which may take long.
        tokio::join!(self.follow(), quotas);
    }

    async fn follow(mut self) {
        let correlator = Arc::clone(&self.correlator);
        loop {
            let asks = self.look().await;
            let pause = self.pause(asks, Instant::now());
            // An agent that fails is not asked sooner because its calls are seen.
            let answers = self.failures == 0;
            // What ends one of these early is kept: a permit of the correlator, an ended watch.
            tokio::select! {
                () = sleep(pause) => {}
                () = async { correlator.wanted().await; sleep(BETWEEN_LOOKS).await; }, if answers => {}
                Some(ended) = self.watches.join_next_with_id() => {
                    self.watch_ended(ended);
                    // Many end at once when a rung goes; one look serves all of them.
                    while let Some(ended) = self.watches.try_join_next_with_id() {
                        self.watch_ended(ended);
                    }
                }
            }
        }
    }

    /// Until the next look.
    fn pause(&self, asks: bool, now: Instant) -> Duration {
        if self.failures > 0 {
            return self.config.pause_after(self.failures);
        }
        let usual = if asks { self.config.poll_interval } else { self.config.idle_interval };
        let due = self.owed.values().map(|retry| retry.not_before.saturating_duration_since(now)).min();
        due.map_or(usual, |due| due.min(usual))
    }

    /// Looks at the list of conversations, and at those that no stream tells of. Returns whether any of those is being
    /// worked on.
    async fn look(&mut self) -> bool {
        self.climb();
        let summaries = match self.agent.summaries().await {
            Ok(summaries) => summaries,
            Err(failure) => {
                self.look_failed(failure).await;
                return false;
            }
        };
        self.failures = 0;
        if !self.is_followed.send_replace(true) {
            self.correlator.followed();
        }
        self.correlator.summaries(&summaries);
        self.forget_deleted(&summaries);
        self.attend_to_news(&summaries).await
    }

    async fn attend_to_news(&mut self, summaries: &[Summary]) -> bool {
        let (mut asks, mut news) = (false, Vec::new());
        let is_first = self.listed.is_none();
        let mut listed = self.listed.take().unwrap_or_default();
        // A subagent's conversation comes after the one that it works for: that one's stream may tell of both.
        let (of_agents, of_subagents): (Vec<_>, Vec<_>) = summaries.iter().partition(|summary| summary.root.is_none());
        for summary in of_agents.into_iter().chain(of_subagents) {
            let cascade = &summary.cascade;
            let now = Listed::of(summary);
            let has_changed = listed.insert(cascade.clone(), now.clone()).as_ref() != Some(&now);
            let is_worked_on = is_worked_on(summary) || self.correlator.is_running(cascade);
            // What is idle at the first look is history.
            let has_news = is_worked_on || (has_changed && !is_first) || self.owed.contains_key(cascade);
            if has_news && let Attended::Asked(update) = self.attend(summary).await {
                news.push((cascade, update));
                asks |= is_worked_on;
            }
        }
        self.listed = Some(listed);
        // Its next message ends a run: what subagents did in it has been asked for later and must be known before.
        for (cascade, update) in news.into_iter().rev() {
            self.correlator.update(cascade, &update, UpdateSource::Polling);
        }
        asks
    }

    /// Tries again what failed long enough ago.
    fn climb(&mut self) {
        let now = Instant::now();
        let retry = self.config.retry_upward;
        self.failing.retain(|_, since| now.saturating_duration_since(*since) < retry);
        if self.ladder.climb(now) {
            self.failing.clear();
            self.watched.retain(|_, (rung, handle)| {
                let stays = *rung == Rung::AgentState;
                if !stays {
                    handle.abort();
                }
                stays
            });
        }
    }

    /// A conversation has news: they come by a stream, or are asked for.
    async fn attend(&mut self, summary: &Summary) -> Attended {
        let cascade = &summary.cascade;
        let rung = self.ladder.rung();
        // The state of a conversation tells of its subagents.
        let is_told_of = |root| self.watched.get(root).is_some_and(|(rung, _)| *rung == Rung::AgentState);
        if self.watched.contains_key(cascade) || summary.root.as_ref().is_some_and(is_told_of) {
            self.owed.remove(cascade);
            return Attended::Watched;
        }
        let has_room = self.watched.len() < self.config.max_streams;
        if rung != Rung::Polling && has_room && !self.failing.contains_key(cascade) {
            self.watch(cascade, rung);
            return Attended::Watched;
        }
        let before = self.owed.get(cascade).copied();
        if before.is_some_and(|retry| Instant::now() < retry.not_before) {
            return Attended::Later;
        }
        match self.ask_for(summary).await {
            Ok(update) => {
                self.owed.remove(cascade);
                Attended::Asked(self.with_status_of_its_steps(summary, update))
            }
            Err(failure) => {
                self.complaints.tell(failure);
                let failures = before.map_or(0, |retry| retry.failures).saturating_add(1);
                let not_before = Instant::now() + self.config.pause_after(failures);
                self.owed.insert(cascade.clone(), Retry { failures, not_before });
                Attended::Later
            }
        }
    }

    /// The list is older than the steps: when it says that the agent is idle and a step is under way, the agent has begun to
    /// work in between. Only when the list says the same once more is it the step that is out of date.
    fn with_status_of_its_steps(&mut self, summary: &Summary, update: Update) -> Update {
        let is_under_way = |(_, step): &(u32, Step)| is_under_way(step.status);
        if is_worked_on(summary) || !update.main.steps.iter().any(is_under_way) {
            self.doubted.remove(&summary.cascade);
            return update;
        }
        let now = Listed::of(summary);
        if self.doubted.insert(summary.cascade.clone(), now.clone()) == Some(now) {
            return update;
        }
        self.owed.insert(summary.cascade.clone(), Retry { failures: 0, not_before: Instant::now() + BETWEEN_LOOKS });
        Update { status: Some(RunStatus::Running), ..update }
    }

    fn watch(&mut self, cascade: &Id, rung: Rung) {
        let (agent, correlator) = (Arc::clone(&self.agent), Arc::clone(&self.correlator));
        let handle = self.watches.spawn(Watch { agent, correlator, cascade: cascade.clone(), rung }.run());
        self.watched.insert(cascade.clone(), (rung, handle));
        self.owed.remove(cascade);
    }

    /// Asks for what has been added to a conversation, and for the latest steps once more: they may have changed.
    async fn ask_for(&mut self, summary: &Summary) -> Result<Update, Failure> {
        let cascade = &summary.cascade;
        let (steps, generations) = self.correlator.known(cascade, summary.trajectory.as_ref());
        let from = steps.saturating_sub(STEPS_AGAIN);
        let Update { mut main, subtrajectories, .. } = self.agent.steps(cascade, from).await?;
        let from = generations.saturating_sub(GENERATIONS_AGAIN);
        main.generations = self.agent.generations(cascade, from).await?.generations;
        Ok(Update {
            cascade: Some(cascade.clone()),
            root: summary.root.clone(),
            trajectory: summary.trajectory.clone(),
            status: summary.status,
            fully_idle: false,
            after_gap: true,
            has_active_children: summary.has_active_children || summary.not_fully_idle,
            main,
            subtrajectories,
        })
    }

    fn watch_ended(&mut self, ended: Result<(TaskId, (Id, Rung, WatchEnd)), JoinError>) {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        // It may have been given up before, and another one may watch the conversation meanwhile.
        let known = self.watched.len();
        self.watched.retain(|_, (_, handle)| handle.id() != task);
        let Ok((_, (cascade, rung, end))) = ended else { return };
        if self.watched.len() == known {
            return;
        }
        let now = Instant::now();
        match end {
            // Whether it is deleted is for the list to say; one that is only not loaded is loaded when it is asked for.
            WatchEnd::Deleted(failure) => {
                self.failing.insert(cascade.clone(), now);
                self.complaints.count(failure);
            }
            WatchEnd::Failing(failure) => {
                self.failing.insert(cascade.clone(), now);
                self.complaints.log(failure);
            }
            WatchEnd::Missing(failure) => {
                self.complaints.count(failure);
                if self.ladder.missing(rung, now) && self.missing.insert(rung) {
                    tracing::info!(
                        way = rung.source().as_str(),
                        next = self.ladder.rung().source().as_str(),
                        "the agent does not offer this way of following it"
                    );
                }
            }
            WatchEnd::Quiet => return,
        }
        self.owed.insert(cascade, Retry { failures: 0, not_before: now });
    }

    async fn look_failed(&mut self, failure: Failure) {
        self.complaints.tell(failure);
        self.failures = self.failures.saturating_add(1);
        if self.failures == GONE_AFTER && self.is_followed.send_replace(false) {
            // None of them may speak after the last word. Whoever answers next may be another agent.
            self.watches.shutdown().await;
            self.watched.clear();
            self.failing.clear();
            self.owed.clear();
            self.doubted.clear();
            self.listed = None;
            self.ladder = Ladder::new(self.config.retry_upward);
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
            self.owed.remove(&cascade);
            self.doubted.remove(&cascade);
            if let Some((_, handle)) = self.watched.remove(&cascade) {
                handle.abort();
            }
            self.correlator.deleted(&cascade);
        }
    }
}

impl Listed {
    fn of(summary: &Summary) -> Self {
        let Summary { status, step_count, last_modified, .. } = summary;
        Self { status: *status, step_count: *step_count, last_modified: *last_modified }
    }
}

fn is_under_way(status: StepStatus) -> bool {
    use StepStatus::{Generating, Pending, Queued, Running};
    matches!(status, Generating | Pending | Queued | Running)
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

/// A call that is refused again and again may still be under way when a later one has ended: the latest ones are read again.
const GENERATIONS_AGAIN: u32 = 8;
