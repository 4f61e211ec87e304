//! The task that exports spans: collects batches from the queue, has them delivered, and counts every
//! span as exported or lost.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SpanData;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::delivery::Delivery;
use super::{Config, Counts, Destination, Loss, Resource};
use crate::export::traces::PendingCalls;

/// Exports spans to the collector.
pub struct Exporter {
    config: Config,
    destination: Destination,
    resource: Resource,
    queue: mpsc::Receiver<SpanData>,
    held: Arc<PendingCalls>,
    counts: Counts,
    /// The batch that is being collected or sent.
    batch: Vec<SpanData>,
}

impl Exporter {
    pub(in crate::export) fn new(
        config: Config,
        destination: Destination,
        resource: Resource,
        queue: mpsc::Receiver<SpanData>,
        held: Arc<PendingCalls>,
        counts: Counts,
    ) -> Self {
        Self {
            config,
            destination,
            resource,
            queue,
            held,
            counts,
            batch: Vec::new(),
        }
    }

    /// Exports until `stopping`, then what is left, for at most five seconds. The connections'
    /// tasks go to `tasks`.
    pub async fn run(mut self, tls: ClientConfig, tasks: TaskTracker, stopping: CancellationToken) {
        let mut delivery =
            Delivery::new(&self.config, &self.destination, &self.resource, tls, tasks);
        let over = async {
            stopping.cancelled().await;
            sleep(FLUSH_LIMIT).await;
        };
        tokio::select! {
            () = self.work(&mut delivery, &stopping) => {}
            // A batch that is cut off here is still in its place, and counted below.
            () = over => {}
        }
        self.count_rest();
    }

    async fn work(&mut self, delivery: &mut Delivery<SpanExporter>, stopping: &CancellationToken) {
        loop {
            self.fill(stopping).await;
            if self.batch.is_empty() {
                return;
            }
            let result = delivery.deliver(&self.batch).await;
            self.counts.settle(result, self.batch.len());
            self.batch.clear();
        }
    }

    /// Waits for a batch: a full one, or one whose first span has waited long enough, or, once
    /// `stopping`, whatever there is. An empty one is the end.
    async fn fill(&mut self, stopping: &CancellationToken) {
        let mut due = None;
        while self.batch.len() < self.config.batch {
            let room = self.config.batch - self.batch.len();
            let interval = self.config.flush_interval;
            tokio::select! {
                biased;
                taken = self.queue.recv_many(&mut self.batch, room) => match taken {
                    0 => return,
                    _ => due = due.or_else(|| Some(Instant::now() + interval)),
                },
                () = stopping.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                () = until(due) => return,
            }
        }
    }

    /// Counts the remaining spans as lost.
    fn count_rest(mut self) {
        self.queue.close();
        let mut rest = self.batch.len();
        while self.queue.try_recv().is_ok() {
            rest += 1;
        }
        self.counts.lost(Loss::Shutdown, rest);
        let unsettled = self.held.give_up();
        self.counts.lost(Loss::Unsettled, unsettled);
        if rest + unsettled > 0 {
            warn!(
                spans = rest,
                unsettled, "spans were not exported before the end"
            );
        }
    }
}

/// Waits until `due`; for ever without a time.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// How long the end of the program waits for the collector.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(5);
