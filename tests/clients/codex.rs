//! Codex, started for one prompt.

use serde_json::{Value, json};

use crate::client::{CODEX, Client, Route, documents};
use crate::provider::{
    ACCOUNT, Call, Coding, Form, Setting, Tokens, USE_SUBAGENT, USE_TOO_MUCH, USE_TOOL,
};
use crate::run::Run;
use crate::stage::root;
use crate::work::Work;

/// Its default: a socket for each conversation, and all calls of it one after another. It opens the
/// socket with a request that generates nothing and is no call.
pub(crate) fn over_websocket(route: Route) {
    let run = Run::start(route);
    let mut all_work = Vec::new();
    for deflate in [false, true] {
        let setting = Setting {
            deflate,
            ..Setting::default()
        };
        for (prompt, expected) in PROMPTS {
            all_work.push(work(&run, setting, prompt, expected, &[]));
        }
    }
    let spans = run.finish(&[
        (Form::WebSocket, Coding::Identity),
        (Form::WebSocketDeflated, Coding::Identity),
    ]);
    all_work.iter().for_each(|work| work.check_spans(&spans));
}

/// Where sockets are turned off: a POST for each call, answered by events.
pub(crate) fn over_events(route: Route) {
    let run = Run::start(route);
    let codings = [Coding::Gzip, Coding::Zstd];
    let mut all_work = Vec::new();
    for http2 in [false, true] {
        for coding in codings {
            let setting = Setting {
                http2,
                coding,
                ..Setting::default()
            };
            for (prompt, expected) in PROMPTS {
                all_work.push(work(&run, setting, prompt, expected, &by_events(API)));
            }
        }
    }
    let spans = run.finish(&[
        (Form::Http1, codings[0]),
        (Form::Http1, codings[1]),
        (Form::Http2, codings[0]),
        (Form::Http2, codings[1]),
    ]);
    all_work.iter().for_each(|work| work.check_spans(&spans));
}

/// Where a provider opens no socket: it asks by events then, and what was refused is no call.
pub(crate) fn after_a_refused_websocket(route: Route) {
    let run = Run::start(route);
    let setting = Setting {
        sockets: false,
        ..Setting::default()
    };
    let work = work(&run, setting, USE_TOOL, 2, &[]);
    let spans = run.finish(&[(Form::Http2, Coding::Identity)]);
    work.check_spans(&spans);
}

/// With a login at ChatGPT: another host, another path, and requests that are compressed.
pub(crate) fn signed_in_at_chatgpt(route: Route) {
    let run = Run::start(route);
    run.client.write(".codex/auth.json", &login().to_string());
    work(&run, Setting::default(), USE_TOOL, 2, &[]);
    work(&run, Setting::default(), USE_TOOL, 2, &by_events(CHATGPT));
    run.finish(&[
        (Form::Http2, Coding::Identity),
        (Form::WebSocketDeflated, Coding::Identity),
    ]);
}

/// What it is asked, and how many calls that takes. A conversation that has become too long is one
/// more, by which it is shortened.
const PROMPTS: [(&str, usize); 3] = [(USE_TOOL, 2), (USE_TOO_MUCH, 3), (USE_SUBAGENT, 4)];

/// Leads it through a prompt and compares what it has counted itself.
fn work(run: &Run, setting: Setting, prompt: &str, expected: usize, options: &[String]) -> Work {
    let (said, calls) = run.calls(setting, |client| codex(client, prompt, options));
    assert_eq!(calls.len(), expected, "{prompt}: {said:#?}");
    let of_type = |kind: &str| said.iter().rfind(|event| event["type"] == kind);
    let thread = &of_type("thread.started").expect("a thread")["thread_id"];
    // A subagent names the conversation of the one that has started it.
    let work = Work {
        agent: "codex",
        conversation: thread.as_str().expect("an id").to_owned(),
        calls: calls.clone(),
        runs: 1,
        may_rest: false,
    };
    work.check();

    let is_text = |event: &&Value| event["item"]["type"] == "agent_message";
    let text = said.iter().rfind(is_text).expect("a text")["item"]["text"].as_str();
    let last = calls.last().expect("a call");
    assert_eq!(text, Some(last.text.as_str()), "{said:#?}");
    // It says nothing of what its subagents and compactions spend.
    if prompt == USE_TOOL {
        let own = &of_type("turn.completed").expect("an end")["usage"];
        check_usage(own, &calls);
    }
    work
}

fn check_usage(own: &Value, calls: &[Call]) {
    let sent: Tokens = calls.iter().map(|call| call.tokens).sum();
    for (name, sent) in [
        ("input_tokens", sent.all_input()),
        ("cached_input_tokens", sent.cache_read),
        ("cache_write_input_tokens", sent.cache_write),
        ("output_tokens", sent.all_output()),
        ("reasoning_output_tokens", sent.thinking),
    ] {
        assert_eq!(own[name], sent, "{name}: {own}");
    }
}

/// Runs it with a prompt; what it says until its end.
pub(crate) fn codex(client: &Client, prompt: &str, options: &[String]) -> Vec<Value> {
    let mut command = client.command(CODEX);
    command
        .args(["exec", "--json", "--skip-git-repo-check", "--model", MODEL])
        // The stage is its sandbox.
        .args(["--sandbox", "danger-full-access"])
        .args(options)
        .arg(prompt);
    // With a key it would not look at a login.
    if !std::path::Path::new("/var/lib/client/.codex/auth.json").exists() {
        command
            .env("CODEX_API_KEY", "key")
            .env("OPENAI_API_KEY", "key");
    }
    documents(&client.output(&mut command))
}

/// The options by which it asks a provider for events.
pub(crate) fn by_events(provider: &str) -> [String; 4] {
    let provider = format!(
        "model_providers.events={{{provider},wire_api=\"responses\",supports_websockets=false}}"
    );
    ["-c", "model_provider=events", "-c", &provider].map(str::to_owned)
}

pub(crate) const API: &str =
    r#"name="OpenAI",base_url="https://api.openai.com/v1",env_key="OPENAI_API_KEY""#;
const CHATGPT: &str =
    r#"name="OpenAI",base_url="https://chatgpt.com/backend-api/codex",requires_openai_auth=true"#;

/// What it keeps of a login: tokens whose signatures only the provider would check.
fn login() -> Value {
    let account = json!({
        "chatgpt_plan_type": "pro", "chatgpt_user_id": "user-1", "chatgpt_account_id": ACCOUNT, "user_id": "user-1",
    });
    let token = jwt(&json!({
        "email": "somebody@example.com", "iat": 1_767_225_600, "exp": 4_102_444_800_u64,
        "https://api.openai.com/auth": account,
    }));
    json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null,
        "tokens": {"id_token": token, "access_token": token, "refresh_token": "token", "account_id": ACCOUNT},
        "last_refresh": root("date -u +%FT%TZ").trim(),
    })
}

fn jwt(claims: &Value) -> String {
    use base64::Engine as _;
    let part = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let head = json!({"alg": "RS256", "typ": "JWT"});
    [head.to_string(), claims.to_string(), "signature".to_owned()]
        .map(part)
        .join(".")
}

/// A model that it does not know: those that it knows get tools that a script cannot serve.
const MODEL: &str = "gpt-test";
