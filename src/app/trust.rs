//! Trust, opened once at start: the CA, the leaves it signs, the roots that providers are verified
//! against, the agent's bundle.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Error;
use crate::config::Config;
use crate::export::otlp::Destination;
use crate::record::{Fact, HostPattern, Record};
use crate::tls::authority::{Authority, Origin};
use crate::tls::bundle::{self, Bundle};
use crate::tls::collector::{self, CollectorError};
use crate::tls::leaf::Leaves;
use crate::tls::upstream::Upstream;

/// What the relay needs to stand between two TLS sessions.
pub(super) struct Trust {
    pub(super) upstream: Arc<Upstream>,
    pub(super) leaves: Arc<Leaves>,
    /// For the collectors.
    pub(super) collectors: Collectors,
    pub(super) bundle: Bundle,
    /// The certificate of the CA, as PEM.
    pub(super) ca: String,
    /// When the CA ends.
    pub(super) not_after: SystemTime,
}

/// How TLS is spoken to the collector of each signal, where there is one.
pub(super) struct Collectors {
    pub(super) spans: Option<ClientConfig>,
    pub(super) metrics: Option<ClientConfig>,
    /// For the webhook that alerts are posted to.
    pub(super) webhook: Option<ClientConfig>,
}

impl Collectors {
    fn new(config: &Config, authority: &Authority) -> Result<Self, CollectorError> {
        let otlp = &config.otlp;
        let client = |destination: Destination| {
            let Destination {
                ca_file,
                client_certificate,
                client_key,
                ..
            } = &destination;
            let identity = client_certificate.as_deref().zip(client_key.as_deref());
            collector::client(
                collector::Files {
                    roots: ca_file.as_deref(),
                    identity,
                },
                authority,
            )
        };
        let spans = otlp.spans().map(client).transpose()?;
        let webhook = config.notify.webhook.as_ref().map(|_| {
            let files = collector::Files {
                roots: None,
                identity: None,
            };
            collector::client(files, authority)
        });
        Ok(Self {
            spans,
            metrics: otlp.pushed_metrics().map(client).transpose()?,
            webhook: webhook.transpose()?,
        })
    }
}

impl Trust {
    /// Loads or makes the CA below the state folder and writes the bundle that the agent's
    /// environment names.
    pub(super) fn open(config: &Config, record: &dyn Record) -> Result<Self, Error> {
        let directory = config.ca_dir();
        let (authority, origin) =
            Authority::load_or_create(&directory, &config.relay.intercept, SystemTime::now())?;
        match origin {
            Origin::Created => info!(path = %directory.display(), "made a new CA"),
            Origin::Loaded => {}
            Origin::Renewed(reason) => {
                info!(path = %directory.display(), %reason, "renewed the CA: agents started before now must be restarted");
            }
        }
        warn_of_patterns(&config.relay.intercept);
        let not_after = authority.not_after();
        record.record(Fact::CaExpiry(not_after));
        let upstream = Upstream::new(&config.upstream, &authority)?;
        let collectors = Collectors::new(config, &authority)?;
        let bundle = bundle::write(&config.bundle, &authority, &config.upstream.extra_roots)?;
        let ca = authority.certificate_pem().to_owned();
        let leaves = Leaves::new(Arc::new(authority))?;
        Ok(Self {
            upstream: Arc::new(upstream),
            leaves: Arc::new(leaves),
            collectors,
            bundle,
            ca,
            not_after,
        })
    }
}

/// A certificate's name constraints know domains and no patterns, so that the CA's key is worth
/// more than its owner may think.
fn warn_of_patterns(intercept: &[HostPattern]) {
    for pattern in intercept.iter().filter(|pattern| !pattern.is_exact()) {
        let domain = pattern.subtree();
        warn!(%pattern, domain, "whoever steals the CA's key can sign for every name in this domain: name hosts in intercept.hosts");
    }
}

/// Warns when the CA is about to end: it is renewed at a start, because an agent reads its bundle
/// only at its own.
pub(super) async fn watch_expiry(not_after: SystemTime, stopping: CancellationToken) {
    loop {
        let left = not_after
            .duration_since(SystemTime::now())
            .unwrap_or_default();
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
