//! Keys of `[timeouts]`: the time limit of each step of a connection.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "timeouts.client_hello",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "From a connection of the agent to its complete ClientHello.",
        set: |raw, value| put(&mut raw.relay.timeouts.client_hello, value.duration()),
    },
    Key {
        name: "timeouts.connect_request",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "From a connection to the CONNECT proxy to its complete request.",
        set: |raw, value| put(&mut raw.capture.connect_request, value.duration()),
    },
    Key {
        name: "timeouts.upstream_connect",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "TCP connection to the provider, name resolution included.",
        set: |raw, value| put(&mut raw.relay.timeouts.upstream_connect, value.duration()),
    },
    Key {
        name: "timeouts.upstream_handshake",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "TLS handshake with the provider.",
        set: |raw, value| put(&mut raw.relay.timeouts.upstream_handshake, value.duration()),
    },
    Key {
        name: "timeouts.agent_handshake",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""10s""#),
        help: "TLS handshake with the agent.",
        set: |raw, value| put(&mut raw.relay.timeouts.agent_handshake, value.duration()),
    },
    Key {
        name: "timeouts.request_head",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "From the first byte of a request's head to its last, on connections whose requests are forwarded one by one:\n\
               those that a rule may change, and those to the base-URL door.",
        set: |raw, value| put(&mut raw.relay.timeouts.request_head, value.duration()),
    },
    Key {
        name: "timeouts.idle",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""1h""#),
        help: "How long a connection may carry no byte in either direction. Models may think for many minutes.",
        set: |raw, value| put(&mut raw.relay.timeouts.idle, value.duration()),
    },
    Key {
        name: "timeouts.drain",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""30s""#),
        help: "How long running exchanges may take to end when gravimeter is told to stop.",
        set: |raw, value| put(&mut raw.drain, value.duration()),
    },
];
