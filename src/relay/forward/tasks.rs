//! The parts of HTTP that go on beside each other on one connection, as parts of one task.
//!
//! When the connection ends, all of them end with it: nothing is left running that nobody wants.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;

type Part = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the parts.
pub(super) struct Tasks {
    running: FuturesUnordered<Part>,
    added: mpsc::UnboundedReceiver<Part>,
}

/// Adds parts. There are at most a few for each stream that the connection may have open.
#[derive(Debug, Clone)]
pub(super) struct Spawner(mpsc::UnboundedSender<Part>);

impl Tasks {
    pub(super) fn new() -> (Self, Spawner) {
        let (sender, added) = mpsc::unbounded_channel();
        let running = FuturesUnordered::new();
        (Self { running, added }, Spawner(sender))
    }

    /// Lets every part go on that can.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            while let Poll::Ready(Some(part)) = self.added.poll_recv(cx) {
                self.running.push(part);
            }
            if !matches!(self.running.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                return;
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.added.is_empty()
    }
}

impl Spawner {
    pub(super) fn spawn(&self, part: impl Future<Output = ()> + Send + 'static) {
        // Fails only when the connection has ended.
        let _ = self.0.send(Box::pin(part));
    }
}

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, part: F) {
        self.spawn(part);
    }
}
