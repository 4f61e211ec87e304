//! The bundle's environment for a user who names CA files of their own already: what is in
//! those files is kept, and Gravimeter's CA is added to a copy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Bundle, environment, replace};

/// The variables that make clients trust the bundle, and the files that could not be added to.
#[derive(Debug, Default)]
pub struct Beside {
    /// Names and files.
    pub variables: Vec<(String, PathBuf)>,
    /// Files that cannot be read, with the variable that names each of them: the variable is left
    /// as it is, and its clients do not trust the CA.
    pub unreadable: Vec<(String, io::Error)>,
}

/// As [`environment`], for a process whose own variables `named` looks up. Copies are written beside
/// the bundle, one for each file.
///
/// # Errors
/// When a copy cannot be written.
pub fn environment_beside(
    bundle: &Bundle,
    named: impl Fn(&str) -> Option<PathBuf>,
) -> Result<Beside, super::BundleError> {
    let mut beside = Beside::default();
    let mut copies: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for (name, ours) in environment(bundle) {
        let ours = PathBuf::from(ours);
        let theirs = named(&name).filter(|path| !path.as_os_str().is_empty() && *path != ours);
        let Some(theirs) = theirs else {
            beside.variables.push((name, ours));
            continue;
        };
        if !copies.contains_key(&theirs) {
            match joined(&theirs, &bundle.ca_only) {
                // Such as a copy of an earlier time.
                Ok(None) => {
                    beside.variables.push((name, theirs));
                    continue;
                }
                Ok(Some(text)) => {
                    let copy = bundle
                        .all
                        .with_extension(format!("{}.pem", copies.len() + 1));
                    let folder = copy.parent().unwrap_or(Path::new("/"));
                    replace(folder, &copy, &text)?;
                    copies.insert(theirs.clone(), copy);
                }
                Err(error) => {
                    beside.unreadable.push((name, error));
                    continue;
                }
            }
        }
        beside
            .variables
            .extend(copies.get(&theirs).map(|copy| (name, copy.clone())));
    }
    Ok(beside)
}

/// Both files, one after the other; `None` where theirs has all of ours already.
fn joined(theirs: &Path, ours: &Path) -> io::Result<Option<String>> {
    let (mut text, ours) = (fs::read_to_string(theirs)?, fs::read_to_string(ours)?);
    if text.contains(&ours) {
        return Ok(None);
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&ours);
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_named_already_are_kept_and_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let bundle = Bundle {
            all: at("bundle.pem"),
            ca_only: at("bundle.ca.pem"),
            roots: 1,
        };
        fs::write(&bundle.all, "ROOTS\nOURS\n").unwrap();
        fs::write(&bundle.ca_only, "OURS\n").unwrap();
        fs::write(at("corp.pem"), "CORP").unwrap();
        let named = |name: &str| match name {
            "GIT_SSL_CAINFO" | "NODE_EXTRA_CA_CERTS" => Some(at("corp.pem")),
            "PIP_CERT" => Some(at("missing.pem")),
            "CURL_CA_BUNDLE" => Some(PathBuf::new()),
            "SSL_CERT_FILE" => Some(bundle.all.clone()),
            _ => None,
        };
        let beside = environment_beside(&bundle, named).unwrap();
        let variables: BTreeMap<_, _> = beside.variables.into_iter().collect();
        let corp = &variables["GIT_SSL_CAINFO"];
        assert_eq!(fs::read_to_string(corp).unwrap(), "CORP\nOURS\n");
        assert_eq!(
            &variables["NODE_EXTRA_CA_CERTS"], corp,
            "one copy of each file"
        );
        assert_eq!(fs::read_to_string(at("corp.pem")).unwrap(), "CORP");
        assert_eq!(variables["SSL_CERT_FILE"], bundle.all);
        assert_eq!(variables["CURL_CA_BUNDLE"], bundle.all);
        assert_eq!(variables["DENO_CERT"], bundle.ca_only);
        assert!(!variables.contains_key("PIP_CERT"));
        let again = environment_beside(&bundle, |name| variables.get(name).cloned()).unwrap();
        let again: BTreeMap<_, _> = again.variables.into_iter().collect();
        assert_eq!(again["GIT_SSL_CAINFO"], *corp, "it has the CA already");
        let unreadable: Vec<_> = beside.unreadable.iter().map(|(name, _)| name).collect();
        assert_eq!(unreadable, ["PIP_CERT"]);
    }
}
