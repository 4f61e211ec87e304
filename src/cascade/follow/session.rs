//! All conversations of one agent: who is watched on a stream, who is asked for, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

use super::Config;
use super::ask::{Agent, Failure};
use super::complaints::Complaints;
use super::ladder::{Ladder, Rung};
use super::listed::{Listed, News};
use super::quotas::Quotas;
use super::streams::Streams;
use super::watch::WatchEnd;
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
    streams: Streams,
    /// Conversations whose streams fail, and since when: they are asked for, until a stream is
    /// tried again.
    failing: BTreeMap<Id, Instant>,
    /// Conversations of which news could not be had; nobody says again that there are any.
    owed: BTreeMap<Id, Retry>,
    /// What the list said last; `None` before the first look.
    listed: Option<BTreeMap<Id, Listed>>,
    /// When the agent's list was first read, by the wall clock; `None` before.
    since: Option<SystemTime>,
    /// What the list said of conversations of which it was not believed that they are idle.
    doubted: BTreeMap<Id, Listed>,
    /// When the list was last read.
    looked_at: Instant,
    /// Conversations that rest and may still be asked for in this look.
    resting_left: u32,
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

impl Session {
    pub(super) fn new(config: Config, client: Client, correlator: Arc<Correlator>) -> Self {
        Self {
            ladder: Ladder::new(config.retry_upward),
            streams: Streams::new(config.max_streams),
            config,
            agent: Arc::new(Agent::new(client)),
            complaints: Arc::new(Complaints::new(Arc::clone(&correlator))),
            correlator,
            missing: BTreeSet::new(),
            failing: BTreeMap::new(),
            owed: BTreeMap::new(),
            doubted: BTreeMap::new(),
            listed: None,
            since: None,
            looked_at: Instant::now(),
            resting_left: RESTING_AT_ONCE,
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
                ended = self.streams.next_end() => {
                    // Many end at once when a rung goes; one look serves all of them.
                    let mut next = Some(ended);
                    while let Some(ended) = next {
                        if let Some((cascade, rung, end)) = ended {
                            self.stream_ended(cascade, rung, end);
                        }
                        next = self.streams.try_next_end();
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
        let usual = if asks {
            self.config.poll_interval
        } else {
            self.config.idle_interval
        };
        let due = self
            .owed
            .values()
            .map(|retry| retry.not_before.saturating_duration_since(now))
            .min();
        due.map_or(usual, |due| due.min(usual))
    }

    /// Looks at the list of conversations, and at those that no stream tells of. Returns whether
    /// any of those is being worked on.
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
        self.since.get_or_insert_with(SystemTime::now);
        if !self.is_followed.send_replace(true) {
            self.correlator.followed();
        }
        self.correlator.summaries(&summaries);
        self.forget_deleted(&summaries);
        self.attend_to_news(&summaries).await
    }

    async fn attend_to_news(&mut self, summaries: &[Summary]) -> bool {
        let (mut asks, mut updates) = (false, Vec::new());
        self.looked_at = Instant::now();
        self.resting_left = RESTING_AT_ONCE;
        for News {
            summary,
            is_worked_on,
        } in self.news(summaries)
        {
            let cascade = &summary.cascade;
            match self.attend(summary, is_worked_on).await {
                Attended::Asked(update) => {
                    updates.push((cascade, update));
                    asks |= is_worked_on;
                }
                Attended::Later => {}
                Attended::Watched => asks |= self.correlator.needs_list(cascade),
            }
        }
        // Its next message ends a run: what subagents did in it has been asked for later and must
        // be known before.
        for (cascade, update) in updates.into_iter().rev() {
            self.correlator
                .update(cascade, &update, UpdateSource::Polling);
        }
        asks
    }

    /// The conversations of which there is something to learn, those first that the agent works on:
    /// they have the streams. A subagent's conversation comes after the one that it works for: that
    /// one's stream may tell of both.
    fn news<'a>(&mut self, summaries: &'a [Summary]) -> Vec<News<'a>> {
        let is_first = self.listed.is_none();
        let mut listed = self.listed.take().unwrap_or_default();
        let mut news = Vec::new();
        for summary in summaries {
            let cascade = &summary.cascade;
            let now = Listed::of(summary);
            let before = listed.insert(cascade.clone(), now.clone());
            // What is idle at the first look is history, and so is an old conversation that the
            // agent lists only later.
            let is_history = is_first || (before.is_none() && self.is_history(summary));
            let has_changed = before.as_ref() != Some(&now) && !is_history;
            let is_worked_on = summary.is_worked_on() || self.correlator.is_running(cascade);
            if is_worked_on {
                self.streams.note_work(cascade, self.looked_at);
            }
            if is_worked_on || has_changed || self.owed.contains_key(cascade) {
                news.push(News {
                    summary,
                    is_worked_on,
                });
            }
        }
        self.listed = Some(listed);
        news.sort_by_key(
            |News {
                 summary,
                 is_worked_on,
             }| (summary.root.is_some(), !is_worked_on),
        );
        news
    }

    /// Whether an idle conversation has not changed since the agent has been followed. A call of
    /// which no run is known shows that it has, whatever its clock says.
    fn is_history(&self, summary: &Summary) -> bool {
        let changed = summary.last_modified.or(summary.last_user_input);
        let is_old = changed
            .zip(self.since)
            .is_some_and(|(changed, since)| changed < since);
        is_old && !self.correlator.has_waiting_calls(&summary.cascade)
    }

    /// Tries again what failed long enough ago.
    fn climb(&mut self) {
        let now = Instant::now();
        let retry = self.config.retry_upward;
        self.failing
            .retain(|_, since| now.saturating_duration_since(*since) < retry);
        if self.ladder.climb(now) {
            self.failing.clear();
            self.streams.keep_only(Rung::AgentState);
        }
    }

    /// A conversation has news: they come by a stream, or are asked for.
    async fn attend(&mut self, summary: &Summary, is_worked_on: bool) -> Attended {
        let cascade = &summary.cascade;
        let rung = self.ladder.rung();
        // The state of a conversation tells of its subagents.
        let is_told_of = |root| self.streams.rung(root) == Some(Rung::AgentState);
        if self.streams.rung(cascade).is_some() || summary.root.as_ref().is_some_and(is_told_of) {
            self.owed.remove(cascade);
            return Attended::Watched;
        }
        let can_be_watched = rung != Rung::Polling && !self.failing.contains_key(cascade);
        if can_be_watched && self.has_stream_for(summary) {
            self.streams
                .open(&self.agent, &self.correlator, cascade, rung);
            self.owed.remove(cascade);
            return Attended::Watched;
        }
        let before = self.owed.get(cascade).copied();
        if before.is_some_and(|retry| Instant::now() < retry.not_before) {
            return Attended::Later;
        }
        // Those that rest must not keep those that run waiting: what is left of them comes at the
        // next look, which is soon.
        if !is_worked_on {
            let Some(left) = self.resting_left.checked_sub(1) else {
                self.owed.entry(cascade.clone()).or_insert(Retry {
                    failures: 0,
                    not_before: self.looked_at,
                });
                return Attended::Later;
            };
            self.resting_left = left;
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
                self.owed.insert(
                    cascade.clone(),
                    Retry {
                        failures,
                        not_before,
                    },
                );
                Attended::Later
            }
        }
    }

    /// Whether there is a stream to be had; for a conversation that the agent works on, also that
    /// of one that rests.
    fn has_stream_for(&mut self, summary: &Summary) -> bool {
        let Self {
            streams,
            correlator,
            looked_at,
            ..
        } = self;
        streams.has_room()
            || (summary.is_worked_on()
                && streams.make_room(*looked_at, |cascade| correlator.is_running(cascade)))
    }

    /// The list is older than the steps: when it says that the agent is idle and a step is under
    /// way, the agent has begun to work in between. Only when the list says the same once more is
    /// it the step that is out of date.
    fn with_status_of_its_steps(&mut self, summary: &Summary, update: Update) -> Update {
        // A subagent's step is under way for as long as it works, in which the agent itself may be
        // idle.
        let is_under_way =
            |(_, step): &(u32, Step)| is_under_way(step.status) && !step.is_subagent();
        if summary.is_worked_on() || !update.main.steps.iter().any(is_under_way) {
            self.doubted.remove(&summary.cascade);
            return update;
        }
        let now = Listed::of(summary);
        if self.doubted.insert(summary.cascade.clone(), now.clone()) == Some(now) {
            return update;
        }
        self.owed.insert(
            summary.cascade.clone(),
            Retry {
                failures: 0,
                not_before: Instant::now() + BETWEEN_LOOKS,
            },
        );
        Update {
            status: Some(RunStatus::Running),
            ..update
        }
    }

    /// Asks for what has been added to a conversation, and for the latest steps once more: they may
    /// have changed.
    async fn ask_for(&mut self, summary: &Summary) -> Result<Update, Failure> {
        let cascade = &summary.cascade;
        let trajectory = summary.trajectory.as_ref();
        let (steps, generations) = self.correlator.known(cascade, trajectory);
        let open = self.correlator.first_open_step(cascade, trajectory);
        let from = steps.saturating_sub(STEPS_AGAIN).min(open.unwrap_or(steps));
        let Update {
            mut main,
            subtrajectories,
            ..
        } = self.agent.steps(cascade, from).await?;
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

    fn stream_ended(&mut self, cascade: Id, rung: Rung, end: WatchEnd) {
        let now = Instant::now();
        match end {
            // Whether it is deleted is for the list to say; one that is only not loaded is loaded
            // when it is asked for.
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
        self.owed.insert(
            cascade,
            Retry {
                failures: 0,
                not_before: now,
            },
        );
    }

    async fn look_failed(&mut self, failure: Failure) {
        self.complaints.tell(failure);
        self.failures = self.failures.saturating_add(1);
        if self.failures == GONE_AFTER && self.is_followed.send_replace(false) {
            // None of them may speak after the last word. Whoever answers next may be another
            // agent.
            self.streams.shutdown().await;
            self.failing.clear();
            self.owed.clear();
            self.doubted.clear();
            (self.listed, self.since) = (None, None);
            self.ladder = Ladder::new(self.config.retry_upward);
            self.correlator.unfollowed();
        }
    }

    fn forget_deleted(&mut self, summaries: &[Summary]) {
        let Some(listed) = &mut self.listed else {
            return;
        };
        let there: BTreeSet<&Id> = summaries.iter().map(|summary| &summary.cascade).collect();
        let gone: Vec<Id> = listed
            .keys()
            .filter(|cascade| !there.contains(cascade))
            .cloned()
            .collect();
        for cascade in gone {
            listed.remove(&cascade);
            self.failing.remove(&cascade);
            self.owed.remove(&cascade);
            self.doubted.remove(&cascade);
            self.streams.give_up(&cascade);
            self.correlator.deleted(&cascade);
        }
    }
}

fn is_under_way(status: StepStatus) -> bool {
    use StepStatus::{Generating, Pending, Queued, Running};
    matches!(status, Generating | Pending | Queued | Running)
}

/// Conversations that rest and that are asked for in one look: the whole of an old one may be
/// large.
const RESTING_AT_ONCE: u32 = 16;

/// Many calls may name unknown conversations at once; one look answers for all of them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// After so many failed looks in a row the agent counts as gone.
const GONE_AFTER: u32 = 3;

/// A step changes while it is one of the latest; a project that polls for a living reads as many
/// again.
const STEPS_AGAIN: u32 = 20;

/// A call that is refused again and again may still be under way when a later one has ended: the
/// latest ones are read again.
const GENERATIONS_AGAIN: u32 = 8;
