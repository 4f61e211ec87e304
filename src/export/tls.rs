//! The metrics of TLS: handshakes of both sides, leaf certificates, the CA.

use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::{ByHandshake, ByHandshakeFailure, ByLeafResult};
use super::series::{
    Histograms, LateGauge, begin, count, declare, each, own_latency, unix_seconds,
};
use crate::record::{Handshake, HandshakeFailure, LeafResult, Side};

/// Counters, gauges and histograms of TLS.
#[derive(Debug)]
pub(super) struct TlsMetrics {
    succeeded: Histograms<ByHandshake>,
    failed: Family<ByHandshakeFailure, Counter>,
    leaves: Family<ByLeafResult, Counter>,
    ca_expiry: LateGauge,
}

impl TlsMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        let metrics = Self {
            succeeded: declare(
                registry,
                HANDSHAKE_SECONDS,
                "TLS handshakes that succeeded",
                Histograms::new_with_constructor(own_latency),
            ),
            failed: declare(
                registry,
                "gravimeter_tls_handshake_failures_total",
                "TLS handshakes that failed",
                Family::default(),
            ),
            leaves: declare(
                registry,
                "gravimeter_leaf_certificates_total",
                "Leaf certificates shown to the agent",
                Family::default(),
            ),
            ca_expiry: declare(
                registry,
                "gravimeter_ca_expiry_timestamp_seconds",
                "End of the CA certificate since the Unix epoch",
                LateGauge::default(),
            ),
        };
        each(|side| each(|reason| begin(&metrics.failed, ByHandshakeFailure { side, reason })));
        each(|result| begin(&metrics.leaves, ByLeafResult { result }));
        metrics
    }

    pub(super) fn succeeded(&self, done: Handshake) {
        let labels = ByHandshake {
            side: done.side,
            version: done.version,
            resumed: done.resumed,
        };
        self.succeeded
            .get_or_create_owned(&labels)
            .observe(done.duration.as_secs_f64());
    }

    pub(super) fn failed(&self, side: Side, reason: HandshakeFailure) {
        count(&self.failed, ByHandshakeFailure { side, reason });
    }

    pub(super) fn leaf(&self, result: LeafResult) {
        count(&self.leaves, ByLeafResult { result });
    }

    pub(super) fn ca_expires(&self, at: SystemTime) {
        self.ca_expiry.set(unix_seconds(at));
    }
}

/// Handshakes that succeeded. Their exemplars come by [`super::late`].
pub(super) const HANDSHAKE_SECONDS: &str = "gravimeter_tls_handshake_duration_seconds";
