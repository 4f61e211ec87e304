//! Paths in a configuration file may begin at that file's folder.

use std::path::{Path, PathBuf};

use super::source::{Mistake, Origin, Source};

/// Where the path of a key leads. `example` is one that depends on no folder.
pub(super) fn beside(
    given: &Path,
    key: &str,
    origins: &[Origin],
    example: &str,
) -> Result<PathBuf, Mistake> {
    let source = origin(key, origins);
    match (&source, given.is_absolute()) {
        (_, true) => Ok(given.to_owned()),
        (Source::File { path, .. }, false) => {
            Ok(path.parent().unwrap_or(Path::new("")).join(given))
        }
        (_, false) => {
            let message = format!(
                "{:?} depends on where the program is started: write it from the root, as {example:?}",
                given.display().to_string()
            );
            Err(Mistake::new(source, key, message))
        }
    }
}

/// Where a key was set.
pub(super) fn origin(key: &str, origins: &[Origin]) -> Source {
    origins
        .iter()
        .find(|origin| origin.key == key)
        .map_or(Source::Default, |origin| origin.source.clone())
}
