//! Keys of `[pricing]`: which prices hold.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "pricing.file",
        kind: Kind::PathBeside,
        default: DefaultValue::Unset {
            example: r#""prices.toml""#,
            means: "only the shipped prices hold",
        },
        help: "A price table that is asked before the shipped one: prices of your own, or of models that it does not know.\n\
               docs/cost.md says how to write one; `gravimeter prices` lists what holds.",
        set: |raw, value| put(&mut raw.pricing.file, value.path_beside().map(Some)),
    },
    Key {
        name: "pricing.defaults",
        kind: Kind::Switch,
        default: DefaultValue::Is("true"),
        help: "Whether the shipped price table is asked. With false, only models of pricing.file have a cost.",
        set: |raw, value| put(&mut raw.pricing.defaults, value.switch()),
    },
];
