//! Keys of `[rules]`: where rules stand that change requests.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "rules.folder",
        kind: Kind::PathBeside,
        default: DefaultValue::Unset {
            example: r#""rules.d""#,
            means: "only the [[rule]] blocks of this file hold",
        },
        help: "A folder with files of rules (*.toml) that change requests, beside the [[rule]] blocks of this file.\n\
           Edited files are read again while Gravimeter runs. docs/rules.md says how to write them;\n\
           `gravimeter rules check` checks them.",
        set: |raw, value| put(&mut raw.rules_folder, value.path_beside().map(Some)),
    },
    Key {
        name: "rules.max_memory_mib",
        kind: Kind::Number,
        default: DefaultValue::Is("256"),
        help: "How much memory, in MiB, the bodies of requests may take that are read for rules and budgets, in all connections\n\
               together. A body for which none is left counts as too large: the rule's on_too_large says what happens to it.",
        set: |raw, value| {
            put(
                &mut raw.relay.max_body_memory,
                value.number::<usize>(1..=65_536).map(|mib| mib << 20),
            )
        },
    },
];
