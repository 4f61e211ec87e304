//! Keys of `[rules]`: where rules stand that change requests.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[Key {
    name: "rules.folder",
    kind: Kind::PathBeside,
    default: DefaultValue::Unset {
        example: r#""rules.d""#,
        means: "only the [[rule]] blocks of this file hold",
    },
    help: "A folder with files of rules (*.toml), beside the [[rule]] blocks of this file. They change requests on their way to a provider.\n\
           Edited files are read again while Gravimeter runs. docs/rules.md says how to write them; `gravimeter rules check` checks them.",
    set: |raw, value| put(&mut raw.rules_folder, value.path_beside().map(Some)),
}];
