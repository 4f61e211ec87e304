//! Ends a TCP connection so that it does not look complete: everything written arrives, then FIN,
//! and no close_notify.

use std::io;
use std::net::Shutdown as Half;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{Shutdown, diagnostics};
use crate::observe::End;

/// Closes both connections as the end requires.
pub(super) async fn after(end: End, agent: &TcpStream, provider: &TcpStream, shutdown: &Shutdown) {
    if end != End::Closed {
        let both = async { tokio::join!(hang_up(agent, AGENT), hang_up(provider, PROVIDER)) };
        // Forced, the connections close at once, whatever is still on its way.
        shutdown
            .force
            .run_until_cancelled(both.instrument(diagnostics::hang_up()))
            .await;
    }
}

/// Sends FIN at once, then reads and drops what the peer still sends, for `longest` at most:
/// closing over unread bytes would reset the connection, and a reset discards what the peer has not
/// read yet (RFC 9112 section 9.6).
pub(super) async fn hang_up(tcp: &TcpStream, longest: Duration) {
    // Fails only on a connection that is already gone.
    let _ = SockRef::from(tcp).shutdown(Half::Write);
    let _ = timeout(longest, drop_rest(tcp)).await;
}

/// Reads until the peer closes or is quiet: then the kernel delivers the rest alone.
async fn drop_rest(tcp: &TcpStream) {
    let mut dropped = [0; 1024];
    while let Ok(Ok(())) = timeout(QUIET, tcp.readable()).await {
        match tcp.try_read(&mut dropped) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A slow agent acknowledges for as long as it reads what was buffered for it (HTTP/2 window
/// updates); this ends an upload that goes on regardless.
pub(super) const AGENT: Duration = Duration::from_secs(30);

/// Short, because the provider charges for an answer that nobody reads any more.
pub(super) const PROVIDER: Duration = Duration::from_secs(1);

/// A peer with data to send is not silent for that long.
const QUIET: Duration = Duration::from_secs(1);
