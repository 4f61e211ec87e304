//! Finds the user of this machine that a connection belongs to, and checks whether the CONNECT
//! proxy serves that user.
//!
//! TCP has no `SO_PEERCRED`: the owner of the other end is taken from the kernel's table of
//! sockets. A connection without an entry is refused, whether its owner is gone, on another machine
//! or in another network namespace.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use procfs::net::TcpNetEntry;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::peer::Ends;
use crate::record::RefuseReason;

/// The users whom the CONNECT proxy and the base-URL door serve.
#[derive(Debug)]
pub struct Owners {
    allowed: BTreeSet<u32>,
    /// One reader of the kernel's table at a time; all connections that wait meanwhile are answered
    /// by the next reading. Reading it for each connection would cost time that grows with the
    /// square of their number.
    turn: Semaphore,
    /// Guards the last reading: locked only to look it up or to replace it.
    last: Mutex<Arc<Sockets>>,
}

impl Owners {
    /// Serves the users with these uids and nobody else, not even root.
    pub fn new(allowed: impl IntoIterator<Item = u32>) -> Self {
        let never = Sockets {
            begun: None,
            owners: HashMap::new(),
        };
        Self {
            allowed: allowed.into_iter().collect(),
            turn: Semaphore::new(1),
            last: Mutex::new(Arc::new(never)),
        }
    }

    /// Checks the owner of a connection.
    ///
    /// # Errors
    /// [`RefuseReason::OtherUser`] when it belongs to a user who is not served,
    /// [`RefuseReason::UnknownUser`] when the kernel names no owner.
    pub async fn check(&self, accepted: &TcpStream) -> Result<(), RefuseReason> {
        let ends = accepted
            .peer_addr()
            .and_then(|peer| Ok(Ends::new(peer, accepted.local_addr()?)));
        let Ok(ends) = ends else {
            return Err(RefuseReason::UnknownUser);
        };
        match self.sockets_since(Instant::now()).await.owners.get(&ends) {
            Some(uid) => self.serves(*uid),
            None => Err(RefuseReason::UnknownUser),
        }
    }

    /// Checks a user whose connection it is known to be.
    ///
    /// # Errors
    /// [`RefuseReason::OtherUser`] when the user is not served.
    pub(super) fn serves(&self, uid: u32) -> Result<(), RefuseReason> {
        if self.allowed.contains(&uid) {
            Ok(())
        } else {
            Err(RefuseReason::OtherUser)
        }
    }

    /// A reading of the kernel's table that began after `accepted`.
    async fn sockets_since(&self, accepted: Instant) -> Arc<Sockets> {
        // Never closed; if it were, there would only be more readings.
        let _turn = self.turn.acquire().await;
        let last = Arc::clone(&self.last.lock().unwrap_or_else(PoisonError::into_inner));
        if last.begun.is_some_and(|begun| begun >= accepted) {
            return last;
        }
        let read = tokio::task::spawn_blocking(Sockets::read)
            .await
            .map_or(last, Arc::new);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        read
    }
}

/// A snapshot of the kernel's table of connections.
#[derive(Debug)]
struct Sockets {
    /// When the reading began; `None` before the first.
    begun: Option<Instant>,
    /// The uid of each connection's owner.
    owners: HashMap<Ends, u32>,
}

impl Sockets {
    /// Reads the table; blocks for about a millisecond for each thousand connections of the
    /// machine.
    fn read() -> Self {
        let begun = Some(Instant::now());
        let entries = [procfs::net::tcp(), procfs::net::tcp6()]
            .into_iter()
            .filter_map(Result::ok)
            .flatten();
        Self {
            begun,
            owners: entries.filter_map(owned).collect(),
        }
    }
}

/// A socket that its process has closed has no inode any more, and the kernel shows it as root's.
fn owned(entry: TcpNetEntry) -> Option<(Ends, u32)> {
    (entry.inode != 0).then(|| {
        (
            Ends::new(entry.local_address, entry.remote_address),
            entry.uid,
        )
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    async fn pair(listen: SocketAddr, dial: IpAddr) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(listen).await.unwrap();
        let to = SocketAddr::new(dial, listener.local_addr().unwrap().port());
        let socket = if dial.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }
        .unwrap();
        let (agent, accepted) = tokio::join!(socket.connect(to), listener.accept());
        (agent.unwrap(), accepted.unwrap().0)
    }

    fn four() -> (SocketAddr, IpAddr) {
        ((Ipv4Addr::LOCALHOST, 0).into(), Ipv4Addr::LOCALHOST.into())
    }

    #[tokio::test]
    async fn the_owner_is_found_in_both_families_and_across_them() {
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        let any_six = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        for (listen, dial) in [
            four(),
            ((Ipv6Addr::LOCALHOST, 0).into(), Ipv6Addr::LOCALHOST.into()),
            ((Ipv4Addr::LOCALHOST, 0).into(), mapped),
            (any_six, Ipv4Addr::LOCALHOST.into()),
        ] {
            let (_agent, accepted) = pair(listen, dial).await;
            assert_eq!(
                Owners::new([own()]).check(&accepted).await,
                Ok(()),
                "{listen} {dial}"
            );
            assert_eq!(
                Owners::new([own() + 1]).check(&accepted).await,
                Err(RefuseReason::OtherUser),
                "{listen} {dial}"
            );
        }
    }

    /// What a closed socket leaves behind is shown as uid 0: it must not pass for root's.
    #[tokio::test]
    async fn who_has_closed_already_is_nobody() {
        let (listen, dial) = four();
        let (agent, accepted) = pair(listen, dial).await;
        drop(agent);
        let check = Owners::new([own(), 0]).check(&accepted).await;
        assert_eq!(check, Err(RefuseReason::UnknownUser));
    }

    #[tokio::test]
    async fn a_crowd_shares_one_reading_and_who_comes_later_gets_another() {
        let owners = Owners::new([own()]);
        let asked = Instant::now();
        let readings =
            futures_util::future::join_all((0..64).map(|_| owners.sockets_since(asked))).await;
        assert!(
            readings
                .iter()
                .all(|reading| Arc::ptr_eq(reading, &readings[0]))
        );
        let (listen, dial) = four();
        let (_agent, accepted) = pair(listen, dial).await;
        assert_eq!(
            owners.check(&accepted).await,
            Ok(()),
            "it is not in the first reading"
        );
    }
}
