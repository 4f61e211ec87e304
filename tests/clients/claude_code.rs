//! Claude Code, started for one prompt.

use serde_json::Value;

use crate::client::{CLAUDE, Client, Route, documents};
use crate::provider::{Call, Coding, Form, Setting, Tokens, USE_SUBAGENT, USE_TOOL};
use crate::run::Run;
use crate::work::Work;

/// A text, a tool with its result, and a subagent, in each coding. It speaks HTTP/1.1 alone.
pub(crate) fn calls_and_subagents(route: Route) {
    let run = Run::start(route);
    let codings = [Coding::Brotli, Coding::Gzip, Coding::Zstd];
    let mut all_work = Vec::new();
    for (coding, prompt, expected, runs, may_rest) in [
        (codings[0], "say hello", 1, 1, false),
        (codings[1], USE_TOOL, 2, 1, false),
        // The subagent works in the background, and its end is one more turn.
        (codings[2], USE_SUBAGENT, 4, 2, true),
    ] {
        let setting = Setting {
            coding,
            ..Setting::default()
        };
        let (said, calls) = run.calls(setting, |client| claude(client, prompt, ANTHROPIC));
        assert_eq!(calls.len(), expected, "{prompt}: {said}");
        check_output(&said, &calls);
        let work = Work {
            agent: "claude-code",
            conversation: said["session_id"].as_str().expect("a session").to_owned(),
            calls,
            runs,
            may_rest,
        };
        work.check();
        all_work.push(work);
    }
    let spans = run.finish(&codings.map(|coding| (Form::Http1, coding)));
    all_work.iter().for_each(|work| work.check_spans(&spans));
}

/// The same model at other providers, with their paths and framings. Before its first call, it asks
/// some of them for a token of each model that it may use: calls that it does not count itself.
pub(crate) fn at_other_providers(route: Route) {
    let run = Run::start(route);
    for variables in [AWS, BEDROCK, FOUNDRY, GOOGLE_CLOUD, MANTLE, VERTEX_AI] {
        let setting = Setting::default();
        let (said, calls) = run.calls(setting, |client| claude(client, USE_TOOL, variables));
        let calls: Vec<_> = calls.into_iter().filter(|call| call.is_stream).collect();
        assert_eq!(calls.len(), 2, "{variables:?}: {said}");
        check_output(&said, &calls);
    }
    run.finish(&[(Form::Http1, Coding::Identity)]);
}

pub(crate) type Variables = &'static [(&'static str, &'static str)];

pub(crate) const ANTHROPIC: Variables = &[("ANTHROPIC_API_KEY", "key")];
const AWS: Variables = &[
    ("CLAUDE_CODE_USE_ANTHROPIC_AWS", "1"),
    ("ANTHROPIC_AWS_API_KEY", "key"),
    ("ANTHROPIC_AWS_WORKSPACE_ID", "workspace"),
    ("AWS_REGION", "us-east-1"),
];
const BEDROCK: Variables = &[
    ("CLAUDE_CODE_USE_BEDROCK", "1"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
];
const FOUNDRY: Variables = &[
    ("CLAUDE_CODE_USE_FOUNDRY", "1"),
    ("ANTHROPIC_FOUNDRY_API_KEY", "key"),
    ("ANTHROPIC_FOUNDRY_RESOURCE", "customer"),
];
const GOOGLE_CLOUD: Variables = &[
    ("CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", "1"),
    ("CLAUDE_CODE_SKIP_ANTHROPIC_GOOGLE_CLOUD_AUTH", "1"),
    ("ANTHROPIC_GOOGLE_CLOUD_LOCATION", "us"),
    ("ANTHROPIC_GOOGLE_CLOUD_PROJECT", "project"),
    ("ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID", "workspace"),
];
const MANTLE: Variables = &[
    ("CLAUDE_CODE_USE_MANTLE", "1"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
];
const VERTEX_AI: Variables = &[
    ("CLAUDE_CODE_USE_VERTEX", "1"),
    ("CLAUDE_CODE_SKIP_VERTEX_AUTH", "1"),
    ("ANTHROPIC_VERTEX_PROJECT_ID", "project"),
    ("CLOUD_ML_REGION", "us"),
];

/// Runs it with a prompt; what it says at its end.
pub(crate) fn claude(client: &Client, prompt: &str, variables: Variables) -> Value {
    let mut command = client.command(CLAUDE);
    command
        .args(["-p", prompt, "--output-format", "json"])
        .args(["--allowedTools", "Bash,Agent"])
        .env("DISABLE_AUTOUPDATER", "1")
        .envs(variables.iter().copied());
    let mut said = documents(&client.output(&mut command));
    said.pop().expect("a document")
}

/// What it has counted itself, and the text that it has got.
fn check_output(said: &Value, calls: &[Call]) {
    let text = said["result"].as_str().expect("a result");
    assert!(
        calls.iter().any(|call| call.text == text),
        "{text}: {calls:?}"
    );
    let sent: Tokens = calls.iter().map(|call| call.tokens).sum();
    let own = &said["modelUsage"][&calls[0].model];
    for (name, sent) in [
        ("inputTokens", sent.input),
        ("cacheReadInputTokens", sent.cache_read),
        ("cacheCreationInputTokens", sent.cache_write),
        ("outputTokens", sent.all_output()),
    ] {
        assert_eq!(own[name], sent, "{name}: {said}");
    }
}
