//! Where property tests keep the cases that have failed once: below `tests/`, where they are read
//! again before any new case is tried.

use proptest::test_runner::{Config, FileFailurePersistence};

/// As many cases as usual.
pub(crate) fn usual() -> Config {
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel(FOLDER))),
        ..Config::default()
    }
}

/// That many cases.
pub(crate) fn cases(number: u32) -> Config {
    Config {
        cases: number,
        ..usual()
    }
}

/// From the folder above `src/`; below it the files have the names of the sources.
const FOLDER: &str = "tests/proptest-regressions";
