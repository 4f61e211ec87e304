//! What is left of limits, as `/v1/quotas` tells it.

use jiff::Timestamp;
use serde::Deserialize;

use super::figures::percent_left;
use crate::record::{Label as _, Model, QuotaWindow};

/// The answer of `/v1/quotas`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Limits {
    quotas: Vec<Limit>,
}

/// The last reading of a limit. Fields that are not shown are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Limit {
    /// Whose.
    pub provider: String,
    /// The model or group of models that it is for.
    model: String,
    /// What people call the model.
    #[serde(default)]
    display_name: Option<String>,
    window: String,
    /// What is left, from 0 to 1.
    pub remaining_ratio: f64,
    /// When it is full again.
    #[serde(default)]
    pub resets_at: Option<Timestamp>,
}

impl Limits {
    /// The limits of plans that hold at that time, the one first of which least is left: it refuses
    /// the next call. Limits of a rate fill up again within minutes, and one that has filled up
    /// since it was told says nothing any more: those are left out.
    #[must_use]
    pub fn of_plans(&self, now: Timestamp) -> Vec<&Limit> {
        let mut limits: Vec<_> = self
            .quotas
            .iter()
            .filter(|limit| limit.holds(now))
            .collect();
        limits.sort_by(|one, other| one.remaining_ratio.total_cmp(&other.remaining_ratio));
        limits
    }
}

impl Limit {
    fn holds(&self, now: Timestamp) -> bool {
        let is_rate = QuotaWindow::parse(&self.window).is_some_and(QuotaWindow::is_rate);
        !is_rate && self.resets_at.is_none_or(|at| at > now)
    }

    /// What it is for: the model as people call it, or the provider where it is for a whole account.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.display_name {
            Some(name) => name,
            None if self.model == Model::all().as_str() => &self.provider,
            None => &self.model,
        }
    }

    /// What it is counted over; `None` where the provider does not say.
    #[must_use]
    pub fn window(&self) -> Option<&str> {
        (self.window != QuotaWindow::Unspecified.as_str()).then_some(&self.window)
    }

    /// What is left, as it is written.
    #[must_use]
    pub fn left(&self) -> String {
        percent_left(self.remaining_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(now: &str) -> Vec<String> {
        let text = r#"{"quotas": [
            {"provider": "a", "model": "all", "window": "7d", "remaining_ratio": 0.5, "resets_at": "2026-11-30T00:00:00Z"},
            {"provider": "a", "model": "m", "window": "5h", "remaining_ratio": 0.429, "resets_at": "2026-11-23T16:00:00Z"},
            {"provider": "b", "model": "m", "display_name": "M", "window": "1d", "remaining_ratio": 1.0},
            {"provider": "b", "model": "m", "window": "requests", "remaining_ratio": 0.0}]}"#;
        let limits: Limits = serde_json::from_str(text).unwrap();
        let limits = limits.of_plans(now.parse().unwrap()).into_iter();
        limits
            .map(|limit| format!("{} {} {}", limit.name(), limit.window, limit.left()))
            .collect()
    }

    #[test]
    fn the_limit_that_refuses_next_is_first() {
        assert_eq!(
            shown("2026-11-23T12:00:00Z"),
            ["m 5h 42 %", "a 7d 50 %", "M 1d 100 %"]
        );
        assert_eq!(
            shown("2026-11-23T17:00:00Z"),
            ["a 7d 50 %", "M 1d 100 %"],
            "it is full again"
        );
    }
}
