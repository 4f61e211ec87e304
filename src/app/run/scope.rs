//! The way by which the connections of a program are captured.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use super::{RunRequest, variable};
use crate::app::{Activation, Error, Sought};
use crate::capture::namespace::{Namespace, Obstacle};
use crate::capture::redirect::Rules;
use crate::config::Config;
use crate::launch::foreground::proxy_in_use;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The first that works on this machine.
    Auto,
    /// A network namespace of the program's own.
    Namespace,
    /// The CONNECT proxy, by variables in the program's environment.
    Proxy,
}

/// The way that is taken.
pub(super) enum Way {
    Namespace(Namespace),
    Proxy {
        /// Why it is no namespace, where one was tried.
        obstacle: Option<Obstacle>,
    },
}

impl Way {
    /// Opens the way that was asked for.
    pub(super) fn open(request: &RunRequest, own: &Path, config: &Config) -> Result<Self, Error> {
        let path = variable(&request.environment, "PATH").unwrap_or(OsStr::new(""));
        let open = || Namespace::open(own, &config.capture.redirect_listen, path);
        let proxy = |obstacle| match proxy_in_use(&request.environment) {
            Some(variable) => Err(Error::ProxyInUse { variable }),
            None => Ok(Self::Proxy { obstacle }),
        };
        match request.scope {
            Scope::Proxy => proxy(None),
            Scope::Namespace => open().map(Self::Namespace).map_err(Error::Namespace),
            Scope::Auto => match open() {
                Ok(namespace) => Ok(Self::Namespace(namespace)),
                Err(obstacle) => {
                    info!(%obstacle, "no namespace can be made: the CONNECT proxy is used");
                    proxy(Some(obstacle))
                }
            },
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Namespace(_) => "namespace",
            Self::Proxy { .. } => "proxy",
        }
    }

    /// Why a better way was not taken, or how this one has failed.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Proxy { obstacle } => obstacle.as_ref().map(ToString::to_string),
            Self::Namespace(namespace) => namespace.has_lost_network().then(|| LOST.to_owned()),
        }
    }

    pub(super) fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Namespace(namespace) => Some(namespace),
            Self::Proxy { .. } => None,
        }
    }

    /// The sockets at which redirected connections arrive.
    pub(super) fn take_listeners(&mut self) -> Result<Activation, Error> {
        match self {
            Self::Namespace(namespace) => Activation::of_redirect(namespace.take_listeners()),
            Self::Proxy { .. } => Ok(Activation::default()),
        }
    }

    /// How a language server that the program starts is found and reached. `own` is our executable.
    pub(super) fn followed(
        &self,
        request: &RunRequest,
        own: &Path,
        config: &Config,
    ) -> Option<Sought> {
        let path = variable(&request.environment, "PATH").unwrap_or(OsStr::new(""));
        let namespace = self.namespace().map(|namespace| namespace.loopback(own, path));
        let sought = namespace.transpose().and_then(|namespace| {
            let ca_folder = config.bundle.parent().unwrap_or(Path::new("/"));
            Sought::in_run(ca_folder.to_owned(), config.discovery_folders.clone(), namespace)
        });
        sought
            .inspect_err(|error| warn!(%error, "no language server is followed"))
            .ok()
    }

    /// The configuration for this way. Agents, redirect rules and language servers that it names are
    /// those of `serve`.
    pub(super) fn adapt(&self, mut config: Config) -> Config {
        config.agent = None;
        config.launch.user = None;
        config.redirect.rules = Rules::NotNeeded;
        config.capture.connect_users.clear();
        config.capture.connect_listen = match self {
            Self::Namespace(_) => None,
            Self::Proxy { .. } => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        };
        if matches!(self, Self::Proxy { .. }) {
            config.capture.redirect_listen.clear();
        }
        config.cascade.endpoint = None;
        config.cascade.token = None;
        config.ledger.wait_for_lock = WAIT_FOR_LEDGER;
        config.drain = config.drain.min(DRAIN);
        config
    }
}

const LOST: &str = "pasta ended before the program, which had no network from then on";

/// Most often it is a running `serve` that has the ledger, and will keep it: the program waits
/// meanwhile.
const WAIT_FOR_LEDGER: Duration = Duration::from_millis(50);

/// The program has ended, and its connections with it; what its children still have open does not
/// keep the shell waiting.
const DRAIN: Duration = Duration::from_secs(1);
