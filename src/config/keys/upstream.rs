//! Keys of `[upstream]`: how providers are verified and dialled.

use super::{DefaultValue, Key, Kind, put};
use crate::config::value::Value;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "upstream.extra_roots",
        kind: Kind::List("path"),
        default: DefaultValue::Is("[]"),
        help: "PEM files of certificate authorities that are trusted beside those of the system.",
        set: |raw, value| {
            put(
                &mut raw.upstream.extra_roots,
                value.list("/etc/ssl/certs/ca.pem", Value::path),
            )
        },
    },
    Key {
        name: "upstream.resolve",
        kind: Kind::Resolve,
        default: DefaultValue::Is("{}"),
        help: "Addresses to dial in place of the real ones, for tests and demos.\n\
               The certificate is verified for the host all the same.",
        set: |raw, value| put(&mut raw.relay.resolve, value.resolve()),
    },
];
