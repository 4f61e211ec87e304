//! The file: what is kept outlives the process, once, and no damage to the file affects anything
//! else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::kit::{
    at, call, correlated, ended, id, named, numbered, of_cascade, of_subagent, of_trajectory,
    run_ended, step, take,
};
use crate::ledger::answers::report::by_thread;
use crate::ledger::file::open::{OpenError, Place, open_in_memory, open_own};
use crate::ledger::file::queue::{Entry, Queue};
use crate::ledger::file::retention::{Retention, part};
use crate::ledger::file::rows::Rows;
use crate::ledger::file::schema::{MIGRATIONS, migrate};
use crate::ledger::file::writer::{Boot, Store, Warned, Writer};
use crate::ledger::{
    ArchiveError, By, CascadeDetails, CascadesQuery, Config, Ledger, Limits, UsageQuery,
    UsageReport, query_file,
};
use crate::record::{
    Call, CallStarted, Caller, CorrelationMethod, Cost, Fact, Host, LedgerFailure, LedgerRecord,
    Model, Models, Operation, Outcome, PerKind, Provider, Quality, Quota, QuotaWindow, Reported,
    Sink, StepKind, StepStatus, Substitution, Timing, TokenKind, TokenUsage, Totals,
};

/// Counts the facts that say what went wrong.
#[derive(Default)]
struct CountingSink(Mutex<Vec<Fact>>);

impl Sink for CountingSink {
    fn receive(&self, fact: &Fact) {
        self.0.lock().unwrap().push(fact.clone());
    }
}

impl CountingSink {
    fn count(&self, fact: &Fact) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|received| *received == fact)
            .count()
    }
}

/// A file, and the processes that use it one after the other.
pub(super) struct Stage {
    folder: TempDir,
    sink: Arc<CountingSink>,
    config: Config,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            sink: Arc::default(),
            config: Config::default(),
        }
    }

    /// How long processes wait for one another.
    pub(super) fn with_patience(mut self, patience: Duration) -> Self {
        self.config.wait_for_lock = patience;
        self
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(super) fn start(&self) -> (Ledger, Totals) {
        Ledger::open(
            &self.config,
            &self.path(),
            now(),
            Arc::default(),
            self.sink.clone(),
        )
    }

    pub(super) fn received(&self, fact: Fact) -> usize {
        self.sink.count(&fact)
    }

    /// The rows of a query of the file.
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.path(), sql)
    }
}

fn rows(path: &Path, sql: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut select = connection.prepare(sql).unwrap();
    let columns = select.column_count();
    let text = |row: &rusqlite::Row<'_>| {
        let values = (0..columns).map(|column| match row.get_ref(column).unwrap() {
            rusqlite::types::ValueRef::Null => "-".to_owned(),
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Real(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            rusqlite::types::ValueRef::Blob(_) => panic!("no blobs"),
        });
        Ok(values.collect::<Vec<_>>().join(" "))
    };
    select
        .query_map([], text)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn now() -> Timestamp {
    "2026-11-23T20:44:00Z".parse().unwrap()
}

pub(super) fn started(number: u64, second: u64) -> Fact {
    Fact::CallStarted(CallStarted {
        number,
        provider: Provider::CloudCode,
        host: Host::parse("api.example.com").unwrap(),
        operation: Operation::Chat,
        model: None,
        started_at: at(second),
        caller: Caller::default(),
    })
}

pub(super) fn close(ledger: &Ledger) {
    assert!(ledger.close(LIMIT));
}

pub(super) fn settle(ledger: &Ledger) {
    assert!(ledger.settle(LIMIT), "written");
}

pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn by(ledger: &Ledger, by: By) -> UsageReport {
    ledger
        .query(
            &UsageQuery {
                by,
                ..UsageQuery::default()
            },
            now(),
        )
        .unwrap()
}

#[test]
fn conversations_of_earlier_processes_are_listed_as_they_were() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let calls = [(1, "a"), (2, "b"), (3, "a"), (30, "a")];
    take(
        &ledger,
        calls.map(|(number, cascade)| ended(of_cascade(cascade, numbered(number)))),
    );
    take(
        &ledger,
        [
            ended(of_trajectory("t", numbered(4))),
            ended(numbered(5)),
            correlated(5, Some("b")),
        ],
    );
    take(&ledger, (40..65).map(|second| run_ended("a", second)));
    take(&ledger, [run_ended("c", 20)]);
    assert!(ledger.settle(Duration::from_secs(10)));
    let shown = |ledger: &Ledger| -> Vec<CascadeDetails> {
        let list = ledger
            .cascades(&CascadesQuery {
                state: None,
                limit: 1000,
                cursor: None,
            })
            .cascades;
        list.iter()
            .map(|cascade| ledger.cascade(&cascade.id).expect("one of the list"))
            .collect()
    };
    let before = shown(&ledger);
    assert_eq!(
        before
            .iter()
            .map(|of| of.cascade.id.as_str())
            .collect::<Vec<_>>(),
        ["a", "c", "b"]
    );
    assert_eq!(
        (
            before[0].cascade.runs_ended,
            before[0].runs.len(),
            before[0].calls.len()
        ),
        (25, 20, 3)
    );
    drop(ledger);

    let (ledger, totals) = stage.start();
    assert_eq!(shown(&ledger), before);
    // The sums of all groups in memory are those of all calls: what was put back is counted once.
    let sums = |ledger: &Ledger| {
        let kept = ledger.memory();
        let groups = by_thread(kept.store.groups(), &kept.names);
        (
            groups.values().map(|group| group.usage.calls).sum::<u64>(),
            groups.keys().cloned().collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        sums(&ledger),
        (6, ["a", "b", "other"].map(str::to_owned).to_vec())
    );
    assert_eq!(totals.calls.iter().map(|group| group.calls).sum::<u64>(), 6);
    // The numbers of this process begin anew, and are those of other calls.
    take(
        &ledger,
        [
            ended(of_cascade("a", numbered(1))),
            ended(numbered(2)),
            correlated(2, Some("b")),
            run_ended("a", 90),
        ],
    );
    let after = shown(&ledger);
    assert_eq!(
        (
            after[0].cascade.usage.calls,
            after[0].calls.len(),
            after[0].cascade.runs_ended
        ),
        (4, 4, 26)
    );
    assert_eq!(
        after[0].calls[0].started_at,
        Timestamp::from_second(1).unwrap(),
        "the last one seen is the first"
    );
    let b = after
        .iter()
        .find(|of| of.cascade.id.as_str() == "b")
        .expect("kept");
    assert_eq!((b.cascade.usage.calls, b.calls.len()), (3, 3));
    assert_eq!(sums(&ledger).0, 8);
    assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Query)), 0);
}

#[test]
fn a_call_is_found_by_its_id_in_every_later_process() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(
        &ledger,
        [ended(of_cascade("a", numbered(1))), ended(numbered(2))],
    );
    // Numbers begin anew in each process: the time tells its calls apart.
    let ids = [1, 2].map(|number| format!("{number}000-{number}").parse().unwrap());
    let found = ids.map(|id| ledger.call(id).unwrap().expect("a call"));
    assert_eq!(found[0].cascade, Some(id("a")));
    assert_eq!((found[1].cascade.as_ref(), found[1].call.number), (None, 2));
    settle(&ledger);
    close(&ledger);
    drop(ledger);
    let (ledger, _) = stage.start();
    let other = Call {
        timing: Timing {
            started_at: at(9),
            ..numbered(2).timing
        },
        ..numbered(2)
    };
    take(&ledger, [ended(other)]);
    assert_eq!(
        ids.map(|id| ledger.call(id).unwrap().expect("a call")),
        found
    );
    for none in ["1000-2", "9000-1", "3000-3"] {
        assert_eq!(ledger.call(none.parse().unwrap()).unwrap(), None, "{none}");
    }
    close(&ledger);
}

#[test]
fn as_many_conversations_of_earlier_processes_come_back_as_are_kept() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let limits = Limits::default();
    let number = |n: usize| n as u64;
    take(
        &ledger,
        (0..limits.cascades + 50).map(|n| ended(of_cascade(&format!("c{n}"), numbered(number(n))))),
    );
    take(
        &ledger,
        (2000..2000 + limits.calls_of_a_cascade + 9)
            .map(|n| ended(of_cascade("long", numbered(number(n))))),
    );
    assert!(ledger.settle(Duration::from_secs(10)));
    drop(ledger);
    let (ledger, _) = stage.start();
    let list = ledger
        .cascades(&CascadesQuery {
            state: None,
            limit: 2000,
            cursor: None,
        })
        .cascades;
    assert_eq!((list.len(), list[0].id.as_str()), (limits.cascades, "long"));
    let long = ledger.cascade(&id("long")).expect("kept");
    assert_eq!(
        (long.calls.len(), long.calls[0].number),
        (limits.calls_of_a_cascade, 2508)
    );
    assert_eq!(long.cascade.usage.calls, 509, "all are counted");
    let calls = by(&ledger, By::Cascade).totals.calls;
    assert_eq!(
        calls,
        number(limits.cascades + 50 + limits.calls_of_a_cascade + 9)
    );
}

#[test]
fn conversations_whose_calls_are_not_known_come_back_by_their_runs() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let kept = Limits::default().cascades;
    take(
        &ledger,
        [
            ended(of_cascade("called", numbered(1))),
            run_ended("ran-1049", 2),
        ],
    );
    take(
        &ledger,
        (0..kept + 50).map(|n| run_ended(&format!("ran-{n}"), 100 + n as u64)),
    );
    assert!(ledger.settle(Duration::from_secs(10)));
    drop(ledger);
    let (ledger, _) = stage.start();
    let list = ledger
        .cascades(&CascadesQuery {
            state: None,
            limit: 2000,
            cursor: None,
        })
        .cascades;
    let ends = [&list[0], &list[kept - 1]].map(|cascade| (cascade.id.as_str(), cascade.runs_ended));
    assert_eq!((list.len(), ends), (kept, [("ran-1049", 2), ("ran-50", 1)]));
}

#[test]
fn figures_go_on_where_the_process_before_left_them() {
    let stage = Stage::new();
    let (ledger, totals) = stage.start();
    assert_eq!(totals, Totals::default());
    take(
        &ledger,
        [
            ended(numbered(1)),
            ended(of_cascade("c", numbered(2))),
            step("c", StepKind::Other, StepStatus::Done),
        ],
    );
    take(
        &ledger,
        [
            Fact::CorrelationSettled(CorrelationMethod::RequestId),
            run_ended("c", 3),
        ],
    );
    let before = by(&ledger, By::Model);
    close(&ledger);

    let (ledger, totals) = stage.start();
    assert_eq!(by(&ledger, By::Model), before);
    assert_eq!(totals.calls.iter().map(|group| group.calls).sum::<u64>(), 2);
    assert_eq!(totals.steps, [((StepKind::Other, StepStatus::Done), 1)]);
    assert_eq!(totals.correlations, [(CorrelationMethod::RequestId, 1)]);
    // Numbers begin anew with the process: they are other calls.
    take(&ledger, [ended(numbered(1)), ended(numbered(1))]);
    settle(&ledger);
    assert_eq!(
        stage.rows("SELECT id FROM calls ORDER BY id"),
        ["4294967297", "4294967298", "8589934593"]
    );
    assert_eq!(
        stage.rows("SELECT cascade, outcome, calls FROM runs"),
        ["c ok 2"]
    );
}

#[test]
fn an_orderly_end_leaves_one_file() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(&ledger, [ended(numbered(1))]);
    settle(&ledger);
    let files = || {
        let entries = fs::read_dir(stage.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        entries
            .filter(|name| !name.to_string_lossy().ends_with("lock"))
            .count()
    };
    assert!(files() > 1, "a journal beside the file");
    close(&ledger);
    assert_eq!(files(), 1);
}

#[test]
fn what_was_under_way_when_the_process_was_killed_is_interrupted_once() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(
        &ledger,
        [started(1, 10), started(2, 2000), ended(numbered(1))],
    );
    settle(&ledger);
    // As kill -9 leaves it: nothing writes any more, and nothing was closed.
    let killed = |ledger: Ledger, stage: &Stage| {
        let copy = tempfile::tempdir().unwrap();
        for name in ["ledger.db", "ledger.db-wal"] {
            fs::copy(stage.folder.path().join(name), copy.path().join(name)).unwrap();
        }
        close(&ledger);
        Stage {
            folder: copy,
            sink: Arc::default(),
            config: Config::default(),
        }
    };
    let mut stage = killed(ledger, &stage);
    for _ in 0..3 {
        let (ledger, totals) = stage.start();
        let interrupted: Vec<_> = totals
            .calls
            .iter()
            .filter(|group| group.outcome == Outcome::Interrupted)
            .collect();
        let [group] = interrupted.as_slice() else {
            panic!("{totals:?}")
        };
        assert_eq!(
            (group.calls, group.quality, group.tokens),
            (1, Quality::Unknown, PerKind::default())
        );
        let totals = by(&ledger, By::Model).totals;
        assert_eq!(
            (
                totals.calls,
                totals.usage_quality.unknown,
                totals.total_tokens
            ),
            (2, 1, 63)
        );
        settle(&ledger);
        stage = killed(ledger, &stage);
    }
    let interrupted = "SELECT started_at, ended_at, duration_us, input, model, counted_as FROM calls WHERE outcome = 'interrupted'";
    assert_eq!(
        stage.rows(interrupted),
        ["2000000 2000000 - - unknown other"]
    );
    for table in ["usage_slots", "cascade_slots"] {
        let slots = format!("SELECT slot, calls FROM {table} WHERE outcome = 'interrupted'");
        assert_eq!(stage.rows(&slots), ["1800000 1"], "{table}");
    }
    assert_eq!(stage.rows("SELECT count(*) FROM started"), ["0"]);
}

#[test]
fn a_call_moves_to_its_conversation_in_rows_and_roll_ups() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(
        &ledger,
        [
            ended(of_trajectory("t", numbered(1))),
            ended(of_trajectory("t", numbered(2))),
        ],
    );
    take(
        &ledger,
        [
            correlated(1, Some("c")),
            correlated(1, Some("d")),
            correlated(9, Some("d")),
        ],
    );
    settle(&ledger);
    let slots = "SELECT cascade, trajectory, calls, input FROM cascade_slots ORDER BY 1";
    assert_eq!(stage.rows(slots), [" t 1 1", "d  1 1"]);
    assert_eq!(
        stage.rows("SELECT cascade, method FROM calls ORDER BY id"),
        ["d trace_id", "- none"]
    );
    assert_eq!(
        stage.rows("SELECT sum(calls), sum(input) FROM usage_slots"),
        ["2 2"]
    );
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone_and_a_damaged_one_is_moved_aside() {
    let stage = Stage::new();
    fs::write(
        stage.path(),
        "this is no database, but something that somebody may want back".repeat(100),
    )
    .unwrap();
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let damaged = fs::read(stage.path()).unwrap();
    let (ledger, _) = stage.start();
    assert_eq!(
        stage.received(Fact::LedgerFailed(LedgerFailure::Corrupt)),
        1
    );
    take(&ledger, [ended(numbered(1))]);
    close(&ledger);
    assert_eq!(stage.rows("SELECT count(*) FROM calls"), ["1"]);
    let names = fs::read_dir(stage.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let aside: Vec<_> = names
        .filter(|path| path.to_string_lossy().contains("ledger.db.corrupt-"))
        .collect();
    assert_eq!(
        aside
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect::<Vec<_>>(),
        [damaged]
    );

    let other = Stage::new();
    Connection::open(other.path())
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    fs::set_permissions(other.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(other.path()).unwrap();
    let (ledger, _) = other.start();
    assert_eq!(other.received(Fact::LedgerFailed(LedgerFailure::Open)), 1);
    take(&ledger, [ended(numbered(1))]);
    assert_eq!(by(&ledger, By::Day).totals.calls, 1, "it works in memory");
    close(&ledger);
    assert_eq!(other.rows("SELECT count(*) FROM theirs"), ["0"]);
    assert_eq!(other.rows("PRAGMA user_version"), ["0"]);
    assert_eq!(
        before,
        fs::read(other.path()).unwrap(),
        "not a byte of it is changed"
    );
}

#[test]
fn a_loose_file_a_link_and_a_newer_version_are_refused() {
    let loose = Stage::new();
    fs::write(loose.path(), "").unwrap();
    fs::set_permissions(loose.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let link = Stage::new();
    fs::write(link.folder.path().join("target"), "").unwrap();
    symlink(link.folder.path().join("target"), link.path()).unwrap();
    let newer = Stage::new();
    close(&newer.start().0);
    Connection::open(newer.path())
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    for stage in [&loose, &link, &newer] {
        let (ledger, _) = stage.start();
        assert_eq!(stage.received(Fact::LedgerFailed(LedgerFailure::Open)), 1);
        take(&ledger, [ended(numbered(1))]);
        assert_eq!(by(&ledger, By::Hour).totals.calls, 1);
    }
    assert_eq!(fs::read(loose.path()).unwrap(), b"");
    assert_eq!(newer.rows("PRAGMA user_version"), ["99"]);
}

#[test]
fn the_file_is_for_its_owner_and_one_writer() {
    let stage = Stage::new();
    let (first, _) = stage.start();
    take(&first, [ended(numbered(1))]);
    settle(&first);
    for name in [
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
        "ledger.db.lock",
    ] {
        let mode = fs::metadata(stage.folder.path().join(name)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let (second, totals) = stage.start();
    assert_eq!(
        (
            totals,
            stage.received(Fact::LedgerFailed(LedgerFailure::Open))
        ),
        (Totals::default(), 1)
    );
    take(&second, [ended(numbered(1))]);
    close(&second);
    assert!(!second.unavailable().unwrap().is_awaited);
    assert_eq!(
        stage.received(Fact::LedgerDropped(LedgerRecord::Call)),
        1,
        "it has not become free before the end"
    );
    close(&first);
    assert_eq!(stage.rows("SELECT count(*) FROM calls"), ["1"]);
}

#[test]
fn a_deleted_file_is_begun_anew() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(&ledger, [ended(numbered(1))]);
    settle(&ledger);
    fs::remove_file(stage.path()).unwrap();
    take(&ledger, [ended(numbered(2))]);
    settle(&ledger);
    assert_eq!(stage.rows("SELECT id & 0xffffffff FROM calls"), ["2"]);
    assert_eq!(
        by(&ledger, By::Model).totals.calls,
        2,
        "what was seen since the start is known all the same"
    );
    close(&ledger);
    assert_eq!(
        stage.rows("SELECT count(*) FROM boots WHERE ended_at IS NOT NULL"),
        ["1"]
    );
}

#[test]
fn while_the_file_is_locked_records_wait_and_those_beyond_the_limit_are_counted() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let thief = Connection::open(stage.path()).unwrap();
    thief.execute_batch("BEGIN IMMEDIATE").unwrap();
    let offered = 20_000;
    take(&ledger, (1..=offered).map(|number| ended(numbered(number))));
    let dropped = stage.received(Fact::LedgerDropped(LedgerRecord::Call)) as u64;
    assert!(dropped > 0 && dropped < offered, "{dropped}");
    assert_eq!(by(&ledger, By::Model).totals.calls, offered, "nobody waits");
    thief.execute_batch("ROLLBACK").unwrap();
    close(&ledger);
    assert_eq!(
        stage.rows("SELECT count(*) FROM calls"),
        [(offered - dropped).to_string()]
    );
    assert_eq!(
        stage.rows("SELECT sum(calls) FROM usage_slots"),
        [(offered - dropped).to_string()]
    );
    take(&ledger, [ended(numbered(1))]);
    assert_eq!(
        stage.received(Fact::LedgerDropped(LedgerRecord::Call)) as u64,
        dropped + 1,
        "also after the end"
    );
}

#[test]
fn no_row_knows_more_than_the_record() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let timing = Timing {
        started_at: at(0),
        duration: Duration::from_millis(1500),
        ..numbered(0).timing
    };
    take(
        &ledger,
        [
            named("m", "Model M"),
            ended(Call {
                timing,
                ..of_cascade("c", call("m", Provider::Gemini))
            }),
        ],
    );
    close(&ledger);
    let expected = "4294967296 0 1500 1500000 - gcp.gemini api.example.com chat m - - ok - 200 1 - exact 1 2 4 8 16 32 - c \
                    request_id - - - - - - - - - - - - - - - - -";
    assert_eq!(stage.rows("SELECT * FROM calls"), [expected]);
    assert_eq!(stage.rows("SELECT count(*) FROM usage_days"), ["1"]);
    let _ = id("c");
}

#[test]
fn an_older_file_is_brought_up_to_date_whole_or_not_at_all() {
    const NEXT: &str = "ALTER TABLE calls ADD COLUMN colour TEXT; UPDATE calls SET colour = 'red';";
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    take(&ledger, [ended(numbered(1))]);
    close(&ledger);
    let open = || Connection::open(stage.path()).unwrap();
    let followed_by = |next| [MIGRATIONS, &[next]].concat();
    let version = |migrations: usize| [migrations.to_string()];
    let broken = followed_by("ALTER TABLE calls ADD COLUMN colour TEXT; SELECT nonsense;");
    assert!(migrate(&mut open(), &broken).is_err());
    assert_eq!(stage.rows("PRAGMA user_version"), version(MIGRATIONS.len()));
    assert_eq!(
        stage.rows("SELECT count(*) FROM pragma_table_info('calls') WHERE name = 'colour'"),
        ["0"]
    );
    migrate(&mut open(), &followed_by(NEXT)).unwrap();
    assert_eq!(
        stage.rows("PRAGMA user_version"),
        version(MIGRATIONS.len() + 1)
    );
    assert_eq!(stage.rows("SELECT colour FROM calls"), ["red"]);
    migrate(&mut open(), &followed_by(NEXT)).unwrap();
}

#[test]
fn other_models_and_reported_costs_outlive_the_process() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let of = |number: u64, cost: Option<u64>, served: Option<&str>| Call {
        reported: Reported {
            cost: cost.map(Cost::from_nano_usd),
            ..Reported::default()
        },
        cost: Some(Cost::from_nano_usd(cost.unwrap_or(7))),
        served_model: Some(Model::from_wire(served.unwrap_or("m-2026"))),
        is_substituted: served.is_some(),
        ..of_cascade("c", numbered(number))
    };
    take(
        &ledger,
        [
            ended(of(1, Some(1000), Some("n"))),
            ended(of(2, None, Some("n"))),
            ended(of(3, Some(10), None)),
        ],
    );
    let served = |ledger: &Ledger, query: &UsageQuery| {
        let report = ledger.query(query, now()).unwrap();
        let models = report.models.unwrap();
        let counts = models["m"].served_models.iter();
        counts
            .map(|(model, calls)| format!("{model} {calls}"))
            .collect::<Vec<_>>()
    };
    let served_in = |ledger: &Ledger, cascade: &str| {
        let details = ledger.cascade(&id(cascade)).expect("a conversation");
        let counts = details.models["m"].served_models.iter();
        counts
            .map(|(model, calls)| format!("{model} {calls}"))
            .collect::<Vec<_>>()
    };
    let all = UsageQuery::default();
    assert_eq!(served(&ledger, &all), ["n 2"]);
    assert_eq!(served_in(&ledger, "c"), ["n 2"]);
    close(&ledger);

    let (ledger, totals) = stage.start();
    let [group] = totals.calls.as_slice() else {
        panic!("{totals:?}")
    };
    let costs = [group.cost, group.reported_cost].map(Cost::nano_usd);
    assert_eq!(costs, [1017, 1010]);
    let [substitution] = totals.substitutions.as_slice() else {
        panic!("{totals:?}")
    };
    let Substitution {
        model,
        served_model,
        calls,
        ..
    } = substitution;
    assert_eq!(
        (model.as_str(), served_model.as_str(), *calls),
        ("m", "n", 2)
    );
    assert_eq!(served(&ledger, &all), ["n 2"]);
    assert_eq!(served_in(&ledger, "c"), ["n 2"]);
    // A part of the first quarter of an hour is counted by its calls.
    let part = UsageQuery {
        since: Some(Timestamp::UNIX_EPOCH),
        until: Some("1970-01-01T00:00:03Z".parse().unwrap()),
        ..UsageQuery::default()
    };
    assert_eq!(served(&ledger, &part), ["n 1"]);
    let sources = stage.rows("SELECT cost_source FROM calls ORDER BY id");
    assert_eq!(sources, ["provider", "list", "provider"]);
}

#[test]
fn limits_of_a_rate_are_shown_and_not_kept() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let quota = |window, remaining| {
        Fact::Quota(Quota {
            provider: Provider::OpenAi,
            model: Model::from_wire("m"),
            window,
            remaining,
            resets_at: None,
        })
    };
    take(
        &ledger,
        [
            quota(QuotaWindow::Requests, 0.9),
            quota(QuotaWindow::Weekly, 0.5),
            quota(QuotaWindow::Tokens, 0.25),
        ],
    );
    let windows: Vec<_> = ledger.quotas().iter().map(|it| it.window).collect();
    let expected = [
        QuotaWindow::Tokens,
        QuotaWindow::Weekly,
        QuotaWindow::Requests,
    ];
    assert_eq!(windows, expected, "what is left least comes first");
    close(&ledger);
    assert_eq!(stage.rows("SELECT window FROM quotas"), ["weekly"]);
}

#[test]
fn a_file_of_the_first_version_keeps_its_sums() {
    const ROWS: &str = "
        INSERT INTO boots (id, started_at, version) VALUES (1, 1795000000000, '0.1.0');
        INSERT INTO calls (id, started_at, ended_at, duration_us, provider, host, operation, model, outcome, status,
            streamed, quality, input, cache_read, cache_write, tool_input, output, thinking, cost_nano_usd, cascade, method)
        VALUES (4294967297, 1795000000000, 1795000001500, 1500000, 'gcp.gemini', 'api.example.com', 'chat', 'm', 'ok',
            200, 1, 'exact', 1, 2, 4, 8, 16, 32, 5, 'c', 'request_id');
        INSERT INTO usage_slots VALUES
            (1794999600000, 'gcp.gemini', 'm', 'chat', 'ok', '', 'exact', 1, 1, 2, 4, 8, 16, 32, 1, 0, 5);
        INSERT INTO cascade_slots VALUES
            (1794999600000, 'c', '', 'gcp.gemini', 'm', 'ok', 'exact', 1, 1, 2, 4, 8, 16, 32, 1, 0, 5);";
    let stage = Stage::new();
    fs::create_dir_all(stage.path().parent().unwrap()).unwrap();
    let mut file = Connection::open(stage.path()).unwrap();
    migrate(&mut file, &MIGRATIONS[..1]).unwrap();
    file.execute_batch(ROWS).unwrap();
    drop(file);
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let (ledger, totals) = stage.start();
    let [group] = totals.calls.as_slice() else {
        panic!("{totals:?}")
    };
    let expected = PerKind::from_fn(|kind| match kind {
        TokenKind::Input => 1,
        TokenKind::CacheRead => 2,
        TokenKind::CacheWrite5m => 4,
        TokenKind::CacheWrite1h => 0,
        TokenKind::ToolInput => 8,
        TokenKind::Output => 16,
        TokenKind::Thinking => 32,
    });
    assert_eq!((group.calls, group.tokens), (1, expected));
    // Of the next call, half of what it writes to the cache stays there for an hour.
    let usage = TokenUsage::default()
        .with(TokenKind::CacheWrite5m, 100)
        .with(TokenKind::CacheWrite1h, 200);
    let next = Call {
        usage,
        ..call("m", Provider::Gemini)
    };
    take(&ledger, [ended(of_cascade("c", next))]);
    let totals = by(&ledger, By::Model).totals;
    assert_eq!((totals.calls, totals.total_tokens), (2, 363));
    let json = serde_json::to_value(&totals).unwrap();
    assert_eq!(json["cache_write_tokens"], 304);
    close(&ledger);
    let day = "SELECT sum(cache_write), sum(cache_write_1h), sum(tokens) FROM usage_days";
    assert_eq!(stage.rows(day), ["304 200 363"]);
    assert_eq!(
        stage.rows("SELECT sum(cache_write_1h) FROM cascade_slots"),
        ["200"]
    );
    let (ledger, totals) = stage.start();
    let of_kind = |kind: TokenKind| {
        totals
            .calls
            .iter()
            .map(|group| group.tokens[kind])
            .sum::<u64>()
    };
    assert_eq!(of_kind(TokenKind::CacheWrite1h), 200);
    assert_eq!(of_kind(TokenKind::CacheWrite5m), 104);
    close(&ledger);
}

/// Earlier versions gave a label to every name that was asked for.
#[test]
fn a_name_that_was_never_answered_gives_its_label_back() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let refused = |number| Call {
        number,
        outcome: Outcome::ClientError,
        quality: Quality::Unknown,
        usage: TokenUsage::default(),
        ..call("junk", Provider::CloudCode)
    };
    take(&ledger, (1..4).map(|number| ended(refused(number))));
    take(
        &ledger,
        [ended(Call {
            number: 4,
            ..call("m", Provider::CloudCode)
        })],
    );
    close(&ledger);
    let labels = "SELECT model, coalesce(counted_as, '-') FROM calls ORDER BY id";
    assert_eq!(
        stage.rows(labels),
        ["junk other", "junk other", "junk other", "m -"],
        "the true name is kept"
    );
    assert_eq!(
        stage.rows("SELECT model, calls FROM usage_slots ORDER BY 1"),
        ["m 1", "other 3"]
    );

    let file = Connection::open(stage.path()).unwrap();
    file.execute_batch(
        "UPDATE usage_slots SET model = 'junk' WHERE model = 'other'; UPDATE calls SET counted_as = NULL",
    )
    .unwrap();
    drop(file);
    let models = Arc::new(Models::new(1));
    let (ledger, totals) = Ledger::open(
        &stage.config,
        &stage.path(),
        now(),
        Arc::clone(&models),
        stage.sink.clone(),
    );
    let mut counted: Vec<_> = totals
        .calls
        .iter()
        .map(|group| (group.model.to_string(), group.calls))
        .collect();
    counted.sort();
    assert_eq!(
        counted,
        [("m".to_owned(), 1), ("other".to_owned(), 3)],
        "the most used name, but never answered"
    );
    let shown = ledger.report().models.unwrap();
    assert_eq!(
        shown.values().map(|group| group.usage.calls).sum::<u64>(),
        4
    );
    assert_eq!(models.label(&Model::from_wire("m")), Model::from_wire("m"));
}

#[test]
fn old_calls_go_and_their_sums_stay() {
    let mut connection = open_in_memory().unwrap();
    let models = Models::default();
    let rows = |connection: &Connection, number: u64, at: u64| {
        let call = Call {
            timing: Timing {
                started_at: super::kit::at(at),
                ..numbered(0).timing
            },
            ..numbered(number)
        };
        Rows::new(connection, 1, &models)
            .write(&[Entry {
                at: now(),
                fact: ended(of_cascade("c", call)),
            }])
            .unwrap();
    };
    let day = 86_400;
    (0..5000).for_each(|number| rows(&connection, number, number * 60));
    let keep = |days: u64, max_size| Retention {
        keep_calls: Duration::from_secs(days * day),
        max_size,
    };
    let at_the_end = Timestamp::from_second(5000 * 60).unwrap();
    let count = |connection: &Connection, sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert!(part(&mut connection, keep(1, u64::MAX), at_the_end).unwrap());
    let begun = count(&connection, "SELECT since FROM kept");
    assert_eq!(begun, (5000 * 60 - 86_400) * 1000, "with the first part");
    while part(&mut connection, keep(1, u64::MAX), at_the_end).unwrap() {}
    // A minute apart, one second long: what ended within the last day.
    assert_eq!(count(&connection, "SELECT count(*) FROM calls"), 1440);
    assert_eq!(
        count(&connection, "SELECT sum(calls) FROM usage_slots"),
        5000
    );
    assert!(count(&connection, "SELECT sum(calls) FROM cascade_slots") < 1440 + 15);
    assert_eq!(
        count(&connection, "SELECT since FROM kept"),
        (5000 * 60 - 86_400) * 1000
    );
    // Too large: the oldest go first, until there is nothing to take.
    while part(&mut connection, keep(1, 1), at_the_end).unwrap() {}
    assert_eq!(count(&connection, "SELECT count(*) FROM calls"), 0);
    assert_eq!(
        count(&connection, "SELECT sum(input) FROM usage_slots"),
        5000
    );
}

/// What SQLite has not moved from its log into the file yet belongs to it.
#[test]
fn a_file_that_is_written_is_asked_together_with_its_log() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let calls = || {
        let report = query_file(&stage.path(), &UsageQuery::default(), now()).unwrap();
        report.totals.calls
    };
    for number in 1..=3 {
        take(&ledger, [ended(numbered(number))]);
        settle(&ledger);
        assert_eq!(calls(), number);
    }
    close(&ledger);
    assert_eq!(calls(), 3);
    let beside = fs::read_dir(stage.folder.path()).unwrap();
    let logs = beside.filter(|found| {
        let name = found.as_ref().unwrap().file_name();
        name.as_encoded_bytes().ends_with(b"-wal")
    });
    assert_eq!(logs.count(), 0, "nothing is left beside a closed one");
}

/// Who may place a link could have another file read.
#[test]
fn neither_a_link_nor_a_folder_is_taken_for_the_file() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    close(&ledger);
    let place = |name: &str| stage.folder.path().join(name);
    symlink(stage.path(), place("link")).unwrap();
    fs::create_dir(place("folder")).unwrap();
    let ask = |path: &Path| query_file(path, &UsageQuery::default(), now());
    assert!(ask(&stage.path()).is_ok());
    for wrong in ["link", "folder"] {
        let asked = ask(&place(wrong));
        assert!(
            matches!(asked, Err(ArchiveError::Unreadable { .. })),
            "{wrong}: {asked:?}"
        );
        let opened = open_own(&place(wrong));
        assert!(
            matches!(opened, Err(OpenError::WrongKind { .. })),
            "{wrong}: {opened:?}"
        );
    }
    assert!(matches!(ask(&place("none")), Err(ArchiveError::Missing(_))));
    assert!(open_own(&stage.path()).is_ok());
}

#[test]
fn the_rows_are_the_same_however_the_entries_come_in_batches() {
    let facts = [
        started(1, 10),
        started(2, 20),
        ended(of_trajectory("t", numbered(1))),
        Fact::CorrelationSettled(CorrelationMethod::TraceId),
        correlated(1, Some("c")),
        started(3, 30),
        correlated(1, Some("d")),
        ended(of_cascade("c", numbered(3))),
        Fact::CorrelationSettled(CorrelationMethod::TraceId),
    ];
    let written = |size: usize| {
        let connection = open_in_memory().unwrap();
        let entries: Vec<_> = facts
            .iter()
            .map(|fact| Entry {
                at: now(),
                fact: fact.clone(),
            })
            .collect();
        for batch in entries.chunks(size) {
            Rows::new(&connection, 1, &Models::default())
                .write(batch)
                .unwrap();
        }
        let sql = "SELECT group_concat(row, char(10)) FROM (\
            SELECT concat_ws(' ', 'started', id & 7) AS row FROM started UNION ALL \
            SELECT concat_ws(' ', 'call', id & 7, cascade, method) FROM calls UNION ALL \
            SELECT concat_ws(' ', 'usage', calls, input, thinking, priced_calls, cost_nano_usd) FROM usage_slots UNION ALL \
            SELECT concat_ws(' ', 'cascade', cascade, trajectory, calls, input, unpriced_calls) FROM cascade_slots UNION ALL \
            SELECT concat_ws(' ', 'count', name, label, count) FROM counts)";
        connection
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    let expected = "started 2\ncall 1 d trace_id\ncall 3 c request_id\nusage 2 2 64 0 0\ncascade c  1 1 1\n\
        cascade d  1 1 1\ncount correlations trace_id 2";
    for size in 1..=facts.len() {
        assert_eq!(written(size), expected, "{size} at once");
    }
}

#[test]
fn what_cannot_be_written_before_the_end_is_counted() {
    let stage = Stage::new();
    let place = Place::take(&stage.path(), Duration::ZERO).unwrap();
    let (connection, identity) = place.open().unwrap();
    let boot = Boot::next(&connection, now()).unwrap();
    // SQLite says of a file that may not grow what it says of a full disk.
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    connection
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
    let queue = Arc::new(Queue::new(1000));
    let writer = Writer {
        queue: Arc::clone(&queue),
        models: Arc::default(),
        sink: stage.sink.clone(),
        boot,
        store: Store::File(place, Some((connection, identity))),
        retention: Retention {
            keep_calls: Duration::from_secs(1 << 40),
            max_size: u64::MAX,
        },
        warned: Warned::default(),
    };
    std::thread::scope(|threads| {
        threads.spawn(|| writer.run());
        for number in 0..500 {
            assert!(queue.put(
                Entry {
                    at: now(),
                    fact: ended(numbered(number))
                },
                LedgerRecord::Call
            ));
        }
        while stage.received(Fact::LedgerFailed(LedgerFailure::Write)) < 2 {
            std::thread::yield_now();
        }
        assert!(!queue.settle(LIMIT), "nobody is kept waiting");
        let tries_before = stage.received(Fact::LedgerFailed(LedgerFailure::Write));
        assert!(queue.close(LIMIT));
        let tries = stage.received(Fact::LedgerFailed(LedgerFailure::Write)) - tries_before;
        // One may have been under way.
        assert!((10..=11).contains(&tries), "{tries} tries at the end");
    });
    let stored: usize = stage.rows("SELECT count(*) FROM calls")[0].parse().unwrap();
    assert_eq!(
        stored + stage.received(Fact::LedgerDropped(LedgerRecord::Call)),
        500
    );
    assert_eq!(
        stage.rows("SELECT coalesce(sum(calls), 0) FROM usage_slots"),
        [stored.to_string()]
    );
}

#[test]
fn subagents_have_sums_of_their_own_which_a_restart_keeps() {
    let stage = Stage::new();
    let (ledger, _) = stage.start();
    let of_c = |call| ended(of_cascade("c", call));
    take(
        &ledger,
        [
            of_c(numbered(1)),
            of_c(of_subagent("a", None, numbered(2))),
            of_c(of_subagent("b", Some("a"), numbered(3))),
            of_c(of_subagent("b", Some("a"), numbered(4))),
            ended(of_cascade("d", of_subagent("b", None, numbered(5)))),
        ],
    );
    let shown = |ledger: &Ledger| {
        let details = ledger.cascade(&id("c")).unwrap();
        assert_eq!(details.cascade.usage.calls, 4, "those of subagents, too");
        let subagents: Vec<_> = details
            .subagents
            .iter()
            .map(|found| {
                let parent = found.parent_subagent.as_ref().map(ToString::to_string);
                let kind = found.subagent_kind.as_ref().map(ToString::to_string);
                assert_eq!(kind.as_deref(), Some("Explore"));
                (found.subagent.to_string(), parent, found.usage.calls)
            })
            .collect();
        assert_eq!(
            subagents,
            [
                ("b".to_owned(), Some("a".to_owned()), 2),
                ("a".to_owned(), None, 1)
            ]
        );
        let by = |number: usize| {
            let call = &details.calls[number];
            call.subagent.as_ref().map(ToString::to_string)
        };
        assert_eq!([by(0), by(3)], [Some("b".to_owned()), None]);
    };
    shown(&ledger);
    // A call that turns out to belong elsewhere takes its share with it.
    take(&ledger, [correlated(5, Some("e"))]);
    assert_eq!(ledger.cascade(&id("d")), None);
    assert_eq!(ledger.cascade(&id("e")).unwrap().subagents.len(), 1);
    close(&ledger);
    drop(ledger);
    let (ledger, _) = stage.start();
    shown(&ledger);
}
