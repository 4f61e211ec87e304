//! A file that another process has: what is recorded meanwhile is answered from memory, and is in the
//! file as soon as that process has ended.

use std::time::{Duration, Instant};

use super::file::{LIMIT, Stage, by, close, settle, started};
use super::kit::{at, ended, id, numbered, of_cascade, page, run_ended, take};
use crate::ledger::{By, Ledger};
use crate::record::{Fact, LedgerFailure, LedgerRecord};

/// Calls by each of several groupings, which come from memory and from the file.
fn calls(ledger: &Ledger) -> Vec<u64> {
    [By::Model, By::Provider, By::Cascade, By::Day, By::Hour]
        .map(|grouping| by(ledger, grouping).totals.calls)
        .to_vec()
}

fn until_it_has_the_file(ledger: &Ledger) {
    let deadline = Instant::now() + LIMIT;
    while ledger.unavailable().is_some() {
        assert!(Instant::now() < deadline, "{:?}", ledger.unavailable());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_two_processes_have_recorded_at_once_is_in_the_file_once() {
    let stage = Stage::new().with_patience(Duration::ZERO);
    let (first, _) = stage.start();
    take(&first, [ended(of_cascade("both", numbered(1)))]);
    settle(&first);
    let (second, totals) = stage.start();
    assert!(totals.calls.is_empty(), "counters begin at zero");
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Open)), 1);
    take(
        &second,
        [
            ended(of_cascade("both", numbered(2))),
            ended(of_cascade("second", numbered(3))),
            started(4, 4),
        ],
    );
    settle(&second);
    assert_eq!(calls(&second), [2; 5], "its own alone, by every grouping");
    let unavailable = second.unavailable().unwrap();
    assert!(unavailable.is_awaited && unavailable.why.contains("is in use"));
    take(&first, [ended(of_cascade("first", numbered(2)))]);
    close(&first);

    until_it_has_the_file(&second);
    assert_eq!(calls(&second), [4; 5], "those of both, by every grouping");
    take(&second, [ended(numbered(4))]);
    settle(&second);
    assert_eq!(calls(&second), [5; 5]);
    close(&second);
    assert_eq!(stage.rows("SELECT count(*) FROM calls"), ["5"]);
    assert_eq!(stage.rows("SELECT sum(calls) FROM usage_slots"), ["5"]);
    let stage = stage.with_patience(LIMIT);
    let (third, totals) = stage.start();
    let kept: u64 = totals.calls.iter().map(|group| group.calls).sum();
    assert_eq!(kept, 5, "nothing was under way");
    assert_eq!(calls(&third), [5; 5]);
    let dropped = stage.received(Fact::LedgerDropped(LedgerRecord::Call));
    assert_eq!(dropped, 0);
}

#[test]
fn conversations_of_both_are_listed_with_the_runs_of_both() {
    let stage = Stage::new().with_patience(Duration::ZERO);
    let (first, _) = stage.start();
    let (second, _) = stage.start();
    take(
        &first,
        [
            ended(of_cascade("both", numbered(1))),
            run_ended("both", 1),
            ended(of_cascade("first", numbered(2))),
            run_ended("first", 2),
        ],
    );
    take(
        &second,
        [
            ended(of_cascade("both", numbered(20))),
            run_ended("both", 20),
            run_ended("both", 30),
        ],
    );
    close(&first);
    until_it_has_the_file(&second);
    let listed: Vec<_> = page(&second, None, 10, None)
        .cascades
        .iter()
        .map(|conversation| {
            (
                conversation.id.as_str().to_owned(),
                conversation.usage.calls,
                conversation.runs_ended,
            )
        })
        .collect();
    let expected = [("both", 2, 3), ("first", 1, 1)];
    assert_eq!(
        listed,
        expected.map(|(id, calls, runs)| (id.to_owned(), calls, runs))
    );
    let details = second.cascade(&id("both")).unwrap();
    let newest = details.runs.first().map(|run| run.started_at);
    assert_eq!(newest, jiff::Timestamp::try_from(at(30)).ok());
}
