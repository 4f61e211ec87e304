//! Calls of models that pass without being read.

use std::fmt;
use std::sync::Arc;

use super::label::label;
use super::{Host, Provider};

label! {
    /// What makes an exchange that no dialect reads look like a call of a model.
    pub enum UnreadReason {
        /// Its answer has a content coding that cannot be decoded, so that it is not known what
        /// it is.
        ///
        /// What to do: report it: the log names the host and the shape of the path.
        Coding => "coding",
        /// Its answer is a stream of events.
        ///
        /// What to do: report it: the log names the host and the shape of the path. Its tokens are
        /// missing everywhere.
        EventStream => "event_stream",
        /// It calls a generating method of a gRPC service.
        ///
        /// What to do: use the HTTP API of the provider, which is read.
        Grpc => "grpc",
        /// Its answer reports tokens that were used.
        ///
        /// What to do: report it: the log names the host and the shape of the path. Its tokens are
        /// missing everywhere.
        Usage => "usage",
        /// It opened a WebSocket.
        ///
        /// What to do: report it, if it carries calls: the log names the host and the shape of the
        /// path.
        WebSocket => "websocket",
    }
}

/// An exchange that looks like a call of a model and is read by no dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadCall {
    /// Who answers, if the host is a known one.
    pub provider: Option<Provider>,
    /// The provider's host, as the agent asked for it (SNI).
    pub host: Host,
    /// What its path looks like.
    pub path: PathShape,
    /// What makes it look like a call.
    pub reason: UnreadReason,
}

/// A path without its query in which everything that may be a name, an identifier or a secret is
/// replaced by `{}`: what is left are words of an API
/// (`/v1/projects/{}/locations/{}/endpoints/openapi`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathShape(Arc<str>);

impl PathShape {
    /// Most segments that are shown; the longest known path has ten.
    pub const MAX_SEGMENTS: usize = 16;

    /// The shape of a path. Whatever stands behind a `?` or `#` is dropped.
    ///
    /// A segment is shown when it is a plain word or the version of an API. What follows a plural
    /// (`projects`, `models`) names one of them and is replaced even then, unless it is one of a
    /// few names that are part of an API.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut shape = String::new();
        let mut collection = "";
        for segment in path
            .trim_start_matches('/')
            .split('/')
            .take(Self::MAX_SEGMENTS)
        {
            // `{name}:{method}` and `{package}.{Service}`.
            let (name, method) = segment
                .split_once(':')
                .map_or((segment, None), |(name, method)| (name, Some(method)));
            let is_named = is_plural(collection) && !KNOWN_NAMES.contains(&name);
            shape.push('/');
            shape.push_str(if !is_named && name.split('.').all(is_word) {
                name
            } else {
                REPLACED
            });
            if let Some(method) = method {
                shape.push(':');
                shape.push_str(if is_word(method) { method } else { REPLACED });
            }
            collection = name;
        }
        Self(shape.into())
    }
}

impl fmt::Display for PathShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names that belong to an API although they follow a plural.
const KNOWN_NAMES: [&str; 5] = [
    "anthropic",
    "count_tokens",
    "google",
    "input_tokens",
    "openapi",
];

/// What stands for everything else.
const REPLACED: &str = "{}";

fn is_plural(word: &str) -> bool {
    word.len() > 2 && word.ends_with('s')
}

/// Whether the text is the version of an API, or made of plain words in camel case or joined by `_`
/// or `-`.
fn is_word(text: &str) -> bool {
    is_version(text)
        || (text.len() <= MAX_NAME_BYTES && text.split(['_', '-']).all(are_plain_words))
}

/// `v1`, `v1beta1`, `v1internal`.
fn is_version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else {
        return false;
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let stage = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    text.len() <= MAX_VERSION_BYTES
        && rest.len() + 1 < text.len()
        && matches!(stage, "" | "alpha" | "beta" | "internal")
}

/// Letters in words that each have a vowel and no long run without one, separated by capitals.
/// Random text does not look like it.
fn are_plain_words(text: &str) -> bool {
    let capitals = text
        .char_indices()
        .filter(|(at, c)| *at > 0 && c.is_ascii_uppercase())
        .map(|(at, _)| at);
    let bounds: Vec<usize> = std::iter::once(0)
        .chain(capitals)
        .chain([text.len()])
        .collect();
    let word = |bound: &[usize]| text.get(*bound.first()?..*bound.last()?);
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
        && bounds
            .windows(2)
            .all(|bound| word(bound).is_some_and(is_plain_word))
}

fn is_plain_word(word: &str) -> bool {
    let is_vowel = |c: char| "aeiouy".contains(c.to_ascii_lowercase());
    let longest_run = word.split(is_vowel).map(str::len).max().unwrap_or(0);
    (2..=MAX_WORD_BYTES).contains(&word.len())
        && word.contains(is_vowel)
        && longest_run <= MAX_CONSONANTS
}

/// `streamGenerateContent` has 21, `BidiGenerateContentConstrained` 30.
const MAX_NAME_BYTES: usize = 32;
/// `generativelanguage` has 18.
const MAX_WORD_BYTES: usize = 20;
/// `v1internal` has 10.
const MAX_VERSION_BYTES: usize = 12;
/// The words of APIs have at most three in a row (`completions`); one more is allowed.
const MAX_CONSONANTS: usize = 4;

#[cfg(test)]
mod tests;
