//! Carries what leaves a program's namespace beside the intercepted connections, where no pasta does
//! it: every TCP connection to where it was going, and questions for names to this machine's
//! resolvers. Nothing of it is looked at.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::resolvers::{self, RESOLVER_PORT};
use crate::capture::listener::tune;
use crate::capture::namespace::Forwarded;
use crate::capture::{KernelOriginalDst, OriginalDst as _};

/// Carries everything that arrives at `forwarded`, by tasks of `tasks`, until `stopping`.
///
/// # Errors
/// The operating system's, when a socket cannot be set up for the runtime.
pub(crate) fn serve(
    forwarded: Forwarded,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) -> io::Result<()> {
    for listener in forwarded.tcp {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        tasks.spawn(connections(listener, tasks.clone(), stopping.clone()));
    }
    for socket in forwarded.questions {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        tasks.spawn(resolvers::serve(socket, tasks.clone(), stopping.clone()));
    }
    Ok(())
}

async fn connections(listener: TcpListener, tasks: TaskTracker, stopping: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // Cancel-safe: between two connections no state is held.
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        let program = match accepted {
            Ok((program, _)) => program,
            Err(error) => {
                warn!(%error, "cannot accept a connection to be forwarded, trying again");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            warn!("a connection is refused: {MOST_CONNECTIONS} are forwarded already");
            continue;
        };
        let stopping = stopping.clone();
        tasks.spawn(async move {
            // Cut off at the end: the program is gone, and so is the network of its children.
            stopping.run_until_cancelled(carry(program)).await;
            drop(slot);
        });
    }
}

/// Carries one connection to its end. Where its other side cannot be reached, it is reset: it looks
/// open to the program already, and a proper end would look like an answer.
async fn carry(mut program: TcpStream) {
    let mut other = match dial(&program).await {
        Ok(other) => other,
        Err(error) => {
            debug!(%error, "a connection cannot be forwarded");
            // Fails only on a connection that is gone.
            let _ = SockRef::from(&program).set_linger(Some(Duration::ZERO));
            return;
        }
    };
    // Fails only on connections that are gone.
    let _ = tune(&program).and_then(|()| tune(&other));
    if let Err(error) = copy_bidirectional(&mut program, &mut other).await {
        debug!(%error, "a forwarded connection was cut off");
        for side in [&program, &other] {
            let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn dial(program: &TcpStream) -> io::Result<TcpStream> {
    let original = KernelOriginalDst.original_dst(program)?;
    let target = match original.port() {
        RESOLVER_PORT => resolvers::known().await.into_iter().next(),
        _ => Some(original),
    };
    let target: SocketAddr = target.ok_or(Errno::HOSTUNREACH)?;
    timeout(DIAL_LIMIT, TcpStream::connect(target)).await?
}

/// A program has some hundred connections at the most; the limit keeps one that has gone mad from
/// taking the descriptors that its intercepted connections need.
const MOST_CONNECTIONS: usize = 512;

/// What the system itself takes for an address that does not answer is two minutes; programs give
/// up much earlier.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// Out of descriptors, there is room again when a connection ends.
const PAUSE: Duration = Duration::from_millis(50);
