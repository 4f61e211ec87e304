//! Promise: the program as a process keeps to its limits, hides its memory and ends in order.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use gravimeter::demo::CLOUD_CODE_HOST;
use rustix::process::{Signal, geteuid};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::kit::agent::{Agent, knock};
use crate::kit::binary::{self, Binary, PROGRAM, until};
use crate::kit::upstream::{LAST, Upstream};
use crate::kit::{read_all, read_some, soon, write_pieces};

#[tokio::test]
async fn what_cargo_runs_is_not_confused_by_cargos_own_variables() {
    // The environment of this test is the one that `cargo run` gives the program.
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(PROGRAM);
    command
        .args(["config", "check", "--state.dir"])
        .arg(folder.path())
        .kill_on_drop(true);
    let output = soon(command.output()).await.expect("the program runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn an_occupied_port_is_told_with_its_key_and_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for key in ["web.listen", "capture.listen", "capture.connect_listen"] {
        let mut command = Command::new(PROGRAM);
        // Rules of somebody else, which are not looked at.
        command.args([
            "serve",
            "--capture.redirect",
            "external",
            "--log.format",
            "json",
            "--state.dir",
        ]);
        command.arg(folder.path().join("state"));
        for door in ["web.listen", "capture.listen", "capture.connect_listen"] {
            command.arg(format!("--{door}")).arg(if door == key {
                &address
            } else {
                "127.0.0.1:0"
            });
        }
        let output = soon(command.kill_on_drop(true).output())
            .await
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&address) && said.contains(key), "{said}");
    }
}

/// A port that is taken does not matter to a process that has no use for it.
#[tokio::test]
async fn without_a_redirect_nothing_listens_for_redirected_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = ["capture.listen", "capture.connect_listen"];
    let taken = taken.map(|door| (door, TcpListener::bind("127.0.0.1:0").expect("a port")));
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--web.listen", "127.0.0.1:0", "--state.dir"]);
    command.arg(folder.path().join("state"));
    // The listeners for redirected connections are bound before the proxy.
    for (door, listener) in &taken {
        let address = listener.local_addr().expect("bound").to_string();
        command.arg(format!("--{door}")).arg(address);
    }
    command.args(["--capture.redirect", "off"]);
    let output = soon(command.kill_on_drop(true).output()).await;
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("capture.connect_listen"), "{said}");
}

#[tokio::test]
async fn sigterm_lets_a_stream_end_and_takes_no_new_connection() {
    let upstream = Upstream::start().await;
    let mut binary = Binary::start(&upstream.flags(&["--timeouts.drain", "1h"])).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;
    binary.signal(Signal::TERM);
    until(async || {
        TcpStream::connect(binary.connect)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert!(
        binary.ask("/readyz", "").await.starts_with("HTTP/1.1 503"),
        "not ready while it drains"
    );
    for _ in 0..10 {
        write_pieces(&mut provider, b"8\r\ndata: {}\r\n", &[3], false).await;
        assert_eq!(read_some(&mut agent, 13).await, b"8\r\ndata: {}\r\n");
    }
    assert!(
        binary.child.try_wait().expect("a child").is_none(),
        "it runs as long as the stream does"
    );
    write_pieces(&mut provider, LAST, &[1], false).await;
    assert_eq!(
        read_all(&mut agent).await,
        (LAST.to_vec(), true),
        "whole, and closed in order"
    );
    assert_eq!(binary.exit().await.code(), Some(0), "{}", binary.log());
}

#[tokio::test]
async fn a_second_signal_cuts_off_what_would_take_an_hour() {
    let upstream = Upstream::start().await;
    for second in [Signal::TERM, Signal::INT] {
        let mut binary = Binary::start(&upstream.flags(&["--timeouts.drain", "1h"])).await;
        let (mut agent, _provider) = upstream.stream(&binary).await;
        binary.signal(Signal::TERM);
        until(async || {
            binary
                .log()
                .contains("stopping: running exchanges may end")
                .then_some(())
        })
        .await;
        assert!(binary.child.try_wait().expect("a child").is_none());
        binary.signal(second);
        assert_eq!(
            read_all(&mut agent).await,
            (vec![], false),
            "cut off, not closed in order"
        );
        assert_eq!(binary.exit().await.code(), Some(0), "{}", binary.log());
    }
}

#[tokio::test]
async fn no_core_no_ptrace_and_no_key_log() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let keys = folder.path().join("keys.log");
    let program = folder.path().join("gravimeter");
    fs::copy(PROGRAM, &program).expect("a copy where every user may execute it");
    let mut command = Command::new(program);
    command.env("SSLKEYLOGFILE", &keys);
    // Files of a dumpable process belong to its user, all others to root: as root that cannot be
    // told apart.
    let user = if geteuid().is_root() {
        NOBODY
    } else {
        geteuid().as_raw()
    };
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
        for name in ["stdout", "stderr"] {
            fs::write(folder.path().join(name), "").expect("ours");
        }
    }
    let binary = Binary::with(command, folder, &upstream.flags(&[])).await;
    let process = Path::new("/proc").join(binary.pid().as_raw_nonzero().to_string());
    let limits = fs::read_to_string(process.join("limits")).expect("limits");
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .expect("a limit");
    assert_eq!(
        core.split_whitespace().collect::<Vec<_>>(),
        ["0", "0", "bytes"]
    );
    let status = fs::read_to_string(process.join("status")).expect("a status");
    let uids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .expect("uids");
    assert!(
        uids.split_whitespace().all(|uid| uid == user.to_string()),
        "{uids}"
    );
    assert_eq!(
        fs::metadata(process.join("environ"))
            .expect("a process")
            .uid(),
        0,
        "not dumpable"
    );

    let (mut agent, mut provider) = upstream.stream(&binary).await;
    write_pieces(&mut provider, LAST, &[usize::MAX], true).await;
    assert_eq!(read_all(&mut agent).await.0, LAST);
    assert!(!keys.exists(), "no session key is written down");
    binary.stop().await;
}

/// The kernel's overflow uid: it owns nothing.
const NOBODY: u32 = 65534;

#[tokio::test]
async fn too_low_a_limit_of_open_files_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = binary::spawn(
        with_open_files(255),
        &folder.path().join("state"),
        folder.path(),
        &[],
    );
    assert_eq!(soon(child.wait()).await.expect("a child").code(), Some(1));
    let said = fs::read_to_string(folder.path().join("stderr")).expect("a log");
    assert!(
        said.contains("at most 255 files may be open, 256 are needed"),
        "{said}"
    );
}

#[tokio::test]
async fn more_connections_than_files_cost_the_newcomers_only() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let flags = upstream.flags(&["--timeouts.connect_request", "1h"]);
    let binary = Binary::with(with_open_files(260), folder, &flags).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;

    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(
            soon(TcpStream::connect(binary.connect))
                .await
                .expect("the kernel's backlog takes it"),
        );
    }
    // Each of these is a new connection to the exporter while the crowd is there.
    binary
        .wait_for(
            "gravimeter_connections_refused_total",
            &[r#"reason="overload""#],
            400 - 50,
        )
        .await;
    assert_eq!(
        binary.sum("gravimeter_accept_errors_total", &[]).await,
        0,
        "descriptors never ran out"
    );
    write_pieces(&mut provider, LAST, &[usize::MAX], true).await;
    assert_eq!(
        read_all(&mut agent).await.0,
        LAST,
        "who was there before is served"
    );

    drop(crowd);
    // A newcomer is refused for as long as Gravimeter has not seen that those it let in are gone.
    binary
        .wait_for("gravimeter_connections_refused_total", &[], 400)
        .await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;
    write_pieces(&mut provider, LAST, &[usize::MAX], true).await;
    assert_eq!(read_all(&mut agent).await.0, LAST, "full service again");
    binary.stop().await;
}

/// The program under a hard limit of open files.
pub fn with_open_files(limit: u32) -> Command {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("ulimit -n {limit} && exec \"$0\" \"$@\""),
        PROGRAM,
    ]);
    command
}

#[tokio::test]
async fn two_that_start_at_once_share_one_ca() {
    let upstream = Upstream::start().await;
    for _ in 0..5 {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder
            .path()
            .join("shared")
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let flags = upstream.flags(&["--state.dir", &state]);
        let (one, other) = tokio::join!(Binary::start(&flags), Binary::start(&flags));
        let root = fs::read_to_string(Path::new(&state).join("ca/ca.pem")).expect("a CA");
        let bundle =
            fs::read_to_string(Path::new(&state).join("trust/bundle.pem")).expect("a bundle");
        assert!(bundle.contains(root.trim()), "the agent trusts the CA");
        for binary in [one, other] {
            let agent = Agent::new(&root, &["http/1.1"]);
            let tcp = knock(binary.connect, &format!("{CLOUD_CODE_HOST}:443"))
                .await
                .expect("an open door");
            let (agent, provider) = tokio::join!(
                agent.handshake(tcp, CLOUD_CODE_HOST),
                upstream.provider.accept()
            );
            assert!(
                agent.is_ok() && provider.is_ok(),
                "both speak for the CA on disk"
            );
            drop((agent, provider));
            binary.stop().await;
        }
    }
}

#[tokio::test]
async fn the_demo_agrees_with_the_provider_and_leaves_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let web = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let mut command = Command::new(PROGRAM);
    command
        .args([
            "demo",
            "--no-redirect",
            "--speed",
            "20",
            "--for",
            "4s",
            "--web.listen",
            &web.to_string(),
        ])
        .kill_on_drop(true);
    command
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = soon(command.output()).await.expect("the program runs");
    let (said, erred) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{said}{erred}");
    assert!(
        said.contains(&format!("curl -s http://{web}/metrics")),
        "{said}"
    );
    let total = said
        .lines()
        .rev()
        .find(|line| line.starts_with("total "))
        .expect("a table");
    let verdict = |words: &str| {
        said.lines()
            .find(|line| line.starts_with(words))
            .expect("a verdict")
    };
    let books = verdict("The provider's own books");
    let log = verdict("By the agent's own log, ");
    assert!(!log.contains(" 0 of 0 calls"), "{log}");
    let tokens = books
        .strip_prefix("The provider's own books say the same: ")
        .expect("an agreement");
    let tokens = tokens.strip_suffix(" tokens.").expect("a number");
    assert!(
        tokens != "0"
            && total
                .replace(',', "")
                .split_whitespace()
                .any(|word| word == tokens),
        "{total}\n{books}"
    );
    for model in ["MODEL", "gemini", "claude-opus-4-8", "gpt-5.6-sol"] {
        assert!(said.contains(model), "{said}");
    }
    for folder in [
        home.path().join(".local/state/gravimeter/demo"),
        "/var/lib/gravimeter/demo".into(),
    ] {
        assert!(!folder.exists(), "{}", folder.display());
    }
}
