//! What looks like a call of a model and is in no format that is read passes unchanged, is counted,
//! and is no call.

use tokio::io::AsyncWriteExt as _;

use crate::fixtures::Stage;
use crate::kit::binary::until;
use crate::kit::{read_all, read_some};
use crate::whole::{get, series, sum};

const HOST: &str = "generativelanguage.googleapis.com";

/// Requests with their answers, and the reason for which each is counted, if it is.
fn exchanges() -> Vec<(String, String, Option<&'static str>)> {
    let post = |path: &str| {
        format!("POST {path}?key=canary HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}")
    };
    let answer = |kind: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let upgrade = format!(
        "GET /ws/live HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    let usage = r#"{"object":"chat.completion","usage":{"prompt_tokens":3,"total_tokens":5}}"#;
    let speech = "/v1beta/openai/audio/speech";
    vec![
        (
            post(speech),
            answer("application/json", usage),
            Some("usage"),
        ),
        (
            post(speech),
            answer("text/event-stream", "data: {}\n\n"),
            Some("event_stream"),
        ),
        (
            post("/v1beta/cachedContents"),
            answer("application/json", "{}"),
            None,
        ),
        (
            upgrade,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_owned(),
            Some("websocket"),
        ),
    ]
}

#[tokio::test]
async fn what_is_not_read_is_counted_and_passes_unchanged() {
    let stage = Stage::set(HOST).await;
    for (request, answer, _) in exchanges() {
        let (mut agent, mut provider) = stage.pair(HOST).await;
        agent
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        assert_eq!(
            read_some(&mut provider, request.len()).await,
            request.as_bytes()
        );
        provider
            .write_all(answer.as_bytes())
            .await
            .expect("an answer");
        provider.shutdown().await.expect("an end");
        assert_eq!(read_all(&mut agent).await, (answer.into_bytes(), true));
    }
    let web = stage.app.addresses().exporter().expect("an exporter");
    let exposition = until(async || {
        let exposition = get(web, "/metrics").await;
        let open = sum(&series(&exposition, "gravimeter_connections_active"), &[]);
        (open == 0).then_some(exposition)
    })
    .await;
    let unread = series(&exposition, "gravimeter_unread_calls_total");
    let expected: Vec<_> = exchanges()
        .into_iter()
        .filter_map(|(.., reason)| reason)
        .collect();
    for reason in &expected {
        assert_eq!(
            sum(
                &unread,
                &[r#"provider="gcp.gemini""#, &format!("reason=\"{reason}\"")]
            ),
            1,
            "{reason}"
        );
    }
    assert_eq!(sum(&unread, &[]), expected.len() as u64, "and nothing else");
    assert_eq!(
        sum(&series(&exposition, "gravimeter_calls_total"), &[]),
        0,
        "no call"
    );
    assert!(
        !exposition.contains("canary") && !exposition.contains("speech"),
        "no path is a label"
    );
    stage.app.stop(std::future::pending()).await;
}
