mod pauses;
mod wire;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dialect::tests::{Facts, connection};
use crate::observe::exchange::{ExchangeEnd, Fields, ResponseHead};
use crate::observe::{Alpn, Direction, End};
use crate::record::{Call, Correlation, Model, Operation, Outcome, Quality, TokenKind, UsageTotal};

/// One exchange, driven step by step; `at` of a step is in milliseconds after the request's first
/// byte.
struct Stage {
    facts: Arc<Facts>,
    opened: Instant,
    exchange: Box<dyn Exchange>,
}

fn fields(codings: &[&str]) -> Fields {
    Fields {
        content_encoding: codings.iter().map(|coding| (*coding).to_owned()).collect(),
        ..Fields::default()
    }
}

impl Stage {
    fn open(request_codings: &[&str]) -> Self {
        let facts = Arc::new(Facts::default());
        let mut exchanges = exchanges(&facts);
        let opened = exchanges.connection.opened;
        let exchange = exchanges
            .open(&head(request_codings), opened)
            .expect("a call");
        let told = facts.taken();
        let [Fact::CallStarted(started)] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(
            (started.provider, started.operation),
            (crate::record::Provider::CloudCode, Operation::Chat)
        );
        assert_eq!((started.number > 0, &started.model), (true, &None));
        Self {
            facts,
            opened,
            exchange,
        }
    }

    fn asked(mut self) -> Self {
        self.exchange
            .request_body(br#"{"model":"gemini-3-flash"}"#, self.opened);
        self
    }

    fn answered(mut self, status: u16, codings: &[&str]) -> Self {
        let fields = Fields {
            content_type: Some("text/event-stream".into()),
            ..fields(codings)
        };
        self.exchange
            .response_head(&ResponseHead { status, fields }, self.at(1));
        self
    }

    fn event(mut self, json: &str, at: u64) -> Self {
        let at = self.at(at);
        self.exchange
            .response_body(format!("data: {json}\n\n").as_bytes(), at);
        self
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.opened + Duration::from_millis(milliseconds)
    }

    fn end(self, end: ExchangeEnd, at: u64) -> (Call, Vec<Fact>) {
        let at = self.at(at);
        self.exchange.end(end, at);
        call_and_others(&self.facts)
    }

    fn dropped(self) -> (Call, Vec<Fact>) {
        drop(self.exchange);
        call_and_others(&self.facts)
    }
}

fn exchanges(facts: &Arc<Facts>) -> Exchanges {
    let record = Arc::clone(facts) as Arc<dyn Record>;
    Exchanges {
        connection: connection("cloudcode-pa.googleapis.com", Alpn::H2),
        record,
        memory: Memory::default(),
    }
}

fn head(codings: &[&str]) -> RequestHead {
    let (method, path) = (
        "POST".to_owned(),
        "/v1internal:streamGenerateContent".to_owned(),
    );
    RequestHead {
        method,
        path,
        query: vec!["alt=sse"],
        fields: fields(codings),
    }
}

/// The only call that was stated, and the facts beside it.
fn call_and_others(facts: &Facts) -> (Call, Vec<Fact>) {
    let (mut calls, others): (Vec<_>, Vec<_>) = facts
        .taken()
        .into_iter()
        .partition(|fact| matches!(fact, Fact::Call(_)));
    let Some(Fact::Call(call)) = calls.pop() else {
        panic!("no call")
    };
    assert!(calls.is_empty(), "more than one call");
    (*call, others)
}

/// The usage of these frames has no total.
const NO_TOTAL: Fact = Fact::TotalCompared {
    provider: crate::record::Provider::CloudCode,
    total: UsageTotal::Absent,
};

const TEXT: &str = r#"{"response":{"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":{"promptTokenCount":16}}}"#;
const LAST: &str = r#"{"response":{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"candidatesTokenCount":3}}}"#;

#[test]
fn every_way_to_end_states_one_call() {
    for (end, outcome) in [
        (ExchangeEnd::AgentGone, Outcome::Aborted),
        (ExchangeEnd::AgentLeft, Outcome::Aborted),
        (ExchangeEnd::ProviderReset, Outcome::StreamError),
        (ExchangeEnd::Truncated, Outcome::Truncated),
        (ExchangeEnd::Lost, Outcome::Ok),
    ] {
        let (call, others) = Stage::open(&[])
            .asked()
            .answered(200, &[])
            .event(TEXT, 5)
            .end(end, 9);
        assert_eq!(
            (call.outcome, call.quality, call.usage[TokenKind::Input]),
            (outcome, Quality::Partial, Some(16)),
            "{end:?}"
        );
        assert_eq!(others, [NO_TOTAL]);
        let (call, _) = Stage::open(&[]).end(end, 9);
        assert_eq!(
            (call.outcome, call.quality, call.status),
            (outcome, Quality::Unknown, None),
            "{end:?}"
        );
        assert_eq!(call.model, Model::unknown());
    }
}

#[test]
fn a_call_dropped_without_an_end_is_stated_too() {
    let (call, _) = Stage::open(&[])
        .asked()
        .answered(200, &[])
        .event(TEXT, 5)
        .dropped();
    assert_eq!(
        (call.outcome, call.quality),
        (Outcome::Truncated, Quality::Partial)
    );
    assert_eq!(
        call.timing.duration,
        Duration::from_millis(5),
        "up to the last thing seen"
    );
}

#[test]
fn a_reason_to_stop_is_no_end_of_the_message() {
    for (end, outcome, quality) in [
        (ExchangeEnd::AgentGone, Outcome::Aborted, Quality::Partial),
        (ExchangeEnd::AgentLeft, Outcome::Ok, Quality::Exact),
        (ExchangeEnd::Complete, Outcome::Ok, Quality::Exact),
        (
            ExchangeEnd::ProviderReset,
            Outcome::StreamError,
            Quality::Partial,
        ),
        (ExchangeEnd::Truncated, Outcome::Truncated, Quality::Partial),
    ] {
        let (call, _) = Stage::open(&[])
            .asked()
            .answered(200, &[])
            .event(TEXT, 5)
            .event(LAST, 6)
            .end(end, 9);
        assert_eq!(
            (call.outcome, call.quality, call.usage.total()),
            (outcome, quality, 19),
            "{end:?}"
        );
        let (call, _) = Stage::open(&[])
            .asked()
            .answered(200, &[])
            .event(TEXT, 5)
            .end(end, 9);
        assert!(
            call.outcome != Outcome::Ok && call.quality == Quality::Partial,
            "{end:?} without a reason to stop"
        );
    }
}

/// A stream whose first frames, empty ones, carry a reason to stop, and whose agent leaves in the
/// middle of the text.
#[test]
fn an_agent_that_leaves_after_a_first_empty_reason_to_stop_has_aborted() {
    let first = r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":50,"totalTokenCount":50}}"#;
    let text = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#;
    for end in [ExchangeEnd::AgentGone, ExchangeEnd::AgentLeft] {
        let (call, _) = Stage::open(&[])
            .asked()
            .answered(200, &[])
            .event(first, 5)
            .event(text, 6)
            .end(end, 9);
        assert_eq!(
            (call.outcome, call.quality, call.usage.total()),
            (Outcome::Aborted, Quality::Partial, 50),
            "{end:?}"
        );
    }
}

/// The provider ends its chunks in order for an agent that has left, but not the compressed data in
/// them.
#[test]
fn what_is_compressed_and_left_by_the_agent_is_no_failure_to_decode() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(format!("data: {TEXT}\n\n").as_bytes())
        .unwrap();
    gzip.flush().unwrap();
    let mut stage = Stage::open(&[]).asked().answered(200, &["gzip"]);
    let at = stage.at(5);
    stage.exchange.response_body(gzip.get_ref(), at);
    let (call, others) = stage.end(ExchangeEnd::AgentLeft, 9);
    assert_eq!(
        (call.outcome, call.quality, call.usage[TokenKind::Input]),
        (Outcome::Aborted, Quality::Partial, Some(16))
    );
    assert_eq!(
        others,
        [Fact::TotalCompared {
            provider: call.provider,
            total: UsageTotal::Absent
        }]
    );
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    /// Whatever the order in which frames come: where they are cut makes no difference, and a
    /// stream of which the end of the message was not seen is never exact or in order.
    #[test]
    fn cuts_and_ends_of_any_order_of_frames(
        frames in prop::collection::vec(prop::sample::select(FRAMES.to_vec()), 0..6),
        sizes in prop::collection::vec(1..60_usize, 1..5),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let body: String = frames.iter().map(|frame| format!("{frame}\n\n").replace('\n', line_end)).collect();
        let told = |sizes: &[usize], end| {
            let mut stage = Stage::open(&[]).asked().answered(200, &[]);
            let (mut rest, at) = (body.as_bytes(), stage.at(5));
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                stage.exchange.response_body(piece, at);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let (call, others) = stage.end(end, 9);
            let failures = others.into_iter().filter(|fact| matches!(fact, Fact::ObserverFailed(_))).count();
            (call.outcome, call.quality, call.usage, call.finish_reason, call.rate_limit.is_some(), failures)
        };
        for end in [ExchangeEnd::Complete, ExchangeEnd::Truncated, ExchangeEnd::AgentGone] {
            prop_assert_eq!(told(&[usize::MAX], end), told(&sizes, end));
        }
        // One document alone is whole by itself, whatever the connection does.
        let is_document = frames.first().is_some_and(|first| first.starts_with('{'));
        let (outcome, quality, ..) = told(&sizes, ExchangeEnd::Truncated);
        prop_assert!(is_document || (outcome != Outcome::Ok && quality != Quality::Exact));
    }
}

/// A quota is of a model, and says until when.
#[test]
fn a_used_up_quota_is_told_of_a_known_model_and_with_its_end() {
    let refusal = |reset: &str| {
        format!(
            r#"{{"error":{{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
            "reason":"QUOTA_EXHAUSTED","metadata":{{{reset}}}}}]}}}}"#
        )
    };
    let until = refusal(r#""quotaResetTimeStamp":"2100-01-01T00:00:00Z""#);
    let quotas = |stage: Stage, json: &str| {
        let mut stage = stage.answered(429, &[]);
        let at = stage.at(2);
        stage.exchange.response_body(json.as_bytes(), at);
        let (_, others) = stage.end(ExchangeEnd::Complete, 3);
        let is_quota = |fact: &&Fact| matches!(fact, Fact::Quota(_));
        others.iter().filter(is_quota).count()
    };
    assert_eq!(quotas(Stage::open(&[]).asked(), &until), 1);
    assert_eq!(quotas(Stage::open(&[]), &until), 0, "of an unknown model");
    assert_eq!(
        quotas(Stage::open(&[]).asked(), &refusal("")),
        0,
        "for ever"
    );
}

/// A limit of a key is of a model: whoever is refused for another reason may have made one up.
#[test]
fn limits_of_a_model_are_told_of_where_the_provider_knows_it() {
    let quotas = |stage: Stage, status| {
        let mut stage = stage;
        let listed = [
            ("x-ratelimit-limit-tokens", "8"),
            ("x-ratelimit-remaining-tokens", "6"),
            ("x-codex-primary-used-percent", "25"),
        ];
        let fields = Fields {
            listed: listed.map(|(name, text)| (name, text.to_owned())).to_vec(),
            ..Fields::default()
        };
        let at = stage.at(1);
        stage
            .exchange
            .response_head(&ResponseHead { status, fields }, at);
        let (_, others) = stage.end(ExchangeEnd::Complete, 2);
        let quotas = others.iter().filter_map(|fact| match fact {
            Fact::Quota(quota) => Some(format!("{} {}", quota.model, quota.remaining)),
            _ => None,
        });
        quotas.collect::<Vec<_>>()
    };
    let asked = || Stage::open(&[]).asked();
    assert_eq!(quotas(asked(), 200), ["gemini-3-flash 0.75", "all 0.75"]);
    assert_eq!(quotas(asked(), 429), ["gemini-3-flash 0.75", "all 0.75"]);
    assert_eq!(quotas(asked(), 404), ["all 0.75"]);
    assert_eq!(
        quotas(Stage::open(&[]), 200),
        ["all 0.75"],
        "the request names no model"
    );
}

/// Whole events and bare documents.
const FRAMES: [&str; 8] = [
    r#"data: {"candidates":[{"content":{"parts":[{"text":"x"}]}}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1,"totalTokenCount":5}}"#,
    r#"data: {"candidates":[{"finishReason":"STOP"}]}"#,
    r#"data: {"candidates":[{"index":1,"content":{"parts":[{"text":"y","thought":true}]},"finishReason":0}]}"#,
    r#"data: {"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9,"thoughtsTokenCount":3,"totalTokenCount":16}}"#,
    "{\n  \"error\": {\n    \"code\": 503\n  }\n}",
    r#"[{"error":{"code":429}}]"#,
    "data: [DONE]",
    ": a comment",
];

#[test]
fn times_are_those_of_whole_content_bearing_frames() {
    let stage = Stage::open(&[]).asked().answered(200, &[]).event("{}", 10);
    let several = |count| [TEXT].repeat(count).join("\n\ndata: ");
    let (call, others) = stage
        .event(&several(2), 100)
        .event(TEXT, 130)
        .event(&several(3), 170)
        .event(LAST, 200)
        .end(ExchangeEnd::Complete, 210);
    let ms = Duration::from_millis;
    assert_eq!(call.timing.duration, ms(210));
    assert_eq!(call.timing.time_to_first_chunk, Some(ms(100)));
    assert_eq!(call.timing.content_duration, Some(ms(70)));
    let gaps: Vec<_> = others
        .iter()
        .filter(|fact| **fact != NO_TOTAL)
        .map(|fact| {
            if let Fact::ContentChunks(chunks) = fact {
                (chunks.gap, chunks.count)
            } else {
                panic!("{fact:?}")
            }
        })
        .collect();
    assert_eq!(gaps, [(ms(0), 1), (ms(30), 1), (ms(40), 3)]);
}

#[test]
fn an_answer_in_one_piece_has_no_gaps() {
    let mut stage = Stage::open(&[]).asked().answered(200, &[]);
    let at = stage.at(50);
    stage.exchange.response_body(TEXT.as_bytes(), at);
    let (call, others) = stage.end(ExchangeEnd::Complete, 60);
    assert_eq!(
        (call.streamed, call.outcome, others),
        (false, Outcome::Ok, vec![NO_TOTAL])
    );
    assert_eq!(
        (
            call.timing.time_to_first_chunk,
            call.timing.content_duration
        ),
        (Some(Duration::from_millis(50)), None)
    );
}

#[test]
fn a_failure_is_stated_once_for_each_call() {
    let failed = |others: Vec<Fact>| {
        others
            .into_iter()
            .filter(|fact| *fact != NO_TOTAL)
            .map(|fact| {
                if let Fact::ObserverFailed(why) = fact {
                    why
                } else {
                    panic!("{fact:?}")
                }
            })
            .collect::<Vec<_>>()
    };
    let (call, others) = Stage::open(&["gzip"])
        .asked()
        .asked()
        .answered(200, &["br"])
        .event(LAST, 5)
        .event(LAST, 6)
        .end(ExchangeEnd::Complete, 9);
    assert_eq!(
        (call.outcome, call.quality, failed(others)),
        (
            Outcome::Ok,
            Quality::Unknown,
            vec![ObserverFailure::DecodeError]
        )
    );
    let (call, others) = Stage::open(&["compress"])
        .asked()
        .answered(200, &[])
        .event(LAST, 5)
        .end(ExchangeEnd::Complete, 9);
    assert_eq!(
        (call.quality, failed(others)),
        (Quality::Exact, vec![ObserverFailure::DecodeError]),
        "the request is not the answer"
    );
    let (call, others) = Stage::open(&[])
        .asked()
        .answered(200, &[])
        .event("{]", 5)
        .event("{]", 6)
        .event(LAST, 7)
        .end(ExchangeEnd::Complete, 9);
    assert_eq!(
        (call.quality, failed(others)),
        (Quality::Partial, vec![ObserverFailure::MalformedJson])
    );
}

#[test]
fn a_bomb_costs_the_figures_and_nothing_else() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![b'\n'; 64 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    let mut stage = Stage::open(&[]).asked().answered(200, &["gzip"]);
    let at = stage.at(5);
    bomb.chunks(16 << 10)
        .for_each(|piece| stage.exchange.response_body(piece, at));
    let (call, others) = stage.end(ExchangeEnd::Complete, 9);
    assert_eq!(
        (call.outcome, call.quality),
        (Outcome::Ok, Quality::Unknown)
    );
    assert_eq!(
        others,
        [Fact::ObserverFailed(ObserverFailure::DecodeBudget)]
    );
}

#[test]
fn where_no_memory_is_left_bodies_and_then_calls_pass_unread_and_are_counted_once_each() {
    let facts = Arc::new(Facts::default());
    let mut opener = Exchanges {
        memory: Memory::new(EXCHANGE_BYTES),
        ..exchanges(&facts)
    };
    let at = opener.connection.opened;
    let mut exchange = opener.open(&head(&["gzip"]), at).expect("a call");
    assert!(
        opener.open(&head(&[]), at).is_none(),
        "the newest call is not observed"
    );
    exchange.response_head(
        &ResponseHead {
            status: 200,
            fields: fields(&["br"]),
        },
        at,
    );
    for _ in 0..2 {
        exchange.request_body(b"\x1f\x8b\x08\0\0\0\0\0\0\0\x01\0\0\xff\xff", at);
        exchange.response_body(b"\x0b\x00\x80\x7b\x03", at);
    }
    exchange.end(ExchangeEnd::Complete, at);
    let (call, others) = call_and_others(&facts);
    assert_eq!(
        (call.outcome, call.quality),
        (Outcome::Ok, Quality::Unknown)
    );
    let lost: Vec<_> = others
        .iter()
        .filter(|fact| !matches!(fact, Fact::CallStarted(_)))
        .collect();
    assert_eq!(
        lost,
        [&Fact::ObserverFailed(ObserverFailure::MemoryBudget); 2],
        "one for each call"
    );
    assert!(
        opener.open(&head(&[]), at).is_some(),
        "the call before has given back what it held"
    );
}

#[test]
fn calls_of_one_connection_do_not_mix() {
    let facts = Arc::new(Facts::default());
    let mut opener = exchanges(&facts);
    let at = opener.connection.opened;
    let mut exchanges: Vec<_> = (0..2)
        .map(|_| opener.open(&head(&[]), at).expect("a call"))
        .collect();
    let each = |exchanges: &mut Vec<Box<dyn Exchange>>, step: &dyn Fn(usize, &mut dyn Exchange)| {
        exchanges
            .iter_mut()
            .enumerate()
            .for_each(|(n, exchange)| step(n, exchange.as_mut()));
    };
    let body = |n: usize| {
        format!(r#"{{"model":"m-{n}","request":{{"labels":{{"trajectory_id":"t-{n}"}}}}}}"#)
    };
    let answer = |n: usize| {
        format!(
            "data: {{\"response\":{{\"usageMetadata\":{{\"promptTokenCount\":{}}}}}}}\n\n",
            n + 1
        )
    };
    for byte in 0..body(0).len() {
        each(&mut exchanges, &|n, exchange| {
            exchange.request_body(&body(n).as_bytes()[byte..=byte], at)
        });
    }
    each(&mut exchanges, &|_, exchange| {
        exchange.response_head(
            &ResponseHead {
                status: 200,
                fields: Fields {
                    content_type: Some("text/event-stream".into()),
                    ..Fields::default()
                },
            },
            at,
        )
    });
    for byte in 0..answer(0).len() {
        each(&mut exchanges, &|n, exchange| {
            exchange.response_body(&answer(n).as_bytes()[byte..=byte], at)
        });
    }
    exchanges
        .into_iter()
        .for_each(|exchange| exchange.end(ExchangeEnd::Complete, at));
    let seen: Vec<_> = facts
        .taken()
        .into_iter()
        .filter_map(|fact| {
            if let Fact::Call(call) = fact {
                Some(call)
            } else {
                None
            }
        })
        .collect();
    let of = |call: &Call| {
        (
            call.model.to_string(),
            call.ids
                .labelled_trajectory
                .as_ref()
                .map(ToString::to_string),
            call.usage[TokenKind::Input],
        )
    };
    assert_eq!(
        seen.iter().map(|call| of(call)).collect::<Vec<_>>(),
        [
            ("m-0".to_owned(), Some("t-0".to_owned()), Some(1)),
            ("m-1".to_owned(), Some("t-1".to_owned()), Some(2)),
        ]
    );
}

/// The observer of a connection of HTTP/1.1, and when that was opened.
fn observer_of(facts: &Arc<Facts>) -> (Box<dyn Observer>, Instant) {
    let connection = connection("cloudcode-pa.googleapis.com", Alpn::Http1);
    let at = connection.opened;
    let observers = Observers {
        record: Arc::clone(facts) as Arc<dyn Record>,
        memory: Memory::default(),
    };
    (observers.open(connection), at)
}

#[test]
fn an_observer_dropped_in_the_middle_still_states_its_call() {
    let facts = Arc::new(Facts::default());
    let (mut observer, at) = observer_of(&facts);
    let request =
        b"POST /v1internal:generateContent HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    observer.bytes(Direction::ToProvider, request, at);
    assert!(!observer.is_between_exchanges());
    observer.end(End::Shutdown, at);
    drop(observer);
    let (call, _) = call_and_others(&facts);
    assert_eq!(
        (call.outcome, call.quality),
        (Outcome::Truncated, Quality::Unknown)
    );
}
