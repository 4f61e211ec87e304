//! The data types that all other modules share.
//!
//! Plain data: no I/O, no clock, no other module is imported. Something that happened is a [`Fact`];
//! the code that reports it holds a [`Record`], the code that receives it is a [`Sink`]. No type here
//! can hold a header value, a query string, a prompt or a completion.

mod call;
mod cascade;
mod connection;
mod cost;
pub mod diagnostics;
mod fact;
mod handshake;
mod host;
mod ids;
mod label;
mod ledger;
mod modality;
mod model;
mod models;
mod notification;
mod printable;
mod quota;
mod reported;
mod repository;
mod rules;
#[cfg(test)]
mod sample;
mod session;
mod settings;
mod sink;
mod subject;
mod tokens;
mod totals;
mod trace;
mod turn;
mod unread;
mod wildcard;

pub use call::{
    Call, CallStarted, ContentChunks, Operation, Outcome, Provider, RateLimit, RateLimitReason,
    Timing,
};
pub use cascade::{
    CascadeRun, Correlated, Correlation, CorrelationMethod, FollowFailure, JoinedIds, RunOutcome,
    RunStarted, StepEnded, StepKind, StepStatus, SubagentRun, UpdateSource, UsageComparison,
};
pub use connection::{
    ByteDirection, Disposition, IpFamily, ObserverBudget, ObserverFailure, RefuseReason,
    RestartReason, TimeoutStep, TunnelReason,
};
pub use cost::Cost;
pub use fact::Fact;
pub use handshake::{Handshake, HandshakeFailure, LeafResult, Side, TlsVersion};
pub use host::{Host, HostPattern, InvalidHost};
pub use ids::{CallIds, Id};
pub use label::Label;
pub(crate) use label::label;
pub use ledger::{LedgerFailure, LedgerRecord};
pub use modality::{Modality, ModalitySplits, PerModality, SplitSum};
pub use model::Model;
pub use models::{Models, Named};
pub use notification::{NotificationResult, NotificationTarget};
pub use printable::printable;
pub use quota::{DisplayName, ModelName, Quota, QuotaWindow};
pub use reported::{CostSource, ProviderTime, Reported, ServerTools, ServiceTier, Speed};
pub use repository::{BranchName, Repository, RepositoryName};
pub use rules::{AppliedRules, RuleName, RuleResult, RuleUse};
#[cfg(test)]
pub(crate) use sample::sample_call;
pub use session::{
    Caller, ConnectionCaller, MAX_NAME_BYTES, MadeCall, ProgramName, Session, SessionEnded,
    SessionId,
};
pub use settings::{FiniteNumber, OutputType, RequestSettings};
pub use sink::{FanOut, Record, Sink};
pub use subject::{Subject, SubjectTotals};
pub use tokens::{PerKind, Quality, TokenKind, TokenUsage, UsageTotal};
pub use totals::{CallGroup, CallerTotals, ModalityGroup, Substitution, Totals};
pub use trace::{ConnectionSetup, Phase, Sampling, SpanId, TraceContext, TraceId, TraceParent};
pub use turn::{AgentName, Turn, TurnEnd, TurnStep};
pub use unread::{PathShape, UnreadCall, UnreadReason};
pub use wildcard::matches_wildcard;
