//! Delivers the data of one signal to one collector: each request is sent, retried as the protocol
//! says, and accepted or lost.
//!
//! Outages and their ends are logged once, without text of the collector's own.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use rustls::ClientConfig;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::answer::{Answer, Cause};
use super::carrier::Carrier;
use super::connections::{ConnectionTasks, client};
use super::senders::Sender;
use super::{Config, Destination, Loss, Resource};

/// The result of delivering a batch of spans, or all metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryResult {
    /// It was lost completely.
    Lost(Loss),
    /// It was accepted, except for so many of its spans or points.
    Taken { rejected: u64 },
}

/// The delivery of one signal to one collector.
pub(super) struct Delivery<S> {
    destination: Destination,
    resource: Resource,
    tls: ClientConfig,
    tasks: TaskTracker,
    connection: Connection<S>,
    give_up_after: Duration,
    pace: RetryPacer,
    /// Whether the collector has rejected part of a request before; logged once, counted always.
    is_partly_rejected: bool,
}

impl<S: Sender> Delivery<S> {
    /// The connections' tasks go to `tasks`.
    pub(super) fn new(
        config: &Config,
        destination: &Destination,
        resource: &Resource,
        tls: ClientConfig,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            connection: Connection::new(destination, resource, &tls, &tasks),
            destination: destination.clone(),
            resource: resource.clone(),
            tls,
            tasks,
            give_up_after: config.give_up_after,
            pace: RetryPacer::default(),
            is_partly_rejected: false,
        }
    }

    /// Sends the data, and repeats it until it is accepted or lost.
    pub(super) async fn deliver(&mut self, data: &S::Data) -> DeliveryResult {
        let give_up = Instant::now() + self.give_up_after;
        loop {
            sleep_until(self.pace.next).await;
            match self.send(data).await {
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

    /// Sends a request and waits for its answer.
    async fn send(&mut self, data: &S::Data) -> Answer {
        let sent = timeout(self.destination.timeout, self.connection.send(data)).await;
        if let Ok(Some(answer)) = sent {
            return answer;
        }
        // The other end may be gone without notice; on the same connection every request would wait
        // for it. An answer that comes late is noted where nobody looks.
        self.connection =
            Connection::new(&self.destination, &self.resource, &self.tls, &self.tasks);
        if sent.is_err() {
            Answer::too_late()
        } else {
            Answer::unreachable()
        }
    }

    /// Delays the next request; returns whether that is too late for this one.
    fn is_given_up(&mut self, retry_after: Option<Duration>, give_up: Instant) -> bool {
        self.pace.pause(retry_after);
        self.pace.next >= give_up
    }

    fn taken(&mut self, rejected: u64) -> DeliveryResult {
        if rejected > 0 && !std::mem::replace(&mut self.is_partly_rejected, true) {
            warn!(endpoint = %self.destination.endpoint, rejected, "the collector does not want some {}", S::SIGNAL);
        }
        if self.pace.succeed() {
            info!(endpoint = %self.destination.endpoint, "the collector takes {} again", S::SIGNAL);
        }
        DeliveryResult::Taken { rejected }
    }

    /// Logs it once in each outage: most often the endpoint or the protocol is not what the
    /// collector has.
    fn delayed(&mut self, cause: &Cause) {
        if self.pace.is_first_failure() {
            warn!(endpoint = %self.destination.endpoint, %cause, "{} cannot be sent yet; trying again", S::SIGNAL);
        }
    }

    fn lost(&mut self, loss: Loss, cause: &Cause) -> DeliveryResult {
        if self.pace.fail() {
            warn!(endpoint = %self.destination.endpoint, %cause, "{} are lost; the traffic is not affected", S::SIGNAL);
        }
        DeliveryResult::Lost(loss)
    }
}

/// A sender and the connection behind it, which are replaced where the other end has fallen silent.
struct Connection<S> {
    /// `None` if the library refused the settings, which was logged.
    sender: Option<S>,
    carrier: Arc<Carrier>,
    /// Ends the connection's tasks.
    _end: DropGuard,
}

impl<S: Sender> Connection<S> {
    fn new(
        destination: &Destination,
        resource: &Resource,
        tls: &ClientConfig,
        tracker: &TaskTracker,
    ) -> Self {
        let tasks = ConnectionTasks {
            tracker: tracker.clone(),
            end: CancellationToken::new(),
        };
        let end = tasks.end.clone().drop_guard();
        let client = client(tls.clone(), destination.is_grpc(), tasks.clone());
        let carrier = Arc::new(Carrier::new(S::SIGNAL, destination, client));
        let sender = S::over(Arc::clone(&carrier), destination, resource, tasks);
        Self {
            sender: sender
                .inspect_err(|error| warn!(%error, "{} cannot be exported", S::SIGNAL))
                .ok(),
            carrier,
            _end: end,
        }
    }

    /// `None` if the request did not get as far as the carrier.
    async fn send(&self, data: &S::Data) -> Option<Answer> {
        self.sender.as_ref()?.send(data).await;
        self.carrier.take_answer()
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
