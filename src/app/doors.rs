//! The listening sockets: all are bound before anything starts, so that an occupied port is told at once.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::Error;
use crate::capture::{Door, listener};
use crate::config::Config;

/// Every listener of the house, bound.
pub(super) struct Doors {
    pub(super) web: TcpListener,
    pub(super) traffic: Vec<(Door, TcpListener)>,
}

/// Where the house can be reached; the ports are the real ones when the configuration left them to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// `/metrics`, `/v1/usage` and the page.
    pub web: SocketAddr,
    /// Where redirected connections arrive.
    pub redirect: Vec<SocketAddr>,
    /// The CONNECT proxy.
    pub connect: Option<SocketAddr>,
}

impl Doors {
    pub(super) fn open(config: &Config) -> Result<(Self, Addresses), Error> {
        let (web, web_address) = bind(config.web.listen, "web.listen")?;
        let mut doors = Self { web, traffic: Vec::new() };
        let mut addresses = Addresses { web: web_address, redirect: Vec::new(), connect: None };
        for wanted in &config.capture.redirect_listen {
            // Without IPv6 in the kernel there is nothing to arrive there.
            if wanted.is_ipv6() && !has_ipv6() {
                continue;
            }
            let (listener, address) = bind(*wanted, "capture.listen")?;
            doors.traffic.push((Door::Redirect, listener));
            addresses.redirect.push(address);
        }
        if let Some(wanted) = config.capture.connect_listen {
            let (listener, address) = bind(wanted, "capture.connect_listen")?;
            doors.traffic.push((Door::Connect, listener));
            addresses.connect = Some(address);
        }
        Ok((doors, addresses))
    }
}

impl Addresses {
    /// All of them: what the house must never be led to.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        self.redirect.iter().copied().chain(self.connect).chain([self.web]).collect()
    }
}

fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = listener::bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| Error::Bind { address, key, source })
}

fn has_ipv6() -> bool {
    std::path::Path::new("/proc/net/if_inet6").exists()
}
