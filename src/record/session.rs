//! Who makes a call: the program, the session that it runs in, and the repository that it works in.
//!
//! Names come from the file system and from requests, so they are bounded and printable. Arguments
//! of a program, and credentials in the address of a repository, have no place here.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::printable::steers_lines;
use super::{BranchName, Call, Id, Model, Repository, RepositoryName};

/// Declares a bounded, printable name: a newtype for each thing that has one.
macro_rules! name {
    ($(#[$meta:meta])* pub struct $Name:ident; $clean:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $Name(std::sync::Arc<str>);

        impl $Name {
            /// The name that a text holds; `None` if it holds none. What exceeds
            /// [`MAX_NAME_BYTES`](crate::record::MAX_NAME_BYTES) is cut.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                $crate::record::session::bounded(text, $clean).map(Self)
            }

            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

pub(super) use name;

/// Longer names are cut: they become keys of answers and labels of metrics.
pub const MAX_NAME_BYTES: usize = 128;

/// The text without the space around it, every character that is not clean replaced by `_`, cut to
/// [`MAX_NAME_BYTES`]. Reads no more of a long text than is kept.
pub(super) fn bounded(text: &str, is_clean: impl Fn(char) -> bool) -> Option<Arc<str>> {
    let mut clean = String::new();
    for character in text.trim().chars() {
        let character = if is_clean(character) { character } else { '_' };
        if clean.len() + character.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        clean.push(character);
    }
    (!clean.is_empty()).then(|| clean.into())
}

/// Whether the character neither steers a terminal nor forges a line.
pub(super) fn is_printable(character: char) -> bool {
    !character.is_control() && !steers_lines(character)
}

name! {
    /// The name of a program: that of its file, without folder and arguments.
    pub struct ProgramName; is_printable
}

/// The work of one program, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, unique among all sessions of all times.
    pub id: SessionId,
    /// The program that was started.
    pub program: ProgramName,
    /// The repository that the program was started in.
    pub repository: Option<Repository>,
    /// When it was started.
    pub started_at: SystemTime,
}

/// The id of a session: printable, and safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Id);

impl SessionId {
    /// Accepts letters, digits, `-` and `_`, refuses anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = text.len() <= Self::MAX_BYTES && text.bytes().all(is_safe);
        fits.then(|| Id::from_wire(text)).flatten().map(Self)
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A UUID has 36.
    pub const MAX_BYTES: usize = 64;
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A session has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnded {
    /// Which one.
    pub id: SessionId,
    /// When.
    pub ended_at: SystemTime,
}

/// Who makes a call, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Caller {
    /// The session that the program runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The program that has opened the connection, or else the one that was started in the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramName>,
    /// The repository that it works in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The branch of the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
}

impl Caller {
    /// The program of a session.
    #[must_use]
    pub fn of_session(session: &Session) -> Self {
        let caller = Self {
            session: Some(session.id.clone()),
            program: Some(session.program.clone()),
            ..Self::default()
        };
        caller.in_repository(session.repository.as_ref())
    }

    /// The same in a repository, unless one is known already.
    #[must_use]
    pub fn in_repository(mut self, repository: Option<&Repository>) -> Self {
        if let Some(repository) = repository.filter(|_| self.repository.is_none()) {
            self.repository = Some(repository.name());
            self.branch.clone_from(&repository.branch);
        }
        self
    }

    /// The texts of its fields: session, program, repository and branch.
    #[must_use]
    pub fn names(&self) -> [Option<&str>; 4] {
        [
            self.session.as_ref().map(SessionId::as_str),
            self.program.as_ref().map(ProgramName::as_str),
            self.repository.as_ref().map(RepositoryName::as_str),
            self.branch.as_ref().map(BranchName::as_str),
        ]
    }

    /// Whether nothing is known of who calls.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Who makes the calls of a connection, which may become known while it is open.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCaller {
    /// What is known from the beginning.
    given: Caller,
    shared: Arc<Shared>,
}

/// What all who know of the connection share.
#[derive(Debug, Default)]
struct Shared {
    /// The program that has opened the connection, once it is found.
    found: OnceLock<Caller>,
    /// Guards the calls that were made on the connection: locked for one of them at a time.
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// How many calls have ended.
    count: u64,
    /// The different ones among them, the newest last.
    calls: Vec<MadeCall>,
}

/// What a connection has shown of a call that was made on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCall {
    /// The requested model as it stands on the wire.
    pub model: Model,
    /// The subagent that has made it.
    pub subagent: Option<Id>,
}

impl ConnectionCaller {
    /// `given` is what is known from the beginning.
    #[must_use]
    pub fn new(given: Caller) -> Self {
        Self {
            given,
            shared: Arc::default(),
        }
    }

    /// The program that has opened the connection is found, and the repository that it works in. To
    /// be said once.
    pub fn set(&self, found: Caller) {
        let _ = self.shared.found.set(found);
    }

    /// The program that has opened the connection, as far as it is known by now.
    #[must_use]
    pub fn program(&self) -> Option<&ProgramName> {
        self.shared.found.get()?.program.as_ref()
    }

    /// Everything that is known by now.
    #[must_use]
    pub fn now(&self) -> Caller {
        let mut caller = self.given.clone();
        let Some(found) = self.shared.found.get() else {
            return caller;
        };
        if found.program.is_some() {
            caller.program.clone_from(&found.program);
        }
        if caller.repository.is_none() {
            caller.repository.clone_from(&found.repository);
            caller.branch.clone_from(&found.branch);
        }
        caller
    }

    /// A call has ended on the connection.
    pub fn note_call(&self, call: &Call) {
        let made = MadeCall {
            model: call.model.clone(),
            subagent: call.ids.subagent.clone(),
        };
        let mut known = self.made();
        known.count += 1;
        if known.calls.contains(&made) {
            return;
        }
        if known.calls.len() >= MAX_MADE_CALLS {
            known.calls.remove(0);
        }
        known.calls.push(made);
    }

    /// How many calls have ended on the connection.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.made().count
    }

    /// The different calls that have ended on the connection: the newest 16 of them.
    #[must_use]
    pub fn made_calls(&self) -> Vec<MadeCall> {
        self.made().calls.clone()
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.shared
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Models and subagents whose calls go over one connection: a handful, as a connection belongs to one
/// program.
const MAX_MADE_CALLS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_bounded() {
        let name = |text: &str| ProgramName::new(text).map(|name| name.to_string());
        assert_eq!(name("claude").as_deref(), Some("claude"));
        assert_eq!(name(" my tool ").as_deref(), Some("my tool"));
        assert_eq!(name("a\u{1b}[2J\nb\u{202e}é").as_deref(), Some("a_[2J_b_é"));
        assert_eq!(name(""), None);
        assert_eq!(name("\n \t"), None);
        let long = name(&"é".repeat(10_000)).expect("a name");
        assert_eq!(long.len(), MAX_NAME_BYTES, "whole characters only");
    }

    #[test]
    fn an_id_is_safe_in_a_url() {
        let id = "0b8f6f0e-1c8d-4a44-9c62-0d1f4d1f2f11";
        assert_eq!(SessionId::parse(id).expect("an id").as_str(), id);
        for bad in ["", "a/b", "..", "a b", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(SessionId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_connection_learns_its_program_and_stays_in_its_session() {
        let given = Caller {
            session: SessionId::parse("s"),
            program: ProgramName::new("sh"),
            repository: RepositoryName::new("ours"),
            branch: None,
        };
        let caller = ConnectionCaller::new(given.clone());
        assert_eq!((caller.now(), caller.program()), (given.clone(), None));
        let found = Caller {
            program: ProgramName::new("curl"),
            repository: RepositoryName::new("theirs"),
            branch: BranchName::new("side"),
            ..Caller::default()
        };
        caller.clone().set(found.clone());
        let expected = Caller {
            program: ProgramName::new("curl"),
            ..given
        };
        assert_eq!(caller.now(), expected);
        let without_session = ConnectionCaller::default();
        without_session.set(found.clone());
        assert_eq!(without_session.now(), found);
    }

    #[test]
    fn what_is_known_of_the_repository_is_not_replaced() {
        let repository = |folder: &str| Repository {
            folder: RepositoryName::of_folder(folder).expect("a name"),
            remote: None,
            branch: BranchName::new(folder),
        };
        let (first, second) = (repository("first"), repository("second"));
        let caller = Caller::default().in_repository(None);
        assert!(caller.is_unknown());
        let caller = caller
            .in_repository(Some(&first))
            .in_repository(Some(&second));
        assert_eq!(caller.repository, Some(first.name()));
        assert_eq!(caller.branch, first.branch);
    }
}
