//! Finds the Git repository that a folder belongs to: a path enters, the repository's names leave.
//!
//! Only a few small files below `.git` are read; Git itself is not run, since a repository can make
//! it run programs. Whatever the files contain, what is kept of them is bounded and printable, and
//! holds no credentials.

mod config;
mod file;

use std::path::{Path, PathBuf};

use crate::record::{BranchName, Repository, RepositoryName};

use file::{is_folder, read_line, read_small};

/// The repository that `folder` is in. `None` where there is none, where its files cannot be read,
/// and for a folder that does not exist (any more). Blocks while files are read.
#[must_use]
pub fn repository_of(folder: &Path) -> Option<Repository> {
    if !folder.is_absolute() || !is_folder(folder) {
        return None;
    }
    folder.ancestors().take(MAX_PARENTS).find_map(of_root)
}

/// The repository whose root folder this is (gitrepository-layout(5)).
fn of_root(root: &Path) -> Option<Repository> {
    let own = git_folder(root)?;
    let head = read_line(&own.join("HEAD"))?;
    // The folder of a worktree names the one that it shares its configuration with.
    let common = match read_line(&own.join("commondir")) {
        Some(path) => normalised(&own.join(path)),
        None => own,
    };
    let name = match common.file_name() {
        // All worktrees are of the same repository.
        Some(name) if name == ".git" => common.parent()?.file_name()?,
        _ => root.file_name()?,
    };
    let config = read_small(&common.join("config")).unwrap_or_default();
    let origin = config::origin(&config);
    Some(Repository {
        folder: RepositoryName::of_folder(&name.to_string_lossy())?,
        remote: origin.and_then(|address| RepositoryName::of_remote(&address)),
        branch: branch(&head),
    })
}

/// The repository's own folder: `.git`, or where the file `.git` of a worktree or a submodule leads.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let path = root.join(".git");
    if is_folder(&path) {
        return Some(path);
    }
    let line = read_line(&path)?;
    let target = line.strip_prefix("gitdir:")?.trim();
    (!target.is_empty()).then(|| normalised(&root.join(target)))
}

/// The branch that is checked out; `None` where it is a commit.
fn branch(head: &str) -> Option<BranchName> {
    let name = head
        .strip_prefix("ref:")?
        .trim()
        .strip_prefix("refs/heads/")?;
    // What stands there where branches are in a format that this file has no place for.
    (name != ".invalid")
        .then(|| BranchName::new(name))
        .flatten()
}

/// The path without `.` and `..`, by its text alone: links are not followed.
fn normalised(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components()
        .fold(PathBuf::new(), |mut path, component| {
            match component {
                Component::ParentDir => _ = path.pop(),
                Component::CurDir => {}
                other => path.push(other),
            }
            path
        })
}

/// How far up a repository's root is searched: deeper folders than this are not worked in.
const MAX_PARENTS: usize = 64;

#[cfg(test)]
mod tests;
