//! Stops new calls where a budget is used up, without changing a byte: connections are refused before
//! they are opened, and open ones are closed between two exchanges.
//!
//! Before its first exchange a connection shows its host, its session and, once it is found, its
//! program with the repository. A model and a subagent are known only when a call of theirs has been
//! made on the connection.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::debug;

use super::Relay;
use super::programs::SEARCH_LIMIT;
use crate::budget::{Budgets, ConnectionScope, Stop};
use crate::capture::PeerSearch;
use crate::record::{ConnectionCaller, Host};

impl Relay {
    /// The budget that stops the calls of a connection which is not open yet, and is to be carried
    /// byte for byte. Only where a budget is
    /// for a program or repository, and stops calls now, the connection waits until its program is
    /// found.
    pub(super) async fn stop_of(&self, host: &Host, peer: &mut PeerSearch) -> Option<Stop> {
        let budgets = self.budgets.as_ref()?;
        // Its requests are answered one by one.
        if self.rules.borrow().may_match(host) {
            return None;
        }
        if budgets.needs_program(Timestamp::now()) {
            peer.wait(SEARCH_LIMIT).await;
        }
        let scope = ConnectionScope {
            provider: None,
            caller: &peer.caller().now(),
            calls: &[],
        };
        budgets.stop_for(host, &scope, Timestamp::now())
    }

    /// The brake of a connection that is open.
    pub(super) fn brake(&self, host: &Host, caller: &ConnectionCaller) -> Option<Brake> {
        let budgets = self.budgets.as_ref()?;
        Some(Brake {
            changes: budgets.changes(),
            budgets: Arc::clone(budgets),
            host: host.clone(),
            caller: caller.clone(),
            seen: None,
            stop: None,
        })
    }
}

/// Whether a budget stops further calls on one connection.
#[derive(Debug)]
pub struct Brake {
    budgets: Arc<Budgets>,
    changes: watch::Receiver<u64>,
    host: Host,
    caller: ConnectionCaller,
    /// The state of the budgets and the calls of the connection when `stop` was found out.
    seen: Option<(u64, u64)>,
    stop: Option<Stop>,
}

impl Brake {
    /// Whether no further call may begin. Asks the budgets only where something has changed since
    /// the last time.
    pub(super) fn is_on(&mut self) -> bool {
        let now_seen = (*self.changes.borrow(), self.caller.call_count());
        if self.seen != Some(now_seen) {
            self.seen = Some(now_seen);
            let scope = ConnectionScope {
                provider: None,
                caller: &self.caller.now(),
                calls: &self.caller.made_calls(),
            };
            self.stop = self
                .budgets
                .stop_for(&self.host, &scope, Timestamp::now())
                .inspect(|stop| debug!(%stop, "the connection carries no further call"));
        }
        self.stop.is_some()
    }

    /// Tells when to ask again, for [`changed`].
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }
}

/// Returns when the budgets have changed; never without budgets. Cancel-safe.
pub(super) async fn changed(budgets: &mut Option<watch::Receiver<u64>>) {
    let changed = match budgets {
        Some(budgets) => budgets.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}
