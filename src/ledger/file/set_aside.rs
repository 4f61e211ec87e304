//! Records that the ledger's file can never take, as lines of JSON in a file beside it, for a
//! person to look at.
//!
//! A line holds what the ledger would have kept of the fact, and why it was refused: figures and
//! identifiers, nothing that was said. Nothing reads the file again.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::open::{OpenError, open_own, with_suffix};
use super::queue::Entry;
use super::rows::kind_of;
use crate::ledger::memory::call::CallRecord;
use crate::ledger::memory::conversation::Run;
use crate::ledger::memory::time::time;
use crate::record::{Fact, Label as _};

/// Where the records of a ledger go.
pub(in crate::ledger) fn place(ledger: &Path) -> PathBuf {
    with_suffix(ledger, ".set-aside.jsonl")
}

/// Appends a record to the file, which is made for its owner only. Returns whether it is there:
/// beyond [`MAX_SIZE`] nothing is added.
///
/// # Errors
/// [`OpenError`] where the file cannot be written, or is not ours alone.
pub(super) fn append(place: &Path, entry: &Entry, why: &OpenError) -> Result<bool, OpenError> {
    let failed = |source| OpenError::Io {
        action: "write",
        path: place.to_owned(),
        source,
    };
    let mut file = open_own(place)?;
    let end = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
    let line = format!("{}\n", line(entry, why));
    let has_room = end.saturating_add(line.len() as u64) <= MAX_SIZE;
    if has_room {
        file.write_all(line.as_bytes()).map_err(failed)?;
    }
    Ok(has_room)
}

fn line(entry: &Entry, why: &OpenError) -> Value {
    json!({
        "at": entry.at,
        "record": kind_of(&entry.fact).map(|kind| kind.as_str()),
        "why": why.to_string(),
        "content": content(&entry.fact),
    })
}

/// What the file would have taken of the fact.
fn content(fact: &Fact) -> Value {
    match fact {
        Fact::Call(call) => {
            json!({"cascade": call.correlation.cascade, "call": CallRecord::from(&**call)})
        }
        Fact::CallStarted(call) => json!({
            "number": call.number, "provider": call.provider, "operation": call.operation, "model": call.model,
            "started_at": time(call.started_at),
        }),
        Fact::Correlated(correlated) => {
            json!({"number": correlated.call, "cascade": correlated.correlation.cascade})
        }
        Fact::CorrelationSettled(method) => json!({"correlation": method}),
        Fact::Quota(quota) => json!({
            "provider": quota.provider, "model": quota.model, "window": quota.window, "remaining": quota.remaining,
            "resets_at": quota.resets_at.map(time),
        }),
        Fact::RunEnded(run) => json!({"cascade": run.cascade, "run": Run::from(&**run)}),
        Fact::SessionEnded(ended) => {
            json!({"session": ended.id, "ended_at": time(ended.ended_at)})
        }
        Fact::SessionStarted(session) => json!({
            "session": session.id, "program": session.program, "started_at": time(session.started_at),
            "repository": session.repository.as_ref().map(|repository| repository.name()),
        }),
        Fact::StepEnded(ended) => {
            json!({"cascade": ended.cascade, "step": ended.step, "status": ended.status})
        }
        Fact::UsageCompared(result) => json!({"comparison": result}),
        _ => Value::Null,
    }
}

/// In bytes: some ten thousand calls. If so many are refused, it is the file that is wrong, and
/// more lines say nothing new.
const MAX_SIZE: u64 = 8 << 20;
