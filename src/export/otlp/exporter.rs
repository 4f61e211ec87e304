//! The exporter's task: spans from the queue become batches, batches requests, and every span an exported or a lost one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
pub(super) use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::Rng as _;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::answer::{Answer, Cause};
use super::grpc::Grpc;
use super::http::{Connections, Http};
use super::{Config, Endpoint, SpanCounts, SpanLoss, wire};
use crate::export::spans::Span;
use crate::export::traces::Held;

/// Takes spans to the collector.
pub struct Exporter {
    config: Config,
    endpoint: Endpoint,
    resource: Resource,
    queue: mpsc::Receiver<Span>,
    held: Arc<Held>,
    counts: SpanCounts,
    /// What is being collected or sent.
    batch: Vec<Span>,
    pace: Pace,
    /// Whether the collector has taken less than a whole batch before; said once, counted always.
    is_partly_rejected: bool,
}

impl Exporter {
    pub(in crate::export) fn new(
        config: Config,
        endpoint: Endpoint,
        queue: mpsc::Receiver<Span>,
        held: Arc<Held>,
        counts: SpanCounts,
    ) -> Self {
        let resource = wire::resource(&config);
        Self {
            config,
            endpoint,
            resource,
            queue,
            held,
            counts,
            batch: Vec::new(),
            pace: Pace::default(),
            is_partly_rejected: false,
        }
    }

    /// Exports until `stopping`, then what is left, for at most five seconds. The connections' tasks go to `tasks`.
    pub async fn run(mut self, tls: ClientConfig, tasks: TaskTracker, stopping: CancellationToken) {
        let mut wire = Wire::new(&self.config, &self.endpoint, Connections::new(tasks, tls));
        let over = async {
            stopping.cancelled().await;
            sleep(FLUSH_LIMIT).await;
        };
        tokio::select! {
            () = self.work(&mut wire, &stopping) => {}
            // A batch that is cut off here is still in its place, and counted below.
            () = over => {}
        }
        self.count_rest();
    }

    async fn work(&mut self, wire: &mut Wire, stopping: &CancellationToken) {
        loop {
            self.fill(stopping).await;
            if self.batch.is_empty() {
                return;
            }
            self.deliver(wire).await;
        }
    }

    /// Waits for a batch: a full one, or one whose first span has waited long enough, or, once `stopping`, whatever there is.
    /// An empty one is the end.
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

    /// Sends the batch until it is taken or lost.
    async fn deliver(&mut self, wire: &mut Wire) {
        let give_up = Instant::now() + self.config.give_up_after;
        let load = wire.pack(&self.resource, &self.batch);
        loop {
            sleep_until(self.pace.next).await;
            let Ok(answer) = timeout(self.config.timeout, wire.send(&load)).await else {
                // The other end may be gone without a word; on the same connection every request would wait for it.
                wire.connect_anew();
                if self.is_given_up(None, give_up) {
                    return self.lost(SpanLoss::Timeout, &Cause::Timeout);
                }
                self.delayed(&Cause::Timeout);
                continue;
            };
            match answer {
                Answer::Taken { rejected } => return self.taken(rejected),
                Answer::Lost(loss, cause) => return self.lost(loss, &cause),
                Answer::Again { loss, after, cause } => {
                    if self.is_given_up(after, give_up) {
                        return self.lost(loss, &cause);
                    }
                    self.delayed(&cause);
                }
            }
        }
    }

    /// Puts the next request off; whether that is too late for this batch.
    fn is_given_up(&mut self, told: Option<Duration>, give_up: Instant) -> bool {
        self.pace.pause(told);
        self.pace.next >= give_up
    }

    fn taken(&mut self, rejected: u64) {
        let all = self.batch.len();
        let rejected = usize::try_from(rejected).unwrap_or(all).min(all);
        self.counts.exported(all - rejected);
        self.counts.lost(SpanLoss::Rejected, rejected);
        self.batch.clear();
        if rejected > 0 && !std::mem::replace(&mut self.is_partly_rejected, true) {
            warn!(rejected, of = all, "the collector does not want some spans");
        }
        if self.pace.succeed() {
            info!(endpoint = %self.endpoint, "the collector takes spans again");
        }
    }

    /// Says it once in each outage: most often the endpoint or the protocol is not what the collector has.
    fn delayed(&mut self, cause: &Cause) {
        if self.pace.is_first_failure() {
            warn!(endpoint = %self.endpoint, %cause, "spans cannot be sent yet; trying again");
        }
    }

    fn lost(&mut self, loss: SpanLoss, cause: &Cause) {
        self.counts.lost(loss, self.batch.len());
        self.batch.clear();
        if self.pace.fail() {
            warn!(endpoint = %self.endpoint, %cause, "spans are lost; the traffic is not affected");
        }
    }

    /// What nobody has time for any more.
    fn count_rest(mut self) {
        self.queue.close();
        let mut rest = self.batch.len();
        while self.queue.try_recv().is_ok() {
            rest += 1;
        }
        self.counts.lost(SpanLoss::Shutdown, rest);
        let unsettled = self.held.give_up();
        self.counts.lost(SpanLoss::Unsettled, unsettled);
        if rest + unsettled > 0 {
            warn!(spans = rest, unsettled, "spans were not exported before the end");
        }
    }
}

/// The protocol that was chosen.
enum Wire {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

/// A request that may be sent more than once.
enum Load {
    Grpc(ExportTraceServiceRequest),
    Http(Bytes),
}

impl Wire {
    fn new(config: &Config, endpoint: &Endpoint, connections: Connections) -> Self {
        if config.protocol.is_grpc(endpoint) {
            Self::Grpc(Box::new(Grpc::new(config, endpoint, connections)))
        } else {
            Self::Http(Box::new(Http::new(config, endpoint, connections)))
        }
    }

    /// Closes the connection; the next request opens another one.
    fn connect_anew(&mut self) {
        match self {
            Self::Grpc(grpc) => grpc.connect_anew(),
            Self::Http(http) => http.connect_anew(),
        }
    }

    fn pack(&self, resource: &Resource, spans: &[Span]) -> Load {
        match self {
            Self::Grpc(_) => Load::Grpc(wire::request(resource, spans)),
            Self::Http(http) => Load::Http(http.pack(resource, spans)),
        }
    }

    async fn send(&self, load: &Load) -> Answer {
        match (self, load) {
            (Self::Grpc(grpc), Load::Grpc(message)) => grpc.send(message.clone()).await,
            (Self::Http(http), Load::Http(body)) => http.send(body.clone()).await,
            // A wire sends what it has packed.
            _ => Answer::unreadable(),
        }
    }
}

/// When the next request may be sent.
struct Pace {
    next: Instant,
    /// Failures since the last success.
    failures: u32,
    /// Whether the last batch was lost.
    is_losing: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { next: Instant::now(), failures: 0, is_losing: false }
    }
}

impl Pace {
    /// Puts the next request off: as the collector says, or for a pause that doubles with each failure. A pause of random
    /// length keeps programs that failed together from coming back together.
    fn pause(&mut self, told: Option<Duration>) {
        let longest = LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)));
        let pause = told.unwrap_or_else(|| longest.mul_f64(rand::rng().random_range(0.5..=1.0)));
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + pause.min(LONGEST_TOLD);
    }

    /// Whether what was just put off had not failed since the last success.
    fn is_first_failure(&self) -> bool {
        self.failures == 1
    }

    /// Whether it is the first success after a loss.
    fn succeed(&mut self) -> bool {
        self.failures = 0;
        std::mem::take(&mut self.is_losing)
    }

    /// Whether it is the first loss after a success.
    fn fail(&mut self) -> bool {
        !std::mem::replace(&mut self.is_losing, true)
    }
}

/// Pending for ever without a time.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// How long the end of the program waits for the collector.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// A collector that restarts is back in seconds: the first pauses are short.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// No collector is troubled by a request every few seconds, and one that is back is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A collector that asks for a longer pause is asked again then: a queue is not kept for hours.
const LONGEST_TOLD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the next request is put off.
    fn pause(pace: &mut Pace, told: Option<u64>) -> Duration {
        pace.pause(told.map(Duration::from_secs));
        pace.next - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit_and_begin_anew_after_a_success() {
        let mut pace = Pace::default();
        for longest in [250, 500, 1000, 2000, 4000, 5000, 5000] {
            let pause = pause(&mut pace, None);
            let longest = Duration::from_millis(longest);
            assert!(longest / 2 <= pause && pause <= longest, "{pause:?} of {longest:?}");
        }
        pace.failures = u32::MAX;
        assert!(pause(&mut pace, None) <= LONGEST_PAUSE);
        pace.succeed();
        assert!(pause(&mut pace, None) <= FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_collector_s_word_is_kept_within_reason() {
        let mut pace = Pace::default();
        assert_eq!(pause(&mut pace, Some(7)), Duration::from_secs(7));
        assert_eq!(pause(&mut pace, Some(0)), Duration::ZERO);
        assert_eq!(pause(&mut pace, Some(3600)), LONGEST_TOLD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_and_its_end_are_told_once() {
        let mut pace = Pace::default();
        assert!(!pace.succeed());
        assert_eq!((pace.fail(), pace.fail()), (true, false));
        assert_eq!((pace.succeed(), pace.succeed()), (true, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_told_once_in_each_outage() {
        let mut pace = Pace::default();
        for _ in 0..2 {
            let told = [0; 3].map(|_| {
                pace.pause(None);
                pace.is_first_failure()
            });
            assert_eq!(told, [true, false, false]);
            pace.succeed();
        }
    }
}
