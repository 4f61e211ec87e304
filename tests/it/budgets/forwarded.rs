//! Where requests are forwarded one by one, a call that a budget stops is answered as its provider
//! would: with a 429 that agents understand, and the time at which calls pass again.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{flags, spent};
use crate::kit::binary::Binary;
use crate::kit::soon;
use crate::kit::upstream::{ProviderEnd, Upstream};
use crate::ledger::ANSWER;

/// The base-URL door of a program, as its log says.
fn door(binary: &Binary) -> String {
    let log = binary.log();
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let listening = lines
        .find(|line| line["message"] == "listening")
        .expect("it listens");
    listening["base_url"].as_str().expect("a door").to_owned()
}

/// The head and the body of a message with a Content-Length.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(soon(stream.read_u8()).await.expect("a head"));
    }
    let head = String::from_utf8(bytes).expect("text").to_lowercase();
    let (_, length) = head.split_once("content-length: ").expect("a length");
    let length = length
        .lines()
        .next()
        .expect("a line")
        .parse()
        .expect("a number");
    let mut body = vec![0; length];
    soon(stream.read_exact(&mut body)).await.expect("a body");
    (head, body)
}

async fn ask(agent: &mut TcpStream, model: &str) {
    let body = format!("{{\"model\":\"{model}\"}}");
    let request = format!(
        "POST /cloudcode/v1internal:generateContent HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    agent
        .write_all(request.as_bytes())
        .await
        .expect("an open door");
}

/// One whole call; `provider` is the connection there, once there is one.
async fn call(
    upstream: &Upstream,
    agent: &mut TcpStream,
    provider: &mut Option<ProviderEnd>,
    model: &str,
) {
    ask(agent, model).await;
    if provider.is_none() {
        *provider = Some(upstream.provider.accept().await.expect("a connection"));
    }
    let provider = provider.as_mut().expect("a connection");
    let (_, asked) = message(provider).await;
    assert_eq!(asked, format!("{{\"model\":\"{model}\"}}").into_bytes());
    provider.write_all(ANSWER).await.expect("a reader");
    provider.flush().await.expect("a reader");
    let (head, _) = message(agent).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

/// The call is refused, and nothing of it reaches the provider.
async fn refused(agent: &mut TcpStream, model: &str, budget: &str) {
    ask(agent, model).await;
    let (head, body) = message(agent).await;
    assert!(head.starts_with("http/1.1 429"), "{head}");
    let (_, retry_after) = head.split_once("retry-after: ").expect("a time");
    let seconds: u64 = retry_after
        .lines()
        .next()
        .expect("a line")
        .parse()
        .expect("seconds");
    assert!((1..=86_400).contains(&seconds), "{head}");
    let body: Value = serde_json::from_slice(&body).expect("the provider's JSON");
    assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
    let message = body["error"]["message"].as_str().expect("words");
    assert!(
        message.contains(budget) && message.contains("calls pass again at"),
        "{message}"
    );
}

async fn start(upstream: &Upstream, budgets: &str) -> (Binary, TcpStream) {
    let mut flags = flags(upstream, budgets);
    flags.extend(["--capture.base_url.listen", "127.0.0.1:0"].map(str::to_owned));
    let binary = Binary::start(&flags).await;
    let agent = TcpStream::connect(door(&binary))
        .await
        .expect("an open door");
    (binary, agent)
}

#[tokio::test]
async fn a_stopped_call_gets_its_providers_429() {
    let upstream = Upstream::start().await;
    let budgets = r#"[{ name = "two", calls = 2, per = "day", stop = 1.0 }]"#;
    let (binary, mut agent) = start(&upstream, budgets).await;
    let mut provider = None;
    for _ in 0..2 {
        call(&upstream, &mut agent, &mut provider, "m").await;
    }
    spent(&binary, "two", 2.0).await;
    for _ in 0..2 {
        refused(&mut agent, "m", "two").await;
    }
    assert_eq!(
        binary
            .sum(
                "gravimeter_connections_refused_total",
                &["reason=\"budget\""]
            )
            .await,
        2
    );
    assert_eq!(binary.sum("gravimeter_calls_total", &[]).await, 2);
    let (code, said) = super::budget(&binary.state(), &["lift", "two", "--for", "1h"]).await;
    assert_eq!(code, 0, "{said}");
    call(&upstream, &mut agent, &mut provider, "m").await;
    binary.stop().await;
}

#[tokio::test]
async fn a_model_is_stopped_before_its_call() {
    let upstream = Upstream::start().await;
    let budgets = r#"[{ name = "dear", calls = 1, per = "day", by = "model", only = ["dear*"], stop = 1.0 }]"#;
    let (binary, mut agent) = start(&upstream, budgets).await;
    let mut provider = None;
    call(&upstream, &mut agent, &mut provider, "dear-1").await;
    spent(&binary, "dear", 1.0).await;
    refused(&mut agent, "dear-1", "dear").await;
    call(&upstream, &mut agent, &mut provider, "cheap").await;
    // Another model has the limit for itself.
    call(&upstream, &mut agent, &mut provider, "dear-2").await;
    binary.stop().await;
}
