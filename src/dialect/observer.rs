//! Observes connections: every request that is recognised as a call becomes exactly one
//! [`Fact::Call`], however it ends; one that only looks like a call is recorded as unread.

use std::sync::Arc;
use std::time::Instant;

use super::call::{EXCHANGE_BYTES, LiveCall};
use super::notices::LiveNotice;
use super::realtime::RealtimeUpgrade;
use super::session::Upgrade;
use super::unread::Unread;
use super::{Recognised, is_private, listed, provider_of, recognise};
use crate::observe::exchange::{Exchange, Listed, OpenExchange, RequestHead};
use crate::observe::framing::Framing;
use crate::observe::guard::Guarded;
use crate::observe::memory::{Memory, Share};
use crate::observe::{Connection, Observer, OpenObserver};
use crate::record::{Fact, ObserverFailure, Record};

/// Observes connections and records their calls, and what else they report.
pub struct Observers {
    /// Where the facts go.
    pub record: Arc<dyn Record>,
    /// The memory budget of all of them together.
    pub memory: Memory,
}

impl OpenObserver for Observers {
    fn open(&self, connection: Connection) -> Box<dyn Observer> {
        let alpn = connection.alpn;
        let exchanges = Exchanges {
            connection,
            record: Arc::clone(&self.record),
            memory: self.memory.clone(),
        };
        let framing = Framing::new(
            alpn,
            Box::new(exchanges),
            Arc::clone(&self.record),
            self.memory.clone(),
        );
        Box::new(Guarded::new(Box::new(framing), Arc::clone(&self.record)))
    }
}

/// Opens the exchanges of one connection that are read.
pub(super) struct Exchanges {
    pub(super) connection: Connection,
    pub(super) record: Arc<dyn Record>,
    pub(super) memory: Memory,
}

impl Exchanges {
    /// The memory of one exchange; `None` if the budget is used up, which is recorded.
    fn share(&self) -> Option<Share> {
        let mut share = self.memory.share();
        if share.cover(EXCHANGE_BYTES).is_err() {
            self.record
                .record(Fact::ObserverFailed(ObserverFailure::MemoryBudget));
            return None;
        }
        Some(share)
    }
}

impl OpenExchange for Exchanges {
    fn open(&mut self, head: &RequestHead, at: Instant) -> Option<Box<dyn Exchange>> {
        let (record, host) = (Arc::clone(&self.record), &self.connection.host);
        // Also of a request that is not read: each is in the order of the wire.
        let changes = self.connection.changes.as_ref();
        let rules = changes.and_then(|changes| changes.take(&head.method, &head.path));
        if is_private(host, head) {
            return None;
        }
        Some(match recognise(host, head) {
            None => Box::new(Unread::open(provider_of(host), host, head, record, || {
                self.share()
            })?),
            Some(Recognised::Call(call)) => {
                let share = self.share()?;
                // The first call of the connection has waited for it to open; later ones have not.
                let setup = self.connection.setup.take();
                let connection = Connection {
                    setup,
                    ..self.connection.clone()
                };
                let call = LiveCall::begin(call, head, connection, record, share, at);
                Box::new(call.changed_by(rules))
            }
            Some(Recognised::Session(call)) => Box::new(Upgrade::new(
                call,
                head,
                self.connection.clone(),
                record,
                self.memory.clone(),
                rules,
            )),
            Some(Recognised::Realtime(opened)) => Box::new(RealtimeUpgrade::new(
                opened,
                head,
                self.connection.clone(),
                record,
                self.share()?,
            )),
            Some(Recognised::Notice(notice)) => {
                Box::new(LiveNotice::new(&notice, head, record, self.share()?))
            }
        })
    }

    fn listed(&self) -> Listed {
        listed()
    }
}

#[cfg(test)]
mod tests;
