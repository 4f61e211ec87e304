//! Budgets: how many tokens, calls or dollars may be spent in a window of time, and what follows when
//! most or all of it is spent.
//!
//! Facts enter, statuses, notices and stops leave. The sums are those of the ledger: they begin with
//! what it has of the window ([`Budgets::seed`]) and grow with each call that ends. Nothing here does
//! I/O, and no fact waits for anything but a lock that is held for one fact.
//!
//! A budget that stops (`Budgets::stop_for`) never changes a byte: who carries connections asks
//! before it opens one and between two exchanges.

mod account;
mod amount;
mod budgets;
mod definition;
mod matching;
mod status;
mod window;

pub use amount::{Amount, Unit};
pub use budgets::{Budgets, Notices, Stop, UnknownBudget};
pub use definition::{Budget, BudgetName, GroupBy, InvalidName, NamePattern, OnError};
pub use status::{BudgetStatus, GroupStatus, Level, Notice, State};
pub use window::Window;

pub(crate) use matching::ConnectionScope;

#[cfg(test)]
mod tests;
