//! A stream below a TLS session: bytes that were already read come first, and one system call reads
//! what is there.
//!
//! rustls asks for 4 KiB at a time, although a record holds up to 16 KiB of plaintext: it would
//! take five calls to read one. Nothing waits for more than is there, and while nothing flows,
//! nothing is held (which is what a `BufReader` cannot do).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads yield the bytes that are ahead, then the stream; writes go straight to the stream,
/// vectored ones included.
#[derive(Debug)]
pub struct ReadAhead<S> {
    ahead: Bytes,
    stream: S,
}

impl<S> ReadAhead<S> {
    /// Puts `ahead` in front of `stream`.
    pub fn new(ahead: Bytes, stream: S) -> Self {
        Self { ahead, stream }
    }

    /// The stream behind the bytes that are ahead.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    fn take_ahead(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.advance(count);
        if self.ahead.is_empty() {
            // An exhausted `Bytes` would keep its allocation for as long as the connection lives.
            self.ahead = Bytes::new();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.take_ahead(buf);
            return Poll::Ready(Ok(()));
        }
        if buf.remaining() > SMALL_READ {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let mut space = [const { MaybeUninit::uninit() }; AHEAD];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        let (now, ahead) = read
            .filled()
            .split_at(read.filled().len().min(buf.remaining()));
        buf.put_slice(now);
        self.ahead = Bytes::copy_from_slice(ahead);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What rustls asks for at a time (`READ_SIZE` of its deframer). Who asks for more has a buffer of
/// its own.
const SMALL_READ: usize = 4 * 1024;

/// Four of the longest records with their headers and tags (RFC 8446 section 5.2), which the relay
/// writes as one chunk.
const AHEAD: usize = 4 * (16 * 1024 + 256 + 5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_was_read_before_comes_first_and_then_the_stream() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut stream = ReadAhead::new(Bytes::from_static(b"kept "), near);
        far.write_all(b"live").await.expect("write");
        let mut small = [0; 3];
        stream.read_exact(&mut small).await.expect("read");
        assert_eq!(&small, b"kep");
        stream.write_all(b"answer").await.expect("write");
        stream.shutdown().await.expect("shutdown");
        far.shutdown().await.expect("shutdown");
        let (mut rest, mut answer) = (String::new(), String::new());
        stream.read_to_string(&mut rest).await.expect("read");
        far.read_to_string(&mut answer).await.expect("read");
        assert_eq!((rest.as_str(), answer.as_str()), ("t live", "answer"));
        assert!(stream.is_write_vectored(), "as the stream itself");
    }

    /// Counts how often it is read.
    struct Counted<'a>(&'a [u8], usize);

    impl AsyncRead for Counted<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    #[tokio::test]
    async fn one_read_of_the_stream_serves_many_small_ones_and_leaves_nothing_held() {
        let sent: Vec<u8> = (0..AHEAD + 10).map(|at| (at % 251) as u8).collect();
        let mut stream = ReadAhead::new(Bytes::new(), Counted(&sent, 0));
        let mut read = vec![0; AHEAD];
        for piece in read.chunks_mut(SMALL_READ) {
            stream.read_exact(piece).await.expect("read");
        }
        assert!(read == sent[..AHEAD]);
        assert_eq!((stream.stream.1, stream.ahead.len()), (1, 0));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("read");
        assert_eq!(rest, sent[AHEAD..]);
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn no_byte_is_lost_whatever_is_asked_for(kept: Vec<u8>, sent: Vec<u8>, sizes in prop::collection::vec(1..9000_usize, 1..9)) {
            let mut stream = ReadAhead::new(Bytes::from(kept.clone()), &*sent);
            let mut read = Vec::new();
            let all = async {
                for size in sizes.iter().cycle() {
                    let mut piece = vec![0; *size];
                    match stream.read(&mut piece).await.expect("memory") {
                        0 => break,
                        count => read.extend_from_slice(&piece[..count]),
                    }
                }
            };
            prop_assert!(futures_util::FutureExt::now_or_never(all).is_some());
            prop_assert_eq!(read, [kept, sent].concat());
        }
    }
}
