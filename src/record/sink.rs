//! Who says facts and who takes them.

use std::sync::Arc;

use super::Fact;

/// Where the traffic side states its facts. Neither blocks nor fails.
pub trait Record: Send + Sync {
    /// States a fact.
    fn record(&self, fact: Fact);
}

/// A view that takes facts. Neither blocks nor fails: a sink that needs time has a bounded queue
/// and counts what it loses.
pub trait Sink: Send + Sync {
    /// Takes a fact.
    fn receive(&self, fact: &Fact);
}

/// Hands every fact to every sink, in order.
pub struct FanOut(pub Vec<Arc<dyn Sink>>);

impl Record for FanOut {
    fn record(&self, fact: Fact) {
        for sink in &self.0 {
            sink.receive(&fact);
        }
    }
}
