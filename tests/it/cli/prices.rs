//! `gravimeter prices update`: the difference first, the user's table only with `--yes`, and nothing
//! of what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use super::{err, gravimeter, out};

/// A file of another project.
fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/prices");
    root.join(name).to_str().expect("UTF-8").to_owned()
}

/// A home with a configuration that names a table with this text.
fn home_with_table(text: &str) -> (tempfile::TempDir, PathBuf, String) {
    let home = tempfile::tempdir().expect("a folder");
    let table = home.path().join("prices.toml");
    fs::write(&table, text).expect("written");
    let config = home.path().join("gravimeter.toml");
    let section = "[pricing]\nfile = \"prices.toml\"\ndefaults = false\n";
    fs::write(&config, section).expect("written");
    let config = config.to_str().expect("UTF-8").to_owned();
    (home, table, config)
}

const OWN: &str = "# by hand\n[[price]]\nmodels = [\"claude-x-*\"]\ninput = 2\noutput = 15\n\
                   source = \"https://example.com/mine\"\nas_of = 2026-11-24\n";

#[test]
fn prices_are_shown_first_and_written_when_they_are_wanted() {
    let (home, table, config) = home_with_table(OWN);
    let file = fixture("models_dev.json");
    let update = ["prices", "update", &file, "--config", &config];
    let shown = gravimeter(home.path(), &update);
    assert_eq!(shown.status.code(), Some(0), "{}", err(&shown));
    let shown = out(&shown);
    for line in [
        "new     gcp.gemini gemini-x: input 0.15, output 0.6, thinking 3.5",
        "changed anthropic claude-x-1: input 2 → 3, cache_read none → 0.3, cache_write none → 3.75, above 200000 input none → 6",
        "2 prices are read as models.dev (2 other entries are left out): 1 new, 1 changed.",
        "Nothing is written. Add --yes to append these prices to",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert_eq!(fs::read_to_string(&table).expect("there"), OWN);

    let written = gravimeter(home.path(), &[&update[..], &["--yes"]].concat());
    assert_eq!(written.status.code(), Some(0), "{}", err(&written));
    assert!(
        out(&written).contains("2 prices are written to"),
        "{}",
        out(&written)
    );
    let text = fs::read_to_string(&table).expect("there");
    assert!(text.starts_with(OWN), "what was there stays: {text}");
    let listed = out(&gravimeter(
        home.path(),
        &["prices", "--json", "--config", &config],
    ));
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let lines = listed["prices"].as_array().expect("prices");
    assert_eq!(lines.len(), 3, "{listed}");
    let claude = lines
        .iter()
        .find(|line| line["models"][0] == "claude-x-1")
        .expect("the changed one");
    assert!(
        claude["from"].is_string(),
        "{claude}: it holds from today on"
    );
    assert_eq!(claude["usd_per_million_tokens"]["input"], "3");
    assert_eq!(claude["tiers"][0]["output"], "22.5");

    let again = gravimeter(home.path(), &[&update[..], &["--yes"]].concat());
    assert!(
        out(&again).ends_with("There is nothing to write.\n"),
        "{}",
        out(&again)
    );
    assert_eq!(fs::read_to_string(&table).expect("there"), text);
}

#[test]
fn only_some_models_are_taken_where_that_is_asked_for() {
    let (home, table, config) = home_with_table("");
    let file = fixture("litellm.json");
    let of = |only: &str| {
        let args = [
            "prices", "update", &file, "--only", only, "--yes", "--config", &config,
        ];
        gravimeter(home.path(), &args)
    };
    let written = of("claude-*");
    assert_eq!(written.status.code(), Some(0), "{}", err(&written));
    let text = fs::read_to_string(&table).expect("there");
    assert_eq!(text.matches("[[price]]").count(), 1, "{text}");
    assert!(
        text.contains("factors = { batch = 0.5, fast = 6, us = 1.1 }"),
        "{text}"
    );
    assert_eq!(of("a*b").status.code(), Some(2), "no such pattern");
    assert!(out(&of("nobody")).ends_with("There is nothing to write.\n"));
}

#[test]
fn what_is_wrong_is_said_with_its_remedy_and_nothing_is_written() {
    let (home, table, config) = home_with_table(OWN);
    let path = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let missing = home.path().join("missing.json");
    for (file, said) in [
        (
            missing.to_str().expect("UTF-8").to_owned(),
            "check its path",
        ),
        (path("page.html", "<html>"), "this is not JSON"),
        (path("list.json", "[]"), "this is neither LiteLLM's"),
        (
            path("other.json", "{\"a\":{\"b\":1}}"),
            "this is neither LiteLLM's",
        ),
        (
            path("nobody.json", "{\"m\":{\"litellm_provider\":\"nobody\"}}"),
            "none of its 1 entries",
        ),
    ] {
        let output = gravimeter(
            home.path(),
            &["prices", "update", &file, "--yes", "--config", &config],
        );
        assert_eq!(output.status.code(), Some(1), "{file}");
        let text = err(&output);
        assert!(
            text.contains(said) && text.contains(&file),
            "{file}: {text}"
        );
    }
    assert_eq!(fs::read_to_string(&table).expect("there"), OWN);

    // No table of one's own: the difference is shown, and what to do to take it over.
    let bare = tempfile::tempdir().expect("a folder");
    let file = fixture("models_dev.json");
    let shown = gravimeter(bare.path(), &["prices", "update", &file]);
    assert_eq!(shown.status.code(), Some(0), "{}", err(&shown));
    assert!(
        out(&shown).contains("name a table of your own"),
        "{}",
        out(&shown)
    );
    let refused = gravimeter(bare.path(), &["prices", "update", &file, "--yes"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        err(&refused).contains("[pricing] file = \"prices.toml\""),
        "{}",
        err(&refused)
    );
}
