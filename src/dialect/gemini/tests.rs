use std::time::{Duration, SystemTime};

use super::refusal::{Detail, Refusal};
use super::usage::{Count, GeminiUsage};
use super::*;
use crate::observe::json::Value;
use crate::record::{RateLimit, RateLimitReason, TokenUsage};

fn post(host: &str, path: &str) -> Option<Recognised> {
    let head = RequestHead { method: "POST".into(), path: path.into(), alt_sse: false, fields: Default::default() };
    recognise(&Host::parse(host).unwrap(), &head)
}

fn recognised(host: &str, path: &str) -> Option<(Provider, Operation, Option<String>)> {
    let Recognised::Call(CallHead { provider, operation, model, .. }) = post(host, path)? else { return None };
    Some((provider, operation, model.map(|model| model.to_string())))
}

fn told(host: &str, path: &str) -> Option<(Provider, Tells)> {
    let Recognised::Notice(Notice { provider, tells }) = post(host, path)? else { return None };
    Some((provider, tells))
}

#[test]
fn paths_and_hosts_tell_provider_operation_and_model() {
    use Operation::{Autocomplete, Chat, CountTokens};
    use Provider::{CloudCode, Gemini, VertexAi};
    let unknown = "gateway.example.com";
    let vertex = "/v1beta1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent";
    let table = [
        ("cloudcode-pa.googleapis.com", "/v1internal:streamGenerateContent", CloudCode, Chat, None),
        ("daily-cloudcode-pa.sandbox.googleapis.com", "/v1internal:tabChat", CloudCode, Autocomplete, None),
        (unknown, "/v1internal:countTokens", CloudCode, CountTokens, None),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/models/gemini-2.5-flash:countTokens",
            Gemini,
            CountTokens,
            Some("gemini-2.5-flash"),
        ),
        (unknown, "/v1/models/gemini-2.5-flash:generateContent", Gemini, Chat, Some("gemini-2.5-flash")),
        (unknown, "/v1alpha/tunedModels/mine:streamGenerateContent", Gemini, Chat, Some("mine")),
        (
            "aiplatform.googleapis.com",
            "/v1/publishers/google/models/gemini-2.5-pro:generateContent",
            VertexAi,
            Chat,
            Some("gemini-2.5-pro"),
        ),
        ("europe-west4-aiplatform.googleapis.com", vertex, VertexAi, Chat, Some("gemini-2.5-pro")),
        (unknown, vertex, VertexAi, Chat, Some("gemini-2.5-pro")),
        (
            "aiplatform.googleapis.com",
            "/v1/models/gemini-2.5-pro:generateContent",
            VertexAi,
            Chat,
            Some("gemini-2.5-pro"),
        ),
    ];
    for (host, path, provider, operation, model) in table {
        assert_eq!(recognised(host, path), Some((provider, operation, model.map(str::to_owned))), "{host} {path}");
    }
}

#[test]
fn what_calls_no_model_may_tell_of_calls_or_quotas() {
    let host = "daily-cloudcode-pa.googleapis.com";
    for (method, tells) in [
        ("fetchAvailableModels", Tells::Quotas),
        ("recordCodeAssistMetrics", Tells::Ids),
        ("recordTrajectoryAnalytics", Tells::Ids),
        ("retrieveUserQuota", Tells::Quotas),
        ("retrieveUserQuotaSummary", Tells::Quotas),
    ] {
        assert_eq!(told(host, &format!("/v1internal:{method}")), Some((Provider::CloudCode, tells)), "{method}");
        assert_eq!(told(host, &format!("/v1/models/m:{method}")), None, "{method}");
        assert_eq!(told(host, &format!("/v1internal:{method}2")), None, "{method}");
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
        "v1internal:generateContent",
        "/v1beta/models",
        "",
    ] {
        assert_eq!(recognised("cloudcode-pa.googleapis.com", path), None, "{path}");
    }
    assert_eq!(provider_of(&Host::parse("cloudcode-pa.googleapis.com.evil.example").unwrap()), None);
    assert_eq!(provider_of(&Host::parse("notaiplatform.googleapis.com").unwrap()), None);
}

/// A frame's usage from `(count, number)` pairs.
fn usage(counts: &[(Count, &str)]) -> GeminiUsage {
    let mut usage = GeminiUsage::default();
    counts.iter().for_each(|(count, text)| usage.take(*count, &Value::Number(text)));
    usage
}

#[test]
fn the_partition_adds_up_to_the_total() {
    let wire = usage(&[
        (Count::Prompt, "17933"),
        (Count::Cached, "15942"),
        (Count::Candidates, "56"),
        (Count::Thoughts, "42"),
        (Count::ToolUsePrompt, "7"),
    ]);
    let tokens = TokenUsage::from(wire);
    assert_eq!((tokens.input, tokens.cache_read, tokens.cache_write), (Some(1991), Some(15942), None));
    assert_eq!(tokens.total(), 17933 + 56 + 42 + 7);
    let inconsistent = usage(&[(Count::Prompt, "5"), (Count::Cached, "9")]);
    assert_eq!(TokenUsage::from(inconsistent).input, Some(0));
    assert!(TokenUsage::from(GeminiUsage::default()).is_unreported());
}

#[test]
fn later_counts_win_field_by_field_and_zeros_never_do() {
    let mut merged = usage(&[(Count::Prompt, "0"), (Count::Candidates, "0")]);
    merged.merge(usage(&[(Count::Prompt, "16"), (Count::Cached, "8"), (Count::Candidates, "1")]));
    merged.merge(usage(&[(Count::Prompt, "16"), (Count::Candidates, "3")]));
    merged.merge(usage(&[(Count::Prompt, "0"), (Count::Cached, "0"), (Count::Thoughts, "0")]));
    let expected = [(Count::Prompt, "16"), (Count::Cached, "8"), (Count::Candidates, "3"), (Count::Thoughts, "0")];
    assert_eq!(merged, usage(&expected));
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
        (Value::String { text: "12", cut: true }, None),
        (Value::Null, None),
        (Value::Bool(true), None),
        (Value::Object, None),
    ] {
        let mut usage = GeminiUsage::default();
        usage.take(Count::Candidates, &value);
        assert_eq!(TokenUsage::from(usage).output, expected, "{value:?}");
    }
}

fn refusal(details: &[(Detail, &str)]) -> Refusal {
    let mut refusal = Refusal::default();
    details.iter().for_each(|(detail, text)| refusal.take(*detail, Value::String { text, cut: false }));
    refusal
}

#[test]
fn delays_are_read_in_every_form() {
    let now = SystemTime::UNIX_EPOCH;
    for (text, expected) in [
        ("3.957525076s", Some(Duration::new(3, 957_525_076))),
        ("900ms", Some(Duration::from_millis(900))),
        ("135h9m46s", Some(Duration::from_secs(135 * 3600 + 9 * 60 + 46))),
        ("2h1m1s", Some(Duration::from_secs(7261))),
        ("256527.79s", Some(Duration::new(256_527, 790_000_000))),
        ("71h15m27.791609974s", Some(Duration::new(256_527, 791_609_974))),
        ("0s", Some(Duration::ZERO)),
        ("-3s", None),
        ("soon", None),
        ("", None),
        ("99999999999999999999h", None),
    ] {
        let limit =
            refusal(&[(Detail::RetryDelay, text), (Detail::ResetDelay, text)]).rate_limit(429, None, now).unwrap();
        assert_eq!(limit.retry_after, expected, "{text}");
        assert_eq!(limit.resets_at, expected.map(|delay| now + delay), "{text}");
    }
}

#[test]
fn a_rate_limit_is_known_by_status_words_or_reason() {
    let now = SystemTime::UNIX_EPOCH;
    let reason =
        |status, details: &[(Detail, &str)]| refusal(details).rate_limit(status, None, now).map(|limit| limit.reason);
    assert_eq!(reason(429, &[]), Some(RateLimitReason::Unspecified));
    assert_eq!(reason(503, &[(Detail::Reason, "MODEL_CAPACITY_EXHAUSTED")]), Some(RateLimitReason::Capacity));
    assert_eq!(
        reason(403, &[(Detail::Reason, "INSUFFICIENT_G1_CREDITS_BALANCE")]),
        Some(RateLimitReason::QuotaExhausted)
    );
    assert_eq!(reason(200, &[(Detail::Code, "429")]), Some(RateLimitReason::Unspecified));
    assert_eq!(reason(200, &[(Detail::Status, "RESOURCE_EXHAUSTED")]), Some(RateLimitReason::Unspecified));
    assert_eq!(reason(403, &[(Detail::Reason, "VALIDATION_REQUIRED")]), None);
    assert_eq!(reason(503, &[(Detail::Code, "503"), (Detail::Status, "UNAVAILABLE")]), None);
}

#[test]
fn the_body_knows_better_than_the_header_and_a_date_better_than_a_delay() {
    let (now, header) = (SystemTime::UNIX_EPOCH, Some(Duration::from_secs(9)));
    let details =
        [(Detail::RetryDelay, "2s"), (Detail::ResetDelay, "1h"), (Detail::ResetTime, "1970-01-01T00:00:07.5Z")];
    let (reason, resets_at) = (RateLimitReason::Unspecified, Some(now + Duration::from_millis(7500)));
    let expected = RateLimit { reason, retry_after: Some(Duration::from_secs(2)), resets_at };
    assert_eq!(refusal(&details).rate_limit(429, header, now), Some(expected));
    assert_eq!(refusal(&[]).rate_limit(429, header, now).unwrap().retry_after, header);
    assert_eq!(refusal(&[(Detail::ResetTime, "tomorrow")]).rate_limit(429, None, now).unwrap().resets_at, None);
}
