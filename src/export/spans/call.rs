//! The span of a call, and those of what its connection took to open.

use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, SpanKind};
use opentelemetry_sdk::trace::SpanData;

use super::{Attributes, FIRST_CHUNK, RATE_LIMIT, after, events, span_at, status};
use crate::export::genai::{attribute, error_type, operation_name};
use crate::record::{
    Call, ConnectionSetup, Handshake, Id, Label as _, ModalitySplits, Operation, Outcome,
    OutputType, Phase, RateLimit, Reported, RequestSettings, ServiceTier, SpanId, Speed, TokenKind,
    TokenUsage, TraceContext,
};

/// The spans of a call whose place is known: its own first, then those of its connection's setup as
/// its children. They begin before it: the connection was there first, and no other span is there
/// to hold them.
#[must_use]
pub fn of_call(call: &Call, place: &TraceContext) -> Vec<SpanData> {
    let mut spans = vec![chat(call, place)];
    spans.extend(
        call.setup
            .iter()
            .flat_map(|setup| phases(setup, call, place)),
    );
    spans
}

fn chat(call: &Call, place: &TraceContext) -> SpanData {
    // What the convention has no word for is called by ours, as it allows.
    let operation = operation_name(call.operation, call.provider, &call.model)
        .unwrap_or(call.operation.as_str());
    let start = call.timing.started_at;
    SpanData {
        name: format!("{operation} {}", call.model).into(),
        span_kind: SpanKind::Client,
        start_time: start,
        end_time: after(start, call.timing.duration),
        attributes: attributes(call, operation),
        events: events(moments(call)),
        status: status(error_type(call.outcome)),
        ..span_at(place)
    }
}

fn attributes(call: &Call, operation: &'static str) -> Vec<KeyValue> {
    let mut known = Attributes::default();
    known
        .put(attribute::OPERATION_NAME, operation)
        .put(attribute::PROVIDER_NAME, call.provider.as_str())
        .put(attribute::REQUEST_MODEL, call.model.as_str())
        .put_known(
            attribute::REQUEST_PREVIOUS_RESPONSE_ID,
            call.ids.previous_response.as_ref().map(|id| id.as_str()),
        )
        .put_known(attribute::REQUEST_STREAM, call.streamed.then_some(true))
        .put_known(
            attribute::RESPONSE_MODEL,
            call.served_model.as_ref().map(|model| model.as_str()),
        )
        .put_known(
            attribute::RESPONSE_ID,
            call.ids.response.as_ref().map(|id| id.as_str()),
        )
        .put_known(
            attribute::RESPONSE_FINISH_REASONS,
            finish_reason(call).map(|reason| vec![reason.to_owned()]),
        )
        .put_known(
            attribute::RESPONSE_TIME_TO_FIRST_CHUNK,
            call.timing.time_to_first_chunk.filter(|_| call.streamed),
        )
        .put_known(
            attribute::CONVERSATION_ID,
            call.correlation.cascade.as_ref().map(|id| id.as_str()),
        )
        .put_known(
            attribute::CONVERSATION_COMPACTED,
            call.is_compacted.then_some(true),
        )
        .put_known(
            attribute::AGENT_ID,
            call.ids.subagent.as_ref().map(|id| id.as_str()),
        )
        .put(attribute::SERVER_ADDRESS, call.host.as_str())
        .put(attribute::SERVER_PORT, call.port)
        .put_known(attribute::HTTP_STATUS, call.status)
        .put_known(attribute::ERROR_TYPE, error_type(call.outcome))
        .put(attribute::OUTCOME, call.outcome.as_str())
        .put_known(attribute::OPERATION, own_operation(call, operation))
        .put(attribute::USAGE_QUALITY, call.quality.as_str())
        .put_known(attribute::COST_USD, call.cost)
        .put_known(
            attribute::COST_SOURCE,
            call.cost.map(|_| call.cost_source().as_str()),
        );
    settings(&call.settings, &mut known);
    rules(call, &mut known);
    tokens(&call.usage, &mut known);
    modalities(&call.modalities, &mut known);
    reported(&call.reported, &mut known);
    known.0
}

/// How the answer was to be generated. One answer is what a request asks for unless it says
/// otherwise.
fn settings(settings: &RequestSettings, known: &mut Attributes) {
    known
        .put_known(
            attribute::REQUEST_CHOICE_COUNT,
            settings.choices.filter(|choices| *choices != 1),
        )
        .put_known(
            attribute::REQUEST_FREQUENCY_PENALTY,
            settings.frequency_penalty,
        )
        .put_known(attribute::REQUEST_MAX_TOKENS, settings.max_tokens)
        .put_known(
            attribute::REQUEST_PRESENCE_PENALTY,
            settings.presence_penalty,
        )
        .put_known(
            attribute::REQUEST_REASONING_LEVEL,
            settings.reasoning_level.as_ref().map(Id::as_str),
        )
        .put_known(attribute::REQUEST_SEED, settings.seed)
        .put_known(attribute::REQUEST_TEMPERATURE, settings.temperature)
        .put_known(attribute::REQUEST_TOP_K, settings.top_k)
        .put_known(attribute::REQUEST_TOP_P, settings.top_p)
        .put_known(
            attribute::OUTPUT_TYPE,
            settings.output_type.map(OutputType::as_str),
        );
}

/// What changed the request before it was sent.
fn rules(call: &Call, known: &mut Attributes) {
    let Some(rules) = &call.rules else { return };
    let names = rules.names.iter().map(ToString::to_string);
    known
        .put(attribute::RULES, names.collect::<Vec<_>>())
        .put_known(
            attribute::ASKED_MODEL,
            rules.asked_model.as_ref().map(|model| model.as_str()),
        );
}

/// What the call is for, where the convention has no word for it: `generate_content` is a chat.
fn own_operation(call: &Call, operation: &str) -> Option<&'static str> {
    let own = call.operation.as_str();
    (own != operation && call.operation != Operation::Chat).then_some(own)
}

/// What the provider reports beside tokens.
fn reported(reported: &Reported, known: &mut Attributes) {
    known
        .put_known(attribute::COST_NANO_CREDITS, reported.nano_credits)
        .put_known(
            attribute::SERVICE_TIER,
            reported.service_tier.map(ServiceTier::as_str),
        )
        .put_known(attribute::SPEED, reported.speed.map(Speed::as_str))
        .put_known(
            attribute::INFERENCE_GEO,
            reported.inference_geo.as_ref().map(|geo| geo.as_str()),
        )
        .put_known(attribute::WEB_SEARCHES, reported.server_tools.web_searches)
        .put_known(attribute::OVERAGE, reported.is_overage.then_some(true))
        .put_known(
            attribute::PROVIDER_TIME_TO_FIRST_BYTE,
            reported.time.first_byte,
        )
        .put_known(attribute::PROVIDER_TIME, reported.time.total);
}

/// A reason that was to come and did not is `error`, as the convention has it.
fn finish_reason(call: &Call) -> Option<&str> {
    let is_cut_off = matches!(
        call.outcome,
        Outcome::Aborted | Outcome::StreamError | Outcome::Truncated
    );
    let missing = (call.streamed && is_cut_off).then_some("error");
    call.finish_reason
        .as_ref()
        .map(|reason| reason.as_str())
        .or(missing)
}

/// The totals where any of their parts was reported, and the parts that were.
fn tokens(usage: &TokenUsage, known: &mut Attributes) {
    for (name, kinds) in [
        (attribute::USAGE_INPUT_TOKENS, TokenKind::INPUT),
        (attribute::USAGE_OUTPUT_TOKENS, TokenKind::OUTPUT),
        (
            attribute::USAGE_CACHE_READ_INPUT_TOKENS,
            &[TokenKind::CacheRead],
        ),
        (
            attribute::USAGE_CACHE_WRITE_INPUT_TOKENS,
            TokenKind::CACHE_WRITES,
        ),
        (
            attribute::USAGE_REASONING_OUTPUT_TOKENS,
            &[TokenKind::Thinking],
        ),
    ] {
        known.put_known(name, usage.sum_of(kinds));
    }
}

/// The modalities that the provider reports tokens of.
fn modalities(splits: &ModalitySplits, known: &mut Attributes) {
    for (sum, split) in splits.iter() {
        for (modality, tokens) in split.iter().filter(|(_, tokens)| *tokens > 0) {
            known.put(attribute::usage_of_modality(sum, modality), tokens);
        }
    }
}

fn moments(call: &Call) -> impl Iterator<Item = Event> {
    let start = call.timing.started_at;
    let first = call
        .timing
        .time_to_first_chunk
        .map(|waited| Event::new(FIRST_CHUNK, after(start, waited), Vec::new(), 0));
    let refusal = call.rate_limit.as_ref().map(|limit| {
        let at = after(start, call.timing.duration);
        Event::new(RATE_LIMIT, at, refusal(limit), 0)
    });
    first.into_iter().chain(refusal)
}

fn refusal(limit: &RateLimit) -> Vec<KeyValue> {
    let resets_at = limit
        .resets_at
        .and_then(|at| Timestamp::try_from(at).ok())
        .map(|at| at.to_string());
    let mut known = Attributes::default();
    known
        .put(attribute::RATE_LIMIT_REASON, limit.reason.as_str())
        .put_known(attribute::RATE_LIMIT_RETRY_AFTER, limit.retry_after)
        .put_known(attribute::RATE_LIMIT_RESETS_AT, resets_at.as_deref());
    known.0
}

/// The handshakes of a connection's setup: when each took place, and the span that [`of_call`]
/// makes of it.
#[must_use]
pub fn handshakes(
    setup: &ConnectionSetup,
    place: &TraceContext,
) -> [(Phase, Handshake, SpanId); 2] {
    let at = |(phase, handshake), number| (phase, handshake, child(place.span, number));
    [at(setup.upstream, UPSTREAM), at(setup.agent, AGENT)]
}

fn phases(setup: &ConnectionSetup, call: &Call, place: &TraceContext) -> [SpanData; 3] {
    let phases = [
        (CONNECT, "tcp connect", setup.connect, None),
        (
            UPSTREAM,
            "tls handshake upstream",
            setup.upstream.0,
            Some(setup.upstream.1),
        ),
        (
            AGENT,
            "tls handshake agent",
            setup.agent.0,
            Some(setup.agent.1),
        ),
    ];
    phases.map(|(number, name, phase, handshake)| SpanData {
        name: name.into(),
        start_time: phase.started_at,
        end_time: after(phase.started_at, phase.duration),
        attributes: of_phase(call, handshake),
        ..span_at(&TraceContext {
            span: child(place.span, number),
            parent: Some(place.span),
            has_remote_parent: false,
            ..*place
        })
    })
}

/// The places of a call's children among each other.
const CONNECT: u64 = 1;
const UPSTREAM: u64 = 2;
const AGENT: u64 = 3;

fn of_phase(call: &Call, handshake: Option<Handshake>) -> Vec<KeyValue> {
    let mut known = Attributes::default();
    known
        .put(attribute::SERVER_ADDRESS, call.host.as_str())
        .put(attribute::SERVER_PORT, call.port);
    if let Some(handshake) = handshake {
        known
            .put(attribute::TLS_PROTOCOL_NAME, "tls")
            .put(attribute::TLS_PROTOCOL_VERSION, handshake.version.as_str())
            .put(attribute::TLS_RESUMED, handshake.resumed);
    }
    known.0
}

/// The id of a span's `number`-th child, from 1. It follows from the parent's, which is random: the
/// finalizer of SplitMix64 is a bijection, so children of one parent differ, and those of two meet
/// as rarely as random ids do.
/// <https://prng.di.unimi.it/splitmix64.c>
fn child(parent: SpanId, number: u64) -> SpanId {
    let mut bits = u64::from_be_bytes(parent.to_bytes())
        .wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Zero, which is no id, comes of one parent in 2^64.
    SpanId::new(bits ^ (bits >> 31)).unwrap_or(parent)
}
