//! A fair queue of passwords to check: one after the other is taken, from each origin in turn.
//!
//! However many checks of other origins wait, a single one is preceded by at most one of each other
//! origin. A request with a name and password that are waiting already joins them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::users::Users;
use super::verdicts::Digest;
use crate::web::origin::Origin;

/// A name and a password, and the channel for the verdict.
pub(super) struct Check {
    pub(super) digest: Digest,
    pub(super) users: Arc<Users>,
    pub(super) name: String,
    pub(super) password: Zeroizing<Vec<u8>>,
    /// Whether they belong together; `None` until the check is done.
    pub(super) verdict: watch::Sender<Option<bool>>,
}

/// Receives the verdict; closed without one if the check was dropped.
pub(super) type VerdictReceiver = watch::Receiver<Option<bool>>;

/// The checks that wait, and those in progress.
#[derive(Default)]
pub(super) struct Waiting {
    /// By origin, in order of arrival. No queue is empty.
    lines: BTreeMap<Origin, VecDeque<Check>>,
    /// The origins with a queue, in order of their turns, each once.
    turns: VecDeque<Origin>,
    /// Checks in progress with their channels, which further requests may join.
    under_way: Vec<(Digest, VerdictReceiver)>,
}

impl Waiting {
    /// Joins a check that waits or is in progress already.
    pub(super) fn join(&self, digest: &Digest) -> Option<VerdictReceiver> {
        let under_way = self
            .under_way
            .iter()
            .find(|(other, _)| other == digest)
            .map(|(_, told)| told.clone());
        let waits = || {
            self.lines
                .values()
                .flatten()
                .find(|check| check.digest == *digest)
        };
        under_way.or_else(|| waits().map(|check| check.verdict.subscribe()))
    }

    /// Adds a check at the end of its origin's queue.
    pub(super) fn add(&mut self, origin: Origin, check: Check) {
        if !self.lines.contains_key(&origin) {
            self.turns.push_back(origin);
        }
        self.lines.entry(origin).or_default().push_back(check);
        self.forget_abandoned();
    }

    /// Takes the next check: it is in progress until [`Waiting::done`].
    pub(super) fn next(&mut self) -> Option<Check> {
        let origin = self.turns.pop_front()?;
        let line = self.lines.get_mut(&origin)?;
        let check = line.pop_front()?;
        if line.is_empty() {
            self.lines.remove(&origin);
        } else {
            self.turns.push_back(origin);
        }
        self.under_way
            .push((check.digest, check.verdict.subscribe()));
        Some(check)
    }

    /// The number in progress, except those whose worker has panicked.
    pub(super) fn under_way(&mut self) -> usize {
        self.under_way
            .retain(|(_, told)| told.has_changed().is_ok());
        self.under_way.len()
    }

    /// Marks a check as done.
    pub(super) fn done(&mut self, digest: &Digest) {
        self.under_way.retain(|(other, _)| other != digest);
    }

    /// Drops the oldest check without a waiting request, of the longest queue of such, while there
    /// are more than are kept. They are kept at all because a scraper that gave up retries, and
    /// then finds its verdict.
    fn forget_abandoned(&mut self) {
        let is_abandoned = |check: &Check| check.verdict.is_closed();
        let abandoned =
            |line: &VecDeque<Check>| line.iter().filter(|check| is_abandoned(check)).count();
        while self.lines.values().map(abandoned).sum::<usize>() > MOST_ABANDONED {
            let longest = self
                .lines
                .iter_mut()
                .max_by_key(|(_, line)| abandoned(line));
            let Some((origin, line)) = longest else {
                return;
            };
            let origin = *origin;
            let Some(oldest) = line.iter().position(is_abandoned) else {
                return;
            };
            line.remove(oldest);
            if line.is_empty() {
                self.lines.remove(&origin);
                self.turns.retain(|other| *other != origin);
            }
        }
    }
}

/// At a bcrypt cost of 10 they delay the others by two seconds at most. Checks with a waiting
/// request are bounded by the connections, each of which has one check at a time.
const MOST_ABANDONED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of([10, 0, 0, last].into())
    }

    fn check(number: u8) -> (Check, VerdictReceiver) {
        let (verdict, told) = watch::channel(None);
        let (name, password) = (String::new(), Zeroizing::default());
        (
            Check {
                digest: [number; 32],
                users: Arc::default(),
                name,
                password,
                verdict,
            },
            told,
        )
    }

    fn order(waiting: &mut Waiting) -> Vec<u8> {
        std::iter::from_fn(|| waiting.next())
            .map(|check| check.digest[0])
            .collect()
    }

    #[test]
    fn each_origin_has_its_turn() {
        let mut waiting = Waiting::default();
        let told: Vec<_> = [
            (1, 10),
            (1, 11),
            (1, 12),
            (2, 20),
            (1, 13),
            (3, 30),
            (2, 21),
        ]
        .map(|(from, number)| {
            let (check, told) = check(number);
            waiting.add(origin(from), check);
            told
        })
        .into();
        assert_eq!(order(&mut waiting), [10, 20, 30, 11, 21, 12, 13]);
        drop(told);
    }

    #[test]
    fn the_same_question_is_asked_once() {
        let mut waiting = Waiting::default();
        let (first, told) = check(1);
        assert!(waiting.join(&first.digest).is_none());
        waiting.add(origin(1), first);
        let joined = waiting.join(&[1; 32]).expect("it waits");
        let check = waiting.next().expect("one");
        let late = waiting.join(&[1; 32]).expect("it is under way");
        check.verdict.send_replace(Some(true));
        waiting.done(&check.digest);
        assert!(waiting.join(&[1; 32]).is_none());
        for told in [told, joined, late] {
            assert_eq!(*told.borrow(), Some(true));
        }
    }

    #[test]
    fn of_those_that_nobody_waits_for_only_some_are_kept() {
        let mut waiting = Waiting::default();
        let (kept, _told) = check(200);
        waiting.add(origin(2), kept);
        let (scrapers, gone) = check(201);
        waiting.add(origin(3), scrapers);
        drop(gone);
        for number in 0..100 {
            let (check, told) = check(number);
            drop(told);
            waiting.add(origin(1), check);
        }
        let left = order(&mut waiting);
        assert_eq!(left.len(), 1 + MOST_ABANDONED);
        assert!(
            left.contains(&200) && left.contains(&201),
            "the flood gives up its own: {left:?}"
        );
        assert!(
            left.contains(&99) && !left.contains(&0),
            "the oldest went first"
        );
    }
}
