//! Users and their bcrypt hashes: checks whether a name and a password belong together, with the
//! same amount of work whether the name is known or not.
//!
//! A hash or password is never shown, not even by `Debug`.

use std::collections::BTreeMap;
use std::fmt;

use bcrypt::HashParts;

/// The bcrypt hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash {
    text: String,
    cost: u32,
}

impl Hash {
    /// Reads what `htpasswd -nB` and its like print.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let parts: HashParts = text.parse().map_err(|_| {
            "this is no bcrypt hash: write what `htpasswd -nBC 10 NAME` prints behind the colon"
                .to_owned()
        })?;
        let cost = parts.get_cost();
        if !(LEAST_COST..=MOST_COST).contains(&cost) {
            return Err(format!(
                "a hash of cost {cost} takes too long or is no protection: use 10, at most {MOST_COST}"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            cost,
        })
    }

    /// Its bytes, as part of the key of a cached verdict.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn is_of(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash(cost {})", self.cost)
    }
}

/// The users that may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Users(BTreeMap<String, Hash>);

impl Users {
    pub(super) fn new(users: BTreeMap<String, Hash>) -> Self {
        Self(users)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hash of a user, where there is one.
    pub(super) fn hash(&self, name: &str) -> Option<&Hash> {
        self.0.get(name)
    }

    /// Whether the password is that of the user. Takes as long as the most expensive hash of all
    /// for every name, so that the time does not reveal which names exist.
    pub(super) fn knows(&self, name: &str, password: &[u8]) -> bool {
        let dearest = self
            .0
            .values()
            .map(|hash| hash.cost)
            .max()
            .unwrap_or(LEAST_COST);
        let (is_right, done) = match self.0.get(name) {
            Some(hash) => (hash.is_of(password), hash.cost),
            None => {
                waste(LEAST_COST, password);
                (false, LEAST_COST)
            }
        };
        // Each step of cost doubles the work: one hash of every cost from `done` on makes up for
        // the difference.
        (done..dearest).for_each(|cost| waste(cost, password));
        is_right
    }
}

/// Does the work of one hash.
fn waste(cost: u32, password: &[u8]) {
    let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost, [0; 16]));
}

/// The lowest cost of bcrypt.
const LEAST_COST: u32 = 4;

/// The highest accepted cost: some two seconds on a usual machine; each step more doubles it, and
/// 31 would take days.
const MOST_COST: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret` as other programs hash it: Python's bcrypt, htpasswd and OpenBSD differ in the
    /// letter behind the 2.
    const OF_SECRET: &str = "$2y$04$ab6DC8zcXJF3MdGZhs4ut.";

    fn hash(password: &str, cost: u32) -> Hash {
        Hash::read(&bcrypt::hash(password, cost).unwrap()).unwrap()
    }

    fn users(users: &[(&str, Hash)]) -> Users {
        Users::new(
            users
                .iter()
                .map(|(name, hash)| ((*name).to_owned(), hash.clone()))
                .collect(),
        )
    }

    #[test]
    fn a_password_belongs_to_its_user_only() {
        let users = users(&[("alice", hash("a", 4)), ("bob", hash("b", 5))]);
        for (name, password, is_right) in [
            ("alice", "a", true),
            ("bob", "b", true),
            ("alice", "b", false),
            ("alice", "", false),
            ("Alice", "a", false),
            ("", "a", false),
            ("carol", "a", false),
        ] {
            assert_eq!(
                users.knows(name, password.as_bytes()),
                is_right,
                "{name} {password}"
            );
        }
    }

    #[test]
    fn every_version_of_a_hash_is_read() {
        let hash = bcrypt::hash_with_salt("a", 4, [7; 16]).unwrap();
        for version in [
            bcrypt::Version::TwoA,
            bcrypt::Version::TwoB,
            bcrypt::Version::TwoY,
        ] {
            let users = users(&[(
                "alice",
                Hash::read(&hash.format_for_version(version)).unwrap(),
            )]);
            assert!(users.knows("alice", b"a"));
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_without_repeating_it() {
        let dear = bcrypt::hash("x", 4).unwrap().replacen("$04$", "$16$", 1);
        for text in [
            "",
            "secret",
            OF_SECRET,
            "$1$ab6DC8zc$ab6DC8zcXJF3MdGZhs4ut.",
            &dear,
        ] {
            let wrong = Hash::read(text).unwrap_err();
            assert!(text.is_empty() || !wrong.contains(text), "{wrong}");
        }
    }

    #[test]
    fn a_hash_is_not_shown() {
        let hash = hash("a", 4);
        assert_eq!(format!("{hash:?}"), "Hash(cost 4)");
    }
}
