//! One direction of a connection as a state machine: read a chunk, write all of it, flush, report
//! it, and again.
//!
//! At most one chunk is in flight. While nothing flows, nothing is held: a chunk is read onto the
//! stack, and moves to the heap only when its receiver does not take it at once.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The source failed: reset, or closed in the middle. What it sent before has been written.
#[derive(Debug)]
pub(super) struct SourceGone;

/// Is notified of what has passed.
pub(super) trait LaneObserver {
    /// A chunk was read at `read`, and has just been written.
    fn passed(&mut self, chunk: &[u8], read: Instant);

    /// The source has ended in order, and the sink was shut down.
    fn ended(&mut self);
}

/// One direction.
#[derive(Debug)]
pub(super) enum Lane {
    /// Waiting for the source.
    Reading,
    /// Waiting for the sink to take a chunk.
    Writing(Chunk),
    /// The source has ended; waiting for the sink to take the end.
    Ending,
    /// Both have ended.
    Ended,
    /// The sink accepts nothing more. Its answer may still be on its way, so the other lane goes
    /// on.
    Broken,
}

/// A chunk in flight.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    written: usize,
    read: Instant,
}

impl Lane {
    /// Moves at most one chunk, or the end. Pending when neither side is ready, and for ever when
    /// the lane is over.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        witness: &mut impl LaneObserver,
    ) -> Poll<Result<(), SourceGone>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        match self {
            Self::Reading => self.read(cx, source, sink, witness),
            Self::Writing(Chunk {
                bytes,
                written,
                read,
            }) => {
                let sent = ready!(poll_send(cx, sink, bytes, written));
                if sent.is_ok() {
                    witness.passed(bytes, *read);
                }
                *self = if sent.is_ok() {
                    Self::Reading
                } else {
                    Self::Broken
                };
                Poll::Ready(Ok(()))
            }
            Self::Ending => {
                let told = ready!(Pin::new(sink).poll_shutdown(cx));
                *self = if told.is_ok() {
                    Self::Ended
                } else {
                    Self::Broken
                };
                witness.ended();
                Poll::Ready(Ok(()))
            }
            Self::Ended | Self::Broken => Poll::Pending,
        }
    }

    /// Whether the lane is over.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Ended | Self::Broken)
    }

    /// Whether a chunk or an end is on its way.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Writing(_) | Self::Ending)
    }

    /// Whether the sink failed.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken)
    }

    fn read<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        witness: &mut impl LaneObserver,
    ) -> Poll<Result<(), SourceGone>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut space = [const { MaybeUninit::uninit() }; CHUNK];
        let mut chunk = ReadBuf::uninit(&mut space);
        ready!(Pin::new(source).poll_read(cx, &mut chunk)).map_err(|_| SourceGone)?;
        let (bytes, read, mut written) = (chunk.filled(), Instant::now(), 0);
        if bytes.is_empty() {
            *self = Self::Ending;
            return Poll::Ready(Ok(()));
        }
        match poll_send(cx, sink, bytes, &mut written) {
            Poll::Ready(Ok(())) => witness.passed(bytes, read),
            Poll::Ready(Err(_)) => *self = Self::Broken,
            Poll::Pending => {
                *self = Self::Writing(Chunk {
                    bytes: bytes.into(),
                    written,
                    read,
                });
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes what is not yet written and flushes, so that nothing waits in a buffer of ours.
fn poll_send<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    sink: &mut W,
    bytes: &[u8],
    written: &mut usize,
) -> Poll<io::Result<()>> {
    while let Some(rest @ [_, ..]) = bytes.get(*written..) {
        match ready!(Pin::new(&mut *sink).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *written += count,
        }
    }
    Pin::new(sink).poll_flush(cx)
}

/// A TLS record holds at most this much plaintext (RFC 8446 section 5.1), so one record passes as
/// one chunk.
const CHUNK: usize = 16 * 1024;
