//! What `gravimeter run` adds to a program: to its start, and to the time until the shell is back.
//! In each round the program runs once by itself and once by each way that works here, so that what
//! else the machine does comes to all of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::{Options, row, title};

/// One run of the program.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Until its first own step.
    start: Duration,
    /// Until its end is known.
    whole: Duration,
}

pub fn run(options: &Options) {
    title("start of a program (gravimeter run -- date)");
    let state = tempfile::tempdir().expect("a folder");
    // What the first run of all makes (the CA, the ledger) is not counted.
    let mut ways = vec![None];
    for scope in ["proxy", "namespace", "cgroup"] {
        match once(&state, Some(scope)) {
            Ok(_) => ways.push(Some(scope)),
            Err(error) => println!("{scope}: not on this machine: {error}"),
        }
    }
    let rounds = options.rounds * ROUNDS_FOR_ONE;
    let mut measured: Vec<Vec<Times>> = vec![Vec::new(); ways.len()];
    for round in 0..rounds {
        for turn in 0..ways.len() {
            // Each round begins with another one.
            let turn = (turn + round) % ways.len();
            let times = once(&state, ways[turn]).expect("it has worked before");
            measured[turn].push(times);
        }
    }
    row(
        &format!("{rounds} rounds, p50 (p95)"),
        &["start", "added", "until the end", "added"],
    );
    for (way, times) in ways.iter().zip(&measured) {
        let columns = [
            spread(times.iter().map(|it| it.start)),
            added(times, &measured[0], |it| it.start),
            spread(times.iter().map(|it| it.whole)),
            added(times, &measured[0], |it| it.whole),
        ];
        row(
            way.unwrap_or("by itself"),
            &columns.each_ref().map(String::as_str),
        );
    }
}

/// Runs `date`, which says when it was started.
fn once(state: &TempDir, scope: Option<&str>) -> Result<Times, String> {
    let date = ["date", "+%s%N"];
    let mut command = match scope {
        None => Command::new(date[0]),
        Some(scope) => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_gravimeter"));
            command
                .args(["run", "--quiet", "--scope", scope, "--state.dir"])
                .arg(state.path())
                .args(["--", date[0]]);
            command
        }
    };
    command.arg(date[1]).stdin(Stdio::null());
    let (at, before) = (SystemTime::now(), Instant::now());
    let output = command.output().map_err(|error| error.to_string())?;
    let whole = before.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    let started = said.trim().parse().map(Duration::from_nanos);
    let started = started.map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let at = at.duration_since(UNIX_EPOCH).expect("a clock");
    Ok(Times {
        start: started.saturating_sub(at),
        whole,
    })
}

/// The differences within each round.
fn added(times: &[Times], alone: &[Times], part: impl Fn(&Times) -> Duration) -> String {
    let pairs = times.iter().zip(alone);
    spread(pairs.map(|(with, without)| part(with).saturating_sub(part(without))))
}

fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<_> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    format!("{:.0} ({:.0}) ms", at(0.5), at(0.95))
}

/// A round takes less than a second.
const ROUNDS_FOR_ONE: usize = 4;
