//! The tables of the file, as migrations: each one takes a file from one version to the next, whole
//! or not at all.
//!
//! A migration that was released never changes: what must be different is a new one at the end of
//! the list. The tables are described for everybody in `docs/ledger.md`.

use rusqlite::{Connection, TransactionBehavior};

use super::open::OpenError;
use super::schema_v6::V6;
use super::schema_v7::V7;

/// The migrations; the version of a file (`PRAGMA user_version`) is how many it has had.
pub(in crate::ledger) const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7];

/// Marks the file as a ledger of ours (`PRAGMA application_id`): "GrvM".
pub(super) const APPLICATION_ID: i32 = 0x4772_764d;

/// The length of a slot of the roll-ups, in milliseconds. Every time zone in use begins its days on
/// a quarter of an hour (UTC).
pub(super) const SLOT_MS: i64 = 15 * 60 * 1000;

/// The version of the file; nothing of it is changed.
///
/// # Errors
/// [`OpenError::Newer`] when the file has had more migrations than there are,
/// [`OpenError::NotOurs`] when it belongs to another program.
pub(in crate::ledger) fn version(
    connection: &Connection,
    migrations: &[&str],
) -> Result<i64, OpenError> {
    let newest = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (version, tables) != (0, 0) {
        return Err(OpenError::NotOurs);
    }
    if version > newest {
        Err(OpenError::Newer { version, newest })
    } else {
        Ok(version)
    }
}

/// Brings the file to the newest of `migrations`.
///
/// # Errors
/// As [`version`], and whatever SQLite refuses.
pub(in crate::ledger) fn migrate(
    connection: &mut Connection,
    migrations: &[&str],
) -> Result<(), OpenError> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = version(&transaction, migrations)?;
        let next = usize::try_from(version)
            .ok()
            .and_then(|version| migrations.get(version));
        let Some(next) = next else { return Ok(()) };
        transaction.execute_batch(next)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version + 1)?;
        transaction.commit()?;
    }
}

/// Times are milliseconds since the Unix epoch (UTC), tokens are counts, `NULL` is "not reported".
const V1: &str = "
CREATE TABLE boots (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    version TEXT NOT NULL
) STRICT;

CREATE TABLE started (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    host TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT
) STRICT;

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    duration_us INTEGER,
    first_chunk_us INTEGER,
    provider TEXT NOT NULL,
    host TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    counted_as TEXT,
    served_model TEXT,
    outcome TEXT NOT NULL,
    rate_limit TEXT,
    status INTEGER,
    streamed INTEGER NOT NULL,
    finish_reason TEXT,
    quality TEXT NOT NULL,
    input INTEGER,
    cache_read INTEGER,
    cache_write INTEGER,
    tool_input INTEGER,
    output INTEGER,
    thinking INTEGER,
    cost_nano_usd INTEGER,
    cascade TEXT,
    method TEXT NOT NULL,
    trajectory TEXT,
    execution TEXT,
    step TEXT,
    request TEXT,
    response TEXT
) STRICT;
CREATE INDEX calls_by_end ON calls (ended_at);

CREATE TABLE usage_slots (
    slot INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    rate_limit TEXT NOT NULL,
    quality TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    tool_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    thinking INTEGER NOT NULL,
    priced_calls INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (slot, provider, model, operation, outcome, rate_limit, quality)
) STRICT, WITHOUT ROWID;

CREATE TABLE cascade_slots (
    slot INTEGER NOT NULL,
    cascade TEXT NOT NULL,
    trajectory TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    quality TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    tool_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    thinking INTEGER NOT NULL,
    priced_calls INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (slot, cascade, trajectory, provider, model, outcome, quality)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    cascade TEXT NOT NULL,
    trajectory TEXT,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    first_chunk_us INTEGER,
    calls INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER
) STRICT;
CREATE INDEX runs_by_start ON runs (started_at);

CREATE TABLE quotas (
    id INTEGER PRIMARY KEY,
    read_at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    window TEXT NOT NULL,
    remaining REAL NOT NULL,
    resets_at INTEGER
) STRICT;
CREATE INDEX quotas_by_time ON quotas (read_at);

CREATE TABLE counts (
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (name, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept (
    what TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW usage_days AS
SELECT date(slot / 1000, 'unixepoch') AS day, provider, model, operation, outcome, quality,
    sum(calls) AS calls, sum(input) AS input, sum(cache_read) AS cache_read, sum(cache_write) AS cache_write,
    sum(tool_input) AS tool_input, sum(output) AS output, sum(thinking) AS thinking,
    sum(input + cache_read + cache_write + tool_input + output + thinking) AS tokens,
    sum(priced_calls) AS priced_calls, sum(unpriced_calls) AS unpriced_calls, sum(cost_nano_usd) / 1e9 AS cost_usd
FROM usage_slots GROUP BY 1, 2, 3, 4, 5, 6;
";

/// Cache writes by how long they are kept, since those of an hour cost more. What earlier versions
/// have counted is of five minutes, as is whatever has no lifetime reported. The sums of the view
/// stay at the largest number, as they do everywhere.
const V2: &str = "
DROP VIEW usage_days;
ALTER TABLE calls RENAME COLUMN cache_write TO cache_write_5m;
ALTER TABLE calls ADD COLUMN cache_write_1h INTEGER;
ALTER TABLE usage_slots RENAME COLUMN cache_write TO cache_write_5m;
ALTER TABLE usage_slots ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cascade_slots RENAME COLUMN cache_write TO cache_write_5m;
ALTER TABLE cascade_slots ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
CREATE VIEW usage_days AS
SELECT day, provider, model, operation, outcome, quality, calls, input, cache_read,
    min(cache_write_5m + cache_write_1h, 9223372036854775807) AS cache_write, cache_write_1h, tool_input, output, thinking,
    min(input + cache_read + cache_write_5m + cache_write_1h + tool_input + output + thinking, 9223372036854775807) AS tokens,
    priced_calls, unpriced_calls, cost_nano_usd / 1e9 AS cost_usd
FROM (
    SELECT date(slot / 1000, 'unixepoch') AS day, provider, model, operation, outcome, quality,
        max(min(sum(calls >> 31) * 2147483648 + sum(calls & 2147483647), 9223372036854775807), 0) AS calls,
        max(min(sum(input >> 31) * 2147483648 + sum(input & 2147483647), 9223372036854775807), 0) AS input,
        max(min(sum(cache_read >> 31) * 2147483648 + sum(cache_read & 2147483647), 9223372036854775807), 0) AS cache_read,
        max(min(sum(cache_write_5m >> 31) * 2147483648 + sum(cache_write_5m & 2147483647), 9223372036854775807), 0) AS cache_write_5m,
        max(min(sum(cache_write_1h >> 31) * 2147483648 + sum(cache_write_1h & 2147483647), 9223372036854775807), 0) AS cache_write_1h,
        max(min(sum(tool_input >> 31) * 2147483648 + sum(tool_input & 2147483647), 9223372036854775807), 0) AS tool_input,
        max(min(sum(output >> 31) * 2147483648 + sum(output & 2147483647), 9223372036854775807), 0) AS output,
        max(min(sum(thinking >> 31) * 2147483648 + sum(thinking & 2147483647), 9223372036854775807), 0) AS thinking,
        max(min(sum(priced_calls >> 31) * 2147483648 + sum(priced_calls & 2147483647), 9223372036854775807), 0) AS priced_calls,
        max(min(sum(unpriced_calls >> 31) * 2147483648 + sum(unpriced_calls & 2147483647), 9223372036854775807), 0) AS unpriced_calls,
        max(min(sum(cost_nano_usd >> 31) * 2147483648 + sum(cost_nano_usd & 2147483647), 9223372036854775807), 0) AS cost_nano_usd
    FROM usage_slots GROUP BY 1, 2, 3, 4, 5, 6
);
";

/// What tokens stand for, of all calls, so that counters by modality resume. `sum` is what of the
/// tokens is split.
const V3: &str = "
CREATE TABLE modality_tokens (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    sum TEXT NOT NULL,
    modality TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (provider, model, operation, sum, modality)
) STRICT, WITHOUT ROWID;
";

/// Who says what a call cost, and calls that another model has answered than the requested one. What
/// earlier versions have counted is at list prices; of substitutions they knew nothing.
const V4: &str = "
ALTER TABLE calls ADD COLUMN cost_source TEXT;
UPDATE calls SET cost_source = 'list' WHERE cost_nano_usd IS NOT NULL;
ALTER TABLE calls ADD COLUMN substituted_by TEXT;
CREATE TABLE substitution_slots (
    slot INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    served_model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (slot, provider, model, served_model)
) STRICT, WITHOUT ROWID;
";

/// Subagents: calls say which one has made them, and runs which agent's they are. What earlier
/// versions have seen of runs were Antigravity's.
const V5: &str = "
ALTER TABLE calls ADD COLUMN subagent TEXT;
ALTER TABLE calls ADD COLUMN parent_subagent TEXT;
ALTER TABLE calls ADD COLUMN subagent_kind TEXT;
CREATE INDEX calls_by_subagent ON calls (ended_at) WHERE subagent IS NOT NULL;
ALTER TABLE runs ADD COLUMN agent TEXT NOT NULL DEFAULT 'antigravity';
";
