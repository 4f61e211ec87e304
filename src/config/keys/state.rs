//! Keys of `[state]`: where files are kept.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[Key {
    name: "state.dir",
    kind: Kind::Path,
    default: DefaultValue::Unset {
        example: r#""/var/lib/gravimeter""#,
        means: "/var/lib/gravimeter if it may be written, else $XDG_STATE_HOME/gravimeter, else ~/.local/state/gravimeter",
    },
    help: "Where the CA, the ledger and the record of the running agent lie, readable for the owner only.",
    set: |raw, value| put(&mut raw.state_dir, value.path().map(Some)),
}];
