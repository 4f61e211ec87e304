//! A thousand runs of a program one after another, and a thousand short programs within one run:
//! memory, processes and the state folder stay as they were.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{mib, tell};
use crate::run::{Stage, borrowed, call, err, out};

const RUNS: usize = 1000;
/// After so many, everything that comes once has come.
const FIRST: usize = 100;
/// Every so many, the program makes a call; the others end at once.
const CALL_AT: usize = 20;
/// From the hundredth run to the last: a ledger's page for each of the calls between them, and a
/// record of each run.
const ALLOWED_BYTES: u64 = 1000 * (4 << 10);
/// What the allocator may make of the same work at another time.
const ALLOWED_MEMORY: u64 = 4 << 20;
const SHORT_PROGRAMS: usize = 1000;

/// What is there after a run.
#[derive(Debug)]
struct Seen {
    /// Memory of Gravimeter when its program ended, in bytes.
    memory: u64,
    /// Of the whole state folder.
    bytes: u64,
    /// Folders of runs.
    folders: usize,
    /// Processes of the user: a namespace lasts as long as one is in it.
    processes: usize,
}

#[test]
#[ignore = "soak"]
fn a_thousand_runs_leave_nothing_behind() {
    for scope in ["proxy", "namespace"] {
        let stage = Stage::new();
        let before = processes();
        let mut first = None;
        for number in 1..=RUNS {
            // Where the program is in a namespace, no address leads it to the stand-in.
            let with_call = scope == "proxy" && number % CALL_AT == 0;
            let output = one(&stage, scope, with_call);
            if number == FIRST {
                first = Some(look(&stage, &output));
            }
            if number == RUNS {
                let (first, last) = (first.take().expect("seen"), look(&stage, &output));
                assert_eq!(last.processes, before, "{scope}: {last:?}");
                assert_eq!(last.folders, first.folders, "{scope}");
                assert!(
                    last.bytes < first.bytes + ALLOWED_BYTES,
                    "{scope}: {first:?} {last:?}"
                );
                assert!(
                    last.memory < first.memory + ALLOWED_MEMORY,
                    "{scope}: {first:?} {last:?}"
                );
                tell(&format!(
                    "{RUNS} runs, {scope}: {first:?} after {FIRST}, {last:?} at the end"
                ));
            }
        }
    }
}

#[test]
#[ignore = "soak"]
fn a_thousand_short_programs_are_carried_by_one_run() {
    let stage = Stage::new();
    let curl = call("prompt=16 cached=4 thoughts=42 output=3");
    let quoted: Vec<_> = curl.iter().map(|word| format!("'{word}'")).collect();
    let half = SHORT_PROGRAMS / 2;
    let script = format!(
        "crowd() {{ seq {half} | xargs -P 50 -I % {} -o /dev/null; }}\n\
         memory() {{ sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status; }}\n\
         crowd && memory && crowd && memory",
        quoted.join(" ")
    );
    let output = stage
        .run(&["bash", "-c", &script])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(stage.json()["calls"], SHORT_PROGRAMS);
    let memory: Vec<u64> = out(&output)
        .lines()
        .map(|line| line.parse::<u64>().expect("a number") << 10)
        .collect();
    assert!(
        memory[1] < memory[0] + ALLOWED_MEMORY,
        "{} MiB after the first half, {} after the second",
        mib(memory[0]),
        mib(memory[1])
    );
    tell(&format!(
        "{SHORT_PROGRAMS} short programs in one run: {:.1} MiB after half of them, {:.1} after all",
        mib(memory[0]),
        mib(memory[1])
    ));
}

fn one(stage: &Stage, scope: &str, with_call: bool) -> Output {
    let curl = if with_call {
        let words = call("prompt=16 cached=4 thoughts=42 output=3");
        let quoted: Vec<_> = borrowed(&words)
            .iter()
            .map(|word| format!("'{word}'"))
            .collect();
        quoted.join(" ") + " >/dev/null &&"
    } else {
        String::new()
    };
    let memory = "sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status";
    let mut command = stage.as_user();
    command.args(stage.words(scope)).args([
        "--quiet",
        "--",
        "bash",
        "-c",
        &format!("{curl} {memory}"),
    ]);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{scope}: {}", err(&output));
    output
}

fn look(stage: &Stage, output: &Output) -> Seen {
    let state = stage.home().join(".local/state/gravimeter");
    Seen {
        memory: out(output).trim().parse::<u64>().expect("a number") << 10,
        bytes: bytes(&state),
        folders: fs::read_dir(state.join("runs")).expect("runs").count(),
        processes: processes(),
    }
}

fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("its size");
        if metadata.is_dir() {
            bytes(&entry.path())
        } else {
            metadata.len()
        }
    });
    sizes.sum()
}

/// Of the ordinary user by whom everything is run.
fn processes() -> usize {
    let all = procfs::process::all_processes().expect("processes");
    let of_user =
        |process: &procfs::process::Process| process.uid().is_ok_and(|uid| uid == crate::run::USER);
    all.flatten().filter(of_user).count()
}
