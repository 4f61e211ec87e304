//! Prices and amounts as exact integers: a decimal text enters, nano-USD leave, and nothing in
//! between is a float.

use std::fmt;

use crate::record::Cost;

/// The price of one token in pico-USD (10⁻¹² US dollars), which is the price of a million tokens in
/// micro-USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

impl Price {
    /// Reads US dollars for a million tokens as a decimal: `3`, `0.075`. `None` where it is no such
    /// number, has more than six digits after the point, or is more than a dollar for a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let part_digits = part.trim_end_matches('0');
        if !is_digits(whole) || !is_digits(part) || part_digits.len() > DECIMALS {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|dollars| *dollars <= MOST)?;
        let part: u64 = format!("{part_digits:0<DECIMALS$}").parse().ok()?;
        Some(Self(whole * MICRO + part)).filter(|price| price.0 <= MOST * MICRO)
    }

    /// So many tokens at this price.
    #[must_use]
    pub(super) fn of(self, tokens: u64) -> Amount {
        Amount(u128::from(self.0) * u128::from(tokens))
    }

    /// So many things at this price for a thousand of them.
    #[must_use]
    pub(super) fn of_thousands(self, count: u64) -> Amount {
        Amount(u128::from(self.0) * u128::from(count) * TOKENS_OF_A_THOUSANDTH)
    }
}

impl fmt::Display for Price {
    /// US dollars for a million tokens, with all its digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Cost::from_nano_usd(self.0.saturating_mul(1000)))
    }
}

/// An amount of money in pico-USD. The largest price for all tokens that 64 bits can count is below
/// 2¹⁰⁴, so that no sum of a call's kinds overflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(u128);

impl Amount {
    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Multiplied by a decimal that is written like a price, rounded to whole pico-USD.
    pub(super) fn times(self, factor: Price) -> Self {
        let product = self.0.saturating_mul(factor.0.into());
        Self(product.saturating_add(u128::from(MICRO / 2)) / u128::from(MICRO))
    }

    /// Rounded to whole nano-USD, halves up: once for each call, after its kinds were added.
    pub(super) fn rounded(self) -> Cost {
        Cost::from_nano_usd(u64::try_from(self.0.saturating_add(500) / 1000).unwrap_or(u64::MAX))
    }
}

/// Digits after the point: vendors use up to five (0.01875).
const DECIMALS: usize = 6;

/// Parts of a dollar that a price counts.
const MICRO: u64 = 1_000_000;

/// A price for a thousand things is a thousand times that for a million of them.
const TOKENS_OF_A_THOUSANDTH: u128 = 1000;

/// A dollar for a single token: what is more was written for another unit.
const MOST: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        let read = |text| Price::parse(text).map(|price| price.0);
        assert_eq!(read("3"), Some(3_000_000));
        assert_eq!(read("0.075"), Some(75_000));
        assert_eq!(read("0.018750000000"), Some(18_750));
        assert_eq!(read("1000000.0"), Some(1_000_000_000_000));
        for wrong in [
            "",
            "-1",
            "+1",
            "1e3",
            "1_0",
            ".5",
            "1.",
            "0.0000001",
            "1000000.000001",
            "1000001",
            "inf",
            "nan",
            "1.2.3",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_call_is_rounded_once() {
        let half = Price::parse("0.0005").unwrap();
        assert_eq!(half.of(1).rounded(), Cost::from_nano_usd(1), "halves go up");
        assert_eq!(
            half.of(1).plus(half.of(1)).rounded(),
            Cost::from_nano_usd(1)
        );
        assert_eq!(
            Price::parse("0.000499").unwrap().of(1).rounded(),
            Cost::from_nano_usd(0)
        );
        assert_eq!(
            Price::parse("1000000").unwrap().of(u64::MAX).rounded(),
            Cost::from_nano_usd(u64::MAX)
        );
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn what_is_shown_can_be_read_again(micro in 0..=MOST * MICRO) {
            let price = Price(micro);
            prop_assert_eq!(Price::parse(&price.to_string()), Some(price));
        }
    }
}
