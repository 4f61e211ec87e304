//! Watches one conversation on a stream: opens it, reads it, reopens it when it breaks, until it is
//! over or its method is missing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::ask::{Agent, Failure};
use super::method::FollowMethod;
use crate::cascade::client::RpcError;
use crate::cascade::correlate::Correlator;
use crate::cascade::reactive::ReactiveState;
use crate::cascade::update::Update;
use crate::record::Id;

/// A conversation to watch.
pub(super) struct Watch {
    pub(super) agent: Arc<Agent>,
    pub(super) correlator: Arc<Correlator>,
    pub(super) cascade: Id,
    pub(super) method: FollowMethod,
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchEnd {
    /// The agent no longer has the conversation, or has not loaded it.
    Deleted(Failure),
    /// The stream fails again and again.
    Failing(Failure),
    /// The agent does not offer the method (any more).
    Missing(Failure),
    /// Nothing has happened for a long time.
    Quiet,
}

impl Watch {
    /// Watches until one of the reasons to end comes.
    pub(super) async fn run(self) -> (Id, FollowMethod, WatchEnd) {
        let end = self.watch().await;
        (self.cascade, self.method, end)
    }

    async fn watch(&self) -> WatchEnd {
        let (mut pause, mut failures, mut last_news) = (FIRST_PAUSE, 0, Instant::now());
        loop {
            let mut updates = 0;
            let ended = match self.method {
                FollowMethod::AgentState => self.agent_state(&mut updates).await,
                // Polling has no stream.
                FollowMethod::Polling => Err(Failure::Rpc(RpcError::Unimplemented)),
                FollowMethod::Reactive => self.reactive(&mut updates).await,
            };
            // A stream that only repeats what is known, as that of an idle conversation does, has
            // made no progress.
            if updates > 1 {
                (pause, failures, last_news) = (FIRST_PAUSE, 0, Instant::now());
            }
            match ended {
                // A stream that ends after each turn would otherwise be opened for ever.
                Ok(StreamEnd::ByAgent) if last_news.elapsed() < QUIET_AFTER => failures = 0,
                Ok(StreamEnd::ByAgent | StreamEnd::Quiet) => return WatchEnd::Quiet,
                Err(failure) if failure.is_missing() => return WatchEnd::Missing(failure),
                Err(failure) if failure.is_deleted() => return WatchEnd::Deleted(failure),
                Err(failure) => {
                    self.correlator.failed(failure.reason());
                    failures += 1;
                    if failures == MAX_FAILURES {
                        return WatchEnd::Failing(failure);
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn agent_state(&self, updates: &mut u32) -> Result<StreamEnd, Failure> {
        let mut states = self.agent.agent_state(&self.cascade, &subscriber()).await?;
        loop {
            let Ok(next) = timeout(QUIET_AFTER, states.next()).await else {
                return Ok(StreamEnd::Quiet);
            };
            let Some(update) = next? else {
                return Ok(StreamEnd::ByAgent);
            };
            let update = Update {
                after_gap: *updates == 0,
                ..update
            };
            self.correlator
                .update(&self.cascade, &update, self.method.source());
            *updates += 1;
        }
    }

    async fn reactive(&self, updates: &mut u32) -> Result<StreamEnd, Failure> {
        let mut differences = self.agent.reactive(&self.cascade, &subscriber()).await?;
        let mut state = ReactiveState::new();
        loop {
            let Ok(next) = timeout(QUIET_AFTER, differences.next()).await else {
                return Ok(StreamEnd::Quiet);
            };
            let Some(difference) = next.map_err(Failure::Rpc)? else {
                return Ok(StreamEnd::ByAgent);
            };
            if let Some(difference) = &difference.diff {
                state.apply(difference)?;
                let update = Update {
                    after_gap: *updates == 0,
                    ..state.update()
                };
                self.correlator
                    .update(&self.cascade, &update, self.method.source());
                *updates += 1;
            }
        }
    }
}

enum StreamEnd {
    ByAgent,
    Quiet,
}

/// A unique name for each stream: two of the same name would share one.
fn subscriber() -> String {
    format!("gravimeter-{}", uuid::Uuid::new_v4())
}

/// A turn may be followed by the next one at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How late the next turn may be noticed when the agent ends the stream again and again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After so many failures in a row the conversation is polled instead.
const MAX_FAILURES: u32 = 3;

/// Longer than a tool or a person usually takes; the list of conversations shows when it goes on.
const QUIET_AFTER: Duration = Duration::from_secs(600);
