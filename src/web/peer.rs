//! A connected client: its origin, the policy it was admitted under, how long it has been idle or
//! reading, and how its connection is taken back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::origin::Origin;

/// One connection, as its requests and the slot limiter see it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it comes from.
    pub(super) origin: Origin,
    /// The number of the policy under which it was let in, where there was one.
    pub(super) policy: OnceLock<u64>,
    /// A connection has one password checked at a time, however many requests it sends at once.
    pub(super) check: Semaphore,
    answers: Mutex<Answers>,
    /// How many of the answers have a slot.
    served: AtomicUsize,
    changed: Notify,
    cut: CancellationToken,
}

/// The answers in progress.
#[derive(Debug)]
struct Answers {
    /// By their number, with the time when sending began; `None` while they are being made, which
    /// is Gravimeter's time and not the peer's.
    open: BTreeMap<u64, Option<Instant>>,
    next: u64,
    /// When the last one ended, or the peer got its slot.
    idle_since: Instant,
}

/// The operation on which a peer spent too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Reading an answer.
    Answer,
    /// A pause between two requests.
    Pause,
}

impl Peer {
    pub(super) fn new(origin: Origin) -> Arc<Self> {
        let answers = Answers {
            open: BTreeMap::new(),
            next: 0,
            idle_since: Instant::now(),
        };
        Arc::new(Self {
            origin,
            policy: OnceLock::new(),
            check: Semaphore::new(1),
            answers: Mutex::new(answers),
            served: AtomicUsize::new(0),
            changed: Notify::new(),
            cut: CancellationToken::new(),
        })
    }

    /// Whether it came through a Unix socket, whose file permissions are the only rule.
    pub(super) fn is_local(&self) -> bool {
        self.origin == Origin::Socket
    }

    /// Whether an answer with a slot is in progress.
    pub(super) fn is_served(&self) -> bool {
        self.served.load(Ordering::Relaxed) > 0
    }

    /// Begins an answer to a request; it is in progress until the value is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Answer {
        let mut answers = self.answers();
        let number = answers.next;
        answers.next += 1;
        answers.open.insert(number, None);
        self.changed.notify_one();
        Answer {
            peer: Arc::clone(self),
            number,
        }
    }

    /// The peer has got its slot: the time it waited does not count.
    pub(super) fn arrived(&self) {
        self.answers().idle_since = Instant::now();
    }

    /// Since when an answer is being sent, or the connection is idle.
    pub(super) fn since(&self) -> Instant {
        self.overdue_from().1
    }

    /// Returns when an answer or a pause takes longer than it may. Cancel-safe.
    pub(super) async fn overdue(&self, config: &Config) -> Overdue {
        loop {
            let (kind, since) = self.overdue_from();
            let limit = match kind {
                Overdue::Answer => config.answer_timeout,
                Overdue::Pause => config.header_read_timeout,
            };
            tokio::select! {
                () = sleep_until(since + limit) => return kind,
                () = self.changed.notified() => {}
            }
        }
    }

    /// Takes the slot back and ends the connection.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Waits until the slot is taken back. Cancel-safe.
    pub(super) async fn is_cut(&self) {
        self.cut.cancelled().await;
    }

    fn overdue_from(&self) -> (Overdue, Instant) {
        let answers = self.answers();
        match answers.open.is_empty() {
            true => (Overdue::Pause, answers.idle_since),
            false => (
                Overdue::Answer,
                answers
                    .open
                    .values()
                    .flatten()
                    .min()
                    .copied()
                    .unwrap_or_else(Instant::now),
            ),
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an answer as having a slot, until dropped.
#[derive(Debug)]
pub(super) struct Served(Arc<Peer>);

impl Served {
    pub(super) fn new(peer: &Arc<Peer>) -> Self {
        peer.served.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(peer))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer in progress.
#[derive(Debug)]
pub(super) struct Answer {
    peer: Arc<Peer>,
    number: u64,
}

impl Answer {
    /// The answer has been made and is being sent.
    pub(super) fn leaves(&self) {
        self.peer
            .answers()
            .open
            .insert(self.number, Some(Instant::now()));
        self.peer.changed.notify_one();
    }

    /// More of the answer must still be made.
    pub(super) fn is_being_made(&self) {
        self.peer.answers().open.insert(self.number, None);
        self.peer.changed.notify_one();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut answers = self.peer.answers();
        answers.open.remove(&self.number);
        answers.idle_since = Instant::now();
        self.peer.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_and_pauses_have_their_own_limits() {
        let (answer_timeout, header_read_timeout) =
            (Duration::from_secs(30), Duration::from_secs(10));
        let config = Config {
            answer_timeout,
            header_read_timeout,
            ..Config::default()
        };
        let peer = Peer::new(Origin::Socket);
        let start = Instant::now();
        assert_eq!(
            (peer.overdue(&config).await, start.elapsed()),
            (Overdue::Pause, header_read_timeout)
        );

        let first = peer.answer();
        first.leaves();
        tokio::time::advance(Duration::from_secs(20)).await;
        let second = peer.answer();
        second.leaves();
        let start = Instant::now();
        assert_eq!(
            (peer.overdue(&config).await, start.elapsed()),
            (Overdue::Answer, Duration::from_secs(10))
        );
        drop(first);
        assert_eq!(
            (peer.overdue(&config).await, start.elapsed()),
            (Overdue::Answer, answer_timeout)
        );
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_pieces_is_the_peer_s_time_only_while_a_piece_leaves() {
        let config = Config::default();
        let peer = Peer::new(Origin::Socket);
        let answer = peer.answer();
        for _ in 0..100 {
            answer.leaves();
            answer.is_being_made();
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(peer.since().elapsed().is_zero());
        }
        answer.leaves();
        let start = Instant::now();
        assert_eq!(
            (peer.overdue(&config).await, start.elapsed()),
            (Overdue::Answer, config.answer_timeout)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_begins_where_the_last_answer_ends() {
        let config = Config::default();
        let peer = Peer::new(Origin::Socket);
        let (start, answer) = (Instant::now(), peer.answer());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(
            peer.since().elapsed().is_zero(),
            "what is made here is not the peer's time"
        );
        answer.leaves();
        let ended = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(answer);
        };
        let (kind, ()) = tokio::join!(peer.overdue(&config), ended);
        assert_eq!(
            (kind, start.elapsed()),
            (
                Overdue::Pause,
                Duration::from_secs(65) + config.header_read_timeout
            )
        );
    }
}
