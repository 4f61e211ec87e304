//! Clients that do not trust Gravimeter's CA: whether they are refused, or passed through unread.
//!
//! A client shows that it does not trust the CA by an alert about the certificate, or by closing
//! the connection inside the handshake. The connection in which it does so is lost. What is
//! remembered is the client's address and the kind of its TLS library, together with the host:
//! nothing else is known of a client before its first request. Two programs at one address that use
//! the same library with the same settings are not told apart.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::net::TcpStream;

use super::Relay;
use super::refusal::Refusal;
use super::route::Route;
use crate::record::{Fact, HandshakeFailure, Host, TunnelReason};
use crate::tls::hello::ClientKind;

/// A client as far as it is known before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client {
    /// Its address, without the port.
    pub(super) address: IpAddr,
    /// What its ClientHello tells of it.
    pub(super) kind: ClientKind,
}

/// What happens to the connections of a client that does not trust Gravimeter's CA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Untrusting {
    /// They are refused, so that no connection to an intercepted host passes unread.
    #[default]
    Refuse,
    /// After the client has rejected a certificate, its next connections to that host are passed on
    /// without decryption for [`TUNNELLED_FOR`].
    Tunnel,
}

/// How long connections are passed on unread after a client has rejected a certificate. Then
/// interception is tried again, which costs the client one failed connection: the client may have
/// been given the CA in the meantime, or be another program of the same kind.
pub const TUNNELLED_FOR: Duration = Duration::from_secs(10 * 60);

/// A client that closes a connection inside the handshake may only have given up. If it does so
/// again within this time, it means the certificate.
const CLOSED_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// How many pairs of client and host are remembered; the least recently used is forgotten first.
/// Programs that run under one Gravimeter talk to a few dozen hosts.
const MAX_REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Remembers which clients have rejected Gravimeter's certificate for which host.
#[derive(Debug)]
pub(crate) struct Rejections {
    /// Locked to look one pair up or to change it.
    remembered: Mutex<LruCache<(Client, Host), Rejection>>,
}

#[derive(Debug, Clone, Copy)]
enum Rejection {
    /// The client has closed a connection inside the handshake once.
    ClosedOnce(Instant),
    /// The client does not trust the certificate.
    Distrusted(Instant),
}

impl Default for Rejections {
    fn default() -> Self {
        Self {
            remembered: Mutex::new(LruCache::new(MAX_REMEMBERED)),
        }
    }
}

impl Rejections {
    /// Whether the client has rejected the certificate for the host so recently that its
    /// connections are passed on unread.
    pub(super) fn is_remembered(&self, client: Client, host: &Host, now: Instant) -> bool {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        matches!(
            remembered.get(&(client, host.clone())),
            Some(Rejection::Distrusted(since)) if now.duration_since(*since) < TUNNELLED_FOR
        )
    }

    /// Takes note of a failed handshake with the client. Returns whether the client is now known
    /// not to trust the certificate.
    pub(super) fn note(
        &self,
        client: Client,
        host: &Host,
        failure: HandshakeFailure,
        now: Instant,
    ) -> bool {
        let is_alert = is_rejection(failure);
        if !is_alert && failure != HandshakeFailure::Closed {
            return false;
        }
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pair = (client, host.clone());
        let closed_before = matches!(
            remembered.get(&pair),
            Some(Rejection::ClosedOnce(at)) if now.duration_since(*at) < CLOSED_AGAIN_WITHIN
        );
        let is_distrusted = is_alert || closed_before;
        let rejection = if is_distrusted {
            Rejection::Distrusted(now)
        } else {
            Rejection::ClosedOnce(now)
        };
        remembered.put(pair, rejection);
        is_distrusted
    }

    /// Forgets the pair: the client has accepted the certificate.
    pub(super) fn forget(&self, client: Client, host: &Host) {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered.pop(&(client, host.clone()));
    }
}

impl Relay {
    /// Leads a client around the interception that has rejected our certificate for this host,
    /// where that is asked for.
    pub(super) fn around_untrusting(&self, route: Route, address: IpAddr) -> Route {
        match route {
            Route::Intercept { host, client, .. }
                if self.config.untrusting == Untrusting::Tunnel
                    && self.rejections.is_remembered(
                        Client {
                            address,
                            kind: client,
                        },
                        &host,
                        Instant::now(),
                    ) =>
            {
                Route::Tunnel {
                    why: TunnelReason::Untrusting,
                    sni: Some(host),
                }
            }
            route => route,
        }
    }

    /// States that the client has rejected the certificate for the host, if that is why the
    /// handshake with it failed.
    pub(super) fn note_rejection(&self, client: Client, host: &Host, refusal: &Refusal) {
        if let Refusal::AgentHandshake(failure) = refusal
            && self.rejections.note(client, host, *failure, Instant::now())
        {
            self.record.record(Fact::CertificateRejected(host.clone()));
        }
    }
}

/// The client's address. One that has reset its connection has none, and gets no answer either.
pub(super) fn address_of(client: &TcpStream) -> IpAddr {
    let gone = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    client.peer_addr().map_or(gone, |address| address.ip())
}

/// Whether the client's alert is about the certificate (RFC 8446 section 6.2). OpenSSL, rustls and
/// Go send one of these when the chain does not lead to a root that they trust; some libraries
/// answer with `decrypt_error` or `internal_error`, which are among the others.
fn is_rejection(failure: HandshakeFailure) -> bool {
    matches!(
        failure,
        HandshakeFailure::BadCertificateAlert
            | HandshakeFailure::Expired
            | HandshakeFailure::OtherAlert
            | HandshakeFailure::Revoked
            | HandshakeFailure::UnknownCa
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Client = at(Ipv4Addr::LOCALHOST);

    const fn at(address: Ipv4Addr) -> Client {
        Client {
            address: IpAddr::V4(address),
            kind: ClientKind::UNKNOWN,
        }
    }

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    #[test]
    fn an_alert_counts_at_once_for_that_client_and_host_and_for_a_while() {
        let (rejections, now) = (Rejections::default(), Instant::now());
        let api = host("api.example.com");
        assert!(!rejections.is_remembered(CLIENT, &api, now));
        assert!(rejections.note(CLIENT, &api, HandshakeFailure::UnknownCa, now));
        assert!(rejections.is_remembered(CLIENT, &api, now));
        assert!(!rejections.is_remembered(CLIENT, &host("other.example.com"), now));
        assert!(!rejections.is_remembered(at(Ipv4Addr::BROADCAST), &api, now));
        let just_before = now + TUNNELLED_FOR - Duration::from_nanos(1);
        assert!(rejections.is_remembered(CLIENT, &api, just_before));
        assert!(!rejections.is_remembered(CLIENT, &api, now + TUNNELLED_FOR));
        rejections.forget(CLIENT, &api);
        assert!(!rejections.is_remembered(CLIENT, &api, now));
    }

    #[test]
    fn a_closed_connection_counts_the_second_time_and_other_failures_never() {
        let (rejections, now) = (Rejections::default(), Instant::now());
        let api = host("api.example.com");
        assert!(!rejections.note(CLIENT, &api, HandshakeFailure::Closed, now));
        let too_late = now + CLOSED_AGAIN_WITHIN;
        assert!(!rejections.note(CLIENT, &api, HandshakeFailure::Closed, too_late));
        assert!(!rejections.is_remembered(CLIENT, &api, too_late));
        assert!(rejections.note(CLIENT, &api, HandshakeFailure::Closed, too_late));
        assert!(rejections.is_remembered(CLIENT, &api, too_late));
        for failure in [HandshakeFailure::Incompatible, HandshakeFailure::Timeout] {
            for _ in 0..3 {
                assert!(!rejections.note(CLIENT, &host("b.example.com"), failure, now));
            }
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let (rejections, now) = (Rejections::default(), Instant::now());
        for number in 0..=MAX_REMEMBERED.get() {
            let api = host(&format!("h{number}.example.com"));
            rejections.note(CLIENT, &api, HandshakeFailure::UnknownCa, now);
        }
        assert!(!rejections.is_remembered(CLIENT, &host("h0.example.com"), now));
        assert!(rejections.is_remembered(CLIENT, &host("h1.example.com"), now));
    }
}
