//! One direction of a connection as a state machine: read a chunk, write all of it, flush, report
//! it, and again.
//!
//! A chunk is what is there already: one record of the source, and those that came with it. A write
//! costs more than reading several records, and each wakes the receiver.
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
    next: Next,
}

/// What follows a chunk.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// More, perhaps.
    Read,
    /// Nothing more is there, and the source will wake the task when there is.
    Wait,
    /// The source has ended.
    End,
    /// The source has failed.
    Fail,
}

impl Lane {
    /// Moves at most one chunk, or the end. Pending when a side is not ready for more, and for ever
    /// when the lane is over.
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
                next,
            }) => {
                let (sent, next) = (ready!(poll_send(cx, sink, bytes, written)), *next);
                if sent.is_ok() {
                    witness.passed(bytes, *read);
                }
                Poll::Ready(self.go_on(sent, next))
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
        ready!(Pin::new(&mut *source).poll_read(cx, &mut chunk)).map_err(|_| SourceGone)?;
        if chunk.filled().is_empty() {
            *self = Self::Ending;
            return Poll::Ready(Ok(()));
        }
        let (read, mut written) = (Instant::now(), 0);
        let next = read_more(cx, source, &mut chunk);
        let bytes = chunk.filled();
        match poll_send(cx, sink, bytes, &mut written) {
            Poll::Ready(sent) => {
                let is_idle = sent.is_ok() && matches!(next, Next::Wait);
                if sent.is_ok() {
                    witness.passed(bytes, read);
                }
                match self.go_on(sent, next) {
                    Ok(()) if is_idle => Poll::Pending,
                    moved => Poll::Ready(moved),
                }
            }
            Poll::Pending => {
                *self = Self::Writing(Chunk {
                    bytes: bytes.into(),
                    written,
                    read,
                    next,
                });
                Poll::Pending
            }
        }
    }

    /// A chunk was written, or could not be.
    fn go_on(&mut self, sent: io::Result<()>, next: Next) -> Result<(), SourceGone> {
        *self = match (sent, next) {
            (Err(_), _) => Self::Broken,
            (Ok(()), Next::Read | Next::Wait) => Self::Reading,
            (Ok(()), Next::End) => Self::Ending,
            (Ok(()), Next::Fail) => return Err(SourceGone),
        };
        Ok(())
    }
}

/// Reads what has come already behind the beginning of a chunk, while there is room for a whole
/// record.
fn read_more<R: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    source: &mut R,
    chunk: &mut ReadBuf<'_>,
) -> Next {
    for _ in 1..MAX_READS {
        if chunk.remaining() < RECORD {
            break;
        }
        let before = chunk.filled().len();
        match Pin::new(&mut *source).poll_read(cx, chunk) {
            Poll::Ready(Ok(())) if chunk.filled().len() == before => return Next::End,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Next::Fail,
            Poll::Pending => return Next::Wait,
        }
    }
    Next::Read
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

/// Most plaintext of a TLS record, in bytes (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// Most bytes of a chunk: four of the longest records.
const CHUNK: usize = 4 * RECORD;

/// Most records of a chunk, so that the first of many short ones does not wait for the others: some
/// 10 µs are as long as a write takes.
const MAX_READS: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    /// What a source says at each reading; it waits behind the last of them.
    struct Source(VecDeque<io::Result<&'static str>>);

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.pop_front() {
                Some(Ok(record)) => buf.put_slice(record.as_bytes()),
                Some(Err(failure)) => return Poll::Ready(Err(failure)),
                None => return Poll::Pending,
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What was written at once each time.
    #[derive(Default)]
    struct Writes {
        writes: Vec<String>,
        is_blocked: bool,
    }

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.is_blocked {
                return Poll::Pending;
            }
            self.writes.push(String::from_utf8(bytes.into()).unwrap());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl LaneObserver for Seen {
        fn passed(&mut self, chunk: &[u8], _: Instant) {
            self.0.push(String::from_utf8(chunk.into()).unwrap());
        }

        fn ended(&mut self) {
            self.0.push("the end".to_owned());
        }
    }

    struct Rig {
        lane: Lane,
        source: Source,
        sink: Writes,
        seen: Seen,
    }

    impl Rig {
        fn new(said: impl IntoIterator<Item = io::Result<&'static str>>) -> Self {
            Self {
                lane: Lane::Reading,
                source: Source(said.into_iter().collect()),
                sink: Writes::default(),
                seen: Seen::default(),
            }
        }

        fn poll(&mut self) -> Poll<Result<(), SourceGone>> {
            let mut cx = Context::from_waker(Waker::noop());
            self.lane
                .poll(&mut cx, &mut self.source, &mut self.sink, &mut self.seen)
        }
    }

    fn reset() -> io::Result<&'static str> {
        Err(io::ErrorKind::ConnectionReset.into())
    }

    #[test]
    fn what_is_there_already_passes_in_one_write_and_nothing_waits_for_more() {
        let mut rig = Rig::new([Ok("one "), Ok("two "), Ok("three")]);
        assert!(
            rig.poll().is_pending(),
            "the source has been asked for more"
        );
        assert_eq!(rig.sink.writes, ["one two three"]);
        assert_eq!(rig.seen.0, rig.sink.writes);
    }

    #[test]
    fn the_first_of_many_records_does_not_wait_for_all_of_them() {
        let mut rig = Rig::new((0..=MAX_READS).map(|_| Ok("x")));
        assert!(rig.poll().is_ready(), "more may be there");
        assert!(rig.poll().is_pending());
        assert_eq!(rig.sink.writes, ["x".repeat(MAX_READS).as_str(), "x"]);
    }

    /// A socket tells of a reset once, and then looks as if its peer had ended in order.
    #[test]
    fn a_failure_behind_a_chunk_comes_after_it_and_is_not_lost() {
        for is_blocked in [false, true] {
            let mut rig = Rig::new([Ok("all but the end"), reset(), Ok("")]);
            rig.sink.is_blocked = is_blocked;
            let mut polled = rig.poll();
            if is_blocked {
                assert!(polled.is_pending() && rig.lane.is_busy());
                rig.sink.is_blocked = false;
                polled = rig.poll();
            }
            assert!(matches!(polled, Poll::Ready(Err(SourceGone))));
            assert_eq!(rig.seen.0, ["all but the end"]);
        }
    }

    #[test]
    fn the_end_behind_a_chunk_comes_after_it() {
        for is_blocked in [false, true] {
            let mut rig = Rig::new([Ok("all of it"), Ok("")]);
            rig.sink.is_blocked = is_blocked;
            if rig.poll().is_pending() {
                rig.sink.is_blocked = false;
                assert!(rig.poll().is_ready());
            }
            assert!(rig.poll().is_ready() && rig.lane.is_over());
            assert_eq!(rig.seen.0, ["all of it", "the end"]);
        }
    }
}
