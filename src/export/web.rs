//! The metrics of requests that the exporter refused.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::ByWebRefusal;
use super::series::{begin, count, declare, each};
use crate::record::label;

label! {
    /// Why a request or connection to the exporter was not served to its end.
    pub enum WebRefusal {
        /// There were too many requests at once.
        ///
        /// What to do: scrape less often, and not by so many at once.
        Busy => "busy",
        /// The web configuration file cannot be used.
        ///
        /// What to do: mend the file: `gravimeter config check` says what is wrong.
        Config => "config",
        /// The TLS handshake failed, or took too long.
        ///
        /// What to do: see the scraper's TLS settings and the certificate of the web configuration
        /// file.
        Handshake => "handshake",
        /// Name and password were missing or wrong.
        ///
        /// What to do: see the scraper's password; a rise without one of yours is somebody who
        /// guesses.
        Password => "password",
        /// There were more requests than the web configuration file allows.
        ///
        /// What to do: scrape less often, or raise `rate_limit` in the web configuration file.
        RateLimit => "rate_limit",
        /// The answer was read too slowly, or others waited for the slot.
        ///
        /// What to do: see the network to the scraper.
        Slow => "slow",
    }
}

/// The counters.
#[derive(Debug)]
pub(super) struct WebCounts(Family<ByWebRefusal, Counter>);

impl WebCounts {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        let refusals = declare(
            registry,
            "gravimeter_web_refusals_total",
            "Requests and connections to the exporter itself that were refused or cut off",
            Family::default(),
        );
        each(|reason| begin(&refusals, ByWebRefusal { reason }));
        Self(refusals)
    }

    pub(super) fn refused(&self, reason: WebRefusal) {
        count(&self.0, ByWebRefusal { reason });
    }
}
