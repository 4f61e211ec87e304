//! Keys of `[observe]`: what looking at the traffic may take.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[Key {
    name: "observe.max_mib",
    kind: Kind::Number,
    default: DefaultValue::Is("64"),
    help: "How much memory, in MiB, may be used to look at traffic: windows for decompressing bodies, and what is kept of\n\
               calls that are under way. Calls for which none is left are passed on as ever; their figures are lost and\n\
               counted in gravimeter_observer_budget_exceeded_total.",
    set: |raw, value| {
        put(
            &mut raw.observe.max_memory,
            value.number::<usize>(1..=65_536).map(|mib| mib << 20),
        )
    },
}];
