//! Compares what Gravimeter shows, writes and exports with the script's books.

use std::collections::BTreeMap;
use std::path::Path;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use super::books::{Account, Books, Tokens};
use crate::kit::collector::{fraction, number, text};
use crate::whole::{series, sum};

/// `/metrics`: tokens, calls, qualities and costs of every account, and nothing else.
pub fn metrics(exposition: &str, books: &Books) {
    let tokens = series(exposition, "gravimeter_tokens_total");
    let calls = series(exposition, "gravimeter_calls_total");
    let reports = series(exposition, "gravimeter_usage_reports_total");
    let costs = series(exposition, "gravimeter_cost_usd_total");
    let unpriced = series(exposition, "gravimeter_unpriced_calls_total");
    for ((provider, model), account) in &books.accounts {
        let of = [
            format!("provider=\"{provider}\""),
            format!("model=\"{model}\""),
        ];
        let whose = format!("/metrics: {provider} {model}");
        let labels = |more: &[String]| of.iter().chain(more).cloned().collect::<Vec<_>>();
        let count = |shown: &BTreeMap<String, f64>, more: &[String]| {
            let labels = labels(more);
            sum(
                shown,
                &labels.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        };
        for (kind, sent) in account.tokens.kinds() {
            assert_eq!(
                count(&tokens, &[format!("kind=\"{kind}\"")]),
                sent,
                "{whose}: {kind}"
            );
        }
        for ((operation, outcome), expected) in &account.ends {
            let more = [
                format!("operation=\"{operation}\""),
                format!("outcome=\"{outcome}\""),
            ];
            assert_eq!(
                count(&calls, &more),
                *expected,
                "{whose}: {operation} {outcome}"
            );
        }
        for (quality, expected) in &account.qualities {
            let more = [format!("quality=\"{quality}\"")];
            assert_eq!(count(&reports, &more), *expected, "{whose}: {quality}");
        }
        for (source, due) in [("provider", account.charges), ("list", account.list)] {
            let labels = labels(&[format!("source=\"{source}\"")]);
            let is_of = |shown: &&String| labels.iter().all(|label| shown.contains(label));
            let shown = costs.iter().filter(|(labels, _)| is_of(labels));
            let shown: u64 = shown.map(|(_, usd)| nano_usd(*usd)).sum();
            assert_eq!(shown, due, "{whose}: cost by {source}");
        }
        assert_eq!(
            count(&unpriced, &[]),
            account.unpriced,
            "{whose}: without a price"
        );
    }
    let all = books.tokens();
    assert_eq!(sum(&tokens, &[]), all.total(), "/metrics: no other tokens");
    let count = books.sum(|account| account.calls);
    assert_eq!(sum(&calls, &[]), count, "/metrics: no other calls");
    let conventional = |metric: &str| sum(&series(exposition, metric), &[]);
    for (metric, expected) in [
        (
            "gen_ai_client_inference_usage_input_tokens_total",
            all.all_input(),
        ),
        (
            "gen_ai_client_inference_usage_output_tokens_total",
            all.all_output(),
        ),
        (
            "gen_ai_client_inference_usage_cache_read_input_tokens_total",
            all.cache_read,
        ),
        (
            "gen_ai_client_inference_usage_cache_write_input_tokens_total",
            all.cache_write(),
        ),
    ] {
        assert_eq!(conventional(metric), expected, "{metric}");
    }
}

/// `/metrics`, of what does not outlive the process: nothing was lost, and only the totals that
/// contradict their parts disagree.
pub fn health(exposition: &str, books: &Books) {
    for lost in [
        "gravimeter_observer_failures_total",
        "gravimeter_unread_calls_total",
        "gravimeter_calls_in_flight",
        "gravimeter_label_overflow_total",
        "gravimeter_ledger_dropped_records_total",
        "gravimeter_otlp_spans_dropped_total",
        "gravimeter_model_substitutions_total",
    ] {
        let shown = series(exposition, lost);
        assert_eq!(sum(&shown, &[]), 0, "{lost}: {shown:?}");
    }
    let totals = series(exposition, "gravimeter_usage_totals_total");
    let disagree = sum(&totals, &["disagree"]);
    assert_eq!(disagree, books.contradictions, "totals that disagree");
}

/// One grouping of `/v1/usage`, in which every group is the sum of the accounts that it names.
pub fn usage(report: &Value, field: &str, books: &Books) {
    let mut groups = BTreeMap::<&str, Vec<&Account>>::new();
    for ((provider, model), account) in &books.accounts {
        let name = if field == "providers" {
            *provider
        } else {
            *model
        };
        groups.entry(name).or_default().push(account);
    }
    let shown = report[field].as_object().expect("groups");
    let names: Vec<&str> = shown.keys().map(String::as_str).collect();
    assert_eq!(names, groups.keys().copied().collect::<Vec<_>>(), "{field}");
    for (name, accounts) in groups {
        group(&shown[name], accounts.into_iter(), name);
    }
    group(&report["totals"], books.accounts.values(), "totals");
}

fn group<'a>(shown: &Value, accounts: impl Iterator<Item = &'a Account>, name: &str) {
    let mut tokens = Tokens::default();
    let (mut calls, mut cost, mut unpriced) = (0, 0, 0);
    let (mut outcomes, mut qualities) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    for account in accounts {
        tokens += account.tokens;
        calls += account.calls;
        cost += account.charges + account.list;
        unpriced += account.unpriced;
        for ((_, outcome), count) in &account.ends {
            *outcomes.entry(*outcome).or_default() += count;
        }
        for (quality, count) in &account.qualities {
            *qualities.entry(*quality).or_default() += count;
        }
    }
    assert_eq!(shown["calls"], calls, "/v1/usage: {name}");
    for (kind, sent) in tokens.kinds() {
        assert_eq!(
            shown[format!("{kind}_tokens")],
            sent,
            "/v1/usage: {name} {kind}"
        );
    }
    assert_eq!(shown["total_tokens"], tokens.total(), "/v1/usage: {name}");
    let shown_cost = shown["cost_usd"].as_f64().map_or(0, nano_usd);
    assert_eq!(shown_cost, cost, "/v1/usage: {name} cost");
    assert_eq!(
        shown["unpriced_calls"], unpriced,
        "/v1/usage: {name} without a price"
    );
    for (outcome, count) in outcomes {
        assert_eq!(
            shown["outcomes"][outcome], count,
            "/v1/usage: {name} {outcome}"
        );
    }
    for (quality, count) in qualities {
        assert_eq!(
            shown["usage_quality"][quality], count,
            "/v1/usage: {name} {quality}"
        );
    }
}

/// The file, read by another program: its rows and its roll-ups.
pub fn file(path: &Path, books: &Books) {
    let file = rusqlite::Connection::open(path).expect("a ledger");
    for (table, calls) in [("calls", "1"), ("usage_slots", "calls")] {
        let query = format!(
            "SELECT provider, model, sum({calls}), sum(input), sum(cache_read), sum(cache_write_5m), sum(cache_write_1h), \
             sum(tool_input), sum(output), sum(thinking), sum(cost_nano_usd) FROM {table} GROUP BY provider, model"
        );
        let mut query = file.prepare(&query).expect("a query");
        let rows = query.query_map([], |row| {
            let sum = |at: usize| {
                row.get::<_, Option<i64>>(at)
                    .map(|sum| sum.unwrap_or(0) as u64)
            };
            let tokens = Tokens {
                input: sum(3)?,
                cache_read: sum(4)?,
                cache_write_5m: sum(5)?,
                cache_write_1h: sum(6)?,
                tool_input: sum(7)?,
                output: sum(8)?,
                thinking: sum(9)?,
            };
            let key = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
            Ok((key, (sum(2)?, tokens, sum(10)?)))
        });
        let found: BTreeMap<_, _> = rows.expect("rows").map(|row| row.expect("a row")).collect();
        let meant = books.accounts.iter().map(|((provider, model), account)| {
            let key = ((*provider).to_owned(), (*model).to_owned());
            (
                key,
                (
                    account.calls,
                    account.tokens,
                    account.charges + account.list,
                ),
            )
        });
        assert_eq!(found, meant.collect(), "{table}");
    }
}

/// Every call has one span, and their sums are those of the books.
pub fn spans(spans: &[Span], books: &Books) {
    let mut found = BTreeMap::<(&str, &str), [u64; 7]>::new();
    for span in spans {
        let Some(provider) = text(span, "gen_ai.provider.name") else {
            continue;
        };
        let model = text(span, "gen_ai.request.model").expect("a model");
        let sums = found.entry((provider, model)).or_default();
        let count = |name: &str| number(span, &format!("gen_ai.usage.{name}")).unwrap_or(0);
        let cost = fraction(span, "gravimeter.cost_usd").map_or(0, nano_usd);
        let of_span = [
            1,
            count("input_tokens"),
            count("cache_read.input_tokens"),
            count("cache_write.input_tokens"),
            count("output_tokens"),
            count("reasoning.output_tokens"),
            cost,
        ];
        for (sum, more) in sums.iter_mut().zip(of_span) {
            *sum += more;
        }
    }
    let meant = books.accounts.iter().map(|(key, account)| {
        let tokens = account.tokens;
        let sums = [
            account.calls,
            tokens.all_input(),
            tokens.cache_read,
            tokens.cache_write(),
            tokens.all_output(),
            tokens.thinking,
            account.charges + account.list,
        ];
        (*key, sums)
    });
    assert_eq!(
        found,
        meant.collect(),
        "calls, tokens and nano-dollars of all spans"
    );
}

fn nano_usd(usd: f64) -> u64 {
    (usd * 1e9).round() as u64
}
