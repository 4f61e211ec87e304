//! The repository that a program works in: by the name of its folder, and by where its `origin` is.

use std::net::Ipv4Addr;

use super::Host;
use super::session::{is_printable, name};

/// A Git repository, as far as its files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The name of its root folder, without those above it.
    pub folder: RepositoryName,
    /// Where `origin` is, as `host/owner/name`; `None` where there is none, or one that is no
    /// address on a network.
    pub remote: Option<RepositoryName>,
    /// The branch that is checked out; `None` where a commit is.
    pub branch: Option<BranchName>,
}

impl Repository {
    /// The name under which its calls are counted: where `origin` is, since that is the same in
    /// every clone, or else the folder's.
    #[must_use]
    pub fn name(&self) -> RepositoryName {
        self.remote.as_ref().unwrap_or(&self.folder).clone()
    }
}

name! {
    /// The name of a repository: `host/owner/name` of its remote, or the name of its folder, which
    /// holds no slash. It holds no space.
    pub struct RepositoryName; |character| is_printable(character) && !character.is_whitespace()
}

name! {
    /// The name of a branch. It holds no space, as Git allows none.
    pub struct BranchName; |character| is_printable(character) && !character.is_whitespace()
}

impl RepositoryName {
    /// The name of a folder. `None` for a text that is none.
    #[must_use]
    pub fn of_folder(name: &str) -> Option<Self> {
        Self::new(name).filter(|name| !name.as_str().contains('/'))
    }

    /// `host/owner/name` of the address of a remote (git-fetch(1), "Git URLs"): the user, password,
    /// port, query and a `.git` at the end are left out.
    ///
    /// `None` for a path of this machine, for an address that is longer than any real one, and where
    /// a part of the path has a character that names of repositories do not have: a secret may stand
    /// there.
    #[must_use]
    pub fn of_remote(address: &str) -> Option<Self> {
        let address = address.trim();
        if address.len() > MAX_ADDRESS {
            return None;
        }
        let (authority, path) = match address.split_once("://") {
            Some((scheme, rest)) => {
                let is_network = SCHEMES
                    .iter()
                    .any(|known| scheme.eq_ignore_ascii_case(known));
                rest.split_once('/').filter(|_| is_network)?
            }
            // The short form of SSH: the colon comes before any slash.
            None => address
                .split_once(':')
                .filter(|(host, _)| !host.contains('/'))?,
        };
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        let host = match host.parse::<Ipv4Addr>() {
            Ok(address) => address.to_string(),
            Err(_) => Host::parse(host).ok()?.to_string(),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        if path.is_empty() || !path.split('/').all(is_segment) {
            return None;
        }
        Self::new(&format!("{host}/{path}"))
    }
}

/// Whether a part of a path consists of what the forges allow in names of owners and repositories.
fn is_segment(segment: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+".contains(&byte);
    !segment.is_empty() && ![".", ".."].contains(&segment) && segment.bytes().all(is_allowed)
}

/// Addresses on a network; `file://` is a path.
const SCHEMES: [&str; 7] = ["https", "http", "ssh", "git", "git+ssh", "ssh+git", "ftps"];

/// The longest address of a remote that is read, in bytes; some tokens in them have a thousand.
const MAX_ADDRESS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Option<String> {
        RepositoryName::of_remote(address).map(|name| name.to_string())
    }

    #[test]
    fn every_form_of_an_address_gives_the_same_name() {
        for address in [
            "https://github.com/owner/name.git",
            "https://github.com/owner/name",
            "https://GitHub.com:443/owner/name/",
            "HTTPS://user:password@github.com/owner/name.git",
            "https://x-access-token:ghs_CANARY@github.com/owner/name.git",
            "https://token@evil@github.com/owner/name",
            "ssh://git@github.com:22/owner/name.git",
            "git@github.com:owner/name.git",
            "github.com:owner/name",
            "git://github.com/owner/name.git?token=CANARY#CANARY",
            "  https://github.com/owner/name.git\n",
        ] {
            assert_eq!(
                of(address).as_deref(),
                Some("github.com/owner/name"),
                "{address}"
            );
        }
        let nested = of("git@gitlab.example.com:group/sub/name.git");
        assert_eq!(nested.as_deref(), Some("gitlab.example.com/group/sub/name"));
        let by_address = of("ssh://git@192.0.2.1/owner/name");
        assert_eq!(by_address.as_deref(), Some("192.0.2.1/owner/name"));
    }

    #[test]
    fn what_is_no_address_on_a_network_or_may_hold_a_secret_is_refused() {
        let long = format!("https://github.com/{}", "x".repeat(10_000));
        for address in [
            "",
            "/srv/git/name.git",
            "../name",
            "./a:b",
            "file:///srv/git/name.git",
            "https://github.com",
            "https://github.com/",
            "https:///owner/name",
            "https://github.com/user:CANARY/owner/name",
            "https://github.com/https://user:CANARY@host/owner/name",
            "git@github.com:user:CANARY@owner/name",
            "https://github.com/owner/../name",
            "https://github.com/owner/na\u{1b}[2Jme",
            "https://git hub.com/owner/name",
            "ext::sh -c CANARY",
            &long,
        ] {
            assert_eq!(of(address), None, "{address:.60}");
        }
    }

    #[test]
    fn a_folder_is_counted_by_its_name_alone() {
        let folder = |text: &str| RepositoryName::of_folder(text).map(|name| name.to_string());
        assert_eq!(folder("My Project\n2").as_deref(), Some("My_Project_2"));
        assert_eq!(folder("a/b"), None);
        assert_eq!(folder(""), None);
    }
}
