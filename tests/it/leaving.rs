//! An agent that leaves in the middle of an answer has aborted, however orderly the provider then
//! ends what it was sending; one that only says that it has nothing more to ask, and reads on, has
//! not.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncWriteExt as _;

use crate::fixtures::Stage;
use crate::kit::binary::until;
use crate::kit::{read_all, read_some};
use crate::whole::{get, series, sum};

const HOST: &str = "generativelanguage.googleapis.com";
const ASK: &[u8] = b"POST /v1beta/models/m:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: generativelanguage.googleapis.com\r\nContent-Length: 2\r\n\r\n{}";
const FIRST: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1,"totalTokenCount":5}}"#;
const LAST: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"totalTokenCount":6}}"#;

fn head(coding: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coding}Transfer-Encoding: chunked\r\n\r\n")
        .into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn event(event: &str) -> Vec<u8> {
    chunk(format!("{event}\n\n").as_bytes())
}

/// An event as compressed data that go on after it.
fn compressed(event: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(format!("{event}\n\n").as_bytes())
        .expect("memory");
    gzip.flush().expect("memory");
    chunk(gzip.get_ref())
}

const END: &[u8] = b"0\r\n\r\n";

/// One call: the agent asks, takes `first` and does as it is told; the provider, which has seen
/// that no more will be asked, sends `rest` in one piece and ends in order. Returns the call's
/// outcome and quality, and how many figures were lost.
async fn call(first: &[u8], rest: &[u8], reads_on: bool) -> (String, String, u64) {
    let stage = Stage::set(HOST).await;
    let (mut agent, mut provider) = stage.pair(HOST).await;
    agent.write_all(ASK).await.expect("a request");
    assert_eq!(read_some(&mut provider, ASK.len()).await, ASK);
    provider.write_all(first).await.expect("an answer");
    provider.flush().await.expect("an answer");
    assert_eq!(read_some(&mut agent, first.len()).await, first);
    agent.shutdown().await.expect("close_notify");
    let reader = if reads_on { Some(agent) } else { None };
    assert_eq!(
        read_all(&mut provider).await,
        (Vec::new(), true),
        "the end is passed on"
    );
    provider.write_all(rest).await.expect("an answer");
    provider.shutdown().await.expect("an end");
    if let Some(mut agent) = reader {
        assert_eq!(read_all(&mut agent).await, (rest.to_vec(), true));
    }
    let web = stage.app.addresses().exporter().expect("an exporter");
    let exposition = until(async || {
        let exposition = get(web, "/metrics").await;
        let ended = sum(&series(&exposition, "gravimeter_calls_total"), &[]);
        (ended == 1).then_some(exposition)
    })
    .await;
    let told = |metric: &str, label: &str, values: &[&str]| {
        let shown = series(&exposition, metric);
        let is_told = |value: &&&str| sum(&shown, &[&format!("{label}=\"{value}\"")]) == 1;
        values
            .iter()
            .find(is_told)
            .expect("one of them")
            .to_string()
    };
    let outcome = told(
        "gravimeter_calls_total",
        "outcome",
        &["aborted", "ok", "stream_error", "truncated"],
    );
    let quality = told(
        "gravimeter_usage_reports_total",
        "quality",
        &["exact", "partial", "unknown"],
    );
    let lost = sum(
        &series(&exposition, "gravimeter_observer_failures_total"),
        &[],
    );
    stage.app.stop(std::future::pending()).await;
    (outcome, quality, lost)
}

fn aborted() -> (String, String, u64) {
    ("aborted".to_owned(), "partial".to_owned(), 0)
}

#[tokio::test]
async fn an_agent_that_has_closed_its_connection_has_aborted_although_the_provider_ended_its_message_in_order()
 {
    let first = [head(""), event(FIRST)].concat();
    assert_eq!(
        call(&first, END, false).await,
        aborted(),
        "the provider stops, and ends its chunks in order"
    );
}

#[tokio::test]
async fn what_is_compressed_and_stops_in_the_middle_for_an_agent_that_has_left_is_no_damage() {
    let first = [head("Content-Encoding: gzip\r\n"), compressed(FIRST)].concat();
    assert_eq!(call(&first, END, false).await, aborted());
    assert_eq!(
        call(&first, END, true).await,
        aborted(),
        "also when the connection does not tell"
    );
}

#[tokio::test]
async fn an_agent_that_ends_its_side_and_reads_on_has_its_whole_answer() {
    let first = [head(""), event(FIRST)].concat();
    let ok = ("ok".to_owned(), "exact".to_owned(), 0);
    assert_eq!(call(&first, &[&event(LAST), END].concat(), true).await, ok);
    assert_eq!(
        call(
            &head(""),
            &[&event(FIRST), &event(LAST), END].concat(),
            true
        )
        .await,
        ok
    );
}
