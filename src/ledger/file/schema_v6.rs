//! The sixth version of the file: sessions, and who makes each call.

/// What earlier versions have counted was made by nobody that is known.
pub(super) const V6: &str = "
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL UNIQUE,
    boot INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    program TEXT NOT NULL,
    folder TEXT,
    remote TEXT,
    branch TEXT
) STRICT;
CREATE INDEX sessions_by_start ON sessions (started_at);
ALTER TABLE calls ADD COLUMN session TEXT;
ALTER TABLE calls ADD COLUMN program TEXT;
ALTER TABLE calls ADD COLUMN repository TEXT;
ALTER TABLE calls ADD COLUMN branch TEXT;
CREATE INDEX calls_by_session ON calls (session, ended_at) WHERE session IS NOT NULL;
ALTER TABLE started ADD COLUMN session TEXT;
ALTER TABLE started ADD COLUMN program TEXT;
ALTER TABLE started ADD COLUMN repository TEXT;
ALTER TABLE started ADD COLUMN branch TEXT;
CREATE TABLE caller_slots (
    slot INTEGER NOT NULL,
    program TEXT NOT NULL,
    repository TEXT NOT NULL,
    branch TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    quality TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    tool_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    thinking INTEGER NOT NULL,
    priced_calls INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (slot, program, repository, branch, provider, model, outcome, quality)
) STRICT, WITHOUT ROWID;
";
