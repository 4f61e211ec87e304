use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::*;
use crate::record::{AgentName, Label as _, TokenUsage, UnreadCall, sample_call};
use crate::summary::Recorded;

pub(in crate::summary) fn circumstances() -> Circumstances {
    Circumstances {
        budgets: Vec::new(),
        program: "claude".to_owned(),
        started_at: UNIX_EPOCH,
        duration_seconds: 100.0,
        exit_code: 0,
        scope: "namespace".into(),
        scope_reason: None,
        scope_failure: None,
        already_running: None,
        ledger: Recorded::File(PathBuf::from("/state/ledger.db")),
        log: PathBuf::from("/home/ann/state/runs/1/log"),
        home: Some(PathBuf::from("/home/ann")),
    }
}

/// A call from second `start` on that took `seconds`.
pub(in crate::summary) fn call(model: &str, start: u64, seconds: u64) -> Call {
    let mut call = sample_call();
    call.model = Model::from_wire(model);
    call.timing.started_at = UNIX_EPOCH + Duration::from_secs(start);
    call.timing.duration = Duration::from_secs(seconds);
    call
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

#[test]
fn calls_are_added_up_by_the_model_that_was_asked_for() {
    let collector = Collector::default();
    for (number, model) in ["a", "b", "a"].into_iter().enumerate() {
        let mut call = call(model, number as u64 * 10, 5);
        call.usage = TokenUsage::default()
            .with(TokenKind::Input, 10)
            .with(TokenKind::CacheRead, 30)
            .with(TokenKind::Output, 1);
        call.cost = (model == "a").then(|| Cost::from_nano_usd(7));
        call.served_model = Some(Model::from_wire("served"));
        call.timing.time_to_first_chunk = Some(Duration::from_secs(number as u64 + 1));
        collector.receive(&Fact::Call(Box::new(call)));
    }
    let mut refused = call("b", 30, 1);
    refused.outcome = Outcome::RateLimited;
    collector.receive(&Fact::Call(Box::new(refused)));

    let report = collector.report(circumstances());
    assert_eq!(report.calls, 4);
    assert_eq!(
        report.outcomes,
        BTreeMap::from([(Outcome::Ok, 3), (Outcome::RateLimited, 1)])
    );
    assert_eq!(report.tokens.sum(TokenKind::ALL), 123);
    assert_eq!(report.cache_share, Some(0.75));
    assert_eq!(report.cost_usd, Some(Cost::from_nano_usd(14)));
    assert_eq!(report.unpriced_calls, 1);
    assert_eq!(report.first_chunk_p50_seconds, Some(2.0));
    assert_eq!(report.first_chunk_p95_seconds, Some(3.0));
    assert!((report.model_seconds - 16.0).abs() < 1e-9);
    let models: Vec<_> = report
        .models
        .iter()
        .map(|model| (model.asked.to_string(), model.calls, model.total_tokens()))
        .collect();
    assert_eq!(models, [("a".to_owned(), 2, 82), ("b".to_owned(), 2, 41)]);
    assert_eq!(report.models[0].served, [Model::from_wire("served")]);
}

#[test]
fn what_was_not_seen_is_kept_apart_and_bounded() {
    let collector = Collector::default();
    for number in 0..MAX_NAMES + 10 {
        collector.receive(&Fact::ConnectionTunnelled {
            reason: TunnelReason::NotSelected,
            host: Some(host(&format!("h{number}.example.com"))),
        });
    }
    collector.receive(&Fact::CertificateRejected(host("api.example.com")));
    collector.receive(&Fact::ConnectionRefused(RefuseReason::Timeout));
    collector.receive(&Fact::CallUnread(UnreadCall {
        provider: None,
        host: host("api.example.com"),
        path: PathShape::of("/v1/models/secret?key=canary"),
        reason: UnreadReason::Usage,
    }));
    let unseen = collector.report(circumstances()).unseen;
    assert_eq!(unseen.tunnelled.len(), MAX_NAMES);
    assert_eq!(unseen.untrusted.len(), 1);
    assert_eq!(unseen.refused[&RefuseReason::Timeout], 1);
    assert_eq!(unseen.unread[0].path, "/v1/models/{}");
}

#[test]
fn a_report_is_json_with_the_names_of_the_other_interfaces() {
    let collector = Collector::default();
    let mut call = call("m", 0, 1);
    call.usage = TokenUsage::default().with(TokenKind::Input, 3);
    collector.receive(&Fact::Call(Box::new(call)));
    let json = serde_json::to_value(collector.report(circumstances())).unwrap();
    assert_eq!(json["program"], "claude");
    assert_eq!(json["outcomes"]["ok"], 1);
    assert_eq!(json["tokens"]["input"], 3);
    assert_eq!(json["models"][0]["provider"], "gcp.gen_ai");
    assert_eq!(json["ledger"]["file"], "/state/ledger.db");
    assert_eq!(json["started_at"], 0.0);
    assert!(json["first_chunk_p50_seconds"].is_null());
}

#[test]
fn quantiles_are_times_that_occurred() {
    let times = |count: u64| (1..=count).map(Duration::from_secs).collect::<Vec<_>>();
    assert_eq!(quantile(&[], 50), None);
    assert_eq!(quantile(&times(1), 95), Some(1.0));
    assert_eq!(quantile(&times(2), 50), Some(1.0));
    assert_eq!(quantile(&times(100), 95), Some(95.0));
}

#[test]
fn turns_are_counted_by_how_they_ended_and_in_which_conversation() {
    let collector = Collector::default();
    for (conversation, outcome) in [
        ("a", RunOutcome::Ok),
        ("a", RunOutcome::Ok),
        ("b", RunOutcome::Canceled),
    ] {
        collector.receive(&Fact::RunEnded(Box::new(CascadeRun {
            agent: AgentName::Antigravity,
            cascade: Id::from_wire(conversation).unwrap(),
            trajectory: None,
            model: Model::from_wire("m"),
            has_several_models: false,
            outcome,
            started_at: UNIX_EPOCH,
            duration: Duration::from_secs(1),
            time_to_first_chunk: None,
            calls: 1,
            tool_calls: None,
            tokens: 1,
            cost: None,
            trace: None,
        })));
    }
    let report = collector.report(circumstances());
    assert_eq!(report.conversations, 2);
    let turns: Vec<_> = report
        .runs
        .iter()
        .map(|(how, count)| (how.as_str(), *count))
        .collect();
    assert_eq!(turns, [("canceled", 1), ("ok", 2)]);
    let mut call = call("m", 0, 1);
    call.usage = TokenUsage::default().with(TokenKind::Input, 1);
    collector.receive(&Fact::Call(Box::new(call)));
    let text = crate::summary::render(&collector.report(circumstances()), UNIX_EPOCH);
    let expected = "conversations 2 with 3 turns: 1 canceled, 2 ok\n";
    assert!(text.contains(expected), "{text}");
}
