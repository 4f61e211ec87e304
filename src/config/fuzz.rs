//! Entry for fuzzers: any text, as a configuration file.

use std::path::Path;
use std::sync::Arc;

use super::raw::Raw;
use super::{Origin, check, file, keys, value};
use crate::pricing::{Prices, Table};

/// Reads the bytes as a file, and sets every key that stands in it. Panics when a mistake has no
/// words, or when a value that Gravimeter prints is none that it reads.
pub fn fuzz_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (settings, mistakes) = file::parse(Path::new("fuzz.toml"), text);
    assert!(
        mistakes
            .iter()
            .all(|mistake| !mistake.to_string().is_empty()),
        "every mistake has words"
    );
    let (mut raw, mut origins) = (
        Raw::new(Some("/".into())),
        keys().map(Origin::of_default).collect::<Vec<_>>(),
    );
    let mut is_wrong = !mistakes.is_empty();
    for setting in settings {
        match (setting.key.set)(&mut raw, &setting.value) {
            Err(value::Wrong { message, .. }) => {
                assert!(!message.is_empty(), "every mistake has words");
                is_wrong = true;
            }
            Ok(()) => {
                let origin = Origin::of_setting(setting);
                let is_read = origin.value.is_empty() || file::parse_value(&origin.value).is_some();
                assert!(is_read, "{} is printed as {}", origin.key, origin.value);
                if let Some(place) = origins.iter_mut().find(|place| place.key == origin.key) {
                    *place = origin;
                }
            }
        }
    }
    if !is_wrong {
        let prices = Arc::new(Prices::new(Table::default(), true));
        let _ = check::check(raw, prices, &origins);
    }
}
