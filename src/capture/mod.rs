//! How a connection arrives: by redirect, or through the CONNECT door. Knows nothing of TLS and nothing of the HTTP inside.

pub mod connect_proxy;
pub mod listener;
pub mod loop_guard;
pub mod original_dst;
pub mod redirect;

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::record::Host;

pub use original_dst::OriginalDst;

/// Where the agent wanted to go; checked against the loop guard, so dialling it never leads back into the house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The address that the agent dialled (redirect), or asked for by number (CONNECT).
    Address(SocketAddr),
    /// A name that the agent asked for (CONNECT).
    Name {
        /// The name.
        host: Host,
        /// The port.
        port: u16,
    },
}

/// A connection of the agent, ready for the relay.
#[derive(Debug)]
pub struct Accepted {
    /// The agent's side.
    pub tcp: TcpStream,
    /// Bytes that were read together with the CONNECT request and belong to the connection.
    pub prefix: Bytes,
    /// Where it wants to go.
    pub destination: Destination,
}
