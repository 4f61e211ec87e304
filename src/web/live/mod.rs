//! What goes on right now, for the page and for `/v1/live`: calls under way, the last that ended, how fast models
//! generate, handshakes.
//!
//! Facts enter, a [`Snapshot`] leaves. All of it is bounded and of this process; what was spent is
//! the ledger's to tell.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use crate::ledger::CallId;
use crate::record::{
    Call, Correlated, Cost, Fact, HandshakeFailure, Host, Id, Label as _, Model, Models, Operation,
    Outcome, PathShape, Provider, Quality, RuleName, RuleResult, RuleUse, Side, Sink, TokenKind,
    UnreadCall, UnreadReason,
};

mod answer;
mod rate;

pub(super) use answer::live;
pub(super) use rate::{Rates, SLOT_SECONDS, WINDOW_SECONDS};

use rate::Generation;

/// Takes every fact, and keeps what is shown of now.
#[derive(Debug)]
pub struct Live {
    models: Arc<Models>,
    /// Locked for one fact or one snapshot at a time.
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    in_flight: BTreeMap<Provider, u64>,
    calls: VecDeque<LastCall>,
    generation: Generation,
    handshakes: BTreeMap<Side, Handshakes>,
    unread: BTreeMap<UnreadKind, u64>,
    rules: RuleState,
}

/// The rules that change requests.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleState {
    /// How many hold.
    pub(super) active: usize,
    /// Their files have mistakes since they were last edited.
    pub(super) is_broken: bool,
    /// How often each has done what.
    pub(super) uses: BTreeMap<(RuleName, RuleResult), u64>,
}

/// Exchanges that look alike, and like calls, and are not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnreadKind {
    pub(super) host: Host,
    pub(super) path: PathShape,
    pub(super) reason: UnreadReason,
}

/// A call that has ended, as `/v1/live` shows it too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LastCall {
    pub(super) id: CallId,
    /// [`Call::number`].
    pub(super) number: u64,
    pub(super) ended_at: Timestamp,
    pub(super) provider: Provider,
    pub(super) operation: Operation,
    pub(super) model: Model,
    /// The model that answered instead of it, where another one did.
    #[serde(rename = "served_model", skip_serializing_if = "Option::is_none")]
    pub(super) substituted_by: Option<Model>,
    pub(super) outcome: Outcome,
    pub(super) quality: Quality,
    /// All input, cached or not.
    pub(super) input_tokens: u64,
    /// The part of the input that was read from a cache.
    pub(super) cache_read_tokens: u64,
    /// All output, thinking included.
    pub(super) output_tokens: u64,
    #[serde(
        rename = "time_to_first_chunk_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) first_chunk_seconds: Option<f64>,
    pub(super) duration_seconds: f64,
    /// Unless it has no price, or only a part of it has.
    #[serde(rename = "cost_usd")]
    pub(super) cost: Option<Cost>,
    /// Its conversation, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cascade: Option<Id>,
}

/// The TLS sessions of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Handshakes {
    pub(super) made: u64,
    pub(super) failed: u64,
    /// How the last one failed, unless one was made since.
    pub(super) failing: Option<HandshakeFailure>,
}

/// Everything that is shown of now.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Calls under way, by provider.
    pub(super) in_flight: BTreeMap<Provider, u64>,
    /// The newest first.
    pub(super) calls: Vec<LastCall>,
    pub(super) rates: Rates,
    /// Of both sides.
    pub(super) handshakes: BTreeMap<Side, Handshakes>,
    /// How often something came that looks like a call and is not read.
    pub(super) unread: BTreeMap<UnreadKind, u64>,
    pub(super) rules: RuleState,
}

impl Live {
    /// `models` bounds how many of them have a line of their own.
    #[must_use]
    pub fn new(models: Arc<Models>) -> Self {
        Self {
            models,
            now: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self, at: Timestamp) -> Snapshot {
        let mut now = self.lock();
        let sides = Side::ALL
            .iter()
            .map(|side| (*side, now.handshakes.get(side).cloned().unwrap_or_default()));
        Snapshot {
            in_flight: now.in_flight.clone(),
            calls: now.calls.iter().cloned().collect(),
            handshakes: sides.collect(),
            rates: now.generation.rates(at),
            unread: now.unread.clone(),
            rules: now.rules.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RuleState {
    fn used(&mut self, used: &RuleUse) {
        let kind = (used.rule.clone(), used.result);
        if self.uses.len() < MAX_RULES || self.uses.contains_key(&kind) {
            *self.uses.entry(kind).or_default() += 1;
        }
    }
}

impl Now {
    fn unread(&mut self, call: &UnreadCall) {
        let kind = UnreadKind {
            host: call.host.clone(),
            path: call.path.clone(),
            reason: call.reason,
        };
        if self.unread.len() < MAX_UNREAD || self.unread.contains_key(&kind) {
            *self.unread.entry(kind).or_default() += 1;
        }
    }

    fn ended(&mut self, call: &Call, model: Model) {
        if let Some(open) = self.in_flight.get_mut(&call.provider) {
            *open = open.saturating_sub(1);
        }
        self.generation.add(call, &model);
        self.calls.push_front(LastCall::of(call, model));
        self.calls.truncate(LAST_CALLS);
    }

    fn correlated(&mut self, correlated: &Correlated) {
        if let Some(call) = self
            .calls
            .iter_mut()
            .find(|call| call.number == correlated.call)
        {
            call.cascade.clone_from(&correlated.correlation.cascade);
        }
    }
}

impl LastCall {
    fn of(call: &Call, model: Model) -> Self {
        let tokens = call.usage.counts();
        let ended_at = call
            .timing
            .started_at
            .checked_add(call.timing.duration)
            .unwrap_or(call.timing.started_at);
        Self {
            id: CallId::new(time(call.timing.started_at), call.number),
            number: call.number,
            ended_at: time(ended_at),
            provider: call.provider,
            operation: call.operation,
            model,
            outcome: call.outcome,
            substituted_by: call.served_model.clone().filter(|_| call.is_substituted),
            quality: call.quality,
            input_tokens: tokens.sum(TokenKind::INPUT),
            cache_read_tokens: tokens[TokenKind::CacheRead],
            output_tokens: tokens.sum(TokenKind::OUTPUT),
            first_chunk_seconds: call
                .timing
                .time_to_first_chunk
                .map(|first| first.as_secs_f64()),
            duration_seconds: call.timing.duration.as_secs_f64(),
            cost: call.cost,
            cascade: call.correlation.cascade.clone(),
        }
    }
}

impl Sink for Live {
    fn receive(&self, fact: &Fact) {
        match fact {
            Fact::Call(call) => {
                let model = self.models.name(call);
                self.lock().ended(call, model);
            }
            Fact::CallStarted(started) => {
                *self.lock().in_flight.entry(started.provider).or_default() += 1
            }
            Fact::CallUnread(call) => self.lock().unread(call),
            Fact::Correlated(correlated) => self.lock().correlated(correlated),
            Fact::Handshake(made) => {
                let mut now = self.lock();
                let side = now.handshakes.entry(made.side).or_default();
                (side.made, side.failing) = (side.made + 1, None);
            }
            Fact::HandshakeFailed { side, reason } => {
                let mut now = self.lock();
                let side = now.handshakes.entry(*side).or_default();
                (side.failed, side.failing) = (side.failed + 1, Some(*reason));
            }
            Fact::RuleUsed(used) => self.lock().rules.used(used),
            Fact::RulesRead { active, is_broken } => {
                let rules = &mut self.lock().rules;
                (rules.active, rules.is_broken) = (*active, *is_broken);
            }
            _ => {}
        }
    }
}

/// A time that no calendar has says nothing: it becomes the epoch.
fn time(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

/// More than a terminal has lines, in some 30 kB.
const LAST_CALLS: usize = 100;

/// Kinds that are kept apart: an agent uses a handful, and more would be made up.
const MAX_UNREAD: usize = 16;

/// Pairs of a rule and what it did that are kept apart: more than a person writes.
const MAX_RULES: usize = 64;
