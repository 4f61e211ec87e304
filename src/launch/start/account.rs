//! A user of the system, looked up by name or uid through `getent`, which also knows directory
//! services.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::SYSTEM_PATH;

/// What of a passwd entry matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::launch) struct Account {
    pub(in crate::launch) name: String,
    pub(in crate::launch) uid: u32,
    pub(in crate::launch) gid: u32,
    pub(in crate::launch) home: PathBuf,
}

/// Why a user could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// `getent` could not be run, or did not answer.
    #[error("user {0} could not be looked up: {1}")]
    Lookup(String, #[source] io::Error),
    /// There is none.
    #[error(
        "user {0} does not exist: create it with `gravimeter redirect install`, or correct capture.user and agent.user"
    )]
    Unknown(String),
}

impl Account {
    /// Looks a user up by name or by number.
    pub(in crate::launch) async fn lookup(user: &str) -> Result<Self, AccountError> {
        let mut command = Command::new("getent");
        command
            .args(["passwd", "--", user])
            .env_clear()
            .env("PATH", SYSTEM_PATH);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let failed = |source| AccountError::Lookup(user.to_owned(), source);
        let output = timeout(LOOKUP_LIMIT, command.output())
            .await
            .map_err(|slow| failed(slow.into()))?;
        let text = String::from_utf8(output.map_err(failed)?.stdout).unwrap_or_default();
        Self::parse(text.trim_end()).ok_or_else(|| AccountError::Unknown(user.to_owned()))
    }

    /// `name:password:uid:gid:gecos:home:shell`
    fn parse(entry: &str) -> Option<Self> {
        let fields: Vec<_> = entry.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else {
            return None;
        };
        Some(Self {
            name: name.into(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.into(),
        })
    }
}

/// The uid of a user of the system.
///
/// # Errors
/// [`AccountError::Unknown`] when there is none of that name.
pub(crate) async fn uid_of(user: &str) -> Result<u32, AccountError> {
    Account::lookup(user).await.map(|account| account.uid)
}

/// A directory service may be slow; a dead one must not hold the start up for ever.
const LOOKUP_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_are_found_by_name_and_number() {
        let root = Account::lookup("root").await.expect("root exists");
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(Account::lookup("0").await.expect("uid 0 exists"), root);
    }

    #[tokio::test]
    async fn what_is_no_user_is_told_by_name() {
        for name in ["no-such-user", "--help", "", "root daemon"] {
            let error = Account::lookup(name).await.expect_err("no such user");
            assert!(
                matches!(&error, AccountError::Unknown(unknown) if unknown == name),
                "{name:?}: {error}"
            );
        }
    }
}
