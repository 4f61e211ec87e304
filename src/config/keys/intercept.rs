//! Keys of `[intercept]`: which hosts are decrypted.

use super::{DefaultValue, Key, Kind, put};
use crate::config::value::Value;
use crate::relay::Untrusting;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "intercept.hosts",
        kind: Kind::List("host"),
        default: DefaultValue::InterceptedHosts,
        help: "Hosts whose traffic is decrypted and measured; every other connection passes as it is.\n\
               A * stands for one or more characters of the first label, but lets the CA sign for every name below the\n\
               domain behind it: name the hosts where you can. A change makes a new CA certificate.",
        set: |raw, value| {
            put(
                &mut raw.relay.intercept,
                value.list("api.example.com", Value::host_pattern),
            )
        },
    },
    Key {
        name: "intercept.programs",
        kind: Kind::List("program"),
        default: DefaultValue::Is("[]"),
        help: "Programs whose traffic is decrypted, by the names of their files; a * stands for any characters\n\
               (\"language_server*\"). Connections of all others, and of those that cannot be found, pass as they are. Without\n\
               it: all programs.",
        set: |raw, value| {
            put(
                &mut raw.relay.programs,
                value.list("language_server*", Value::program_pattern),
            )
        },
    },
    Key {
        name: "intercept.untrusting",
        kind: Kind::Choice(&["refuse", "tunnel"]),
        default: DefaultValue::Is(r#""refuse""#),
        help: "What happens to a client that does not trust Gravimeter's CA. \"refuse\": its connections to intercepted hosts fail,\n\
               so that none passes unread. \"tunnel\": once it has rejected a certificate, its connections to that host pass as\n\
               they are for ten minutes, counted but not measured. `gravimeter run` does that unless the key is set.",
        set: |raw, value| {
            let words = [
                ("refuse", Untrusting::Refuse),
                ("tunnel", Untrusting::Tunnel),
            ];
            put(&mut raw.relay.untrusting, value.choice(&words))
        },
    },
];
