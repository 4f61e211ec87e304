//! The accept loop: spawns one task for each admitted connection of a listening socket.
//!
//! It never ends by an error and never spins: out of file descriptors or memory, it waits a little
//! longer each time and resumes at once when there is room again. Over the limit of connections it
//! refuses, so that open connections are not disturbed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span, warn};

use super::{Door, Gate};
use crate::record::diagnostics::{
    self, DISPOSITION, DOOR, ERROR_TYPE, SERVER_ADDRESS, TARGET, TUNNEL_WHY,
};
use crate::record::{Fact, Label as _, Record, RefuseReason};

/// The state that the listeners of all doors share.
pub(crate) struct Doors {
    /// Admits connections.
    pub(crate) gate: Gate,
    /// Limits the open connections.
    pub(crate) slots: Arc<Slots>,
    /// Owns the tasks of the connections.
    pub(crate) tasks: TaskTracker,
}

/// One permit for each connection that may be open, of all listeners that share them. Each door has its own permits: a flood at the
/// CONNECT proxy takes none from the redirected agent.
#[derive(Debug)]
pub struct Slots {
    base_url: Arc<Semaphore>,
    connect: Arc<Semaphore>,
    redirect: Arc<Semaphore>,
}

impl Slots {
    /// Room for this many connections at each door.
    #[must_use]
    pub fn new(each: usize) -> Self {
        let room = || Arc::new(Semaphore::new(each));
        Self {
            base_url: room(),
            connect: room(),
            redirect: room(),
        }
    }

    fn take(&self, door: Door) -> Option<OwnedSemaphorePermit> {
        let slots = match door {
            Door::BaseUrl => &self.base_url,
            Door::Connect => &self.connect,
            Door::Redirect => &self.redirect,
        };
        Arc::clone(slots).try_acquire_owned().ok()
    }
}

/// A listening socket of agents.
pub(crate) trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;

    /// The next connection. Cancel-safe.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (tcp, _) = Self::accept(self).await?;
        // Fails only on a connection that is already gone, which its task will find out.
        let _ = tune(&tcp);
        Ok(tcp)
    }
}

/// Opens a listening socket. An IPv6 one takes no IPv4: `SO_ORIGINAL_DST` has no answer for a
/// v4-mapped connection.
///
/// # Errors
/// The operating system's, most often that the address is in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::from_std(listen(address)?)
}

/// [`bind`] outside of the runtime.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether an address of IPv6 cannot be listened on because this network has none.
pub(crate) fn is_without_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Accepts connections until `shutdown`, and passes each one to `serve`, in a task of its own, as
/// long as there is room.
pub(crate) async fn run<L, S, F>(
    listener: L,
    door: Door,
    doors: Arc<Doors>,
    shutdown: CancellationToken,
    serve: S,
) where
    L: Accept,
    S: Fn(Arc<Doors>, L::Stream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut accept = || Accept::accept(&listener);
    // Cancel-safe: between two connections no state is held.
    while let Some(stream) = shutdown
        .run_until_cancelled(next(&mut accept, &*doors.gate.record))
        .await
    {
        let span = accepted(door);
        let Some(slot) = doors.slots.take(door) else {
            diagnostics::refused(&span, RefuseReason::Overload);
            doors
                .gate
                .record
                .record(Fact::ConnectionRefused(RefuseReason::Overload));
            continue;
        };
        // What is done with it at once is done in its span, too.
        let serving = span.in_scope(|| serve(Arc::clone(&doors), stream));
        let served = async move {
            serving.await;
            drop(slot);
        };
        doors.tasks.spawn(served.instrument(span));
    }
}

/// The diagnostic span of a connection, from its acceptance to its end.
fn accepted(door: Door) -> Span {
    info_span!(
        target: TARGET,
        "accept",
        { DOOR } = door.as_str(),
        { SERVER_ADDRESS } = Empty,
        { DISPOSITION } = Empty,
        { TUNNEL_WHY } = Empty,
        { ERROR_TYPE } = Empty
    )
}

/// The next connection, however long it takes.
async fn next<F, T>(accept: &mut impl FnMut() -> F, record: &dyn Record) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match accept().await {
            Ok(stream) => return stream,
            Err(error) => {
                record.record(Fact::AcceptFailed);
                warn!(%error, "cannot accept a connection, trying again; if this stays, raise the limit of open files");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Sends every byte at once, and lets the kernel notice a peer that has vanished.
///
/// # Errors
/// The operating system's, on a socket that is already gone.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_PAUSE);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_TRIES))
}

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An aborted connection costs the next one no more than this.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// So that service is back within a second of there being room.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A stream may be silent while a model thinks, but its peer's kernel is not: a machine that has
/// vanished is noticed after two minutes in all. Linux by itself would wait for two hours, longer
/// than any limit of ours.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(10);
const KEEPALIVE_TRIES: u32 = 6;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::skip;

    #[derive(Default)]
    struct Failures(AtomicUsize);

    impl Record for Failures {
        fn record(&self, fact: Fact) {
            assert_eq!(fact, Fact::AcceptFailed);
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn exhaustion_is_counted_waited_out_and_survived() {
        const FAILURES: usize = 20;
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _agent = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (failures, mut left) = (Failures::default(), FAILURES);
        let mut accept = || {
            let fails = left > 0;
            left -= usize::from(fails);
            let listener = &listener;
            async move {
                if fails {
                    return Err(io::Error::from_raw_os_error(
                        rustix::io::Errno::MFILE.raw_os_error(),
                    ));
                }
                Accept::accept(listener).await
            }
        };
        let start = tokio::time::Instant::now();
        let tcp = next(&mut accept, &failures).await;
        assert!(tcp.nodelay().unwrap());
        assert_eq!(failures.0.into_inner(), FAILURES);
        // 5, 10, ... 640 ms, then 12 times 1 s.
        assert_eq!(start.elapsed().as_secs_f64().round(), 13.0);
    }

    #[tokio::test]
    async fn an_ipv6_listener_leaves_ipv4_alone() {
        if !skip::has_ipv6() {
            return;
        }
        let six = bind("[::]:0".parse().unwrap()).unwrap();
        let port = six.local_addr().unwrap().port();
        assert!(bind(SocketAddr::from(([0, 0, 0, 0], port))).is_ok());
    }
}
