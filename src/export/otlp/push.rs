//! The task that pushes metrics: at each interval it sends the registry as a message, and counts
//! every point as exported or lost.
//!
//! A lost message loses points in time, but no counts: the next one has what was added since the
//! last that was accepted.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ClientConfig;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::delivery::{Delivery, DeliveryResult};
use super::exporter::FLUSH_LIMIT;
use super::points::{self, Baseline};
use super::senders::MetricSender;
use super::{Config, Counts, Destination, Loss, Resource, Temporality};
use crate::export::Metrics;

/// Pushes the metrics to the collector.
pub struct Pusher {
    config: Config,
    destination: Destination,
    resource: Resource,
    metrics: Arc<Metrics>,
    counts: Counts,
    /// The start of the sums of the next message.
    since: Baseline,
    /// The points of the message that is being sent.
    under_way: usize,
}

impl Pusher {
    /// Sums begin here; `None` when nothing is pushed.
    #[must_use]
    pub fn new(config: &Config, resource: Resource, metrics: Arc<Metrics>) -> Option<Self> {
        let destination = config.pushed_metrics()?;
        let since = Baseline::new(SystemTime::now(), &metrics.families());
        let counts = metrics.points();
        Some(Self {
            config: config.clone(),
            destination,
            resource,
            metrics,
            counts,
            since,
            under_way: 0,
        })
    }

    /// Pushes until `stopping`, and once more then, for at most five seconds. The connections'
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
            () = over => {}
        }
        self.counts.lost(Loss::Shutdown, self.under_way);
    }

    async fn work(&mut self, delivery: &mut Delivery<MetricSender>, stopping: &CancellationToken) {
        let interval = self.config.metrics.interval;
        let mut turns = interval_at(Instant::now() + interval, interval);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(turns.tick()).await.is_some() {
            self.push(delivery).await;
        }
        self.push(delivery).await;
    }

    async fn push(&mut self, delivery: &mut Delivery<MetricSender>) {
        let (families, now) = (self.metrics.families(), SystemTime::now());
        let push = &self.config.metrics;
        let is_delta = push.temporality == Temporality::Delta;
        let (message, points) = points::message(&self.resource, &families, &self.since, now, push);
        self.under_way = points;
        let result = delivery.deliver(&message).await;
        self.under_way = 0;
        self.counts.settle(result, points);
        if is_delta && may_be_taken(result) {
            self.since = Baseline::new(now, &families);
        }
    }
}

/// Whether the collector may have counted what was sent: a delta must not be counted twice.
fn may_be_taken(result: DeliveryResult) -> bool {
    matches!(
        result,
        DeliveryResult::Taken { .. } | DeliveryResult::Lost(Loss::BadAnswer)
    )
}
