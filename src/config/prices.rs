//! The user's price table: its path and the prices of the program enter, the prices that hold
//! leave.
//!
//! A path in the configuration file may begin at that file's folder. What is wrong in the table is
//! told as what is wrong in the configuration is: with its file, line and key.

use std::path::Path;
use std::sync::Arc;

use super::file;
use super::source::{Mistake, Source};
use super::{Config, Origin};
use crate::pricing::{Flaw, Prices, read};

/// Puts the prices of `config` together; all mistakes on the way.
pub(super) fn load(config: &mut Config, origins: &[Origin]) -> Vec<Mistake> {
    let Some(given) = config.pricing.file.take() else {
        config.prices = Arc::new(Prices::new(Default::default(), config.pricing.defaults));
        return Vec::new();
    };
    let source = origins
        .iter()
        .find(|origin| origin.key == KEY)
        .map_or(Source::Default, |origin| origin.source.clone());
    let path = match (&source, given.is_absolute()) {
        (_, true) => given,
        (Source::File { path, .. }, false) => path.parent().unwrap_or(Path::new("")).join(given),
        (_, false) => {
            let what = format!(
                "{:?} depends on where the program is started",
                given.display().to_string()
            );
            let how = r#"write it from the root, as "/etc/gravimeter/prices.toml""#;
            return vec![Mistake::new(source, KEY, format!("{what}: {how}"))];
        }
    };
    let text = match file::load(&path) {
        Ok(text) => text,
        Err(what) => {
            return vec![Mistake::new(
                source,
                KEY,
                format!("{}: {what}", path.display()),
            )];
        }
    };
    let mistake = |Flaw { line, key, message }| {
        let source = Source::File {
            path: path.clone(),
            line,
        };
        key.map_or_else(
            || Mistake::of_place(source.clone(), &message),
            |key| Mistake::new(source.clone(), key, &message),
        )
    };
    match read(&text) {
        Ok(table) => config.prices = Arc::new(Prices::new(table, config.pricing.defaults)),
        Err(flaws) => return flaws.into_iter().map(mistake).collect(),
    }
    config.pricing.file = Some(path);
    Vec::new()
}

const KEY: &str = "pricing.file";
