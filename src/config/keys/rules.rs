//! Keys of `[rules]`: where rules stand that change requests.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[Key {
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
}];
