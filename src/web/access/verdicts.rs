//! Verdicts on passwords: each is found once by bcrypt, away from the tasks that carry traffic, and kept.
//!
//! A scrape each second costs one hash, not 86,400 a day. Guesses are looked into one at a time, few of them wait, and none of
//! them pushes a right verdict out. Passwords are not kept: a verdict lies under a keyed digest that dies with the process.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use lru::LruCache;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::users::Users;

/// What is known of a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Too many wait for theirs.
    Busy,
    Right,
    Wrong,
}

/// The verdicts that were found.
pub(super) struct Verdicts {
    key: hmac::Key,
    /// Guards the two caches only; nothing is computed under it.
    known: Mutex<Known>,
    /// One hash is computed at a time.
    turn: Arc<Semaphore>,
    /// Those who compute or wait.
    queue: Arc<Semaphore>,
}

struct Known {
    right: LruCache<Digest, ()>,
    wrong: LruCache<Digest, ()>,
}

/// SHA-256's.
type Digest = [u8; 32];

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
            known: Mutex::new(Known { right: cache(), wrong: cache() }),
            turn: Arc::new(Semaphore::new(1)),
            queue: Arc::new(Semaphore::new(MOST_WAITING)),
        }
    }

    /// Whether the password is that of the user. Cancel-safe: a computation that was begun ends, and its verdict is kept.
    pub(super) async fn on(self: &Arc<Self>, users: &Arc<Users>, name: &str, password: &[u8]) -> Verdict {
        let digest = self.digest(users, name, password);
        if let Some(verdict) = self.known(&digest) {
            return verdict;
        }
        let Ok(place) = Arc::clone(&self.queue).try_acquire_owned() else { return Verdict::Busy };
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Verdict::Busy };
        // Another connection of the same scraper may have been in front.
        if let Some(verdict) = self.known(&digest) {
            return verdict;
        }
        let (verdicts, users) = (Arc::clone(self), Arc::clone(users));
        let (name, password) = (name.to_owned(), password.to_owned());
        let computed = spawn_blocking(move || {
            let is_right = users.knows(&name, &password);
            verdicts.keep(digest, is_right);
            drop((turn, place));
            is_right
        });
        match computed.await {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Wrong,
            Err(_) => Verdict::Busy,
        }
    }

    fn known(&self, digest: &Digest) -> Option<Verdict> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let right = known.right.get(digest).map(|()| Verdict::Right);
        right.or_else(|| known.wrong.get(digest).map(|()| Verdict::Wrong))
    }

    fn keep(&self, digest: Digest, is_right: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = if is_right { &mut known.right } else { &mut known.wrong };
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
        digest.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        digest
    }
}

/// As many scrapers as a small house has; each verdict takes some hundred bytes.
const MOST_KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// At a cost of 10 the last of them waits two seconds.
const MOST_WAITING: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::access::users::Hash;

    fn users(password: &str, cost: u32) -> Arc<Users> {
        let hash = Hash::read(&bcrypt::hash(password, cost).unwrap()).unwrap();
        Arc::new(Users::new([("alice".to_owned(), hash)].into()))
    }

    #[tokio::test]
    async fn a_verdict_is_found_once_and_kept() {
        let (verdicts, users) = (Arc::new(Verdicts::new()), users("right", 4));
        assert_eq!(verdicts.on(&users, "alice", b"right").await, Verdict::Right);
        assert_eq!(verdicts.on(&users, "alice", b"wrong").await, Verdict::Wrong);
        // Nobody can compute any more: what is answered now is what was kept.
        verdicts.turn.close();
        assert_eq!(verdicts.on(&users, "alice", b"right").await, Verdict::Right);
        assert_eq!(verdicts.on(&users, "alice", b"wrong").await, Verdict::Wrong);
        assert_eq!(verdicts.on(&users, "alice", b"new").await, Verdict::Busy);
    }

    #[tokio::test]
    async fn a_new_password_ends_the_old_one() {
        let (verdicts, old, new) = (Arc::new(Verdicts::new()), users("old", 4), users("new", 4));
        assert_eq!(verdicts.on(&old, "alice", b"old").await, Verdict::Right);
        assert_eq!(verdicts.on(&new, "alice", b"old").await, Verdict::Wrong);
        assert_eq!(verdicts.on(&new, "alice", b"new").await, Verdict::Right);
        assert_eq!(verdicts.on(&old, "alice", b"new").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn parts_do_not_run_into_each_other() {
        let verdicts = Verdicts::new();
        let users = Users::default();
        assert_ne!(verdicts.digest(&users, "ab", b"c"), verdicts.digest(&users, "a", b"bc"));
    }

    #[tokio::test]
    async fn guesses_neither_pile_up_nor_push_a_right_verdict_out() {
        let (verdicts, users) = (Arc::new(Verdicts::new()), users("right", 4));
        assert_eq!(verdicts.on(&users, "alice", b"right").await, Verdict::Right);
        for guess in 0..200_u32 {
            assert_eq!(verdicts.on(&users, "alice", &guess.to_be_bytes()).await, Verdict::Wrong);
        }
        let turn = Arc::clone(&verdicts.turn).acquire_owned().await.unwrap();
        let guess = |guess: u32| {
            let (verdicts, users) = (Arc::clone(&verdicts), Arc::clone(&users));
            async move { verdicts.on(&users, "mallory", &guess.to_be_bytes()).await }
        };
        let mut crowd = tokio::task::JoinSet::new();
        (0..200).for_each(|n| drop(crowd.spawn(guess(n))));
        for _ in 0..200 - MOST_WAITING {
            assert_eq!(crowd.join_next().await.unwrap().unwrap(), Verdict::Busy);
        }
        assert_eq!(verdicts.on(&users, "alice", b"right").await, Verdict::Right, "known verdicts wait for nobody");
        drop(turn);
        while let Some(verdict) = crowd.join_next().await {
            assert_eq!(verdict.unwrap(), Verdict::Wrong);
        }
    }
}
