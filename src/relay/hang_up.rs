//! The end of a TCP connection that is not to look complete: everything written arrives, then FIN, and no close_notify.

use std::net::Shutdown as Half;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shutdown;
use crate::observe::End;

/// Closes both connections as the end asks for.
pub(super) async fn after(end: End, agent: &TcpStream, provider: &TcpStream, shutdown: &Shutdown) {
    if end != End::Closed {
        let both = async { tokio::join!(hang_up(agent), hang_up(provider)) };
        // Forced, the connections close at once, whatever is still on its way.
        shutdown.force.run_until_cancelled(both).await;
    }
}

/// Sends FIN at once, then reads and drops what the peer still sends: closing over unread bytes would reset the connection,
/// and a reset discards what the peer has not read yet (RFC 9112 section 9.6).
pub(super) async fn hang_up(tcp: &TcpStream) {
    // Fails only on a connection that is already gone.
    let _ = SockRef::from(tcp).shutdown(Half::Write);
    let _ = timeout(LINGER, drop_rest(tcp)).await;
}

async fn drop_rest(tcp: &TcpStream) {
    let mut dropped = [0; 1024];
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut dropped) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// The peer on this machine needs far less to read what is buffered, and an answer that nobody waits for any more shall not
/// go on for longer.
const LINGER: Duration = Duration::from_secs(1);
