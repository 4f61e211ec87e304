//! How fast models generate: the output of each call, thinking included, spread over the time in
//! which it came.
//!
//! Providers tell the tokens at the end of a call only, so a call is drawn when it has ended, back
//! to its first content.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::time;
use crate::record::{Call, Model, TokenKind};

/// Tokens by slot of time, and by model within.
#[derive(Debug, Default)]
pub(super) struct Generation(BTreeMap<i64, HashMap<Model, f64>>);

/// Tokens per second of the window that ends now, slot by slot, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::web) struct Rates {
    /// The fastest models of the window, the fastest first; all others together are the last one,
    /// without a name.
    pub(in crate::web) models: Vec<(Option<Model>, Vec<f64>)>,
    /// When the last slot began, in seconds since the Unix epoch.
    pub(in crate::web) end: i64,
}

impl Rates {
    /// How many slots the window has; 0 where there is no model.
    pub(in crate::web) fn slots(&self) -> usize {
        self.models.first().map_or(0, |(_, line)| line.len())
    }
}

impl Generation {
    pub(super) fn add(&mut self, call: &Call, model: &Model) {
        let tokens = call.usage.counts().sum(TokenKind::OUTPUT);
        let Some(start) = call
            .timing
            .time_to_first_chunk
            .and_then(|first| call.timing.started_at.checked_add(first))
        else {
            return;
        };
        if tokens == 0 {
            return;
        }
        let length = call
            .timing
            .content_duration
            .unwrap_or_default()
            .min(Duration::from_secs(WINDOW_SECONDS as u64));
        let (first, last) = (
            slot(time(start)),
            slot(time(start.checked_add(length).unwrap_or(start))),
        );
        let share = tokens as f64 / (last - first + 1) as f64;
        for at in first..=last {
            *self
                .0
                .entry(at)
                .or_default()
                .entry(model.clone())
                .or_default() += share;
        }
        self.forget(last - SLOTS);
    }

    pub(super) fn rates(&mut self, now: Timestamp) -> Rates {
        let last = slot(now);
        self.forget(last - SLOTS);
        let mut sums: HashMap<&Model, f64> = HashMap::new();
        for (model, tokens) in self.0.range(..=last).flat_map(|(_, models)| models) {
            *sums.entry(model).or_default() += tokens;
        }
        let mut fastest: Vec<_> = sums.into_iter().collect();
        fastest.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.as_str().cmp(b.as_str())));
        let named: Vec<Model> = fastest
            .iter()
            .take(NAMED)
            .map(|(model, _)| (*model).clone())
            .collect();
        let line = |model: &Model| self.line(last, |other| other == model);
        let mut models: Vec<_> = named
            .iter()
            .map(|model| (Some(model.clone()), line(model)))
            .collect();
        if fastest.len() > NAMED {
            models.push((None, self.line(last, |model| !named.contains(model))));
        }
        Rates {
            models,
            end: last * SLOT_SECONDS,
        }
    }

    /// Tokens per second in each slot up to `last`.
    fn line(&self, last: i64, counts: impl Fn(&Model) -> bool) -> Vec<f64> {
        let tokens = |at| {
            let models = self.0.get(&at).into_iter().flatten();
            models
                .filter(|(model, _)| counts(model))
                .map(|(_, tokens)| tokens)
                .sum::<f64>()
        };
        (last - SLOTS + 1..=last)
            .map(|at| tokens(at) / SLOT_SECONDS as f64)
            .collect()
    }

    fn forget(&mut self, up_to: i64) {
        self.0 = self.0.split_off(&(up_to + 1));
    }
}

fn slot(at: Timestamp) -> i64 {
    at.as_second().div_euclid(SLOT_SECONDS)
}

/// Fine enough to move, coarse enough for 150 points on a line.
pub(in crate::web) const SLOT_SECONDS: i64 = 2;

/// What a glance takes in: the last five minutes.
pub(in crate::web) const WINDOW_SECONDS: i64 = 300;

const SLOTS: i64 = WINDOW_SECONDS / SLOT_SECONDS;

/// As many as can be told apart by colour.
const NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::export::tests::kit::call;
    use crate::record::{Timing, TokenUsage};

    const START: u64 = 1_790_000_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A call that generates `tokens` from `start` on for `seconds`.
    fn generated(start: u64, seconds: u64, tokens: u64) -> Call {
        let timing = Timing {
            started_at: at(start - 3),
            duration: Duration::from_secs(seconds + 4),
            time_to_first_chunk: Some(Duration::from_secs(3)),
            content_duration: Some(Duration::from_secs(seconds)),
        };
        let usage = TokenUsage::default()
            .with(TokenKind::Output, tokens - 1)
            .with(TokenKind::Thinking, 1);
        Call {
            timing,
            usage,
            ..call("m")
        }
    }

    fn rates(generation: &mut Generation, seconds: u64) -> Rates {
        generation.rates(time(at(seconds)))
    }

    #[test]
    fn a_call_is_spread_over_the_time_in_which_its_content_came() {
        let mut generation = Generation::default();
        generation.add(&generated(START, 7, 800), &Model::from_wire("m"));
        let Rates { models, end } = rates(&mut generation, START + 11);
        assert_eq!(end, START as i64 + 10, "slots begin with even seconds");
        let [(model, line)] = &models[..] else {
            panic!("{models:?}")
        };
        assert_eq!(model.as_ref().map(Model::as_str), Some("m"));
        assert_eq!(line.len(), 150);
        // Slots of two seconds: four with content, then one and the running one without.
        assert_eq!(line[143..], [0.0, 100.0, 100.0, 100.0, 100.0, 0.0, 0.0]);
        assert_eq!(
            line.iter().sum::<f64>() * 2.0,
            800.0,
            "no token is lost or doubled"
        );
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut generation = Generation::default();
        generation.add(&generated(START, 7, 800), &Model::from_wire("m"));
        assert_eq!(rates(&mut generation, START + 307).models.len(), 0);
        assert_eq!(generation.0.len(), 0);
    }

    #[test]
    fn a_call_of_hours_is_no_longer_than_the_window() {
        let mut generation = Generation::default();
        generation.add(&generated(START, 86_400, 800), &Model::from_wire("m"));
        assert!(
            generation.0.len() as i64 <= SLOTS + 1,
            "{}",
            generation.0.len()
        );
    }

    #[test]
    fn the_fastest_have_a_name_and_the_others_share_a_line() {
        let mut generation = Generation::default();
        for number in 1..=8 {
            generation.add(
                &generated(START, 1, number * 10),
                &Model::from_wire(&format!("m{number}")),
            );
        }
        let Rates { models, .. } = rates(&mut generation, START + 1);
        let names: Vec<_> = models
            .iter()
            .map(|(model, _)| model.as_ref().map(Model::as_str))
            .collect();
        assert_eq!(
            names,
            [
                Some("m8"),
                Some("m7"),
                Some("m6"),
                Some("m5"),
                Some("m4"),
                None
            ]
        );
        assert_eq!(models[5].1[149], (10.0 + 20.0 + 30.0) / 2.0);
    }

    #[test]
    fn a_call_without_content_or_tokens_is_not_drawn() {
        let mut generation = Generation::default();
        let silent = generated(START, 1, 10);
        let silent = Call {
            timing: Timing {
                time_to_first_chunk: None,
                ..silent.timing
            },
            ..silent
        };
        generation.add(&silent, &Model::from_wire("m"));
        generation.add(
            &Call {
                usage: TokenUsage::default(),
                ..generated(START, 1, 10)
            },
            &Model::from_wire("m"),
        );
        assert_eq!(generation.0.len(), 0);
    }
}
