//! Keys of `[web]`: where the exporter listens, and who may ask it.

use super::{DefaultValue, Key, Kind, put};
use crate::config::listen;
use crate::config::value::Value;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "web.listen",
        kind: Kind::AddressOrOff,
        default: DefaultValue::Is(r#""127.0.0.1:8741""#),
        help: "Where /metrics, /v1/usage, health and the page are served.\n\
               \"off\": only at web.socket. Sockets that systemd hands over are used in its place.",
        set: |raw, value| {
            put(
                &mut raw.web.listen,
                listen::address_or_off(value, "127.0.0.1:8741"),
            )
        },
    },
    Key {
        name: "web.socket",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/run/gravimeter/exporter.sock""#,
            means: "there is no Unix socket",
        },
        help: "A Unix socket where the same is served beside web.listen.\n\
               Its permissions are all that is asked for: web.config_file does not count there.",
        set: |raw, value| put(&mut raw.web.socket, value.path().map(Some)),
    },
    Key {
        name: "web.socket_mode",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""0660""#),
        help: "The permissions of the socket's file: whoever may write to it may ask.",
        set: |raw, value| put(&mut raw.web.socket_mode, value.mode()),
    },
    Key {
        name: "web.config_file",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/etc/gravimeter/web.yml""#,
            means: "web.listen speaks plain HTTP and asks for no password",
        },
        help: "TLS, client certificates and passwords for web.listen, in the web configuration file of the Prometheus\n\
               exporters. It is read again when it, or a file that it names, has changed. As a flag also --web.config.file.",
        set: |raw, value| put(&mut raw.web.config_file, value.path().map(Some)),
    },
    Key {
        name: "web.allowed_hosts",
        kind: Kind::List("host"),
        default: DefaultValue::Is("[]"),
        help: "Names under which it may be asked beside localhost, 127.0.0.1, [::1] and those of its certificate.\n\
               Requests for any other host are refused, so that no web page can read it through a name of its own.",
        set: |raw, value| {
            put(
                &mut raw.web.allowed_hosts,
                value.list("metrics.example.com", Value::host_header),
            )
        },
    },
    Key {
        name: "web.danger_expose_to_network",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Accept a web.listen that other machines can reach without TLS and password or client certificate.",
        set: |raw, value| put(&mut raw.web.danger_expose_to_network, value.switch()),
    },
];
