//! The sockets of connections, by their two ends.
//!
//! In our own network namespace, the kernel is asked for each of them (sock_diag(7)), which takes as
//! long however many others there are. The table in `/proc` lists all of a namespace, those that
//! are closed already as well: it is read for another namespace, and where the kernel does not
//! answer.

use std::collections::HashSet;
use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::SocketAddr as NetlinkAddr;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use procfs::process::Process;

use super::Ends;

/// Whose sockets are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// Those of our own network namespace.
    Own,
    /// Those of the network namespace of this process.
    NamespaceOf(u32),
}

/// The socket of a connection at its dialling end, which a process still has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) ends: Ends,
    /// By which the open files of processes name it.
    pub(super) inode: u64,
    /// Its owner.
    pub(super) uid: u32,
}

/// The sockets of those of the wanted connections that are open.
pub(super) fn sockets(table: Table, wanted: &[Ends]) -> Vec<Socket> {
    let asked = match table {
        Table::Own => asked(wanted).unwrap_or_default(),
        Table::NamespaceOf(_) => Vec::new(),
    };
    // A kernel that cannot look sockets up says of each that there is none.
    if asked.is_empty() {
        listed(table, wanted)
    } else {
        asked
    }
}

/// Those of the wanted sockets that the kernel finds.
fn asked(wanted: &[Ends]) -> io::Result<Vec<Socket>> {
    let kernel = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
    kernel.connect(&NetlinkAddr::new(0, 0))?;
    // The answer is there as soon as the question was sent.
    kernel.set_non_blocking(true)?;
    let mut sockets = Vec::new();
    for ends in wanted {
        sockets.extend(ask(&kernel, *ends)?);
    }
    Ok(sockets)
}

fn ask(kernel: &netlink_sys::Socket, wanted: Ends) -> io::Result<Option<Socket>> {
    let ((from, from_port), (to, to_port)) = (wanted.from, wanted.to);
    let request = InetRequest {
        // That of the addresses: a socket of IPv6 with an IPv4 address in it is found by that.
        family: if from.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: from_port,
            destination_port: to_port,
            source_address: from,
            destination_address: to,
            interface_id: 0,
            cookie: ANY_COOKIE,
        },
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut question = vec![0; message.buffer_len()];
    message.serialize(&mut question);
    kernel.send(&question, 0)?;
    let mut answer = Vec::with_capacity(LARGEST_ANSWER);
    kernel.recv(&mut answer, 0)?;
    let answer: NetlinkMessage<SockDiagMessage> =
        NetlinkMessage::deserialize(&answer).map_err(io::Error::other)?;
    let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) = answer.payload else {
        return Ok(None);
    };
    let (id, inode) = (&found.header.socket_id, found.header.inode);
    let ends = Ends::new(
        (id.source_address, id.source_port).into(),
        (id.destination_address, id.destination_port).into(),
    );
    // Where no connection has these ends, the kernel finds who listens at the first of them.
    let is_wanted = ends == wanted && inode != NO_INODE;
    Ok(is_wanted.then(|| Socket {
        ends,
        inode: inode.into(),
        uid: found.header.uid,
    }))
}

/// Those of the wanted sockets that the table in `/proc` lists.
fn listed(table: Table, wanted: &[Ends]) -> Vec<Socket> {
    let wanted: HashSet<&Ends> = wanted.iter().collect();
    let read = match table {
        Table::Own => [procfs::net::tcp(), procfs::net::tcp6()],
        Table::NamespaceOf(pid) => match i32::try_from(pid).map(Process::new) {
            Ok(Ok(process)) => [process.tcp(), process.tcp6()],
            // It has ended, and its namespace with it.
            _ => [Ok(Vec::new()), Ok(Vec::new())],
        },
    };
    let entries = read.into_iter().filter_map(Result::ok).flatten();
    entries
        .filter(|entry| entry.inode != u64::from(NO_INODE))
        .map(|entry| Socket {
            ends: Ends::new(entry.local_address, entry.remote_address),
            inode: entry.inode,
            uid: entry.uid,
        })
        .filter(|socket| wanted.contains(&socket.ends))
        .collect()
}

/// Of a socket that its process has closed.
const NO_INODE: u32 = 0;

/// Stands for whatever number the kernel has given to a socket (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];

/// Bytes of the longest answer: some 100, and what a later kernel may add.
const LARGEST_ANSWER: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

    use super::*;

    /// A connection, and its ends.
    fn connection(listener: SocketAddr, as_dialled: SocketAddr) -> (TcpStream, TcpStream, Ends) {
        let listener = TcpListener::bind(listener).unwrap();
        let to = SocketAddr::new(as_dialled.ip(), listener.local_addr().unwrap().port());
        let agent = TcpStream::connect(to).unwrap();
        let (accepted, from) = listener.accept().unwrap();
        let ends = Ends::new(from, accepted.local_addr().unwrap());
        (agent, accepted, ends)
    }

    #[test]
    fn the_kernel_names_the_sockets_that_the_table_lists() {
        let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let mut cases = vec![((v4, 0).into(), (v4, 0).into())];
        if crate::skip::has_ipv6() {
            let both = Ipv6Addr::UNSPECIFIED;
            cases.push(((v6, 0).into(), (v6, 0).into()));
            cases.push(((both, 0).into(), (v4.to_ipv6_mapped(), 0).into()));
        }
        for (listener, dialled) in cases {
            let (agent, _accepted, ends) = connection(listener, dialled);
            let asked = asked(&[ends]).unwrap();
            assert_eq!(asked, listed(Table::Own, &[ends]), "{ends:?}");
            assert_eq!(asked.len(), 1, "{ends:?}");
            drop(agent);
            assert_eq!(super::asked(&[ends]).unwrap(), [], "closed: {ends:?}");
        }
    }

    #[test]
    fn who_listens_at_an_end_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        assert_eq!(asked(&[Ends::new(at, nobody)]).unwrap(), []);
    }
}
