//! The repository that Codex says it works in.
//!
//! Its header field `x-codex-turn-metadata` is JSON with an entry for each folder that is worked in:
//! `workspaces{<path>:{associated_remote_urls{origin}, ...}}` (openai/codex,
//! `codex-rs/core/src/turn_metadata.rs`). Nothing of it is kept but a name: no path, no commit, and
//! no credentials.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::record::RepositoryName;

/// The header field.
pub(super) const TURN_METADATA: &str = "x-codex-turn-metadata";

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    workspaces: BTreeMap<String, Workspace>,
}

#[derive(Deserialize)]
struct Workspace {
    #[serde(default)]
    associated_remote_urls: Option<BTreeMap<String, String>>,
}

/// The name of the repository in a value of [`TURN_METADATA`]. `None` for what is not such JSON, and
/// where several folders are worked in: which one a call is about is not known.
pub(super) fn repository(value: &[u8]) -> Option<String> {
    let metadata: Metadata = serde_json::from_slice(value).ok()?;
    let mut workspaces = metadata.workspaces.into_iter();
    let (path, workspace) = workspaces.next()?;
    if workspaces.next().is_some() {
        return None;
    }
    let remotes = workspace.associated_remote_urls.unwrap_or_default();
    let remote = remotes.get("origin");
    let remote = remote.and_then(|address| RepositoryName::of_remote(address));
    let folder = || {
        let name = Path::new(&path).file_name()?.to_string_lossy().into_owned();
        RepositoryName::of_folder(&name)
    };
    remote.or_else(folder).map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        repository(text.as_bytes())
    }

    #[test]
    fn the_one_workspace_is_named_by_its_remote_or_its_folder() {
        let with_remote = r#"{"turn_id": "t", "workspaces": {"/home/ann/secret/project": {"associated_remote_urls":
            {"origin": "https://ann:CANARY@github.com/owner/name.git"}, "latest_git_commit_hash": "a1", "has_changes": true}}}"#;
        assert_eq!(of(with_remote).as_deref(), Some("github.com/owner/name"));
        for remotes in [
            "",
            r#""associated_remote_urls": null"#,
            r#""associated_remote_urls": {"origin": "/srv/x"}"#,
        ] {
            let text = format!(r#"{{"workspaces": {{"/home/ann/project": {{{remotes}}}}}}}"#);
            assert_eq!(of(&text).as_deref(), Some("project"), "{remotes}");
        }
    }

    #[test]
    fn what_does_not_name_one_workspace_is_none() {
        for text in [
            "",
            "{}",
            "[]",
            "nonsense",
            r#"{"workspaces": []}"#,
            r#"{"workspaces": {}}"#,
            r#"{"workspaces": {"/": {}}}"#,
            r#"{"workspaces": {"/a": {}, "/b": {}}}"#,
            r#"{"workspaces": {"/a": 1}}"#,
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(repository(b"\xff"), None);
    }
}
