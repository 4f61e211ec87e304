//! Delivers messages to one collector: each is sent, retried as the protocol says, and accepted or
//! lost.
//!
//! Outages and their ends are logged once, without text of the collector's own.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use rand::Rng as _;
use rustls::ClientConfig;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::answer::{Answer, Cause};
use super::grpc::Grpc;
use super::http::{Connections, Http};
use super::{Config, Destination, Endpoint, Loss, Signal};

/// A message to a collector.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Metrics(ExportMetricsServiceRequest),
    Traces(ExportTraceServiceRequest),
}

/// The result of delivering a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryResult {
    /// It was lost completely.
    Lost(Loss),
    /// It was accepted, except for so many of its spans or points.
    Taken { rejected: u64 },
}

/// The delivery of one signal to one collector.
pub(super) struct Delivery {
    signal: Signal,
    endpoint: Endpoint,
    wire: Transport,
    timeout: Duration,
    give_up_after: Duration,
    pace: RetryPacer,
    /// Whether the collector has rejected part of a message before; logged once, counted always.
    is_partly_rejected: bool,
}

impl Delivery {
    /// The connections' tasks go to `tasks`.
    pub(super) fn new(
        signal: Signal,
        config: &Config,
        destination: &Destination,
        tls: ClientConfig,
        tasks: TaskTracker,
    ) -> Self {
        let connections = Connections::new(tasks, tls);
        Self {
            signal,
            endpoint: destination.endpoint.clone(),
            wire: Transport::new(signal, destination, connections),
            timeout: destination.timeout,
            give_up_after: config.give_up_after,
            pace: RetryPacer::default(),
            is_partly_rejected: false,
        }
    }

    /// Sends the message until it is accepted or lost.
    pub(super) async fn deliver(&mut self, message: Message) -> DeliveryResult {
        let give_up = Instant::now() + self.give_up_after;
        let load = self.wire.pack(message);
        loop {
            sleep_until(self.pace.next).await;
            let Ok(answer) = timeout(self.timeout, self.wire.send(&load)).await else {
                // The other end may be gone without notice; on the same connection every request
                // would wait for it.
                self.wire.reconnect();
                if self.is_given_up(None, give_up) {
                    return self.lost(Loss::Timeout, &Cause::Timeout);
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

    /// Delays the next request; returns whether that is too late for this message.
    fn is_given_up(&mut self, retry_after: Option<Duration>, give_up: Instant) -> bool {
        self.pace.pause(retry_after);
        self.pace.next >= give_up
    }

    fn taken(&mut self, rejected: u64) -> DeliveryResult {
        if rejected > 0 && !std::mem::replace(&mut self.is_partly_rejected, true) {
            warn!(endpoint = %self.endpoint, rejected, "the collector does not want some {}", self.signal);
        }
        if self.pace.succeed() {
            info!(endpoint = %self.endpoint, "the collector takes {} again", self.signal);
        }
        DeliveryResult::Taken { rejected }
    }

    /// Logs it once in each outage: most often the endpoint or the protocol is not what the
    /// collector has.
    fn delayed(&mut self, cause: &Cause) {
        if self.pace.is_first_failure() {
            warn!(endpoint = %self.endpoint, %cause, "{} cannot be sent yet; trying again", self.signal);
        }
    }

    fn lost(&mut self, loss: Loss, cause: &Cause) -> DeliveryResult {
        if self.pace.fail() {
            warn!(endpoint = %self.endpoint, %cause, "{} are lost; the traffic is not affected", self.signal);
        }
        DeliveryResult::Lost(loss)
    }
}

/// The protocol that was chosen.
enum Transport {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

/// A request that may be sent more than once.
enum Payload {
    Grpc(Message),
    Http(Bytes),
}

impl Transport {
    fn new(signal: Signal, destination: &Destination, connections: Connections) -> Self {
        if destination.protocol.is_grpc(&destination.endpoint) {
            Self::Grpc(Box::new(Grpc::new(destination, connections)))
        } else {
            Self::Http(Box::new(Http::new(signal, destination, connections)))
        }
    }

    /// Closes the connection; the next request opens another one.
    fn reconnect(&mut self) {
        match self {
            Self::Grpc(grpc) => grpc.reconnect(),
            Self::Http(http) => http.reconnect(),
        }
    }

    fn pack(&self, message: Message) -> Payload {
        match self {
            Self::Grpc(_) => Payload::Grpc(message),
            Self::Http(http) => Payload::Http(http.pack(&message)),
        }
    }

    async fn send(&self, load: &Payload) -> Answer {
        match (self, load) {
            (Self::Grpc(grpc), Payload::Grpc(message)) => grpc.send(message.clone()).await,
            (Self::Http(http), Payload::Http(body)) => http.send(body.clone()).await,
            // A transport only sends its own payloads.
            _ => Answer::unreadable(),
        }
    }
}

/// Decides when the next request may be sent.
struct RetryPacer {
    next: Instant,
    /// Failures since the last success.
    failures: u32,
    /// Whether the last batch was lost.
    is_losing: bool,
}

impl Default for RetryPacer {
    fn default() -> Self {
        Self {
            next: Instant::now(),
            failures: 0,
            is_losing: false,
        }
    }
}

impl RetryPacer {
    /// Delays the next request: as the collector says, or for a pause that doubles with each
    /// failure. The random length keeps programs that failed together from retrying together.
    fn pause(&mut self, retry_after: Option<Duration>) {
        let longest = LONGEST_PAUSE.min(FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)));
        let pause =
            retry_after.unwrap_or_else(|| longest.mul_f64(rand::rng().random_range(0.5..=1.0)));
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + pause.min(LONGEST_RETRY_AFTER);
    }

    /// Whether this is the first failure since the last success.
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

/// The first pause is short: a collector that restarts is back in seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A request every few seconds burdens no collector, and one that is back is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A collector that asks for a longer pause is tried again then: a queue is not kept for hours.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the next request is put off.
    fn pause(pace: &mut RetryPacer, retry_after: Option<u64>) -> Duration {
        pace.pause(retry_after.map(Duration::from_secs));
        pace.next - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit_and_begin_anew_after_a_success() {
        let mut pace = RetryPacer::default();
        for longest in [250, 500, 1000, 2000, 4000, 5000, 5000] {
            let pause = pause(&mut pace, None);
            let longest = Duration::from_millis(longest);
            assert!(
                longest / 2 <= pause && pause <= longest,
                "{pause:?} of {longest:?}"
            );
        }
        pace.failures = u32::MAX;
        assert!(pause(&mut pace, None) <= LONGEST_PAUSE);
        pace.succeed();
        assert!(pause(&mut pace, None) <= FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_collector_s_word_is_kept_within_reason() {
        let mut pace = RetryPacer::default();
        assert_eq!(pause(&mut pace, Some(7)), Duration::from_secs(7));
        assert_eq!(pause(&mut pace, Some(0)), Duration::ZERO);
        assert_eq!(pause(&mut pace, Some(3600)), LONGEST_RETRY_AFTER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_and_its_end_are_told_once() {
        let mut pace = RetryPacer::default();
        assert!(!pace.succeed());
        assert_eq!((pace.fail(), pace.fail()), (true, false));
        assert_eq!((pace.succeed(), pace.succeed()), (true, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_told_once_in_each_outage() {
        let mut pace = RetryPacer::default();
        for _ in 0..2 {
            let retry_after = [0; 3].map(|_| {
                pace.pause(None);
                pace.is_first_failure()
            });
            assert_eq!(retry_after, [true, false, false]);
            pace.succeed();
        }
    }
}
