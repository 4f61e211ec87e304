//! A program on a terminal cannot tell whether we are there.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::Stage;
use crate::kit::pty::Pty;

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

/// Draws on the alternate screen in raw mode, shows its size, each key, and each change of the size;
/// ends by `q`.
const SCREEN_PROGRAM: &str = include_str!("../kit/screen.py");

/// `gravimeter run --quiet` in front of a program.
fn quiet(stage: &Stage, program: &[&str]) -> Command {
    let mut command = stage.as_user();
    command
        .args(stage.words("proxy"))
        .args(["--quiet", "--"])
        .args(program);
    command
}

fn plain(stage: &Stage, program: &[&str]) -> Command {
    let mut command = stage.as_user();
    command.args(program);
    command
}

#[tokio::test]
async fn every_byte_on_the_screen_is_the_same_with_and_without_us() {
    let stage = Stage::new();
    let program = ["python3", "-c", SCREEN_PROGRAM];
    let mut screens = Vec::new();
    for command in [plain(&stage, &program), quiet(&stage, &program)] {
        let mut pty = Pty::start(&command, 24, 101);
        pty.shows("size 101x24\r\n").await;
        for (key, shown) in [
            ("a", "key b'a'\r\n"),
            (CTRL_C, "key b'\\x03'\r\n"),
            (CTRL_Z, "key b'\\x1a'\r\n"),
        ] {
            pty.enter(key);
            pty.shows(shown).await;
        }
        pty.resize(30, 77);
        pty.shows("size 77x30\r\n").await;
        pty.enter("q");
        let (status, screen) = pty.end().await;
        assert!(status.success(), "{screen:?}");
        screens.push(screen);
    }
    assert_eq!(screens[0], screens[1]);
}

/// Takes each SIGINT by itself and says who has sent it: the kernel for a terminal (`SI_KERNEL`,
/// 128), or a process. Ends by SIGUSR1.
const SIGNALS_PROGRAM: &str = "\
import signal
signals = {signal.SIGINT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print('up', flush=True)
while True:
    received = signal.sigwaitinfo(signals)
    if received.si_signo == signal.SIGUSR1:
        print('the end', flush=True)
        break
    print('interrupted by', received.si_code, flush=True)
";

/// Gravimeter is stopped while the key is pressed, so that the program has taken its own signal
/// before Gravimeter sees its: a second one could not be merged with the first. It is then asked to
/// pass SIGUSR1 on, which it does after whatever it does about the key.
#[tokio::test]
async fn a_key_that_interrupts_reaches_the_program_once() {
    let stage = Stage::new();
    let mut pty = Pty::start(&quiet(&stage, &["python3", "-c", SIGNALS_PROGRAM]), 24, 80);
    pty.shows("up").await;
    let gravimeter = Pid::from_raw(pty.id().cast_signed()).expect("a process");
    let send = |signal| kill_process(gravimeter, signal).expect("it runs");
    send(Signal::STOP);
    pty.enter(CTRL_C);
    pty.shows("interrupted by 128\r\n").await;
    send(Signal::USR1);
    send(Signal::CONT);
    pty.shows("the end").await;
    let (status, screen) = pty.end().await;
    assert!(status.success(), "{screen:?}");
    assert_eq!(screen.matches("interrupted").count(), 1, "{screen:?}");
}

#[tokio::test]
async fn a_program_that_is_interrupted_ends_us_by_the_same_signal() {
    let stage = Stage::new();
    for (key, signal) in [(CTRL_C, Signal::INT), (CTRL_BACKSLASH, Signal::QUIT)] {
        // Python, because a shell may ignore SIGQUIT.
        let script = "import resource, signal\n\
                      resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n\
                      signal.signal(signal.SIGINT, signal.SIG_DFL)\n\
                      print('up', flush=True)\n\
                      while True: signal.pause()";
        let mut pty = Pty::start(&quiet(&stage, &["python3", "-c", script]), 24, 80);
        pty.shows("up").await;
        pty.enter(key);
        let (status, screen) = pty.end().await;
        assert_eq!(status.signal(), Some(signal.as_raw()), "{screen:?}");
    }
}

/// The shell of a person: a job is stopped and goes on.
#[tokio::test]
async fn a_job_is_stopped_and_goes_on() {
    let stage = Stage::new();
    let run = stage.words("proxy").join(" ");
    let mut pty = Pty::start(
        &plain(&stage, &["bash", "--norc", "--noprofile", "-i"]),
        24,
        300,
    );
    pty.enter(&format!(
        "{run} --quiet -- bash -c 'echo program is u\"\"p; read line; echo \"read $line\"'\n"
    ));
    pty.shows("program is up").await;
    pty.enter(CTRL_Z);
    pty.shows("Stopped").await;
    pty.enter("echo in-the-she\"\"ll\n");
    pty.shows("in-the-shell").await;
    pty.enter("fg\n");
    pty.enter("hello\n");
    pty.shows("read hello").await;
    pty.enter("exit 5\n");
    let (status, screen) = pty.end().await;
    assert_eq!(status.code(), Some(5), "{screen:?}");
}

/// A script ends at Ctrl-C when the program that it waits for was ended by it.
#[tokio::test]
async fn a_script_is_interrupted_with_its_program() {
    let stage = Stage::new();
    let run = stage.words("proxy").join(" ");
    let script = format!("{run} --quiet -- bash -c 'echo up; exec sleep 1000'; echo after");
    let mut pty = Pty::start(&plain(&stage, &["bash", "-c", &script]), 24, 80);
    pty.shows("up").await;
    pty.enter(CTRL_C);
    let (status, screen) = pty.end().await;
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()), "{screen:?}");
    assert!(!screen.contains("after"), "{screen:?}");
}

/// A program that was killed in raw mode leaves no such terminal to the summary.
#[tokio::test]
async fn the_summary_of_a_killed_program_is_written_in_order() {
    let stage = Stage::new();
    let script = "stty raw; printf 'raw mode'; kill -KILL $$";
    let mut command = stage.as_user();
    command
        .args(stage.words("proxy"))
        .args(["--", "bash", "-c", script]);
    let (status, screen) = Pty::start(&command, 24, 80).end().await;
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{screen:?}");
    let summary = screen
        .split_once("raw mode")
        .expect("the program's own words")
        .1;
    assert!(summary.ends_with("\r\n"), "{screen:?}");
}
