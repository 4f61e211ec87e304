//! Repositories that Git itself has made, and files that nobody should have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;

use super::repository_of;
use crate::record::{MAX_NAME_BYTES, Repository};

/// A folder for repositories. Where it lies, no other one is above it.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs Git, which must succeed; nothing of the user's own configuration counts.
fn git(folder: &Path, words: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args(["-c", "protocol.file.allow=always"])
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

fn repository(root: &Path, branch: &str, origin: Option<&str>) {
    fs::create_dir_all(root).unwrap();
    git(root, &["init", "--quiet", "--initial-branch", branch]);
    git(root, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
    if let Some(origin) = origin {
        git(root, &["remote", "add", "origin", origin]);
    }
}

/// Folder, remote and branch, with `-` for what is not known.
fn shown(path: &Path) -> String {
    let Some(Repository {
        folder,
        remote,
        branch,
    }) = repository_of(path)
    else {
        return "none".to_owned();
    };
    let remote = remote.map_or("-".to_owned(), |remote| remote.to_string());
    let branch = branch.map_or("-".to_owned(), |branch| branch.to_string());
    format!("{folder} {remote} {branch}")
}

#[test]
fn a_repository_is_found_from_every_folder_of_it() {
    let folder = folder();
    let root = folder.path().join("project");
    repository(&root, "main", Some("git@example.com:owner/name.git"));
    let deep = root.join("src/deep");
    fs::create_dir_all(&deep).unwrap();
    for path in [&root, &deep] {
        assert_eq!(shown(path), "project example.com/owner/name main");
    }
    git(&root, &["checkout", "--quiet", "-b", "feature/one"]);
    assert_eq!(shown(&deep), "project example.com/owner/name feature/one");
    git(&root, &["checkout", "--quiet", "--detach"]);
    assert_eq!(shown(&deep), "project example.com/owner/name -");
    assert_eq!(shown(folder.path()), "none");
}

#[test]
fn a_worktree_is_of_its_repository_and_a_submodule_is_one_of_its_own() {
    let folder = folder();
    let (root, library) = (folder.path().join("project"), folder.path().join("library"));
    repository(&root, "main", Some("https://example.com/owner/name"));
    repository(&library, "trunk", None);
    let worktree = folder.path().join("elsewhere");
    let path = worktree.to_str().unwrap();
    git(&root, &["worktree", "add", "--quiet", "-b", "side", path]);
    assert_eq!(shown(&worktree), "project example.com/owner/name side");
    let source = library.to_str().unwrap();
    git(&root, &["submodule", "--quiet", "add", source, "lib"]);
    let inside = root.join("lib");
    assert_eq!(shown(&inside), "lib - trunk", "its origin is a path");
    git(
        &inside,
        &[
            "remote",
            "set-url",
            "origin",
            "ssh://git@example.com/owner/lib",
        ],
    );
    assert_eq!(shown(&inside), "lib example.com/owner/lib trunk");
}

#[test]
fn a_folder_that_is_gone_or_was_never_there_has_no_repository() {
    let folder = folder();
    let root = folder.path().join("project");
    repository(&root, "main", None);
    let inside = root.join("gone");
    assert_eq!(shown(&inside), "none");
    assert_eq!(shown(Path::new("relative")), "none");
    assert_eq!(shown(Path::new("")), "none");
}

/// A root folder with these files below it.
fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let root = folder.path().join("root");
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (folder, root)
}

#[test]
fn credentials_and_hostile_names_are_not_kept() {
    let long = "x".repeat(10_000);
    let steering = "ref: refs/heads/a\u{1b}[2J\u{202e}b";
    let origin = "[remote \"origin\"]\nurl = https://user:CANARY@example.com/owner/name.git\n";
    let (_folder, root) = written(&[(".git/HEAD", steering), (".git/config", origin)]);
    assert_eq!(shown(&root), "root example.com/owner/name a_[2J_b");
    let head = format!("ref: refs/heads/{long}");
    let origin = format!("[remote \"origin\"]\nurl = https://example.com/{long}\n");
    let (_folder, root) = written(&[(".git/HEAD", &head), (".git/config", &origin)]);
    let found = repository_of(&root).unwrap();
    assert_eq!(found.branch.unwrap().as_str().len(), MAX_NAME_BYTES);
    assert_eq!(found.remote, None);
    let (_folder, root) = written(&[(".git", "gitdir:"), ("x", "")]);
    assert_eq!(shown(&root), "none");
    let (_folder, root) = written(&[(".git", "gitdir: ../../../../../../etc"), ("x", "")]);
    assert_eq!(shown(&root), "none");
}

/// A pipe in the place of a file would be waited for without end.
#[test]
fn what_is_no_file_is_not_waited_for() {
    let (_folder, root) = written(&[(".git/config", "")]);
    let pipe = root.join(".git/HEAD");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
    let (sender, receiver) = mpsc::channel();
    let looked_at = root.clone();
    std::thread::spawn(move || sender.send(repository_of(&looked_at)));
    let patience = Duration::from_secs(60);
    assert_eq!(receiver.recv_timeout(patience), Ok(None));
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn no_file_is_taken_for_what_it_is_not(head: String, config: String, commondir: Option<String>) {
        let mut files = vec![(".git/HEAD", head.as_str()), (".git/config", config.as_str())];
        files.extend(commondir.as_deref().map(|text| (".git/commondir", text)));
        let (_folder, root) = written(&files);
        if let Some(found) = repository_of(&root) {
            let names = [Some(found.name().to_string()), found.branch.map(|name| name.to_string())];
            for name in names.iter().flatten() {
                prop_assert!(name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control), "{name:?}");
            }
        }
    }
}
