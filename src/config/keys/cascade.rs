//! Keys of `[cascade]`: how the agent's own RPC is asked.

use super::{DefaultValue, Key, Kind, put};
use crate::cascade::Mode;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "cascade.follow",
        kind: Kind::Choice(&["auto", "off"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "Whether the agent's own RPC on this machine is asked which calls belong together and when a run is over.\n\
               \"auto\": of the agent that gravimeter starts, or of the one that the other keys of this section name.\n\
               \"off\": of none; calls are joined by what stands in them.",
        set: |raw, value| {
            put(
                &mut raw.cascade.mode,
                value.choice(&[("auto", Mode::Auto), ("off", Mode::Off)]),
            )
        },
    },
    Key {
        name: "cascade.http_address",
        kind: Kind::Address,
        default: DefaultValue::Unset {
            example: r#""127.0.0.1:49464""#,
            means: "where the agent says on its standard error that it listens",
        },
        help: "Where a language server that gravimeter does not start answers RPC in the clear.",
        set: |raw, value| {
            put(
                &mut raw.cascade_http,
                value.address("127.0.0.1:49464").map(Some),
            )
        },
    },
    Key {
        name: "cascade.https_address",
        kind: Kind::Address,
        default: DefaultValue::Unset {
            example: r#""127.0.0.1:49463""#,
            means: "where the agent says on its standard error that it listens",
        },
        help: "Where a language server that gravimeter does not start answers RPC over TLS.",
        set: |raw, value| {
            put(
                &mut raw.cascade_https,
                value.address("127.0.0.1:49463").map(Some),
            )
        },
    },
    Key {
        name: "cascade.csrf_token",
        kind: Kind::Secret,
        default: DefaultValue::Unset {
            example: r#""5e8b8a4c-6f0f-4b0e-9d9a-0c1f2a3b4c5d""#,
            means: "what gravimeter starts the agent with, or none",
        },
        help: "What the language server wants each request to carry (its flag --csrf_token). A secret: better given as a variable.",
        set: |raw, value| put(&mut raw.cascade.token, value.token().map(Some)),
    },
    Key {
        name: "cascade.attach",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether a language server of the same user that gravimeter did not start is looked for and followed,\n\
               by its discovery file or in /proc.",
        set: |raw, value| put(&mut raw.cascade.attach, value.switch()),
    },
    Key {
        name: "cascade.poll_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""500ms""#),
        help: "How often a running conversation is asked for when the language server offers no stream.",
        set: |raw, value| put(&mut raw.cascade.follow.poll_interval, value.duration()),
    },
    Key {
        name: "cascade.idle_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5s""#),
        help: "How often the list of conversations is asked for while nothing happens.",
        set: |raw, value| put(&mut raw.cascade.follow.idle_interval, value.duration()),
    },
    Key {
        name: "cascade.retry_upward",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1m""#),
        help: "How long after a stream was missing it is tried again.",
        set: |raw, value| put(&mut raw.cascade.follow.retry_upward, value.duration()),
    },
    Key {
        name: "cascade.quota_interval",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""5m""#),
        help: "How often the language server is asked for quotas and for the names of models.",
        set: |raw, value| put(&mut raw.cascade.follow.quota_interval, value.duration()),
    },
    Key {
        name: "cascade.max_streams",
        kind: Kind::Number,
        default: DefaultValue::Is("64"),
        help: "How many conversations are followed by a stream at the same time; those beyond are asked for.",
        set: |raw, value| {
            put(
                &mut raw.cascade.follow.max_streams,
                value.number(0..=10_000),
            )
        },
    },
];
