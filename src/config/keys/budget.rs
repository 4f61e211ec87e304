//! `[[budget]]`: how much may be spent, and what follows.

use super::{DefaultValue, Key, Kind, put};

pub(super) const KEYS: &[Key] = &[Key {
    name: "budget",
    kind: Kind::Tables,
    default: DefaultValue::Unset {
        example: EXAMPLE,
        means: "there is no budget, and nothing is ever stopped",
    },
    help: "How much may be spent: any number of budgets, each below a [[budget]] of its own. docs/budgets.md describes them.\n\
           name: unique; letters, digits, - and _. One limit: cost (US dollars), tokens or calls.\n\
           per: hour, day, week (from Monday on), month, or session (one of `gravimeter run`).\n\
           by: what has the limit for itself: all (default), provider, model, repository, session, program or subagent.\n\
           only: of these, the ones that are meant, as a list of names with * for any characters; all where it is left out.\n\
           warn: the share of the limit at which a warning is given; 80 % of stop, or of the limit, where it is left out.\n\
           stop: the share from which on no new call is carried; without it nothing is stopped.\n\
           fail: whether calls pass (open, default) or are stopped (closed) while not everything could be counted.\n\
           zone: whose hours, days, weeks and months are meant, as Europe/Berlin or +05:30; this machine's where it is left out.",
    set: |raw, value| put(&mut raw.budgets, value.budgets()),
}];

const EXAMPLE: &str = "[[budget]]
name = \"daily\"
cost = 5.0
per = \"day\"
by = \"all\"
warn = 0.8
stop = 1.0";
