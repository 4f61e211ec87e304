//! The one writer: takes batches from the queue and commits each as one transaction.
//!
//! A batch that cannot be written is tried again, unchanged, until it can be or the program ends;
//! meanwhile others wait in the queue. Where a record is to blame, the batch is halved until that
//! record is alone, which is then set aside. A file that was deleted under us is begun anew, a
//! damaged one is moved aside first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};
use tracing::{error, info, warn};

use super::awaited::Awaited;
use super::open::{Identity, OpenError, Place};
use super::pauses::Pauses;
use super::queue::{Entry, Queue};
use super::retention::Retention;
use super::rows::{Rows, kind_of};
use super::{retention, set_aside};
use crate::record::{Fact, Label as _, LedgerFailure, Models, Sink};

/// What the writer needs.
pub(in crate::ledger) struct Writer {
    pub(in crate::ledger) queue: Arc<Queue>,
    pub(in crate::ledger) models: Arc<Models>,
    /// Receives what goes wrong, to count it.
    pub(in crate::ledger) sink: Arc<dyn Sink>,
    pub(in crate::ledger) boot: Boot,
    pub(in crate::ledger) store: Store,
    pub(in crate::ledger) retention: Retention,
    pub(in crate::ledger) warned: Warned,
}

/// What is logged once in the life of a process, and counted each time.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Warned {
    /// A sum has reached the largest number.
    of_full_sum: bool,
    /// The file can never take some record.
    of_refusal: bool,
}

/// What became of records that were to be written.
enum Written {
    /// They are in the file.
    Yes,
    /// One of them at least can never be in the file, and this is why.
    Refused(OpenError),
    /// The program ends, and the file still fails.
    GivenUp,
}

/// This process, as the file knows it.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Boot {
    pub(in crate::ledger) id: i64,
    pub(in crate::ledger) started: Timestamp,
}

/// Where the rows go.
pub(in crate::ledger) enum Store {
    /// To a file, when it is open.
    File(Place, Option<(Connection, Identity)>),
    /// To memory, until another process has let the file go.
    Awaited(Awaited),
    /// Nowhere: they end with the process.
    Memory(Arc<Mutex<Connection>>),
}

impl Boot {
    /// Registers this process as the next one.
    pub(in crate::ledger) fn next(
        connection: &Connection,
        started: Timestamp,
    ) -> rusqlite::Result<Self> {
        let id = 1 + Self::last(connection)?;
        let boot = Self { id, started };
        boot.register(connection)?;
        Ok(boot)
    }

    /// The number of the newest process, 0 where there was none. Numbers that do not fit into those
    /// of calls are none.
    pub(in crate::ledger) fn last(connection: &Connection) -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce(max(id), 0) FROM boots WHERE id BETWEEN 0 AND ?1";
        connection.query_row(sql, [MAX_BOOT], |row| row.get(0))
    }

    /// Registers this process where it is not known: in a file that was begun while it ran.
    fn register(self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT OR IGNORE INTO boots (id, started_at, version) VALUES (?1, ?2, ?3)",
            params![
                self.id,
                self.started.as_millisecond(),
                env!("CARGO_PKG_VERSION")
            ],
        )?;
        Ok(())
    }
}

impl Writer {
    /// Writes until the queue is closed.
    pub(in crate::ledger) fn run(mut self) {
        let mut retain_at = Instant::now() + FIRST_RETENTION;
        let due = |at: Instant| at.saturating_duration_since(Instant::now());
        while let Some(batch) =
            self.queue
                .batch(WINDOW, self.longest_sleep(due(retain_at)), MAX_BATCH)
        {
            if !batch.is_empty() {
                self.keep(&batch);
                self.remember(batch);
            }
            self.take_over();
            if Instant::now() >= retain_at {
                let pause = if self.retain() {
                    NEXT_PART
                } else {
                    RETENTION_INTERVAL
                };
                retain_at = Instant::now() + pause;
            }
        }
        self.take_over();
        self.end();
    }

    /// Writes the batch but for the records that the file can never take.
    fn keep(&mut self, batch: &[Entry]) {
        self.write_all(batch);
        self.queue.settled();
    }

    /// The same for entries that are not in the queue's hand.
    pub(super) fn write_all(&mut self, entries: &[Entry]) {
        // Parts in their order, the first one last.
        let mut parts: Vec<_> = entries.chunks(MAX_BATCH).rev().collect();
        while let Some(part) = parts.pop() {
            match self.write(part) {
                Written::Yes => {}
                Written::Refused(why) => match part {
                    [] => {}
                    [entry] => self.set_aside(entry, &why),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
                Written::GivenUp => {
                    self.give_up(part);
                    parts.drain(..).for_each(|rest| self.give_up(rest));
                }
            }
        }
    }

    /// Writes some entries, as often as it takes.
    fn write(&mut self, entries: &[Entry]) -> Written {
        let mut pauses = Pauses::default();
        let mut is_logged = false;
        loop {
            match self.commit(entries) {
                Ok(()) => break,
                Err(failure) if failure.is_refusal() => return Written::Refused(failure),
                Err(failure) => self.failed(&failure, is_logged),
            }
            is_logged = true;
            if self.queue.pause(pauses.next()) {
                // At the end nothing would wake this thread from a pause.
                match pauses.next_at_end() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Written::GivenUp,
                }
            }
        }
        if is_logged {
            info!("the ledger is written again");
        }
        Written::Yes
    }

    /// Sets aside a record that the file can never take: the ledger will never have it.
    fn set_aside(&mut self, entry: &Entry, why: &OpenError) {
        let place = if let Store::File(ledger, _) = &self.store {
            Some(set_aside::place(ledger.path()))
        } else {
            None
        };
        let is_kept = place
            .as_ref()
            .map(|place| set_aside::append(place, entry, why));
        if !std::mem::replace(&mut self.warned.of_refusal, true) {
            let record = kind_of(&entry.fact).map_or("", |kind| kind.as_str());
            let place = place.unwrap_or_default();
            let place = place.display();
            match is_kept {
                Some(Ok(true)) => {
                    error!(record, %why, %place, "{REFUSED}: it is set aside in a file, and so are others like it")
                }
                Some(Ok(false)) => {
                    error!(record, %why, %place, "{REFUSED}: it is lost, and so are others like it, as the file for \
                    them is full: find out what is wrong with the ledger, and remove that file")
                }
                Some(Err(failure)) => {
                    error!(record, %why, %failure, "{REFUSED}: it is lost, and so are others like it, as the \
                    file for them cannot be written")
                }
                None => error!(record, %why, "{REFUSED}: it is lost, and so are others like it"),
            }
        }
        self.sink
            .receive(&Fact::LedgerFailed(LedgerFailure::SetAside));
        if let Some(kind) = kind_of(&entry.fact) {
            self.sink.receive(&Fact::LedgerDropped(kind));
        }
    }

    /// Counts what will never be written.
    pub(super) fn give_up(&self, entries: &[Entry]) {
        if !entries.is_empty() {
            error!(
                records = entries.len(),
                "the ledger could not be written before the end: these records are lost"
            );
        }
        for kind in entries.iter().filter_map(|entry| kind_of(&entry.fact)) {
            self.sink.receive(&Fact::LedgerDropped(kind));
        }
    }

    fn commit(&mut self, batch: &[Entry]) -> Result<(), OpenError> {
        let (boot, models) = (self.boot.id, Arc::clone(&self.models));
        let is_full = self.with_connection(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let is_full = Rows::new(&transaction, boot, &models).write(batch)?;
            transaction.commit()?;
            Ok(is_full)
        })?;
        if is_full {
            self.sink
                .receive(&Fact::LedgerFailed(LedgerFailure::Saturate));
            if !std::mem::replace(&mut self.warned.of_full_sum, true) {
                error!("{FULL}");
            }
        }
        Ok(())
    }

    /// Lets go of what is too old or too much, a part at a time. Returns whether there may be more.
    fn retain(&mut self) -> bool {
        let retention = self.retention;
        match self
            .with_connection(|connection| retention::part(connection, retention, Timestamp::now()))
        {
            Ok(more) => more,
            Err(failure) => {
                warn!(%failure, "the ledger keeps more than it should");
                self.sink
                    .receive(&Fact::LedgerFailed(LedgerFailure::Retain));
                false
            }
        }
    }

    /// Marks the end of this process as one in order.
    fn end(&mut self) {
        let boot = self.boot.id;
        let ended = self.with_connection(|connection| {
            let now = Timestamp::now().as_millisecond();
            connection.execute(
                "UPDATE boots SET ended_at = ?2 WHERE id = ?1",
                params![boot, now],
            )
        });
        if let Err(failure) = ended {
            self.failed(&failure, false);
        }
    }

    fn with_connection<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OpenError> {
        match &mut self.store {
            Store::Awaited(Awaited {
                memory: connection, ..
            })
            | Store::Memory(connection) => Ok(work(
                &mut connection.lock().unwrap_or_else(PoisonError::into_inner),
            )?),
            Store::File(place, open) => {
                if open
                    .as_ref()
                    .is_some_and(|(_, identity)| place.identity() != Some(*identity))
                {
                    warn!(path = %place.path().display(), "the ledger was deleted or replaced: a new one is begun");
                    *open = None;
                }
                let connection = match open {
                    Some((connection, _)) => connection,
                    None => {
                        let (connection, identity) = place.open()?;
                        self.boot.register(&connection)?;
                        &mut open.insert((connection, identity)).0
                    }
                };
                Ok(work(connection)?)
            }
        }
    }

    /// Counts a failure, logs it once, and prepares for the next try.
    fn failed(&mut self, failure: &OpenError, is_logged: bool) {
        let Store::File(place, open) = &mut self.store else {
            return self.sink.receive(&Fact::LedgerFailed(LedgerFailure::Write));
        };
        let is_open = open.is_some();
        if failure.is_corrupt() {
            *open = None;
            return move_aside(place, failure, &*self.sink);
        }
        if !is_logged {
            error!(path = %place.path().display(), %failure, "the ledger cannot be written: records wait in memory");
        }
        self.sink.receive(&Fact::LedgerFailed(if is_open {
            LedgerFailure::Write
        } else {
            LedgerFailure::Open
        }));
        if !failure.keeps_connection() {
            *open = None;
        }
    }
}

impl Drop for Writer {
    /// However the writer ends, no caller waits for it, and what it has not written is counted.
    fn drop(&mut self) {
        // Before the end is reported, and the process may end: closing the last connection moves the
        // journal into the file.
        match &mut self.store {
            Store::File(_, open) => *open = None,
            Store::Awaited(awaited) => {
                let backlog = awaited.end();
                self.give_up(&backlog);
            }
            Store::Memory(_) => {}
        }
        self.give_up(&self.queue.closed());
    }
}

/// Moves the damaged file aside, which is logged and counted.
pub(super) fn move_aside(place: &Place, failure: &OpenError, sink: &dyn Sink) {
    match place.move_aside(Timestamp::now()) {
        Ok(aside) => {
            error!(path = %place.path().display(), aside = %aside.display(), %failure,
                "the ledger is damaged: it was moved aside, and a new one is begun");
            sink.receive(&Fact::LedgerFailed(LedgerFailure::Corrupt));
        }
        Err(failure) => {
            error!(%failure, "the ledger is damaged");
            sink.receive(&Fact::LedgerFailed(LedgerFailure::Open));
        }
    }
}

/// What the log says of a record that the file can never take.
const REFUSED: &str = "the ledger can never take a record";

/// What the log says of a sum that has reached the largest number.
pub(super) const FULL: &str = "a sum of the ledger has reached the largest number that its file can hold, and stays there: the \
                               figures it is part of are lower bounds";

/// The largest number of a process but one: 32 bits, with its sign, stand before the number of a
/// call.
const MAX_BOOT: i64 = (1 << 31) - 2;

/// How long a record waits for others to be committed with it: half of the 100 ms within which it
/// is on disk, the other half is for the disk.
const WINDOW: Duration = Duration::from_millis(50);

/// Records of one transaction; more go into the next one at once.
const MAX_BATCH: usize = 4096;

/// After the rush of a start.
const FIRST_RETENTION: Duration = Duration::from_secs(30);
const RETENTION_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Between two parts new records come first.
const NEXT_PART: Duration = Duration::from_millis(50);
