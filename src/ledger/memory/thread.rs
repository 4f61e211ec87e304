//! What calls are held together by: their conversation, or as much of it as is known.

use crate::record::Id;

/// The conversation of a call as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::ledger) enum Thread {
    /// Known.
    Cascade(Id),
    /// Not known; but the call names its trajectory.
    Trajectory(Id),
    /// Not known.
    Unknown,
}

impl Thread {
    pub(in crate::ledger) fn new(cascade: Option<&Id>, trajectory: Option<&Id>) -> Self {
        match (cascade, trajectory) {
            (Some(cascade), _) => Self::Cascade(cascade.clone()),
            (None, Some(trajectory)) => Self::Trajectory(trajectory.clone()),
            (None, None) => Self::Unknown,
        }
    }

    /// The key of its group in a report. Ids come from the traffic: one that reads like another key
    /// is marked, so that no two groups share one.
    pub(in crate::ledger) fn key(&self) -> String {
        match self {
            Self::Cascade(id) if is_plain(id) => id.to_string(),
            Self::Cascade(id) => format!("cascade/{id}"),
            Self::Trajectory(id) => format!("trajectory/{id}"),
            Self::Unknown => UNKNOWN.to_owned(),
        }
    }
}

fn is_plain(id: &Id) -> bool {
    !id.as_str().contains('/') && ![UNKNOWN, OTHER].contains(&id.as_str())
}

/// The key of calls of which neither conversation nor trajectory is known.
const UNKNOWN: &str = "unknown";

/// The key of all conversations that are no longer kept apart.
pub(in crate::ledger) const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_threads_share_a_key() {
        let id = |text| Id::from_wire(text).expect("an id");
        let hostile = [
            "a",
            "other",
            "unknown",
            "trajectory/a",
            "cascade/a",
            "cascade/other",
            "/",
        ];
        let cascades = hostile.map(|text| Thread::Cascade(id(text)));
        let trajectories = hostile.map(|text| Thread::Trajectory(id(text)));
        let keys = cascades
            .iter()
            .chain(&trajectories)
            .chain([&Thread::Unknown])
            .map(Thread::key);
        let keys: Vec<String> = keys.chain([OTHER.to_owned()]).collect();
        assert_eq!(keys[0], "a");
        assert_eq!(
            keys.iter().collect::<HashSet<_>>().len(),
            keys.len(),
            "{keys:?}"
        );
    }
}
