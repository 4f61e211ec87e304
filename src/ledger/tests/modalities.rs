//! What tokens stand for, in the file: counters resume from it as if the process had gone on.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;

use super::file::{Stage, close};
use super::kit::{call, ended, take};
use crate::export::formats::Format;
use crate::export::tests::kit::exposition;
use crate::export::{Config, Metrics};
use crate::record::{
    Call, CallStarted, Caller, Fact, Modality, ModalitySplits, Models, Operation, Provider, Sink,
    SplitSum, TokenKind, TokenUsage, Totals,
};

/// Calls of two models, for what the GenAI convention calls one operation and another.
fn calls() -> Vec<Call> {
    let described = |number: u64| {
        let mut modalities = ModalitySplits::default();
        modalities[SplitSum::Input].add(Modality::Image, 2 * number);
        modalities[SplitSum::Input].add(Modality::Text, 1);
        modalities[SplitSum::CacheRead].add(Modality::Document, 2);
        modalities[SplitSum::Output].add(Modality::Audio, 16);
        let usage = TokenUsage::default()
            .with(TokenKind::Input, 3 * number)
            .with(TokenKind::CacheRead, 2)
            .with(TokenKind::Output, 16)
            .with(TokenKind::Thinking, 32);
        Call {
            number,
            usage,
            modalities: modalities.within(&usage.counts()),
            ..call("m", Provider::Gemini)
        }
    };
    vec![
        described(1),
        described(2),
        Call {
            operation: Operation::Checkpoint,
            ..described(3)
        },
        Call {
            operation: Operation::CountTokens,
            ..described(4)
        },
        Call {
            number: 5,
            ..call("m", Provider::Gemini)
        },
        Call {
            model: crate::record::Model::from_wire("n"),
            ..described(6)
        },
    ]
}

fn metrics() -> Metrics {
    Metrics::new(Config::default(), Arc::new(Models::default()))
}

/// The series with a modality, and their values.
fn by_modality(metrics: &Metrics) -> Vec<String> {
    let exposition = exposition(metrics, Format::Text);
    let lines = exposition.lines();
    let mut lines: Vec<_> = lines
        .filter(|line| line.contains("gen_ai_token_modality="))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

fn count(metrics: &Metrics, call: Call) {
    metrics.receive(&Fact::CallStarted(CallStarted {
        number: call.number,
        provider: call.provider,
        host: call.host.clone(),
        operation: call.operation,
        model: None,
        started_at: call.timing.started_at,
        caller: Caller::default(),
    }));
    metrics.receive(&ended(call));
}

fn resumed(totals: &Totals) -> Vec<String> {
    let metrics = metrics();
    metrics.resume(totals, Timestamp::UNIX_EPOCH);
    by_modality(&metrics)
}

#[test]
fn counters_by_modality_resume_where_they_were() {
    let (stage, before) = (Stage::new(), metrics());
    let (ledger, _) = stage.start();
    for call in calls() {
        count(&before, call.clone());
        take(&ledger, [ended(call)]);
    }
    close(&ledger);
    let expected = by_modality(&before);
    assert!(
        expected.iter().any(|line| line.contains("\"image\"")),
        "{expected:?}"
    );
    let (ledger, totals) = stage.start();
    assert_eq!(resumed(&totals), expected);
    close(&ledger);
    assert_eq!(
        stage.rows("SELECT tokens FROM modality_tokens WHERE model = 'n' ORDER BY tokens"),
        ["1", "2", "12", "16"]
    );
}

#[test]
fn a_split_of_the_file_never_exceeds_its_sum() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(&ledger, calls().into_iter().map(ended));
    close(&ledger);
    let (ledger, totals) = stage.start();
    close(&ledger);
    let sum = |lines: Vec<String>| -> f64 {
        let values = lines.iter().filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    };
    let expected = sum(resumed(&totals));
    let file = Connection::open(stage.path()).unwrap();
    file.execute_batch(
        "UPDATE modality_tokens SET tokens = 9223372036854775807 WHERE modality = 'image'; \
         UPDATE modality_tokens SET tokens = -5 WHERE modality = 'audio'; \
         INSERT INTO modality_tokens VALUES ('gcp.gemini', 'm', 'chat', 'output', 'smell', 7)",
    )
    .unwrap();
    drop(file);
    let (ledger, totals) = stage.start();
    close(&ledger);
    assert!((sum(resumed(&totals)) - expected).abs() < 0.5);
}
