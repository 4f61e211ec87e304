//! `gravimeter serve` in a terminal: what to copy, and why an agent does not stay up.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{err, gravimeter, out};
use crate::kit::pty::Pty;

fn serve(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gravimeter"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .current_dir(home)
        .args(["serve", "--state.dir"])
        .arg(home.join("state"))
        .args(["--web.listen", "127.0.0.1:0"])
        .args(["--capture.connect_listen", "127.0.0.1:0"])
        .args(words);
    command
}

#[tokio::test]
async fn a_terminal_shows_what_to_copy() {
    let home = tempfile::tempdir().expect("a folder");
    let mut pty = Pty::start(&serve(home.path(), &[]), 40, 160);
    pty.shows("The page: http://127.0.0.1:").await;
    let screen = pty.screen();
    let bundle = home.path().join("state/trust/bundle.pem");
    let go = format!("SSL_CERT_FILE={} ./app", bundle.display());
    assert!(screen.contains(&go), "{screen}");
    assert!(screen.contains("  gravimeter run -- PROGRAM"), "{screen}");
    pty.enter("\x03");
    assert!(pty.end().await.0.success());
}

/// The words are for the person at the terminal: a log that is kept has none of them.
#[tokio::test]
async fn an_agent_that_ends_at_once_shows_why_in_a_terminal_alone() {
    let home = tempfile::tempdir().expect("a folder");
    let agent = home.path().join("agent");
    let script = "#!/bin/sh\necho 'no such flag: --canary' >&2\nexit 2\n";
    std::fs::write(&agent, script).expect("written");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let agent = agent.to_str().expect("UTF-8");
    let words = ["--agent.command", agent, "--agent.restart_limit", "1"];

    let pty = Pty::start(&serve(home.path(), &words), 40, 160);
    pty.shows("no such flag: --canary").await;
    let (status, screen) = pty.end().await;
    assert_eq!(status.code(), Some(1), "{screen}");
    assert!(screen.contains("--agent.log_output true"), "{screen}");

    let mut command = serve(home.path(), &words);
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(!err(&output).contains("canary"), "{}", err(&output));
}

/// Without a redirect nobody listens there, so somebody else may.
#[tokio::test]
async fn a_taken_port_of_the_redirect_matters_where_there_is_a_redirect() {
    let home = tempfile::tempdir().expect("a folder");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("its address").to_string();
    let words = ["--capture.listen", &taken];
    let state = home.path().join("state");
    let doctor = |redirect: &str| {
        let state = state.to_str().expect("UTF-8");
        let doors = [
            "--web.listen",
            "127.0.0.1:0",
            "--capture.redirect",
            redirect,
        ];
        let connect = ["--capture.connect_listen", "127.0.0.1:0"];
        let flags = ["doctor", "--state.dir", state];
        gravimeter(
            home.path(),
            &[&flags[..], &doors, &connect, &words].concat(),
        )
    };
    let output = doctor("off");
    assert!(out(&output).contains("all are free"), "{}", out(&output));
    let mut pty = Pty::start(&serve(home.path(), &words), 40, 160);
    pty.shows("The page: http://127.0.0.1:").await;
    pty.enter("\x03");
    assert!(pty.end().await.0.success());

    let output = doctor("require");
    let said = format!("taken: {taken}\n");
    assert!(out(&output).contains(&said), "{}", out(&output));
    let mut command = serve(
        home.path(),
        &[&words[..], &["--capture.redirect", "require"]].concat(),
    );
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&taken), "{}", err(&output));
}

#[test]
fn a_port_for_root_is_not_taken_for_another_gravimeter() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let program = home.join("gravimeter");
    std::fs::hard_link(env!("CARGO_BIN_EXE_gravimeter"), &program)
        .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_gravimeter"), &program).map(|_| ()))
        .expect("a copy");
    // Whoever runs this, the right to such a port is given away, and a namespace has the usual limit.
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o777)).expect("ours");
    let script = format!(
        "ip link set lo up; exec setpriv --reuid 65534 --regid 65534 --clear-groups -- env HOME={0} \
         {0}/gravimeter serve --state.dir {0}/state --capture.redirect off --web.listen 127.0.0.1:80",
        home.display()
    );
    if !crate::skip::is_privileged() {
        return;
    }
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .output()
        .expect("unshare");
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(
        err(&output).contains("ports below 1024"),
        "{}",
        err(&output)
    );
    assert!(
        !err(&output).contains("another gravimeter"),
        "{}",
        err(&output)
    );
}
