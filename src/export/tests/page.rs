//! `docs/metrics.md` is what a scrape shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::kit::{every_fact, exposition, metrics, samples};
use crate::export::Metrics;
use crate::export::formats::Format;
use crate::record::Sink as _;

#[test]
fn the_page_lists_every_metric() {
    let metrics = metrics();
    every_fact().iter().for_each(|fact| metrics.receive(fact));
    let table = table(&metrics);
    let page = include_str!("../../../docs/metrics.md");
    assert!(
        page.contains(&table),
        "the table of docs/metrics.md must be:\n\n{table}"
    );
}

/// The reference table: a row for each family that is exported, in the order of their names.
fn table(metrics: &Metrics) -> String {
    let text = exposition(metrics, Format::Text);
    let openmetrics = exposition(metrics, Format::OpenMetrics);
    let units: BTreeMap<&str, &str> = metadata(&openmetrics, "# UNIT ").collect();
    let helps: BTreeMap<&str, &str> = metadata(&text, "# HELP ").collect();
    let types: BTreeMap<&str, &str> = metadata(&text, "# TYPE ").collect();
    let samples = samples(&text);
    let mut table =
        String::from("| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (name, kind) in types {
        let unit = units
            .get(name.strip_suffix("_total").unwrap_or(name))
            .copied()
            .unwrap_or_default();
        let labels: BTreeSet<&str> = samples
            .keys()
            .filter(|(sample, _)| sample == name || *sample == format!("{name}_bucket"))
            .flat_map(|(_, labels)| labels.keys().map(String::as_str))
            .filter(|label| *label != "le")
            .collect();
        let labels = Vec::from_iter(labels).join(", ");
        let help = helps[name].trim_end_matches('.');
        writeln!(table, "| `{name}` | {kind} | {unit} | {labels} | {help} |").expect("a row");
    }
    table
}

fn metadata<'a>(
    exposition: &'a str,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    exposition
        .lines()
        .filter_map(move |line| line.strip_prefix(prefix)?.split_once(' '))
}
