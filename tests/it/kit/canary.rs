//! Canaries: texts that stand nowhere but where a test put them, and a search that knows their
//! disguises.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use memchr::memmem;

/// A secret of a test, with a name for people.
#[derive(Clone)]
pub struct Canary {
    pub name: &'static str,
    pub text: String,
}

impl Canary {
    /// A fresh one; it holds characters that URLs escape.
    pub fn new(name: &'static str) -> Self {
        let random = RandomState::new().build_hasher().finish();
        Self {
            name,
            text: format!(
                "cnry/{random:016x}+Kq~8 {:08x}",
                random.rotate_left(7) as u32
            ),
        }
    }

    /// The part that no escaping changes, where a text must be plain: in a header, a path, a JSON
    /// string.
    pub fn plain(&self) -> String {
        self.text.replace(['/', '+', '~', ' '], "")
    }

    /// Twelve hexadecimal digits of it, by which a piece of it is known.
    pub fn part(&self) -> String {
        self.plain()[4..16].to_owned()
    }

    /// The disguises in which it stands in `hay`.
    pub fn found_in(&self, hay: &[u8]) -> Vec<&'static str> {
        let mut found = Vec::new();
        for text in [self.text.clone(), self.plain()] {
            let hits = disguises(text.as_bytes())
                .into_iter()
                .filter(|(_, needle)| memmem::find(hay, needle).is_some());
            found.extend(hits.map(|(disguise, _)| disguise));
        }
        // A text that was cut, or a piece of a longer one: eight hexadecimal digits in a row are no
        // accident.
        if memmem::find(hay, self.part().as_bytes()).is_some() {
            found.push("in part");
        }
        found
    }
}

/// All that a text may have become on its way into a file.
pub fn disguises(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |format: fn(&u8) -> String| text.iter().map(format).collect::<String>().into_bytes();
    let list = text
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
        .into_bytes();
    let mut disguises = vec![
        ("raw", text.to_vec()),
        ("hex", hex(|byte| format!("{byte:02x}"))),
        ("HEX", hex(|byte| format!("{byte:02X}"))),
        ("URL", url_encoded(text, |byte| format!("%{byte:02X}"))),
        ("url", url_encoded(text, |byte| format!("%{byte:02x}"))),
        ("every byte URL-encoded", hex(|byte| format!("%{byte:02X}"))),
        ("a list of bytes", list.clone()),
        (
            "a list of bytes without spaces",
            list.into_iter().filter(|byte| *byte != b' ').collect(),
        ),
        ("backwards", text.iter().rev().copied().collect()),
    ];
    for (name, alphabet) in [("base64", STANDARD), ("base64url", URL_SAFE)] {
        disguises.extend((0..3).map(|offset| (name, base64(text, offset, alphabet))));
    }
    disguises
}

fn url_encoded(text: &[u8], escape: fn(u8) -> String) -> Vec<u8> {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.iter()
        .flat_map(|byte| {
            if keep(*byte) {
                vec![*byte]
            } else {
                escape(*byte).into_bytes()
            }
        })
        .collect()
}

/// What base64 makes of the text when it begins `offset` bytes into a group of three, without the
/// letters that its neighbours have a part in.
fn base64(text: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let padded = [&vec![0; offset][..], text].concat();
    let whole = padded.chunks_exact(3).flat_map(|group| {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift) as usize & 63])
    });
    whole.skip([0, 2, 3][offset]).collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
