//! Keys of `[intercept]`: which hosts are decrypted.

use super::{DefaultValue, Key, Kind, put};
use crate::config::value::Value;

pub(super) const KEYS: &[Key] = &[Key {
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
}];
