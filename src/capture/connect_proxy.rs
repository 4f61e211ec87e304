//! The CONNECT proxy: reads one request head and returns the connection with its destination, or
//! refuses it with a short answer that says why.
//!
//! Connections of other users of the machine are refused unread. Of the others only the request
//! line is read. No field is kept, above all not `Proxy-Authorization`, and nothing is dialled
//! here: the answer 200 means that the request is understood, not that the provider is reached.

use std::io;
use std::net::{IpAddr, SocketAddr};

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Destination, LoopGuard, Owners};
use crate::record::{Host, RefuseReason};

/// A connection whose request is understood.
#[derive(Debug)]
pub(super) struct Requested {
    /// The agent's side.
    pub(super) tcp: TcpStream,
    /// Bytes that were read together with the request and belong to the connection.
    pub(super) prefix: Bytes,
    /// Where it wants to go.
    pub(super) destination: Destination,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The agent closed the connection before its request was complete.
    #[error("the agent closed the connection before its request was complete")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The request is not HTTP, too long, or asks for no host and port.
    #[error(
        "a request must read CONNECT host:port HTTP/1.1, with a head of at most {MAX_HEAD} bytes"
    )]
    Malformed,
    /// The method is not CONNECT.
    #[error(
        "only CONNECT is served here: use this proxy for https:// URLs only (set HTTPS_PROXY, not HTTP_PROXY)"
    )]
    NotConnect,
    /// The connection belongs to a user who is not served, or its owner is not known.
    #[error(
        "only the user who runs this and the agent's are served here, and this connection is of another one ({0}); \
         capture.connect_users lets others in"
    )]
    NotServed(RefuseReason),
    /// The destination is Gravimeter itself, or inside this machine or its networks.
    #[error(
        "this proxy does not lead there ({0}); capture.allow_private_networks opens private networks"
    )]
    Refused(RefuseReason),
}

impl ConnectError {
    /// The label.
    #[must_use]
    pub(super) fn reason(&self) -> RefuseReason {
        match self {
            Self::Closed | Self::Io(_) => RefuseReason::AgentGone,
            Self::Malformed | Self::NotConnect => RefuseReason::BadRequest,
            Self::NotServed(reason) | Self::Refused(reason) => *reason,
        }
    }

    /// The status line and its fields; `None` when no client is left to answer.
    fn status(&self) -> Option<&'static str> {
        match self {
            Self::Closed | Self::Io(_) => None,
            Self::Malformed => Some("400 Bad Request"),
            Self::NotConnect => Some("405 Method Not Allowed\r\nAllow: CONNECT"),
            Self::NotServed(_) | Self::Refused(_) => Some("403 Forbidden"),
        }
    }
}

/// Refused connections whose clients may not have read the answer yet. They are kept open for a
/// moment, a limited number of them.
#[derive(Debug, Clone)]
pub(crate) struct Lingering(Arc<Semaphore>);

impl Default for Lingering {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LINGERING)))
    }
}

/// Reads one CONNECT request and answers it, unless it comes from a user whom `owners` does not
/// have. The caller sets the limit in time. The connection of such a user may outlast this, by a
/// task of `tasks`.
///
/// # Errors
/// See [`ConnectError`]; the agent has been answered and the connection is closed.
pub(super) async fn accept(
    mut tcp: TcpStream,
    owners: &Owners,
    guard: &LoopGuard,
    lingering: &Lingering,
    tasks: &TaskTracker,
) -> Result<Requested, ConnectError> {
    if let Err(reason) = owners.check(&tcp).await {
        let error = ConnectError::NotServed(reason);
        turn_away(tcp, &error, lingering, tasks).await;
        return Err(error);
    }
    let requested = match read_request(&mut tcp).await {
        Ok((destination, prefix)) => {
            check(destination, guard).map(|destination| (destination, prefix))
        }
        Err(error) => Err(error),
    };
    match requested {
        Ok((destination, prefix)) => {
            tcp.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
                .await?;
            Ok(Requested {
                tcp,
                prefix,
                destination,
            })
        }
        Err(error) => {
            refuse(tcp, &error).await;
            Err(error)
        }
    }
}

async fn read_request(tcp: &mut TcpStream) -> Result<(Destination, Bytes), ConnectError> {
    let mut head = BytesMut::with_capacity(FIRST_READ);
    loop {
        if tcp.read_buf(&mut head).await? == 0 {
            return Err(ConnectError::Closed);
        }
        if let Some((destination, length)) = parse(&head)? {
            return Ok((destination, head.split_off(length).freeze()));
        }
        if head.len() >= MAX_HEAD {
            return Err(ConnectError::Malformed);
        }
    }
}

/// The destination and the length of the head; `None` when more bytes are needed.
fn parse(bytes: &[u8]) -> Result<Option<(Destination, usize)>, ConnectError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes).map_err(|_| ConnectError::Malformed)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    match (request.method, request.path) {
        (Some("CONNECT"), Some(target)) => Ok(Some((
            authority(target).ok_or(ConnectError::Malformed)?,
            length,
        ))),
        _ => Err(ConnectError::NotConnect),
    }
}

/// The authority form `host:port` of RFC 9112 section 3.2.3.
fn authority(target: &str) -> Option<Destination> {
    let (host, port) = target.rsplit_once(':')?;
    let port = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())
        .flatten()
        .filter(|p| *p != 0)?;
    let ip = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(literal) => Some(IpAddr::V6(literal.parse().ok()?)),
        None => host.parse().ok().map(IpAddr::V4),
    };
    match ip {
        Some(ip) => Some(Destination::Address(SocketAddr::new(ip, port))),
        None => Host::parse(host)
            .ok()
            .map(|host| Destination::Name { host, port }),
    }
}

fn check(destination: Destination, guard: &LoopGuard) -> Result<Destination, ConnectError> {
    match destination {
        Destination::Address(address) => guard
            .requested(address)
            .map(Destination::Address)
            .map_err(ConnectError::Refused),
        name @ Destination::Name { .. } => Ok(name),
    }
}

/// Answers and closes. What the agent still sends is read and dropped: closing over unread bytes
/// would reset the connection and could lose the answer. Errors are ignored, and the caller's
/// timeout ends a flood.
async fn refuse(mut tcp: TcpStream, error: &ConnectError) {
    if answer(&mut tcp, error).await.is_ok() {
        let mut dropped = [0; 1024];
        while tcp.read(&mut dropped).await.is_ok_and(|count| count > 0) {}
    }
}

/// The same for a user who is not served: the caller waits for nothing, so that the connection takes
/// no slot that others need. A request that comes late is read by a task of its own, for a limited
/// time; where there are too many of those, only what has arrived by now is read.
pub(super) async fn turn_away(
    mut tcp: TcpStream,
    error: &ConnectError,
    lingering: &Lingering,
    tasks: &TaskTracker,
) {
    let mut dropped = [0; 1024];
    while tcp.try_read(&mut dropped).is_ok_and(|count| count > 0) {}
    // Failing to answer does not matter.
    if answer(&mut tcp, error).await.is_ok()
        && let Ok(permit) = Arc::clone(&lingering.0).try_acquire_owned()
    {
        tasks.spawn(async move {
            // What comes after that is reset.
            let _ = timeout(LINGER_LIMIT, drop_request(&mut tcp)).await;
            drop(permit);
        });
    }
}

/// Reads until the client has closed, and no more than a request may have.
async fn drop_request(tcp: &mut TcpStream) {
    let mut dropped = [0; 1024];
    let mut left = MAX_DROPPED;
    while let Ok(count @ 1..) = tcp.read(&mut dropped).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

async fn answer(tcp: &mut TcpStream, error: &ConnectError) -> io::Result<()> {
    let Some(status) = error.status() else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let body = format!("gravimeter: {error}\n");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await
}

/// Size of the first read: a CONNECT request with a ClientHello behind it seldom needs more.
const FIRST_READ: usize = 2 * 1024;

/// Most bytes of a head: fields of a proxy request are few; this is room for a long token in
/// `Proxy-Authorization`, and a limit for a flood.
const MAX_HEAD: usize = 16 * 1024;

/// Refused connections of other users that are kept open: a program of theirs asks a few times and
/// gives up. A flood beyond it is closed at once.
const MAX_LINGERING: usize = 64;

/// How long: a client on this machine sends its request within milliseconds of connecting.
const LINGER_LIMIT: Duration = Duration::from_secs(1);

/// How much of a late request is read: the longest head, with a ClientHello behind it.
const MAX_DROPPED: usize = 2 * MAX_HEAD;

/// Most fields.
const MAX_FIELDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str, port: u16) -> Destination {
        Destination::Name {
            host: Host::parse(host).unwrap(),
            port,
        }
    }

    #[test]
    fn the_authority_form_is_host_and_port() {
        assert_eq!(
            authority("Api.Example.com:443"),
            Some(name("api.example.com", 443))
        );
        assert_eq!(
            authority("192.0.2.1:8443"),
            Some(Destination::Address("192.0.2.1:8443".parse().unwrap()))
        );
        assert_eq!(
            authority("[2001:db8::1]:443"),
            Some(Destination::Address("[2001:db8::1]:443".parse().unwrap()))
        );
        for bad in [
            "example.com",
            "example.com:",
            "example.com:0",
            "example.com:+443",
            "example.com:65536",
            ":443",
            "2001:db8::1:443",
            "[example.com]:443",
            "[192.0.2.1]:443",
            "user@example.com:443",
            "http://example.com:443",
            "example.com:443/",
            "0x7f.1:443",
        ] {
            assert_eq!(authority(bad), None, "{bad}");
        }
    }

    /// What the agent reads when it sends `request`, and what the door says.
    async fn knock(request: &[u8]) -> (String, Result<Requested, ConnectError>) {
        knock_at(Owners::new([rustix::process::geteuid().as_raw()]), request).await
    }

    async fn accepted(tcp: TcpStream, owners: &Owners) -> Result<Requested, ConnectError> {
        let (guard, tasks) = (LoopGuard::new(vec![], false), TaskTracker::new());
        accept(tcp, owners, &guard, &Lingering::default(), &tasks).await
    }

    async fn knock_at(owners: Owners, request: &[u8]) -> (String, Result<Requested, ConnectError>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut agent = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        agent.write_all(request).await.unwrap();
        agent.shutdown().await.unwrap();
        let accepted = accepted(tcp, &owners).await;
        let mut answer = String::new();
        match &accepted {
            Ok(_) => {
                let mut part = vec![0; 4096];
                let count = agent.read(&mut part).await.unwrap();
                answer.push_str(std::str::from_utf8(&part[..count]).unwrap());
            }
            // A reset would be an error here.
            Err(_) => {
                agent.read_to_string(&mut answer).await.unwrap();
            }
        }
        (answer, accepted)
    }

    #[tokio::test]
    async fn bytes_behind_a_refused_request_do_not_cost_the_agent_the_answer() {
        let me = rustix::process::geteuid().as_raw();
        for (owner, target) in [(me, "127.0.0.1:443"), (me + 1, "example.com:443")] {
            let head = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
            let request = [head.as_bytes(), &[b'x'; 32 << 10]].concat();
            let (answer, accepted) = knock_at(Owners::new([owner]), &request).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{target}: {answer}");
            assert!(accepted.is_err(), "{target}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_handed_on_with_what_came_behind_the_request() {
        let request =
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Authorization: x\r\n\r\n\x16\x03";
        let (answer, accepted) = knock(request).await;
        assert_eq!(answer, "HTTP/1.1 200 Connection Established\r\n\r\n");
        let accepted = accepted.unwrap();
        assert_eq!(
            (accepted.destination, &*accepted.prefix),
            (name("example.com", 443), &b"\x16\x03"[..])
        );
    }

    #[tokio::test]
    async fn every_other_request_is_answered_and_refused() {
        let long = format!(
            "CONNECT example.com:443 HTTP/1.1\r\nx: {}",
            "y".repeat(MAX_HEAD)
        );
        let flood = format!(
            "CONNECT example.com:443 HTTP/1.1\r\n{}\r\n",
            "x: y\r\n".repeat(MAX_FIELDS + 1)
        );
        for (request, status, reason) in [
            (
                "GET http://example.com/ HTTP/1.1\r\n\r\n",
                "405",
                RefuseReason::BadRequest,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                "405",
                RefuseReason::BadRequest,
            ),
            (
                "CONNECT example.com HTTP/1.1\r\n\r\n",
                "400",
                RefuseReason::BadRequest,
            ),
            (
                "CONNECT / HTTP/1.1\r\n\r\n",
                "400",
                RefuseReason::BadRequest,
            ),
            (
                "\x16\x03\x01 nonsense\r\n\r\n",
                "400",
                RefuseReason::BadRequest,
            ),
            (&long, "400", RefuseReason::BadRequest),
            (&flood, "400", RefuseReason::BadRequest),
            (
                "CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n",
                "403",
                RefuseReason::ForbiddenDestination,
            ),
            (
                "CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n",
                "403",
                RefuseReason::ForbiddenDestination,
            ),
            (
                "CONNECT [::ffff:10.0.0.1]:80 HTTP/1.1\r\n\r\n",
                "403",
                RefuseReason::ForbiddenDestination,
            ),
        ] {
            let (answer, accepted) = knock(request.as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request:.60}: {answer}"
            );
            assert_eq!(accepted.unwrap_err().reason(), reason, "{request:.60}");
        }
    }

    #[tokio::test]
    async fn an_agent_that_leaves_gets_no_answer() {
        let (answer, accepted) = knock(b"CONNECT example.com:443 HT").await;
        assert_eq!(
            (answer.as_str(), accepted.unwrap_err().reason()),
            ("", RefuseReason::AgentGone)
        );
    }

    #[tokio::test]
    async fn other_users_are_turned_away_with_the_remedy() {
        let others = Owners::new([rustix::process::geteuid().as_raw() + 1]);
        let (answer, accepted) =
            knock_at(others, b"CONNECT example.com:443 HTTP/1.1\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("capture.connect_users"),
            "{answer}"
        );
        assert_eq!(accepted.unwrap_err().reason(), RefuseReason::OtherUser);
    }

    /// Closing before the request has come would answer it with a reset.
    #[tokio::test]
    async fn other_users_are_answered_even_if_they_ask_late() {
        let (mut agent, lingering, tasks) = turned_away(Lingering::default()).await;
        for _ in 0..2 {
            // Had the first one been answered by a reset, the second one would fail.
            let head = b"CONNECT example.com:443 HTTP/1.1\r\n\r\n";
            agent.write_all(head).await.unwrap();
        }
        let mut answer = String::new();
        agent.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        drop(agent);
        tasks.close();
        tasks.wait().await;
        assert_eq!(lingering.0.available_permits(), MAX_LINGERING);
    }

    #[tokio::test]
    async fn a_flood_of_other_users_is_closed_at_once() {
        let lingering = Lingering::default();
        let all = Arc::clone(&lingering.0);
        let _all = all
            .acquire_many_owned(u32::try_from(MAX_LINGERING).unwrap())
            .await
            .unwrap();
        let (mut agent, _, tasks) = turned_away(lingering).await;
        assert_eq!(tasks.len(), 0);
        let mut answer = String::new();
        agent.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }

    /// A client of another user that has sent nothing yet when it is refused.
    async fn turned_away(lingering: Lingering) -> (TcpStream, Lingering, TaskTracker) {
        let owners = Owners::new([rustix::process::geteuid().as_raw() + 1]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let agent = TcpStream::connect(address).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let (guard, tasks) = (LoopGuard::new(vec![], false), TaskTracker::new());
        let refused = accept(tcp, &owners, &guard, &lingering, &tasks).await;
        assert_eq!(refused.unwrap_err().reason(), RefuseReason::OtherUser);
        (agent, lingering, tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_sending_or_never_leaves_is_not_waited_for() {
        for flood in [&[][..], &[b'x'; 2 * MAX_DROPPED]] {
            let (mut agent, lingering, tasks) = turned_away(Lingering::default()).await;
            let start = tokio::time::Instant::now();
            // It may be cut off within.
            let _ = agent.write_all(flood).await;
            tasks.close();
            tasks.wait().await;
            let is_cut_off = start.elapsed() < LINGER_LIMIT;
            assert_eq!(
                is_cut_off,
                !flood.is_empty(),
                "by its bytes, or by the time"
            );
            assert_eq!(lingering.0.available_permits(), MAX_LINGERING);
        }
    }
}
