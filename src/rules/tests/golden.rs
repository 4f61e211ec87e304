//! Every action on a request of every form, compared with what was checked by eye.

use std::fs;
use std::path::Path;

use super::{Request, rule};
use crate::record::RuleResult;

/// The requests: the folder of the fixture, the host and the target.
const FORMS: [(&str, &str, &str); 15] = [
    ("anthropic", "api.anthropic.com", "/v1/messages?beta=true"),
    ("anthropic_text", "gateway.example.com", "/v1/messages"),
    (
        "azure",
        "r.openai.azure.com",
        "/openai/deployments/gpt-a/chat/completions?api-version=1",
    ),
    (
        "bedrock_converse",
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "/model/eu.anthropic.claude-a-v1%3A0/converse-stream",
    ),
    (
        "bedrock_invoke",
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "/model/anthropic.claude-a/invoke",
    ),
    ("chat", "api.openai.com", "/v1/chat/completions"),
    ("chat_compatible", "api.deepseek.com", "/chat/completions"),
    (
        "cloud_code",
        "cloudcode-pa.googleapis.com",
        "/v1internal:streamGenerateContent?alt=sse",
    ),
    (
        "gemini",
        "generativelanguage.googleapis.com",
        "/v1beta/models/gemini-a:streamGenerateContent?alt=sse",
    ),
    (
        "gemini_snake_case",
        "us-central1-aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/google/models/gemini-a:generateContent",
    ),
    (
        "interactions",
        "generativelanguage.googleapis.com",
        "/v1beta/interactions",
    ),
    ("ollama_chat", "localhost", "/api/chat"),
    ("ollama_generate", "localhost", "/api/generate"),
    ("responses", "api.openai.com", "/v1/responses"),
    (
        "vertex_anthropic",
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude-a@1:rawPredict",
    ),
];

/// The actions by the names of their files.
const ACTIONS: [(&str, &str); 8] = [
    ("append", r#"append_system = 'Say "hi"\first.'"#),
    ("prepend", r#"prepend_system = "Ä first.""#),
    ("model", r#"model = "other-model-1""#),
    ("output", "max_output_tokens = 4096"),
    ("thinking", "max_thinking_tokens = 2048"),
    ("usage", "include_usage = true"),
    (
        "set",
        r#"set = { "/temperature" = 0.5, "/stop" = ["a", { b = true }] }"#,
    ),
    (
        "patch",
        r#"patch = [{ op = "add", path = "/extra", value = 1 }, { op = "copy", from = "/extra", path = "/again" }]"#,
    ),
];

/// What is sent: the target in a line of its own where it is another one, and the body.
fn sent(request: &Request, rules: &str) -> Option<String> {
    let changed = request.under(rules);
    if changed.is_unchanged() {
        assert_eq!(changed.uses()[0].1, RuleResult::Unchanged, "{rules}");
        return None;
    }
    let body = changed.body().unwrap_or(&request.body);
    let read: Result<serde_json::Value, _> = serde_json::from_str(body);
    assert!(read.is_ok(), "{body}");
    let target = changed.target().map(|target| format!("{target}\n"));
    Some(format!("{}{body}", target.unwrap_or_default()))
}

#[test]
fn every_action_changes_what_it_names_and_nothing_else() {
    let writes = std::env::var_os("GOLDEN").is_some_and(|value| value == "write");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    let mut compared = 0;
    for (form, host, target) in FORMS {
        let folder = folder.join(form);
        let body = fs::read_to_string(folder.join("request.json")).expect("a request");
        let request = Request::new(host, target, &body);
        for (name, action) in ACTIONS {
            let sent = sent(&request, &rule(name, action));
            let file = folder.join(format!("{name}.txt"));
            if writes {
                match &sent {
                    Some(sent) => fs::write(&file, sent).expect("a folder"),
                    None => drop(fs::remove_file(&file)),
                }
            }
            let golden = fs::read_to_string(&file).ok();
            assert_eq!(sent, golden, "{form} {name}");
            compared += usize::from(golden.is_some());
        }
    }
    assert!(compared > 90, "{compared} files were compared");
}

#[test]
fn every_form_refuses_as_its_provider_does() {
    for (form, kind) in [
        ("anthropic", "\"type\":\"permission_error\""),
        ("bedrock_converse", "{\"message\":"),
        ("chat", "\"code\":\"request_denied\""),
        ("cloud_code", "\"status\":\"PERMISSION_DENIED\""),
        ("ollama_chat", "{\"error\":\"refused by the rule no"),
        ("responses", "\"code\":\"request_denied\""),
    ] {
        let (_, host, target) = FORMS
            .into_iter()
            .find(|(name, ..)| *name == form)
            .expect("a form");
        let changed =
            Request::new(host, target, "{}").under(&rule("no", r#"deny = "not \"here\"""#));
        let (status, body) = changed.denial().expect("a refusal");
        assert_eq!(status, 403);
        assert!(body.contains(kind), "{form}: {body}");
        assert!(body.contains(r#"not \"here\""#), "{body}");
        assert_eq!(changed.uses(), [("no", RuleResult::Denied)]);
    }
}
