//! What is taken of files of other projects, and how it compares with what holds.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::pricing::{Table, read};

const LITELLM: &str = include_str!("../../../tests/fixtures/prices/litellm.json");
const MODELS_DEV: &str = include_str!("../../../tests/fixtures/prices/models_dev.json");

const AS_OF: Date = date(2026, 11, 30);

/// The lines of a file as a table.
fn lines(text: &str) -> String {
    let import = import(text, AS_OF).unwrap();
    let blocks: Vec<String> = import.lines.iter().map(Line::to_toml).collect();
    blocks.join("\n")
}

#[test]
fn litellm_is_read_by_the_token() {
    let expected = r#"[[price]]
models = ["gemini-x"]
provider = "gcp.gemini"
input = 0.15
output = 0.6
web_search_per_call = 35
source = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
as_of = 2026-11-30

[[price]]
models = ["gemini-y"]
provider = "gcp.gemini"
input = 0.15
output = 0.6
web_search = 14
source = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
as_of = 2026-11-30

[[price]]
models = ["claude-x-1"]
provider = "anthropic"
input = 3
cache_read = 0.3
cache_write = 3.75
cache_write_1h = 6
output = 15
tiers = [{ above_input_tokens = 200000, input = 6, cache_read = 0.3, cache_write = 3.75, cache_write_1h = 6, output = 22.5 }]
factors = { batch = 0.5, fast = 6, us = 1.1 }
web_search = 10
source = "https://example.com/pricing"
via = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
as_of = 2026-11-30

[[price]]
models = ["openai/gpt-oss-x"]
provider = "groq"
input = 0.15
output = 0.6
source = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
as_of = 2026-11-30

[[price]]
models = ["ft:gpt-x:*"]
provider = "openai"
input = 3
output = 6
source = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
as_of = 2026-11-30

[[price]]
models = ["gpt-x"]
provider = "openai"
input = 1.25
output = 10
thinking = 20
source = "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json"
as_of = 2026-11-30
"#;
    assert_eq!(lines(LITELLM), expected);
    let import = import(LITELLM, AS_OF).unwrap();
    assert_eq!((import.format, import.left_out), (ImportFormat::LiteLlm, 4));
}

#[test]
fn models_dev_is_read_by_the_million_tokens() {
    let expected = r#"[[price]]
models = ["gemini-x"]
provider = "gcp.gemini"
input = 0.15
output = 0.6
thinking = 3.5
source = "https://models.dev/api.json"
as_of = 2026-11-30

[[price]]
models = ["claude-x-1"]
provider = "anthropic"
input = 3
cache_read = 0.3
cache_write = 3.75
output = 15
tiers = [{ above_input_tokens = 200000, input = 6, cache_read = 0.3, cache_write = 3.75, output = 22.5 }]
source = "https://models.dev/api.json"
as_of = 2026-11-30
"#;
    assert_eq!(lines(MODELS_DEV), expected);
    let import = import(MODELS_DEV, AS_OF).unwrap();
    assert_eq!(
        (import.format, import.left_out),
        (ImportFormat::ModelsDev, 2)
    );
}

#[test]
fn only_other_prices_are_a_difference() {
    let import = import(MODELS_DEV, AS_OF).unwrap();
    let of = |table: &str| {
        let prices = Prices::new(read(table).unwrap(), false);
        let differences = import.differences(&prices, AS_OF);
        let shown: Vec<_> = differences
            .map(|it| format!("{} {}", it.line.models[0], it.now.is_some()))
            .collect();
        shown.join(", ")
    };
    let same = "[[price]]\nmodels = [\"claude-*\"]\ninput = 3\ncache_read = 0.3\ncache_write = 3.75\ncache_write_1h = 6\n\
         output = 15\ntiers = [{ above_input_tokens = 200_000, input = 6, output = 22.5 }]\n\
         source = \"https://example.com\"\nas_of = 2026-11-24\n";
    assert_eq!(of(""), "gemini-x false, claude-x-1 false");
    assert_eq!(
        of(same),
        "gemini-x false",
        "what the file does not say stays"
    );
    assert_eq!(
        of(&same.replace("22.5", "23")),
        "gemini-x false, claude-x-1 true"
    );
    assert_eq!(
        of(&same
            .replace("provider", "")
            .replace("[[price]]\n", "[[price]]\nprovider = \"openai\"\n")),
        "gemini-x false, claude-x-1 false",
        "a price of another provider is none"
    );
}

#[test]
fn other_files_are_refused() {
    let refused = |text: &str| import(text, AS_OF).unwrap_err().to_string();
    assert!(refused("<html>").starts_with("this is not JSON (expected value at line 1"));
    for unknown in ["[]", "7", "{}", r#"{"a":{"b":1}}"#] {
        assert!(refused(unknown).starts_with("this is neither"), "{unknown}");
    }
    let nothing =
        r#"{"m":{"litellm_provider":"somebody","mode":"chat","input_cost_per_token":1e-6}}"#;
    assert_eq!(
        refused(nothing),
        "none of its 1 entries has a price by the token from a provider that is known here"
    );
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn prices_survive_their_floats(micro in 0..1_000_000_000u64) {
        let dollars = format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
        let expected = Price::parse(&dollars);
        let per_token: f64 = format!("{micro}e-12").parse().unwrap();
        prop_assert_eq!(super::price(&per_token.into(), 1.0), expected);
        prop_assert_eq!(super::price(&dollars.parse::<f64>().unwrap().into(), MILLION), expected);
    }

    #[test]
    fn whatever_is_imported_can_be_written_and_read(name in "[ -~]{1,20}", input in -1.0..1e9f64) {
        let text = serde_json::json!({ name: {
            "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": input, "output_cost_per_token": 1e-6,
        }}).to_string();
        if let Ok(import) = import(&text, AS_OF) {
            let blocks: Vec<String> = import.lines.iter().map(Line::to_toml).collect();
            prop_assert_eq!(read(&blocks.join("\n")), Ok(Table(import.lines)));
        }
    }
}
