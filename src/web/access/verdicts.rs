//! Caches verdicts on passwords: each is computed once by bcrypt, outside the tasks that carry
//! traffic, and kept.
//!
//! A scrape each second costs one hash, not 86,400 a day. Unknown passwords wait in turn, however
//! many there are: a right password is never refused because others guess. Guesses take half of the
//! processors at most, and none of them evicts a right verdict. Passwords are not kept: a verdict
//! is stored under a keyed digest that dies with the process, and waiting passwords are wiped.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use aws_lc_rs::hmac;
use lru::LruCache;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::users::Users;
use super::waiting::{Check, VerdictReceiver, Waiting};
use crate::web::peer::Peer;

/// The verdict on a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// The check was dropped because the program ends.
    Unknown,
    Wrong,
}

/// The cached verdicts, and the checks that wait.
pub(super) struct Verdicts {
    key: hmac::Key,
    /// Guards the two caches only; nothing is computed under it.
    known: Mutex<Known>,
    /// Guards the queue; nothing is computed under it.
    waiting: Mutex<Waiting>,
    /// Most hashes computed at the same time.
    at_once: usize,
}

struct Known {
    right: LruCache<Digest, ()>,
    wrong: LruCache<Digest, ()>,
}

/// SHA-256's.
pub(super) type Digest = [u8; 32];

impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdicts").finish_non_exhaustive()
    }
}

impl Verdicts {
    pub(super) fn new() -> Self {
        let secret: Digest = rand::random();
        let cache = || LruCache::new(MOST_KEPT);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            known: Mutex::new(Known {
                right: cache(),
                wrong: cache(),
            }),
            waiting: Mutex::default(),
            at_once: (available_parallelism().map_or(1, NonZeroUsize::get) / 2).max(1),
        }
    }

    /// Whether the password is that of the user, once its turn comes. Cancel-safe: the check keeps
    /// its turn for a while, and its verdict is cached.
    pub(super) async fn on(
        self: &Arc<Self>,
        users: &Arc<Users>,
        name: String,
        password: Zeroizing<Vec<u8>>,
        peer: &Peer,
    ) -> Verdict {
        let digest = self.digest(users, &name, &password);
        if let Some(verdict) = self.known(&digest) {
            return verdict;
        }
        let Ok(_turn) = peer.check.acquire().await else {
            return Verdict::Unknown;
        };
        // Another request of the same scraper may have been faster.
        if let Some(verdict) = self.known(&digest) {
            return verdict;
        }
        let users = Arc::clone(users);
        let mut told = self.ask(digest, peer, |verdict| Check {
            digest,
            users,
            name,
            password,
            verdict,
        });
        let told = told.wait_for(Option::is_some).await.map(|verdict| *verdict);
        match told {
            Ok(Some(true)) => Verdict::Right,
            Ok(Some(false)) => Verdict::Wrong,
            Ok(None) | Err(_) => Verdict::Unknown,
        }
    }

    /// Joins a check that waits already, or adds one and starts a worker if needed.
    fn ask(
        self: &Arc<Self>,
        digest: Digest,
        peer: &Peer,
        check: impl FnOnce(watch::Sender<Option<bool>>) -> Check,
    ) -> VerdictReceiver {
        let mut waiting = self.waiting();
        if let Some(told) = waiting.join(&digest) {
            return told;
        }
        let (verdict, told) = watch::channel(None);
        waiting.add(peer.origin, check(verdict));
        let next = (waiting.under_way() < self.at_once)
            .then(|| waiting.next())
            .flatten();
        drop(waiting);
        if let Some(next) = next {
            let verdicts = Arc::clone(self);
            spawn_blocking(move || verdicts.work(next));
        }
        told
    }

    /// Computes verdicts until no check waits.
    fn work(&self, first: Check) {
        let mut next = Some(first);
        while let Some(check) = next {
            let is_right = check.users.knows(&check.name, &check.password);
            // Before it is marked as done: a request in between finds it in one of the two.
            self.keep(check.digest, is_right);
            check.verdict.send_replace(Some(is_right));
            let mut waiting = self.waiting();
            waiting.done(&check.digest);
            next = waiting.next();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, digest: &Digest) -> Option<Verdict> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let right = known.right.get(digest).map(|()| Verdict::Right);
        right.or_else(|| known.wrong.get(digest).map(|()| Verdict::Wrong))
    }

    fn keep(&self, digest: Digest, is_right: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = if is_right {
            &mut known.right
        } else {
            &mut known.wrong
        };
        cache.put(digest, ());
    }

    /// Over the hash as well: a user with a new password has no verdicts.
    fn digest(&self, users: &Users, name: &str, password: &[u8]) -> Digest {
        let hash = users.hash(name).map_or(&[][..], |hash| hash.as_bytes());
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name.as_bytes(), hash, password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest
            .iter_mut()
            .zip(context.sign().as_ref())
            .for_each(|(to, from)| *to = *from);
        digest
    }
}

/// Most verdicts in each of the two caches, enough for the scrapers of a small site; each takes
/// some hundred bytes.
const MOST_KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::access::users::Hash;
    use crate::web::origin::Origin;

    fn users(password: &str, cost: u32) -> Arc<Users> {
        let hash = Hash::read(&bcrypt::hash(password, cost).unwrap()).unwrap();
        Arc::new(Users::new([("alice".to_owned(), hash)].into()))
    }

    async fn on(
        verdicts: &Arc<Verdicts>,
        users: &Arc<Users>,
        name: &str,
        password: &[u8],
    ) -> Verdict {
        let peer = Peer::new(Origin::Socket);
        verdicts
            .on(users, name.to_owned(), password.to_vec().into(), &peer)
            .await
    }

    fn computed(verdicts: &Verdicts) -> usize {
        let known = verdicts.known.lock().unwrap();
        known.right.len() + known.wrong.len()
    }

    #[tokio::test]
    async fn a_verdict_is_found_once_and_kept() {
        let verdicts = Verdicts {
            at_once: 1,
            ..Verdicts::new()
        };
        let (mut verdicts, users) = (Arc::new(verdicts), users("right", 4));
        assert_eq!(
            on(&verdicts, &users, "alice", b"right").await,
            Verdict::Right
        );
        assert_eq!(
            on(&verdicts, &users, "alice", b"wrong").await,
            Verdict::Wrong
        );
        // Nobody works any more: what is answered now is what was kept.
        while Arc::strong_count(&verdicts) > 1 {
            tokio::task::yield_now().await;
        }
        Arc::get_mut(&mut verdicts).expect("nobody works").at_once = 0;
        assert_eq!(
            on(&verdicts, &users, "alice", b"right").await,
            Verdict::Right
        );
        assert_eq!(
            on(&verdicts, &users, "alice", b"wrong").await,
            Verdict::Wrong
        );
        use futures_util::FutureExt as _;
        assert_eq!(on(&verdicts, &users, "alice", b"new").now_or_never(), None);
    }

    #[tokio::test]
    async fn a_new_password_ends_the_old_one() {
        let (verdicts, old, new) = (Arc::new(Verdicts::new()), users("old", 4), users("new", 4));
        assert_eq!(on(&verdicts, &old, "alice", b"old").await, Verdict::Right);
        assert_eq!(on(&verdicts, &new, "alice", b"old").await, Verdict::Wrong);
        assert_eq!(on(&verdicts, &new, "alice", b"new").await, Verdict::Right);
        assert_eq!(on(&verdicts, &old, "alice", b"new").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn parts_do_not_run_into_each_other() {
        let verdicts = Verdicts::new();
        let users = Users::default();
        assert_ne!(
            verdicts.digest(&users, "ab", b"c"),
            verdicts.digest(&users, "a", b"bc")
        );
    }

    #[tokio::test]
    async fn a_right_password_is_never_refused_however_many_guess() {
        let (verdicts, users) = (Arc::new(Verdicts::new()), users("right", 4));
        let mut crowd = tokio::task::JoinSet::new();
        for guess in 0..500_u32 {
            let (verdicts, users) = (Arc::clone(&verdicts), Arc::clone(&users));
            crowd
                .spawn(async move { on(&verdicts, &users, "mallory", &guess.to_be_bytes()).await });
        }
        // All of them wait before the right one comes.
        tokio::task::yield_now().await;
        assert_eq!(
            on(&verdicts, &users, "alice", b"right").await,
            Verdict::Right
        );
        while let Some(verdict) = crowd.join_next().await {
            assert_eq!(verdict.unwrap(), Verdict::Wrong);
        }
        for guess in 0..200_u32 {
            assert_eq!(
                on(&verdicts, &users, "alice", &guess.to_be_bytes()).await,
                Verdict::Wrong
            );
        }
        assert_eq!(
            verdicts.known.lock().unwrap().right.len(),
            1,
            "no guess pushes a right verdict out"
        );
    }

    #[tokio::test]
    async fn a_connection_has_one_password_checked_at_a_time() {
        let verdicts = Arc::new(Verdicts {
            at_once: 0,
            ..Verdicts::new()
        });
        let (users, peer) = (users("right", 4), Peer::new(Origin::Socket));
        let mut crowd = tokio::task::JoinSet::new();
        for guess in 0..8_u8 {
            let (verdicts, users, peer) =
                (Arc::clone(&verdicts), Arc::clone(&users), Arc::clone(&peer));
            crowd.spawn(async move {
                verdicts
                    .on(&users, "alice".to_owned(), vec![guess].into(), &peer)
                    .await
            });
        }
        tokio::task::yield_now().await;
        let waiting = std::iter::from_fn(|| verdicts.waiting().next()).count();
        assert_eq!(waiting, 1);
    }

    #[tokio::test]
    async fn a_scraper_that_gave_up_finds_its_verdict_later() {
        let verdicts = Arc::new(Verdicts {
            at_once: 0,
            ..Verdicts::new()
        });
        let users = users("right", 4);
        use futures_util::FutureExt as _;
        assert_eq!(
            on(&verdicts, &users, "alice", b"right").now_or_never(),
            None,
            "it gave up"
        );
        assert_eq!(
            on(&verdicts, &users, "alice", b"right").now_or_never(),
            None,
            "and came again"
        );
        let check = verdicts.waiting().next().expect("it kept its turn");
        assert!(verdicts.waiting().next().is_none(), "once");
        verdicts.work(check);
        assert_eq!(computed(&verdicts), 1);
        assert_eq!(
            on(&verdicts, &users, "alice", b"right").now_or_never(),
            Some(Verdict::Right)
        );
    }
}
