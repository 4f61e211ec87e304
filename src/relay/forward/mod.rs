//! Forwards requests one by one: HTTP ends on both sides, and what a rule says is done to a request
//! in between.
//!
//! Only connections take this path whose requests may be changed, or that came to the base-URL door;
//! all others take [`super::pass`], which is byte-true. Here, too, one agent connection has one
//! connection to a provider, nothing is retried, bodies go on as they come, and what either side
//! gives up is given up on the other at once: everything of a connection is one task and ends with
//! it. The observer sees the provider's connection: what was sent there, and what came from there.

mod body;
mod brake;
mod decide;
mod exchange;
mod fields;
mod interim;
mod link;
mod memory;
mod open;
mod passed;
mod protocol;
mod providers;
mod sender;
mod side;
mod tasks;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pass::Terms;
use crate::budget::Budgets;
use crate::record::{ConnectionCaller, Record};
use crate::rules::Rules;

pub(super) use link::forward;
pub use memory::BodyMemory;
pub(super) use open::Opener;
pub(super) use protocol::Protocol;
pub(super) use providers::{BaseUrlProviders, Providers};
pub(crate) use side::Side;

/// What a connection on this path has beside its two sides.
pub(super) struct Surroundings<'a> {
    pub(super) terms: Terms<'a>,
    /// The limit of [`TimeoutStep::RequestHead`](crate::record::TimeoutStep::RequestHead).
    pub(super) request_head: Duration,
    /// The rules that hold now.
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    /// Stop calls when they are used up; `None` where there are none.
    pub(super) budgets: Option<Arc<Budgets>>,
    /// The memory for bodies that are read for rules and budgets.
    pub(super) bodies: BodyMemory,
    /// Who has opened the connection.
    pub(super) caller: ConnectionCaller,
    /// Where facts are recorded.
    pub(super) record: Arc<dyn Record>,
}
