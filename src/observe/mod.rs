//! Bytes of both directions in, exchanges out: pure, passive, bounded.
//!
//! The relay shows every chunk that it has already passed on; nothing here can delay it, change it
//! or make it fail. No I/O, no async, no clock (an [`Instant`] is passed in), no provider's name.

pub mod base64;
mod changes;
pub mod coding;
#[cfg(test)]
mod differential;
pub mod eventstream;
pub(crate) mod exchange;
pub(crate) mod framing;
#[doc(hidden)]
pub mod fuzz;
pub(crate) mod guard;
mod head;
mod http1;
mod http2;
pub mod json;
mod live;
pub mod memory;
pub mod sse;
#[cfg(test)]
mod transcript;
pub(crate) mod websocket;

pub(crate) use head::request_head;

use std::time::{Instant, SystemTime};

pub use changes::Changes;
pub(crate) use http1::RequestCheck;

use crate::record::{ConnectionCaller, ConnectionSetup, Host, TimeoutStep};

/// What looking at the traffic may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Memory of all observers together, in bytes.
    pub max_memory: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_memory: memory::DEFAULT_BYTES,
        }
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the agent to the provider.
    ToProvider,
    /// From the provider to the agent.
    ToAgent,
}

/// The application protocol of a connection, as ALPN settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `h2`.
    H2,
    /// `http/1.1`.
    Http1,
    /// None was negotiated, or another one: the first bytes decide.
    Unknown,
}

/// What is known of an intercepted connection when its first byte passes.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The provider's host, as the agent asked for it (SNI).
    pub host: Host,
    /// The application protocol.
    pub alpn: Alpn,
    /// The monotonic clock when the connection was opened.
    pub opened: Instant,
    /// The wall clock at the same moment: together they date every later instant.
    pub opened_at: SystemTime,
    /// The provider's port.
    pub port: u16,
    /// What it took to open it.
    pub setup: Option<Box<ConnectionSetup>>,
    /// Who has opened it.
    pub caller: ConnectionCaller,
    /// What is changed in its requests before they are sent, where anything may be.
    pub changes: Option<Changes>,
}

impl Connection {
    /// The wall clock at `instant`, free of clock jumps since the connection was opened.
    #[must_use]
    pub fn wall_clock(&self, instant: Instant) -> SystemTime {
        self.opened_at + instant.saturating_duration_since(self.opened)
    }
}

/// How an observed connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The agent's side broke off: reset, or closed without close_notify.
    AgentGone,
    /// Both sides ended with close_notify.
    Closed,
    /// The provider's side broke off: reset, or closed without close_notify.
    ProviderGone,
    /// Gravimeter has closed it: it is shutting down, or a budget lets no further call begin.
    Shutdown,
    /// A limit in time was passed.
    TimedOut(TimeoutStep),
}

/// Opens an observer for each intercepted connection.
pub trait OpenObserver: Send + Sync {
    /// Called once, before the first byte.
    fn open(&self, connection: Connection) -> Box<dyn Observer>;
}

/// Looks at the plaintext of one connection after it has been passed on.
pub trait Observer: Send {
    /// Reads bytes that were just written to their receiver, and were read at this time. Returns how
    /// many, from the front: after a few KiB of decompressed bytes an observer leaves the rest for
    /// later. What is left comes again, before anything else is shown to it.
    fn read(&mut self, direction: Direction, bytes: &[u8], at: Instant) -> usize;

    /// Reads all of the bytes, however long that takes.
    fn bytes(&mut self, direction: Direction, mut bytes: &[u8], at: Instant) {
        while !bytes.is_empty() {
            let read = self.read(direction, bytes, at);
            bytes = bytes.get(read..).unwrap_or_default();
        }
    }

    /// One side has sent its last byte (close_notify); the other may go on.
    fn half_closed(&mut self, direction: Direction, at: Instant);

    /// Whether no exchange is open, so that closing the connection now cuts nothing off.
    fn is_between_exchanges(&self) -> bool;

    /// The connection has ended; called once, last.
    fn end(&mut self, end: End, at: Instant);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn instants_are_dated_by_the_opening_of_their_connection() {
        let connection = Connection {
            host: Host::parse("api.example.com").unwrap(),
            alpn: Alpn::H2,
            opened: Instant::now(),
            opened_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
            port: 443,
            setup: None,
            caller: ConnectionCaller::default(),
            changes: None,
        };
        let second = Duration::from_secs(1);
        let [opened, later] = [connection.opened, connection.opened + second];
        assert_eq!(connection.wall_clock(opened), connection.opened_at);
        assert_eq!(connection.wall_clock(later), connection.opened_at + second);
    }
}
