//! Who carries what leaves a namespace beside the intercepted connections, and the command that makes
//! the namespace accordingly.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

use super::inside;

/// Who carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// This process ([`Forwarded`]), which needs no further program and no `/dev/net/tun`: TCP
    /// connections to other machines, and questions to this machine's resolvers. Everything else is
    /// rejected: UDP, ICMP, and the loopback services of either side for the other.
    Own,
    /// pasta: everything.
    Pasta,
}

impl Carrier {
    /// The command that makes the namespaces and runs `program` (our own executable) in them, which
    /// then listens on `listen`.
    ///
    /// As root no user namespace is made: in one, root would lose the access to the files of other
    /// users, and its privileges.
    pub(super) fn command(self, program: &Path, listen: &[SocketAddr]) -> Command {
        let is_root = rustix::process::geteuid().is_root();
        let mut command = match self {
            Self::Pasta => {
                let mut pasta = Command::new("pasta");
                pasta.args(["--foreground", "--quiet", "--config-net"]);
                if is_root {
                    // Without, pasta would run the program as `nobody`.
                    pasta.args(["--runas", "0:0", "--netns-only"]);
                }
                pasta
            }
            Self::Own => {
                let mut unshare = Command::new("unshare");
                if !is_root {
                    unshare.args(["--user", "--map-root-user"]);
                }
                unshare.arg("--net");
                unshare
            }
        };
        command.arg("--").arg(program).args(inside::COMMAND);
        if self == Self::Own {
            command.arg(inside::ISOLATED);
            if has_route_for_ipv6() {
                command.arg(inside::WITH_IPV6);
            }
        }
        command.args(listen.iter().map(ToString::to_string));
        command
    }
}

/// The sockets inside a namespace at which arrives what [`Carrier::Own`] carries.
#[derive(Debug, Default)]
pub struct Forwarded {
    /// TCP connections, redirected by the kernel: to anything but port 443, and to resolvers.
    pub tcp: Vec<TcpListener>,
    /// Questions to resolvers, whatever their address.
    pub questions: Vec<UdpSocket>,
}

/// Whether this machine reaches other machines by IPv6. A program whose namespace promises more
/// than that would try IPv6 first, and fail.
fn has_route_for_ipv6() -> bool {
    // Connecting a UDP socket looks for a route and sends nothing.
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    socket.is_ok_and(|socket| socket.connect((ANYWHERE, ANY_PORT)).is_ok())
}

/// An address for documentation (RFC 3849), for which only a default route leads anywhere.
const ANYWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const ANY_PORT: u16 = 443;
