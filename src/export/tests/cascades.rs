//! What is said of conversations, quotas and names becomes the right series.

use std::time::UNIX_EPOCH;

use super::kit::{call, exposition, id, limited, metrics, named, quota, run, samples, value};
use crate::export::formats::Format;
use crate::record::{
    CascadeRun, CorrelationMethod, Fact, FollowFailure, Label, Quota, QuotaWindow, RunOutcome,
    RunStarted, Sink, StepEnded, StepKind, StepStatus, UpdateSource, UsageComparison,
};

fn ended(run: CascadeRun) -> Fact {
    Fact::RunEnded(Box::new(run))
}

#[test]
fn a_run_is_measured_by_model_and_outcome() {
    let metrics = metrics();
    // Only an answered call gives a model its label.
    metrics.receive(&Fact::Call(Box::new(call("m"))));
    metrics.receive(&ended(run("c", "m")));
    metrics.receive(&ended(CascadeRun {
        outcome: RunOutcome::Error,
        time_to_first_chunk: None,
        ..run("c", "m")
    }));
    let duration = |part: &str, labels: &[&str]| {
        value(
            &metrics,
            &format!("gravimeter_cascade_duration_seconds_{part}"),
            &[&["model=m"], labels].concat(),
        )
    };
    assert_eq!(duration("count", &["outcome=ok"]), Some(1.0));
    assert_eq!(duration("sum", &["outcome=error"]), Some(10.0));
    assert_eq!(duration("bucket", &["outcome=ok", "le=6.4"]), Some(0.0));
    assert_eq!(duration("bucket", &["outcome=ok", "le=12.8"]), Some(1.0));
    let first = "gravimeter_cascade_time_to_first_chunk_seconds";
    assert_eq!(
        value(&metrics, &format!("{first}_count"), &["model=m"]),
        Some(1.0),
        "not reported is not zero"
    );
    assert_eq!(
        value(&metrics, &format!("{first}_sum"), &["model=m"]),
        Some(2.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_cascade_calls_bucket",
            &["model=m", "le=4.0"]
        ),
        Some(2.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_cascade_calls_sum", &["model=m"]),
        Some(6.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_cascade_tokens_bucket",
            &["model=m", "le=256.0"]
        ),
        Some(0.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_cascade_tokens_sum", &["model=m"]),
        Some(720.0)
    );
}

#[test]
fn running_rises_falls_and_never_goes_below_zero() {
    let metrics = metrics();
    let running = || value(&metrics, "gravimeter_cascades_running", &[]);
    assert_eq!(running(), Some(0.0));
    metrics.receive(&Fact::RunStarted(RunStarted {
        cascade: id("c"),
        started_at: UNIX_EPOCH,
    }));
    assert_eq!(running(), Some(1.0));
    metrics.receive(&ended(run("c", "m")));
    metrics.receive(&ended(run("c", "m")));
    assert_eq!(running(), Some(0.0));
}

#[test]
fn small_closed_sets_begin_at_zero_and_steps_with_their_first() {
    let metrics = metrics();
    let all = |name: &str, label: &str, texts: Vec<&str>| {
        for text in texts {
            assert_eq!(
                value(&metrics, name, &[&format!("{label}={text}")]),
                Some(0.0),
                "{name} {text}"
            );
        }
    };
    fn texts<L: Label>() -> Vec<&'static str> {
        L::ALL.iter().map(|label| label.as_str()).collect()
    }
    all(
        "gravimeter_cascade_updates_total",
        "source",
        texts::<UpdateSource>(),
    );
    all(
        "gravimeter_correlations_total",
        "method",
        texts::<CorrelationMethod>(),
    );
    all(
        "gravimeter_usage_comparisons_total",
        "result",
        texts::<UsageComparison>(),
    );
    all(
        "gravimeter_cascade_follow_errors_total",
        "reason",
        texts::<FollowFailure>(),
    );
    assert_eq!(value(&metrics, "gravimeter_cascade_steps_total", &[]), None);
    let step = StepEnded {
        cascade: id("c"),
        step: StepKind::RunCommand,
        status: StepStatus::Error,
    };
    metrics.receive(&Fact::StepEnded(step));
    let labels = ["step=run_command", "status=error"];
    assert_eq!(
        value(&metrics, "gravimeter_cascade_steps_total", &labels),
        Some(1.0)
    );
}

#[test]
fn each_word_about_following_is_counted_once() {
    let metrics = metrics();
    metrics.receive(&Fact::CascadeUpdated(UpdateSource::Polling));
    metrics.receive(&Fact::CorrelationSettled(CorrelationMethod::None));
    metrics.receive(&Fact::UsageCompared(UsageComparison::AgentOnly));
    metrics.receive(&Fact::FollowFailed(FollowFailure::Disabled));
    for (name, label) in [
        ("gravimeter_cascade_updates_total", "source=polling"),
        ("gravimeter_correlations_total", "method=none"),
        ("gravimeter_usage_comparisons_total", "result=agent_only"),
        ("gravimeter_cascade_follow_errors_total", "reason=disabled"),
    ] {
        assert_eq!(value(&metrics, name, &[label]), Some(1.0), "{name}");
        assert_eq!(value(&metrics, name, &[]), Some(1.0), "{name}");
    }
}

#[test]
fn a_quota_shows_its_last_reading() {
    let metrics = metrics();
    let labels = ["provider=gcp.gen_ai", "model=gemini", "window=weekly"];
    let ratio = || value(&metrics, "gravimeter_quota_remaining_ratio", &labels);
    let reset = || {
        value(
            &metrics,
            "gravimeter_quota_reset_timestamp_seconds",
            &labels,
        )
    };
    metrics.receive(&Fact::Quota(quota("gemini", 0.56)));
    assert_eq!((ratio(), reset()), (Some(0.56), Some(1_800_000_000.0)));
    metrics.receive(&Fact::Quota(Quota {
        resets_at: None,
        ..quota("gemini", 0.25)
    }));
    assert_eq!((ratio(), reset()), (Some(0.25), None));
    metrics.receive(&Fact::Quota(quota("gemini", f64::NAN)));
    metrics.receive(&Fact::Quota(Quota {
        window: QuotaWindow::FiveHours,
        ..quota("gemini", 7.0)
    }));
    assert_eq!(ratio(), Some(0.25));
    assert_eq!(
        value(&metrics, "gravimeter_quota_remaining_ratio", &["window=5h"]),
        Some(1.0)
    );
}

#[test]
fn a_model_has_one_name_at_a_time() {
    let metrics = metrics();
    metrics.receive(&Fact::ModelNamed(named("m", "Old (Low)")));
    metrics.receive(&Fact::ModelNamed(named("m", "New (High)")));
    metrics.receive(&Fact::ModelNamed(named("n", "Other")));
    let info = |labels: &[&str]| value(&metrics, "gravimeter_model_info", labels);
    assert_eq!(info(&["model=m"]), Some(1.0));
    assert_eq!(
        info(&["model=m", "display_name=New (High)", "provider=gcp.gen_ai"]),
        Some(1.0)
    );
    assert_eq!(info(&[]), Some(2.0));
}

#[test]
fn models_beyond_the_limit_share_a_label_and_have_no_quota_and_no_name() {
    let metrics = limited(10);
    for n in 0..1000 {
        let model = format!("m{n}");
        metrics.receive(&Fact::Quota(quota(&model, 0.5)));
        metrics.receive(&Fact::ModelNamed(named(&model, &model)));
        metrics.receive(&ended(run("c", &model)));
    }
    assert_eq!(
        value(
            &metrics,
            "gravimeter_cascade_duration_seconds_count",
            &["model=other"]
        ),
        Some(990.0)
    );
    assert_eq!(
        value(&metrics, "gravimeter_cascade_tokens_count", &[]),
        Some(1000.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_label_overflow_total",
            &["label=model"]
        ),
        Some(3.0 * 990.0)
    );
    assert_eq!(
        value(
            &metrics,
            "gravimeter_quota_remaining_ratio",
            &["model=other"]
        ),
        None
    );
    assert_eq!(value(&metrics, "gravimeter_model_info", &[]), Some(10.0));
    let exposition = samples(&exposition(&metrics, Format::Text));
    assert!(
        exposition
            .keys()
            .all(|(_, labels)| !labels.contains_key("cascade")),
        "no conversation is a label"
    );
}
