//! Looks up the original destination of a redirected connection.
//!
//! A seam, so that everything behind it runs in tests without root and without rules.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpStream;

/// Looks up where a redirected connection was going.
pub trait OriginalDst: Send + Sync {
    /// The address that the client dialled.
    ///
    /// # Errors
    /// `ENOENT` when the connection was not redirected; that is an answer, not a fault.
    fn original_dst(&self, tcp: &TcpStream) -> io::Result<SocketAddr>;
}

/// The kernel's connection tracking: `SO_ORIGINAL_DST` of netfilter, both families.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelOriginalDst;

impl OriginalDst for KernelOriginalDst {
    fn original_dst(&self, tcp: &TcpStream) -> io::Result<SocketAddr> {
        let socket = SockRef::from(tcp);
        // The kernel tracks a v4-mapped connection as the IPv4 connection it is.
        let original = match tcp.local_addr()?.ip().to_canonical() {
            IpAddr::V4(_) => socket.original_dst_v4()?,
            IpAddr::V6(_) => socket.original_dst_v6()?,
        };
        original
            .as_socket()
            .ok_or_else(|| io::Error::other("the kernel's answer is no IP address"))
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use tokio::net::TcpListener;

    use super::*;
    use crate::skip;

    /// A connection that no rule redirects: the kernel gives its own address where it tracks
    /// connections, which it does once there is a rule, and else `ENOENT`; a kernel without that
    /// module does not know the question. Of the wrong family it is refused with `EOPNOTSUPP`.
    async fn not_redirected(listen: &str) {
        let listener = TcpListener::bind(listen).await.unwrap();
        let (agent, accepted) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        let (_agent, (tcp, _)) = (agent.unwrap(), accepted.unwrap());
        match KernelOriginalDst.original_dst(&tcp) {
            Ok(original) => assert_eq!(original, tcp.local_addr().unwrap()),
            Err(error) => {
                let can_track = std::path::Path::new("/proc/sys/net/netfilter").exists();
                let expected = if can_track {
                    Errno::NOENT
                } else {
                    Errno::NOPROTOOPT
                };
                assert_eq!(
                    error.raw_os_error(),
                    Some(expected.raw_os_error()),
                    "{error}"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_kernel_answers_for_ipv4() {
        not_redirected("127.0.0.1:0").await;
    }

    #[tokio::test]
    async fn the_kernel_answers_for_ipv6() {
        if skip::has_ipv6() {
            not_redirected("[::1]:0").await;
        }
    }
}
