//! JSON Pointer (RFC 6901): where a value stands in a document.

use std::fmt;

/// A place in a JSON document. The empty one is the whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::rules) struct Pointer {
    /// Names of members and indices of elements, without escapes.
    tokens: Vec<String>,
}

impl Pointer {
    /// Reads a pointer: empty, or tokens that each begin with `/`, where `~1` stands for `/` and
    /// `~0` for `~`. `None` if the text is none.
    pub(in crate::rules) fn parse(text: &str) -> Option<Self> {
        let tokens = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(unescaped).collect::<Option<_>>()?,
            None if text.is_empty() => Vec::new(),
            None => return None,
        };
        Some(Self { tokens })
    }

    /// How many tokens it has.
    pub(super) fn depth(&self) -> usize {
        self.tokens.len()
    }

    /// The pointer of its first tokens.
    pub(super) fn first(&self, depth: usize) -> Self {
        Self {
            tokens: self.tokens.iter().take(depth).cloned().collect(),
        }
    }

    /// Its last token.
    pub(super) fn last(&self) -> Option<&str> {
        self.tokens.last().map(String::as_str)
    }

    /// The parent, and the last token below it; `None` for the whole document.
    pub(super) fn split(&self) -> Option<(Self, &str)> {
        let (last, parent) = self.tokens.split_last()?;
        let parent = Self {
            tokens: parent.to_vec(),
        };
        Some((parent, last))
    }

    /// Whether what stands there contains what stands at `other`, or is it.
    pub(in crate::rules) fn contains(&self, other: &Self) -> bool {
        other.tokens.starts_with(&self.tokens)
    }

    /// The place of a member below this one.
    pub(in crate::rules) fn child(&self, name: &str) -> Self {
        let tokens = self.tokens.iter().cloned().chain([name.to_owned()]);
        Self {
            tokens: tokens.collect(),
        }
    }

    /// Pointers to it and all that contain it, the innermost first.
    pub(in crate::rules) fn outwards(&self) -> impl Iterator<Item = Self> + '_ {
        (0..=self.depth()).rev().map(|depth| self.first(depth))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tokens.is_empty() {
            return f.write_str("(the whole body)");
        }
        for token in &self.tokens {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

fn unescaped(token: &str) -> Option<String> {
    let mut plain = String::new();
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_and_shown_as_the_rfc_writes_them() {
        for good in ["/a", "/a/0/b", "/a~1b/m~0n", "/", "//", "/ /é"] {
            assert_eq!(Pointer::parse(good).expect("a pointer").to_string(), good);
        }
        let tokens = |text| Pointer::parse(text).map(|pointer| pointer.tokens);
        assert_eq!(tokens(""), Some(Vec::new()));
        assert_eq!(tokens("/~01"), Some(vec!["~1".to_owned()]));
        for bad in ["a", "a/b", "/~", "/~2", "#/a"] {
            assert_eq!(tokens(bad), None, "{bad}");
        }
    }
}
