//! The durable side of the ledger: takes facts without waiting, and reads sums.
//!
//! Opening never fails: if the file cannot be used, everything works in memory, which is logged and
//! counted: until another process has let the file go, or else until the end of this one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tracing::{error, warn};

use super::awaited::{Awaited, Inherited};
use super::begin::{Begun, Opened, Reader, open_file, open_memory};
use super::open::{OpenError, Place, open_read_only};
use super::queue::{Entry, Queue};
use super::retention::Retention;
use super::source::{Source, Unavailable};
use super::writer::{Store, Warned, Writer};
use crate::record::{Fact, LedgerFailure, LedgerRecord, Models, Sink, Totals};

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
    source: Arc<Source>,
    /// Whether the file has been used from the beginning.
    began_with_file: bool,
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
            let place = Place::take(path, config.wait_for_lock);
            place.and_then(|place| open_file(place, now, models, &*sink))
        } else {
            open_memory(now, models)
        };
        let (opened, failure) = match opened {
            Ok(opened) => (Ok(opened), None),
            Err(failure) => {
                warn_of(&failure, path);
                sink.receive(&Fact::LedgerFailed(LedgerFailure::Open));
                (open_memory(now, models), Some(failure))
            }
        };
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
        let began_with_file = matches!(store, Store::File(..));
        let queue = Arc::new(Queue::new(QUEUE));
        let of_file = Retention {
            keep_calls: config.keep_calls,
            max_size: config.max_size,
        };
        let retention = match store {
            Store::File(..) => of_file,
            Store::Awaited(_) | Store::Memory(_) => Retention {
                max_size: MEMORY,
                ..of_file
            },
        };
        let unavailable = failure.as_ref().map(|failure| Unavailable {
            why: failure.to_string(),
            is_awaited: matches!(failure, OpenError::Locked { .. }),
        });
        let source = Arc::new(Source::new(reader, unavailable));
        let store = match (store, failure) {
            (Store::Memory(memory), Some(OpenError::Locked { path })) => {
                Store::Awaited(Awaited::new(path, memory, of_file, Arc::clone(&source)))
            }
            (store, _) => store,
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
                source,
                began_with_file,
            }),
            begun,
        )
    }

    /// Why the file is not used, where it is meant to be.
    pub(in crate::ledger) fn unavailable(&self) -> Option<Unavailable> {
        self.source.unavailable()
    }

    /// Whether the file has been used from the beginning: otherwise what it holds comes with
    /// [`Disk::take_inherited`], if at all.
    pub(in crate::ledger) fn began_with_file(&self) -> bool {
        self.began_with_file
    }

    /// What the file held when another process let it go: to be taken once, and added to what has
    /// been counted since this ledger was opened.
    pub(in crate::ledger) fn take_inherited(&self) -> Option<Inherited> {
        self.source.take_inherited()
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
        let answer = match self.source.reader() {
            Reader::File(path) => open_read_only(&path).and_then(|mut connection| {
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

fn warn_of(failure: &OpenError, path: &Path) {
    let path = path.display();
    match failure {
        OpenError::Locked { .. } => {
            warn!(%path, %failure, "the ledger is kept in memory until that one has ended, and then goes into the file");
        }
        _ => {
            error!(%path, %failure, "the ledger is kept in memory only: nothing of it outlives this process");
        }
    }
}

/// Entries that may wait: some 12 MB, or a quarter of an hour of a busy agent while the disk is
/// full.
const QUEUE: usize = 16_384;

/// A question waits that long for the facts before it.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);

/// What is kept without a file, in bytes: details go first, sums stay.
const MEMORY: u64 = 32 << 20;
