//! How long `gravimeter statusline` takes from its start to its line, beside a program that does
//! nothing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Stage, row, title};

/// Runs each command so many times.
const RUNS: usize = 200;

pub fn run(stage: &Stage) {
    title("statusline: from the start of the process to its end, ms");
    row("", &["p50", "p99", "most"]);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().to_str().expect("UTF-8");
    let url = format!("http://{}", stage.gravimeter.web);
    let program = env!("CARGO_BIN_EXE_gravimeter");
    let of_exporter = [program, "statusline", "--url", &url];
    let of_nothing = [
        program,
        "statusline",
        "--web.listen",
        "127.0.0.1:1",
        "--state.dir",
        state,
    ];
    for (name, words) in [
        ("/bin/true", &["/bin/true"][..]),
        ("where nothing runs", &of_nothing),
        ("of the exporter", &of_exporter),
    ] {
        let mut times: Vec<Duration> = (0..RUNS).map(|_| timed(words)).collect();
        times.sort_unstable();
        let of = |place: usize| format!("{:.1}", times[place].as_secs_f64() * 1e3);
        row(name, &[&of(RUNS / 2), &of(RUNS * 99 / 100), &of(RUNS - 1)]);
    }
}

fn timed(words: &[&str]) -> Duration {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    let begun = Instant::now();
    let output = command.output().expect("it runs");
    let took = begun.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    took
}
