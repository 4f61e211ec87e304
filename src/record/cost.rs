//! What a call would have cost at list prices, as an exact integer: sums of it neither drift nor
//! depend on their order.

use std::fmt;

use serde::{Serialize, Serializer};

/// An amount of money in nano-USD, that is 10⁻⁹ US dollars. A price of 0.001 USD for a million
/// tokens is one of them a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cost(u64);

impl Cost {
    /// The most that one call is believed to cost: 500 US dollars, five times what a full context
    /// window and the longest answer come to at the dearest list prices. Ten million such calls add
    /// up to less than 2^63 nano-USD.
    pub const MAX_OF_A_CALL: Self = Self(500 * NANO_USD);

    /// So many nano-USD.
    #[must_use]
    pub const fn from_nano_usd(nano_usd: u64) -> Self {
        Self(nano_usd)
    }

    /// In nano-USD.
    #[must_use]
    pub const fn nano_usd(self) -> u64 {
        self.0
    }

    /// In US dollars, for formats that know no other number: the nearest there is, which below a
    /// million dollars is written and read back without the loss of a nano-USD.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53 nano-USD, which is 9 million dollars"
    )]
    pub fn usd(self) -> f64 {
        self.0 as f64 / NANO_USD as f64
    }

    /// The sum; saturates at 18 billion dollars.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it without another one; nothing where that is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Cost {
    /// In US dollars with all its digits, such as `0.0123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / NANO_USD, self.0 % NANO_USD);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{part:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for Cost {
    /// A number of US dollars.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.usd())
    }
}

/// One US dollar.
const NANO_USD: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_digits_are_shown_and_no_more() {
        let shown = |nano_usd| Cost::from_nano_usd(nano_usd).to_string();
        assert_eq!(shown(0), "0");
        assert_eq!(shown(1), "0.000000001");
        assert_eq!(shown(12_300_000), "0.0123");
        assert_eq!(shown(7_000_000_000), "7");
        assert_eq!(shown(u64::MAX), "18446744073.709551615");
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn json_keeps_every_nano_usd_below_a_million_dollars(nano_usd in 0..1_000_000_000_000_000u64) {
            let cost = Cost::from_nano_usd(nano_usd);
            let json = serde_json::to_string(&cost).unwrap();
            prop_assert_eq!(json.parse::<f64>().unwrap(), cost.to_string().parse::<f64>().unwrap(), "{}", json);
            prop_assert_eq!((json.parse::<f64>().unwrap() * 1e9).round() as u64, nano_usd);
        }
    }
}
