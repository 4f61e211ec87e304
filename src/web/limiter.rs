//! Limits the number of connections, and of answers in progress, by slots.
//!
//! Connections have slots, and so have the answers that take long to make or to send. When all are
//! taken, a newcomer may get the slot of another peer, by rules that favour well-behaved peers:
//! those that begin and do not finish lose theirs first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::origin::Origin;
use super::peer::{Peer, Served};
use crate::export::{Metrics, WebRefusal};

/// A limited number of slots of one kind.
#[derive(Debug)]
pub(super) struct SlotLimiter {
    kind: SlotKind,
    limit: usize,
    metrics: Arc<Metrics>,
    slots: Mutex<TakenSlots>,
    freed: Notify,
}

/// What the slots are for, which decides which peer loses one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// Answers in progress: a slow reader loses its slot first, then the origin that holds most.
    Answers,
    /// Connections: one without an answer with a slot loses its slot first.
    Connections,
}

#[derive(Debug, Default)]
struct TakenSlots {
    taken: BTreeMap<u64, Arc<Peer>>,
    next: u64,
}

impl SlotLimiter {
    pub(super) fn new(kind: SlotKind, limit: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            limit,
            metrics,
            slots: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Takes a slot, if one is free or can be taken back.
    pub(super) fn try_enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Option<Slot> {
        let mut slots = self.slots();
        if slots.taken.len() >= self.limit {
            let number = slots.evicted(self.kind, peer.origin)?;
            if let Some(evicted) = slots.taken.remove(&number) {
                evicted.cut();
                self.metrics.web_refused(WebRefusal::Slow);
            }
        }
        let number = slots.next;
        slots.next += 1;
        slots.taken.insert(number, Arc::clone(peer));
        let served = (self.kind == SlotKind::Answers).then(|| Served::new(peer));
        Some(Slot {
            limiter: Arc::clone(self),
            number,
            _served: served,
        })
    }

    /// Waits for a slot. Cancel-safe.
    pub(super) async fn enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Slot {
        loop {
            // Created before the check: a slot that is freed in between is not missed.
            let freed = self.freed.notified();
            if let Some(slot) = self.try_enter(peer) {
                return slot;
            }
            let _ = timeout(PATIENCE, freed).await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, TakenSlots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakenSlots {
    /// The number of the slot that a newcomer from `origin` gets; `None` if all keep theirs.
    fn evicted(&self, kind: SlotKind, origin: Origin) -> Option<u64> {
        let unserved = match kind {
            SlotKind::Answers => None,
            SlotKind::Connections => self.unserved(),
        };
        unserved
            .or_else(|| self.slow())
            .or_else(|| self.slowest_of_largest_origin(origin))
    }

    /// Among the connections without an answer in progress, from the origin with most of them: the
    /// one that has been idle for longest. A flood from one address thus evicts its own connections
    /// before those of others, and a newcomer that sends its request at once is served however many
    /// others only begin theirs.
    fn unserved(&self) -> Option<u64> {
        let unserved = || self.taken.iter().filter(|(_, peer)| !peer.is_served());
        let (_, most) = fullest(unserved().map(|(_, peer)| peer.origin))?;
        unserved()
            .filter(|(_, peer)| peer.origin == most)
            .min_by_key(|(_, peer)| peer.since())
            .map(|(number, _)| *number)
    }

    /// The slowest, once it has taken longer than any healthy peer needs.
    fn slow(&self) -> Option<u64> {
        let (number, slowest) = self.taken.iter().min_by_key(|(_, peer)| peer.since())?;
        (slowest.since().elapsed() >= GRACE).then_some(*number)
    }

    /// The slowest from the origin that holds most, where it holds several and the newcomer's
    /// origin holds none: no single address keeps the others out.
    fn slowest_of_largest_origin(&self, origin: Origin) -> Option<u64> {
        let (held, largest) = fullest(self.taken.values().map(|peer| peer.origin))?;
        if held < 2 || self.taken.values().any(|peer| peer.origin == origin) {
            return None;
        }
        let theirs = self.taken.iter().filter(|(_, peer)| peer.origin == largest);
        theirs
            .min_by_key(|(_, peer)| peer.since())
            .map(|(number, _)| *number)
    }
}

/// The origin that occurs most often, and how often.
fn fullest(origins: impl Iterator<Item = Origin>) -> Option<(usize, Origin)> {
    let mut counts = BTreeMap::<Origin, usize>::new();
    origins.for_each(|origin| *counts.entry(origin).or_default() += 1);
    counts
        .into_iter()
        .map(|(origin, count)| (count, origin))
        .max()
}

/// A slot; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    limiter: Arc<SlotLimiter>,
    number: u64,
    /// While an answer has a slot, its connection is not among the first to lose theirs.
    _served: Option<Served>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limiter.slots().taken.remove(&self.number);
        self.limiter.freed.notify_one();
    }
}

/// Longest time of a healthy answer: the largest exposition, 13 MB, takes less over any network
/// that a scraper should use.
const GRACE: Duration = Duration::from_secs(2);

/// How often a waiting connection checks again for a slot that can be taken back.
const PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::kit::value;

    fn limiter(kind: SlotKind, limit: usize) -> (Arc<SlotLimiter>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(
            crate::export::Config::default(),
            Arc::default(),
        ));
        (SlotLimiter::new(kind, limit, Arc::clone(&metrics)), metrics)
    }

    fn cut_off(metrics: &Metrics) -> Option<f64> {
        value(metrics, "gravimeter_web_refusals_total", &["reason=slow"])
    }

    fn from(address: [u8; 4]) -> Arc<Peer> {
        Peer::new(Origin::of(address.into()))
    }

    fn local() -> Arc<Peer> {
        from([127, 0, 0, 1])
    }

    fn is_cut(peer: &Peer) -> bool {
        use futures_util::FutureExt as _;
        peer.is_cut().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_answer_makes_room_and_only_when_it_is_slow() {
        let (limiter, metrics) = limiter(SlotKind::Answers, 2);
        let [first, second, third] = [(); 3].map(|()| local());
        let (_held, _also) = (
            limiter.try_enter(&first).expect("free"),
            limiter.try_enter(&second).expect("free"),
        );
        let reading = first.answer();
        reading.leaves();
        tokio::time::advance(GRACE / 2).await;
        assert!(limiter.try_enter(&third).is_none(), "nobody is slow yet");
        drop(second.answer());
        tokio::time::advance(GRACE / 2).await;
        third.arrived();
        let slot = limiter.try_enter(&third).expect("the place of the first");
        first.is_cut().await;
        assert!(
            limiter.try_enter(&local()).is_none(),
            "the second has just come to an end"
        );
        assert_eq!(cut_off(&metrics), Some(1.0));
        drop(slot);
        limiter.try_enter(&third).expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_gets_a_place_that_is_freed_or_taken_back() {
        let (limiter, metrics) = limiter(SlotKind::Answers, 1);
        let (first, second) = (local(), local());
        let slot = limiter.try_enter(&first).expect("free");
        let leave = async {
            tokio::task::yield_now().await;
            drop(slot);
        };
        let (slot, ()) = tokio::join!(limiter.enter(&second), leave);
        assert_eq!(cut_off(&metrics), Some(0.0));
        let _third = limiter.enter(&local()).await;
        second.is_cut().await;
        drop(slot);
        assert_eq!(
            limiter.slots().taken.len(),
            1,
            "the place belongs to another now"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_place_of_the_oldest_that_only_began() {
        let (connections, metrics) = limiter(SlotKind::Connections, 3);
        let (answers, _) = limiter(SlotKind::Answers, 3);
        let [served, oldest, newer, newcomer] = [(); 4].map(|()| local());
        let _places = [&served, &oldest, &newer].map(|peer| {
            peer.arrived();
            connections.try_enter(peer).expect("free")
        });
        let _answer = answers.try_enter(&served).expect("free");
        tokio::time::advance(Duration::from_millis(1)).await;
        newer.arrived();
        let _slot = connections
            .try_enter(&newcomer)
            .expect("at once, however short the others have been there");
        assert_eq!(
            [&served, &oldest, &newer].map(|peer| is_cut(peer)),
            [false, true, false]
        );
        assert_eq!(cut_off(&metrics), Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_pushes_out_its_own() {
        let (connections, _) = limiter(SlotKind::Connections, 4);
        let scraper = from([10, 0, 0, 2]);
        let _first = connections.try_enter(&scraper).expect("free");
        tokio::time::advance(Duration::from_millis(1)).await;
        let flood: Vec<_> = (0..100).map(|_| from([10, 0, 0, 9])).collect();
        let _seats: Vec<_> = flood
            .iter()
            .map(|peer| connections.try_enter(peer).expect("a place"))
            .collect();
        assert!(!is_cut(&scraper), "though it is the oldest of all");
        assert_eq!(flood.iter().filter(|peer| !is_cut(peer)).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_keep_the_answers_of_others_out() {
        let (limiter, _) = limiter(SlotKind::Answers, 2);
        let greedy = [(); 2].map(|()| from([10, 0, 0, 9]));
        let _places = [&greedy[0], &greedy[1]].map(|peer| limiter.try_enter(peer).expect("free"));
        assert!(
            limiter.try_enter(&from([10, 0, 0, 9])).is_none(),
            "more of them wait for their own"
        );
        let (other, third) = (from([10, 0, 0, 2]), from([10, 0, 0, 3]));
        let _other = limiter.try_enter(&other).expect("one of the two");
        assert!(
            limiter.try_enter(&third).is_none(),
            "nobody has more than one"
        );
        assert_eq!(greedy.iter().filter(|peer| is_cut(peer)).count(), 1);
        assert!(!is_cut(&other));
    }
}
