//! Promise: whatever bytes come, no reader panics, and where they are cut makes no difference.
//!
//! Every run replays the seeds, the corpus that fuzzing has kept (`tests/fuzz/corpus`), and a fixed
//! row of mutations of both. `scripts/fuzz.sh` looks for more with libFuzzer.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};

use gravimeter::cascade::fuzz::{fuzz_differences, fuzz_documents, fuzz_frames};
use gravimeter::config::fuzz::fuzz_config;
use gravimeter::dialect::fuzz::{fuzz_dialects, fuzz_sessions};
use gravimeter::ledger::fuzz::fuzz_ledger;
use gravimeter::observe::Alpn;
use gravimeter::observe::fuzz::{
    fuzz_event_stream, fuzz_framing, fuzz_json, fuzz_sse, fuzz_web_socket,
};
use gravimeter::rules::fuzz::fuzz_rules;
use gravimeter::tls::hello::fuzz::fuzz_client_hello;

/// A reader, by the name of its target, and inputs to begin with.
type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

const TARGETS: [Target; 15] = [
    ("client_hello", fuzz_client_hello, seeds::client_hello),
    ("config", fuzz_config, seeds::config),
    ("dialects", fuzz_dialects, seeds::dialects),
    ("differences", fuzz_differences, seeds::differences),
    ("documents", fuzz_documents, seeds::documents),
    ("event_stream", fuzz_event_stream, seeds::event_stream),
    ("frames", fuzz_frames, seeds::frames),
    (
        "framing_http1",
        |bytes| fuzz_framing(Alpn::Http1, bytes),
        seeds::http1,
    ),
    (
        "framing_http2",
        |bytes| fuzz_framing(Alpn::H2, bytes),
        seeds::http2,
    ),
    ("json", fuzz_json, seeds::json),
    ("ledger", fuzz_ledger, seeds::ledger),
    ("rules", fuzz_rules, seeds::rules),
    ("sessions", fuzz_sessions, seeds::sessions),
    ("sse", fuzz_sse, seeds::sse),
    ("web_socket", fuzz_web_socket, seeds::web_socket),
];

/// Mutations of each target's inputs in every run.
const MUTATIONS: usize = 10_000;
/// A mutation grows no longer than this: what it takes to read one twice must stay short.
const LONGEST: usize = 4096;

#[test]
fn no_input_breaks_a_reader() {
    std::thread::scope(|scope| {
        for (name, read, seeds) in TARGETS {
            scope.spawn(move || replay(name, read, [seeds(), kept(name)].concat()));
        }
    });
}

fn replay(name: &str, read: fn(&[u8]), inputs: Vec<Vec<u8>>) {
    assert!(inputs.len() > 2, "{name} has something to begin with");
    inputs.iter().for_each(|input| read(input));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..MUTATIONS {
        let mut input = inputs[dice.below(inputs.len())].clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut input, &inputs, &mut dice);
        }
        input.truncate(LONGEST);
        let shown = Shown(name, &input);
        read(&input);
        std::mem::forget(shown);
    }
}

/// Tells the input of a reader that has panicked, so that it can be kept.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", self.0));
        let _ = fs::write(path, self.1);
    }
}

fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    match dice.below(7) {
        0 => input.truncate(at),
        1 => input.insert(at, dice.below(256) as u8),
        2 if at < input.len() => drop(input.remove(at)),
        3 if at < input.len() => input[at] ^= 1 << dice.below(8),
        4 if at < input.len() => input[at] = *dice.of(b"\r\n :;,{}[]\"\\0-e\x00\x7f\x80\xff"),
        5 => {
            let other = dice.of(others);
            let from = dice.below(other.len() + 1);
            let piece = &other[from..(from + dice.below(64)).min(other.len())];
            input.splice(at..at, piece.iter().copied());
        }
        _ => {
            let piece = input[at..(at + dice.below(64)).min(input.len())].to_vec();
            input.splice(at..at, piece);
        }
    }
}

/// A fixed sequence (xorshift), so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz")
        .join(name)
}

/// What fuzzing has found and kept for a target.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let Ok(files) = fs::read_dir(folder("corpus").join(name)) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a readable file"))
        .collect()
}

#[test]
fn every_target_can_be_fuzzed() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("a manifest");
    let files = fs::read_dir(folder("fuzz_targets")).expect("targets");
    let mut files: Vec<_> = files
        .map(|file| {
            file.expect("an entry")
                .path()
                .file_stem()
                .expect("a name")
                .to_owned()
        })
        .collect();
    files.sort();
    assert_eq!(
        files,
        TARGETS.map(|(name, ..)| name),
        "one file for each target"
    );
    for corpus in fs::read_dir(folder("corpus")).expect("what is kept") {
        let target = corpus.expect("an entry").file_name();
        assert!(
            TARGETS.iter().any(|(name, ..)| target == *name),
            "{} is the corpus of no target",
            target.display()
        );
    }
    for (name, ..) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "tests/fuzz/Cargo.toml lists {name}"
        );
    }
}

/// For `scripts/fuzz.sh`: libFuzzer wants files.
#[test]
#[ignore = "writes the seeds for libFuzzer"]
fn write_seeds() {
    for (name, _, seeds) in TARGETS {
        let folder = folder("seeds").join(name);
        fs::create_dir_all(&folder).expect("a writable folder");
        for (number, seed) in seeds().into_iter().enumerate() {
            fs::write(folder.join(number.to_string()), seed).expect("a writable folder");
        }
    }
}
