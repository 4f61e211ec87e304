//! Host names and the patterns that select them.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A valid DNS host name, lower case, without a trailing dot. Never an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// The text is not a DNS host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a DNS host name (letters, digits, '-' and '_' in labels of at most 63 bytes, 253 in all; no IP address)"
)]
pub struct InvalidHost;

impl Host {
    /// Checks and normalises a host name.
    ///
    /// # Errors
    /// [`InvalidHost`] when the text is empty, too long, an IP address, or holds a byte that no
    /// host name has.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let numeric_end = text
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
        if text.len() > 253 || numeric_end || !text.split('.').all(is_label) {
            return Err(InvalidHost);
        }
        Ok(Self(text.into()))
    }

    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_';
    let edges = bytes.first() != Some(&b'-') && bytes.last() != Some(&b'-');
    (1..=63).contains(&bytes.len()) && edges && bytes.iter().all(inner)
}

/// A host name, or one with a single `*` in its first label that stands for one or more characters
/// of that label (`*.example.com`, `*-aiplatform.googleapis.com`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern {
    /// What precedes the `*` in the first label; `None` when the pattern is one exact name.
    prefix: Option<Arc<str>>,
    /// What follows the `*`, or the whole name.
    rest: Arc<str>,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`InvalidHost`] when it would not be a host name with the `*` replaced by a letter, when
    /// there is more than one `*`, when the `*` is not in the first label, or when nothing but a
    /// top-level domain follows it.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let Some((prefix, rest)) = text.split_once('*') else {
            return Host::parse(text).map(|host| Self {
                prefix: None,
                rest: host.0,
            });
        };
        let parent_labels = rest.trim_end_matches('.').split('.').count() - 1;
        if prefix.contains('.') || rest.contains('*') || parent_labels < 2 {
            return Err(InvalidHost);
        }
        let filled = Host::parse(&format!("{prefix}x{rest}"))?;
        let rest = filled.as_str().get(prefix.len() + 1..).unwrap_or_default();
        Ok(Self {
            prefix: Some(prefix.to_ascii_lowercase().into()),
            rest: rest.into(),
        })
    }

    /// Whether the pattern selects the host.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        let Some(prefix) = &self.prefix else {
            return *self.rest == *host.0;
        };
        let starred = host
            .as_str()
            .strip_prefix(&**prefix)
            .and_then(|tail| tail.strip_suffix(&*self.rest));
        starred.is_some_and(|starred| !starred.is_empty() && !starred.contains('.'))
    }

    /// Whether the pattern is one whole name.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.prefix.is_none()
    }

    /// The narrowest DNS subtree that holds every host the pattern can select, as an X.509 name
    /// constraint wants it (RFC 5280 section 4.2.1.10): the name itself and what is below it, or
    /// everything below the domain behind the label with the `*`.
    #[must_use]
    pub fn subtree(&self) -> &str {
        match self.prefix {
            None => &self.rest,
            Some(_) => self
                .rest
                .split_once('.')
                .map_or(&*self.rest, |(_, parent)| parent),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.prefix {
            None => f.write_str(&self.rest),
            Some(prefix) => write!(f, "{prefix}*{}", self.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).expect("a valid host")
    }

    #[test]
    fn hosts_are_normalised_or_refused() {
        assert_eq!(host("API.Example.COM.").as_str(), "api.example.com");
        for bad in [
            "",
            ".",
            "a..b",
            "-a.com",
            "a b.com",
            "127.0.0.1",
            "::1",
            "[::1]",
            "a\0.com",
            &"a".repeat(300),
        ] {
            assert_eq!(Host::parse(bad), Err(InvalidHost), "{bad:?}");
        }
    }

    #[test]
    fn patterns_select_within_one_label() {
        let exact = HostPattern::parse("Api.Example.com").expect("exact");
        assert!(
            exact.matches(&host("api.example.com")) && !exact.matches(&host("x.api.example.com"))
        );
        let sub = HostPattern::parse("*.example.com").expect("sub");
        assert!(sub.matches(&host("a.example.com")));
        assert!(!sub.matches(&host("example.com")) && !sub.matches(&host("a.b.example.com")));
        let infix = HostPattern::parse("*-aiplatform.googleapis.com").expect("infix");
        assert!(infix.matches(&host("us-central1-aiplatform.googleapis.com")));
        assert!(!infix.matches(&host("aiplatform.googleapis.com")));
        assert_eq!(infix.to_string(), "*-aiplatform.googleapis.com");
    }

    #[test]
    fn patterns_that_select_too_much_are_refused() {
        for bad in [
            "*",
            "*.com",
            "*.",
            "a.*.com",
            "*.*.example.com",
            "**.example.com",
            "*example",
        ] {
            assert_eq!(HostPattern::parse(bad), Err(InvalidHost), "{bad:?}");
        }
    }

    #[test]
    fn subtree_covers_the_pattern() {
        let subtree = |p: &str| HostPattern::parse(p).expect("pattern").subtree().to_owned();
        assert_eq!(subtree("api.example.com"), "api.example.com");
        assert_eq!(subtree("*.example.com"), "example.com");
        assert_eq!(subtree("*-x.example.com"), "example.com");
    }
}
