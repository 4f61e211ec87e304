//! What a rule changes is sent changed, and nothing else is: neither other requests of the same
//! connection, nor any byte to another host.

use std::fs;
use std::path::Path;

use gravimeter::record::{Fact, RuleResult};

use super::{options, read_head, rules, send, start};
use crate::kit::{Gravimeter, GravimeterOptions, OTHER_HOST, read_all, read_some, write_pieces};

const CHANGE: &str = r#"
[[rule]]
name = "other-model"
match = { host = "api.example.com", model = "claude-opus-*" }
model = "claude-haiku-4-5"
"#;

const DENY: &str = r#"
[[rule]]
name = "no-opus"
match = { host = "api.example.com", model = "claude-opus-*" }
deny = "use another model"
"#;

fn used(gravimeter: &Gravimeter, name: &str, result: RuleResult) -> usize {
    let facts = gravimeter.facts.all();
    let is_it = |fact: &&Fact| matches!(fact, Fact::RuleUsed(used) if used.rule.as_str() == name && used.result == result);
    facts.iter().filter(is_it).count()
}

fn request(body: &str, more: &str) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn only_the_request_that_a_rule_is_for_is_changed() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    for more in ["", "X-Mark-Me: 1\r\n", ""] {
        let asked = request("{\"model\": \"m\"}", more);
        write_pieces(&mut agent, asked.as_bytes(), &[usize::MAX], false).await;
        if more.is_empty() {
            let sent = read_some(&mut provider, asked.len()).await;
            assert_eq!(String::from_utf8(sent).expect("text"), asked);
        } else {
            let sent = read_head(&mut provider).await;
            assert!(sent.to_lowercase().contains("x-marked: yes\r\n"), "{sent}");
            assert_eq!(read_some(&mut provider, 14).await, b"{\"model\": \"m\"}");
        }
        write_pieces(&mut provider, ANSWER.as_bytes(), &[usize::MAX], false).await;
        assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER.as_bytes());
    }
    assert_eq!(used(&gravimeter, "mark", RuleResult::Applied), 1);
    gravimeter.close().await;
}

#[tokio::test]
async fn a_changed_body_has_the_length_that_it_has() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        rules: rules(CHANGE),
        ..options()
    })
    .await;
    let body = r#"{ "model":"claude-opus-4-1", "max_tokens":8 , "messages":[]}"#;
    let changed = r#"{ "model":"claude-haiku-4-5", "max_tokens":8 , "messages":[]}"#;
    let chunked = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for asked in [request(body, ""), chunked] {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, asked.as_bytes(), &[7], false).await;
        let head = read_head(&mut provider).await.to_lowercase();
        let length = format!("\r\ncontent-length: {}\r\n", changed.len());
        assert!(
            head.contains(&length) && !head.contains("transfer-encoding"),
            "{head}"
        );
        let sent = read_some(&mut provider, changed.len()).await;
        assert_eq!(String::from_utf8(sent).expect("text"), changed);
        write_pieces(&mut provider, ANSWER.as_bytes(), &[usize::MAX], false).await;
        assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER.as_bytes());
    }
    assert_eq!(used(&gravimeter, "other-model", RuleResult::Applied), 2);
    gravimeter.close().await;
}

/// The forms that are known by their path at any host: the folder of the fixture, the path, and
/// whether there is a budget for thinking.
const LIMITED: [(&str, &str, bool); 4] = [
    ("anthropic", "/v1/messages?beta=true", true),
    ("chat", "/v1/chat/completions", false),
    (
        "gemini",
        "/v1beta/models/gemini-a:streamGenerateContent?alt=sse",
        true,
    ),
    ("responses", "/v1/responses", false),
];

/// The bodies are those that the rules are compared with by themselves.
#[tokio::test]
async fn limits_reach_the_provider_as_each_form_writes_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    for (limit, file) in [
        ("max_output_tokens = 4096", "output.txt"),
        ("max_thinking_tokens = 2048", "thinking.txt"),
    ] {
        let rule = format!("[[rule]]\nname = \"limit\"\n{limit}\n");
        let gravimeter = Gravimeter::with(GravimeterOptions {
            rules: rules(&rule),
            ..options()
        })
        .await;
        let (mut agent, mut provider) = gravimeter.pair().await;
        for (form, path, thinks) in LIMITED {
            let folder = folder.join(form);
            let body = fs::read_to_string(folder.join("request.json")).expect("a request");
            let is_changed = file == "output.txt" || thinks;
            let name = if is_changed { file } else { "request.json" };
            let expected = fs::read_to_string(folder.join(name)).expect("a body");
            assert_eq!(is_changed, expected != body, "{form}");
            let asked = request(&body, "").replacen("/v1/messages", path, 1);
            send(&mut agent, &asked).await;
            let head = read_head(&mut provider).await.to_lowercase();
            let length = format!("\r\ncontent-length: {}\r\n", expected.len());
            assert!(head.contains(&length), "{form}: {head}");
            let sent = read_some(&mut provider, expected.len()).await;
            assert_eq!(String::from_utf8(sent).expect("text"), expected, "{form}");
            send(&mut provider, ANSWER).await;
            assert_eq!(read_some(&mut agent, ANSWER.len()).await, ANSWER.as_bytes());
        }
        gravimeter.close().await;
    }
}

#[tokio::test]
async fn a_request_that_is_denied_never_reaches_the_provider() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        rules: rules(DENY),
        ..options()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let asked = request(r#"{"model":"claude-opus-4-1"}"#, "");
    write_pieces(&mut agent, asked.as_bytes(), &[usize::MAX], false).await;
    let head = read_head(&mut agent).await;
    assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    drop(agent);
    assert_eq!(read_all(&mut provider).await.0, b"");
    assert_eq!(used(&gravimeter, "no-opus", RuleResult::Denied), 1);
    gravimeter.close().await;
}

#[tokio::test]
async fn a_host_without_a_rule_is_byte_true_beside_one_with_a_rule() {
    // What no HTTP could be passes where nothing is forwarded.
    let rule = CHANGE.replace("api.example.com", OTHER_HOST);
    let gravimeter = Gravimeter::with(GravimeterOptions {
        rules: rules(&rule),
        ..options()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let noise: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    write_pieces(&mut agent, &noise, &[1000], true).await;
    assert_eq!(read_all(&mut provider).await, (noise.clone(), true));
    write_pieces(&mut provider, &noise, &[999], true).await;
    assert_eq!(read_all(&mut agent).await, (noise, true));
    gravimeter.close().await;
}
