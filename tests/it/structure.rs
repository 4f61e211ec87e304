//! The source keeps its plan: ranks are respected, files stay one idea, names are plain and stand
//! for one thing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by rank, as the table in `src/lib.rs` has them.
const RANKS: [(&str, u8); 23] = [
    ("record", 0),
    ("demo", 1),
    ("budget", 1),
    ("git", 1),
    ("pricing", 1),
    ("term", 1),
    ("capture", 2),
    ("observe", 2),
    ("tls", 2),
    ("top", 2),
    ("dialect", 3),
    ("cascade", 4),
    ("export", 4),
    ("ledger", 4),
    ("launch", 4),
    ("notify", 4),
    ("rules", 4),
    ("summary", 4),
    ("relay", 5),
    ("web", 5),
    ("config", 6),
    ("app", 7),
    ("cli", 8),
];

/// Lines of one file, tests aside. A longer one is usually more than one idea.
const CEILING: usize = 400;

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&source_root(), &mut files);
    assert!(files.len() > 30, "the walk finds the sources");
    files
        .into_iter()
        .map(|path| {
            (
                path.clone(),
                fs::read_to_string(&path).expect("UTF-8 source"),
            )
        })
        .collect()
}

fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(source_root()).expect("inside src");
    let room = inside.components().next()?.as_os_str().to_str()?;
    (!room.ends_with(".rs")).then(|| room.to_owned())
}

fn rank(room: &str) -> Option<u8> {
    RANKS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, rank)| *rank)
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// The part of a file that is not its inline test module.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

#[test]
fn rooms_use_only_rooms_of_a_lower_rank() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room_of(&path) else { continue };
        if is_test_file(&path) {
            continue;
        }
        let own = rank(&room).unwrap_or_else(|| panic!("the room {room} has no rank"));
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for used in code.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                if used != room && rank(&used).is_some_and(|other| other >= own) {
                    broken.push(format!(
                        "{}:{}: {room} uses {used}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The parts of `ledger` by rank, as `src/ledger/mod.rs` has them.
const LEDGER_RANKS: [(&str, u8); 3] = [("memory", 0), ("file", 1), ("answers", 2)];

/// A part uses its own files and parts of a lower rank. What stands in `ledger` itself is above all
/// of them.
#[test]
fn parts_of_the_ledger_use_only_parts_of_a_lower_rank() {
    let ledger = source_root().join("ledger");
    let rank = |part: &str| LEDGER_RANKS.iter().find(|(name, _)| *name == part);
    let (mut broken, mut uses) = (Vec::new(), 0);
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix(&ledger) else {
            continue;
        };
        let Some(part) = inside.parent().and_then(Path::to_str) else {
            continue;
        };
        if part.is_empty() || is_test_file(&path) {
            continue;
        }
        let (_, own) = rank(part).unwrap_or_else(|| panic!("the part {part} has no rank"));
        // Of a file, `super` is its part; of the part's own `mod.rs`, it is the ledger.
        let is_root = inside.ends_with("mod.rs");
        let to_ledger = if is_root { "super::" } else { "super::super::" };
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for path_to_ledger in ["crate::ledger::", to_ledger] {
                for used in code.split(path_to_ledger).skip(1) {
                    let used = used.split([':', ';', ',', ' ']).next().unwrap_or_default();
                    uses += 1;
                    if used != part && rank(used).is_none_or(|(_, other)| other >= own) {
                        let number = number + 1;
                        broken.push(format!("{}:{number}: {part} uses {used}", path.display()));
                    }
                }
            }
        }
    }
    assert!(uses > 30, "the scan finds what is used");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_room_of_the_codemap_exists_and_is_listed() {
    let codemap = fs::read_to_string(source_root().join("lib.rs")).expect("lib.rs");
    for (room, rank) in RANKS {
        assert!(
            codemap.contains(&format!("| {rank} | [`{room}`]")),
            "lib.rs lists {room} with rank {rank}"
        );
        assert!(source_root().join(room).is_dir(), "src/{room} exists");
    }
}

#[test]
fn files_stay_one_idea() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = without_tests(&text).lines().count();
        let name = path
            .strip_prefix(source_root())
            .expect("below src")
            .display()
            .to_string();
        if lines > CEILING && !is_test_file(&path) {
            wrong.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One name stands for one type within a room, and within a dialect: each of those is a folder of
/// the same shape. Private types of one file are left out: nothing outside the file sees them.
#[test]
fn no_two_types_of_a_room_share_a_name() {
    let mut files: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (room, file, visibility, name) in types() {
        if !visibility.is_empty() {
            let dialect = file.split_once('/').filter(|_| room == "dialect");
            let room = dialect.map_or(room.clone(), |(dialect, _)| format!("{room}/{dialect}"));
            files.entry((room, name)).or_default().push(file);
        }
    }
    let broken: Vec<_> = files
        .into_iter()
        .filter(|((room, name), files)| {
            files.len() > 1 && !SHARED_NAMES.contains(&(room.as_str(), name.as_str()))
        })
        .map(|((room, name), files)| format!("{room}: {name} in {}", files.join(", ")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Names that two types of a room may have: a `Config` belongs to its module and is read with it.
const SHARED_NAMES: [(&str, &str); 5] = [
    ("capture", "Config"),
    ("cascade", "Config"),
    ("export", "Config"),
    ("ledger", "Place"),
    ("ledger", "Store"),
];

/// Types have the field's standard words for names, no pictures that only their author knows.
#[test]
fn no_type_is_named_by_a_private_metaphor() {
    let broken: Vec<_> = types()
        .into_iter()
        .filter(|(_, _, _, name)| METAPHORS.contains(&name.as_str()))
        .map(|(room, file, _, name)| format!("{room}/{file}: {name}"))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

const METAPHORS: [&str; 19] = [
    "Audience",
    "Books",
    "Complaints",
    "Crowd",
    "Desk",
    "Ear",
    "Fate",
    "Hear",
    "Heard",
    "Held",
    "Kept",
    "Ladder",
    "Nobody",
    "Seat",
    "Seats",
    "Stood",
    "Sure",
    "Threads",
    "Told",
];

/// Room, file, visibility (empty where it is private) and name of every type outside of tests.
fn types() -> Vec<(String, String, String, String)> {
    let mut types = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room_of(&path).filter(|_| !is_test_file(&path)) else {
            continue;
        };
        let inside = path.strip_prefix(source_root().join(&room));
        let file = inside.expect("inside its room").display().to_string();
        for line in without_tests(&text).lines().map(str::trim_start) {
            let (visibility, item) = match line.strip_prefix("pub") {
                Some(rest) if rest.starts_with('(') => rest.split_once(") ").unwrap_or(("", line)),
                Some(rest) => ("pub", rest.trim_start()),
                None => ("", line),
            };
            let kinds = ["enum ", "struct ", "trait ", "type ", "union "];
            let named = kinds.iter().find_map(|kind| item.strip_prefix(kind));
            let name: String = named
                .unwrap_or_default()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if name.starts_with(|c: char| c.is_ascii_uppercase()) {
                types.push((room.clone(), file.clone(), visibility.to_owned(), name));
            }
        }
    }
    assert!(types.len() > 500, "the scan finds the types");
    types
}

#[test]
fn every_module_opens_with_its_purpose() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| !is_test_file(path) && !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// Only a dialect knows a provider, and only what starts or follows an agent knows the agent: a new
/// one is a folder and a line in a table. Comments may name any as an example.
#[test]
fn no_provider_is_named_outside_of_its_dialect() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let name = path.strip_prefix(source_root()).expect("below src");
        let name = name.display().to_string();
        let room = room_of(&path).unwrap_or_default();
        if NAMING_ROOMS.contains(&room.as_str()) || is_test_file(&path) {
            continue;
        }
        let code = without_tests(&text)
            .lines()
            .map(|line| line.split("//").next());
        let code = code.flatten().collect::<Vec<_>>().join("\n").to_lowercase();
        let is_named = PROVIDERS.iter().any(|provider| code.contains(provider));
        if is_named != NAMING_FILES.iter().any(|(file, _)| *file == name) {
            broken.push(name);
        }
    }
    assert!(
        broken.is_empty(),
        "they name a provider and are not on the list, or are needlessly on it: {broken:?}"
    );
}

/// The rooms that are about certain providers or agents.
const NAMING_ROOMS: [&str; 5] = ["cascade", "demo", "dialect", "launch", "pricing"];

/// Other files that name a provider or an agent, each with the reason. None is added without one;
/// what names none any more leaves the list.
const NAMING_FILES: [(&str, &str); 16] = [
    ("app/demo/configure.rs", "the demo's providers"),
    ("app/demo/mod.rs", "the demo's agents"),
    (
        "capture/redirect.rs",
        "the default name of the agent's user",
    ),
    ("cli/demo.rs", "the demo's agents"),
    ("cli/flags.rs", "the flag that is short for a preset"),
    ("cli/launcher.rs", "the programs of the examples"),
    ("config/keys/agent.rs", "the keys of a preset"),
    ("config/keys/base_url.rs", "the paths of the base-URL door"),
    (
        "config/keys/capture.rs",
        "the default name of the agent's user",
    ),
    ("config/places.rs", "where the agent writes how to reach it"),
    (
        "config/value/plain.rs",
        "the default name of the agent's user, as an example",
    ),
    (
        "ledger/file/schema.rs",
        "the agent whose runs earlier versions have seen",
    ),
    ("record/call.rs", "the labels of all providers"),
    ("record/sample.rs", "a call for tests"),
    ("record/turn.rs", "the labels of all agents"),
    (
        "record/unread.rs",
        "segments of paths that are no identifiers",
    ),
];

/// What is in the names of providers, their products and their hosts.
const PROVIDERS: [&str; 25] = [
    "amazonaws",
    "anthropic",
    "antigravity",
    "azure",
    "bedrock",
    "bigmodel",
    "chatgpt",
    "claude",
    "cloud_code",
    "cloudcode",
    "codestral",
    "codex",
    "copilot",
    "deepseek",
    "foundry",
    "gemini",
    "googleapis",
    "groq",
    "mistral",
    "moonshot",
    "ollama",
    "openai",
    "openrouter",
    "vertex",
    "zai",
];

/// A value in Rust's own form (`Some(127.0.0.1:80)`) is for nobody who reads a log. Times are:
/// `1.5s`.
#[test]
fn log_lines_hold_no_value_in_rusts_own_form() {
    let mut raw = Vec::new();
    for (path, text) in sources() {
        if is_test_file(&path) {
            continue;
        }
        for level in ["info!(", "warn!(", "error!("] {
            for call in without_tests(&text).split(level).skip(1) {
                let fields = call.split(");").next().unwrap_or_default();
                let fields = fields
                    .split('"')
                    .step_by(2)
                    .flat_map(|code| code.split([',', '=']))
                    .map(str::trim);
                let shown = fields.filter(|field| field.starts_with('?') && !TIMES.contains(field));
                raw.extend(shown.map(|field| format!("{}: {level} {field}", path.display())));
            }
        }
    }
    assert!(raw.is_empty(), "{}", raw.join("\n"));
}

/// Fields that are a `Duration`.
const TIMES: [&str; 2] = ["?pause", "?self.drain"];

/// `docs/reliability.md`: each promise names its tests, as `it module::test`, `lib ...`, `netns
/// ...`, `clients ...` or `soak ...`.
#[test]
fn every_promise_is_proven_by_tests_that_exist() {
    let page = fs::read_to_string(repository().join("docs/reliability.md")).expect("the page");
    let promises = page
        .split("## Promises")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .expect("promises");
    let rows = promises
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut named = Vec::new();
    for row in rows {
        let tests: Vec<_> = row.split('`').filter(|text| is_test_name(text)).collect();
        assert!(!tests.is_empty(), "nothing proves: {row}");
        for test in tests {
            assert!(is_a_test(test), "{test} does not exist, but proves: {row}");
            named.push(test.to_owned());
        }
    }
    assert!(named.len() > 50, "the page was read");
    for kind in ["faults", "soak"] {
        let mut files = Vec::new();
        rust_files(&repository().join("tests/it").join(kind), &mut files);
        for file in files {
            let module = file
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            for test in tests_in(&fs::read_to_string(&file).expect("UTF-8 source")) {
                let name = if kind == "soak" {
                    format!("soak {module}::{test}")
                } else {
                    format!("it {kind}::{module}::{test}")
                };
                assert!(named.contains(&name), "no promise names {name}");
            }
        }
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn is_test_name(text: &str) -> bool {
    ["clients ", "it ", "lib ", "netns ", "soak "]
        .iter()
        .any(|binary| text.starts_with(binary))
        && text.contains("::")
}

/// Whether there is a test of that name where the name says.
fn is_a_test(name: &str) -> bool {
    let (binary, path) = name.split_once(' ').expect("a binary and a path");
    let (module, test) = path.rsplit_once("::").expect("a module and a test");
    let folder = match binary {
        "lib" => "src".to_owned(),
        "soak" => "tests/it/soak".to_owned(),
        binary => format!("tests/{binary}"),
    };
    let folder = repository().join(folder);
    let read = |module: &str| {
        let file = folder.join(module.replace("::", "/"));
        fs::read_to_string(file.with_extension("rs"))
            .or_else(|_| fs::read_to_string(file.join("mod.rs")))
            .ok()
    };
    // The module of tests may stand at the end of what it tests.
    let text = read(module)
        .or_else(|| read(module.strip_suffix("::tests")?))
        .unwrap_or_default();
    // Those of the other binaries are functions that their tables name.
    if ["clients", "netns"].contains(&binary) {
        text.contains(&format!("fn {test}("))
    } else {
        tests_in(&text).any(|found| found == test)
    }
}

/// The names of the functions that are tests.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let is_test = |item: &&str| {
        item.lines()
            .map(str::trim)
            .any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
    };
    text.split("\n\n").filter(is_test).filter_map(|item| {
        let mut lines = item
            .lines()
            .map(|line| line.trim_start().trim_start_matches("async "));
        lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next())
    })
}

/// `tests/skip.rs`: what may be skipped is there.
#[test]
fn every_test_that_may_be_skipped_exists() {
    let peers = fs::read_to_string(repository().join("tests/bench/peers/contestant.rs"))
        .expect("UTF-8 source");
    for (name, _, reason) in crate::skip::MAY_SKIP {
        let exists = match name.split_once("::") {
            None => ["bench peers", "clients *", "netns *"].contains(name),
            Some(("bench peers", contestant)) => peers.contains(&format!("=> \"{contestant}\"")),
            Some(_) => is_a_test(name),
        };
        assert!(exists && !reason.is_empty(), "{name}");
    }
}

/// A test that skips by itself is neither told nor counted, and decides alone on what the others
/// must not do.
#[test]
fn nothing_else_decides_on_skips() {
    let mut files = Vec::new();
    ["src", "tests"]
        .iter()
        .for_each(|folder| rust_files(&repository().join(folder), &mut files));
    let own = [
        "skip.rs",
        "it/skips.rs",
        "it/structure.rs",
        "netns/privilege.rs",
    ];
    let own = own.map(|file| repository().join("tests").join(file));
    let broken = files
        .iter()
        .filter(|path| !own.contains(path))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("UTF-8 source");
            ["SKIPPED", "env::var_os(\"CI\")"]
                .iter()
                .any(|sign| text.contains(sign))
        });
    let broken: Vec<_> = broken.map(|path| path.display().to_string()).collect();
    assert!(broken.is_empty(), "tests/skip.rs does this: {broken:?}");
}
