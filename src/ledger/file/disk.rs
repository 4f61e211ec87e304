//! The durable side of the ledger: takes facts without waiting, and reads sums.
//!
//! Opening never fails: if the file cannot be used, everything works in memory until the end of the
//! process, which is logged and counted.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tracing::{error, info, warn};

use super::heal::{Healed, heal};
use super::open::{OpenError, Place, is_corrupt, open_in_memory, open_read_only};
use super::queue::{Entry, Queue};
use super::restore;
use super::retention::Retention;
use super::rows::Rows;
use super::writer::{Boot, FULL, Store, Warned, Writer, move_aside};
use crate::ledger::memory::figures::is_lower_bound;
use crate::record::{CallGroup, Fact, LedgerFailure, LedgerRecord, Models, Sink, Totals};

/// Where the ledger is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether it outlives the process.
    pub enabled: bool,
    /// Its file; `None` is `ledger.db` in the state folder.
    pub path: Option<PathBuf>,
    /// How long each call is kept with its details. Sums are kept for good.
    pub keep_calls: Duration,
    /// In bytes: while the file is larger, the oldest calls go.
    pub max_size: u64,
    /// How long to wait for another process to let the file go: one that was killed a moment ago.
    pub wait_for_lock: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            keep_calls: Duration::from_secs(90 * 86_400),
            max_size: 2 << 30,
            wait_for_lock: Duration::from_secs(1),
        }
    }
}

/// The ledger's file, or what stands in for it.
pub(in crate::ledger) struct Disk {
    queue: Arc<Queue>,
    sink: Arc<dyn Sink>,
    reader: Reader,
    /// Why the file is not used, where it was meant to be.
    unavailable: Option<String>,
}

/// How the file is read.
enum Reader {
    /// By a connection of its own for each question.
    File(PathBuf),
    /// By the one connection there is.
    Memory(Arc<Mutex<Connection>>),
}

/// What was found at the start.
#[derive(Debug)]
pub(in crate::ledger) struct Begun {
    /// When the ledger begins.
    pub(in crate::ledger) at: Timestamp,
    pub(in crate::ledger) totals: Totals,
}

/// Everything that a start takes out of a file.
struct Opened {
    store: Store,
    reader: Reader,
    boot: Boot,
    begun: Begun,
}

impl Disk {
    /// Opens the file, settles what an earlier process left unfinished, and starts the writer.
    pub(in crate::ledger) fn open(
        config: &Config,
        path: &Path,
        now: Timestamp,
        models: &Arc<Models>,
        sink: Arc<dyn Sink>,
    ) -> (Option<Self>, Begun) {
        let opened = if config.enabled {
            open_file(config, path, now, models, &*sink)
        } else {
            open_memory(now, models)
        };
        let mut unavailable = None;
        let opened = opened.or_else(|failure| {
            unavailable = Some(failure.to_string());
            error!(path = %path.display(), %failure, "the ledger is kept in memory only: nothing of it outlives this process");
            sink.receive(&Fact::LedgerFailed(LedgerFailure::Open));
            open_memory(now, models)
        });
        let nothing = Begun {
            at: now,
            totals: Totals::default(),
        };
        let Ok(Opened {
            store,
            reader,
            boot,
            begun,
        }) = opened
        else {
            return (None, nothing);
        };
        let queue = Arc::new(Queue::new(QUEUE));
        let retention = match store {
            Store::File(..) => Retention {
                keep_calls: config.keep_calls,
                max_size: config.max_size,
            },
            Store::Memory(_) => Retention {
                keep_calls: config.keep_calls,
                max_size: MEMORY,
            },
        };
        let writer = Writer {
            queue: Arc::clone(&queue),
            models: Arc::clone(models),
            sink: Arc::clone(&sink),
            boot,
            store,
            retention,
            warned: Warned::default(),
        };
        let started = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run());
        if let Err(failure) = started {
            error!(%failure, "the ledger has no thread to write with: nothing of it outlives this process");
            sink.receive(&Fact::LedgerFailed(LedgerFailure::Open));
            return (None, begun);
        }
        (
            Some(Self {
                queue,
                sink,
                reader,
                unavailable,
            }),
            begun,
        )
    }

    /// Why the file is not used, where it was meant to be.
    pub(in crate::ledger) fn unavailable(&self) -> Option<&str> {
        self.unavailable.as_deref()
    }

    /// Keeps a fact, unless there is no room to: then it is counted as lost.
    pub(in crate::ledger) fn keep(&self, fact: &Fact, kind: LedgerRecord, at: Timestamp) {
        if !self.queue.put(
            Entry {
                at,
                fact: fact.clone(),
            },
            kind,
        ) {
            self.sink.receive(&Fact::LedgerDropped(kind));
        }
    }

    /// Waits until everything that was kept before now is in the file.
    pub(in crate::ledger) fn settle(&self, limit: Duration) -> bool {
        self.queue.settle(limit)
    }

    /// Answers a question from what is in the file.
    pub(in crate::ledger) fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        // What a caller has seen counted elsewhere should be in the answer.
        self.queue.settle(SETTLE_LIMIT);
        let answer = match &self.reader {
            Reader::File(path) => open_read_only(path).and_then(|mut connection| {
                let transaction = connection.transaction()?;
                question(&transaction)
            }),
            Reader::Memory(connection) => {
                question(&connection.lock().unwrap_or_else(PoisonError::into_inner))
            }
        };
        if answer.is_err() {
            self.sink.receive(&Fact::LedgerFailed(LedgerFailure::Query));
        }
        answer
    }

    /// Writes what is left; returns whether that was done in time.
    pub(in crate::ledger) fn close(&self, limit: Duration) -> bool {
        self.queue.close(limit)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.queue.close(Duration::ZERO);
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

fn open_file(
    config: &Config,
    path: &Path,
    now: Timestamp,
    models: &Models,
    sink: &dyn Sink,
) -> Result<Opened, OpenError> {
    let place = Place::take(path, config.wait_for_lock)?;
    let begin = |place: &Place| {
        let (mut connection, identity) = place.open()?;
        mend(&mut connection, sink)?;
        let (boot, begun) = begin(&mut connection, now, models)?;
        if begun.totals.calls.iter().any(is_full) {
            error!("{FULL}");
            sink.receive(&Fact::LedgerFailed(LedgerFailure::Saturate));
        }
        Ok((connection, identity, boot, begun))
    };
    let (connection, identity, boot, begun) = begin(&place).or_else(|failure: OpenError| {
        if !failure.is_corrupt() {
            return Err(failure);
        }
        move_aside(&place, &failure, sink);
        begin(&place)
    })?;
    let reader = Reader::File(place.path().to_owned());
    Ok(Opened {
        store: Store::File(place, Some((connection, identity))),
        reader,
        boot,
        begun,
    })
}

/// Mends sums that cannot be right. Where that fails, the file is used as it is, unless it is
/// damaged as a whole.
fn mend(connection: &mut Connection, sink: &dyn Sink) -> Result<(), OpenError> {
    match heal(connection) {
        Ok(healed) if healed == Healed::default() => {}
        Ok(Healed { slots, calls }) => {
            error!(
                quarters_of_an_hour = slots,
                calls,
                "the ledger held impossible figures: sums were made anew from the calls \
                that are kept, and calls have lost what no call can have"
            );
            sink.receive(&Fact::LedgerFailed(LedgerFailure::Heal));
        }
        Err(failure) if is_corrupt(&failure) => return Err(failure.into()),
        Err(failure) => warn!(%failure, "the sums of the ledger could not be checked"),
    }
    Ok(())
}

/// Whether a sum is a lower bound.
fn is_full(group: &CallGroup) -> bool {
    let counts = [
        group.calls,
        group.priced_calls,
        group.unpriced_calls,
        group.cost.nano_usd(),
    ];
    let tokens = group.tokens.iter().map(|(_, tokens)| *tokens);
    counts.into_iter().chain(tokens).any(is_lower_bound)
}

fn open_memory(now: Timestamp, models: &Models) -> Result<Opened, OpenError> {
    let mut connection = open_in_memory()?;
    let (boot, begun) = begin(&mut connection, now, models)?;
    let connection = Arc::new(Mutex::new(connection));
    Ok(Opened {
        store: Store::Memory(Arc::clone(&connection)),
        reader: Reader::Memory(connection),
        boot,
        begun,
    })
}

/// Registers this process, and turns what an earlier one left under way into interrupted calls.
fn begin(
    connection: &mut Connection,
    now: Timestamp,
    models: &Models,
) -> Result<(Boot, Begun), OpenError> {
    let transaction = connection.transaction()?;
    // First, so that a model keeps the label that its series have.
    let mut totals = restore::totals(&transaction, models)?;
    let boot = Boot::next(&transaction, now)?;
    let interrupted = Rows::new(&transaction, boot.id, models).interrupted()?;
    let at: i64 =
        transaction.query_row("SELECT min(started_at) FROM boots", [], |row| row.get(0))?;
    if interrupted > 0 {
        totals = restore::totals(&transaction, models)?;
        info!(
            calls = interrupted,
            "calls that the last end cut off are kept as interrupted"
        );
    }
    transaction.commit()?;
    Ok((
        boot,
        Begun {
            at: Timestamp::from_millisecond(at).unwrap_or(now),
            totals,
        },
    ))
}

/// Entries that may wait: some 12 MB, or a quarter of an hour of a busy agent while the disk is
/// full.
const QUEUE: usize = 16_384;

/// A question waits that long for the facts before it.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

/// What is kept without a file, in bytes: details go first, sums stay.
const MEMORY: u64 = 32 << 20;
