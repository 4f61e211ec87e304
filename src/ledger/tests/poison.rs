//! Numbers that no sum can hold, from the wire or from the file, and records that the file can
//! never take: the ledger goes on, says so, and keeps everything else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::file::{LIMIT, Stage, by, close, settle, started};
use super::kit::{
    at, call, correlated, ended, id, numbered, of_cascade, of_trajectory, run_ended, step, take,
};
use crate::ledger::file::heal::{Healed, heal};
use crate::ledger::{By, Ledger, Usage, UsageQuery, query_file};
use crate::pricing::{Priced, Prices, read};
use crate::record::{
    Call, CorrelationMethod, Cost, Fact, FanOut, LedgerFailure, LedgerRecord, Model, Outcome,
    Provider, Quota, QuotaWindow, RateLimit, RateLimitReason, Record as _, StepKind, StepStatus,
    Timing, TokenKind, TokenUsage, UsageComparison,
};

#[test]
fn a_provider_that_lies_about_its_tokens_does_not_stop_the_ledger() {
    let table = "[[price]]\nmodels = [\"m\"]\noutput = 1000000\nsource = \"https://example.com\"\nas_of = 2026-11-24\n";
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let ledger = Arc::new(ledger);
    let prices = Arc::new(Prices::new(read(table).expect("a table"), false));
    let priced = Priced::new(prices, Arc::new(FanOut(vec![ledger.clone()])));
    let lie = |number| Call {
        number,
        usage: TokenUsage::default().with(TokenKind::Output, 1 << 32),
        ..call("m", Provider::CloudCode)
    };
    (1..=9300).for_each(|number| priced.record(ended(lie(number))));
    settle(&ledger);
    assert_eq!(stage.rows("SELECT count(*) FROM calls"), ["9300"]);
    let totals = by(&ledger, By::Day).totals;
    assert_eq!(
        (
            totals.calls,
            totals.tokens[TokenKind::Output],
            totals.saturated
        ),
        (9300, 9300 << 32, false)
    );
    assert_eq!(
        (totals.cost, totals.unpriced_calls),
        (None, 9300),
        "no call costs four billion dollars"
    );
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Write)), 0);
}

/// The sums that every grouping tells in the end.
fn totals(ledger: &Ledger) -> Vec<Usage> {
    [
        By::Model,
        By::Provider,
        By::Operation,
        By::Day,
        By::Hour,
        By::Cascade,
    ]
    .map(|of| by(ledger, of).totals)
    .into()
}

/// What earlier versions wrote of a provider that lied: calls of a million dollars and of a
/// trillion tokens, in sums that together are more than 64 bits hold.
fn poison(stage: &Stage) {
    let file = Connection::open(stage.path()).unwrap();
    let changed = file
        .execute(
            "UPDATE calls SET cost_nano_usd = 1000000000000000, output = 1 << 40 WHERE id & 1 = 1",
            [],
        )
        .unwrap();
    assert_eq!(changed, 10);
    for table in ["usage_slots", "cascade_slots"] {
        let sql = format!(
            "UPDATE {table} SET cost_nano_usd = 9000000000000000000, output = 9000000000000000000, priced_calls = calls, \
             unpriced_calls = 0"
        );
        assert!(file.execute(&sql, []).unwrap() > 1, "two slots at least");
    }
}

/// Twenty calls in two quarters of an hour, in conversations, outside of them, and refused.
fn written(stage: &Stage) {
    let (ledger, _) = stage.start();
    let limit = RateLimit {
        reason: RateLimitReason::Capacity,
        retry_after: None,
        resets_at: None,
    };
    let calls = (1..=20).map(|number| {
        let call = numbered(number);
        let timing = Timing {
            started_at: at(if number < 7 { 100 } else { 2000 }),
            ..call.timing
        };
        let call = Call {
            timing,
            rate_limit: Some(limit),
            ..call
        };
        let outcome = if number % 5 == 0 {
            Outcome::RateLimited
        } else {
            call.outcome
        };
        let call = Call { outcome, ..call };
        match number % 3 {
            0 => of_cascade("c", call),
            1 => of_trajectory("t", call),
            _ => call,
        }
    });
    take(&ledger, calls.map(ended));
    take(&ledger, [correlated(4, Some("d"))]);
    close(&ledger);
}

#[test]
fn a_file_with_impossible_sums_is_healed_at_the_start() {
    let stage = Stage::new();
    written(&stage);
    let healthy = [
        "SELECT slot, provider, model, operation, outcome, rate_limit, quality, calls, input, thinking FROM usage_slots",
        "SELECT slot, cascade, trajectory, provider, model, outcome, quality, calls, input, thinking FROM cascade_slots",
    ];
    let before = healthy.map(|sql| stage.rows(sql));
    poison(&stage);
    let (ledger, totals_of_the_start) = stage.start();
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Open)), 0);
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Heal)), 1);
    assert_eq!(
        healthy.map(|sql| stage.rows(sql)),
        before,
        "everything that is possible is as it was"
    );
    assert_eq!(
        totals_of_the_start
            .calls
            .iter()
            .map(|group| group.calls)
            .sum::<u64>(),
        20
    );
    // The odd ones lied. The even ones cost a thousand nano-USD and their number.
    let cost = (1..=10).map(|half| 1000 + 2 * half).sum();
    for totals in totals(&ledger) {
        assert_eq!(
            (
                totals.calls,
                totals.tokens[TokenKind::Input],
                totals.tokens[TokenKind::Output]
            ),
            (20, 20, 10 * 16)
        );
        assert_eq!(
            (totals.cost, totals.unpriced_calls),
            (Some(Cost::from_nano_usd(cost)), 10)
        );
        assert!(!totals.saturated);
    }
    let of_c = ledger.cascade(&id("c")).expect("kept");
    assert_eq!(
        (
            of_c.calls.len(),
            of_c.cascade.usage.tokens[TokenKind::Output]
        ),
        (6, 3 * 16)
    );
    close(&ledger);
    let (ledger, _) = stage.start();
    assert_eq!(
        stage.received(Fact::LedgerFailed(LedgerFailure::Heal)),
        1,
        "once is enough"
    );
    drop(ledger);
}

/// Queries of the file itself are answered as well.
#[test]
fn the_view_of_days_tells_a_lower_bound_of_what_no_sum_can_hold() {
    let stage = Stage::new();
    written(&stage);
    let days = "SELECT sum(calls), sum(input), sum(tokens), sum(cost_usd) > 0 FROM usage_days";
    let tokens = 20 * (1 + 2 + 4 + 8 + 16 + 32);
    assert_eq!(stage.rows(days), [format!("20 20 {tokens} 1")]);
    poison(&stage);
    let sql = "SELECT output, tokens, cost_usd FROM usage_days WHERE outcome = 'ok'";
    assert_eq!(
        stage.rows(sql),
        ["9223372036854775807 9223372036854775807 9223372036.854776"]
    );
}

#[test]
fn impossible_costs_of_calls_that_are_gone_are_not_known() {
    let stage = Stage::new();
    written(&stage);
    poison(&stage);
    let file = Connection::open(stage.path()).unwrap();
    file.execute("DELETE FROM calls", []).unwrap();
    file.execute(
        "UPDATE usage_slots SET thinking = -5 WHERE slot = 0 AND outcome = 'ok'",
        [],
    )
    .unwrap();
    let (ledger, _) = stage.start();
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Heal)), 1);
    let totals = by(&ledger, By::Day).totals;
    assert_eq!(
        (totals.calls, totals.cost, totals.unpriced_calls),
        (20, None, 20)
    );
    assert!(totals.saturated, "so many tokens cannot be told");
    assert_eq!(
        stage.received(Fact::LedgerFailed(LedgerFailure::Saturate)),
        1
    );
    assert_eq!(stage.rows("SELECT min(thinking) FROM usage_slots"), ["0"]);
}

#[test]
fn a_file_with_sums_beyond_64_bits_is_answered_from_as_it_stands() {
    let stage = Stage::new();
    written(&stage);
    poison(&stage);
    let query = |by| UsageQuery {
        by,
        ..UsageQuery::default()
    };
    for by in [
        By::Model,
        By::Provider,
        By::Operation,
        By::Day,
        By::Hour,
        By::Cascade,
    ] {
        let totals = query_file(&stage.path(), &query(by), super::kit::now())
            .expect("an answer")
            .totals;
        assert_eq!((totals.calls, totals.saturated), (20, true), "{by}");
    }
    let json = serde_json::to_value(
        query_file(&stage.path(), &query(By::Model), super::kit::now()).unwrap(),
    )
    .unwrap();
    assert_eq!(json["totals"]["saturated"], true);
    assert!(
        json["totals"]["output_tokens"].as_u64() >= Some(i64::MAX.unsigned_abs()),
        "{json}"
    );
}

#[test]
fn a_full_sum_stays_at_the_largest_number_and_says_so() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(&ledger, [ended(of_cascade("c", numbered(2)))]);
    settle(&ledger);
    let file = Connection::open(stage.path()).unwrap();
    for table in ["usage_slots", "cascade_slots"] {
        let sql = format!(
            "UPDATE {table} SET calls = ?1, priced_calls = ?1, input = ?1, cost_nano_usd = ?1"
        );
        file.execute(&sql, [i64::MAX - 1]).unwrap();
    }
    take(&ledger, [ended(of_cascade("c", numbered(4)))]);
    settle(&ledger);
    take(
        &ledger,
        [
            ended(of_cascade("c", numbered(6))),
            correlated(6, Some("d")),
        ],
    );
    settle(&ledger);
    let largest = i64::MAX;
    let sums = "SELECT calls, input, cost_nano_usd, thinking FROM";
    assert_eq!(
        stage.rows(&format!("{sums} usage_slots")),
        [format!("{largest} {largest} {largest} 96")]
    );
    let by_cascade = [
        format!("{largest} {largest} {largest} 64"),
        "1 1 1006 32".to_owned(),
    ];
    assert_eq!(
        stage.rows(&format!("{sums} cascade_slots ORDER BY cascade")),
        by_cascade,
        "nothing can be taken from it"
    );
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Write)), 0);
    assert_eq!(
        stage.received(Fact::LedgerFailed(LedgerFailure::Saturate)),
        2,
        "each time that something is missing"
    );
    assert!(by(&ledger, By::Day).totals.saturated);
    assert!(
        !by(&ledger, By::Model).totals.saturated,
        "what this process has seen is exact"
    );
    drop(ledger);
}

/// Any row can be forbidden in the file, as a stranger's trigger does here; and the file of a
/// program that was changed may.
fn refuse(stage: &Stage, table: &str, which: &str) {
    let file = Connection::open(stage.path()).unwrap();
    let sql = format!(
        "CREATE TRIGGER no_{table} BEFORE INSERT ON {table} WHEN {which} BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    );
    file.execute_batch(&sql).unwrap();
}

fn aside(stage: &Stage) -> PathBuf {
    stage.path().with_file_name("ledger.db.set-aside.jsonl")
}

#[test]
fn a_record_that_the_file_refuses_is_set_aside_and_all_others_are_kept() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    refuse(
        &stage,
        "calls",
        "NEW.id & 0xffffffff IN (3, 700, 701, 1999)",
    );
    take(
        &ledger,
        (0..2000).map(|number| ended(of_cascade("c", numbered(number)))),
    );
    take(&ledger, [run_ended("c", 5)]);
    settle(&ledger);
    assert_eq!(stage.rows("SELECT count(*) FROM calls"), ["1996"]);
    assert_eq!(stage.rows("SELECT sum(calls) FROM usage_slots"), ["1996"]);
    assert_eq!(stage.rows("SELECT count(*) FROM runs"), ["1"]);
    assert_eq!(
        stage.received(Fact::LedgerFailed(LedgerFailure::SetAside)),
        4
    );
    assert_eq!(stage.received(Fact::LedgerDropped(LedgerRecord::Call)), 4);
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Write)), 0);
    let text = fs::read_to_string(aside(&stage)).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| line["content"]["call"]["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [3, 700, 701, 1999]);
    for line in &lines {
        assert_eq!(
            (&line["record"], &line["content"]["cascade"]),
            (&"call".into(), &"c".into())
        );
        assert!(
            line["why"].as_str().unwrap().contains("not this one"),
            "{line}"
        );
    }
    assert_eq!(fs::metadata(aside(&stage)).unwrap().mode() & 0o777, 0o600);
    close(&ledger);
}

#[test]
fn every_kind_of_record_can_be_set_aside() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    for table in ["calls", "started", "quotas", "runs", "counts"] {
        refuse(&stage, table, "true");
    }
    let quota = Quota {
        provider: Provider::CloudCode,
        model: Model::from_wire("m"),
        window: QuotaWindow::Weekly,
        remaining: 0.5,
        resets_at: None,
    };
    take(
        &ledger,
        [
            started(1, 1),
            ended(numbered(2)),
            run_ended("c", 5),
            Fact::Quota(quota),
        ],
    );
    take(&ledger, [step("c", StepKind::Other, StepStatus::Done)]);
    take(
        &ledger,
        [
            Fact::CorrelationSettled(CorrelationMethod::Header),
            Fact::UsageCompared(UsageComparison::Agree),
        ],
    );
    settle(&ledger);
    let kinds = ["started", "call", "run", "quota", "count", "count", "count"];
    let text = fs::read_to_string(aside(&stage)).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines
            .iter()
            .map(|line| line["record"].as_str().unwrap())
            .collect::<Vec<_>>(),
        kinds
    );
    assert!(
        lines.iter().all(|line| line["content"].is_object()),
        "{text}"
    );
    assert_eq!(
        stage.received(Fact::LedgerFailed(LedgerFailure::SetAside)),
        kinds.len()
    );
}

#[test]
fn a_file_for_records_that_belongs_to_others_is_left_alone() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    fs::write(aside(&stage), "theirs").unwrap();
    fs::set_permissions(aside(&stage), fs::Permissions::from_mode(0o644)).unwrap();
    refuse(&stage, "calls", "true");
    take(&ledger, [ended(numbered(1))]);
    settle(&ledger);
    assert_eq!(
        stage.received(Fact::LedgerDropped(LedgerRecord::Call)),
        1,
        "it is lost, and counted"
    );
    assert_eq!(fs::read_to_string(aside(&stage)).unwrap(), "theirs");
}

#[test]
fn a_start_leaves_alone_what_calls_really_cost() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let dear = |number| Call {
        cost: Some(Cost::MAX_OF_A_CALL),
        ..numbered(number)
    };
    take(&ledger, (0..10).map(|number| ended(dear(number))));
    close(&ledger);
    let before = stage.rows("SELECT * FROM usage_slots");
    let (ledger, _) = stage.start();
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Heal)), 0);
    assert_eq!(stage.rows("SELECT * FROM usage_slots"), before);
    assert_eq!(
        by(&ledger, By::Day).totals.cost,
        Some(Cost::from_nano_usd(10 * Cost::MAX_OF_A_CALL.nano_usd()))
    );
}

#[test]
fn a_process_gets_a_number_whatever_stands_in_the_file() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    close(&ledger);
    let file = Connection::open(stage.path()).unwrap();
    for id in [i64::MAX, i64::MIN, 1 << 40, (1 << 31) - 1] {
        file.execute(
            "INSERT INTO boots (id, started_at, version) VALUES (?1, 0, '')",
            [id],
        )
        .unwrap();
    }
    let (ledger, _) = stage.start();
    take(&ledger, [ended(numbered(5))]);
    settle(&ledger);
    assert_eq!(
        stage.rows("SELECT id FROM calls"),
        [((2_i64 << 32) + 5).to_string()]
    );
}

/// Any figure that a column can hold.
fn any_figure() -> impl Strategy<Value = i64> {
    let edges = [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1,
        i64::MAX - 1,
        i64::MAX,
        1 << 40,
        1_000_000_000_000_000,
    ];
    prop_oneof![prop::sample::select(edges.to_vec()), any::<i64>()]
}

proptest! {
    #![proptest_config(crate::seeds::cases(32))]

    /// Whatever stands in the sums of a file, a start mends it from the calls, and a second one
    /// finds nothing to do.
    #[test]
    fn whatever_the_sums_are_a_start_makes_them_what_the_calls_are(
        figures in prop::collection::vec((0..11_usize, any_figure(), any::<prop::sample::Index>()), 1..6)
    ) {
        let stage = Stage::new();
        written(&stage);
        let slots = || [0, 1_800_000].map(|slot| {
            ["usage_slots", "cascade_slots"].map(|table| stage.rows(&format!("SELECT * FROM {table} WHERE slot = {slot}")))
        });
        let before = slots();
        let mut file = Connection::open(stage.path()).unwrap();
        for (column, figure, row) in figures {
            let column = ["calls", "input", "cache_read", "cache_write_5m", "cache_write_1h", "tool_input", "output", "thinking", "priced_calls",
                "unpriced_calls", "cost_nano_usd"][column];
            for table in ["usage_slots", "cascade_slots"] {
                let key = "slot, provider, model, outcome, quality";
                let rows: i64 = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
                let row = row.index(usize::try_from(rows).unwrap());
                let sql = format!(
                    "UPDATE {table} SET {column} = ?1 WHERE ({key}) = (SELECT {key} FROM {table} LIMIT 1 OFFSET {row})"
                );
                file.execute(&sql, params![figure]).unwrap();
            }
        }
        let changed = slots();
        let healed = heal(&mut file).unwrap();
        let after = slots();
        prop_assert_eq!(healed.calls, 0);
        let mended = (0..2).filter(|slot| changed[*slot] != before[*slot] && after[*slot] == before[*slot]).count();
        prop_assert_eq!(healed.slots, mended);
        for slot in 0..2 {
            // A figure that is possible, such as one call less, is not looked into.
            prop_assert!(after[slot] == before[slot] || after[slot] == changed[slot], "{:?}", after[slot]);
        }
        prop_assert_eq!(heal(&mut file).unwrap(), Healed::default());
        let (ledger, _) = stage.start();
        prop_assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Open)), 0);
        let _ = totals(&ledger);
        take(&ledger, (30..40).map(|number| ended(of_cascade("c", numbered(number)))));
        take(&ledger, [correlated(30, Some("d")), correlated(31, None)]);
        prop_assert!(ledger.settle(LIMIT));
        prop_assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::SetAside)), 0);
    }

    /// Whatever stands in the calls of a file, a start and every question work, and calls can be
    /// moved.
    #[test]
    fn whatever_figures_calls_have_the_ledger_works(
        figures in prop::collection::vec((0..12_usize, any_figure(), 1..21_i64), 1..6)
    ) {
        let stage = Stage::new();
        written(&stage);
        let file = Connection::open(stage.path()).unwrap();
        for (column, figure, number) in figures {
            let column = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "tool_input", "output", "thinking", "cost_nano_usd", "duration_us",
                "first_chunk_us", "started_at", "status"][column];
            file.execute(&format!("UPDATE calls SET {column} = ?1 WHERE id & 0xffffffff = ?2"), params![figure, number]).unwrap();
        }
        let (ledger, _) = stage.start();
        for failure in [LedgerFailure::Open, LedgerFailure::Query] {
            prop_assert_eq!(stage.received(Fact::LedgerFailed(failure)), 0);
        }
        prop_assert_eq!(totals(&ledger).iter().map(|totals| totals.calls).collect::<Vec<_>>(), [20; 6]);
        take(&ledger, (0..30).map(|number| correlated(number, Some("e"))));
        prop_assert!(ledger.settle(LIMIT));
        prop_assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::SetAside)), 0);
        prop_assert!(ledger.close(LIMIT));
        let _ = stage.start();
    }
}

#[test]
fn the_file_for_records_does_not_grow_for_ever() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    fs::write(aside(&stage), " ".repeat((8 << 20) - 100)).unwrap();
    fs::set_permissions(aside(&stage), fs::Permissions::from_mode(0o600)).unwrap();
    refuse(&stage, "calls", "true");
    take(&ledger, (0..3).map(|number| ended(numbered(number))));
    settle(&ledger);
    assert_eq!(fs::metadata(aside(&stage)).unwrap().len(), (8 << 20) - 100);
    assert_eq!(
        stage.received(Fact::LedgerDropped(LedgerRecord::Call)),
        3,
        "they are lost, and counted"
    );
}
