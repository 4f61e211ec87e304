//! The report of a run: the shape of the file that `--json` writes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::budget::BudgetStatus;
use crate::record::{
    Cost, Host, Label, Model, Outcome, PerKind, Provider, Quota, QuotaWindow, RefuseReason,
    RunOutcome, TokenKind, TunnelReason, UnreadReason,
};

/// The figures of a run. Times are seconds, costs US dollars, tokens by their public names
/// ([`crate::record::TokenKind::public_names`]).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How the program ran.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// Calls that ended.
    pub calls: u64,
    /// The same by outcome; outcomes that did not occur are left out.
    #[serde(serialize_with = "by_label")]
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Conversations with a turn that ended: a user's message and all the work that followed it.
    pub conversations: usize,
    /// These turns by outcome; outcomes that did not occur are left out.
    #[serde(serialize_with = "by_label")]
    pub runs: BTreeMap<RunOutcome, u64>,
    /// Of all calls.
    #[serde(serialize_with = "by_public_name")]
    pub tokens: PerKind<u64>,
    /// The share of the input tokens that was read from a cache, from 0 to 1.
    pub cache_share: Option<f64>,
    /// Of all calls with a price.
    pub cost_usd: Option<Cost>,
    /// Calls with tokens for which there is no price.
    pub unpriced_calls: u64,
    /// By the model that was asked for, the one with the most tokens first.
    pub models: Vec<ModelFigures>,
    /// The median time to the first chunk of an answer.
    pub first_chunk_p50_seconds: Option<f64>,
    /// The time that 95 % of the first chunks did not exceed.
    pub first_chunk_p95_seconds: Option<f64>,
    /// For how long at least one call was under way.
    pub model_seconds: f64,
    /// The last reading of each quota.
    pub limits: Vec<Limit>,
    /// What the figures lack.
    pub unseen: Unseen,
}

/// How a program ran: everything in a report but its calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Circumstances {
    /// The program's name, without its folder and its arguments.
    pub program: String,
    /// When it was started, in seconds since 1970.
    #[serde(serialize_with = "unix_seconds")]
    pub started_at: SystemTime,
    /// From its start to its end.
    pub duration_seconds: f64,
    /// The exit code, or 128 and the number of the signal that ended it.
    pub exit_code: u8,
    /// The way by which its connections were captured.
    pub scope: Cow<'static, str>,
    /// Why a better way was not taken, where one was tried, and what this one lacks for it.
    pub scope_reason: Option<String>,
    /// How the way has failed while the program ran.
    pub scope_failure: Option<String>,
    /// A process of the same application that ran before, where there was one. It may have taken over
    /// what was started: what it did is not in the figures then.
    pub already_running: Option<u32>,
    /// Whether the calls are in the ledger.
    pub ledger: Recorded,
    /// How the budgets stand at its end.
    pub budgets: Vec<BudgetStatus>,
    /// The log of the run.
    pub log: PathBuf,
    /// The home of the user, which people read as `~`.
    #[serde(skip)]
    pub home: Option<PathBuf>,
}

/// Whether the calls of a run are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// In this file.
    File(PathBuf),
    /// In this file as soon as the process that has it now has ended; in memory until then.
    Later(PathBuf),
    /// Nowhere, and why.
    Nowhere(String),
}

/// The figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFigures {
    /// Who answered.
    pub provider: Provider,
    /// The model that was asked for.
    pub asked: Model,
    /// The models that answered, where the provider names them.
    pub served: Vec<Model>,
    /// Calls that ended.
    pub calls: u64,
    /// Of these calls.
    #[serde(serialize_with = "by_public_name")]
    pub tokens: PerKind<u64>,
    /// Of the calls with a price.
    pub cost_usd: Option<Cost>,
}

impl ModelFigures {
    /// All tokens together.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.tokens.sum(TokenKind::ALL)
    }
}

/// What is left of a quota.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// Whose.
    pub provider: Provider,
    /// The model or group of models.
    pub model: Model,
    /// The time after which it is full again.
    pub window: QuotaWindow,
    /// What is left, from 0 to 1.
    pub remaining: f64,
    /// When it is full again, in seconds since 1970.
    #[serde(serialize_with = "optional_unix_seconds")]
    pub resets_at: Option<SystemTime>,
}

impl From<&Quota> for Limit {
    fn from(quota: &Quota) -> Self {
        Self {
            provider: quota.provider,
            model: quota.model.clone(),
            window: quota.window,
            remaining: quota.remaining,
            resets_at: quota.resets_at,
        }
    }
}

/// What the figures of a run lack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Connections that were passed on without decryption.
    pub tunnelled: Vec<Tunnelled>,
    /// Hosts for which a client has rejected Gravimeter's certificate.
    pub untrusted: Vec<Untrusted>,
    /// Exchanges that look like calls of a model and are in no format that is read.
    pub unread: Vec<Unread>,
    /// Connections that were refused, by reason.
    #[serde(serialize_with = "by_label")]
    pub refused: BTreeMap<RefuseReason, u64>,
    /// Calls or connections whose figures were lost while they were read.
    pub lost: u64,
}

impl Unseen {
    /// Whether the figures lack nothing that may have been a call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Connections to a host that were passed on without decryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tunnelled {
    /// The host, where the client named one.
    pub host: Option<Host>,
    /// Why.
    pub reason: TunnelReason,
    /// How many.
    pub connections: u64,
}

/// A host for which a client has rejected Gravimeter's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Untrusted {
    /// The host.
    pub host: Host,
    /// How often.
    pub rejections: u64,
}

/// Exchanges that look like calls and are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The host.
    pub host: Host,
    /// The shape of the path.
    pub path: String,
    /// What makes them look like calls.
    pub reason: UnreadReason,
    /// How many.
    pub calls: u64,
}

fn by_public_name<S: Serializer>(tokens: &PerKind<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tokens.by_public_name())
}

fn by_label<L: Label + Ord, S: Serializer>(
    counts: &BTreeMap<L, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().map(|(label, count)| (label.as_str(), count)))
}

fn unix_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_f64(since.as_secs_f64())
}

#[expect(clippy::ref_option, reason = "serde asks for this shape")]
fn optional_unix_seconds<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => unix_seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}
