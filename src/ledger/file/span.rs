//! A span of time as the file can answer it: whole slots from the roll-ups, what sticks out at its
//! ends from the rows of calls.
//!
//! Where those rows are gone, the ends move outward to the next slot, and the answer says so.

use jiff::Timestamp;

use super::schema::SLOT_MS;

/// Milliseconds from and to (exclusive).
pub(in crate::ledger) type Range = (i64, i64);

/// The parts that make up a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Span {
    /// Whole slots.
    pub(in crate::ledger) slots: Range,
    /// Before the first of them.
    pub(in crate::ledger) head: Range,
    /// After the last of them.
    pub(super) tail: Range,
}

impl Span {
    /// `None` is an open end. From `rows_since` on every call has its row.
    pub(in crate::ledger) fn new(
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        rows_since: i64,
    ) -> Self {
        let from = since.map_or(FIRST, |since| milliseconds(since, rows_since, floor));
        let to = until.map_or(LAST, |until| milliseconds(until, rows_since, ceiling));
        let (first, last) = (ceiling(from), floor(to));
        if first > last {
            // Within one slot.
            return Self {
                slots: (first, first),
                head: (from, to.max(from)),
                tail: (to, to),
            };
        }
        Self {
            slots: (first, last),
            head: (from, first),
            tail: (last, to),
        }
    }

    /// All of it.
    pub(super) fn whole(&self) -> Range {
        (self.head.0, self.tail.1)
    }

    /// Where the answer begins, if it does not begin with the ledger.
    pub(in crate::ledger) fn since(&self) -> Option<Timestamp> {
        (self.head.0 > FIRST)
            .then(|| Timestamp::from_millisecond(self.head.0).ok())
            .flatten()
    }

    /// Where it ends, if it does not end with the ledger.
    pub(in crate::ledger) fn until(&self) -> Option<Timestamp> {
        (self.tail.1 < LAST)
            .then(|| Timestamp::from_millisecond(self.tail.1).ok())
            .flatten()
    }
}

/// A call that ended in the same millisecond is part of what begins then. Times in between do not
/// exist in the file.
fn milliseconds(at: Timestamp, rows_since: i64, outward: fn(i64) -> i64) -> i64 {
    let exact = at.as_nanosecond().div_euclid(1_000_000)
        + i128::from(at.as_nanosecond().rem_euclid(1_000_000) > 0);
    let exact = i64::try_from(exact).unwrap_or(LAST);
    if exact < rows_since {
        outward(exact)
    } else {
        exact
    }
}

/// The beginning of the slot in which a time lies.
pub(super) fn floor(at: i64) -> i64 {
    at.div_euclid(SLOT_MS).saturating_mul(SLOT_MS)
}

fn ceiling(at: i64) -> i64 {
    at.saturating_add(SLOT_MS - 1).div_euclid(SLOT_MS) * SLOT_MS
}

/// The bounds of an open end: slots beyond every calendar.
const FIRST: i64 = -(1 << 60) / SLOT_MS * SLOT_MS;
const LAST: i64 = (1 << 60) / SLOT_MS * SLOT_MS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(at: i64) -> Timestamp {
        Timestamp::from_millisecond(at).expect("a time")
    }

    #[test]
    fn an_open_span_is_all_slots() {
        let span = Span::new(None, None, 0);
        assert_eq!(
            (span.slots, span.since(), span.until()),
            ((FIRST, LAST), None, None)
        );
        assert_eq!((span.head.0, span.tail.1), (span.head.1, span.tail.0));
    }

    #[test]
    fn ends_without_rows_move_outward() {
        let span = Span::new(
            Some(ms(SLOT_MS + 1)),
            Some(ms(3 * SLOT_MS - 1)),
            10 * SLOT_MS,
        );
        assert_eq!(
            (span.since(), span.until()),
            (Some(ms(SLOT_MS)), Some(ms(3 * SLOT_MS)))
        );
        assert_eq!(span.slots, (SLOT_MS, 3 * SLOT_MS));
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn every_millisecond_is_in_exactly_the_span(
            from in -3 * SLOT_MS..3 * SLOT_MS, length in 0..3 * SLOT_MS, at in -4 * SLOT_MS..7 * SLOT_MS
        ) {
            let span = Span::new(Some(ms(from)), Some(ms(from + length)), i64::MIN);
            let is_in = |(from, to): Range, at| from <= at && at < to;
            let parts = [is_in(span.slots, floor(at)), is_in(span.head, at), is_in(span.tail, at)];
            let count = parts.iter().filter(|is_in| **is_in).count();
            prop_assert_eq!(count, usize::from(is_in((from, from + length), at)), "{:?}", span);
        }
    }
}
