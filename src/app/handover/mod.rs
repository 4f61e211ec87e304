//! A service that runs already observes the sessions of `gravimeter run`: one ledger, one exporter
//! and one page for all of them, however many come and go.
//!
//! `run` hands over the sockets at which its program's connections arrive, through a Unix socket, and
//! tells what the session is. The service answers with its CA, serves the connections, and says at
//! the end what was spent. Each side sees the other's end by the end of the connection between them:
//! without `run` the session is over; without the service `run` looks for the next one, or observes
//! the rest by itself.
//!
//! Whoever may connect to the socket may have connections served: the service's own user and root,
//! and where `sessions.group` names a group, its members.

mod client;
mod conversations;
mod group;
mod message;
mod served;
mod server;

use std::net::TcpListener;
use std::sync::Arc;

use tracing::warn;

use super::parts::TrafficParts;
use super::{Error, ServerSearch, Tasks};
use crate::capture::peer::ProgramPattern;
use crate::config::Config;
use crate::record::Session;
use crate::relay::Untrusting;

pub(super) use client::{Handover, OfferError, offer};
pub(super) use message::Ended;
pub(crate) use message::Summary;
pub(super) use message::{receive, send};

use server::Server;

/// A session with everything that a service needs to observe it.
pub(super) struct HandedSession<'a> {
    pub(super) session: &'a Session,
    /// Where the program's connections arrive: the first are for redirected ones, as many as
    /// `redirect` says; the others are CONNECT proxies.
    pub(super) listeners: &'a [TcpListener],
    pub(super) redirect: usize,
    /// [`crate::relay::Config::programs`].
    pub(super) programs: &'a [ProgramPattern],
    pub(super) untrusting: Untrusting,
    /// How a language server that the program starts is found, where one shall be followed.
    pub(super) search: Option<&'a ServerSearch>,
    /// Whether the program is known to start one.
    pub(super) starts_language_server: bool,
}

/// Listens for sessions. Where no place for that was asked for, one that cannot be listened at only
/// means that there are none.
pub(super) async fn take_sessions(
    config: &Config,
    parts: &Arc<TrafficParts>,
    tasks: &Tasks,
) -> Result<(), Error> {
    let socket = config.sessions_socket();
    let started = Server::start(&socket, &config.sessions, Arc::clone(parts), tasks).await;
    match started {
        Err(error) if config.sessions.socket.is_none() && config.sessions.group.is_none() => {
            warn!(%error, "`gravimeter run` cannot hand its sessions over: each run observes its program by itself");
            Ok(())
        }
        started => started,
    }
}
