use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc32fast::hash;
use serde_json::{Value as Json, json};

use super::*;
use crate::dialect::answer::{Fed, Said};
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::{ExchangeEnd, Fields, ResponseHead};
use crate::observe::memory::Memory;
use crate::record::TokenKind::{Input, Output};
use crate::record::{ObserverFailure, UsageTotal};

fn message(event: &str, payload: &[u8]) -> Vec<u8> {
    let name = b"\x0b:event-type\x07\x00";
    let headers = [
        &name[..],
        &[u8::try_from(event.len()).unwrap()],
        event.as_bytes(),
    ]
    .concat();
    let lengths = [16 + headers.len() + payload.len(), headers.len()];
    let mut bytes = lengths
        .map(|length| u32::try_from(length).unwrap().to_be_bytes())
        .concat();
    bytes.extend(hash(&bytes).to_be_bytes());
    bytes.extend([&headers, payload].concat());
    bytes.extend(hash(&bytes).to_be_bytes());
    bytes
}

fn chunk(event: &Json) -> Vec<u8> {
    let payload = json!({ "bytes": BASE64_STANDARD.encode(event.to_string()), "p": "abc" });
    message("chunk", payload.to_string().as_bytes())
}

fn body(kind: Option<&str>, answer: fn(AnswerHead<'_>) -> Box<dyn ReadBody>) -> Box<dyn ReadBody> {
    let head = ResponseHead {
        status: 200,
        fields: Fields {
            content_type: kind.map(str::to_owned),
            ..Fields::default()
        },
    };
    answer(AnswerHead {
        provider: Provider::Bedrock,
        head: &head,
        expects_events: true,
        memory: &Memory::default(),
    })
}

/// Nothing is compressed, so that nothing is left over.
fn feed(body: &mut dyn ReadBody, bytes: &[u8]) -> Fed {
    let fed = body.feed(bytes, &mut DecodeLimit::default());
    assert_eq!(fed.read, bytes.len());
    fed
}

fn said(body: &dyn ReadBody) -> Said {
    body.said(SystemTime::UNIX_EPOCH)
}

fn recognised(host: &str, method: &str, path: &str) -> Option<(Operation, String)> {
    let head = RequestHead {
        method: method.into(),
        path: path.into(),
        query: Vec::new(),
        fields: Fields::default(),
    };
    match recognise(&Host::parse(host).unwrap(), &head) {
        Some(Recognised::Call(call)) => {
            assert_eq!(call.provider, Provider::Bedrock);
            Some((call.operation, call.model?.as_str().to_owned()))
        }
        _ => None,
    }
}

#[test]
fn calls_are_recognised_by_host_and_path() {
    let bedrock = "bedrock-runtime.us-east-1.amazonaws.com";
    let invoke = "/model/amazon.nova-lite-v1%3A0/invoke";
    let chat = Some((Operation::Chat, "amazon.nova-lite-v1:0".to_owned()));
    for host in [
        bedrock,
        "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "gateway.internal",
    ] {
        assert_eq!(recognised(host, "POST", invoke), chat, "{host}");
    }
    assert_eq!(recognised("api.openai.com", "POST", invoke), None);
    assert_eq!(recognised(bedrock, "GET", invoke), None);
    assert_eq!(
        recognised(bedrock, "POST", "/model/cohere.embed-v4%3A0/invoke"),
        Some((Operation::Embeddings, "cohere.embed-v4:0".to_owned()))
    );
    for path in [
        "/openai/v1/chat/completions",
        "/async-invoke",
        "/guardrail/g/version/1/apply",
    ] {
        assert_eq!(recognised(bedrock, "POST", path), None, "{path}");
    }
}

#[test]
fn every_default_host_is_known_to_be_bedrock() {
    for host in hosts::HOSTS {
        let host = Host::parse(host).unwrap();
        assert_eq!(
            providers::provider_of(&host),
            Some(Provider::Bedrock),
            "{host:?}"
        );
    }
}

#[test]
fn figures_behind_a_very_long_event_are_read() {
    let text = "a\"b\\".repeat(300_000);
    let events = [
        json!({ "type": "content_block_delta", "delta": { "text": text } }),
        json!({ "type": "message_delta", "usage": { "input_tokens": 7, "output_tokens": 9 } }),
        json!({ "type": "message_stop" }),
    ];
    let stream: Vec<_> = events.iter().flat_map(chunk).collect();
    let mut body = body(Some("application/vnd.amazon.eventstream"), invoke_body);
    let contents: usize = stream
        .chunks(16_000)
        .map(|piece| feed(&mut *body, piece).contents)
        .sum();
    assert_eq!(contents + body.finish(ExchangeEnd::Truncated), 1);
    let said = said(&*body);
    assert_eq!((said.usage[Input], said.usage[Output]), (Some(7), Some(9)));
    assert!(said.is_sound && body.is_whole(ExchangeEnd::Truncated));
    assert_eq!(body.failure(), None);
}

#[test]
fn a_stream_without_a_label_is_what_was_asked_for() {
    let metadata = br#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#;
    let mut body = body(None, converse_body);
    feed(&mut *body, &message("metadata", metadata));
    body.finish(ExchangeEnd::Complete);
    assert_eq!(
        (said(&*body).total, body.failure()),
        (UsageTotal::Agree, None)
    );
    assert!(body.is_stream() && body.is_whole(ExchangeEnd::Complete));
}

#[test]
fn what_is_damaged_is_stated_and_the_other_messages_count() {
    let metadata = message(
        "metadata",
        br#"{"usage":{"inputTokens":1,"outputTokens":2}}"#,
    );
    let stop = message("messageStop", br#"{"stopReason":"end_turn"}"#);
    let cut = metadata[..metadata.len() - 1].to_vec();
    for (stream, failure, output) in [
        (message("initial-response", b""), None, None),
        (
            message("messageStop", b"{]"),
            Some(ObserverFailure::MalformedJson),
            Some(2),
        ),
        (
            message("messageStop", b"{"),
            Some(ObserverFailure::MalformedJson),
            Some(2),
        ),
        (
            [stop, cut].concat(),
            Some(ObserverFailure::EventStreamMalformed),
            None,
        ),
    ] {
        let rest: &[u8] = if output.is_some() { &metadata } else { b"" };
        let mut body = body(Some("application/vnd.amazon.eventstream"), converse_body);
        feed(&mut *body, &[&stream, rest].concat());
        body.finish(ExchangeEnd::Complete);
        assert_eq!(body.failure(), failure);
        assert_eq!(said(&*body).usage[Output], output);
    }
    let mut body = body(Some("application/vnd.amazon.eventstream"), invoke_body);
    let bad = message("chunk", br#"{"bytes":"a.b","p":"x"}"#);
    let good = chunk(&json!({ "amazon-bedrock-invocationMetrics": { "outputTokenCount": 5 } }));
    feed(&mut *body, &[bad, good].concat());
    assert_eq!(body.failure(), Some(ObserverFailure::MalformedJson));
    assert_eq!(said(&*body).usage[Output], Some(5));
}

#[test]
fn the_model_that_a_router_has_chosen_is_the_one_that_served() {
    let metadata = json!({
        "usage": { "inputTokens": 1, "outputTokens": 2, "totalTokens": 3 },
        "trace": { "promptRouter": { "invokedModelId":
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0" } },
    });
    let mut body = body(Some("application/vnd.amazon.eventstream"), converse_body);
    feed(
        &mut *body,
        &message("metadata", metadata.to_string().as_bytes()),
    );
    let served = said(&*body).served_model;
    assert_eq!(
        served.as_ref().map(|model| model.as_str()),
        Some("amazon.nova-lite-v1:0")
    );
}
