//! What a request says of the conversation that it continues: the response before it, and whether
//! the conversation has been shortened.

use std::sync::Arc;

use super::*;
use crate::record::{Fact, Id};

/// The call of an exchange with these bodies; an answer of several documents is a stream.
pub(super) fn call(path: &str, request: &str, answer: &[&str]) -> Box<Call> {
    let facts = Arc::new(Facts::default());
    let observers = Observers {
        record: Arc::clone(&facts) as Arc<dyn Record>,
        memory: Memory::default(),
    };
    let mut observer = observers.open(connection("api.example.com", Alpn::Http1));
    let (kind, body) = match answer {
        [document] => ("application/json", (*document).to_owned()),
        events => {
            let events = events.iter().map(|event| format!("data: {event}\n\n"));
            ("text/event-stream", events.collect())
        }
    };
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{request}",
        request.len()
    );
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let at = Instant::now();
    observer.bytes(Direction::ToProvider, request.as_bytes(), at);
    observer.bytes(Direction::ToAgent, response.as_bytes(), at);
    observer.end(End::Closed, at);
    let call = facts.taken().into_iter().find_map(|fact| match fact {
        Fact::Call(call) => Some(call),
        _ => None,
    });
    call.expect("a call")
}

#[test]
fn a_request_names_the_response_that_it_continues() {
    let previous = |path: &str, request: &str| {
        let call = call(path, request, &["{}"]);
        call.ids.previous_response.as_ref().map(Id::to_string)
    };
    let some = |id: &str| Some(id.to_owned());
    let response = r#"{"model":"m","previous_response_id":"resp_1","input":"canary"}"#;
    assert_eq!(previous("/v1/responses", response), some("resp_1"));
    let interaction = r#"{"model":"gemini-m","previous_interaction_id":"int_1","input":"canary"}"#;
    assert_eq!(previous("/v1beta/interactions", interaction), some("int_1"));
    for (path, request) in [
        ("/v1/responses", r#"{"previous_response_id":null}"#),
        (
            "/v1/responses",
            r#"{"previous_response_id":"words of a person"}"#,
        ),
        (
            "/v1/responses",
            r#"{"input":[{"previous_response_id":"resp_1"}]}"#,
        ),
        (
            "/v1/chat/completions",
            r#"{"model":"m","previous_interaction_id":"int_1"}"#,
        ),
    ] {
        assert_eq!(previous(path, request), None, "{request}");
    }
}

const RESPONSE: &str = r#"{"status":"completed","output":[{"type":"message"}]}"#;

#[test]
fn a_response_reads_a_shortened_conversation_where_an_item_says_so() {
    let is_compacted =
        |path: &str, request: &str, answer: &[&str]| call(path, request, answer).is_compacted;
    let plain = r#"{"input":[{"type":"message","role":"user","content":"compaction"}]}"#;
    let item =
        |kind: &str| format!(r#"{{"input":[{{"type":"{kind}","encrypted_content":"canary"}}]}}"#);
    let responses = "/v1/responses";
    assert!(!is_compacted(responses, plain, &[RESPONSE]));
    assert!(!is_compacted(responses, &item("reasoning"), &[RESPONSE]));
    assert!(is_compacted(responses, &item("compaction"), &[RESPONSE]));
    assert!(is_compacted(
        responses,
        &item("compaction_summary"),
        &[RESPONSE]
    ));
    let made = r#"{"type":"response.output_item.done","item":{"type":"compaction"}}"#;
    let last = format!(r#"{{"type":"response.completed","response":{RESPONSE}}}"#);
    assert!(is_compacted(responses, plain, &[made, &last]));
    // What only shortens a conversation has read all of it.
    assert!(!is_compacted(
        responses,
        &item("compaction_trigger"),
        &[made, &last]
    ));
    assert!(!is_compacted(
        "/v1/responses/compact",
        plain,
        &[made, &last]
    ));
}

#[test]
fn a_message_reads_a_shortened_conversation_where_a_block_says_so() {
    let is_compacted =
        |request: &str, answer: &[&str]| call("/v1/messages", request, answer).is_compacted;
    let with = |kind: &str| {
        format!(
            r#"{{"messages":[{{"role":"assistant","content":[{{"type":"{kind}","content":"canary"}}]}}]}}"#
        )
    };
    let whole = |reason: &str, kind: &str| {
        format!(
            r#"{{"type":"message","content":[{{"type":"{kind}"}},{{"type":"text"}}],"stop_reason":"{reason}"}}"#
        )
    };
    let plain = whole("end_turn", "text");
    assert!(!is_compacted(&with("text"), &[&plain]));
    assert!(is_compacted(&with("compaction"), &[&plain]));
    assert!(is_compacted(
        &with("text"),
        &[&whole("end_turn", "compaction")]
    ));
    // Nothing has read what was made of the conversation yet.
    assert!(!is_compacted(
        &with("text"),
        &[&whole("compaction", "compaction")]
    ));
    let begins =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"compaction"}}"#;
    let ends = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    let stop = r#"{"type":"message_stop"}"#;
    assert!(is_compacted(&with("text"), &[begins, ends, stop]));
}
