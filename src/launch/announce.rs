//! Reads where an agent listens, from lines of its standard error or from a discovery file.
//!
//! The result, an [`Announcement`], need not be complete.

use std::cmp::Reverse;
use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use serde::Deserialize;

/// Where the agent listens on loopback, as far as it said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// RPC over TLS.
    pub https_port: Option<u16>,
    /// RPC in the clear.
    pub http_port: Option<u16>,
    /// The language server protocol.
    pub lsp_port: Option<u16>,
    /// What a client must present.
    pub csrf_token: Option<CsrfToken>,
}

/// A secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CsrfToken(String);

impl CsrfToken {
    /// A new one.
    pub(super) fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// One that another program has made.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The token's text, for the header that carries it and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(..)")
    }
}

impl Announcement {
    /// Whether both RPC ports are known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.https_port.is_some() && self.http_port.is_some()
    }

    /// Takes a line of the agent's log, such as `I0602 12:00:00.0 7 server.go:485] Language server
    /// listening on random port at 49463 for HTTPS (gRPC)`. Prefix and line number differ between
    /// builds; lines without a port are ignored.
    pub(super) fn read_line(&mut self, line: &str) {
        let Some((_, rest)) = line.split_once("listening on ") else {
            return;
        };
        let Some((_, rest)) = rest.split_once("port at ") else {
            return;
        };
        let Some((port, rest)) = rest.split_once(" for ") else {
            return;
        };
        let Ok(port) = port.parse() else { return };
        let protocol = rest.split(|c: char| !c.is_ascii_alphanumeric()).next();
        match protocol {
            Some("HTTPS") => self.https_port = Some(port),
            Some("HTTP") => self.http_port = Some(port),
            Some("LSP") => self.lsp_port = Some(port),
            _ => {}
        }
    }

    /// Fills what is missing from the discovery file of process `pid` in `folder`, if it is there
    /// and readable. Files of other processes may be years old; the token stays the one that the
    /// process was started with. Blocks.
    pub(super) fn discover(&mut self, folder: &Path, pid: u32) {
        if let Some(found) = discovered(folder)
            .into_iter()
            .find(|found| found.pid == pid)
        {
            self.complete(found.announcement);
        }
    }

    /// Fills what is missing from another source.
    pub(super) fn complete(&mut self, other: Self) {
        self.https_port = self.https_port.or(other.https_port);
        self.http_port = self.http_port.or(other.http_port);
        self.lsp_port = self.lsp_port.or(other.lsp_port);
        self.csrf_token = self.csrf_token.take().or(other.csrf_token);
    }
}

/// The contents of a discovery file.
pub(super) struct Discovered {
    /// The process that it is about, which may have ended.
    pub(super) pid: u32,
    /// The uid of the user who wrote it.
    pub(super) owner: u32,
    pub(super) announcement: Announcement,
    written: Option<SystemTime>,
}

/// What the discovery files in `folder` say, the newest first. Blocks.
pub(super) fn discovered(folder: &Path) -> Vec<Discovered> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let named = files.filter(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(is_discovery_name)
    });
    let mut found: Vec<_> = named.filter_map(|path| read(&path)).collect();
    found.sort_by_key(|found| Reverse(found.written));
    found
}

/// `ls_<16 hex digits>.json`
fn is_discovery_name(name: &str) -> bool {
    name.starts_with("ls_") && name.ends_with(".json")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryFile {
    pid: u32,
    https_port: Option<u16>,
    http_port: Option<u16>,
    lsp_port: Option<u16>,
    csrf_token: Option<String>,
}

/// The agent owns the folder: neither a link, a pipe nor a huge file in it may harm the reader.
fn read(path: &Path) -> Option<Discovered> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).ok()?;
    let file: File = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = String::new();
    file.take(MAX_DISCOVERY_FILE)
        .read_to_string(&mut text)
        .ok()?;
    let DiscoveryFile {
        pid,
        https_port,
        http_port,
        lsp_port,
        csrf_token,
    } = serde_json::from_str(&text).ok()?;
    let csrf_token = csrf_token.map(CsrfToken);
    let announcement = Announcement {
        https_port,
        http_port,
        lsp_port,
        csrf_token,
    };
    Some(Discovered {
        pid,
        owner: metadata.uid(),
        announcement,
        written: metadata.modified().ok(),
    })
}

/// The known ones have about 200 bytes.
const MAX_DISCOVERY_FILE: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(lines: &[&str]) -> Announcement {
        let mut announcement = Announcement::default();
        lines.iter().for_each(|line| announcement.read_line(line));
        announcement
    }

    #[test]
    fn ports_are_heard_whatever_the_prefix() {
        let announcement = announced(&[
            "I0602 10:11:12.131415   13230 server.go:1295] Starting language server process with pid 13230",
            "ERROR: logging before google.Init: I0602 10:11:12.1 7 server.go:999] Language server listening on random port at 49463 for HTTPS (gRPC)",
            "server.go:492] Language server listening on random port at 49464 for HTTP",
            "Language server listening on fixed port at 49465 for LSP",
        ]);
        let ports = (
            announcement.https_port,
            announcement.http_port,
            announcement.lsp_port,
        );
        assert_eq!(ports, (Some(49463), Some(49464), Some(49465)));
        assert!(announcement.is_complete());
    }

    #[test]
    fn other_lines_are_ignored() {
        let announcement = announced(&[
            "listening on random port at 70000 for HTTPS",
            "listening on random port at 1 for HTTPSX",
            "listening on random port at for HTTP",
            "listening on random port at 12 for",
            "port at 12 for HTTP, still listening on it",
        ]);
        assert_eq!(announcement, Announcement::default());
    }

    #[test]
    fn a_discovery_file_is_bound_by_its_pid() {
        let folder = tempfile::tempdir().expect("a folder");
        let write =
            |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        write(
            "ls_0123456789abcdef.json",
            r#"{"pid":1,"httpsPort":1,"httpPort":2}"#,
        );
        write(
            "ls_123456789abcdef0.json",
            r#"{"pid":7,"httpsPort":3,"httpPort":4,"lspPort":5,"csrfToken":"t","x":[]}"#,
        );
        write("ls_broken.json", "{");
        write("other.json", r#"{"pid":7,"httpPort":9}"#);
        let mut announcement = Announcement {
            https_port: Some(30),
            ..Announcement::default()
        };
        announcement.discover(folder.path(), 7);
        let ports = (
            announcement.https_port,
            announcement.http_port,
            announcement.lsp_port,
        );
        assert_eq!(ports, (Some(30), Some(4), Some(5)));
        assert_eq!(
            announcement.csrf_token.as_ref().map(CsrfToken::expose),
            Some("t")
        );
        assert!(!format!("{announcement:?}").contains("\"t\""));
    }

    #[test]
    fn a_hostile_discovery_folder_is_harmless() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        fs::write(&target, r#"{"pid":7,"httpPort":9}"#).expect("a file");
        std::os::unix::fs::symlink(&target, folder.path().join("ls_link.json")).expect("a link");
        fs::create_dir(folder.path().join("ls_dir.json")).expect("a folder");
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join("ls_pipe.json"))
            .status();
        assert!(made.expect("mkfifo").success());
        let mut announcement = Announcement::default();
        announcement.discover(folder.path(), 7);
        assert_eq!(announcement, Announcement::default());
    }
}
