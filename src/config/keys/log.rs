//! Keys of `[log]`: what is logged, and how.

use super::{DefaultValue, Key, Kind, put};
use crate::config::LogFormat;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "log.level",
        kind: Kind::Text,
        default: DefaultValue::Is(r#""info""#),
        help: "What is logged to stderr: error, warn, info, debug, trace or off,\n\
               or by module, such as \"info,gravimeter::relay=debug\". Of one kind, 30 lines are told in ten seconds, then how many more\n\
               there were.",
        set: |raw, value| put(&mut raw.log.level, value.log_filter()),
    },
    Key {
        name: "log.format",
        kind: Kind::Choice(&["auto", "human", "json"]),
        default: DefaultValue::Is(r#""auto""#),
        help: "How it is logged. \"auto\": for people on a terminal, JSON lines everywhere else.",
        set: |raw, value| {
            let words = [
                ("auto", LogFormat::Auto),
                ("human", LogFormat::Human),
                ("json", LogFormat::Json),
            ];
            put(&mut raw.log.format, value.choice(&words))
        },
    },
];
