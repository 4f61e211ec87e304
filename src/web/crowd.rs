//! A bounded number of places, and who has them.
//!
//! When all are taken, a newcomer gets the place of whoever has held one longest without coming to an end, once that has been
//! longer than anybody healthy needs. However many are slow, whoever is not comes through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::peer::Peer;
use crate::export::{Metrics, WebRefusal};

/// The places.
#[derive(Debug)]
pub(super) struct Crowd {
    limit: usize,
    metrics: Arc<Metrics>,
    seats: Mutex<Seats>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    taken: BTreeMap<u64, Arc<Peer>>,
    next: u64,
}

impl Crowd {
    pub(super) fn new(limit: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limit, metrics, seats: Mutex::default(), freed: Notify::new() })
    }

    /// A place, where one is free or can be taken back.
    pub(super) fn try_enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Option<Seat> {
        let mut seats = self.seats();
        if seats.taken.len() >= self.limit {
            let (number, slowest) = seats.taken.iter().min_by_key(|(_, peer)| peer.since())?;
            if slowest.since().elapsed() < GRACE {
                return None;
            }
            slowest.cut();
            let number = *number;
            seats.taken.remove(&number);
            self.metrics.web_refused(WebRefusal::Slow);
        }
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(peer));
        Some(Seat { crowd: Arc::clone(self), number })
    }

    /// A place, as soon as there is one. Cancel-safe.
    pub(super) async fn enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Seat {
        loop {
            // Made before the look: a place that is freed in between is not missed.
            let freed = self.freed.notified();
            if let Some(seat) = self.try_enter(peer) {
                return seat;
            }
            let _ = timeout(PATIENCE, freed).await;
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.seats().taken.remove(&self.number);
        self.crowd.freed.notify_one();
    }
}

/// The largest exposition, 13 MB, leaves in less over any network that a scraper should use.
const GRACE: Duration = Duration::from_secs(2);

/// How often is looked again for a place that can be taken back.
const PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::kit::value;

    fn crowd(limit: usize) -> (Arc<Crowd>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(crate::export::Config::default(), Arc::default()));
        (Crowd::new(limit, Arc::clone(&metrics)), metrics)
    }

    fn cut_off(metrics: &Metrics) -> Option<f64> {
        value(metrics, "gravimeter_web_refusals_total", &["reason=slow"])
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_makes_room_and_only_when_it_is_slow() {
        let (crowd, metrics) = crowd(2);
        let [first, second, third] = [(); 3].map(|()| Peer::new(false));
        let (_held, _also) = (crowd.try_enter(&first).expect("free"), crowd.try_enter(&second).expect("free"));
        let reading = first.answer();
        reading.leaves();
        tokio::time::advance(GRACE / 2).await;
        assert!(crowd.try_enter(&third).is_none(), "nobody is slow yet");
        drop(second.answer());
        tokio::time::advance(GRACE / 2).await;
        third.arrived();
        let seat = crowd.try_enter(&third).expect("the place of the first");
        first.is_cut().await;
        assert!(crowd.try_enter(&Peer::new(false)).is_none(), "the second has just come to an end");
        assert_eq!(cut_off(&metrics), Some(1.0));
        drop(seat);
        crowd.try_enter(&third).expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_gets_a_place_that_is_freed_or_taken_back() {
        let (crowd, metrics) = crowd(1);
        let (first, second) = (Peer::new(false), Peer::new(false));
        let seat = crowd.try_enter(&first).expect("free");
        let leave = async {
            tokio::task::yield_now().await;
            drop(seat);
        };
        let (seat, ()) = tokio::join!(crowd.enter(&second), leave);
        assert_eq!(cut_off(&metrics), Some(0.0));
        let _third = crowd.enter(&Peer::new(false)).await;
        second.is_cut().await;
        drop(seat);
        assert_eq!(crowd.seats().taken.len(), 1, "the place belongs to another now");
    }
}
