//! Finds the program that has opened a connection: by what the kernel says of its socket, and by the
//! open files of processes.
//!
//! Nothing waits for it: a connection is carried meanwhile, and learns who has opened it as soon as
//! that is found. One reading serves all connections that wait for one, and readings take at most a
//! fifth of the time, however many connections come. What is not found (the process has ended, or
//! belongs to another user whose files may not be looked at) is not known.

mod find;
mod pattern;
mod sockets;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_util::task::TaskTracker;

use crate::record::{Caller, ConnectionCaller};

pub use pattern::{InvalidPattern, ProgramPattern};

use find::find;
use sockets::Table;

/// The two ends of a connection, from the dialling side. A v4-mapped address is the IPv4 address in
/// it, because the two ends may be sockets of different families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
}

impl Ends {
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let plain = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        Self {
            from: plain(from),
            to: plain(to),
        }
    }
}

/// A search for the program of one connection.
#[derive(Debug, Clone)]
pub struct PeerSearch {
    caller: ConnectionCaller,
    /// Becomes `true` when it is over, whether anything was found or not.
    is_over: watch::Receiver<bool>,
}

impl PeerSearch {
    /// Who calls: it learns what is found.
    #[must_use]
    pub fn caller(&self) -> &ConnectionCaller {
        &self.caller
    }

    /// Waits until the search is over, at most `limit`. Cancel-safe.
    pub async fn wait(&mut self, limit: Duration) {
        // Whether it was in time is seen by what is known then.
        let _ = timeout(limit, self.is_over.wait_for(|is_over| *is_over)).await;
    }
}

/// Finds the programs that open connections.
#[derive(Debug)]
pub struct Peers {
    /// What is known of all connections from their beginning.
    given: Caller,
    /// A process in whose network namespace the connections are opened; 0 stands for our own.
    namespace_of: AtomicU32,
    /// Guards what waits: locked to add one search, or to take all.
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    searches: HashMap<Ends, Search>,
    /// Whether a task is reading, and will look here again.
    is_reading: bool,
    /// Before that, no reading begins.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Search {
    caller: ConnectionCaller,
    is_over: watch::Sender<bool>,
}

impl Peers {
    /// For connections that are opened in our own network namespace. `given` is what is known of all
    /// of them: where that is a repository, none is looked for.
    #[must_use]
    pub fn new(given: Caller) -> Arc<Self> {
        Arc::new(Self {
            given,
            namespace_of: AtomicU32::new(0),
            waiting: Mutex::default(),
        })
    }

    /// From now on, connections are those that are opened in the network namespace of this process,
    /// which must not end before them.
    pub fn look_into_namespace_of(&self, pid: u32) {
        self.namespace_of.store(pid, Ordering::Relaxed);
    }

    /// Begins to search the program of a connection, by a task of `tasks`. It is over at once for one
    /// that is gone already, and where there is no room for more.
    pub(super) fn search(
        self: &Arc<Self>,
        ends: impl Into<Option<Ends>>,
        tasks: &TaskTracker,
    ) -> PeerSearch {
        let caller = ConnectionCaller::new(self.given.clone());
        let (sender, is_over) = watch::channel(false);
        let search = Search {
            caller: caller.clone(),
            is_over: sender,
        };
        if let Some(ends) = ends.into() {
            self.add(ends, search, tasks);
        }
        PeerSearch { caller, is_over }
    }

    fn add(self: &Arc<Self>, ends: Ends, search: Search, tasks: &TaskTracker) {
        let mut waiting = self.waiting();
        if waiting.searches.len() < MAX_WAITING {
            waiting.searches.insert(ends, search);
            if !std::mem::replace(&mut waiting.is_reading, true) {
                tasks.spawn(Arc::clone(self).read());
            }
        }
    }

    /// Reads until no connection waits any more.
    async fn read(self: Arc<Self>) {
        loop {
            let pause = self.waiting().not_before;
            if let Some(pause) = pause {
                sleep_until(pause.into()).await;
            }
            let searches = std::mem::take(&mut self.waiting().searches);
            let table = match self.namespace_of.load(Ordering::Relaxed) {
                0 => Table::Own,
                pid => Table::NamespaceOf(pid),
            };
            let wanted: Vec<Ends> = searches.keys().copied().collect();
            let with_repositories = self.given.repository.is_none();
            let begun = Instant::now();
            let found =
                tokio::task::spawn_blocking(move || find(table, &wanted, with_repositories)).await;
            let mut found = found.unwrap_or_default();
            for (ends, search) in searches {
                if let Some(caller) = found.remove(&ends) {
                    search.caller.set(caller);
                }
                search.is_over.send_replace(true);
            }
            let mut waiting = self.waiting();
            waiting.not_before = Some(Instant::now() + begun.elapsed() * PAUSES);
            if waiting.searches.is_empty() {
                waiting.is_reading = false;
                return;
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After a reading comes a pause of so many times its duration: a flood of connections takes no more
/// than a fifth of a processor. Until it is over, connections collect for the next one.
const PAUSES: u32 = 4;

/// Most connections that wait for a reading; of those beyond it, the program is not known. As many
/// as may be open at once.
const MAX_WAITING: usize = 8192;

#[cfg(test)]
mod tests;
