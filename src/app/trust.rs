//! Trust, opened once at start: the CA, the leaves it signs, the roots that providers are verified against, the agent's bundle.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::info;

use super::Error;
use crate::config::Config;
use crate::record::{Fact, Record};
use crate::tls::authority::{Authority, Origin};
use crate::tls::bundle::{self, Bundle};
use crate::tls::leaf::Leaves;
use crate::tls::upstream::Upstream;

/// What the relay needs to stand between two TLS sessions.
pub(super) struct Trust {
    pub(super) upstream: Upstream,
    pub(super) leaves: Leaves,
    pub(super) bundle: Bundle,
}

impl Trust {
    /// Loads or makes the CA below the state folder and writes the bundle that the agent's environment names.
    pub(super) fn open(config: &Config, record: &dyn Record) -> Result<Self, Error> {
        let directory = authority_directory(&config.state_dir);
        let (authority, origin) = Authority::load_or_create(&directory, &config.relay.intercept, SystemTime::now())?;
        match origin {
            Origin::Created => info!(path = %directory.display(), "made a new CA"),
            Origin::Loaded => {}
            Origin::Renewed(reason) => {
                info!(path = %directory.display(), ?reason, "renewed the CA: agents started before now must be restarted");
            }
        }
        record.record(Fact::CaExpiry(authority.not_after()));
        let upstream = Upstream::new(&config.upstream, &authority)?;
        let bundle = bundle::write(&bundle_path(&config.state_dir), &authority, &config.upstream.extra_roots)?;
        let leaves = Leaves::new(Arc::new(authority))?;
        Ok(Self { upstream, leaves, bundle })
    }
}

/// Where the CA's key and certificate are.
#[must_use]
pub fn authority_directory(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("ca")
}

/// Where the bundle for the agent's environment is.
#[must_use]
pub fn bundle_path(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("trust").join("bundle.pem")
}
