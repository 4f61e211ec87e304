//! Keys of `[ledger]`: what is kept of calls beyond the end of the process.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "ledger.enabled",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether calls, runs and quotas are kept in a file (docs/ledger.md), so that figures outlive the program.",
        set: |raw, value| put(&mut raw.ledger.enabled, value.switch()),
    },
    Key {
        name: "ledger.path",
        kind: Kind::Path,
        default: DefaultValue::Unset {
            example: r#""/var/lib/gravimeter/ledger.db""#,
            means: "ledger.db in state.dir",
        },
        help: "The ledger's file, an SQLite database for the owner only. One program writes it at a time.",
        set: |raw, value| put(&mut raw.ledger.path, value.path().map(Some)),
    },
    Key {
        name: "ledger.keep_calls",
        kind: Kind::Duration,
        default: DefaultValue::Is(r#""2160h""#),
        help: "How long each call is kept with its details (2160h are 90 days). Sums by quarter of an hour are kept for good.",
        set: |raw, value| put(&mut raw.ledger.keep_calls, value.duration()),
    },
    Key {
        name: "ledger.max_mib",
        kind: Kind::Number,
        default: DefaultValue::Is("2048"),
        help: "How large the file may grow, in MiB, before the oldest calls go earlier than ledger.keep_calls.",
        set: |raw, value| {
            put(
                &mut raw.ledger.max_size,
                value.number::<u64>(1..=1_048_576).map(|mib| mib << 20),
            )
        },
    },
];
