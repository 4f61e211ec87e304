//! The stage that every fact passes before any view: a finished call leaves it with its cost, everything else as it came.

use std::sync::Arc;

use super::prices::Prices;
use crate::record::{Fact, Record};

/// Prices calls, once, so that all views show the same figure.
pub struct Priced {
    prices: Arc<Prices>,
    next: Arc<dyn Record>,
}

impl Priced {
    /// Hands facts on to `next`.
    #[must_use]
    pub fn new(prices: Arc<Prices>, next: Arc<dyn Record>) -> Self {
        Self { prices, next }
    }
}

impl Record for Priced {
    fn record(&self, mut fact: Fact) {
        if let Fact::Call(call) = &mut fact {
            call.cost = self.prices.cost(call);
        }
        self.next.record(fact);
    }
}
