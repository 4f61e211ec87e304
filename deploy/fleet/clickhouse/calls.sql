-- One narrow row for each call, taken from the spans that the collector's ClickHouse exporter writes to otel_traces.
-- Run once, in the exporter's database, after the gateway has made that table. What came before is not taken over.

CREATE TABLE IF NOT EXISTS gravimeter_calls
(
    time                  DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    machine               LowCardinality(String),
    provider              LowCardinality(String),
    model                 LowCardinality(String),
    operation             LowCardinality(String),
    outcome               LowCardinality(String),
    usage_quality         LowCardinality(String),
    conversation          String CODEC(ZSTD(1)),
    trace_id              String CODEC(ZSTD(1)),
    span_id               String CODEC(ZSTD(1)),
    duration              Float64 COMMENT 'seconds',
    time_to_first_chunk   Nullable(Float64) COMMENT 'seconds',
    input_tokens          Nullable(UInt64) COMMENT 'those read from and written to a cache included',
    cache_read_tokens     Nullable(UInt64),
    cache_write_tokens    Nullable(UInt64),
    output_tokens         Nullable(UInt64) COMMENT 'reasoning included',
    reasoning_tokens      Nullable(UInt64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (machine, model, time)
TTL toDateTime(time) + INTERVAL 400 DAY;

-- What is not reported stays NULL, and zero stays zero.
CREATE MATERIALIZED VIEW IF NOT EXISTS gravimeter_calls_view TO gravimeter_calls AS
SELECT
    Timestamp AS time,
    ResourceAttributes['host.name'] AS machine,
    SpanAttributes['gen_ai.provider.name'] AS provider,
    SpanAttributes['gen_ai.request.model'] AS model,
    if(SpanAttributes['gravimeter.operation'] != '', SpanAttributes['gravimeter.operation'], SpanAttributes['gen_ai.operation.name']) AS operation,
    SpanAttributes['gravimeter.outcome'] AS outcome,
    SpanAttributes['gravimeter.usage.quality'] AS usage_quality,
    SpanAttributes['gen_ai.conversation.id'] AS conversation,
    TraceId AS trace_id,
    SpanId AS span_id,
    Duration / 1e9 AS duration,
    toFloat64OrNull(SpanAttributes['gen_ai.response.time_to_first_chunk']) AS time_to_first_chunk,
    toUInt64OrNull(SpanAttributes['gen_ai.usage.input_tokens']) AS input_tokens,
    toUInt64OrNull(SpanAttributes['gen_ai.usage.cache_read.input_tokens']) AS cache_read_tokens,
    toUInt64OrNull(SpanAttributes['gen_ai.usage.cache_write.input_tokens']) AS cache_write_tokens,
    toUInt64OrNull(SpanAttributes['gen_ai.usage.output_tokens']) AS output_tokens,
    toUInt64OrNull(SpanAttributes['gen_ai.usage.reasoning.output_tokens']) AS reasoning_tokens
FROM otel_traces
WHERE SpanKind = 'Client' AND mapContains(SpanAttributes, 'gravimeter.outcome');
