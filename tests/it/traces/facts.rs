//! Facts about a conversation whose places in a trace are settled.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gravimeter::record::{
    AgentName, Call, CallIds, Caller, CascadeRun, ConnectionSetup, Correlation, CorrelationMethod,
    Fact, Handshake, Host, Id, ModalitySplits, Model, Operation, Outcome, Phase, Provider, Quality,
    Reported, RequestSettings, RunOutcome, Side, SpanId, Timing, TlsVersion, TokenKind, TokenUsage,
    TraceContext, TraceId, Turn,
};

pub const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

/// A place in the trace; without a parent it is the root.
pub fn place(span: u64, parent: Option<u64>) -> TraceContext {
    TraceContext {
        trace: TraceId::new(TRACE).expect("an id"),
        span: SpanId::new(span).expect("an id"),
        parent: parent.and_then(SpanId::new),
        has_remote_parent: false,
        sampled: true,
    }
}

pub fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

pub fn id(text: &str) -> Id {
    Id::from_wire(text).expect("an id")
}

/// A streamed chat that went well.
pub fn call(number: u64, trace: Option<TraceContext>) -> Call {
    Call {
        number,
        provider: Provider::CloudCode,
        host: Host::parse("daily-cloudcode-pa.googleapis.com").expect("a host"),
        operation: Operation::Chat,
        model: Model::from_wire("gemini-3-pro"),
        counted_as: None,
        settings: RequestSettings::default(),
        is_compacted: false,
        served_model: Some(Model::from_wire("gemini-3-pro-002")),
        is_substituted: false,
        rules: None,
        outcome: Outcome::Ok,
        status: Some(200),
        streamed: true,
        finish_reason: Some(id("STOP")),
        rate_limit: None,
        usage: TokenUsage::default()
            .with(TokenKind::Input, 70)
            .with(TokenKind::CacheRead, 30)
            .with(TokenKind::Output, 15),
        modalities: ModalitySplits::default(),
        quality: Quality::Exact,
        reported: Reported::default(),
        cost: None,
        timing: Timing {
            started_at: start(),
            duration: Duration::from_millis(1500),
            time_to_first_chunk: Some(Duration::from_millis(250)),
            content_duration: None,
        },
        ids: CallIds {
            response: Some(id("r-1")),
            ..CallIds::default()
        },
        correlation: Correlation {
            cascade: Some(id("c-1")),
            method: CorrelationMethod::RequestId,
        },
        caller: Caller::default(),
        turn: Turn::default(),
        port: 443,
        parent: None,
        trace,
        setup: None,
    }
}

/// So many calls, each with a span of its own; numbers and spans from `first` on.
pub fn calls(first: u64, count: u64) -> Vec<Fact> {
    (first..first + count)
        .map(|n| Fact::Call(Box::new(call(n, Some(place(n, None))))))
        .collect()
}

/// A call that opened its connection: four spans.
pub fn first_call(number: u64, trace: Option<TraceContext>) -> Call {
    let phase = Phase {
        started_at: start(),
        duration: Duration::from_millis(20),
    };
    let handshake = |side| Handshake {
        side,
        version: TlsVersion::Tls13,
        resumed: false,
        duration: phase.duration,
    };
    let setup = ConnectionSetup {
        connect: phase,
        upstream: (phase, handshake(Side::Upstream)),
        agent: (phase, handshake(Side::Agent)),
    };
    Call {
        setup: Some(Box::new(setup)),
        ..call(number, trace)
    }
}

pub fn run(trace: TraceContext) -> CascadeRun {
    CascadeRun {
        agent: AgentName::Antigravity,
        cascade: id("c-1"),
        trajectory: None,
        model: Model::from_wire("gemini-3-pro"),
        has_several_models: false,
        outcome: RunOutcome::Ok,
        started_at: start(),
        duration: Duration::from_secs(3),
        time_to_first_chunk: None,
        calls: 2,
        tool_calls: None,
        tokens: 230,
        cost: None,
        trace: Some(trace),
    }
}
