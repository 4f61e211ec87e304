//! Takes the facts of a run and adds them up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::report::{
    Circumstances, Limit, ModelFigures, Report, Tunnelled, Unread, Unseen, Untrusted,
};
use super::working_time::WorkingTime;
use crate::record::{
    Call, CascadeRun, Cost, Fact, Host, Id, Model, Outcome, PathShape, PerKind, Provider, Quota,
    QuotaWindow, RefuseReason, RunOutcome, Sink, TokenKind, TunnelReason, UnreadReason,
};

/// Adds up what one run does.
#[derive(Debug, Default)]
pub struct Collector {
    /// Locked for one fact, or for the report.
    figures: Mutex<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    outcomes: BTreeMap<Outcome, u64>,
    conversations: BTreeSet<Id>,
    runs: BTreeMap<RunOutcome, u64>,
    models: BTreeMap<(Provider, Model), ModelSums>,
    /// Times to the first chunk, in no order.
    first_chunks: Vec<Duration>,
    working_time: WorkingTime,
    limits: BTreeMap<(Provider, Model, QuotaWindow), Quota>,
    tunnelled: BTreeMap<(Option<Host>, TunnelReason), u64>,
    untrusted: BTreeMap<Host, u64>,
    unread: BTreeMap<(Host, PathShape, UnreadReason), u64>,
    refused: BTreeMap<RefuseReason, u64>,
    lost: u64,
}

#[derive(Debug, Default)]
struct ModelSums {
    served: BTreeSet<Model>,
    calls: u64,
    tokens: PerKind<u64>,
    cost: Option<Cost>,
    unpriced: u64,
}

impl Sink for Collector {
    fn receive(&self, fact: &Fact) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        match fact {
            Fact::Call(call) => figures.call(call),
            Fact::CallUnread(call) => {
                let kind = (call.host.clone(), call.path.clone(), call.reason);
                count(&mut figures.unread, kind);
            }
            Fact::CertificateRejected(host) => count(&mut figures.untrusted, host.clone()),
            Fact::ConnectionRefused(reason) => count(&mut figures.refused, *reason),
            Fact::ConnectionTunnelled { reason, host } => {
                count(&mut figures.tunnelled, (host.clone(), *reason));
            }
            Fact::ObserverFailed(_) => figures.lost += 1,
            Fact::Quota(quota) => figures.quota(quota),
            Fact::RunEnded(run) => figures.run(run),
            _ => {}
        }
    }
}

impl Collector {
    /// Everything that was seen so far.
    #[must_use]
    pub fn report(&self, circumstances: Circumstances) -> Report {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.report(circumstances)
    }
}

impl Figures {
    fn call(&mut self, call: &Call) {
        *self.outcomes.entry(call.outcome).or_default() += 1;
        if let Some(first) = call.timing.time_to_first_chunk
            && self.first_chunks.len() < MAX_FIRST_CHUNKS
        {
            self.first_chunks.push(first);
        }
        let Call { timing, .. } = call;
        self.working_time.add(timing.started_at, timing.duration);
        // Bounded where models are given the names under which they are counted.
        let asked = call.counted_as.as_ref().unwrap_or(&call.model).clone();
        let model = self.models.entry((call.provider, asked)).or_default();
        model.add(call);
    }

    fn run(&mut self, run: &CascadeRun) {
        *self.runs.entry(run.outcome).or_default() += 1;
        if self.conversations.len() < MAX_CONVERSATIONS {
            self.conversations.insert(run.cascade.clone());
        }
    }

    fn quota(&mut self, quota: &Quota) {
        let key = (quota.provider, quota.model.clone(), quota.window);
        if self.limits.len() < MAX_NAMES || self.limits.contains_key(&key) {
            self.limits.insert(key, quota.clone());
        }
    }

    fn report(&self, circumstances: Circumstances) -> Report {
        let mut models: Vec<_> = self
            .models
            .iter()
            .map(|((provider, asked), sums)| sums.figures(*provider, asked))
            .collect();
        models.sort_by_key(|model| std::cmp::Reverse(model.total_tokens()));
        let mut tokens = PerKind::default();
        let sums = self.models.values();
        sums.for_each(|model| {
            tokens.merge(&model.tokens, |sum: &mut u64, more| {
                *sum = sum.saturating_add(more)
            })
        });
        let costs = self.models.values().filter_map(|model| model.cost);
        let mut first_chunks = self.first_chunks.clone();
        first_chunks.sort_unstable();
        Report {
            calls: self.outcomes.values().sum(),
            outcomes: self.outcomes.clone(),
            conversations: self.conversations.len(),
            runs: self.runs.clone(),
            tokens,
            cache_share: cache_share(&tokens),
            cost_usd: costs.reduce(Cost::saturating_add),
            unpriced_calls: self.models.values().map(|model| model.unpriced).sum(),
            models,
            first_chunk_p50_seconds: quantile(&first_chunks, 50),
            first_chunk_p95_seconds: quantile(&first_chunks, 95),
            model_seconds: self.working_time.total().as_secs_f64(),
            limits: self.limits.values().map(Limit::from).collect(),
            unseen: self.unseen(),
            circumstances,
        }
    }

    fn unseen(&self) -> Unseen {
        let tunnelled = self.tunnelled.iter();
        let untrusted = self.untrusted.iter();
        let unread = self.unread.iter();
        Unseen {
            tunnelled: tunnelled
                .map(|((host, reason), connections)| Tunnelled {
                    host: host.clone(),
                    reason: *reason,
                    connections: *connections,
                })
                .collect(),
            untrusted: untrusted
                .map(|(host, rejections)| Untrusted {
                    host: host.clone(),
                    rejections: *rejections,
                })
                .collect(),
            unread: unread
                .map(|((host, path, reason), calls)| Unread {
                    host: host.clone(),
                    path: path.to_string(),
                    reason: *reason,
                    calls: *calls,
                })
                .collect(),
            refused: self.refused.clone(),
            lost: self.lost,
        }
    }
}

impl ModelSums {
    fn add(&mut self, call: &Call) {
        self.calls += 1;
        self.tokens.merge(&call.usage.counts(), |sum, more| {
            *sum = sum.saturating_add(more);
        });
        if let Some(served) = &call.served_model
            && self.served.len() < MAX_SERVED
        {
            self.served.insert(served.clone());
        }
        if let Some(cost) = call.cost {
            self.cost = Some(self.cost.unwrap_or_default().saturating_add(cost));
        }
        self.unpriced += u64::from(call.is_unpriced());
    }

    fn figures(&self, provider: Provider, asked: &Model) -> ModelFigures {
        ModelFigures {
            provider,
            asked: asked.clone(),
            served: self.served.iter().cloned().collect(),
            calls: self.calls,
            tokens: self.tokens,
            cost_usd: self.cost,
        }
    }
}

/// Counts one more under a name, as long as there is room for names.
fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, name: K) {
    if counts.len() < MAX_NAMES || counts.contains_key(&name) {
        *counts.entry(name).or_default() += 1;
    }
}

/// The share of the input that was read from a cache, from 0 to 1; `None` without input.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn cache_share(tokens: &PerKind<u64>) -> Option<f64> {
    let input = tokens.sum(TokenKind::INPUT);
    (input > 0).then(|| tokens[TokenKind::CacheRead] as f64 / input as f64)
}

/// The smallest of the sorted times that at least `percent` of them do not exceed, in seconds.
fn quantile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(Duration::as_secs_f64)
}

/// Hosts, paths and quotas that are kept apart: an agent uses a handful, more would be made up.
const MAX_NAMES: usize = 256;

/// The correlator does not tell more conversations apart either.
const MAX_CONVERSATIONS: usize = 1_000;

/// Models that are named as those that answered for one.
const MAX_SERVED: usize = 8;

/// Enough for quantiles of a day's work; 1 MiB.
const MAX_FIRST_CHUNKS: usize = 65_536;

#[cfg(test)]
pub(in crate::summary) mod tests;
