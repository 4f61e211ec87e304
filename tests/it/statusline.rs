//! Promise: `gravimeter statusline` prints one line about what is spent, of the running exporter or of
//! the ledger that one has left, and nothing where neither is there.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::kit::binary::{Binary, PROGRAM};
use crate::kit::upstream::Upstream;
use crate::usage::{CASCADE, call};

/// Runs the command in an empty home, with a text on its standard input.
fn statusline(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("TZ", "Asia/Kathmandu")
        .arg("statusline")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not read it has ended before.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("an end")
}

fn line(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let line = text(&output.stdout);
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    line.trim_end_matches('\n').to_owned()
}

#[tokio::test]
async fn the_line_is_of_the_exporter_and_then_of_the_ledger_that_it_leaves() {
    let upstream = Upstream::start().await;
    let sockets = tempfile::tempdir().expect("a folder");
    let socket = sockets.path().join("s");
    let socket = socket.to_str().expect("UTF-8");
    let mut binary = Binary::start(&upstream.flags(&["--web.socket", socket])).await;
    let mut ends = upstream.pair(&binary).await;
    call(&mut ends).await;
    call(&mut ends).await;
    binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 2)
        .await;
    let state = binary.state();
    let place = [
        "--web.socket",
        socket,
        "--state.dir",
        state.to_str().expect("UTF-8"),
    ];
    let ask = |more: &[&str], input: &str| line(&statusline(&[&place[..], more].concat(), input));
    let figures =
        "{today_calls} {today_tokens}[ session {session_calls} {session_tokens}][ {limit_left}]";
    let input = format!(r#"{{"session_id":"{CASCADE}","model":{{"id":"m"}},"cwd":"/home/ann"}}"#);
    let told = || {
        [
            ask(&["--format", figures], ""),
            ask(&["--format", figures, "--stdin"], &input),
            ask(&["--format", figures, "--session", CASCADE], ""),
            ask(&["--format", figures, "--session", "unheard-of"], ""),
        ]
    };
    let expected = ["2 24", "2 24 session 2 24", "2 24 session 2 24", "2 24"];
    assert_eq!(told(), expected, "of the exporter");
    assert_eq!(ask(&[], ""), "- today", "m has no price");
    binary.signal(Signal::TERM);
    assert!(binary.exit().await.success(), "{}", binary.log());
    assert_eq!(told(), expected, "of the ledger");
}

#[test]
fn where_neither_is_there_the_line_is_empty() {
    let home = tempfile::tempdir().expect("a folder");
    let state = home.path().join("state");
    let place = [
        "--web.listen",
        "127.0.0.1:1",
        "--state.dir",
        state.to_str().expect("UTF-8"),
    ];
    assert_eq!(line(&statusline(&place, "")), "");
    assert!(!state.exists(), "nothing is made");
}

#[test]
fn what_is_wrong_is_told_with_an_exit_code() {
    for (arguments, input, code, told) in [
        (&["--format", "{price}"][..], "", 2, "there is no {price}"),
        (&["--format", "[x"], "", 2, "has no counterpart"),
        (&["--session", ""], "", 2, "an id is at most"),
        (&["--stdin"], "no JSON, but a canary", 1, "session_id"),
        (&["--stdin"], r#"{"session_id": 7}"#, 1, "session_id"),
        (
            &["--url", "https://127.0.0.1:1"],
            "",
            1,
            "write it as http://",
        ),
    ] {
        let output = statusline(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(told) && !said.contains("canary"), "{said}");
        assert!(output.stdout.is_empty());
    }
}
