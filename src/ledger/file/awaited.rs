//! A file that another process still writes, such as a run that observes its program by itself.
//!
//! What is recorded meanwhile is kept in memory, where it can be asked for, and goes into the file
//! as soon as that process has let it go.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tracing::{error, info, warn};

use super::begin::{Begun, Opened, open_file};
use super::open::{OpenError, Place};
use super::queue::Entry;
use super::refill::Past;
use super::retention::Retention;
use super::rows::kind_of;
use super::source::Source;
use super::writer::{Store, Writer};
use crate::ledger::memory::store::Limits;
use crate::record::{Fact, LedgerFailure, Sink};

/// The place of a file that is awaited, and what will go there.
#[derive(Debug)]
pub(in crate::ledger) struct Awaited {
    path: PathBuf,
    /// Has the same records meanwhile.
    pub(super) memory: Arc<Mutex<Connection>>,
    /// For the file.
    backlog: VecDeque<Entry>,
    /// Of the file.
    retention: Retention,
    source: Arc<Source>,
}

/// What a file held when it was taken over.
#[derive(Debug)]
pub(in crate::ledger) struct Inherited {
    pub(in crate::ledger) begun: Begun,
    /// `None` where it cannot be read.
    pub(in crate::ledger) past: Option<Past>,
}

impl Awaited {
    pub(super) fn new(
        path: PathBuf,
        memory: Arc<Mutex<Connection>>,
        retention: Retention,
        source: Arc<Source>,
    ) -> Self {
        Self {
            path,
            memory,
            backlog: VecDeque::new(),
            retention,
            source,
        }
    }

    /// Remembers what is to be written. Beyond the limit the oldest entries are forgotten, and
    /// counted as lost.
    fn remember(&mut self, entries: Vec<Entry>, sink: &dyn Sink) {
        for entry in entries {
            if self.backlog.len() >= MAX_BACKLOG
                && let Some(lost) = self.backlog.pop_front()
                && let Some(kind) = kind_of(&lost.fact)
            {
                sink.receive(&Fact::LedgerDropped(kind));
            }
            self.backlog.push_back(entry);
        }
    }

    /// What was to be written, the oldest first.
    fn take_backlog(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.backlog).into()
    }

    /// The file is not awaited any more. Returns what was to be written.
    pub(super) fn end(&mut self) -> Vec<Entry> {
        self.source.give_up(None);
        self.take_backlog()
    }
}

impl Writer {
    /// How long the writer may sleep: an awaited file is looked at again and again.
    pub(super) fn longest_sleep(&self, usual: Duration) -> Duration {
        match self.store {
            Store::Awaited(_) => usual.min(LOOK_AGAIN),
            Store::File(..) | Store::Memory(_) => usual,
        }
    }

    /// Remembers for an awaited file what has been written to memory.
    pub(super) fn remember(&mut self, batch: Vec<Entry>) {
        if let Store::Awaited(awaited) = &mut self.store {
            awaited.remember(batch, &*self.sink);
        }
    }

    /// Takes an awaited file over if it is free.
    pub(super) fn take_over(&mut self) {
        let Store::Awaited(awaited) = &mut self.store else {
            return;
        };
        let opened = match Place::take(&awaited.path, Duration::ZERO) {
            Err(OpenError::Locked { .. }) => return,
            taken => taken
                .and_then(|place| open_file(place, self.boot.started, &self.models, &*self.sink)),
        };
        let (backlog, source) = (awaited.take_backlog(), Arc::clone(&awaited.source));
        match opened {
            Ok(Opened {
                store,
                reader,
                boot,
                begun,
            }) => {
                self.retention = awaited.retention;
                (self.store, self.boot) = (store, boot);
                // Before our own records are there, which have been counted.
                let past = self.past();
                let records = backlog.len();
                self.write_all(&backlog);
                source.switch_to(reader, Inherited { begun, past });
                info!(
                    records,
                    "the ledger's file is free: what was recorded meanwhile is in it now"
                );
            }
            Err(failure) => {
                error!(%failure, "the ledger is kept in memory only: nothing of it outlives this process");
                self.sink.receive(&Fact::LedgerFailed(LedgerFailure::Open));
                source.give_up(Some(failure.to_string()));
                self.store = Store::Memory(Arc::clone(&awaited.memory));
                self.give_up(&backlog);
            }
        }
    }

    fn past(&self) -> Option<Past> {
        let Store::File(_, Some((connection, _))) = &self.store else {
            return None;
        };
        let past = Past::read(connection, &Limits::default(), &self.models);
        past.inspect_err(|failure| {
            warn!(%failure, "the conversations of earlier processes are not listed, though they are counted");
        })
        .ok()
    }
}

/// Entries that wait for the file: some 24 MB, or half an hour of a busy agent.
const MAX_BACKLOG: usize = 32_768;

/// A run that has ended lets go of the file; who asks soon after should find its calls.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
