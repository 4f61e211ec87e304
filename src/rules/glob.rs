//! Patterns for names: `claude-opus-*`.

use std::fmt;

/// A text in which each `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(String);

impl Glob {
    /// Reads a pattern; `None` if the text is empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Whether the whole name is as the pattern says. Letters count as they are written.
    pub(super) fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else {
            return false;
        };
        let Some(end) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.ends_with(end)
    }

    /// Whether every name that `other` matches is matched by this pattern, as far as their texts
    /// show it: `true` is certain.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self == other || self.matches(&other.0)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::parse(pattern).expect("a pattern").matches(name)
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "anything"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a*b*c", "a1b2b3c"),
            ("*-pro-*", "x-pro-y"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a", "ab"),
            ("a", "A"),
            ("a*a", "a"),
            ("ab*bc", "abc"),
            ("*b*", "ac"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert_eq!(Glob::parse(""), None);
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        /// The same as trying every length for every star.
        #[test]
        fn matches_what_trying_everything_matches(
            pattern in "[ab*]{1,6}",
            name in "[ab]{0,7}",
        ) {
            fn tried(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|taken| tried(rest, &name[taken..])),
                    Some((byte, rest)) => name.first() == Some(byte) && tried(rest, &name[1..]),
                }
            }
            prop_assert_eq!(
                matches(&pattern, &name),
                tried(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
