//! `docs/metrics.md` lists every value of every closed label, with its meaning and what to do about
//! it: both are the documentation of the enums.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::kit::{every_fact, exposition, metrics, samples};
use crate::export::formats::Format;
use crate::export::otlp::Loss;
use crate::export::web::WebRefusal;
use crate::record::{
    AgentName, ByteDirection, CorrelationMethod, CostSource, Disposition, FollowFailure,
    HandshakeFailure, IpFamily, Label, LeafResult, LedgerFailure, LedgerRecord, Modality,
    NotificationResult, NotificationTarget, ObserverBudget, ObserverFailure, Operation, Outcome,
    Provider, Quality, QuotaWindow, RateLimitReason, RefuseReason, RestartReason, RuleResult,
    RunOutcome, Side, Sink as _, StepKind, StepStatus, TimeoutStep, TlsVersion, TokenKind,
    TunnelReason, UnreadReason, UpdateSource, UsageComparison, UsageTotal,
};

/// A value of a label.
struct Value {
    text: String,
    meaning: String,
    /// Empty where there is nothing to do.
    remedy: String,
}

/// A label whose values are known.
struct ClosedLabel {
    name: &'static str,
    /// What the names of the metrics begin with that have it with these values.
    metrics: &'static [&'static str],
    values: Vec<Value>,
}

fn closed(name: &'static str, metrics: &'static [&'static str], values: Vec<Value>) -> ClosedLabel {
    ClosedLabel {
        name,
        metrics,
        values,
    }
}

/// All values of an enum.
fn all<L: Label>() -> Vec<Value> {
    L::ALL.iter().map(|value| of(*value)).collect()
}

/// Those values of an enum that occur.
fn only<L: Label>(occurs: impl Fn(L) -> bool) -> Vec<Value> {
    let values = L::ALL.iter().copied().filter(|value| occurs(*value));
    values.map(of).collect()
}

fn of<L: Label>(value: L) -> Value {
    let documentation = documentation(value.attributes());
    let (meaning, remedy) = match documentation.split_once("\n\nWhat to do: ") {
        Some((meaning, remedy)) => (meaning, remedy),
        None => (documentation.as_str(), ""),
    };
    let one_line = |text: &str| {
        let words: Vec<_> = text.split_whitespace().collect();
        words
            .join(" ")
            .replace("[`", "`")
            .replace("`]", "`")
            .replace('|', "\\|")
    };
    Value {
        text: value.as_str().to_owned(),
        meaning: one_line(meaning),
        remedy: capitalized(&one_line(remedy)),
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The text of a documentation comment, of the attributes that the compiler makes of its lines.
fn documentation(attributes: &[&str]) -> String {
    let line = |attribute: &&str| {
        let text = attribute.strip_prefix("doc =")?.trim();
        let text = text.split_once('"')?.1.rsplit_once('"')?.0;
        Some(
            text.replace("\\\"", "\"")
                .replace("\\'", "'")
                .trim()
                .to_owned(),
        )
    };
    attributes
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

fn word(text: &str, meaning: &str) -> Value {
    Value {
        text: text.to_owned(),
        meaning: meaning.to_owned(),
        remedy: String::new(),
    }
}

/// Every closed label, in the order of their names.
fn closed_labels() -> Vec<ClosedLabel> {
    let failures_of_calls = only(|outcome: Outcome| outcome != Outcome::Ok);
    let failures_of_runs = only(|outcome: RunOutcome| outcome != RunOutcome::Ok);
    let mut kinds: Vec<Value> = TokenKind::ALL.iter().map(|kind| of(*kind)).collect();
    kinds.insert(
        2,
        word("cache_write", "Input written to the provider's prompt cache, unless `metrics.cache_write_lifetimes` keeps lifetimes apart."),
    );
    let mut modalities = all::<Modality>();
    modalities.push(word("unknown", "The provider does not say."));
    let mut operations = vec![word(
        "generate_content",
        "Whatever `generateContent` of Google generates, as the GenAI convention calls it.",
    )];
    operations.extend(all::<Operation>());
    let mut unread_providers = all::<Provider>();
    unread_providers.push(word("unknown", "The host is that of no known provider."));
    vec![
        closed(
            "budget",
            &["gravimeter_observer_budget"],
            all::<ObserverBudget>(),
        ),
        closed("direction", &["gravimeter_bytes"], all::<ByteDirection>()),
        closed(
            "disposition",
            &["gravimeter_connections"],
            all::<Disposition>(),
        ),
        closed("error_type", &["gen_ai_client"], failures_of_calls),
        closed("error_type", &["gen_ai_invoke_agent"], failures_of_runs),
        closed("family", &["gravimeter_redirect"], all::<IpFamily>()),
        closed(
            "gen_ai_agent_name",
            &["gen_ai_invoke_agent"],
            all::<AgentName>(),
        ),
        closed("gen_ai_operation_name", &["gen_ai_client"], operations),
        closed(
            "gen_ai_provider_name",
            &["gen_ai_client"],
            all::<Provider>(),
        ),
        closed("gen_ai_token_modality", &["gen_ai_client"], modalities),
        closed("kind", &["gravimeter_tokens"], kinds),
        closed(
            "method",
            &["gravimeter_correlations"],
            all::<CorrelationMethod>(),
        ),
        closed("operation", &["gravimeter_call"], all::<Operation>()),
        closed("operation", &["gravimeter_ledger"], all::<LedgerFailure>()),
        closed("outcome", &["gravimeter_calls"], all::<Outcome>()),
        closed("outcome", &["gravimeter_cascade"], all::<RunOutcome>()),
        closed("provider", &["gravimeter_"], unread_providers),
        closed("quality", &["gravimeter_usage_reports"], all::<Quality>()),
        closed(
            "reason",
            &["gravimeter_agent_restarts"],
            all::<RestartReason>(),
        ),
        closed(
            "reason",
            &["gravimeter_cascade_follow_errors"],
            all::<FollowFailure>(),
        ),
        closed(
            "reason",
            &["gravimeter_connections_refused"],
            all::<RefuseReason>(),
        ),
        closed(
            "reason",
            &["gravimeter_observer_failures"],
            all::<ObserverFailure>(),
        ),
        closed("reason", &["gravimeter_otlp"], all::<Loss>()),
        closed(
            "reason",
            &["gravimeter_rate_limits"],
            all::<RateLimitReason>(),
        ),
        closed(
            "reason",
            &["gravimeter_tls_handshake_failures"],
            all::<HandshakeFailure>(),
        ),
        closed(
            "reason",
            &["gravimeter_tunnelled_connections"],
            all::<TunnelReason>(),
        ),
        closed(
            "reason",
            &["gravimeter_unread_calls"],
            all::<UnreadReason>(),
        ),
        closed("reason", &["gravimeter_web_refusals"], all::<WebRefusal>()),
        closed("record", &["gravimeter_ledger"], all::<LedgerRecord>()),
        closed(
            "result",
            &["gravimeter_leaf_certificates"],
            all::<LeafResult>(),
        ),
        closed("result", &["gravimeter_rules"], all::<RuleResult>()),
        closed(
            "result",
            &["gravimeter_notifications"],
            all::<NotificationResult>(),
        ),
        closed(
            "result",
            &["gravimeter_usage_comparisons"],
            all::<UsageComparison>(),
        ),
        closed("result", &["gravimeter_usage_totals"], all::<UsageTotal>()),
        closed(
            "resumed",
            &["gravimeter_tls_handshake_duration"],
            vec![
                word("false", "A session was begun anew."),
                word("true", "An earlier session was resumed."),
            ],
        ),
        closed("side", &["gravimeter_tls_handshake"], all::<Side>()),
        closed(
            "source",
            &["gravimeter_cascade_updates"],
            all::<UpdateSource>(),
        ),
        closed("source", &["gravimeter_cost_usd"], all::<CostSource>()),
        closed(
            "status",
            &["gravimeter_cascade_steps"],
            only(StepStatus::is_final),
        ),
        closed("step", &["gravimeter_cascade_steps"], all::<StepKind>()),
        closed("step", &["gravimeter_timeouts"], all::<TimeoutStep>()),
        closed(
            "target",
            &["gravimeter_notifications"],
            all::<NotificationTarget>(),
        ),
        closed(
            "until",
            &["gravimeter_provider_time"],
            vec![
                word("end", "To the end of the answer."),
                word("first_byte", "To the first byte of a streamed answer."),
            ],
        ),
        closed(
            "version",
            &["gravimeter_tls_handshake_duration"],
            all::<TlsVersion>(),
        ),
        closed("window", &["gravimeter_quota"], all::<QuotaWindow>()),
    ]
}

/// Labels whose values come from the traffic, the build or the list of labels itself.
const OPEN: [&str; 10] = [
    "display_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
    "label",
    "le",
    "model",
    "revision",
    "rule",
    "rustc",
    "served_model",
];

/// The metrics with their labels and the values that these have, of an exposition with everything.
fn exported() -> BTreeMap<(String, String), BTreeSet<String>> {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let text = exposition(&metrics, Format::Text);
    let mut exported: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (sample, labels) in samples(&text).keys() {
        let histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| sample.strip_suffix(end));
        let metric = histogram.unwrap_or(sample);
        for (label, value) in labels {
            let is_build = metric == "gravimeter_build_info";
            let is_budget = metric.starts_with("gravimeter_budget_");
            if OPEN.contains(&label.as_str()) || is_build || is_budget {
                continue;
            }
            let of = (label.clone(), metric.to_owned());
            let values = exported.entry(of).or_default();
            // An empty value is that of a label that is absent.
            values.extend(Some(value.clone()).filter(|value| !value.is_empty()));
        }
    }
    exported
}

#[test]
fn every_closed_label_is_listed_with_the_values_that_it_has() {
    let listed = closed_labels();
    for ((label, metric), values) in exported() {
        let of: Vec<_> = listed
            .iter()
            .filter(|of| {
                of.name == label && of.metrics.iter().any(|start| metric.starts_with(start))
            })
            .collect();
        assert_eq!(of.len(), 1, "{label} of {metric} is listed once");
        let known: BTreeSet<_> = of[0]
            .values
            .iter()
            .map(|value| value.text.clone())
            .collect();
        let unknown: Vec<_> = values.difference(&known).collect();
        assert!(unknown.is_empty(), "{label} of {metric} has {unknown:?}");
    }
}

#[test]
fn the_page_lists_every_value_of_every_closed_label() {
    let page = include_str!("../../../docs/metrics.md");
    let section = section();
    let place = std::env::temp_dir().join("label-values.md");
    if !page.contains(&section) {
        std::fs::write(&place, &section).expect("a folder");
        panic!(
            "the values of labels in docs/metrics.md must be as in {}",
            place.display()
        );
    }
}

/// A heading and a table for each closed label.
fn section() -> String {
    let exported = exported();
    let mut section = String::new();
    for label in closed_labels() {
        let metrics = exported.keys().filter(|(name, metric)| {
            name == label.name && label.metrics.iter().any(|start| metric.starts_with(start))
        });
        let metrics: Vec<_> = metrics.map(|(_, metric)| format!("`{metric}`")).collect();
        assert!(!metrics.is_empty(), "no metric has {}", label.name);
        let of = if metrics.len() > LISTED {
            let starts = label.metrics.iter().map(|start| format!("`{start}*`"));
            starts.collect::<Vec<_>>().join(", ")
        } else {
            metrics.join(", ")
        };
        writeln!(section, "**`{}`** of {of}\n", label.name).expect("a heading");
        section.push_str(&table(&label.values));
        section.push('\n');
    }
    section
}

/// More metrics are named by what their names begin with.
const LISTED: usize = 4;

/// Two columns where nothing is to be done about any value.
fn table(values: &[Value]) -> String {
    let has_remedies = values.iter().any(|value| !value.remedy.is_empty());
    let mut table = if has_remedies {
        String::from("| value | meaning | what to do |\n|---|---|---|\n")
    } else {
        String::from("| value | meaning |\n|---|---|\n")
    };
    for Value {
        text,
        meaning,
        remedy,
    } in values
    {
        assert!(!meaning.is_empty(), "{text} has no meaning");
        match (has_remedies, remedy.as_str()) {
            (false, _) => writeln!(table, "| `{text}` | {meaning} |"),
            (true, "") => writeln!(table, "| `{text}` | {meaning} | – |"),
            (true, remedy) => writeln!(table, "| `{text}` | {meaning} | {remedy} |"),
        }
        .expect("a row");
    }
    table
}

/// A remedy that names a key of the configuration names one that exists.
#[test]
fn remedies_name_keys_that_exist() {
    let keys: BTreeSet<&str> = crate::config::keys().map(|key| key.name).collect();
    let sections: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| Some(key.split_once('.')?.0))
        .collect();
    let labels = closed_labels();
    let texts = labels
        .iter()
        .flat_map(|label| &label.values)
        .flat_map(|value| [&value.meaning, &value.remedy]);
    let mut named = 0;
    for quoted in texts.flat_map(|text| text.split('`').skip(1).step_by(2)) {
        let key = quoted.split([' ', '=']).next().unwrap_or_default();
        if key
            .split_once('.')
            .is_some_and(|(section, _)| sections.contains(section))
        {
            assert!(keys.contains(key), "{key} is no key");
            named += 1;
        }
    }
    assert!(named > 5, "the scan finds keys");
}
