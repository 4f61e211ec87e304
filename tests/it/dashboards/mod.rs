//! Promise: every panel and rule asks for what is there, and shows something once there is
//! something to show.
//!
//! `lint` reads the boards, `rules` the rules and their pages, `proof` lets a real Prometheus
//! scrape a real Gravimeter and asks it every expression of both.

mod expression;
mod lint;
mod prometheus;
mod proof;
mod rules;
mod troubled;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A dashboard as it is imported.
pub struct Board {
    pub name: String,
    pub json: Value,
}

/// Every board, in the order of their names.
pub fn boards() -> Vec<Board> {
    let folder = fs::read_dir(root().join("dashboards")).expect("a folder");
    let mut files: Vec<PathBuf> = folder
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a board");
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        Board {
            name,
            json: serde_json::from_str(&text).expect("JSON"),
        }
    };
    let boards: Vec<_> = files.into_iter().map(read).collect();
    let names: Vec<_> = boards.iter().map(|board| &*board.name).collect();
    assert_eq!(names, ["cascades", "exporter", "models", "overview"]);
    boards
}

/// The panels of a board that show something, rows aside.
pub fn panels(board: &Value) -> Vec<&Value> {
    list(&board["panels"])
        .iter()
        .filter(|panel| panel["type"] != "row")
        .collect()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The metrics of the reference page, and those of the scrape itself.
pub fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("a page");
    // The tables of labels before it have values in the same place.
    let (_, reference) = page.split_once("## Reference").expect("a reference");
    let names = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, _)| name);
    let names: BTreeSet<_> = names.chain(["up"]).map(str::to_owned).collect();
    assert!(names.len() > 50, "the page lists the metrics");
    names
}
