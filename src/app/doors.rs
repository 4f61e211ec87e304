//! The listening sockets: all are bound before anything starts, so that an occupied port is told at
//! once.
//!
//! Where the service manager hands sockets over for a purpose, those are used and none is bound in
//! their place.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::{TcpListener, UnixListener};
use tracing::{info, warn};

use super::Error;
use super::activation::{Activation, Handed};
use crate::capture::{Door, Owners, listener};
use crate::config::Config;
use crate::launch::{self, AccountError};
use crate::record::Label as _;
use crate::web::Listener;

/// Every listener of Gravimeter, bound.
#[derive(Default)]
pub(super) struct Doors {
    pub(super) web: Vec<Listener>,
    pub(super) traffic: Vec<(Door, Listener)>,
}

/// Where Gravimeter can be reached; the ports are the real ones when the configuration left them to
/// the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// `/metrics`, `/v1/usage` and the page.
    pub web: Vec<SocketAddr>,
    /// The same, as Unix sockets.
    pub sockets: Vec<PathBuf>,
    /// Where redirected connections arrive.
    pub redirect: Vec<SocketAddr>,
    /// The CONNECT proxy.
    pub connect: Option<SocketAddr>,
    /// The base-URL door.
    pub base_url: Option<SocketAddr>,
}

impl Doors {
    pub(super) fn open(config: &Config, handed: Activation) -> Result<(Self, Addresses), Error> {
        let (mut doors, mut addresses) = (Self::default(), Addresses::default());
        doors.open_exporter(config, handed.exporter, &mut addresses)?;
        doors.open_redirect(config, handed.redirect, &mut addresses)?;
        let connect = match handed.connect.into_iter().next() {
            Some(listener) => Some(taken(listener)?),
            None => config
                .capture
                .connect_listen
                .map(|wanted| bind(wanted, "capture.connect_listen"))
                .transpose()?,
        };
        if let Some((listener, address)) = connect {
            doors.traffic.push((Door::Connect, listener.into()));
            addresses.connect = Some(address);
        }
        doors.open_base_url(config, &mut addresses)?;
        Ok((doors, addresses))
    }

    /// How many kinds of doors connections arrive at, those `also` included.
    pub(super) fn kinds(&self, also: &[Door]) -> usize {
        let has = |kind| self.traffic.iter().any(|(door, _)| *door == kind);
        let kinds = Door::ALL.iter();
        kinds
            .filter(|kind| has(**kind) || also.contains(kind))
            .count()
    }

    fn open_base_url(&mut self, config: &Config, to: &mut Addresses) -> Result<(), Error> {
        if let Some(wanted) = config.capture.base_url_listen {
            let (listener, address) = bind(wanted, "capture.base_url.listen")?;
            self.traffic.push((Door::BaseUrl, listener.into()));
            to.base_url = Some(address);
        }
        if let Some(path) = &config.capture.base_url_socket {
            // Who may use it is decided by who does, not by who may write to the file.
            let listener = Listener::bind_unix(path, ANYBODY)?;
            self.traffic.push((Door::BaseUrl, listener));
        }
        Ok(())
    }

    fn open_exporter(
        &mut self,
        config: &Config,
        handed: Vec<Handed>,
        to: &mut Addresses,
    ) -> Result<(), Error> {
        let wanted = config.web.listen.filter(|_| handed.is_empty());
        let bound = wanted
            .map(|wanted| bind(wanted, "web.listen"))
            .transpose()?;
        let mut tcp: Vec<_> = bound.into_iter().collect();
        for handed in handed {
            match handed {
                Handed::Tcp(listener) => tcp.push(taken(listener)?),
                Handed::Unix(listener) => {
                    let path = listener
                        .local_addr()
                        .ok()
                        .and_then(|it| it.as_pathname().map(PathBuf::from));
                    to.sockets.extend(path);
                    self.web.push(Listener::Unix(
                        UnixListener::from_std(listener).map_err(Error::Handed)?,
                        None,
                    ));
                }
            }
        }
        for (listener, address) in tcp {
            config.web.admit(address)?;
            to.web.push(address);
            self.web.push(Listener::Tcp(listener));
        }
        if let Some(path) = &config.web.socket {
            self.web
                .push(Listener::bind_unix(path, config.web.socket_mode)?);
            to.sockets.push(path.clone());
        }
        Ok(())
    }

    fn open_redirect(
        &mut self,
        config: &Config,
        handed: Vec<std::net::TcpListener>,
        to: &mut Addresses,
    ) -> Result<(), Error> {
        let mut bound = handed
            .into_iter()
            .map(taken)
            .collect::<Result<Vec<_>, _>>()?;
        let stray = bound
            .iter()
            .map(|(_, address)| *address)
            .find(|it| it.port() != config.redirect.port);
        if let Some(address) = stray.filter(|_| config.redirect.rules.are_needed()) {
            return Err(Error::Stray {
                address,
                port: config.redirect.port,
            });
        }
        if bound.is_empty() {
            bound = Addresses::wanted_of_redirect(config)
                .map(|wanted| bind(wanted, "capture.listen"))
                .collect::<Result<_, _>>()?;
        }
        for (listener, address) in bound {
            self.traffic.push((Door::Redirect, listener.into()));
            to.redirect.push(address);
        }
        Ok(())
    }
}

impl Addresses {
    /// Where `serve` listens for redirected connections.
    pub(crate) fn wanted_of_redirect(config: &Config) -> impl Iterator<Item = SocketAddr> + '_ {
        // Where no redirect is expected, nobody could use the port.
        let is_needed = config.redirect.rules.are_needed();
        let wanted = config.capture.redirect_listen.iter().copied();
        // Without IPv6 in the kernel there is nothing to arrive there.
        wanted.filter(move |wanted| is_needed && (!wanted.is_ipv6() || has_ipv6()))
    }

    /// The first address of the exporter.
    #[must_use]
    pub fn exporter(&self) -> Option<SocketAddr> {
        self.web.first().copied()
    }

    /// Says them in the log, for people; what there is none of is left out.
    pub(super) fn tell(&self) {
        let sockets = listed(self.sockets.iter().map(|path| path.display()));
        info!(
            web = self.exporter().map(display),
            sockets,
            connect = self.connect.map(display),
            base_url = self.base_url.map(display),
            redirect = listed(&self.redirect),
            "listening"
        );
    }

    /// All of them: what Gravimeter must never be led to.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        self.redirect
            .iter()
            .chain(&self.connect)
            .chain(&self.base_url)
            .chain(&self.web)
            .copied()
            .collect()
    }
}

/// Whom the CONNECT proxy and the base-URL door serve: the user who runs Gravimeter, the agent's
/// user, and the others that are named. Nobody is looked up where there is neither.
pub(super) async fn owners(config: &Config, doors: &Doors) -> Result<Owners, Error> {
    let mut allowed = vec![rustix::process::geteuid().as_raw()];
    let is_asked = |(door, _): &(Door, Listener)| *door != Door::Redirect;
    if doors.traffic.iter().any(is_asked) {
        // One that does not exist yet is made together with the redirect rules, and comes by them.
        let agent = config.launch.user.iter().map(|user| (user, false));
        let named = config.capture.connect_users.iter().map(|user| (user, true));
        for (user, must_exist) in agent.chain(named) {
            match uid_of(user).await {
                Ok(uid) => allowed.push(uid),
                Err(source) if must_exist => return Err(Error::ConnectUser { source }),
                Err(error) => warn!(%error, "the CONNECT proxy does not serve the agent's user"),
            }
        }
    }
    Ok(Owners::new(allowed))
}

/// A number is a uid whether or not an account has it: in a container, users of others have none.
async fn uid_of(user: &str) -> Result<u32, AccountError> {
    match user.parse() {
        Ok(uid) => Ok(uid),
        Err(_) => launch::uid_of(user).await,
    }
}

fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = listener::bind(address).and_then(with_address);
    bound.map_err(|source| Error::Bind {
        address,
        key,
        source,
    })
}

fn taken(listener: std::net::TcpListener) -> Result<(TcpListener, SocketAddr), Error> {
    TcpListener::from_std(listener)
        .and_then(with_address)
        .map_err(Error::Handed)
}

fn with_address(listener: TcpListener) -> io::Result<(TcpListener, SocketAddr)> {
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// With commas; `None` where there are none.
fn listed(words: impl IntoIterator<Item = impl ToString>) -> Option<String> {
    let words: Vec<_> = words.into_iter().map(|word| word.to_string()).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn has_ipv6() -> bool {
    std::path::Path::new("/proc/net/if_inet6").exists()
}

/// `rw` for all.
const ANYBODY: u32 = 0o666;
