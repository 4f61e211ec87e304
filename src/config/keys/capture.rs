//! Keys of `[capture]`: how connections of the agent arrive.

use super::{DefaultValue, Key, Kind, put};
use crate::config::RedirectRules;
use crate::config::listen::Listen;
use crate::config::value::Value;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "capture.redirect",
        kind: Kind::Choice(&["auto", "require", "external", "off"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "Whether the agent's traffic comes through the redirect rules of `gravimeter redirect install`.\n\
               \"require\": without them the program is not ready and starts no agent. \"external\": somebody else, such as\n\
               a unit or an init container, sees to them, and they are not looked at. \"off\": the agent uses the CONNECT\n\
               proxy. \"auto\": \"require\" when agent.user is set, \"off\" otherwise.",
        set: |raw, value| {
            let words = [
                ("auto", RedirectRules::Auto),
                ("require", RedirectRules::Require),
                ("external", RedirectRules::External),
                ("off", RedirectRules::Off),
            ];
            put(&mut raw.redirect_rules, value.choice(&words))
        },
    },
    Key {
        name: "capture.user",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""antigravity-ls""#),
        help: "The user whose connections to port 443 are redirected. Never the one who runs gravimeter.",
        set: |raw, value| put(&mut raw.redirect_user, value.user()),
    },
    Key {
        name: "capture.listen",
        kind: Kind::List("ip:port"),
        default: DefaultValue::Is(r#"["127.0.0.1:8742", "[::1]:8742"]"#),
        help: "Where redirected connections arrive: one port, on the loopback addresses. Where no redirect is expected\n\
               (capture.redirect), nothing listens there.",
        set: |raw, value| {
            let example = "127.0.0.1:8742";
            put(
                &mut raw.capture.redirect_listen,
                value.list(example, |part| part.address(example)),
            )
        },
    },
    Key {
        name: "capture.connect_listen",
        kind: Kind::AddressAutoOrOff,
        default: DefaultValue::Is(r#""auto""#),
        help: "Where the CONNECT proxy listens, for agents that honour HTTPS_PROXY. \"auto\": on 127.0.0.1:8743 where no\n\
               redirect is expected, because nothing could arrive otherwise, and \"off\" beside one. It serves the user who\n\
               runs gravimeter, the agent's (agent.user) and capture.connect_users; others are refused and counted.",
        set: |raw, value| put(&mut raw.connect, Listen::of(value, "127.0.0.1:8743")),
    },
    Key {
        name: "capture.connect_users",
        kind: Kind::List("user"),
        default: DefaultValue::Is("[]"),
        help: "Further users of this machine whom the CONNECT proxy and the base-URL door serve, by name or uid. What they\n\
               spend counts like the agent's.",
        set: |raw, value| {
            put(
                &mut raw.capture.connect_users,
                value.list("1000", Value::user_or_uid),
            )
        },
    },
    Key {
        name: "capture.max_connections",
        kind: Kind::Number,
        default: DefaultValue::Is("4096"),
        help: "How many connections may be open at once by redirect, as many through the CONNECT proxy and as many to the\n\
               base-URL door; more are refused and counted. Each takes two file descriptors: where the system's limit (ulimit -n)\n\
               leaves room for fewer, the number is lowered at the start, with a warning, so that the exporter always has\n\
               descriptors of its own.",
        set: |raw, value| {
            put(
                &mut raw.capture.max_connections,
                value.number(1..=1_000_000),
            )
        },
    },
    Key {
        name: "capture.allow_private_networks",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether the CONNECT proxy may lead into private networks (10.0.0.0/8, fc00::/7 and the like). To this machine\n\
               itself, by whichever of its addresses, and to a cloud's metadata service it never does.",
        set: |raw, value| put(&mut raw.capture.allow_private_networks, value.switch()),
    },
];
