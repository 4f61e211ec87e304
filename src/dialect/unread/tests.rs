use super::*;
use crate::dialect::tests::Facts;
use crate::observe::exchange::Fields;
use crate::observe::memory::Memory;

fn fields(kind: &str, codings: &[&str]) -> Fields {
    Fields {
        content_type: Some(kind.to_owned()),
        content_encoding: codings.iter().map(|coding| (*coding).to_owned()).collect(),
        ..Fields::default()
    }
}

struct Sent<'a> {
    method: &'a str,
    path: &'a str,
    kind: &'a str,
}

const ASKED: Sent<'_> = Sent {
    method: "POST",
    path: "/v1beta/openai/chat/completions",
    kind: "application/json",
};

/// What is stated of an exchange, for its answer whole and byte by byte.
fn stated(
    sent: &Sent<'_>,
    status: u16,
    head: &Fields,
    body: &[u8],
    end: ExchangeEnd,
) -> Option<UnreadCall> {
    let [whole, pieces] = [body.len().max(1), 1].map(|size| {
        let facts = Arc::new(Facts::default());
        let record = Arc::clone(&facts) as Arc<dyn Record>;
        let host = Host::parse("generativelanguage.googleapis.com").unwrap();
        let (method, path) = (sent.method.to_owned(), sent.path.to_owned());
        let request = RequestHead {
            method,
            path,
            query: Vec::new(),
            fields: fields(sent.kind, &[]),
        };
        let at = Instant::now();
        if let Some(mut unread) =
            Unread::open(Some(Provider::Gemini), &host, &request, record, || {
                Some(Memory::default().share())
            })
        {
            unread.request_body(b"{}", at);
            unread.response_head(
                &ResponseHead {
                    status,
                    fields: head.clone(),
                },
                at,
            );
            body.chunks(size)
                .for_each(|piece| unread.response_body(piece, at));
            Box::new(unread).end(end, at);
        }
        let mut facts = facts.taken();
        assert!(facts.len() <= 1, "{facts:?}");
        facts.pop().map(|fact| {
            if let Fact::CallUnread(call) = fact {
                call
            } else {
                panic!("{fact:?}")
            }
        })
    });
    assert_eq!(whole, pieces);
    whole
}

fn reason(sent: &Sent<'_>, status: u16, head: &Fields, body: &str) -> Option<UnreadReason> {
    stated(sent, status, head, body.as_bytes(), ExchangeEnd::Complete).map(|call| call.reason)
}

#[test]
fn an_answer_that_reports_tokens_is_stated_with_the_shape_of_its_path() {
    let json = fields("application/json", &[]);
    for body in [
        r#"{"id":"x","usage":{"prompt_tokens":1}}"#,
        r#"{"usage":{"input_tokens":1}}"#,
        r#"[{"usageMetadata":{"promptTokenCount":1}}]"#,
        r#"{"response":{"usage_metadata":{"a":null,"total_tokens":1}}}"#,
    ] {
        assert_eq!(
            reason(&ASKED, 200, &json, body),
            Some(UnreadReason::Usage),
            "{body}"
        );
    }
    let sent = Sent {
        path: "/v1/projects/acme/locations/l/publishers/anthropic/models/c:rawPredict",
        ..ASKED
    };
    let call = stated(
        &sent,
        200,
        &json,
        br#"{"usage":{"input_tokens":1}}"#,
        ExchangeEnd::Complete,
    )
    .unwrap();
    assert_eq!(
        call.path.to_string(),
        "/v1/projects/{}/locations/{}/publishers/anthropic/models/{}:rawPredict"
    );
    assert_eq!(
        (call.provider, call.host.as_str()),
        (Some(Provider::Gemini), "generativelanguage.googleapis.com")
    );
}

#[test]
fn what_tells_of_no_tokens_is_no_call() {
    let json = fields("application/json", &[]);
    for body in [
        "",
        "{}",
        r#"{"usage":{"calls":1}}"#,
        r#"{"text":"usage: token"}"#,
        r#"{"usage":7}"#,
        "<html>",
        "{]",
    ] {
        assert_eq!(reason(&ASKED, 200, &json, body), None, "{body}");
    }
    let body = r#"{"usage":{"input_tokens":1}}"#;
    assert_eq!(reason(&ASKED, 429, &json, body), None, "a refusal");
    assert_eq!(
        reason(
            &Sent {
                method: "GET",
                ..ASKED
            },
            200,
            &json,
            body
        ),
        None,
        "reads what was counted before"
    );
    assert_eq!(
        reason(
            &Sent {
                method: "PUT",
                ..ASKED
            },
            200,
            &json,
            body
        ),
        None
    );
}

#[test]
fn a_stream_of_events_is_one_whatever_its_label_says() {
    for kind in ["text/event-stream", "application/json", "text/plain"] {
        let body = "event: message_start\ndata: {}\n\n";
        assert_eq!(
            reason(&ASKED, 200, &fields(kind, &[]), body),
            Some(UnreadReason::EventStream),
            "{kind}"
        );
    }
}

#[test]
fn what_cannot_be_decoded_cannot_be_told() {
    assert_eq!(
        reason(&ASKED, 200, &fields("application/json", &["compress"]), "x"),
        Some(UnreadReason::Coding)
    );
    assert_eq!(
        reason(&ASKED, 200, &fields("application/json", &["gzip"]), "x"),
        None,
        "damaged"
    );
}

#[test]
fn generating_methods_of_grpc_are_stated() {
    let head = fields("application/grpc", &[]);
    let service = "/google.ai.generativelanguage.v1beta.GenerativeService";
    for method in [
        "GenerateContent",
        "StreamGenerateContent",
        "BatchEmbedContents",
    ] {
        let path = format!("{service}/{method}");
        assert_eq!(
            reason(
                &Sent {
                    path: &path,
                    kind: "application/grpc",
                    ..ASKED
                },
                200,
                &head,
                "\0"
            ),
            Some(UnreadReason::Grpc),
            "{method}"
        );
    }
    for path in [
        format!("{service}/CountTokens"),
        "/google.logging.v2.Logging/WriteLogEntries".to_owned(),
    ] {
        assert_eq!(
            reason(
                &Sent {
                    path: &path,
                    kind: "application/grpc",
                    ..ASKED
                },
                200,
                &head,
                "\0"
            ),
            None,
            "{path}"
        );
    }
}

#[test]
fn a_websocket_is_stated_when_it_opens() {
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    for (method, path, end, expected) in [
        (
            "GET",
            path,
            ExchangeEnd::Upgraded,
            Some(UnreadReason::WebSocket),
        ),
        (
            "CONNECT",
            path,
            ExchangeEnd::Upgraded,
            Some(UnreadReason::WebSocket),
        ),
        ("CONNECT", "", ExchangeEnd::Upgraded, None),
        ("GET", path, ExchangeEnd::Complete, None),
        ("POST", path, ExchangeEnd::Upgraded, None),
    ] {
        let sent = Sent {
            method,
            path,
            kind: "",
        };
        let told = stated(&sent, 400, &Fields::default(), b"", end).map(|call| call.reason);
        assert_eq!(told, expected, "{method} {path} {end:?}");
    }
}

#[test]
fn streams_that_are_no_server_sent_events_are_stated_by_their_type() {
    let sent = |path| Sent { path, ..ASKED };
    let of_aws = fields("application/vnd.amazon.eventstream", &[]);
    let lines = fields("application/x-ndjson", &[]);
    let event_stream = Some(UnreadReason::EventStream);
    assert_eq!(
        reason(&sent("/agents/a/text"), 200, &of_aws, "\0\0\0\x10"),
        event_stream
    );
    assert_eq!(
        reason(&sent("/api/other"), 200, &lines, "{}\n{}"),
        event_stream
    );
    assert_eq!(reason(&sent("/api/other"), 404, &lines, "{}"), None);
    assert_eq!(
        reason(&sent("/api/pull"), 200, &lines, "{}\n{}"),
        None,
        "the progress of a download"
    );
}
