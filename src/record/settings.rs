//! What a request asks of the generation of its answer.

use super::Id;
use super::label::label;

/// The settings of a generation, as far as the request has them: what was sent, so with what a rule
/// has changed. None of them is text that a person has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestSettings {
    /// How many answers are to be generated, of which one is to be chosen.
    pub choices: Option<u64>,
    /// How much words that are frequent already are to be avoided.
    pub frequency_penalty: Option<FiniteNumber>,
    /// The most tokens that may be generated.
    pub max_tokens: Option<u64>,
    /// What is to be generated.
    pub output_type: Option<OutputType>,
    /// How much words that occur already are to be avoided.
    pub presence_penalty: Option<FiniteNumber>,
    /// How hard the model is asked to think, in the provider's word (`high`).
    pub reasoning_level: Option<Id>,
    /// With the same seed, the same answer is more likely.
    pub seed: Option<i64>,
    /// How random the choice of the next token is.
    pub temperature: Option<FiniteNumber>,
    /// From how many of the likeliest tokens the next one is chosen.
    pub top_k: Option<u64>,
    /// From which share of the likeliest tokens the next one is chosen.
    pub top_p: Option<FiniteNumber>,
}

/// A number that is neither infinite nor NaN, so that it equals itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FiniteNumber(f64);

impl Eq for FiniteNumber {}

impl FiniteNumber {
    /// `None` for a number that is infinite or NaN.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

label! {
    /// What a request wants to have generated, under the value that the OpenTelemetry GenAI
    /// convention has for `gen_ai.output.type`.
    pub enum OutputType {
        /// A JSON document.
        Json => "json",
        /// Text.
        Text => "text",
    }
}
