//! Trust, opened once at start: the CA, the leaves it signs, the roots that providers are verified against, the agent's bundle.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Error;
use crate::config::Config;
use crate::record::{Fact, Record};
use crate::tls::authority::{Authority, Origin};
use crate::tls::bundle::{self, Bundle};
use crate::tls::collector;
use crate::tls::leaf::Leaves;
use crate::tls::upstream::Upstream;

/// What the relay needs to stand between two TLS sessions.
pub(super) struct Trust {
    pub(super) upstream: Upstream,
    pub(super) leaves: Leaves,
    /// For the collectors of spans and metrics, where there is one.
    pub(super) collector: Option<ClientConfig>,
    pub(super) bundle: Bundle,
    /// When the CA ends.
    pub(super) not_after: SystemTime,
}

impl Trust {
    /// Loads or makes the CA below the state folder and writes the bundle that the agent's environment names.
    pub(super) fn open(config: &Config, record: &dyn Record) -> Result<Self, Error> {
        let directory = config.ca_dir();
        let (authority, origin) = Authority::load_or_create(&directory, &config.relay.intercept, SystemTime::now())?;
        match origin {
            Origin::Created => info!(path = %directory.display(), "made a new CA"),
            Origin::Loaded => {}
            Origin::Renewed(reason) => {
                info!(path = %directory.display(), %reason, "renewed the CA: agents started before now must be restarted");
            }
        }
        let not_after = authority.not_after();
        record.record(Fact::CaExpiry(not_after));
        let upstream = Upstream::new(&config.upstream, &authority)?;
        let collector = match config.otlp.spans().or_else(|| config.otlp.pushed_metrics()) {
            Some(_) => {
                let otlp = &config.otlp;
                let identity = otlp.client_certificate.as_deref().zip(otlp.client_key.as_deref());
                Some(collector::client(collector::Files { roots: otlp.ca_file.as_deref(), identity }, &authority)?)
            }
            None => None,
        };
        let bundle = bundle::write(&config.bundle_path(), &authority, &config.upstream.extra_roots)?;
        let leaves = Leaves::new(Arc::new(authority))?;
        Ok(Self { upstream, leaves, collector, bundle, not_after })
    }
}

/// Warns when the CA is about to end: it is renewed at a start, because an agent reads its bundle only at its own.
pub(super) async fn watch_expiry(not_after: SystemTime, stopping: CancellationToken) {
    loop {
        let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
        if left < WARN_BEFORE {
            warn!(
                days = left.as_secs() / DAY.as_secs(),
                "the CA ends soon: restart gravimeter and its agent to renew it"
            );
        }
        if stopping.run_until_cancelled(sleep(DAY)).await.is_none() {
            return;
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Two weeks for a restart at a quiet hour. At a start at least 30 days remain.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
