//! What searches of the web cost that a provider's own tool makes.

use super::amount::{Amount, Price};

/// The price of searches: vendors count either each of them, or the calls that make any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchPrice {
    /// For a thousand calls, however often each of them searches.
    PerCall(Price),
    /// For a thousand searches.
    PerSearch(Price),
}

impl SearchPrice {
    /// The key of the price in a table.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::PerCall(_) => PER_CALL,
            Self::PerSearch(_) => PER_SEARCH,
        }
    }

    /// The price, for a thousand.
    #[must_use]
    pub fn of_a_thousand(self) -> Price {
        match self {
            Self::PerCall(price) | Self::PerSearch(price) => price,
        }
    }

    /// What so many searches of one call cost.
    pub(super) fn of(self, searches: u64) -> Amount {
        match self {
            Self::PerCall(price) => price.of_thousands(searches.min(1)),
            Self::PerSearch(price) => price.of_thousands(searches),
        }
    }
}

/// The keys in a table.
pub(super) const PER_CALL: &str = "web_search_per_call";
pub(super) const PER_SEARCH: &str = "web_search";
