//! Facts to take, and a ledger whose clock stands still.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::ledger::{
    By, CascadePage, CascadesQuery, Cursor, Ledger, Limits, State, UsageQuery, UsageReport,
};
use crate::record::{
    AgentName, Call, CallIds, CascadeRun, Correlated, Correlation, CorrelationMethod, Cost,
    DisplayName, Fact, Host, Id, Model, ModelName, Models, Provider, Quality, RunOutcome,
    RunStarted, StepEnded, StepKind, StepStatus, Timing, TokenKind, TokenUsage, sample_call,
};

pub(super) const START: Timestamp = Timestamp::UNIX_EPOCH;

pub(super) fn now() -> Timestamp {
    "2026-11-23T20:44:00Z".parse().expect("a time")
}

pub(super) fn id(text: &str) -> Id {
    Id::from_wire(text).expect("an id")
}

/// A second since the epoch.
pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A call of one second and 63 tokens that is known to belong to no conversation.
pub(super) fn call(model: &str, provider: Provider) -> Call {
    let sample = sample_call();
    Call {
        provider,
        host: Host::parse("api.example.com").expect("a host"),
        model: Model::from_wire(model),
        usage: TokenUsage::default()
            .with(TokenKind::Input, 1)
            .with(TokenKind::CacheRead, 2)
            .with(TokenKind::CacheWrite5m, 4)
            .with(TokenKind::ToolInput, 8)
            .with(TokenKind::Output, 16)
            .with(TokenKind::Thinking, 32),
        quality: Quality::Exact,
        timing: Timing {
            duration: Duration::from_secs(1),
            ..sample.timing
        },
        ..sample
    }
}

/// The call of that number, which began in that second, with 63 tokens of the model `m`. Even ones
/// have a price.
pub(super) fn numbered(number: u64) -> Call {
    let call = call("m", Provider::CloudCode);
    let cost = number
        .is_multiple_of(2)
        .then(|| Cost::from_nano_usd(1000 + number));
    Call {
        number,
        cost,
        timing: Timing {
            started_at: at(number),
            ..call.timing
        },
        ..call
    }
}

pub(super) fn of_cascade(cascade: &str, call: Call) -> Call {
    let correlation = Correlation {
        cascade: Some(id(cascade)),
        method: CorrelationMethod::RequestId,
    };
    Call {
        correlation,
        ..call
    }
}

/// A call that a subagent made, which the main agent or another subagent has started.
pub(super) fn of_subagent(subagent: &str, parent: Option<&str>, call: Call) -> Call {
    Call {
        ids: CallIds {
            subagent: Some(id(subagent)),
            parent_subagent: parent.map(id),
            subagent_kind: Some(id("Explore")),
            ..CallIds::default()
        },
        ..call
    }
}

pub(super) fn of_trajectory(trajectory: &str, call: Call) -> Call {
    Call {
        ids: CallIds {
            trajectory: Some(id(trajectory)),
            ..CallIds::default()
        },
        ..call
    }
}

pub(super) fn ended(call: Call) -> Fact {
    Fact::Call(Box::new(call))
}

/// The provider's trace tells which conversation the call belongs to, or that it belongs to none
/// that is known.
pub(super) fn correlated(call: u64, cascade: Option<&str>) -> Fact {
    let method = if cascade.is_some() {
        CorrelationMethod::TraceId
    } else {
        CorrelationMethod::None
    };
    Fact::Correlated(Correlated {
        call,
        correlation: Correlation {
            cascade: cascade.map(id),
            method,
        },
    })
}

pub(super) fn run_started(cascade: &str, second: u64) -> Fact {
    Fact::RunStarted(RunStarted {
        cascade: id(cascade),
        started_at: at(second),
    })
}

/// A run of ten seconds that began in that second.
pub(super) fn run_ended(cascade: &str, second: u64) -> Fact {
    Fact::RunEnded(Box::new(CascadeRun {
        agent: AgentName::Antigravity,
        cascade: id(cascade),
        trajectory: None,
        model: Model::from_wire("m"),
        has_several_models: false,
        outcome: RunOutcome::Ok,
        started_at: at(second),
        duration: Duration::from_secs(10),
        time_to_first_chunk: Some(Duration::from_millis(2500)),
        calls: 2,
        tool_calls: None,
        tokens: 126,
        cost: None,
        trace: None,
    }))
}

pub(super) fn step(cascade: &str, step: StepKind, status: StepStatus) -> Fact {
    Fact::StepEnded(StepEnded {
        cascade: id(cascade),
        step,
        status,
    })
}

pub(super) fn named(model: &str, display: &str) -> Fact {
    Fact::ModelNamed(ModelName {
        provider: Provider::CloudCode,
        model: Model::from_wire(model),
        display: DisplayName::from_wire(display).expect("a name"),
        placeholder: None,
    })
}

pub(super) fn ledger(models: usize, calls: Vec<Call>) -> Ledger {
    let ledger = Ledger::new(START, Arc::new(Models::new(models)));
    take(&ledger, calls.into_iter().map(ended));
    ledger
}

/// A ledger that keeps `cascades` conversations and `calls` calls, at most `calls_of_a_cascade` of
/// one.
pub(super) fn small(cascades: usize, calls: usize, calls_of_a_cascade: usize) -> Ledger {
    let limits = Limits {
        cascades,
        calls,
        calls_of_a_cascade,
        runs_of_a_cascade: 2,
    };
    Ledger::with_limits(START, Arc::default(), limits)
}

pub(super) fn take(ledger: &Ledger, facts: impl IntoIterator<Item = Fact>) {
    facts
        .into_iter()
        .for_each(|fact| ledger.take_at(&fact, now));
}

pub(super) fn report(ledger: &Ledger, by: By) -> UsageReport {
    ledger
        .query(
            &UsageQuery {
                by,
                ..UsageQuery::default()
            },
            now(),
        )
        .expect("a report")
}

/// Calls by group, as `key calls`.
pub(super) fn groups(ledger: &Ledger) -> Vec<String> {
    let cascades = report(ledger, By::Cascade).cascades.expect("cascades");
    cascades
        .into_iter()
        .map(|(key, group)| format!("{key} {}", group.usage.calls))
        .collect()
}

pub(super) fn page(
    ledger: &Ledger,
    state: Option<State>,
    limit: usize,
    cursor: Option<Cursor>,
) -> CascadePage {
    ledger.cascades(&CascadesQuery {
        state,
        limit,
        cursor,
    })
}
