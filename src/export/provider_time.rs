//! The metric of the time that providers say they worked on calls: what is more than that was spent
//! on the network, in queues before the provider, or in the agent.

use prometheus_client::registry::Registry;

use super::labels::ByProviderTime;
use super::series::{Histograms, call_latency, declare};
use crate::record::{Call, Model};

/// Histograms of providers' own times.
#[derive(Debug)]
pub(super) struct ProviderTimeMetrics(Histograms<ByProviderTime>);

impl ProviderTimeMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        Self(declare(
            registry,
            "gravimeter_provider_time_seconds",
            "Time that the provider itself says it took for a call, to the first byte or to the end of the answer",
            Histograms::new_with_constructor(call_latency),
        ))
    }

    /// Observes what is reported of a call, which is counted under this name.
    pub(super) fn ended(&self, call: &Call, model: &Model) {
        let time = call.reported.time;
        let parts = [("first_byte", time.first_byte), ("end", time.total)];
        for (until, time) in parts {
            let Some(time) = time else { continue };
            let labels = ByProviderTime {
                provider: call.provider,
                model: model.clone(),
                until,
            };
            self.0
                .get_or_create_owned(&labels)
                .observe(time.as_secs_f64());
        }
    }
}
