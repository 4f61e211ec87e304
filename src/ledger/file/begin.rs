//! Opens the ledger's file, or what stands in for it, and takes out what a start needs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use rusqlite::Connection;
use tracing::{error, info, warn};

use super::heal::{Healed, heal};
use super::open::{OpenError, Place, is_corrupt, open_in_memory};
use super::restore;
use super::rows::Rows;
use super::writer::{Boot, FULL, Store, move_aside};
use crate::ledger::memory::figures::is_lower_bound;
use crate::record::{CallGroup, Fact, LedgerFailure, Models, Sink, Totals};

/// How the file is read.
#[derive(Debug, Clone)]
pub(super) enum Reader {
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
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) boot: Boot,
    pub(super) begun: Begun,
}

/// Opens the file at a place, and settles what an earlier process left unfinished. A damaged one is
/// moved aside, and a new one is begun.
pub(super) fn open_file(
    place: Place,
    now: Timestamp,
    models: &Models,
    sink: &dyn Sink,
) -> Result<Opened, OpenError> {
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

/// Opens a database that ends with the process.
pub(super) fn open_memory(now: Timestamp, models: &Models) -> Result<Opened, OpenError> {
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
