//! The two streams below the HTTP of a forwarded connection.
//!
//! HTTP is spoken over an [`AgentStream`] and a [`ProviderStream`]. The first refuses requests that
//! could be understood in two ways, the second keeps what has passed for the observer. Both leave
//! the stream itself with the connection, which ends it when HTTP is over.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::{client, server};

use super::interim::Interim;
use super::passed::Passed;
use crate::observe::{Direction, RequestCheck};
use crate::tls::read_ahead::ReadAhead;

/// A stream to the agent or the provider.
pub(crate) trait Side: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// The TCP connection at its bottom, if there is one.
    fn tcp(&self) -> Option<&TcpStream>;
}

impl Side for TcpStream {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Side for UnixStream {
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }
}

impl Side for server::TlsStream<ReadAhead<TcpStream>> {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0.get_ref())
    }
}

impl Side for client::TlsStream<ReadAhead<TcpStream>> {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self.get_ref().0.get_ref())
    }
}

/// A stream that HTTP and the connection hold together.
#[derive(Clone)]
pub(super) struct SharedSide(Arc<Mutex<Box<dyn Side>>>);

impl SharedSide {
    pub(super) fn new(side: Box<dyn Side>) -> Self {
        Self(Arc::new(Mutex::new(side)))
    }

    /// The stream itself, once HTTP has let go of it.
    pub(super) fn into_inner(self) -> Option<Box<dyn Side>> {
        let alone = Arc::try_unwrap(self.0).ok()?;
        Some(alone.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Both users are parts of one task: nobody ever waits here.
    fn lock(&self) -> MutexGuard<'_, Box<dyn Side>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a stream in order (close_notify, FIN).
pub(super) async fn close(side: &mut Option<Box<dyn Side>>) {
    if let Some(side) = side {
        // Fails only on a stream that is already gone.
        let _ = side.shutdown().await;
    }
}

/// What is known of the agent's side.
#[derive(Debug)]
pub(super) struct AgentState {
    /// When a byte last moved.
    pub(super) last: Instant,
    /// Checks HTTP/1 requests; `None` for HTTP/2, and when the connection has left HTTP.
    check: Option<RequestCheck>,
    /// A request was refused.
    pub(super) is_refused: bool,
    /// The agent has sent its last byte.
    pub(super) has_ended: bool,
    /// Reading or writing has failed.
    pub(super) has_failed: bool,
    /// A request to leave HTTP is under way, or HTTP was left.
    pub(super) is_upgrading: bool,
    /// Interim responses on their way to the agent.
    pub(super) interim: Interim,
}

impl AgentState {
    /// When a request head began whose last byte is still to come.
    pub(super) fn head_begun(&self) -> Option<Instant> {
        self.check.as_ref()?.head_begun().map(Instant::from_std)
    }
}

/// The agent's side, as HTTP sees it.
pub(super) struct AgentStream {
    side: SharedSide,
    state: SharedAgentState,
}

/// The state of the agent's side, shared by the stream, the connection and its exchanges.
#[derive(Debug, Clone)]
pub(super) struct SharedAgentState(Arc<Mutex<AgentState>>);

impl SharedAgentState {
    /// Before the first byte. HTTP/1 requests are checked.
    pub(super) fn new(is_http1: bool) -> Self {
        Self(Arc::new(Mutex::new(AgentState {
            last: Instant::now(),
            check: is_http1.then(RequestCheck::new),
            is_refused: false,
            has_ended: false,
            has_failed: false,
            is_upgrading: false,
            interim: Interim::default(),
        })))
    }

    /// What follows is not HTTP any more.
    pub(super) fn leave_http(&self) {
        self.lock().check = None;
    }

    /// Ready when every interim response that was added is written.
    pub(super) async fn interim_written(&self) {
        poll_fn(|cx| match self.lock().interim.is_empty(cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Takes note of what moved, or of the failure to move it.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        match &result {
            Ok(_) => state.last = Instant::now(),
            Err(_) => state.has_failed = true,
        }
        result
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, AgentState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AgentStream {
    pub(super) fn new(side: SharedSide, state: SharedAgentState) -> Self {
        Self { side, state }
    }

    /// Writes the interim responses that may be written now.
    fn poll_interim(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let written = {
                let state = self.state.lock();
                let Some(next) = state.interim.next() else {
                    return Poll::Ready(Ok(()));
                };
                ready!(Pin::new(&mut *self.side.lock()).poll_write(cx, next))
            };
            let count = self.state.note(written)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.state.lock().interim.wrote(count);
        }
    }

    /// Takes note of what hyper has written.
    fn hyper_wrote(&self, written: io::Result<usize>) -> io::Result<usize> {
        let count = self.state.note(written)?;
        self.state.lock().interim.hyper_wrote();
        Ok(count)
    }
}

impl AsyncRead for AgentStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut *self.side.lock()).poll_read(cx, buf));
        self.state.note(result)?;
        let mut state = self.state.lock();
        let now = state.last.into_std();
        let read = buf.filled().get(before..).unwrap_or_default();
        state.has_ended |= read.is_empty();
        if let Some(check) = &mut state.check
            && let Err(failure) = check.read(read, now)
        {
            state.is_refused = true;
            // HTTP never sees it.
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a request of the agent is refused ({failure})"),
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AgentStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let written = ready!(Pin::new(&mut *self.side.lock()).poll_write(cx, buf));
        Poll::Ready(self.hyper_wrote(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes only what it has written to the end.
        self.state.lock().interim.hyper_flushed(cx.waker());
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut *self.side.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.side.lock()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let written = ready!(Pin::new(&mut *self.side.lock()).poll_write_vectored(cx, bufs));
        Poll::Ready(self.hyper_wrote(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.side.lock().is_write_vectored()
    }
}

/// The provider's side, as HTTP sees it.
pub(super) struct ProviderStream {
    side: SharedSide,
    passed: Arc<Passed>,
}

impl ProviderStream {
    pub(super) fn new(side: SharedSide, passed: Arc<Passed>) -> Self {
        Self { side, passed }
    }
}

impl AsyncRead for ProviderStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.passed.poll_room(cx));
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut *self.side.lock()).poll_read(cx, buf));
        self.passed.note(read, |passed, ()| {
            let read = buf.filled().get(before..).unwrap_or_default();
            match read {
                [] => passed.ended(Direction::ToAgent),
                read => passed.add(Direction::ToAgent, read),
            }
        })
    }
}

impl AsyncWrite for ProviderStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut *self.side.lock()).poll_flush(cx));
        self.passed.note(flushed, |_, ()| {})
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut *self.side.lock()).poll_shutdown(cx));
        self.passed
            .note(ended, |passed, ()| passed.ended(Direction::ToProvider))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.passed.poll_room(cx));
        let written = ready!(Pin::new(&mut *self.side.lock()).poll_write_vectored(cx, bufs));
        self.passed.note(written, |passed, count| {
            let mut left = *count;
            for buf in bufs {
                let (sent, rest) = (buf.get(..left).unwrap_or(buf), left);
                passed.add(Direction::ToProvider, sent);
                left = rest.saturating_sub(sent.len());
                if left == 0 {
                    break;
                }
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.side.lock().is_write_vectored()
    }
}
