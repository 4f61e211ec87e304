//! The spans of runs and subagents that are over. A subagent that works in the background may make
//! its first call later, and names them all the same.

use std::collections::VecDeque;

use crate::record::{Id, TraceContext};

/// The spans of the latest ones that have ended, each by the name that the agent has for it.
#[derive(Debug, Default)]
pub(super) struct EndedSpans(VecDeque<(Id, TraceContext)>);

impl EndedSpans {
    /// Something has ended that is called so, and has this span.
    pub(super) fn add(&mut self, name: Id, span: TraceContext) {
        if self.0.len() >= MAX_ENDED {
            self.0.pop_front();
        }
        self.0.push_back((name, span));
    }

    /// The span of the last one of this name.
    pub(super) fn of(&self, name: &Id) -> Option<&TraceContext> {
        let latest = self.0.iter().rev().find(|(of, _)| of == name);
        latest.map(|(_, span)| span)
    }
}

/// Most runs, and most subagents, that are remembered of a conversation, some 100 bytes each: a
/// subagent begins seconds after it was started, within a few turns of its user.
const MAX_ENDED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cascade::spans;
    use crate::cascade::test_updates::id;
    use crate::record::Sampling;

    #[test]
    fn the_oldest_are_forgotten_and_the_last_of_a_name_counts() {
        let sampling = Sampling {
            ratio: 1.0,
            follows_parent: true,
        };
        let mut ended = EndedSpans::default();
        ended.add(id("oldest"), spans::root(sampling));
        let [first, last] = [(); 2].map(|()| spans::root(sampling));
        ended.add(id("a"), first);
        assert_eq!(ended.of(&id("a")), Some(&first));
        (2..MAX_ENDED).for_each(|_| ended.add(id("a"), last));
        assert!(ended.of(&id("oldest")).is_some());
        ended.add(id("a"), last);
        assert_eq!(ended.of(&id("oldest")), None);
        assert_eq!(ended.of(&id("a")), Some(&last));
        assert_eq!(ended.0.len(), MAX_ENDED);
    }
}
