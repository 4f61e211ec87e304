//! Any span of time, in any grouping: what the file answers is what adding up the calls one by one
//! answers.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::Value;

use super::kit::{
    START, call, correlated, ended, ledger, now, of_cascade, of_subagent, of_trajectory, take,
};
use crate::ledger::{By, Ledger, Page, UsageQuery};
use crate::record::{Call, Fact, Label as _, Operation, Outcome, Provider, Timing};

const MINUTE: i64 = 60_000;

/// A call that ends at this millisecond.
fn ending(number: u64, at: i64, model: &str) -> Call {
    let bare = call(model, Provider::CloudCode);
    let started_at = UNIX_EPOCH + Duration::from_millis(at.try_into().expect("after the epoch"))
        - bare.timing.duration;
    Call {
        number,
        timing: Timing {
            started_at,
            ..bare.timing
        },
        ..bare
    }
}

fn ms(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at).expect("a time")
}

/// The groups of an answer by key, as calls and tokens; and the totals.
fn ask(ledger: &Ledger, query: &UsageQuery) -> (BTreeMap<String, (u64, u64)>, (u64, u64)) {
    let report =
        serde_json::to_value(ledger.query(query, now()).expect("an answer")).expect("JSON");
    let field = match query.by {
        By::Cascade => "cascades",
        By::Day => "days",
        By::Hour => "hours",
        By::Model => "models",
        By::Month => "months",
        By::Branch => "branches",
        By::Operation => "operations",
        By::Program => "programs",
        By::Provider => "providers",
        By::Repository => "repositories",
        By::Rule => "rules",
        By::Session => "sessions",
        By::Subagent => "subagents",
        By::Week => "weeks",
    };
    let figures = |group: &Value| {
        (
            group["calls"].as_u64().unwrap(),
            group["total_tokens"].as_u64().unwrap(),
        )
    };
    let groups = report[field].as_object().expect("groups");
    (
        groups
            .iter()
            .map(|(key, group)| (key.clone(), figures(group)))
            .collect(),
        figures(&report["totals"]),
    )
}

fn asked(by: By, span: Option<(i64, i64)>, zone: &str) -> UsageQuery {
    let (since, until) = span.map(|(since, until)| (ms(since), ms(until))).unzip();
    UsageQuery {
        by,
        since,
        until,
        zone: zone.parse().expect("a zone"),
        page: Page::default(),
    }
}

#[test]
fn days_and_hours_are_those_of_the_zone() {
    // 23:59 and 00:00 in Kathmandu (+05:45), and the hour that Berlin has twice on 25 October 2026.
    let kathmandu: Timestamp = "2026-03-01T18:14:59.999Z".parse().unwrap();
    let berlin: Timestamp = "2026-10-25T00:30:00Z".parse().unwrap();
    let ends = [0, 1].map(|more| kathmandu.as_millisecond() + more);
    let twice = [0, 60].map(|minutes| berlin.as_millisecond() + minutes * MINUTE);
    let calls = ends
        .iter()
        .chain(&twice)
        .enumerate()
        .map(|(number, at)| ending(number as u64, *at, "m"));
    let ledger = ledger(9, calls.collect());
    let keys = |by, zone| {
        ask(&ledger, &asked(by, None, zone))
            .0
            .into_iter()
            .map(|(key, (calls, _))| format!("{key} {calls}"))
    };
    let days: Vec<_> = keys(By::Day, "Asia/Kathmandu").collect();
    assert_eq!(days, ["2026-03-01 1", "2026-03-02 1", "2026-10-25 2"]);
    assert_eq!(
        keys(By::Day, "UTC").collect::<Vec<_>>(),
        ["2026-03-01 2", "2026-10-25 2"]
    );
    assert_eq!(
        keys(By::Day, "-11").collect::<Vec<_>>(),
        ["2026-03-01 2", "2026-10-24 2"]
    );
    let hours: Vec<_> = keys(By::Hour, "Europe/Berlin").collect();
    assert_eq!(
        hours[1..],
        ["2026-10-25T02:00:00+01:00 1", "2026-10-25T02:00:00+02:00 1"]
    );
    assert!(
        ["", "Mars/Olympus", "+5", "+05:60", "+99:00", "+é"]
            .iter()
            .all(|bad| bad.parse::<crate::ledger::Zone>().is_err())
    );
}

#[test]
fn days_of_23_and_25_hours_are_whole_and_hours_begin_where_the_zone_says() {
    // A call in every half hour of two nights in which a clock is changed.
    let half_hours = |from: &str| {
        let from: Timestamp = from.parse().unwrap();
        (0..100).map(move |n| from.as_millisecond() + n * 30 * MINUTE)
    };
    let ends = half_hours("2026-03-28T23:00:00Z").chain(half_hours("2026-10-24T22:00:00Z"));
    let ledger = ledger(
        9,
        ends.enumerate()
            .map(|(number, at)| ending(number as u64, at, "m"))
            .collect(),
    );
    let days = ask(&ledger, &asked(By::Day, None, "Europe/Berlin")).0;
    assert_eq!((days["2026-03-29"].0, days["2026-03-30"].0), (46, 48));
    assert_eq!((days["2026-10-25"].0, days["2026-10-26"].0), (50, 48));
    let hours = ask(&ledger, &asked(By::Hour, None, "Asia/Kolkata")).0;
    assert_eq!(hours["2026-03-29T05:00:00+05:30"], (2, 126));
    assert_eq!(
        hours["2026-03-29T04:00:00+05:30"],
        (1, 63),
        "23:00 UTC is half past four"
    );
    let day = |by, since: &str, until: &str| {
        let zone: crate::ledger::Zone = "Europe/Berlin".parse().unwrap();
        let query = UsageQuery {
            by,
            since: zone.time(since),
            until: zone.time(until),
            zone,
            ..UsageQuery::default()
        };
        ask(&ledger, &query)
    };
    assert_eq!(day(By::Day, "2026-03-29", "2026-03-30").1.0, 46);
    assert_eq!(day(By::Hour, "2026-10-25", "2026-10-26").0.len(), 25);
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    // Half an hour around midnight in Berlin: from a Sunday to a Monday, from a month to the next
    // one, and from a year to the next one within a week.
    let midnights = [
        "2026-03-29T22:00:00Z",
        "2026-04-30T22:00:00Z",
        "2026-12-31T23:00:00Z",
    ];
    let ends = midnights.into_iter().flat_map(|midnight| {
        let midnight: Timestamp = midnight.parse().unwrap();
        [-1, 0].map(|more| midnight.as_millisecond() + more)
    });
    let calls = ends
        .enumerate()
        .map(|(number, at)| ending(number as u64, at, "m"));
    let ledger = ledger(9, calls.collect());
    let groups = |by, zone| {
        let groups = ask(&ledger, &asked(by, None, zone)).0.into_iter();
        groups
            .map(|(key, (calls, _))| format!("{key} {calls}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        groups(By::Week, "Europe/Berlin"),
        [
            "2026-03-23 1",
            "2026-03-30 1",
            "2026-04-27 2",
            "2026-12-28 2"
        ]
    );
    assert_eq!(
        groups(By::Month, "Europe/Berlin"),
        [
            "2026-03 2",
            "2026-04 1",
            "2026-05 1",
            "2026-12 1",
            "2027-01 1"
        ]
    );
    assert_eq!(
        groups(By::Month, "-11"),
        ["2026-03 2", "2026-04 2", "2026-12 2"]
    );
}

/// The weeks in which a clock is changed have an hour less and an hour more.
#[test]
fn weeks_of_167_and_169_hours_are_whole() {
    let hours = |from: &str| {
        let from: Timestamp = from.parse().unwrap();
        (0..400).map(move |hour| from.as_millisecond() + hour * 60 * MINUTE)
    };
    let ends = hours("2026-03-22T23:00:00Z").chain(hours("2026-10-18T22:00:00Z"));
    let calls = ends
        .enumerate()
        .map(|(number, at)| ending(number as u64, at, "m"));
    let ledger = ledger(9, calls.collect());
    let weeks = ask(&ledger, &asked(By::Week, None, "Europe/Berlin")).0;
    assert_eq!((weeks["2026-03-23"].0, weeks["2026-03-30"].0), (167, 168));
    assert_eq!((weeks["2026-10-19"].0, weeks["2026-10-26"].0), (169, 168));
}

#[test]
fn a_span_says_what_it_is_of() {
    let ledger = ledger(9, vec![ending(1, 20 * MINUTE, "m")]);
    let report = |since, until| {
        let query = asked(By::Model, Some((since, until)), "UTC");
        let report = ledger.query(&query, now()).unwrap();
        (report.since, report.until, report.totals.calls)
    };
    assert_eq!(
        report(20 * MINUTE, 20 * MINUTE + 1),
        (ms(20 * MINUTE), ms(20 * MINUTE + 1), 1)
    );
    assert_eq!(
        report(19 * MINUTE, 20 * MINUTE).2,
        0,
        "the end is not part of it"
    );
    assert_eq!(
        report(30 * MINUTE, 10 * MINUTE).2,
        0,
        "backwards is nothing"
    );
    let all = UsageQuery {
        since: Some(START),
        until: Some(ms(i64::from(i32::MAX) * 10_000)),
        ..UsageQuery::default()
    };
    assert_eq!(
        ledger
            .query(&all, now())
            .map(|report| (report.since, report.until))
            .unwrap(),
        (START, now())
    );
}

#[test]
fn a_clock_that_jumps_loses_no_call() {
    let years = 10 * 365 * 24 * 60 * MINUTE;
    let at = now().as_millisecond();
    let calls = [at, at - 60 * MINUTE, at + years, 1000]
        .into_iter()
        .enumerate();
    let ledger = ledger(
        9,
        calls
            .map(|(number, at)| ending(number as u64, at, "m"))
            .collect(),
    );
    for by in [By::Day, By::Hour, By::Operation] {
        let (groups, totals) = ask(&ledger, &asked(by, None, "UTC"));
        assert_eq!(totals, (4, 4 * 63));
        assert_eq!(groups.values().map(|(calls, _)| calls).sum::<u64>(), 4);
    }
}

/// What one call adds to which group.
fn keys(call: &Call, cascade: Option<&str>, by: By, zone: &TimeZone) -> String {
    let end = Timestamp::try_from(call.timing.started_at + call.timing.duration)
        .unwrap()
        .to_zoned_datetime(zone.clone());
    match by {
        By::Cascade => match (cascade, &call.ids.trajectory) {
            (Some(cascade), _) => cascade.to_owned(),
            (None, Some(trajectory)) => format!("trajectory/{trajectory}"),
            (None, None) => "unknown".to_owned(),
        },
        By::Day => end.date().to_string(),
        By::Hour => {
            let hour = end
                .with()
                .minute(0)
                .second(0)
                .subsec_nanosecond(0)
                .build()
                .unwrap();
            hour.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        }
        By::Model => call.model.to_string(),
        By::Month => format!("{:04}-{:02}", end.year(), end.month()),
        By::Operation => call.operation.to_string(),
        By::Provider => call.provider.to_string(),
        // No call of these tests has a caller.
        By::Branch | By::Program | By::Repository | By::Session => "unknown".to_owned(),
        // Nor was one changed by a rule.
        By::Rule => "none".to_owned(),
        By::Subagent => match (cascade, &call.ids.subagent) {
            (Some(cascade), Some(subagent)) => format!("{cascade} {subagent}"),
            _ => "none".to_owned(),
        },
        By::Week => {
            let day = ISOWeekDate::from_date(end.date());
            let monday = ISOWeekDate::new(day.year(), day.week(), Weekday::Monday);
            monday.unwrap().date().to_string()
        }
    }
}

proptest! {
    #![proptest_config(crate::seeds::cases(24))]
    #[test]
    fn the_file_adds_up_what_a_reader_of_every_call_would(
        made in prop::collection::vec(
            (0..400 * MINUTE, 0u8..3, prop::sample::select(Operation::ALL), prop::sample::select(Outcome::ALL), 0u8..4, prop::option::of(0u8..3)),
            1..40,
        ),
        spans in prop::collection::vec((0..400 * MINUTE, 0..200 * MINUTE), 4),
        zone in prop::sample::select(&["UTC", "Asia/Kathmandu", "-03:30"][..]),
    ) {
        let ledger = ledger(9, vec![]);
        let mut calls = Vec::new();
        for (number, (at, model, operation, outcome, thread, moved)) in made.into_iter().enumerate() {
            let bare = Call { operation, outcome, ..ending(number as u64, at + 1000, &format!("m{model}")) };
            let (call, mut cascade) = match thread {
                0 => (bare, None),
                1 => (of_trajectory("t", bare), None),
                2 => (of_subagent("s", None, of_cascade("c2", bare)), Some("c2".to_owned())),
                named => (of_cascade(&format!("c{named}"), bare), Some(format!("c{named}"))),
            };
            take(&ledger, [ended(call.clone())]);
            if let Some(moved) = moved {
                take(&ledger, [correlated(call.number, Some(&format!("c{moved}")))]);
                cascade = Some(format!("c{moved}"));
            }
            calls.push((call, cascade));
        }
        let tz = zone.parse::<crate::ledger::Zone>().unwrap().0;
        for by in By::ALL.iter().copied() {
            for (since, length) in spans.iter().copied().chain([(1, i64::from(i32::MAX))]) {
                let (groups, totals) = ask(&ledger, &asked(by, Some((since, since + length)), zone));
                let mut expected: BTreeMap<String, (u64, u64)> = BTreeMap::new();
                for (call, cascade) in &calls {
                    let end = Timestamp::try_from(call.timing.started_at + call.timing.duration).unwrap().as_millisecond();
                    if since <= end && end < since + length {
                        let group = expected.entry(keys(call, cascade.as_deref(), by, &tz)).or_default();
                        *group = (group.0 + 1, group.1 + 63);
                    }
                }
                let sum = expected.values().fold((0, 0), |sum, group| (sum.0 + group.0, sum.1 + group.1));
                prop_assert_eq!(totals, sum);
                prop_assert_eq!(groups, expected);
            }
        }
    }
}

#[test]
fn an_answer_waits_for_what_was_seen_before_it() {
    let ledger = ledger(9, vec![]);
    for number in 0..50 {
        take(&ledger, [Fact::Call(Box::new(ending(number, 1000, "m")))]);
        assert_eq!(ask(&ledger, &asked(By::Day, None, "UTC")).1.0, number + 1);
    }
}
