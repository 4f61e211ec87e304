//! What tokens stand for (text, images, sound), as far as the provider splits its counts by it.
//!
//! A split stands beside the partition by [`TokenKind`] and never changes it: tokens that no split
//! covers have no known modality.

use std::ops::{Index, IndexMut};

use super::label::{Label, label};
use super::{PerKind, TokenKind};

label! {
    /// What a token stands for, under the value that the OpenTelemetry GenAI convention has for
    /// `gen_ai.token.modality`. It has none for documents and videos.
    pub enum Modality {
        /// Sound.
        Audio => "audio",
        /// A document such as a PDF file.
        Document => "document",
        /// An image.
        Image => "image",
        /// Text.
        Text => "text",
        /// Moving pictures.
        Video => "video",
    }
}

label! {
    /// A sum of kinds of tokens that providers split by modality.
    pub enum SplitSum {
        /// Input read from the provider's prompt cache.
        CacheRead => "cache_read",
        /// All input, cached or not.
        Input => "input",
        /// All output, reasoning included.
        Output => "output",
    }
}

impl SplitSum {
    /// The kinds of tokens that the sum is made of.
    #[must_use]
    pub fn kinds(self) -> &'static [TokenKind] {
        match self {
            Self::CacheRead => &[TokenKind::CacheRead],
            Self::Input => TokenKind::INPUT,
            Self::Output => TokenKind::OUTPUT,
        }
    }
}

/// Tokens by modality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerModality([u64; Modality::ALL.len()]);

impl PerModality {
    /// The counts with their modalities, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Modality, u64)> {
        Modality::ALL.iter().copied().zip(self.0)
    }

    /// The tokens of all modalities together; saturates.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.into_iter().fold(0, u64::saturating_add)
    }

    /// Adds the tokens of a modality; saturates.
    pub fn add(&mut self, modality: Modality, tokens: u64) {
        self[modality] = self[modality].saturating_add(tokens);
    }

    /// Adds the tokens of each modality; saturates.
    pub fn merge(&mut self, more: &Self) {
        more.iter()
            .for_each(|(modality, tokens)| self.add(modality, tokens));
    }

    /// Takes over a later count of the same tokens, unless it says nothing.
    pub fn replace(&mut self, later: Self) {
        if later.total() > 0 {
            *self = later;
        }
    }

    /// The same split of at most `sum` tokens: what exceeds it is taken off, from the last modality
    /// backwards.
    #[must_use]
    pub fn within(mut self, sum: u64) -> Self {
        let mut left = sum;
        for tokens in &mut self.0 {
            *tokens = (*tokens).min(left);
            left -= *tokens;
        }
        self
    }
}

impl Index<Modality> for PerModality {
    type Output = u64;

    #[expect(clippy::indexing_slicing, reason = "each modality has a place")]
    fn index(&self, modality: Modality) -> &u64 {
        &self.0[modality as usize]
    }
}

impl IndexMut<Modality> for PerModality {
    #[expect(clippy::indexing_slicing, reason = "each modality has a place")]
    fn index_mut(&mut self, modality: Modality) -> &mut u64 {
        &mut self.0[modality as usize]
    }
}

/// How the tokens of calls are split by modality, sum by sum. Tokens that are missing from a split
/// have no known modality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModalitySplits([PerModality; SplitSum::ALL.len()]);

impl ModalitySplits {
    /// The splits with their sums, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SplitSum, &PerModality)> {
        SplitSum::ALL.iter().copied().zip(&self.0)
    }

    /// Whether no token has a known modality.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the splits of other calls; saturates.
    pub fn merge(&mut self, more: &Self) {
        more.iter().for_each(|(sum, split)| self[sum].merge(split));
    }

    /// The same splits of at most these tokens.
    #[must_use]
    pub fn within(mut self, tokens: &PerKind<u64>) -> Self {
        for sum in SplitSum::ALL {
            self[*sum] = self[*sum].within(tokens.sum(sum.kinds()));
        }
        self
    }
}

impl Index<SplitSum> for ModalitySplits {
    type Output = PerModality;

    #[expect(clippy::indexing_slicing, reason = "each sum has a place")]
    fn index(&self, sum: SplitSum) -> &PerModality {
        &self.0[sum as usize]
    }
}

impl IndexMut<SplitSum> for ModalitySplits {
    #[expect(clippy::indexing_slicing, reason = "each sum has a place")]
    fn index_mut(&mut self, sum: SplitSum) -> &mut PerModality {
        &mut self.0[sum as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(counts: [u64; 5]) -> PerModality {
        PerModality(counts)
    }

    #[test]
    fn a_split_never_exceeds_its_sum() {
        let table = [
            (10, [1, 2, 3, 4, 0]),
            (9, [1, 2, 3, 3, 0]),
            (4, [1, 2, 1, 0, 0]),
            (0, [0, 0, 0, 0, 0]),
        ];
        for (sum, expected) in table {
            assert_eq!(split([1, 2, 3, 4, 0]).within(sum), split(expected), "{sum}");
        }
        assert_eq!(split([u64::MAX; 5]).total(), u64::MAX);
    }

    #[test]
    fn each_sum_bounds_its_own_split() {
        let mut splits = ModalitySplits::default();
        assert!(splits.is_empty());
        for sum in SplitSum::ALL {
            splits[*sum].add(Modality::Text, 100);
        }
        assert!(!splits.is_empty());
        let mut tokens = PerKind::default();
        tokens[TokenKind::Input] = 7;
        tokens[TokenKind::CacheRead] = 5;
        tokens[TokenKind::Output] = 2;
        tokens[TokenKind::Thinking] = 1;
        let within = splits.within(&tokens);
        let text = |sum| within[sum][Modality::Text];
        assert_eq!(text(SplitSum::Input), 12);
        assert_eq!(text(SplitSum::CacheRead), 5);
        assert_eq!(text(SplitSum::Output), 3);
    }
}
