use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::ending::{Candidate, Endings, block_name, finish_name};
use super::refusal::{Detail, ErrorObject};
use super::usage::{Bears, Count, GeminiUsage};
use super::*;
use crate::observe::json::Value;
use crate::record::{QuotaWindow, RateLimit, RateLimitReason, TokenKind, TokenUsage, UsageTotal};

fn post(host: &str, path: &str) -> Option<Recognised> {
    let head = RequestHead {
        method: "POST".into(),
        path: path.into(),
        query: Vec::new(),
        fields: Default::default(),
    };
    recognise(&Host::parse(host).unwrap(), &head)
}

fn recognised(host: &str, path: &str) -> Option<(Provider, Operation, Option<String>)> {
    let Recognised::Call(CallHead {
        provider,
        operation,
        model,
        ..
    }) = post(host, path)?
    else {
        return None;
    };
    Some((provider, operation, model.map(|model| model.to_string())))
}

fn told(host: &str, path: &str) -> Option<(Provider, Side)> {
    let Recognised::Notice(Notice { provider, side, .. }) = post(host, path)? else {
        return None;
    };
    Some((provider, side))
}

#[test]
fn paths_and_hosts_tell_provider_operation_and_model() {
    use Operation::{Autocomplete, Chat, CountTokens, Embeddings, ImageGeneration};
    use Provider::{CloudCode, Gemini, VertexAi};
    let unknown = "gateway.example.com";
    let vertex = "/v1beta1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent";
    let table = [
        (
            "cloudcode-pa.googleapis.com",
            "/v1internal:streamGenerateContent",
            CloudCode,
            Chat,
            None,
        ),
        (
            "daily-cloudcode-pa.sandbox.googleapis.com",
            "/v1internal:tabChat",
            CloudCode,
            Autocomplete,
            None,
        ),
        (
            unknown,
            "/v1internal:countTokens",
            CloudCode,
            CountTokens,
            None,
        ),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/models/gemini-2.5-flash:countTokens",
            Gemini,
            CountTokens,
            Some("gemini-2.5-flash"),
        ),
        (
            unknown,
            "/v1/models/gemini-2.5-flash:generateContent",
            Gemini,
            Chat,
            Some("gemini-2.5-flash"),
        ),
        (
            unknown,
            "/v1alpha/tunedModels/mine:streamGenerateContent",
            Gemini,
            Chat,
            Some("mine"),
        ),
        (
            "aiplatform.googleapis.com",
            "/v1/publishers/google/models/gemini-2.5-pro:generateContent",
            VertexAi,
            Chat,
            Some("gemini-2.5-pro"),
        ),
        (
            "europe-west4-aiplatform.googleapis.com",
            vertex,
            VertexAi,
            Chat,
            Some("gemini-2.5-pro"),
        ),
        (unknown, vertex, VertexAi, Chat, Some("gemini-2.5-pro")),
        (
            unknown,
            "/v1beta/models/gemini-embedding-001:embedContent",
            Gemini,
            Embeddings,
            Some("gemini-embedding-001"),
        ),
        (
            unknown,
            "/v1beta/models/e:batchEmbedContents",
            Gemini,
            Embeddings,
            Some("e"),
        ),
        (
            unknown,
            "/v1/publishers/google/models/text-embedding-005:predict",
            VertexAi,
            Embeddings,
            Some("text-embedding-005"),
        ),
        (
            unknown,
            "/v1/publishers/google/models/imagen-4:predict",
            VertexAi,
            ImageGeneration,
            Some("imagen-4"),
        ),
        (
            unknown,
            "/v1beta1/projects/p/locations/l/endpoints/42:generateContent",
            VertexAi,
            Chat,
            Some("42"),
        ),
        (
            unknown,
            "/v1beta/dynamic/x:generateContent",
            Gemini,
            Chat,
            Some("x"),
        ),
        (unknown, "/v1beta/interactions", Gemini, Chat, None),
        (
            unknown,
            "/v1beta1/projects/p/locations/l/interactions",
            VertexAi,
            Chat,
            None,
        ),
        (
            "aiplatform.googleapis.com",
            "/v1/models/gemini-2.5-pro:generateContent",
            VertexAi,
            Chat,
            Some("gemini-2.5-pro"),
        ),
    ];
    for (host, path, provider, operation, model) in table {
        assert_eq!(
            recognised(host, path),
            Some((provider, operation, model.map(str::to_owned))),
            "{host} {path}"
        );
    }
}

#[test]
fn what_calls_no_model_may_tell_of_calls_or_quotas() {
    let host = "daily-cloudcode-pa.googleapis.com";
    for (method, side) in [
        ("fetchAvailableModels", Side::Response),
        ("recordCodeAssistMetrics", Side::Request),
        ("recordTrajectoryAnalytics", Side::Request),
        ("retrieveUserQuota", Side::Response),
        ("retrieveUserQuotaSummary", Side::Response),
    ] {
        assert_eq!(
            told(host, &format!("/v1internal:{method}")),
            Some((Provider::CloudCode, side)),
            "{method}"
        );
        assert_eq!(
            told(host, &format!("/v1/models/m:{method}")),
            None,
            "{method}"
        );
        assert_eq!(
            told(host, &format!("/v1internal:{method}2")),
            None,
            "{method}"
        );
    }
    assert_eq!(told(host, "/v1internal:loadCodeAssist"), None);
    assert_eq!(told(host, "/v1internal:generateContent"), None);
}

#[test]
fn other_paths_are_no_calls() {
    for path in [
        "/v1internal:recordCodeAssistMetrics",
        "/v1internal/generateContent",
        "/v2/models/x:generateContent",
        "/v1/models/x:tabChat",
        "/v1/models/a/b:generateContent",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict",
        "/x/v1internal:generateContent",
        "/v1internal:embedContent",
        "/v1beta/interactions/i1/cancel",
        "/v1beta/interactions:generateContent",
        "/v1beta1/interactions",
        "/v1/endpoints/42:generateContent",
        "/v1/projects/p/locations/l/endpoints/42:predict",
        "/v1beta/models/gemini-2.5-pro:predict",
        "/v1beta/models/gemini-2.5-pro",
        "v1internal:generateContent",
        "/v1beta/models",
        "",
    ] {
        assert_eq!(
            recognised("cloudcode-pa.googleapis.com", path),
            None,
            "{path}"
        );
    }
    assert_eq!(
        provider_of(&Host::parse("cloudcode-pa.googleapis.com.evil.example").unwrap()),
        None
    );
    assert_eq!(
        provider_of(&Host::parse("notaiplatform.googleapis.com").unwrap()),
        None
    );
}

/// A frame's usage from `(count, number)` pairs.
fn usage(counts: &[(Count, &str)]) -> GeminiUsage {
    let mut usage = GeminiUsage::default();
    counts
        .iter()
        .for_each(|(count, text)| usage.take(*count, &Value::Number(text)));
    usage
}

/// An answer with visible text.
const TEXT: Bears = Bears {
    output: true,
    thought: false,
};
/// One with a thought and nothing else.
const THOUGHT: Bears = Bears {
    output: false,
    thought: true,
};

/// Prompt, cached, candidates, thoughts, tool use and total.
type Counts = [Option<u64>; 6];

fn counts([prompt, cached, candidates, thoughts, tool_use, total]: Counts) -> GeminiUsage {
    let mut usage = GeminiUsage::default();
    let named = [
        (Count::Prompt, prompt),
        (Count::Cached, cached),
        (Count::Candidates, candidates),
        (Count::Thoughts, thoughts),
        (Count::ToolUsePrompt, tool_use),
        (Count::Total, total),
    ];
    for (count, tokens) in named {
        tokens
            .into_iter()
            .for_each(|tokens| usage.take(count, &Value::Number(&tokens.to_string())));
    }
    usage
}

/// Input, cache read, output, thinking and tool input.
fn parts(usage: TokenUsage) -> [Option<u64>; 5] {
    [
        usage[TokenKind::Input],
        usage[TokenKind::CacheRead],
        usage[TokenKind::Output],
        usage[TokenKind::Thinking],
        usage[TokenKind::ToolInput],
    ]
}

#[test]
fn the_total_decides_what_the_counts_mean() {
    use UsageTotal::{Absent, Agree, Disagree};
    const O: Option<u64> = None;
    let n = Some;
    #[rustfmt::skip]
    let table = [
        ("documented", TEXT, [n(17933), n(15942), n(56), n(42), n(7), n(18038)], [n(1991), n(15942), n(56), n(42), n(7)], Agree, true),
        ("documented, no total", TEXT, [n(16), n(8), n(3), n(4), O, O], [n(8), n(8), n(3), n(4), O], Absent, true),
        ("zero is no total", TEXT, [n(16), O, n(3), O, O, n(0)], [n(16), O, n(3), O, O], Absent, true),
        ("thoughts inside candidates", TEXT, [n(341), O, n(3362), n(3347), O, n(3703)], [n(341), O, n(15), n(3347), O], Agree, true),
        ("both fit: nothing was thought", TEXT, [n(5), O, n(6), n(0), O, n(11)], [n(5), O, n(6), n(0), O], Agree, true),
        ("thoughts in the total only", TEXT, [n(8), O, n(13), O, O, n(575)], [n(8), O, n(13), n(554), O], Agree, true),
        ("the same beside tool use", TEXT, [n(8), O, n(13), O, n(100), n(131)], [n(8), O, n(13), n(10), n(100)], Agree, true),
        ("nothing but thoughts", THOUGHT, [n(10), O, O, O, O, n(12)], [n(10), O, O, n(2), O], Agree, true),
        ("cached outside prompt and total", TEXT, [n(500), n(9000), n(20), O, O, n(520)], [n(500), n(9000), n(20), O, O], Agree, true),
        ("cached outside the prompt", TEXT, [n(500), n(9000), n(20), O, O, n(9520)], [n(500), n(9000), n(20), O, O], Agree, true),
        ("the same, smaller", TEXT, [n(500), n(300), n(20), O, O, n(820)], [n(500), n(300), n(20), O, O], Agree, true),
        ("cached outside, thoughts inside", TEXT, [n(500), n(300), n(20), n(15), O, n(820)], [n(500), n(300), n(5), n(15), O], Agree, true),
        ("more cached than prompt, no total", TEXT, [n(5), n(9), n(1), O, O, O], [n(5), n(9), n(1), O, O], Absent, false),
        ("total too large", TEXT, [n(10), O, n(5), n(3), O, n(99)], [n(10), O, n(5), n(3), O], Disagree, false),
        ("total too small", TEXT, [n(10), O, n(5), O, O, n(12)], [n(10), O, n(5), O, O], Disagree, false),
        ("tool use outside the total", TEXT, [n(10), O, n(5), O, n(70), n(15)], [n(10), O, n(5), O, n(70)], Disagree, false),
        ("text without a count", TEXT, [n(10), O, O, O, O, n(10)], [n(10), O, O, O, O], Agree, false),
        ("text without a count, no total", TEXT, [n(10), O, O, O, O, O], [n(10), O, O, O, O], Absent, false),
        ("text in the total only", TEXT, [n(10), O, n(0), n(3), O, n(20)], [n(10), O, n(7), n(3), O], Disagree, false),
        ("text without a prompt", TEXT, [O, O, n(5), O, O, O], [O, O, n(5), O, O], Absent, false),
        ("zeros beside text", TEXT, [n(0), O, n(0), O, O, n(0)], [O, O, O, O, O], Absent, false),
        ("zeros beside nothing", Bears { output: false, thought: false }, [n(0), O, n(0), O, O, n(0)], [n(0), O, n(0), O, O], Absent, true),
        ("a total of nothing", TEXT, [O, O, O, O, O, n(50)], [O, O, O, O, O], Disagree, false),
        ("nothing", TEXT, [O; 6], [O; 5], Absent, false),
    ];
    for (name, bears, wire, expected, total, is_sound) in table {
        let reading = counts(wire).read(bears);
        assert_eq!(
            (parts(reading.usage), reading.total, reading.is_sound),
            (expected, total, is_sound),
            "{name}"
        );
    }
}

#[test]
fn a_total_is_one_of_the_counts_that_stand_beside_it() {
    let merged = |frames: &[Counts]| {
        let mut merged = GeminiUsage::default();
        frames.iter().for_each(|frame| merged.merge(counts(*frame)));
        merged.read(TEXT)
    };
    let early = [Some(10), None, None, None, None, Some(10)];
    let late = [Some(10), None, Some(5), None, None, None];
    assert_eq!(
        merged(&[early, late]).total,
        UsageTotal::Absent,
        "the counts have grown since"
    );
    let zeros = [Some(0), Some(0), Some(0), Some(0), Some(0), Some(0)];
    let whole = [Some(10), None, Some(5), Some(2), None, Some(17)];
    for frames in [
        vec![whole],
        vec![early, whole],
        vec![whole, whole],
        vec![zeros, whole, zeros],
        vec![early, late, whole, late],
    ] {
        let reading = merged(&frames);
        let seen = (parts(reading.usage), reading.total, reading.is_sound);
        assert_eq!(
            seen,
            (
                [
                    Some(10),
                    reading.usage[TokenKind::CacheRead],
                    Some(5),
                    Some(2),
                    reading.usage[TokenKind::ToolInput]
                ],
                UsageTotal::Agree,
                true
            )
        );
    }
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    /// Whatever the counts are, a reading that agrees adds up, with and without what was cached,
    /// and no other one is exact.
    #[test]
    fn a_reading_that_agrees_adds_up(wire in prop::array::uniform6(prop::option::of(0..40_u64)), output in any::<bool>(), thought in any::<bool>()) {
        let reading = counts(wire).read(Bears { output, thought });
        let [.., told] = wire;
        let (sum, cached) = (reading.usage.total(), reading.usage[TokenKind::CacheRead].unwrap_or(0));
        match (reading.total, told) {
            (UsageTotal::Agree, Some(told)) => prop_assert!(told == sum || told + cached == sum),
            (UsageTotal::Agree, None) => prop_assert!(false, "agrees with nothing"),
            (UsageTotal::Disagree, _) => prop_assert!(!reading.is_sound),
            (UsageTotal::Absent, told) => prop_assert_eq!(told.unwrap_or(0), 0),
        }
    }
}

#[test]
fn later_counts_win_field_by_field_and_zeros_never_do() {
    let mut merged = usage(&[(Count::Prompt, "0"), (Count::Candidates, "0")]);
    merged.merge(usage(&[
        (Count::Prompt, "16"),
        (Count::Cached, "8"),
        (Count::Candidates, "1"),
    ]));
    merged.merge(usage(&[(Count::Prompt, "16"), (Count::Candidates, "3")]));
    merged.merge(usage(&[
        (Count::Prompt, "0"),
        (Count::Cached, "0"),
        (Count::Thoughts, "0"),
    ]));
    let expected = [
        (Count::Prompt, "16"),
        (Count::Cached, "8"),
        (Count::Candidates, "3"),
        (Count::Thoughts, "0"),
    ];
    assert_eq!(merged, usage(&expected));
    let mut several = usage(&[
        (Count::OneOfPrompts, "9"),
        (Count::OneOfPrompts, "4"),
        (Count::OneOfPrompts, "-1"),
    ]);
    assert_eq!(several, usage(&[(Count::Prompt, "13")]));
    several.merge(usage(&[(Count::OneOfPrompts, "1")]));
    assert_eq!(
        several,
        usage(&[(Count::Prompt, "1")]),
        "of another document"
    );
}

#[test]
fn numbers_that_are_no_counts_are_ignored() {
    let text = |text| Value::String { text, cut: false };
    for (value, expected) in [
        (Value::Number("12"), Some(12)),
        (text("12"), Some(12)),
        (Value::Number("4294967296"), Some(TokenUsage::MAX_OF_A_KIND)),
        (Value::Number("4294967297"), None),
        (Value::Number("18446744073709551616"), None),
        (Value::Number("1e400"), None),
        (Value::Number("-1"), None),
        (Value::Number("1.5"), None),
        (text("+1"), None),
        (text(""), None),
        (text("NaN"), None),
        (
            Value::String {
                text: "12",
                cut: true,
            },
            None,
        ),
        (Value::Null, None),
        (Value::Bool(true), None),
        (Value::Object, None),
    ] {
        let mut usage = GeminiUsage::default();
        usage.take(Count::Candidates, &value);
        assert_eq!(
            usage.read(TEXT).usage[TokenKind::Output],
            expected,
            "{value:?}"
        );
    }
}

fn refusal(details: &[(Detail, &str)]) -> ErrorObject {
    let mut refusal = ErrorObject::default();
    details
        .iter()
        .for_each(|(detail, text)| refusal.take(*detail, Value::String { text, cut: false }));
    refusal
}

#[test]
fn delays_are_read_in_every_form() {
    let now = SystemTime::UNIX_EPOCH;
    for (text, expected) in [
        ("3.957525076s", Some(Duration::new(3, 957_525_076))),
        ("900ms", Some(Duration::from_millis(900))),
        (
            "135h9m46s",
            Some(Duration::from_secs(135 * 3600 + 9 * 60 + 46)),
        ),
        ("2h1m1s", Some(Duration::from_secs(7261))),
        ("256527.79s", Some(Duration::new(256_527, 790_000_000))),
        (
            "71h15m27.791609974s",
            Some(Duration::new(256_527, 791_609_974)),
        ),
        ("0s", Some(Duration::ZERO)),
        ("-3s", None),
        ("soon", None),
        ("", None),
        ("99999999999999999999h", None),
    ] {
        let limit = refusal(&[(Detail::RetryDelay, text), (Detail::ResetDelay, text)])
            .read(now)
            .rate_limit(429, None)
            .unwrap();
        assert_eq!(limit.retry_after, expected, "{text}");
        assert_eq!(limit.resets_at, expected.map(|delay| now + delay), "{text}");
    }
}

#[test]
fn a_rate_limit_is_known_by_status_words_or_reason() {
    let now = SystemTime::UNIX_EPOCH;
    let reason = |status, details: &[(Detail, &str)]| {
        refusal(details)
            .read(now)
            .rate_limit(status, None)
            .map(|limit| limit.reason)
    };
    assert_eq!(reason(429, &[]), Some(RateLimitReason::Unspecified));
    assert_eq!(
        reason(503, &[(Detail::Reason, "MODEL_CAPACITY_EXHAUSTED")]),
        Some(RateLimitReason::Capacity)
    );
    assert_eq!(
        reason(403, &[(Detail::Reason, "INSUFFICIENT_G1_CREDITS_BALANCE")]),
        Some(RateLimitReason::QuotaExhausted)
    );
    assert_eq!(
        reason(200, &[(Detail::Code, "429")]),
        Some(RateLimitReason::Unspecified)
    );
    assert_eq!(
        reason(200, &[(Detail::Status, "RESOURCE_EXHAUSTED")]),
        Some(RateLimitReason::Unspecified)
    );
    assert_eq!(
        reason(403, &[(Detail::Reason, "VALIDATION_REQUIRED")]),
        None
    );
    assert_eq!(
        reason(
            503,
            &[(Detail::Code, "503"), (Detail::Status, "UNAVAILABLE")]
        ),
        None
    );
}

#[test]
fn the_body_knows_better_than_the_header_and_a_date_better_than_a_delay() {
    let (now, header) = (SystemTime::UNIX_EPOCH, Some(Duration::from_secs(9)));
    let details = [
        (Detail::RetryDelay, "2s"),
        (Detail::ResetDelay, "1h"),
        (Detail::ResetTime, "1970-01-01T00:00:07.5Z"),
    ];
    let (reason, resets_at) = (
        RateLimitReason::Unspecified,
        Some(now + Duration::from_millis(7500)),
    );
    let expected = RateLimit {
        reason,
        retry_after: Some(Duration::from_secs(2)),
        resets_at,
    };
    assert_eq!(
        refusal(&details).read(now).rate_limit(429, header),
        Some(expected)
    );
    assert_eq!(
        refusal(&[])
            .read(now)
            .rate_limit(429, header)
            .unwrap()
            .retry_after,
        header
    );
    assert_eq!(
        refusal(&[(Detail::ResetTime, "tomorrow")])
            .read(now)
            .rate_limit(429, None)
            .unwrap()
            .resets_at,
        None
    );
}

#[test]
fn quotas_of_the_public_api_have_a_span() {
    let now = "2026-07-01T10:00:00Z"
        .parse::<jiff::Timestamp>()
        .map(|now| SystemTime::try_from(now).unwrap())
        .unwrap();
    let limit = |details: &[(Detail, &str)]| {
        let refusal = refusal(details);
        let limit = refusal.read(now).rate_limit(200, None).unwrap();
        let resets_at = limit
            .resets_at
            .map(|at| jiff::Timestamp::try_from(at).unwrap().to_string());
        (limit.reason, refusal.read(now).window.unwrap(), resets_at)
    };
    let day = (
        RateLimitReason::QuotaExhausted,
        QuotaWindow::Day,
        Some("2026-07-02T07:00:00Z".to_owned()),
    );
    let minute = (
        RateLimitReason::RateLimitExceeded,
        QuotaWindow::Unspecified,
        None,
    );
    let per_day = (
        Detail::QuotaId,
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
    );
    let per_minute = (
        Detail::QuotaId,
        "GenerateContentInputTokensPerModelPerMinute-FreeTier",
    );
    assert_eq!(limit(&[per_day]), day);
    assert_eq!(limit(&[per_minute]), minute);
    assert_eq!(limit(&[per_day, per_minute]), day, "the longer one decides");
    assert_eq!(limit(&[per_minute, per_day]), day);
    assert_eq!(
        limit(&[(Detail::Reason, "RATE_LIMIT_EXCEEDED"), per_day]),
        day
    );
    assert_eq!(
        limit(&[(Detail::Reason, "MODEL_CAPACITY_EXHAUSTED"), per_minute]).0,
        RateLimitReason::Capacity
    );
    assert_eq!(
        limit(&[(Detail::QuotaId, "x"), (Detail::Code, "8")]).0,
        RateLimitReason::Unspecified
    );
    assert_eq!(
        refusal(&[(Detail::QuotaId, "x")])
            .read(now)
            .rate_limit(200, None),
        None
    );
}

#[test]
fn a_reason_to_stop_is_one_that_says_something() {
    let text = |text| Value::String { text, cut: false };
    let name = |value, provider| finish_name(value, provider).map(|id| id.to_string());
    for (value, gemini, vertex) in [
        (text("STOP"), Some("STOP"), Some("STOP")),
        (text("FINISH_REASON_UNSPECIFIED"), None, None),
        (text(""), None, None),
        (text("max tokens"), Some("OTHER"), Some("OTHER")),
        (Value::Number("0"), None, None),
        (Value::Number("1"), Some("STOP"), Some("STOP")),
        (Value::Number("6"), Some("LANGUAGE"), Some("BLOCKLIST")),
        (
            Value::Number("10"),
            Some("MALFORMED_FUNCTION_CALL"),
            Some("MODEL_ARMOR"),
        ),
        (Value::Number("99"), Some("99"), Some("99")),
        (Value::Bool(true), None, None),
    ] {
        assert_eq!(
            name(value, Provider::Gemini).as_deref(),
            gemini,
            "{value:?}"
        );
        assert_eq!(
            name(value, Provider::VertexAi).as_deref(),
            vertex,
            "{value:?}"
        );
    }
    let block = |value| block_name(value).map(|id| id.to_string());
    assert_eq!(block(Value::Number("3")).as_deref(), Some("BLOCKLIST"));
    assert_eq!(block(text("BLOCK_REASON_UNSPECIFIED")), None);
}

#[test]
fn an_answer_is_over_when_all_that_began_has_stopped() {
    let candidate = |index, has_content, is_finished| Candidate {
        index,
        has_content,
        is_finished,
    };
    let (begins, goes_on, stops) = (
        candidate(None, true, false),
        candidate(Some(0), true, false),
        candidate(None, false, true),
    );
    let second = |has_content, is_finished| candidate(Some(1), has_content, is_finished);
    let over = |frames: &[&[Candidate]]| {
        let mut said = Endings::default();
        for frame in frames {
            let mut endings = Endings::default();
            frame.iter().for_each(|candidate| endings.add(*candidate));
            said.merge(endings);
        }
        said.are_all_over()
    };
    assert!(!over(&[]));
    assert!(!over(&[&[begins]]));
    assert!(over(&[&[begins], &[stops]]));
    assert!(
        over(&[&[candidate(None, true, true)]]),
        "the last words with the reason"
    );
    assert!(
        !over(&[&[stops], &[goes_on]]),
        "content takes the reason back"
    );
    assert!(over(&[&[stops], &[goes_on], &[stops]]));
    assert!(
        over(&[&[stops], &[candidate(None, false, false)]]),
        "a frame of figures does not"
    );
    assert!(
        !over(&[&[begins, begins], &[stops]]),
        "places in a frame tell candidates apart"
    );
    assert!(over(&[&[begins, begins], &[stops, stops]]));
    assert!(!over(&[&[stops], &[second(true, false)]]));
    assert!(over(&[
        &[stops],
        &[second(true, false)],
        &[second(false, true)]
    ]));
    assert!(
        !over(&[
            &[candidate(Some(70), false, true)],
            &[candidate(Some(900), true, false)]
        ]),
        "beyond the last bit"
    );
    let mut blocked = Endings::default();
    blocked.is_blocked = true;
    assert!(blocked.are_all_over());
}

#[test]
fn a_resource_is_one_of_its_provider_whole_or_none() {
    fn shape(resource: &str) -> Option<(Provider, Option<&str>)> {
        resource_shape(resource, true)
    }
    assert_eq!(shape("v1internal"), Some((Provider::CloudCode, None)));
    assert_eq!(shape("v1"), None);
    let vertex = "v1/projects/p/locations/l/publishers/google/models/m";
    assert_eq!(shape(vertex), Some((Provider::VertexAi, Some("m"))));
    assert_eq!(shape(&format!("{vertex}/more")), None);
    assert_eq!(shape(&format!("{vertex}/more/of/it")), None);
}
