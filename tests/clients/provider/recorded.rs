//! A stream that keeps every byte that is read from it and written to it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has passed on connections that have ended.
#[derive(Clone, Default)]
pub(crate) struct Recordings(Arc<Mutex<Vec<Recording>>>);

/// What has passed on one connection.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Recording {
    /// The name that the client asked for.
    pub(crate) host: String,
    /// From the client to the provider.
    pub(crate) up: Vec<u8>,
    /// From the provider to the client.
    pub(crate) down: Vec<u8>,
}

impl Recordings {
    pub(crate) fn add(&self, recording: Recording) {
        self.0.lock().expect("recordings").push(recording);
    }

    /// Those of connections on which anything has passed, in an order of their own.
    pub(crate) fn sorted(&self) -> Vec<Recording> {
        let mut all = self.0.lock().expect("recordings").clone();
        all.retain(|one| !one.up.is_empty() || !one.down.is_empty());
        all.sort();
        all
    }
}

/// The stream of a provider.
pub(crate) struct Recorded<S> {
    stream: S,
    recording: Recording,
    recordings: Recordings,
}

impl<S> Recorded<S> {
    pub(crate) fn new(stream: S, host: String, recordings: Recordings) -> Self {
        Self {
            stream,
            recording: Recording {
                host,
                ..Recording::default()
            },
            recordings,
        }
    }
}

impl<S> Drop for Recorded<S> {
    fn drop(&mut self) {
        self.recordings.add(std::mem::take(&mut self.recording));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.recording.up.extend(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &polled {
            self.recording.down.extend(&bytes[..*count]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
