//! The payload of a chunk of `invoke-with-response-stream`: an object whose member `bytes` holds an
//! event of the model's own API in Base64, beside padding of random length.
//!
//! Constant memory: the event is decoded as it comes. The reader of JSON keeps no long strings, so
//! the member is found here. The checksum of the message covers the rest of the object, whose
//! grammar is not checked.

use memchr::memchr2;

use crate::observe::base64::{Base64, NotBase64};

/// Finds the member in one object, and decodes it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wrapped {
    /// How many containers are open.
    depth: usize,
    /// The next string of the outermost object is a key.
    expects_key: bool,
    /// The next value of the outermost object is the member.
    is_wanted: bool,
    string: Option<Inside>,
    /// A backslash came before.
    is_escaped: bool,
    event: Base64,
}

/// What a string is.
#[derive(Debug, Clone, Copy)]
enum Inside {
    /// A key of the outermost object, and how many of its characters are those of [`MEMBER`] if all
    /// of them are.
    Key(Option<usize>),
    /// The member.
    Member,
    Other,
}

impl Wrapped {
    /// Reads the next bytes of the object, and passes those of the event to `out`.
    ///
    /// # Errors
    /// [`NotBase64`] when the member is none.
    pub(super) fn feed(
        &mut self,
        mut text: &[u8],
        out: &mut impl FnMut(&[u8]),
    ) -> Result<(), NotBase64> {
        while let Some((&byte, rest)) = text.split_first() {
            text = match self.string {
                None => {
                    self.structure(byte);
                    rest
                }
                Some(inside) if std::mem::take(&mut self.is_escaped) => {
                    match inside {
                        Inside::Key(_) => self.string = Some(Inside::Key(None)),
                        // Some encoders write `\/` for `/`.
                        Inside::Member if byte == b'/' => self.event.feed(b"/", out)?,
                        Inside::Member => return Err(NotBase64),
                        Inside::Other => {}
                    }
                    rest
                }
                Some(inside) => self.string_run(inside, text, out)?,
            };
        }
        Ok(())
    }

    /// The object is at its end.
    ///
    /// # Errors
    /// [`NotBase64`] when it is cut off, or the member is no Base64.
    pub(super) fn finish(self) -> Result<(), NotBase64> {
        if self.depth > 0 {
            return Err(NotBase64);
        }
        self.event.finish()
    }

    /// A byte outside of strings.
    fn structure(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.string = Some(match (self.depth, self.expects_key, self.is_wanted) {
                    (1, true, _) => Inside::Key(Some(0)),
                    (1, false, true) => Inside::Member,
                    _ => Inside::Other,
                });
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.expects_key = self.depth == 1 && byte == b'{';
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 1 => (self.expects_key, self.is_wanted) = (true, false),
            b':' if self.depth == 1 => self.expects_key = false,
            _ => {}
        }
    }

    /// Reads a string to its end, to an escape or to the end of the bytes, and returns what
    /// follows.
    fn string_run<'a>(
        &mut self,
        inside: Inside,
        text: &'a [u8],
        out: &mut impl FnMut(&[u8]),
    ) -> Result<&'a [u8], NotBase64> {
        let (run, tail) = text.split_at(memchr2(b'"', b'\\', text).unwrap_or(text.len()));
        let inside = match inside {
            Inside::Key(matched) => Inside::Key(
                matched.and_then(|at| MEMBER.get(at..)?.starts_with(run).then_some(at + run.len())),
            ),
            Inside::Member => {
                self.event.feed(run, out)?;
                inside
            }
            Inside::Other => inside,
        };
        let Some((end, rest)) = tail.split_first() else {
            self.string = Some(inside);
            return Ok(tail);
        };
        if *end == b'\\' {
            self.string = Some(inside);
            self.is_escaped = true;
        } else {
            self.string = None;
            if let Inside::Key(matched) = inside {
                self.is_wanted = matched == Some(MEMBER.len());
            }
        }
        Ok(rest)
    }
}

const MEMBER: &[u8] = b"bytes";

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn unwrap<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
        let (mut wrapped, mut event) = (Wrapped::default(), Vec::new());
        for piece in pieces {
            wrapped
                .feed(piece, &mut |part: &[u8]| event.extend_from_slice(part))
                .ok()?;
        }
        wrapped.finish().ok()?;
        Some(event)
    }

    #[test]
    fn the_member_is_found_wherever_it_stands() {
        for (text, event) in [
            (r#"{"bytes":"aGk=","p":"abcd"}"#, Some("hi")),
            (r#" { "p" : "bytes" , "bytes" : "aGk=" } "#, Some("hi")),
            (
                r#"{"p":{"bytes":"bm8="},"q":["bytes","bm8="],"bytes":"aGk="}"#,
                Some("hi"),
            ),
            (r#"{"bytes":"aGk\/"}"#, Some("hi?")),
            (
                r#"{"\"bytes":"bm8=","bytesx":"bm8=","byte":"bm8=","p":"\"bytes\":"}"#,
                Some(""),
            ),
            (r#"["bytes","bm8="]"#, Some("")),
            (r#"{"bytes":7}"#, Some("")),
            (r#"{"bytes":{"bytes":"bm8="}}"#, Some("")),
            ("", Some("")),
            (r#"{"bytes":"aGk="#, None),
            (r#"{"bytes":"aGk=""#, None),
            (r#"{"bytes":"aGk.="}"#, None),
            (r#"{"bytes":"aGk\u003d"}"#, None),
        ] {
            let event = event.map(|event| event.as_bytes().to_vec());
            assert_eq!(unwrap([text.as_bytes()]), event, "{text}");
            assert_eq!(unwrap(text.as_bytes().chunks(1)), event, "{text}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn any_chunking_gives_the_event(
            event in prop::collection::vec(any::<u8>(), 0..400),
            padding in ".{0,20}",
            key in "[a-z\"\\\\]{0,6}",
            size in 1..9usize,
        ) {
            prop_assume!(key != "bytes");
            let text = json!({ "bytes": BASE64_STANDARD.encode(&event), "p": padding, key: padding });
            let text = text.to_string();
            prop_assert_eq!(unwrap([text.as_bytes()]), Some(event.clone()));
            prop_assert_eq!(unwrap(text.as_bytes().chunks(size)), Some(event));
        }
    }
}
