//! However the program ends, so does `gravimeter run`; and nothing outlives a kill.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use super::{Stage, err, out};
use crate::kit::binary::until;

#[test]
fn exit_codes_and_signals_are_passed_on() {
    let stage = Stage::new();
    for code in [0, 1, 7, 255] {
        let output = stage.run(&["sh", "-c", &format!("exit {code}")]).output();
        assert_eq!(output.expect("it runs").status.code(), Some(code));
    }
    for signal in [
        Signal::INT,
        Signal::TERM,
        Signal::KILL,
        Signal::SEGV,
        Signal::PIPE,
    ] {
        let number = signal.as_raw();
        let output = stage
            .run(&["sh", "-c", &format!("kill -{number} $$")])
            .output();
        assert_eq!(output.expect("it runs").status.signal(), Some(number));
    }
    assert_eq!(stage.json()["exit_code"], 128 + Signal::PIPE.as_raw());
}

#[test]
fn a_command_that_cannot_be_run_has_the_exit_code_of_a_shell() {
    let stage = Stage::new();
    let data = stage.home().join("data");
    fs::write(&data, "no program").expect("written");
    for (command, code, words) in [
        ("no-such-program", 127, "command not found"),
        ("/no/such/program", 127, "command not found"),
        (data.to_str().expect("UTF-8"), 126, "cannot be executed"),
        ("/", 126, "cannot be executed"),
        ("\u{1b}[2J", 127, "command not found"),
    ] {
        let output = stage.run(&[command]).output().expect("it runs");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{command}: {}",
            err(&output)
        );
        assert!(err(&output).contains(words), "{}", err(&output));
        assert!(!err(&output).contains('\u{1b}'), "{}", err(&output));
    }
    // A script without an interpreter of its own is the shell's, as everywhere.
    fs::write(&data, "exit 9").expect("written");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("ours");
    let output = stage.run(&[data.to_str().expect("UTF-8")]).output();
    assert_eq!(output.expect("it runs").status.code(), Some(9));
}

#[test]
fn wrong_arguments_are_explained() {
    let stage = Stage::new();
    for words in [
        &[][..],
        &["--"],
        &["--scope", "moon", "--", "true"],
        &["--no-such-flag", "true"],
    ] {
        let mut command = stage.as_user();
        let output = command
            .arg(stage.path("gravimeter"))
            .arg("run")
            .args(words)
            .output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", err(&output));
        assert!(
            err(&output).contains("--help"),
            "{words:?}: {}",
            err(&output)
        );
    }
    let mut command = stage.as_user();
    command.args(stage.words("proxy")).args(["echo", "--quiet"]);
    let output = command.output().expect("it runs");
    assert_eq!(out(&output), "--quiet\n", "no `--` is needed");

    let mut command = stage.as_user();
    let output = command
        .arg(stage.path("gravimeter"))
        .args([
            "run",
            "--json",
            "/no/such/folder/file",
            "--",
            "touch",
            "started",
        ])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("/no/such/folder/file"),
        "{}",
        err(&output)
    );
    assert!(
        !stage.home().join("started").exists(),
        "nothing was started"
    );
}

#[test]
fn a_working_directory_that_is_gone_does_no_harm() {
    let stage = Stage::new();
    let script = format!(
        "mkdir gone && cd gone && rmdir ../gone && exec {} run --scope proxy -- echo here",
        stage.path("gravimeter").display()
    );
    let output = stage
        .as_user()
        .args(["sh", "-c", &script])
        .output()
        .expect("it runs");
    assert_eq!(out(&output), "here\n", "{}", err(&output));
}

/// SIGTERM is the program's: it ends in its own way, and is summed up as always.
#[tokio::test]
async fn a_signal_for_us_is_passed_on() {
    let stage = Stage::new();
    let script = "trap 'echo asked; exit 3' TERM; echo up > up; while :; do sleep 0.01; done";
    let mut command = stage.run(&["sh", "-c", script]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    until(async || stage.home().join("up").exists().then_some(())).await;
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), out(&output).as_str()),
        (Some(3), "asked\n")
    );
    assert!(
        err(&output).contains("no call of a model was seen"),
        "{}",
        err(&output)
    );
}

/// The program gets SIGHUP, as when its terminal is closed.
#[tokio::test]
async fn a_kill_of_gravimeter_leaves_no_program_behind() {
    let stage = Stage::new();
    let script = "echo $$ > pid.new; mv pid.new pid; exec sleep 1000";
    let mut command = stage.as_user();
    // The tests themselves may run under `nohup`, and the program ends by a hangup.
    command
        .args(["env", "--default-signal=HUP"])
        .args(stage.words("proxy"))
        .args(["--", "sh", "-c", script]);
    let mut child = command.spawn().expect("it runs");
    let pid = until(async || fs::read_to_string(stage.home().join("pid")).ok()).await;
    let pid = pid.trim().parse().expect("a number");
    assert!(is_running(pid));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    until(async || (!is_running(pid)).then_some(())).await;
}

/// A process that has ended and that nobody has waited for (a zombie) does not run.
fn is_running(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state != 'Z')
}

/// What was ignored before stays ignored: `nohup gravimeter run -- ...` survives a hangup.
#[tokio::test]
async fn ignored_signals_stay_ignored() {
    let stage = Stage::new();
    let script = "grep SigIgn /proc/self/status";
    let mut command = stage.as_user();
    command
        .args(["env", "--ignore-signal=HUP"])
        .args(stage.words("proxy"));
    let output = command
        .args(["--", "sh", "-c", script])
        .output()
        .expect("it runs");
    let ignored = out(&output);
    let mask = ignored.split_whitespace().last().expect("a mask");
    assert_eq!(
        u64::from_str_radix(mask, 16).expect("hexadecimal") & 1,
        1,
        "{ignored}"
    );
}
