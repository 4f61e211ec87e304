//! Sums in SQL that never fail and never wrap around: beyond the largest number of 64 bits they
//! stay at it.
//!
//! SQLite's own `sum()` fails when it overflows, and `+` becomes a floating-point number, which no
//! column here takes. A file may hold any number: earlier versions let a call cost more than sums
//! can hold, and other programs can write into it. A sum that is [`LARGEST`] is therefore a lower bound,
//! and everything that is made of it says so.

use crate::ledger::memory::figures::LARGEST;

/// The sum of a column over the rows of a group, from 0 to [`LARGEST`]. The upper and lower halves
/// of each number are added apart, which cannot overflow below 2^31 rows.
pub(in crate::ledger) fn total(column: &str) -> String {
    format!("max(min(sum({column} >> 31) * 2147483648 + sum({column} & 2147483647), {LARGEST}), 0)")
}

/// An assignment of `ON CONFLICT DO UPDATE` that adds to a column, from 0 to [`LARGEST`], where it
/// stays: subtracting from a lower bound gives no meaningful number.
pub(super) fn plus(column: &str) -> String {
    format!(
        "{column} = iif({column} = {LARGEST}, {column}, max(min({column} + excluded.{column}, {LARGEST}), 0))"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::{Connection, params};

    use super::{LARGEST, plus, total};

    fn any_number() -> impl Strategy<Value = i64> {
        let edges = [
            0,
            1,
            -1,
            LARGEST,
            LARGEST - 1,
            i64::MIN,
            1 << 31,
            (1 << 31) - 1,
            1 << 62,
            1_000_000_000_000_000,
        ];
        prop_oneof![
            prop::sample::select(edges.to_vec()),
            any::<i64>(),
            0i64..1_000_000
        ]
    }

    fn held(exact: i128) -> i64 {
        i64::try_from(exact.clamp(0, LARGEST.into())).unwrap()
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn a_total_is_the_exact_sum_within_the_bounds(numbers in prop::collection::vec(any_number(), 0..20)) {
            let file = Connection::open_in_memory().unwrap();
            file.execute_batch("CREATE TABLE sums (n INTEGER NOT NULL) STRICT").unwrap();
            for number in &numbers {
                file.execute("INSERT INTO sums VALUES (?1)", [number]).unwrap();
            }
            let sql = format!("SELECT {} FROM sums HAVING count(*) > 0", total("n"));
            let total = file.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok();
            let exact = numbers.iter().map(|number| i128::from(*number)).sum();
            prop_assert_eq!(total, (!numbers.is_empty()).then(|| held(exact)));
        }

        #[test]
        fn what_is_added_one_by_one_stays_within_the_bounds(first in any_number(), numbers in prop::collection::vec(any_number(), 0..20)) {
            let file = Connection::open_in_memory().unwrap();
            file.execute_batch("CREATE TABLE sums (name INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT").unwrap();
            file.execute("INSERT INTO sums VALUES (1, ?1)", [first]).unwrap();
            let mut expected = first;
            for number in &numbers {
                let sql = format!("INSERT INTO sums VALUES (1, ?1) ON CONFLICT DO UPDATE SET {}", plus("n"));
                file.execute(&sql, params![number]).unwrap();
                if expected != LARGEST {
                    expected = held(i128::from(expected) + i128::from(*number));
                }
            }
            let sum: i64 = file.query_row("SELECT n FROM sums", [], |row| row.get(0)).unwrap();
            prop_assert_eq!(sum, expected);
        }
    }
}
