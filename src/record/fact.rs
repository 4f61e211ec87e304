//! Everything that can happen: the one type that observers report and sinks receive.

use std::time::{Duration, SystemTime};

use super::{
    ByteDirection, Call, CallStarted, CascadeRun, ContentChunks, Correlated, CorrelationMethod,
    Disposition, FollowFailure, Handshake, HandshakeFailure, Host, IpFamily, JoinedIds, LeafResult,
    LedgerFailure, LedgerRecord, ModelName, NotificationResult, NotificationTarget,
    ObserverFailure, Provider, Quota, RefuseReason, RestartReason, RuleUse, RunStarted, Session,
    SessionEnded, Side, StepEnded, SubagentRun, TimeoutStep, TraceContext, TunnelReason,
    UnreadCall, UpdateSource, UsageComparison, UsageTotal,
};

/// Something that happened. It is reported once, where it happens, and never withdrawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The observed process was started again.
    AgentRestarted(RestartReason),
    /// The observed process runs, or does not.
    AgentUp(bool),
    /// Accepting a connection failed (out of file descriptors or memory).
    AcceptFailed,
    /// Bytes were passed on.
    Bytes {
        /// Which way.
        direction: ByteDirection,
        /// How many.
        count: u64,
        /// The time from reading to having written them: the delay that Gravimeter adds. `None`
        /// where it is not measured.
        delay: Option<Duration>,
    },
    /// When the CA certificate ends.
    CaExpiry(SystemTime),
    /// A call ended.
    Call(Box<Call>),
    /// A call began.
    CallStarted(CallStarted),
    /// Where the span of an earlier call stands, which was not settled when the call ended.
    CallTraced {
        /// [`Call::number`].
        call: u64,
        /// Its place.
        trace: TraceContext,
    },
    /// An exchange that looks like a call of a model was read by no dialect.
    CallUnread(UnreadCall),
    /// News of a conversation came.
    CascadeUpdated(UpdateSource),
    /// A client has shown that it does not trust the certificate that it is given for this host.
    CertificateRejected(Host),
    /// A connection ended that had been counted as opened.
    ConnectionClosed(Disposition),
    /// A connection was intercepted or tunnelled.
    ConnectionOpened(Disposition),
    /// A connection was refused.
    ConnectionRefused(RefuseReason),
    /// A connection was tunnelled, which is also stated as opened.
    ConnectionTunnelled {
        /// Why.
        reason: TunnelReason,
        /// The host that the client asks for, where its ClientHello says so.
        host: Option<Host>,
    },
    /// The conversation of an earlier call is known now.
    Correlated(Correlated),
    /// How the conversation of a call is known is settled; stated once for each call.
    CorrelationSettled(CorrelationMethod),
    /// Content-bearing events followed another one.
    ContentChunks(ContentChunks),
    /// News of a conversation was lost.
    FollowFailed(FollowFailure),
    /// A handshake succeeded.
    Handshake(Handshake),
    /// A handshake failed.
    HandshakeFailed {
        /// Which session.
        side: Side,
        /// Why.
        reason: HandshakeFailure,
    },
    /// The agent's telemetry named identifiers together.
    IdsJoined(JoinedIds),
    /// A leaf certificate was needed.
    Leaf(LeafResult),
    /// The ledger had no room left to keep a record until its file can be written: it is lost.
    LedgerDropped(LedgerRecord),
    /// The ledger's file failed.
    LedgerFailed(LedgerFailure),
    /// What people call a model.
    ModelNamed(ModelName),
    /// People were notified, or could not be.
    NotificationEnded {
        /// Where.
        target: NotificationTarget,
        /// How it ended.
        result: NotificationResult,
    },
    /// The observer lost figures.
    ObserverFailed(ObserverFailure),
    /// What is left of a quota.
    Quota(Quota),
    /// The redirect rules are in place, or not.
    Redirect {
        /// Of which family.
        family: IpFamily,
        /// Whether they are in place.
        active: bool,
    },
    /// A rule matched a request.
    RuleUsed(RuleUse),
    /// The files of rules were read.
    RulesRead {
        /// How many rules hold.
        active: usize,
        /// The files have mistakes, so that these are the rules that were read before.
        is_broken: bool,
    },
    /// A run of a conversation ended.
    RunEnded(Box<CascadeRun>),
    /// A run of a conversation began.
    RunStarted(RunStarted),
    /// A session has ended.
    SessionEnded(SessionEnded),
    /// A session has begun.
    SessionStarted(Box<Session>),
    /// A step of a conversation ended.
    StepEnded(StepEnded),
    /// A subagent has come to the end of a turn of its own.
    SubagentEnded(Box<SubagentRun>),
    /// A step took longer than it may.
    TimedOut(TimeoutStep),
    /// The provider's total of a call's tokens was compared with the parts that it reports.
    TotalCompared {
        /// Who answered.
        provider: Provider,
        /// How they compare.
        total: UsageTotal,
    },
    /// A TCP connection to a provider was made.
    UpstreamConnected(Duration),
    /// The agent's count of a call was compared with that of the wire.
    UsageCompared(UsageComparison),
}
