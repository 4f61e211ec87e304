//! All prices that hold: tables in the order in which they are asked, and the question what a call
//! costs.

use std::collections::HashMap;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::line::Line;
use super::read::read;
use crate::record::{Call, Cost, Model, Provider, label};

/// Lines that were read together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table(pub Vec<Line>);

label! {
    /// Where a line stands.
    pub enum Origin {
        /// In the user's file.
        File => "file",
        /// In the table that is part of the program.
        Shipped => "shipped",
    }
}

/// A line, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The line.
    pub line: &'a Line,
    /// Its table.
    pub origin: Origin,
}

/// The user's table before the shipped one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    user: IndexedTable,
    shipped: IndexedTable,
}

/// A table, and which of its lines are for which provider: every call is priced, and a table has
/// hundreds of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct IndexedTable {
    lines: Vec<Line>,
    by_provider: HashMap<Option<Provider>, Vec<usize>>,
}

/// The provider's tokens or the table's price of a call cannot be right: together they come to more
/// than any call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "its tokens would cost more than {} US dollars, the most that one call is believed to cost",
    Cost::MAX_OF_A_CALL
)]
pub struct Implausible;

impl Prices {
    /// The user's table, and behind it the shipped one where that is wanted.
    #[must_use]
    pub fn new(user: Table, with_shipped: bool) -> Self {
        let shipped = if with_shipped {
            Table::shipped()
        } else {
            Table::default()
        };
        Self {
            user: IndexedTable::new(user),
            shipped: IndexedTable::new(shipped),
        }
    }

    /// What the call costs at list prices, on the terms that its provider reports. The requested model
    /// decides, the one that answered where nothing is known of that or where another one has.
    /// `None` where no line is for it, where its line has no price for a part of it, and where it
    /// has no tokens.
    ///
    /// # Errors
    /// [`Implausible`] where its tokens come to more than [`Cost::MAX_OF_A_CALL`].
    pub fn cost(&self, call: &Call) -> Result<Option<Cost>, Implausible> {
        let served = call.served_model.as_ref();
        let models = if call.is_substituted {
            [served, None]
        } else {
            [Some(&call.model), served]
        };
        let line = |day| {
            models
                .into_iter()
                .flatten()
                .find_map(|model| self.line_of(model.as_str(), call.provider, day))
        };
        let line = day_of(call.timing.started_at)
            .and_then(line)
            .filter(|_| call.usage.total() > 0);
        match line.and_then(|line| line.cost(&call.usage, &call.reported)) {
            Some(cost) if cost > Cost::MAX_OF_A_CALL => Err(Implausible),
            cost => Ok(cost),
        }
    }

    /// The line that holds for a model on a day.
    #[must_use]
    pub fn line_of(&self, model: &str, provider: Provider, day: Date) -> Option<&Line> {
        [&self.user, &self.shipped]
            .into_iter()
            .find_map(|table| table.line(model, provider, day))
    }

    /// Whether any line, of whatever provider and day, is for this model.
    #[must_use]
    pub fn know(&self, model: &Model) -> bool {
        self.lines().any(|Listed { line, .. }| {
            let mut patterns = line.models.iter();
            patterns.any(|pattern| pattern.matches(model.as_str()))
        })
    }

    /// Every line, in the order in which tables are asked.
    pub fn lines(&self) -> impl Iterator<Item = Listed<'_>> {
        let listed = |origin| move |line| Listed { line, origin };
        let [user, shipped] = [&self.user, &self.shipped].map(|table| table.lines.iter());
        user.map(listed(Origin::File))
            .chain(shipped.map(listed(Origin::Shipped)))
    }
}

impl Table {
    /// The table that is part of the program; a test keeps it free of flaws.
    #[must_use]
    pub fn shipped() -> Self {
        read(SHIPPED).unwrap_or_default()
    }
}

impl IndexedTable {
    fn new(Table(lines): Table) -> Self {
        let mut by_provider: HashMap<_, Vec<usize>> = HashMap::new();
        for (place, line) in lines.iter().enumerate() {
            by_provider.entry(line.provider).or_default().push(place);
        }
        Self { lines, by_provider }
    }

    /// The line that fits best.
    fn line(&self, model: &str, provider: Provider, day: Date) -> Option<&Line> {
        let places = [None, Some(provider)]
            .into_iter()
            .filter_map(|of| self.by_provider.get(&of))
            .flatten();
        let fits = places
            .filter_map(|place| self.lines.get(*place))
            .filter_map(|line| Some((line.fit(model, provider, day)?, line)));
        fits.max_by_key(|(fit, _)| *fit).map(|(_, line)| line)
    }
}

/// The day in UTC, on which prices begin.
fn day_of(at: SystemTime) -> Option<Date> {
    Timestamp::try_from(at)
        .ok()
        .map(|at| Offset::UTC.to_datetime(at).date())
}

/// The shipped table.
const SHIPPED: &str = include_str!("default.toml");
