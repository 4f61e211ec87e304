//! Promise: what `deploy/` ships is accepted by the tools that will read it, and runs as far as it
//! can run here.

mod containers;
mod package;
mod sandbox;
mod systemd;

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of the repository, from its root.
pub fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of such a file.
pub fn read(file: &str) -> String {
    text_of(&path(file))
}

/// What the command says; it must end well.
pub fn run_with(mut command: Command, input: &[u8]) -> String {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

pub fn run(command: Command) -> String {
    run_with(command, b"")
}

pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address")
}

fn text_of(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every file below `deploy/`.
fn shipped() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![path("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found
}

#[test]
fn every_file_that_is_named_is_there() {
    let mut missing = Vec::new();
    for file in shipped() {
        let text = text_of(&file);
        let named = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
        let named = named
            .map(|word| word.trim_end_matches('.'))
            .filter(|word| word.starts_with("deploy/"));
        let absent = named.filter(|word| !path(word).exists());
        missing.extend(absent.map(|word| format!("{}: {word}", file.display())));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_key_that_is_set_exists() {
    let keys: Vec<_> = gravimeter::config::keys()
        .map(gravimeter::config::Key::variable)
        .collect();
    for file in shipped() {
        let text = text_of(&file);
        for word in text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            let is_key = word
                .strip_prefix("GRAVIMETER_")
                .is_some_and(|rest| !rest.is_empty());
            assert!(
                !is_key || keys.iter().any(|key| key == word),
                "{}: {word}",
                file.display()
            );
        }
    }
}
