//! The user's price table: its path and the prices of the program enter, the prices that hold
//! leave.
//!
//! A path in the configuration file may begin at that file's folder. What is wrong in the table is
//! told as what is wrong in the configuration is: with its file, line and key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside::{beside, origin};
use super::file;
use super::source::{Mistake, Origin, Source};
use crate::pricing::{Config, Flaw, Prices, Table, read};

/// The prices that `config` asks for, and the path of the user's table; all mistakes on the way.
pub(super) fn load(
    config: &Config,
    origins: &[Origin],
) -> Result<(Arc<Prices>, Option<PathBuf>), Vec<Mistake>> {
    let (table, path) = match &config.file {
        Some(given) => {
            let (table, path) = read_table(given, origins)?;
            (table, Some(path))
        }
        None => (Table::default(), None),
    };
    Ok((Arc::new(Prices::new(table, config.defaults)), path))
}

fn read_table(given: &Path, origins: &[Origin]) -> Result<(Table, PathBuf), Vec<Mistake>> {
    let path = beside(given, KEY, origins, "/etc/gravimeter/prices.toml");
    let path = path.map_err(|mistake| vec![mistake])?;
    let text = file::load(&path).map_err(|what| {
        let message = format!("{}: {what}", path.display());
        vec![Mistake::new(origin(KEY, origins), KEY, message)]
    })?;
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
        Ok(table) => Ok((table, path)),
        Err(flaws) => Err(flaws.into_iter().map(mistake).collect()),
    }
}

const KEY: &str = "pricing.file";
