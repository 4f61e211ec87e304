//! Promise: `gravimeter top` shows on a real terminal what the exporter sees, says when it is gone,
//! comes back with it, and gives the terminal back on every end.

use std::process::{Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::pty::Pty;
use crate::kit::upstream::Upstream;
use crate::usage::call;

/// An exporter at a Unix socket that has seen a call.
struct Stage {
    upstream: Upstream,
    sockets: TempDir,
    binary: Binary,
}

impl Stage {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        let sockets = tempfile::tempdir().expect("a folder");
        let folder = tempfile::tempdir().expect("a folder");
        let binary = exporter(&upstream, &sockets, folder).await;
        call(&mut upstream.pair(&binary).await).await;
        binary
            .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 1)
            .await;
        Self {
            upstream,
            sockets,
            binary,
        }
    }

    fn url(&self) -> String {
        format!("unix:{}", self.sockets.path().join("s").display())
    }

    /// `gravimeter top` in a shell, which tells its process before and how the terminal is after.
    fn top(&self) -> Pty {
        on_a_terminal(&format!("{PROGRAM} top --url {}", self.url()))
    }
}

async fn exporter(upstream: &Upstream, sockets: &TempDir, folder: TempDir) -> Binary {
    let socket = sockets.path().join("s");
    let flags = upstream.flags(&["--web.socket", socket.to_str().expect("UTF-8")]);
    Binary::with(tokio::process::Command::new(PROGRAM), folder, &flags).await
}

fn on_a_terminal(words: &str) -> Pty {
    let script = format!(
        "sh -c 'echo \"process $$ \"; exec {words}'; echo \"ended with $?\"; stty -a; echo \"the end\""
    );
    let mut command = Command::new("bash");
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("TERM", "xterm-256color")
        .env("TZ", "Europe/Berlin")
        .args(["--norc", "--noprofile", "-c", &script]);
    Pty::start(&command, ROWS, COLUMNS)
}

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Waits until the terminal displays something.
async fn displays(pty: &Pty, wanted: &str) {
    pty.displays(wanted, ROWS, COLUMNS).await;
}

async fn process(pty: &Pty) -> Pid {
    let number = until(async || {
        let screen = pty.screen();
        let number = screen.split("process ").nth(1)?.split_once(' ')?.0;
        number.parse().ok()
    });
    Pid::from_raw(number.await).expect("a process")
}

const ALTERNATE_SCREEN: &str = "\x1b[?1049h";
const USUAL_SCREEN: &str = "\x1b[?1049l";

/// Whether the terminal was given back: the usual screen with its cursor, lines and echo.
async fn given_back(pty: Pty) -> (ExitStatus, String) {
    let (status, screen) = pty.end().await;
    let after = screen
        .rsplit_once(USUAL_SCREEN)
        .expect("the usual screen")
        .1;
    assert!(after.contains("\x1b[?25h"), "a cursor: {after:?}");
    let settings: Vec<&str> = after.split_whitespace().collect();
    for setting in ["icanon", "echo", "isig", "icrnl", "opost"] {
        assert!(settings.contains(&setting), "{setting}: {after:?}");
    }
    (status, after.to_owned())
}

#[tokio::test]
async fn every_end_gives_the_terminal_back() {
    let stage = Stage::start().await;
    type EndIt = fn(&mut Pty, Pid);
    let ends: [(&str, EndIt, &str); 6] = [
        ("q", |pty, _| pty.enter("q"), "ended with 0"),
        ("Ctrl-C", |pty, _| pty.enter("\x03"), "ended with 0"),
        ("escape", |pty, _| pty.enter("\x1b"), "ended with 0"),
        (
            "SIGTERM",
            |_, top| kill_process(top, Signal::TERM).expect("a process"),
            "ended with 143",
        ),
        (
            "SIGINT",
            |_, top| kill_process(top, Signal::INT).expect("a process"),
            "ended with 130",
        ),
        (
            "SIGHUP",
            |_, top| kill_process(top, Signal::HUP).expect("a process"),
            "ended with 129",
        ),
    ];
    for (name, end_it, told) in ends {
        let mut pty = stage.top();
        pty.shows(ALTERNATE_SCREEN).await;
        displays(&pty, "Conversations").await;
        let top = process(&pty).await;
        end_it(&mut pty, top);
        pty.shows("the end").await;
        let (_, after) = given_back(pty).await;
        assert!(after.contains(told), "{name}: {after:?}");
    }
}

/// This test runs itself on a terminal, where it panics while the screen is shown.
#[tokio::test]
async fn a_panic_gives_the_terminal_back_before_it_is_told() {
    const PANICS: &str = "TEST_PANICS_ON_A_TERMINAL";
    if std::env::var_os(PANICS).is_some() {
        let _screen = gravimeter::top::Terminal::open().expect("a terminal");
        panic!("told on the usual screen");
    }
    let own = std::env::current_exe().expect("a path");
    let test = "top::a_panic_gives_the_terminal_back_before_it_is_told";
    let words = format!(
        "env {PANICS}=1 {} --exact {test} --nocapture",
        own.display()
    );
    let pty = on_a_terminal(&words);
    pty.shows("the end").await;
    let (_, after) = given_back(pty).await;
    assert!(after.contains("told on the usual screen"), "{after:?}");
}

#[tokio::test]
async fn a_call_is_shown_when_it_has_ended() {
    let stage = Stage::start().await;
    let mut pty = stage.top();
    displays(&pty, "1 calls  12 tokens").await;
    pty.enter("3");
    displays(&pty, "OUTCOME").await;
    call(&mut stage.upstream.pair(&stage.binary).await).await;
    displays(&pty, "Calls 2").await;
    pty.resize(30, 130);
    pty.displays("CONVERSATION", 30, 130).await;
    pty.enter("q");
    pty.shows("the end").await;
    given_back(pty).await;
}

#[tokio::test]
async fn an_exporter_that_goes_is_told_and_one_that_comes_back_is_shown() {
    let stage = Stage::start().await;
    let mut pty = stage.top();
    displays(&pty, "Conversations").await;
    let Stage {
        upstream,
        sockets,
        binary,
    } = stage;
    let folder = binary.kill().await;
    displays(&pty, "no answer since").await;
    displays(&pty, "nothing listens there").await;
    let binary = exporter(&upstream, &sockets, folder).await;
    displays(&pty, "  ready").await;
    pty.enter("q");
    pty.shows("the end").await;
    given_back(pty).await;
    drop(binary);
}

/// The shell of a person: Ctrl-Z gives the terminal back, and `fg` draws the screen again.
#[tokio::test]
async fn a_stopped_screen_goes_on() {
    let stage = Stage::start().await;
    let mut command = Command::new("bash");
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("TERM", "xterm-256color")
        .args(["--norc", "--noprofile", "-i"]);
    let mut pty = Pty::start(&command, ROWS, COLUMNS);
    pty.enter(&format!("{PROGRAM} top --url {}\n", stage.url()));
    pty.shows(ALTERNATE_SCREEN).await;
    displays(&pty, "Conversations").await;
    pty.enter("\x1a");
    pty.shows("Stopped").await;
    pty.enter("stty -a | grep -o ' icanon'; echo in-the-she\"\"ll\n");
    pty.shows("in-the-shell").await;
    let stopped = pty.screen();
    assert!(
        stopped.contains(" icanon") && !stopped.contains(" -icanon"),
        "{stopped:?}"
    );
    pty.enter("fg\n");
    let is_drawn_again = async || {
        let screen = pty.screen();
        let again = screen
            .split("in-the-shell")
            .last()?
            .split_once(ALTERNATE_SCREEN)?
            .1;
        again.contains("Conversations").then_some(())
    };
    until(is_drawn_again).await;
    pty.enter("q");
    // Once for the stop, once for the end: what is typed before that is for the screen.
    let is_over = async || (pty.screen().matches(USUAL_SCREEN).count() == 2).then_some(());
    until(is_over).await;
    pty.enter("exit 5\n");
    let (status, screen) = pty.end().await;
    assert_eq!(status.code(), Some(5), "{screen:?}");
}

#[tokio::test]
async fn where_no_screen_can_be_drawn_a_word_says_why() {
    let stage = Stage::start().await;
    let url = stage.url();
    for (before, told) in [("env TERM=dumb", "set TERM"), ("env -u TERM", "set TERM")] {
        let pty = on_a_terminal(&format!("{before} {PROGRAM} top --url {url}"));
        pty.shows("the end").await;
        let (_, screen) = pty.end().await;
        assert!(
            screen.contains(told) && screen.contains("ended with 1"),
            "{screen:?}"
        );
        assert!(!screen.contains(ALTERNATE_SCREEN), "{screen:?}");
    }
    let nobody = on_a_terminal(&format!("{PROGRAM} top --url http://127.0.0.1:1"));
    nobody.shows("the end").await;
    let (_, screen) = nobody.end().await;
    assert!(
        screen.contains("is `gravimeter serve` running?"),
        "{screen:?}"
    );
    assert!(!screen.contains(ALTERNATE_SCREEN), "{screen:?}");
    let piped = Command::new(PROGRAM)
        .args(["top", "--url", &url])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(
        piped.status.code() == Some(1) && said.contains("gravimeter usage"),
        "{said}"
    );
    assert!(piped.stdout.is_empty());
}

#[tokio::test]
async fn no_colour_is_used_where_none_is_wanted() {
    let stage = Stage::start().await;
    for (variable, is_coloured) in [("NO_COLOR=1", false), ("NO_COLOR=", true)] {
        let mut pty = on_a_terminal(&format!(
            "env {variable} {PROGRAM} top --url {}",
            stage.url()
        ));
        displays(&pty, "ready").await;
        displays(&pty, "details").await;
        pty.enter("q");
        pty.shows("the end").await;
        let (_, screen) = pty.end().await;
        let green = ["\x1b[32", "\x1b[38;5;2"];
        assert_eq!(
            green.iter().any(|green| screen.contains(green)),
            is_coloured,
            "{screen:?}"
        );
    }
}
