//! A thousand runs of a program in a network namespace of its own, each of which asks for a name: with
//! pasta and without. Ignored unless asked for: `scripts/test.sh --soak`.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::run::{HOME, call, nothing_is_left, on_network_for, quoted, run};
use crate::running::{FIRST, HOST, Provider};
use crate::scopes::{ADDRESS_OF_EVERY_NAME, services};
use crate::stage::{OPERATOR, PROGRAM, PROVIDER_V4, STATE, root, shell_as, text};

const RUNS: usize = 1000;
/// After so many, everything that comes once has come.
const FIRST_RUNS: usize = 100;
/// Every so many, the program makes a call, to a host that only the resolver knows.
const CALL_AT: usize = 20;
/// From the hundredth run to the last: a page of the ledger for each call, and a record of each run.
const ALLOWED_BYTES: u64 = 1000 * (4 << 10);
/// What the allocator may make of the same work at another time.
const ALLOWED_MEMORY: u64 = 4 << 20;
/// Far more than it takes on a busy machine.
const LIMIT_SECONDS: u32 = 7200;

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
    /// Network namespaces of the machine.
    namespaces: String,
}

pub(crate) fn a_thousand_runs_in_a_namespace_resolve_names_and_leave_nothing_behind() {
    on_network_for(
        "soak::a_thousand_runs_in_a_namespace_resolve_names_and_leave_nothing_behind",
        LIMIT_SECONDS,
        || {
            let _provider = Provider::start(PROVIDER_V4, FIRST);
            let _services = services();
            for carrier in ["pasta", "gravimeter"] {
                if carrier == "gravimeter" {
                    root("rm -f $(type -P pasta)");
                }
                let before = processes();
                let mut first = None;
                for number in 1..=RUNS {
                    let memory = one(number % CALL_AT == 0);
                    if number == FIRST_RUNS {
                        first = Some(look(memory));
                    } else if number == RUNS {
                        let (first, last) = (first.take().expect("seen"), look(memory));
                        assert_flat(carrier, before, &first, &last);
                        writeln!(
                            std::io::stdout(),
                            "soak: {RUNS} runs carried by {carrier}: {first:?} after {FIRST_RUNS}, {last:?} at the end"
                        ).expect("stdout");
                    }
                }
            }
            let usage = format!("HOME={HOME} {PROGRAM} usage --json");
            let usage = shell_as(OPERATOR, &usage);
            let usage: serde_json::Value = serde_json::from_slice(&usage.stdout).expect("JSON");
            assert_eq!(usage["totals"]["calls"], 2 * RUNS / CALL_AT, "{usage}");
            nothing_is_left();
        },
    );
}

/// Runs a program that asks for a name, and returns the memory of its Gravimeter.
fn one(with_call: bool) -> u64 {
    let by_name = call(PROVIDER_V4).replace(&format!("--resolve {HOST}:443:{PROVIDER_V4}"), "");
    let call = if with_call {
        format!("{by_name} >/dev/null &&")
    } else {
        String::new()
    };
    let program = format!(
        "{call} getent ahostsv4 name.example | head -1 && sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status"
    );
    let output = run(&format!(
        "--scope namespace --quiet -- bash -c {}",
        quoted(&program)
    ));
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let (address, memory) = said.trim().split_once('\n').expect("two lines");
    assert!(address.starts_with(ADDRESS_OF_EVERY_NAME), "{said}");
    memory.parse::<u64>().expect("a number") << 10
}

fn look(memory: u64) -> Seen {
    let bytes = root(&format!("du --bytes --summarize {STATE} | cut -f1"));
    Seen {
        memory,
        bytes: bytes.trim().parse().unwrap_or_else(|_| panic!("{bytes}")),
        folders: fs::read_dir(Path::new(STATE).join("runs"))
            .expect("runs")
            .count(),
        processes: processes(),
        namespaces: root("lsns --noheadings --type net | wc -l")
            .trim()
            .to_owned(),
    }
}

fn processes() -> usize {
    let listed = shell_as("root", &format!("pgrep --count -u {OPERATOR}"));
    text(&listed).trim().parse().expect("a number")
}

fn assert_flat(carrier: &str, before: usize, first: &Seen, last: &Seen) {
    assert_eq!(last.processes, before, "{carrier}: {last:?}");
    assert_eq!(last.folders, first.folders, "{carrier}");
    assert_eq!(last.namespaces, first.namespaces, "{carrier}");
    assert!(
        last.bytes < first.bytes + ALLOWED_BYTES && last.memory < first.memory + ALLOWED_MEMORY,
        "{carrier}: {first:?} {last:?}"
    );
}
