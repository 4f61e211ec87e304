//! A group of the system, looked up through `getent`, which also knows directory services.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The number of a group, by its name or number.
///
/// # Errors
/// When there is no such group, or `getent` does not answer.
pub(super) async fn gid_of(group: &str) -> io::Result<u32> {
    let mut command = Command::new("getent");
    command
        .args(["group", "--", group])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LOOKUP_LIMIT, command.output()).await??;
    let entry = String::from_utf8_lossy(&output.stdout);
    // `name:password:gid:members`
    let gid = entry.trim_end().split(':').nth(2);
    gid.and_then(|gid| gid.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such group"))
}

/// A directory service may be slow; one that is slower than this is down.
const LOOKUP_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_group_is_found_by_name_and_by_number() {
        assert_eq!(gid_of("root").await.ok(), Some(0));
        assert_eq!(gid_of("0").await.ok(), Some(0));
        let missing = gid_of("no-such-group-here").await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
