//! Keys of `[sessions]`: how runs of programs are handed over to a service.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "sessions.socket",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/run/gravimeter/sessions.sock""#,
            means: "sessions.sock in state.dir",
        },
        help: "The Unix socket at which `gravimeter run` hands its session over to a running `gravimeter serve`, which then\n\
               observes the program: one ledger and one exporter have every run.",
        set: |raw, value| put(&mut raw.sessions.socket, value.path().map(Some)),
    },
    Key {
        name: "sessions.group",
        kind: Kind::Text,
        default: DefaultValue::Unset {
            example: r#""gravimeter""#,
            means: "only the user who runs the service, and root",
        },
        help: "The group whose members may hand sessions over. The service dials for their programs, and keeps what they spend.",
        set: |raw, value| put(&mut raw.sessions.group, value.user().map(Some)),
    },
];
