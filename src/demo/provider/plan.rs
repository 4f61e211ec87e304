//! What one answer will be: drawn from the seed and the request, or prescribed by the request's
//! directive.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::ProviderOptions;
use crate::demo::digest::sha256_raw;
use crate::demo::usage::UsageMetadata;

/// One answer, before it is written. See [`ProviderOptions`] for the meaning of the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) usage: UsageMetadata,
    pub(super) events: u32,
    pub(super) zeros: u32,
    pub(super) late: bool,
    pub(super) sparse: bool,
    pub(super) gzip: bool,
    pub(super) crlf: bool,
    pub(super) hold: Option<usize>,
    pub(super) refusal: Option<Refusal>,
    pub(super) trace_id: String,
    /// From the head to the first event.
    pub(super) first_chunk: Duration,
}

/// The kinds of 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No details at all.
    Bare,
    /// `QUOTA_EXHAUSTED`: hours until the reset.
    Quota,
    /// `RATE_LIMIT_EXCEEDED`: a moment.
    Rate,
}

/// The directive holds something that is none; the text goes back to the caller, who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("demo directive: {0:?} is not a known key=value with a small whole number")]
pub(super) struct InvalidDirective(pub(super) String);

impl Plan {
    /// The answer to a request that is identified by `key` and whose last user text is `text`.
    pub(super) fn make(
        options: &ProviderOptions,
        key: &[u8],
        text: &str,
    ) -> Result<Self, InvalidDirective> {
        let mut rng = options.rng(key);
        let trace_id = format!("{:016x}", rng.random::<u64>());
        match text.rsplit_once(DIRECTIVE) {
            Some((_, directive)) => Self::plain(trace_id).obey(directive),
            None => Ok(Self::draw(options, &mut rng, trace_id)),
        }
    }

    fn plain(trace_id: String) -> Self {
        let usage = UsageMetadata {
            prompt_token_count: 100,
            candidates_token_count: 10,
            ..UsageMetadata::default()
        };
        Self {
            usage: usage.with_total(),
            events: 4,
            zeros: 0,
            late: false,
            sparse: false,
            gzip: false,
            crlf: true,
            hold: None,
            refusal: None,
            trace_id,
            first_chunk: Duration::ZERO,
        }
    }

    fn draw(options: &ProviderOptions, rng: &mut StdRng, trace_id: String) -> Self {
        let prompt = rng.random_range(500..60_000);
        let cached = if chance(rng, 60) {
            rng.random_range(0..=prompt)
        } else {
            0
        };
        let usage = UsageMetadata {
            prompt_token_count: prompt,
            cached_content_token_count: cached,
            thoughts_token_count: if chance(rng, 70) {
                rng.random_range(1..2_000)
            } else {
                0
            },
            // A reply may consist of thinking alone; its usage then names no candidates.
            candidates_token_count: if chance(rng, 95) {
                rng.random_range(1..1_500)
            } else {
                0
            },
            tool_use_prompt_token_count: if chance(rng, 10) {
                rng.random_range(1..4_000)
            } else {
                0
            },
            total_token_count: 0,
        };
        Self {
            usage: usage.with_total(),
            events: rng.random_range(1..=options.max_events.max(1)),
            zeros: if chance(rng, 15) {
                rng.random_range(1..3)
            } else {
                0
            },
            late: chance(rng, 20),
            sparse: chance(rng, 20),
            gzip: chance(rng, options.gzip_percent),
            crlf: chance(rng, 50),
            hold: None,
            refusal: chance(rng, options.refused_percent).then(|| Refusal::any(rng)),
            trace_id,
            first_chunk: options.first_chunk(rng),
        }
    }

    fn obey(mut self, directive: &str) -> Result<Self, InvalidDirective> {
        for word in directive.split_whitespace() {
            self.set(word)
                .ok_or_else(|| InvalidDirective(word.to_owned()))?;
        }
        self.usage = self.usage.with_total();
        Ok(self)
    }

    fn set(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=')?;
        if key == "refuse" {
            self.refusal = Some(Refusal::parse(value)?);
            return Some(());
        }
        let number: u32 = value.parse().ok().filter(|number| *number <= LARGEST)?;
        match key {
            "prompt" => self.usage.prompt_token_count = number.into(),
            "cached" => self.usage.cached_content_token_count = number.into(),
            "thoughts" => self.usage.thoughts_token_count = number.into(),
            "output" => self.usage.candidates_token_count = number.into(),
            "tool" => self.usage.tool_use_prompt_token_count = number.into(),
            "events" => self.events = number.clamp(1, MAX_EVENTS),
            "zeros" => self.zeros = number.min(MAX_EVENTS),
            "late" => self.late = number != 0,
            "sparse" => self.sparse = number != 0,
            "gzip" => self.gzip = number != 0,
            "hold" => self.hold = Some(usize::try_from(number).ok()?),
            _ => return None,
        }
        Some(())
    }
}

impl ProviderOptions {
    /// How long the first event of a stream takes: as often between one and two seconds as between
    /// two and four.
    pub(super) fn first_chunk(&self, rng: &mut StdRng) -> Duration {
        let [fewest, most] = self.first_chunk_ms;
        if most == 0 {
            return Duration::ZERO;
        }
        let seconds = |milliseconds: u64| Duration::from_millis(milliseconds.max(1)).as_secs_f64();
        let (fewest, most) = (seconds(fewest), seconds(most.max(fewest)));
        let share: f64 = rng.random();
        Duration::from_secs_f64(fewest * (most / fewest).powf(share))
    }

    /// What an answer follows from: the seed, and what is asked.
    pub(super) fn rng(&self, key: &[u8]) -> StdRng {
        StdRng::from_seed(sha256_raw(&[&self.seed.to_be_bytes(), key].concat()))
    }
}

impl Refusal {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "bare" => Some(Self::Bare),
            "quota" => Some(Self::Quota),
            "rate" => Some(Self::Rate),
            _ => None,
        }
    }

    fn any(rng: &mut StdRng) -> Self {
        match rng.random_range(0..3) {
            0 => Self::Bare,
            1 => Self::Quota,
            _ => Self::Rate,
        }
    }
}

pub(super) fn chance(rng: &mut StdRng, percent: u8) -> bool {
    rng.random_range(0..100) < percent
}

/// Opens a directive in the last user text.
const DIRECTIVE: &str = "demo:";
/// Sums of prescribed counts stay far from any overflow.
const LARGEST: u32 = 1 << 30;
/// A stream is written before it is sent, at about 300 bytes an event: at most 30 MB.
const MAX_EVENTS: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, InvalidDirective> {
        Plan::make(&ProviderOptions::default(), b"key", text)
    }

    #[test]
    fn a_directive_is_obeyed_to_the_token() {
        let plan =
            plan("hello\ndemo: prompt=16 cached=4 thoughts=42 output=3 events=5 late=1 hold=2")
                .unwrap();
        assert_eq!(
            (
                plan.usage.prompt_token_count,
                plan.usage.cached_content_token_count
            ),
            (16, 4)
        );
        assert_eq!(plan.usage.total_token_count, 61);
        assert_eq!(
            (plan.events, plan.late, plan.hold, plan.refusal),
            (5, true, Some(2), None)
        );
    }

    #[test]
    fn a_mistyped_directive_is_refused() {
        assert_eq!(
            plan("demo: promt=16"),
            Err(InvalidDirective("promt=16".to_owned()))
        );
        assert!(plan("demo: prompt=-1").is_err());
        assert!(plan("demo: refuse=maybe").is_err());
        assert!(plan("demo: prompt").is_err());
    }

    #[test]
    fn chance_follows_from_seed_and_key() {
        let options = ProviderOptions::default();
        let one = Plan::make(&options, b"a", "").unwrap();
        assert_eq!(one, Plan::make(&options, b"a", "").unwrap());
        assert_ne!(one, Plan::make(&options, b"b", "").unwrap());
        assert_ne!(
            one,
            Plan::make(&ProviderOptions { seed: 1, ..options }, b"a", "").unwrap()
        );
    }
}
