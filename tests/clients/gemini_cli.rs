//! Gemini CLI, started for one prompt.

use serde_json::{Value, json};

use crate::client::{Client, GEMINI, NODE, PLACE, Route, documents};
use crate::gravimeter;
use crate::provider::{Call, Coding, Form, Setting, Tokens, USE_TOOL};
use crate::run::Run;

/// A prompt with a tool: the choice of a model, the tool, and the answer. It speaks HTTP/1.1 alone.
pub(crate) fn calls_with_a_tool(route: Route) {
    let run = Run::start(route);
    let codings = [Coding::Brotli, Coding::Gzip];
    for coding in codings {
        let setting = Setting {
            coding,
            ..Setting::default()
        };
        let (said, calls) = run.calls(setting, |client| gemini(client, USE_TOOL));
        assert_eq!(calls.len(), 3, "{said}");
        check_output(&said, &calls);
    }
    // With a key it names no conversation, and none is guessed.
    let cascades = gravimeter::answer("/v1/cascades", |answer| answer["cascades"].is_array());
    assert_eq!(cascades["cascades"], json!([]), "{cascades}");
    let spans = run.finish(&codings.map(|coding| (Form::Http1, coding)));
    // Below the first one of a connection is what it took to open that.
    let roots = spans.iter().filter(|span| span.parent_span_id.is_empty());
    assert_eq!(
        roots.count(),
        3 * codings.len(),
        "each call is a span of its own"
    );
}

/// Runs it with a prompt; what it says at its end.
pub(crate) fn gemini(client: &Client, prompt: &str) -> Value {
    let mut command = client.command(NODE);
    command
        .arg(format!("{PLACE}/{GEMINI}"))
        .args([
            "--prompt",
            prompt,
            "--output-format",
            "json",
            "--skip-trust",
        ])
        .env("GEMINI_API_KEY", "key");
    let said = client.output(&mut command);
    let document = said.find('{').expect("a document");
    documents(&said[document..].replace('\n', ""))
        .pop()
        .expect("a document")
}

/// What it has counted itself, and the text that it has got.
fn check_output(said: &Value, calls: &[Call]) {
    let last = calls.last().expect("a call");
    assert_eq!(said["response"], last.text.as_str(), "{said}");
    let models = said["stats"]["models"].as_object().expect("models");
    let own = |name: &str| -> u64 {
        let of_model = |model: &Value| model["tokens"][name].as_u64().unwrap_or(0);
        models.values().map(of_model).sum()
    };
    let sent: Tokens = calls.iter().map(|call| call.tokens).sum();
    for (name, sent) in [
        ("prompt", sent.all_input()),
        ("cached", sent.cache_read),
        ("candidates", sent.output),
        ("thoughts", sent.thinking),
        ("tool", sent.tool_input),
    ] {
        assert_eq!(own(name), sent, "{name}: {said}");
    }
}
