//! Keys of `[notify]`: who is told of what changes about budgets.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "notify.desktop",
        kind: Kind::Switch,
        default: DefaultValue::Is("false"),
        help: "Whether a notification is shown on the desktop when a budget warns or stops, by the program `notify-send`.\n\
               The user who runs Gravimeter needs a desktop for that: it is meant for `gravimeter run` and user services.",
        set: |raw, value| put(&mut raw.notify.desktop, value.switch()),
    },
    Key {
        name: "notify.webhook",
        kind: Kind::Secret,
        default: DefaultValue::Unset {
            example: r#""http://127.0.0.1:9093/api/v2/alerts""#,
            means: "nothing is posted anywhere",
        },
        help: "A URL to which an alert is posted when a budget warns or stops, as JSON in the format of Alertmanager's API v2.\n\
               It may hold a token, so it is never shown. What is not taken is sent again for ten minutes.",
        set: |raw, value| put(&mut raw.notify.webhook, value.webhook().map(Some)),
    },
];
