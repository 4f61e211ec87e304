//! Follows all conversations of one agent: decides which are watched on a stream, which are polled,
//! and when.

mod poll;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

use poll::Delivery;

use super::Config;
use super::ask::{Agent, Failure};
use super::failure_log::FailureLog;
use super::listed::{ChangedConversation, Listed};
use super::method::{FollowMethod, MethodChoice};
use super::quotas::QuotaPoller;
use super::streams::Streams;
use super::watch::WatchEnd;
use crate::cascade::client::Client;
use crate::cascade::correlate::Correlator;
use crate::cascade::read::Summary;
use crate::record::{Id, Label as _, UpdateSource};

/// One agent that is being followed.
pub(super) struct Session {
    config: Config,
    agent: Arc<Agent>,
    correlator: Arc<Correlator>,
    failure_log: Arc<FailureLog>,
    methods: MethodChoice,
    /// Methods that have been logged as missing.
    missing: BTreeSet<FollowMethod>,
    streams: Streams,
    /// Conversations whose streams fail, and since when: they are polled until a stream is tried
    /// again.
    failing: BTreeMap<Id, Instant>,
    /// Conversations whose updates could not be fetched; the list does not show them as changed
    /// again.
    pending: BTreeMap<Id, Retry>,
    /// The list as last read; `None` before the first poll.
    listed: Option<BTreeMap<Id, Listed>>,
    /// When the agent's list was first read, by the wall clock; `None` before.
    since: Option<SystemTime>,
    /// List entries of conversations that were listed as idle but did not look idle.
    doubted: BTreeMap<Id, Listed>,
    /// When the list was last read.
    polled_at: Instant,
    /// How many resting conversations may still be polled in this round.
    idle_budget: u32,
    /// Polls of the list that failed in a row.
    failures: u32,
    /// Whether the agent answers, so that it counts as followed.
    is_followed: watch::Sender<bool>,
}

/// When to try again; the pause grows with each failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retry {
    failures: u32,
    not_before: Instant,
}

impl Session {
    pub(super) fn new(config: Config, client: Client, correlator: Arc<Correlator>) -> Self {
        Self {
            methods: MethodChoice::new(config.retry_upward),
            streams: Streams::new(config.max_streams),
            config,
            agent: Arc::new(Agent::new(client)),
            failure_log: Arc::new(FailureLog::new(Arc::clone(&correlator))),
            correlator,
            missing: BTreeSet::new(),
            failing: BTreeMap::new(),
            pending: BTreeMap::new(),
            doubted: BTreeMap::new(),
            listed: None,
            since: None,
            polled_at: Instant::now(),
            idle_budget: MAX_IDLE_PER_POLL,
            failures: 0,
            is_followed: watch::Sender::new(false),
        }
    }

    /// Follows for as long as the caller waits.
    pub(super) async fn run(self) {
        let (agent, correlator) = (Arc::clone(&self.agent), Arc::clone(&self.correlator));
        let quotas = QuotaPoller::new(agent, correlator, Arc::clone(&self.failure_log));
        let quotas = quotas.run(self.config.quota_interval, self.is_followed.subscribe());
        // Concurrently: for its quotas the agent asks the provider, which may take long.
        tokio::join!(self.follow(), quotas);
    }

    async fn follow(mut self) {
        let correlator = Arc::clone(&self.correlator);
        loop {
            let asks = self.poll_list().await;
            let pause = self.pause(asks, Instant::now());
            // An agent that fails is not polled sooner because its calls are seen.
            let answers = self.failures == 0;
            // Cancelling an arm loses nothing: the correlator's permit and ended watches are kept.
            tokio::select! {
                () = sleep(pause) => {}
                () = async { correlator.wanted().await; sleep(MIN_POLL_GAP).await; }, if answers => {}
                ended = self.streams.next_end() => {
                    // Many end at once when a method goes away; one poll serves all of them.
                    let mut next = Some(ended);
                    while let Some(ended) = next {
                        if let Some((cascade, method, end)) = ended {
                            self.stream_ended(cascade, method, end);
                        }
                        next = self.streams.try_next_end();
                    }
                }
            }
        }
    }

    /// The pause until the next poll.
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
            .pending
            .values()
            .map(|retry| retry.not_before.saturating_duration_since(now))
            .min();
        due.map_or(usual, |due| due.min(usual))
    }

    /// Polls the list of conversations, and those conversations that no stream reports. Returns
    /// whether any of these is being worked on.
    async fn poll_list(&mut self) -> bool {
        self.retry_upward_if_due();
        let summaries = match self.agent.summaries().await {
            Ok(summaries) => summaries,
            Err(failure) => {
                self.poll_failed(failure).await;
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
        self.follow_changes(&summaries).await
    }

    async fn follow_changes(&mut self, summaries: &[Summary]) -> bool {
        let (mut asks, mut updates) = (false, Vec::new());
        self.polled_at = Instant::now();
        self.idle_budget = MAX_IDLE_PER_POLL;
        for ChangedConversation {
            summary,
            is_worked_on,
        } in self.news(summaries)
        {
            let cascade = &summary.cascade;
            match self.news_of(summary, is_worked_on).await {
                Delivery::Polled(update) => {
                    updates.push((cascade, update));
                    asks |= is_worked_on;
                }
                Delivery::Later => {}
                Delivery::Streamed => asks |= self.correlator.needs_list(cascade),
            }
        }
        // The next message of a root conversation ends its run: what subagents did in the run was
        // polled later and must be applied first.
        for (cascade, update) in updates.into_iter().rev() {
            self.correlator
                .update(cascade, &update, UpdateSource::Polling);
        }
        asks
    }

    /// The conversations that have changed, those that the agent works on first: they get the
    /// streams. A subagent's conversation comes after the one that it works for: that one's stream
    /// may report both.
    fn news<'a>(&mut self, summaries: &'a [Summary]) -> Vec<ChangedConversation<'a>> {
        let is_first = self.listed.is_none();
        let mut listed = self.listed.take().unwrap_or_default();
        let finished = self.streams.take_finished();
        let mut news = Vec::new();
        for summary in summaries {
            let cascade = &summary.cascade;
            let now = Listed::of(summary);
            let before = listed.insert(cascade.clone(), now.clone());
            // What is idle at the first poll is history, and so is an old conversation that the
            // agent lists only later.
            let is_history = is_first || (before.is_none() && self.is_history(summary));
            let has_changed = before.as_ref() != Some(&now) && !is_history;
            let is_worked_on = summary.is_worked_on() || self.correlator.is_running(cascade);
            if is_worked_on {
                self.streams.note_work(cascade, self.polled_at);
            }
            // The stream of a conversation may have been the one to report its subagents.
            let mut of_stream = [Some(cascade), summary.root.as_ref()].into_iter().flatten();
            let is_cut_short = of_stream.any(|id| finished.contains(id))
                && self.is_behind(summary)
                && !self.is_history(summary);
            if is_worked_on || has_changed || is_cut_short || self.pending.contains_key(cascade) {
                news.push(ChangedConversation {
                    summary,
                    is_worked_on,
                });
            }
        }
        self.listed = Some(listed);
        news.sort_by_key(
            |ChangedConversation {
                 summary,
                 is_worked_on,
             }| (summary.root.is_some(), !is_worked_on),
        );
        news
    }

    /// Whether an idle conversation has not changed since following began. A call without a known
    /// run shows that it has, whatever its clock says.
    fn is_history(&self, summary: &Summary) -> bool {
        let changed = summary.last_modified.or(summary.last_user_input);
        let is_old = changed
            .zip(self.since)
            .is_some_and(|(changed, since)| changed < since);
        is_old && !self.correlator.has_waiting_calls(&summary.cascade)
    }

    /// Whether the list shows more steps of a conversation than have come.
    fn is_behind(&self, summary: &Summary) -> bool {
        let trajectory = summary.trajectory.as_ref();
        let (steps, _) = self.correlator.known(&summary.cascade, trajectory);
        summary.step_count.is_none_or(|listed| listed > steps)
    }

    /// Tries again what failed long enough ago.
    fn retry_upward_if_due(&mut self) {
        let now = Instant::now();
        let retry = self.config.retry_upward;
        self.failing
            .retain(|_, since| now.saturating_duration_since(*since) < retry);
        if self.methods.retry_upward_if_due(now) {
            self.failing.clear();
            self.streams.keep_only(FollowMethod::AgentState);
        }
    }

    fn stream_ended(&mut self, cascade: Id, method: FollowMethod, end: WatchEnd) {
        let now = Instant::now();
        match end {
            // The list decides whether it is deleted; one that is only not loaded is loaded by a
            // poll.
            WatchEnd::Deleted(failure) => {
                self.failing.insert(cascade.clone(), now);
                self.failure_log.count(failure);
            }
            WatchEnd::Failing(failure) => {
                self.failing.insert(cascade.clone(), now);
                self.failure_log.log(failure);
            }
            WatchEnd::Missing(failure) => {
                self.failure_log.count(failure);
                if self.methods.missing(method, now) && self.missing.insert(method) {
                    tracing::info!(
                        way = method.source().as_str(),
                        next = self.methods.method().source().as_str(),
                        "the agent does not offer this way of following it"
                    );
                }
            }
            WatchEnd::Quiet => return,
        }
        self.pending.insert(
            cascade,
            Retry {
                failures: 0,
                not_before: now,
            },
        );
    }

    async fn poll_failed(&mut self, failure: Failure) {
        self.failure_log.report(failure);
        self.failures = self.failures.saturating_add(1);
        if self.failures == GONE_AFTER && self.is_followed.send_replace(false) {
            // No stream may deliver anything after `unfollowed`. Whoever answers next may be
            // another agent.
            self.streams.shutdown().await;
            self.failing.clear();
            self.pending.clear();
            self.doubted.clear();
            (self.listed, self.since) = (None, None);
            self.methods = MethodChoice::new(self.config.retry_upward);
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
            self.pending.remove(&cascade);
            self.doubted.remove(&cascade);
            self.streams.give_up(&cascade);
            self.correlator.deleted(&cascade);
        }
    }
}

/// Most resting conversations that are polled in one round: all of an old one may be large.
const MAX_IDLE_PER_POLL: u32 = 16;

/// Many calls may name unknown conversations at once; one poll answers for all of them.
const MIN_POLL_GAP: Duration = Duration::from_millis(50);

/// After so many failed polls in a row the agent counts as gone.
const GONE_AFTER: u32 = 3;
