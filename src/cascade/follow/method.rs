//! Chooses the method by which an agent is followed: down at once when one is missing, up again
//! after a while. Pure; the time is passed in.

use std::time::{Duration, Instant};

use crate::record::UpdateSource;

/// A method of following conversations, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FollowMethod {
    /// `StreamAgentStateUpdates`
    AgentState,
    /// `StreamCascadeReactiveUpdates`
    Reactive,
    /// Polling: always available.
    Polling,
}

impl FollowMethod {
    pub(super) fn source(self) -> UpdateSource {
        match self {
            Self::AgentState => UpdateSource::AgentState,
            Self::Polling => UpdateSource::Polling,
            Self::Reactive => UpdateSource::Reactive,
        }
    }
}

/// The method that is in use, and when to try the best one again.
#[derive(Debug)]
pub(super) struct MethodChoice {
    method: FollowMethod,
    /// When a method was last found missing.
    stepped_down: Option<Instant>,
    retry_upward: Duration,
}

impl MethodChoice {
    /// Starts with the best method.
    pub(super) fn new(retry_upward: Duration) -> Self {
        Self {
            method: FollowMethod::AgentState,
            stepped_down: None,
            retry_upward,
        }
    }

    pub(super) fn method(&self) -> FollowMethod {
        self.method
    }

    /// A method was found missing. Returns whether that leads to a lower one.
    pub(super) fn missing(&mut self, method: FollowMethod, now: Instant) -> bool {
        if method != self.method {
            // Several conversations find the same method missing at the same time.
            return false;
        }
        self.method = match method {
            FollowMethod::AgentState => FollowMethod::Reactive,
            FollowMethod::Polling | FollowMethod::Reactive => FollowMethod::Polling,
        };
        self.stepped_down = Some(now);
        true
    }

    /// Goes back to the best method when it was left long enough ago. Returns whether it did.
    pub(super) fn retry_upward_if_due(&mut self, now: Instant) -> bool {
        let is_due = self
            .stepped_down
            .is_some_and(|down| now.saturating_duration_since(down) >= self.retry_upward);
        if is_due {
            self.method = FollowMethod::AgentState;
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
        let mut choice = MethodChoice::new(retry);
        assert_eq!(choice.method(), FollowMethod::AgentState);
        assert!(
            !choice.retry_upward_if_due(now + retry),
            "it stands at the top"
        );
        assert!(choice.missing(FollowMethod::AgentState, now));
        assert!(
            !choice.missing(FollowMethod::AgentState, now),
            "a second conversation says the same"
        );
        assert_eq!(choice.method(), FollowMethod::Reactive);
        assert!(choice.missing(FollowMethod::Reactive, now));
        assert_eq!(choice.method(), FollowMethod::Polling);
        choice.missing(FollowMethod::Polling, now);
        assert_eq!(
            choice.method(),
            FollowMethod::Polling,
            "there is nothing below"
        );
        assert!(!choice.retry_upward_if_due(now + retry / 2));
        assert!(choice.retry_upward_if_due(now + retry));
        assert_eq!(choice.method(), FollowMethod::AgentState);
        assert!(!choice.retry_upward_if_due(now + 2 * retry));
    }
}
