//! Several demos of one user.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{err, out};

const BOOKS_AGREE: &str = "own books say the same";

/// Each has its own folder and port, and neither harms the other: both books agree.
#[test]
fn two_demos_of_one_user_live_side_by_side() {
    let home = tempfile::tempdir().expect("a folder");
    let demo = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gravimeter"));
        command
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .args(["demo", "--no-redirect", "--speed", "20"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let mut first = demo(&[]).spawn().expect("it runs");
    let stdout = first.stdout.take().expect("its output");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let page = lines.find(|line| line.contains("page     http://"));
    assert!(page.is_some(), "the first one is up");

    let second = demo(&["--for", "3s"]).output().expect("it runs");
    assert!(second.status.success(), "{}{}", out(&second), err(&second));
    assert!(out(&second).contains(BOOKS_AGREE), "{}", out(&second));
    let other = out(&second);
    let other = other.lines().find(|line| line.contains("page     http://"));
    assert_ne!(page.as_deref(), other, "each has a page of its own");

    kill_process(Pid::from_child(&first), Signal::INT).expect("it runs");
    let said: Vec<String> = lines.collect();
    let first = first.wait_with_output().expect("it ends");
    assert!(first.status.success(), "{}", err(&first));
    assert!(
        said.iter().any(|line| line.contains(BOOKS_AGREE)),
        "{said:?}"
    );
    let left = home.path().join(".local/state/gravimeter");
    assert!(!left.exists(), "nothing is left");
}
