//! Which way an agent is followed: down at once when one is missing, up again after a while. Pure;
//! the time is passed in.

use std::time::{Duration, Instant};

use crate::record::UpdateSource;

/// A way to follow conversations, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rung {
    /// `StreamAgentStateUpdates`
    AgentState,
    /// `StreamCascadeReactiveUpdates`
    Reactive,
    /// Asking again and again: always there.
    Polling,
}

impl Rung {
    pub(super) fn source(self) -> UpdateSource {
        match self {
            Self::AgentState => UpdateSource::AgentState,
            Self::Polling => UpdateSource::Polling,
            Self::Reactive => UpdateSource::Reactive,
        }
    }
}

/// The place on the ladder.
#[derive(Debug)]
pub(super) struct Ladder {
    rung: Rung,
    /// When the top was last found missing.
    stepped_down: Option<Instant>,
    retry_upward: Duration,
}

impl Ladder {
    /// At the top.
    pub(super) fn new(retry_upward: Duration) -> Self {
        Self {
            rung: Rung::AgentState,
            stepped_down: None,
            retry_upward,
        }
    }

    pub(super) fn rung(&self) -> Rung {
        self.rung
    }

    /// A rung was found missing. Returns whether that leads to a lower one.
    pub(super) fn missing(&mut self, rung: Rung, now: Instant) -> bool {
        if rung != self.rung {
            // Several conversations find the same rung missing at the same time.
            return false;
        }
        self.rung = match rung {
            Rung::AgentState => Rung::Reactive,
            Rung::Polling | Rung::Reactive => Rung::Polling,
        };
        self.stepped_down = Some(now);
        true
    }

    /// Goes back to the top when it was left long enough ago. Returns whether it did.
    pub(super) fn climb(&mut self, now: Instant) -> bool {
        let is_due = self
            .stepped_down
            .is_some_and(|down| now.saturating_duration_since(down) >= self.retry_upward);
        if is_due {
            self.rung = Rung::AgentState;
            self.stepped_down = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_at_once_and_up_after_a_while() {
        let (now, retry) = (Instant::now(), Duration::from_secs(60));
        let mut ladder = Ladder::new(retry);
        assert_eq!(ladder.rung(), Rung::AgentState);
        assert!(!ladder.climb(now + retry), "it stands at the top");
        assert!(ladder.missing(Rung::AgentState, now));
        assert!(
            !ladder.missing(Rung::AgentState, now),
            "a second conversation says the same"
        );
        assert_eq!(ladder.rung(), Rung::Reactive);
        assert!(ladder.missing(Rung::Reactive, now));
        assert_eq!(ladder.rung(), Rung::Polling);
        ladder.missing(Rung::Polling, now);
        assert_eq!(ladder.rung(), Rung::Polling, "there is nothing below");
        assert!(!ladder.climb(now + retry / 2));
        assert!(ladder.climb(now + retry));
        assert_eq!(ladder.rung(), Rung::AgentState);
        assert!(!ladder.climb(now + 2 * retry));
    }
}
