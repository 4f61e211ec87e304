use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::refusal::RETRY_AFTER;
use super::usage::{Count, Counts, Reading};
use super::*;
use crate::dialect::Observers;
use crate::dialect::answer::{AnswerHead, ReadAnswer, Said};
use crate::dialect::tests::{Facts, connection};
use crate::observe::coding::DecodeLimit;
use crate::observe::exchange::{ExchangeEnd, Fields, ResponseHead};
use crate::observe::json::Value;
use crate::observe::memory::Memory;
use crate::observe::{Alpn, Direction, End, OpenObserver as _};
use crate::record::{ModalitySplits, RateLimitReason, Record, TokenKind, UsageTotal};

fn head(method: &str, path: &str) -> RequestHead {
    RequestHead {
        method: method.into(),
        path: path.into(),
        query: Vec::new(),
        fields: Fields::default(),
    }
}

/// What all dialects together make of a POST.
fn recognised(host: &str, path: &str) -> Option<(Provider, Operation, Option<String>)> {
    let host = Host::parse(host).unwrap();
    match crate::dialect::recognise(&host, &head("POST", path))? {
        Recognised::Call(call) => {
            let model = call.model.map(|model| model.to_string());
            Some((call.provider, call.operation, model))
        }
        Recognised::Notice(_) | Recognised::Realtime(_) | Recognised::Session(_) => None,
    }
}

#[test]
fn paths_and_hosts_tell_provider_operation_and_model() {
    use Operation::{Autocomplete, Chat, Compact, CountTokens, Embeddings, TextCompletion};
    let table = [
        (
            "api.openai.com",
            "/v1/chat/completions",
            Provider::OpenAi,
            Chat,
            None,
        ),
        (
            "ae.api.openai.com",
            "/v1/responses",
            Provider::OpenAi,
            Chat,
            None,
        ),
        (
            "api.openai.com",
            "/v1/responses/compact",
            Provider::OpenAi,
            Compact,
            None,
        ),
        (
            "api.openai.com",
            "/v1/responses/input_tokens",
            Provider::OpenAi,
            CountTokens,
            None,
        ),
        (
            "api.openai.com",
            "/v1/completions",
            Provider::OpenAi,
            TextCompletion,
            None,
        ),
        (
            "api.openai.com",
            "/v1/embeddings",
            Provider::OpenAi,
            Embeddings,
            None,
        ),
        (
            "chatgpt.com",
            "/backend-api/codex/responses",
            Provider::OpenAi,
            Chat,
            None,
        ),
        (
            "x.openai.azure.com",
            "/openai/deployments/d/embeddings",
            Provider::AzureOpenAi,
            Embeddings,
            Some("d"),
        ),
        (
            "x.openai.azure.com",
            "/openai/responses",
            Provider::AzureOpenAi,
            Chat,
            None,
        ),
        (
            "x.services.ai.azure.com",
            "/models/chat/completions",
            Provider::AzureInference,
            Chat,
            None,
        ),
        (
            "codestral.mistral.ai",
            "/v1/fim/completions",
            Provider::Mistral,
            Autocomplete,
            None,
        ),
        (
            "api.mistral.ai",
            "/v1/agents/completions",
            Provider::Mistral,
            Chat,
            None,
        ),
        (
            "api.githubcopilot.com",
            "/chat/completions",
            Provider::Copilot,
            Chat,
            None,
        ),
        (
            "openrouter.ai",
            "/api/v1/responses",
            Provider::OpenRouter,
            Chat,
            None,
        ),
        (
            "api.groq.com",
            "/openai/v1/chat/completions",
            Provider::Groq,
            Chat,
            None,
        ),
        (
            "open.bigmodel.cn",
            "/api/coding/paas/v4/chat/completions",
            Provider::ZAi,
            Chat,
            None,
        ),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/openai/embeddings",
            Provider::Gemini,
            Embeddings,
            None,
        ),
        (
            "aiplatform.googleapis.com",
            "/v1/projects/p/locations/global/endpoints/openapi/chat/completions",
            Provider::VertexAi,
            Chat,
            None,
        ),
        (
            "llm.example.com",
            "/proxy/openai/v1/responses",
            Provider::OpenAi,
            Chat,
            None,
        ),
        (
            "llm.example.com",
            "/openai/deployments//embeddings",
            Provider::OpenAi,
            Embeddings,
            None,
        ),
    ];
    for (host, path, provider, operation, model) in table {
        assert_eq!(
            recognised(host, path),
            Some((provider, operation, model.map(str::to_owned))),
            "{host}{path}"
        );
    }
}

#[test]
fn other_paths_are_no_calls_and_those_of_other_dialects_stay_theirs() {
    for path in [
        "/",
        "/v1/models",
        "/v1/batches",
        "/v1/responses/resp_7",
        "/v1/responses/resp_7/cancel",
        "/v1/chat/completions/chatcmpl-9",
        "/v1/engines/copilot-codex/completions",
        "/v1/xcompletions",
    ] {
        assert_eq!(recognised("api.openai.com", path), None, "{path}");
    }
    let host = Host::parse("api.openai.com").unwrap();
    assert!(recognise(&host, &head("GET", "/v1/responses")).is_none());
    for path in [
        "/v1beta/models/chat/completions:generateContent",
        "/v1/messages",
    ] {
        assert!(recognise(&host, &head("POST", path)).is_none(), "{path}");
    }
}

#[test]
fn nothing_of_chatgpt_is_looked_at_but_codex() {
    let is_private = |host: &str, path: &str| {
        crate::dialect::is_private(&Host::parse(host).unwrap(), &head("POST", path))
    };
    for path in CODEX {
        assert!(!is_private("chatgpt.com", path), "{path}");
    }
    for path in [
        "/",
        "/backend-api/conversation",
        "/backend-api/codex/models",
        "/backend-api/codex/responses/",
        "/v1/chat/completions",
        "/v1/messages",
    ] {
        assert!(is_private("chatgpt.com", path), "{path}");
        assert!(!is_private("api.openai.com", path), "{path}");
    }
}

#[test]
fn a_conversation_at_chatgpt_leaves_no_trace() {
    let facts_of = |host: &str| {
        let facts = Arc::new(Facts::default());
        let connection = connection(host, Alpn::Http1);
        let at = connection.opened;
        let mut observer = Observers {
            record: Arc::clone(&facts) as Arc<dyn Record>,
            memory: Memory::default(),
        }
        .open(connection);
        observer.bytes(
            Direction::ToProvider,
            b"POST /backend-api/conversation HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
            at,
        );
        observer.bytes(
            Direction::ToAgent,
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n",
            at,
        );
        observer.end(End::ProviderGone, at);
        drop(observer);
        facts.taken().len()
    };
    assert_eq!(facts_of("chatgpt.com"), 0);
    assert_eq!(facts_of("api.openai.com"), 1, "elsewhere it is unread");
}

/// Counts of input, cached, written, output, reasoning and total.
fn counts(values: [Option<u32>; 6]) -> Counts {
    let places = [
        Count::Input,
        Count::CacheRead,
        Count::CacheWrite,
        Count::Output,
        Count::Reasoning,
        Count::Total,
    ];
    let mut counts = Counts::default();
    for (place, value) in places.into_iter().zip(values) {
        match value {
            Some(value) => counts.take(place, &Value::Number(&value.to_string())),
            None => counts.take(place, &Value::Null),
        }
    }
    counts
}

#[test]
fn the_total_decides_where_reasoning_is() {
    use UsageTotal::{Absent, Agree, Disagree};
    let table = [
        // Inside, as documented.
        (
            [Some(100), None, None, Some(50), Some(20), Some(150)],
            (100, 30, 20),
            Agree,
            true,
        ),
        // Outside.
        (
            [Some(100), None, None, Some(50), Some(20), Some(170)],
            (100, 50, 20),
            Agree,
            true,
        ),
        (
            [Some(100), None, None, Some(50), Some(80), Some(230)],
            (100, 50, 80),
            Agree,
            true,
        ),
        // No total: inside, where that is possible.
        (
            [Some(100), None, None, Some(50), Some(20), None],
            (100, 30, 20),
            Absent,
            true,
        ),
        (
            [Some(100), None, None, Some(50), Some(80), None],
            (100, 50, 80),
            Absent,
            true,
        ),
        // Neither.
        (
            [Some(100), None, None, Some(50), Some(20), Some(999)],
            (100, 30, 20),
            Disagree,
            false,
        ),
        (
            [Some(100), None, None, Some(50), Some(80), Some(150)],
            (100, 0, 80),
            Disagree,
            false,
        ),
        // Cached and written tokens are part of the prompt, unless they are more than that.
        (
            [Some(100), Some(60), Some(30), Some(5), None, Some(105)],
            (10, 5, 0),
            Agree,
            true,
        ),
        (
            [Some(100), Some(160), None, Some(5), None, Some(105)],
            (100, 5, 0),
            Agree,
            false,
        ),
        // Embeddings.
        (
            [Some(8), None, None, None, None, Some(8)],
            (8, 0, 0),
            Agree,
            true,
        ),
        ([None; 6], (0, 0, 0), Absent, true),
    ];
    for (values, (input, output, thinking), total, is_sound) in table {
        let reading = counts(values).read();
        let usage = reading.usage;
        let count = |kind: TokenKind| usage[kind].unwrap_or(0);
        assert_eq!(
            (
                count(TokenKind::Input),
                count(TokenKind::Output),
                count(TokenKind::Thinking)
            ),
            (input, output, thinking),
            "{values:?}"
        );
        assert_eq!(
            reading,
            Reading {
                usage,
                total,
                modalities: ModalitySplits::default(),
                is_sound
            },
            "{values:?}"
        );
        assert_eq!(usage.is_unreported(), values == [None; 6], "{values:?}");
    }
}

#[test]
fn later_counts_replace_those_before_and_outdate_their_total() {
    let first = counts([Some(38), Some(8), None, Some(1), None, Some(39)]);
    let mut merged = first;
    merged.merge(Counts::default());
    assert_eq!(merged, first, "what says nothing takes nothing back");
    merged.merge(counts([Some(38), None, None, Some(4), None, Some(42)]));
    assert_eq!(
        merged,
        counts([Some(38), Some(8), None, Some(4), None, Some(42)])
    );
    merged.merge(counts([None, None, None, Some(5), None, None]));
    assert_eq!(
        merged,
        counts([Some(38), Some(8), None, Some(5), None, None])
    );
}

/// What an answer says that came as these bytes.
fn said(
    answer: impl ReadAnswer + 'static,
    status: u16,
    listed: &[(&'static str, &str)],
    bytes: &[u8],
) -> Said {
    let listed = listed
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let head = ResponseHead {
        status,
        fields: Fields {
            listed: listed.collect(),
            ..Fields::default()
        },
    };
    let memory = Memory::default();
    let of = AnswerHead {
        provider: Provider::OpenAi,
        head: &head,
        expects_events: false,
        memory: &memory,
    };
    let mut body = json_body(of, answer);
    bytes
        .chunks(1000)
        .for_each(|piece| _ = body.feed(piece, &mut DecodeLimit::default()));
    body.finish(ExchangeEnd::Complete);
    assert_eq!(body.failure(), None);
    body.said(SystemTime::UNIX_EPOCH)
}

#[test]
fn the_figures_of_a_large_last_event_are_found() {
    let text = "canary ".repeat(60_000);
    let event = format!(
        r#"data: {{"type":"response.completed","response":{{"id":"resp_7","status":"completed","output":[{{"type":"message","id":"msg_1","status":"failed","content":[{{"text":"{text}","usage":{{"input_tokens":1}}}}]}}],"usage":{{"input_tokens":10,"output_tokens":2,"total_tokens":12}}}}}}"#
    );
    let said = said(
        Response::default(),
        200,
        &[],
        format!("{event}\n\n").as_bytes(),
    );
    assert_eq!(
        (said.usage[TokenKind::Input], said.usage[TokenKind::Output]),
        (Some(10), Some(2))
    );
    assert_eq!(said.error, None);
    assert_eq!(said.response.unwrap().as_str(), "resp_7");
}

#[test]
fn errors_tell_what_is_used_up() {
    use RateLimitReason::{Capacity, QuotaExhausted, RateLimitExceeded, Unspecified};
    let table = [
        (
            r#"{"error":{"type":"insufficient_quota","code":null}}"#,
            true,
            QuotaExhausted,
        ),
        (
            r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
            true,
            RateLimitExceeded,
        ),
        (
            r#"{"error":{"type":"requests","code":"insufficient_quota"}}"#,
            true,
            QuotaExhausted,
        ),
        (
            r#"{"error":{"code":"server_is_overloaded"}}"#,
            true,
            Capacity,
        ),
        (
            r#"{"error":{"code":429,"message":"tokens"}}"#,
            true,
            Unspecified,
        ),
        (r#"{"error":{"code":"server_error"}}"#, false, Unspecified),
        (r#"{"error":"canary"}"#, false, Unspecified),
    ];
    for (body, is_limit, reason) in table {
        let bytes = body.as_bytes();
        for error in [
            said(Completion::default(), 400, &[], bytes).error.unwrap(),
            said(Response::default(), 400, &[], bytes).error.unwrap(),
        ] {
            assert_eq!((error.is_limit, error.reason), (is_limit, reason), "{body}");
        }
    }
    let in_array = said(
        Completion::default(),
        429,
        &[],
        br#"[{"error":{"code":429}}]"#,
    );
    assert!(in_array.error.unwrap().is_limit);
    let event = said(
        Response::default(),
        200,
        &[],
        b"data: {\"type\":\"error\",\"status\":429,\"error\":{\"type\":\"usage_limit_reached\",\"resets_at\":60}}\n\n",
    );
    let error = event.error.unwrap();
    assert_eq!(error.reason, QuotaExhausted);
    assert_eq!(
        error.resets_at,
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60))
    );
}

#[test]
fn the_delay_in_milliseconds_counts_where_a_call_is_refused() {
    let delay = |status: u16, text: &str| {
        let said = said(Completion::default(), status, &[(RETRY_AFTER, text)], b"{}");
        said.error.and_then(|error| error.retry_after)
    };
    assert_eq!(delay(429, "1500"), Some(Duration::from_millis(1500)));
    assert_eq!(delay(429, "soon"), None);
    assert_eq!(delay(200, "1500"), None);
}
