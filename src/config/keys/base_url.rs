//! Keys of `[capture.base_url]`: the base-URL door, for agents that are told where their provider is.

use super::{DefaultValue, Key, Kind, put};
use crate::config::listen;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "capture.base_url.listen",
        kind: Kind::AddressOrOff,
        default: DefaultValue::Is(r#""off""#),
        help: "Where requests arrive in plain HTTP, by agents whose base URL leads here, such as \"127.0.0.1:8744\": no CA is\n\
               trusted, and no root is needed. The first segment of the path says where a request goes: /anthropic, /openai,\n\
               /gemini, /cloudcode or /ollama. `gravimeter env --door base-url` prints the variables. It serves the same users\n\
               as the CONNECT proxy, and no web page.",
        set: |raw, value| {
            put(
                &mut raw.capture.base_url_listen,
                listen::address_or_off(value, "127.0.0.1:8744"),
            )
        },
    },
    Key {
        name: "capture.base_url.socket",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/run/gravimeter/base-url.sock""#,
            means: "there is no Unix socket",
        },
        help: "A Unix socket where the same is served. The kernel says which user connects: others are refused whatever the\n\
               permissions of the file.",
        set: |raw, value| put(&mut raw.capture.base_url_socket, value.path().map(Some)),
    },
    Key {
        name: "capture.base_url.upstream",
        kind: Kind::Url,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:8000""#,
            means: "other paths are not found",
        },
        help: "The server for all other paths, which it sees whole: a gateway of your own, or vLLM, llama.cpp or LM Studio on\n\
               this machine. Plain http:// leads to this machine only.",
        set: |raw, value| put(&mut raw.relay.base_url_upstream, value.base_url().map(Some)),
    },
];
