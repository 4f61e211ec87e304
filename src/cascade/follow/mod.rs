//! Follows the conversations of one language server after the other, by the best method that it
//! offers.
//!
//! Input: where the agent listens, and calls that name unknown conversations. Output: updates for
//! the correlator, names of models and quotas for the record. It only reads and changes nothing; a
//! failure loses updates, which is counted, and nothing else.
//!
//! The methods, best first: a stream of the agent's state for each conversation; a reactive stream
//! for each, which ends after each turn; polling. Which of them exists differs between versions and
//! may change while the agent runs, so the method is found by trying, left when it ends, and tried
//! again later.

mod ask;
mod failure_log;
mod listed;
mod method;
mod quotas;
mod session;
mod streams;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Client, Endpoint};
use super::correlate::Correlator;
use session::Session;

/// How an agent is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often a conversation is polled while the agent works on it and no stream reports it.
    pub poll_interval: Duration,
    /// How often the list of conversations is polled while nothing happens.
    pub idle_interval: Duration,
    /// How long after a stream turned out to be missing it is tried again.
    pub retry_upward: Duration,
    /// How often quotas and names of models are polled.
    pub quota_interval: Duration,
    /// Most streams at the same time; conversations beyond that are polled.
    pub max_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(500),
            idle_interval: Duration::from_secs(5),
            retry_upward: Duration::from_secs(60),
            quota_interval: Duration::from_secs(300),
            max_streams: 64,
        }
    }
}

impl Config {
    /// The pause after so many failures in a row.
    fn pause_after(&self, failures: u32) -> Duration {
        self.poll_interval
            .saturating_mul(2u32.saturating_pow(failures))
            .min(self.idle_interval)
    }
}

/// Follows whichever agent there is, until `stopping`. `tasks` tracks the tasks of connections.
pub async fn run(
    config: Config,
    mut endpoints: Receiver<Option<Endpoint>>,
    correlator: Arc<Correlator>,
    tasks: TaskTracker,
    stopping: CancellationToken,
) {
    loop {
        let endpoint = endpoints.borrow_and_update().clone();
        let changed = async {
            // No other agent will be announced: this one is followed to the end.
            if endpoints.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            () = changed => {}
            () = follow(&config, endpoint, &correlator, &tasks) => {}
        }
        correlator.unfollowed();
    }
    correlator.unfollowed();
}

/// Follows one agent for as long as the caller waits.
async fn follow(
    config: &Config,
    endpoint: Option<Endpoint>,
    correlator: &Arc<Correlator>,
    tasks: &TaskTracker,
) {
    let Some(endpoint) = endpoint else {
        return std::future::pending().await;
    };
    tracing::info!(
        http = endpoint.http().map(display),
        https = endpoint.https().map(display),
        "following the conversations of the agent"
    );
    let client = Client::new(endpoint, tasks.clone());
    Session::new(config.clone(), client, Arc::clone(correlator))
        .run()
        .await;
}

/// Calls the correlator's `tick` until `stopping`, and then its `stop`; needed even where no agent
/// is followed.
pub async fn keep_time(correlator: Arc<Correlator>, stopping: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        correlator.tick();
    }
    correlator.stop();
}

/// Short compared to the half second after which a run that has ended is reported.
const TICK: Duration = Duration::from_millis(100);
