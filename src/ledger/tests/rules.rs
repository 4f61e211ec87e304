//! Rules that changed requests: kept with their calls, and summed up.

use super::file::{Stage, close};
use super::kit::{ended, now, numbered};
use crate::ledger::{By, Ledger, UsageQuery, UsageReport, query_file};
use crate::record::{AppliedRules, Call, Fact, Model, RuleName};

fn changed(number: u64, names: &str, asked: Option<&str>) -> Fact {
    ended(Call {
        rules: AppliedRules::parse(names, asked.map(Model::from_wire)).map(Box::new),
        ..numbered(number)
    })
}

fn groups(report: &UsageReport) -> Vec<String> {
    let groups = report.rules.iter().flatten();
    groups
        .map(|(key, group)| format!("{key} {}", group.usage.calls))
        .collect()
}

fn query() -> UsageQuery {
    UsageQuery {
        by: By::Rule,
        ..UsageQuery::default()
    }
}

#[test]
fn calls_are_grouped_by_the_rules_that_changed_them_also_after_a_restart() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    super::kit::take(
        &ledger,
        [
            changed(1, "tone", None),
            changed(2, "tone+cheaper", Some("dear")),
            changed(3, "tone", None),
            changed(4, "none", None),
            ended(numbered(5)),
        ],
    );
    let expected = ["none 1", "rule/none 1", "tone 2", "tone+cheaper 1"];
    let check = |ledger: &Ledger| {
        let report = ledger.query(&query(), now()).unwrap();
        assert_eq!(groups(&report), expected);
        assert_eq!(report.totals.calls, 5);
        let listed = report.groups.iter().flatten();
        let listed: u64 = listed.map(|group| group.usage.calls).sum();
        assert_eq!(listed, 5);
        let csv = String::from_utf8(report.to_csv(By::Rule).unwrap()).unwrap();
        assert!(csv.contains("\ntone+cheaper,m,,1,"), "{csv}");
    };
    check(&ledger);
    close(&ledger);
    drop(ledger);
    let (ledger, _) = stage.start();
    check(&ledger);
    close(&ledger);
    let archived = query_file(&stage.path(), &query(), now()).unwrap();
    assert_eq!(groups(&archived), expected);
    assert_eq!(
        stage.rows("SELECT rules, asked_model FROM calls WHERE asked_model IS NOT NULL"),
        ["tone+cheaper dear"]
    );
    let name = RuleName::parse("cheaper").unwrap();
    let group = &archived.rules.as_ref().unwrap()["tone+cheaper"];
    assert_eq!(group.rules.last(), Some(&name));
}
