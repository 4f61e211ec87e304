//! Several demos of one user.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{err, out};
use crate::kit::prometheus::free_address;

const BOOKS_AGREE: &str = "own books say the same";

fn demo(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gravimeter"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .args(["demo", "--no-redirect", "--speed", "20"])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a demo prints, line by line.
fn lines(demo: &mut Child) -> impl Iterator<Item = String> + use<> {
    let stdout = demo.stdout.take().expect("its output");
    BufReader::new(stdout).lines().map_while(Result::ok)
}

/// Each has its own folder and port, and neither harms the other: both books agree.
#[test]
fn two_demos_of_one_user_live_side_by_side() {
    let home = tempfile::tempdir().expect("a folder");
    let mut first = demo(home.path(), &[]).spawn().expect("it runs");
    let mut lines = lines(&mut first);
    let page = lines.find(|line| line.contains("page     http://"));
    assert!(page.is_some(), "the first one is up");

    let second = demo(home.path(), &["--for", "3s"])
        .output()
        .expect("it runs");
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

/// Nobody is left to stop it, and nothing of it is to go on.
#[test]
fn a_demo_that_is_killed_takes_its_agent_along() {
    let home = tempfile::tempdir().expect("a folder");
    // Where no other demo wants to be.
    let page = free_address().to_string();
    let mut killed = demo(home.path(), &["--web.listen", &page]);
    let mut killed = killed.spawn().expect("it runs");
    let mut lines = lines(&mut killed);
    // Printed once the agent has made a call.
    assert!(lines.any(|line| line.starts_with("total ")));
    let agent = agent_of(&killed).expect("an agent");
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    for _ in 0..300 {
        if !lives(agent) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the agent of a killed demo goes on");
}

/// The process that is the agent of a demo.
fn agent_of(demo: &Child) -> Option<i32> {
    let own = i32::try_from(demo.id()).ok();
    procfs::process::all_processes()
        .expect("/proc")
        .flatten()
        .find(|process| process.stat().is_ok_and(|stat| Some(stat.ppid) == own))
        .map(|process| process.pid)
}

/// Zombies do not count: somebody else reaps them.
fn lives(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state != 'Z')
}
