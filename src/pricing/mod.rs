//! Price tables enter, and every finished [`crate::record::Call`] that passes gets its cost.
//!
//! A table is a TOML file whose every line is dated and sourced; one is part of the program,
//! another may be the user's. The price of a call is that of the day on which it began, and it
//! stays with the call. The figure is what the tokens would cost at list prices, which is not what
//! anybody is billed. Fetches nothing, guesses nothing: what has no price stays without.

use std::path::PathBuf;

mod amount;
mod factor;
mod import;
mod line;
mod prices;
mod read;
mod search;
mod stage;
mod values;
mod write;

pub use amount::Price;
pub use factor::{Condition, Factor, Factors};
pub use import::{Difference, Import, ImportError, ImportFormat, import};
pub use line::{Line, Pattern, Rates, Tier};
pub use prices::{Implausible, Listed, Origin, Prices, Table};
pub use read::{Flaw, read};
pub use search::SearchPrice;
pub use stage::Priced;

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The user's table, which is asked first.
    pub file: Option<PathBuf>,
    /// Whether the shipped table is asked after it.
    pub defaults: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            defaults: true,
        }
    }
}

#[cfg(test)]
mod tests;
