//! The stage that every fact passes before any view: a finished call leaves it with its cost,
//! everything else as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

use super::prices::Prices;
use crate::record::{Call, Cost, Fact, Record};

/// Prices calls, once, so that all views show the same figure.
pub struct Priced {
    prices: Arc<Prices>,
    next: Arc<dyn Record>,
    /// Whether the log has told of an implausible cost: a provider that lies once does so with
    /// every call.
    has_warned: AtomicBool,
}

impl Priced {
    /// Hands facts on to `next`.
    #[must_use]
    pub fn new(prices: Arc<Prices>, next: Arc<dyn Record>) -> Self {
        Self {
            prices,
            next,
            has_warned: AtomicBool::new(false),
        }
    }

    /// What the provider charges, where it says so, else the list price. `None` also where that is
    /// implausible: the call is then counted among those without a price.
    fn cost(&self, call: &Call) -> Option<Cost> {
        if call.reported.cost.is_some() {
            return call.reported.cost;
        }
        self.prices.cost(call).unwrap_or_else(|why| {
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                let (model, provider) = (&call.model, call.provider);
                warn!(%model, %provider, %why, "a call is counted without a price, as all such calls are from now on: \
                    either the provider reports false token counts, or the price table is in another unit");
            }
            None
        })
    }
}

impl Record for Priced {
    fn record(&self, mut fact: Fact) {
        if let Fact::Call(call) = &mut fact {
            call.cost = self.cost(call);
        }
        self.next.record(fact);
    }
}
