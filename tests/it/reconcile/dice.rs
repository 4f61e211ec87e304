//! A fixed row of random choices, so that a failure comes back.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::books::Tokens;

pub struct Dice(StdRng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number from 0, below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit.max(1))
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A count of tokens, which is never 0.
    fn count(&mut self, most: u64) -> u64 {
        self.0.random_range(1..=most)
    }

    /// The tokens of an answer, with some of every kind.
    pub fn tokens(&mut self) -> Tokens {
        Tokens {
            input: self.count(9_000),
            cache_read: self.count(120_000),
            cache_write_5m: self.count(5_000),
            cache_write_1h: self.count(7_000),
            tool_input: self.count(400),
            output: self.count(3_000),
            thinking: self.count(8_000),
        }
    }

    /// A piece of an answer's text, of which some look like what a reader looks for.
    pub fn text(&mut self) -> String {
        const WORDS: [&str; 10] = [
            "and so on ",
            "grüße \u{1f600} ",
            "a line\nanother \"quoted\" one\t",
            "\\u0041\\",
            "{\"usage\":{\"input_tokens\":7,\"output_tokens\":9}}",
            "data: [DONE]\n\n",
            "event: message_stop\ndata: {}\n\n",
            "\"usageMetadata\":{\"promptTokenCount\":77}",
            "[{}],",
            "x",
        ];
        let count = 1 + self.below(6);
        (0..count).map(|_| *self.of(&WORDS)).collect()
    }
}
