//! Shows that redirect rules work: a process that they are for dials an address that nobody has, and
//! the connection arrives at our listener or not.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use super::listener;
use crate::record::printable;

/// The arguments with which our executable becomes the process that dials.
pub(crate) const COMMAND: [&str; 2] = ["run-stage", "probe-redirect"];

/// Dials an address of each IP family that this machine has a route for.
///
/// # Errors
/// A connection could not be made, or there is no route for any family.
pub(crate) fn connect() -> io::Result<()> {
    let mut outcome = Err(io::ErrorKind::NetworkUnreachable.into());
    for address in NOBODY {
        let address = SocketAddr::new(address, 443);
        match TcpStream::connect_timeout(&address, DIAL_LIMIT) {
            Ok(_) => outcome = Ok(()),
            Err(error) if is_without_route(&error) => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
        }
    }
    outcome
}

fn is_without_route(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NetworkUnreachable || listener::is_without_ipv6(error)
}

/// Takes `child`, which was started with [`COMMAND`] and with its standard error piped, to its end.
/// Its connections must arrive at `listeners`, which do not block.
///
/// # Errors
/// What the child has said, where they do not.
pub(crate) fn arrives(mut child: Child, listeners: &[TcpListener]) -> Result<(), String> {
    let deadline = Instant::now() + PROBE_LIMIT;
    let mut has_arrived = false;
    let ended = loop {
        // Seen before the look at the listeners, so that no connection is missed.
        let ended = child.try_wait().ok().flatten();
        for listener in listeners {
            while listener.accept().is_ok() {
                has_arrived = true;
            }
        }
        if ended.is_some() || Instant::now() >= deadline {
            break ended;
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    if has_arrived && ended.is_some_and(|status| status.success()) {
        return Ok(());
    }
    // Fails when it has ended, or is another user's; that one ends by its own limit.
    let _ = child.kill();
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // What is no text is left out.
        let _ = stderr.take(MAX_WORDS).read_to_string(&mut said);
    }
    let _ = child.wait();
    Err(match said.trim().trim_start_matches("error: ") {
        "" => "no connection has arrived".to_owned(),
        said => printable(said),
    })
}

/// Addresses for documentation (RFC 5737, RFC 3849): where no rule catches the connection, nobody
/// answers it.
const NOBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// A redirected connection takes microseconds.
const DIAL_LIMIT: Duration = Duration::from_millis(500);

/// systemd and sudo may take a moment.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// More than any error of systemd-run or ours has.
const MAX_WORDS: u64 = 4 << 10;
