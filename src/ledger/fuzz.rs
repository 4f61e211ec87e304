//! Entry for fuzzers: any rows, as a ledger that another program has written.
//!
//! Other programs and later versions can write into the file: whatever it contains, queries must be
//! answered or refused.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::file::grouping::{By, Zone};
use super::file::open::open_in_memory;
use super::file::query::{Found, find, rows_since};
use super::file::restore::totals;
use super::file::sessions::sessions;
use super::file::span::Span;
use super::memory::sums::Sums;
use crate::record::{Label as _, Models};

/// Reads each line as a row: the first byte names the table, commas part its columns. Panics when
/// the days, weeks and months of the file and its hours do not add up to the same.
pub fn fuzz_ledger(bytes: &[u8]) {
    let Ok(connection) = open_in_memory() else {
        return;
    };
    for line in bytes.split(|byte| *byte == b'\n').take(MAX_ROWS) {
        if let Some((table, columns)) = line.split_first() {
            insert(&connection, *table, columns);
        }
    }
    let models = Models::default();
    let _ = totals(&connection, &models);
    let since = rows_since(&connection).unwrap_or(i64::MIN);
    let span = Span::new(None, None, since);
    let _ = sessions(&connection, None, MAX_ROWS, &models);
    let found = |by| find(&connection, &span, by, &Zone::default(), &models).ok();
    for by in By::ALL.iter().copied() {
        let _ = found(by);
    }
    let Some(hours) = found(By::Hour) else {
        return;
    };
    for by in [By::Day, By::Week, By::Month] {
        if let Some(periods) = found(by) {
            assert_eq!(of_periods(&periods), of_periods(&hours), "by {by}");
        }
    }
}

fn of_periods(found: &Found) -> Sums {
    let mut all = Sums::default();
    found.periods.values().for_each(|sums| all.add(sums));
    all
}

/// Ignores a row that SQLite refuses.
fn insert(connection: &Connection, table: u8, columns: &[u8]) {
    let Some((table, kinds)) = TABLES.get(usize::from(table) % TABLES.len()) else {
        return;
    };
    let mut given = columns.split(|byte| *byte == b',');
    let values = kinds
        .bytes()
        .map(|kind| value(kind, given.next().unwrap_or_default()));
    let places = vec!["?"; kinds.len()].join(",");
    let _ = connection.execute(
        &format!("INSERT INTO {table} VALUES ({places})"),
        params_from_iter(values),
    );
}

fn value(kind: u8, text: &[u8]) -> Value {
    let text = String::from_utf8_lossy(text);
    match kind {
        b'i' => Value::Integer(text.parse().unwrap_or_default()),
        b'n' if text.is_empty() => Value::Null,
        b'n' => Value::Integer(text.parse().unwrap_or_default()),
        b'r' => Value::Real(text.parse().unwrap_or_default()),
        b't' if text.is_empty() => Value::Null,
        _ => Value::Text(text.into_owned()),
    }
}

/// The tables, and a letter for each column: an integer, one that may be missing, a real, a text,
/// one that may be missing.
const TABLES: [(&str, &str); 8] = [
    ("calls", "iiinnssssttstnitsnnnnnnntstttttnttttttttttt"),
    ("usage_slots", "issssssiiiiiiiiiii"),
    ("cascade_slots", "issssssiiiiiiiiiii"),
    ("counts", "ssi"),
    ("kept", "si"),
    ("modality_tokens", "sssssi"),
    ("caller_slots", "isssssssiiiiiiiiiii"),
    ("sessions", "isiinsttt"),
];

/// Limits the time of one run.
const MAX_ROWS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with too few or too many columns are all refused.
    #[test]
    fn rows_have_the_columns_of_their_table() {
        let connection = open_in_memory().unwrap();
        for (table, kinds) in TABLES {
            let sql = format!("SELECT count(*) FROM pragma_table_info('{table}')");
            let columns: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(i64::try_from(kinds.len()), Ok(columns), "{table}");
        }
    }
}
