//! Keys of `[metrics]`: which metrics are exported.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "metrics.cache_write_lifetimes",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether gravimeter_tokens_total counts tokens written to a cache for less than an hour (kind=\"cache_write_5m\") and\n\
               for longer (kind=\"cache_write_1h\") apart, instead of together (kind=\"cache_write\").",
        set: |raw, value| put(&mut raw.metrics.cache_write_lifetimes, value.switch()),
    },
    Key {
        name: "metrics.created_timestamps",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether OpenMetrics text has a sample with the suffix _created for each counter and histogram: the time since which\n\
               it counts. Protobuf always has that time. Every such sample is a series more.",
        set: |raw, value| put(&mut raw.metrics.created_timestamps, value.switch()),
    },
    Key {
        name: "metrics.genai",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether the metrics of the OpenTelemetry GenAI convention are exported beside gravimeter's own.",
        set: |raw, value| put(&mut raw.metrics.genai, value.switch()),
    },
    Key {
        name: "metrics.max_models",
        kind: Kind::Number,
        default: DefaultValue::Is("200"),
        help: "How many models get series of their own; all others are counted together as \"other\".",
        set: |raw, value| put(&mut raw.max_models, value.number(1..=100_000)),
    },
    Key {
        name: "metrics.repository",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether calls, tokens and costs are also counted by the program that made the call and the Git repository it works\n\
               in (gravimeter_repository_*). 200 pairs of them get series of their own; all others are counted together as \"other\".",
        set: |raw, value| put(&mut raw.metrics.repository, value.switch()),
    },
];
