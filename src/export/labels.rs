//! Label sets: structs of closed enums and of bounded model names. A field's name is the label's
//! name.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use super::otlp::Loss;
use super::web::WebRefusal;
use crate::record::{
    AgentName, ByteDirection, CorrelationMethod, CostSource, DisplayName, Disposition,
    FollowFailure, HandshakeFailure, IpFamily, Label, LeafResult, LedgerFailure, LedgerRecord,
    Model, NotificationResult, NotificationTarget, ObserverBudget, ObserverFailure, Operation,
    Outcome, Provider, Quality, QuotaWindow, RateLimitReason, RefuseReason, RestartReason,
    RuleResult, RunOutcome, Side, SpanId, StepKind, StepStatus, TimeoutStep, TlsVersion, TokenKind,
    TraceId, TunnelReason, UnreadReason, UpdateSource, UsageComparison, UsageTotal,
};

/// Lets the label enums of `record` be label values of the metrics library.
macro_rules! label_values {
    ($($Label:ty),+ $(,)?) => {
        $(impl EncodeLabelValue for $Label {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                EncodeLabelValue::encode(&Label::as_str(*self), encoder)
            }
        })+
    };
}

label_values!(
    AgentName,
    ByteDirection,
    CorrelationMethod,
    CostSource,
    Disposition,
    FollowFailure,
    HandshakeFailure,
    IpFamily,
    LeafResult,
    LedgerFailure,
    LedgerRecord,
    NotificationResult,
    NotificationTarget,
    ObserverBudget,
    ObserverFailure,
    Operation,
    Outcome,
    Provider,
    Quality,
    QuotaWindow,
    RateLimitReason,
    RefuseReason,
    RestartReason,
    RuleResult,
    RunOutcome,
    Side,
    Loss,
    StepKind,
    StepStatus,
    TimeoutStep,
    TlsVersion,
    TokenKind,
    TunnelReason,
    UnreadReason,
    UpdateSource,
    UsageComparison,
    UsageTotal,
    WebRefusal,
);

impl EncodeLabelValue for Model {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl EncodeLabelValue for DisplayName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl EncodeLabelValue for TraceId {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{self}")
    }
}

impl EncodeLabelValue for SpanId {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{self}")
    }
}

/// Declares a label set with the traits that a metric family asks of it.
macro_rules! label_set {
    ($Name:ident { $($field:ident: $Value:ty),+ $(,)? }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $Name {
            $(pub(super) $field: $Value,)+
        }
    };
}

label_set!(ByBudget { budget: String });
label_set!(ByNotification {
    target: NotificationTarget,
    result: NotificationResult
});
label_set!(ByProvider { provider: Provider });
label_set!(ByRepository {
    program: String,
    repository: String
});
label_set!(ByRepositoryAndKind {
    program: String,
    repository: String,
    kind: &'static str
});
label_set!(ByModel {
    provider: Provider,
    model: Model
});
label_set!(ByKind {
    provider: Provider,
    model: Model,
    kind: &'static str
});
label_set!(ByQuality {
    provider: Provider,
    model: Model,
    quality: Quality
});
label_set!(ByOperation {
    provider: Provider,
    model: Model,
    operation: Operation
});
label_set!(ByOutcome {
    provider: Provider,
    model: Model,
    operation: Operation,
    outcome: Outcome
});
label_set!(ByCost {
    provider: Provider,
    model: Model,
    source: CostSource
});
label_set!(ByProviderTime {
    provider: Provider,
    model: Model,
    until: &'static str
});
label_set!(BySubstitution {
    provider: Provider,
    model: Model,
    served_model: Model
});
label_set!(ByTotal {
    provider: Provider,
    result: UsageTotal
});
label_set!(ByUnread { provider: &'static str, reason: UnreadReason });
label_set!(ByRateLimit {
    provider: Provider,
    model: Model,
    reason: RateLimitReason
});

label_set!(ByRule {
    rule: String,
    result: RuleResult
});

label_set!(ByRunModel { model: Model });
label_set!(ByRun {
    model: Model,
    outcome: RunOutcome
});
label_set!(ByStepEnd {
    step: StepKind,
    status: StepStatus
});
label_set!(BySource {
    source: UpdateSource
});
label_set!(ByMethod {
    method: CorrelationMethod
});
label_set!(ByComparison {
    result: UsageComparison
});
label_set!(ByFollowFailure {
    reason: FollowFailure
});
label_set!(ByQuota {
    provider: Provider,
    model: Model,
    window: QuotaWindow
});
label_set!(ModelInfo {
    provider: Provider,
    model: Model,
    display_name: DisplayName
});

label_set!(ByHandshake {
    side: Side,
    version: TlsVersion,
    resumed: bool
});
label_set!(ByHandshakeFailure {
    side: Side,
    reason: HandshakeFailure
});
label_set!(ByLeafResult { result: LeafResult });
label_set!(ByDisposition {
    disposition: Disposition
});
label_set!(ByRefusal {
    reason: RefuseReason
});
label_set!(ByStep { step: TimeoutStep });
label_set!(ByTunnel {
    reason: TunnelReason
});
label_set!(ByObserverBudget {
    budget: ObserverBudget
});
label_set!(ByObserverFailure {
    reason: ObserverFailure
});
label_set!(ByDirection {
    direction: ByteDirection
});
label_set!(ByFamily { family: IpFamily });
label_set!(ByRestart {
    reason: RestartReason
});
label_set!(ByLoss { reason: Loss });
label_set!(ByWebRefusal { reason: WebRefusal });
label_set!(ByLedgerFailure {
    operation: LedgerFailure
});
label_set!(ByLedgerRecord {
    record: LedgerRecord
});

label_set!(ByLabel { label: &'static str });
label_set!(Build { version: &'static str, revision: &'static str, rustc: &'static str });
