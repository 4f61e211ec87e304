//! A connection whose way is open on both sides, before the first byte passes.

use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::record::{ConnectionCaller, ConnectionSetup, Handshake, Host, Phase, TunnelReason};
use crate::tls::read_ahead::ReadAhead;

/// A connection that is open on both sides.
pub(super) enum Path {
    Intercepted {
        intercepted: Intercepted,
        agent: Box<server::TlsStream<ReadAhead<TcpStream>>>,
        provider: Box<client::TlsStream<ReadAhead<TcpStream>>>,
    },
    Tunnelled {
        why: TunnelReason,
        /// The host that the agent asks for, if it says so.
        sni: Option<Host>,
        agent: ReadAhead<TcpStream>,
        provider: TcpStream,
    },
}

/// What is known of an intercepted connection that is open on both sides.
pub(super) struct Intercepted {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) setup: Box<ConnectionSetup>,
    pub(super) caller: ConnectionCaller,
}

/// The phase of a handshake that has just ended.
pub(super) fn phase(handshake: Handshake) -> (Phase, Handshake) {
    (
        Phase::ended(SystemTime::now(), handshake.duration),
        handshake,
    )
}
