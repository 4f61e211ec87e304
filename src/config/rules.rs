//! The rules that change requests: the configuration file and the files of a folder enter, checked
//! rules leave, also again while the program runs.

use std::path::{Path, PathBuf};

use super::beside::{beside, origin};
use super::file;
use super::source::{Mistake, Mistakes, Origin, Source};
use crate::record::HostPattern;
use crate::rules::{self, Flaw, Rules};

/// The files in which rules may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleFiles {
    /// The configuration.
    configuration: Option<PathBuf>,
    folder: Option<PathBuf>,
    /// What is intercepted: a rule for another host would never match.
    intercepted: Vec<HostPattern>,
}

/// Who a file of rules belongs to, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleTexts(Vec<rules::Source>);

impl RuleFiles {
    /// Reads the files as they are now, without looking at what they say.
    ///
    /// # Errors
    /// Each file that cannot be read.
    pub(crate) fn texts(&self) -> Result<RuleTexts, Mistakes> {
        let (mut sources, mut mistakes) = (Vec::new(), Vec::new());
        let configuration = self.configuration.iter().map(|path| (path.clone(), true));
        let files = match &self.folder {
            Some(folder) => list(folder).unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                Vec::new()
            }),
            None => Vec::new(),
        };
        for (path, is_configuration) in
            configuration.chain(files.into_iter().map(|path| (path, false)))
        {
            match file::load(&path) {
                Ok(text) => sources.push(rules::Source {
                    path,
                    text,
                    is_configuration,
                }),
                Err(what) => mistakes.push(Mistake::of_place(Source::File { path, line: 0 }, what)),
            }
        }
        if mistakes.is_empty() {
            Ok(RuleTexts(sources))
        } else {
            Err(Mistakes::sorted(mistakes))
        }
    }

    /// The rules of these texts.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn read(&self, texts: &RuleTexts) -> Result<Rules, Mistakes> {
        let rules = rules::read(&texts.0).map_err(mistakes_of)?;
        let foreign = rules::foreign_hosts(&rules, &self.intercepted);
        if foreign.is_empty() {
            Ok(rules)
        } else {
            Err(mistakes_of(foreign))
        }
    }
}

/// The rules of one file, whatever is configured otherwise.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn rules_of(path: &Path, intercepted: &[HostPattern]) -> Result<Rules, Mistakes> {
    let place = Source::File {
        path: path.to_owned(),
        line: 0,
    };
    let text =
        file::load(path).map_err(|what| Mistakes::sorted(vec![Mistake::of_place(place, what)]))?;
    let files = RuleFiles {
        intercepted: intercepted.to_vec(),
        ..RuleFiles::default()
    };
    files.read(&RuleTexts(vec![rules::Source {
        path: path.to_owned(),
        text,
        is_configuration: false,
    }]))
}

/// The rules as messages show what is wrong with them.
pub(crate) fn mistakes_of(flaws: Vec<Flaw>) -> Mistakes {
    let mistake = |flaw: Flaw| {
        let source = Source::File {
            path: flaw.path.to_path_buf(),
            line: flaw.line,
        };
        match flaw.key {
            Some(key) => Mistake::new(source, key, flaw.message),
            None => Mistake::of_place(source, flaw.message),
        }
    };
    Mistakes::sorted(flaws.into_iter().map(mistake).collect())
}

/// Where the rules stand that `folder` and the configuration file ask for, and what they are.
pub(super) fn load(
    configuration: Option<&Path>,
    folder: Option<&Path>,
    intercepted: &[HostPattern],
    origins: &[Origin],
) -> Result<(Rules, RuleFiles), Vec<Mistake>> {
    let folder = folder
        .map(|given| beside(given, KEY, origins, "/etc/gravimeter/rules.d"))
        .transpose()
        .map_err(|mistake| vec![mistake])?;
    if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
        let message = format!(
            "{} is not a folder that can be read: create it, or correct the path",
            folder.display()
        );
        return Err(vec![Mistake::new(origin(KEY, origins), KEY, message)]);
    }
    let files = RuleFiles {
        configuration: configuration.map(Path::to_owned),
        folder,
        intercepted: intercepted.to_vec(),
    };
    let rules = files.texts().and_then(|texts| files.read(&texts));
    rules
        .map(|rules| (rules, files))
        .map_err(|Mistakes(mistakes)| mistakes)
}

/// The files of a folder whose names end in `.toml`, in the order of their names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let wrong = |error: std::io::Error| {
        let place = Source::File {
            path: folder.to_owned(),
            line: 0,
        };
        let what = format!("the folder cannot be read ({error}): check its path and permissions");
        Mistake::of_place(place, what)
    };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

const KEY: &str = "rules.folder";
