//! The configuration of `gravimeter run`: the same keys as for `serve`, of which some are meant for
//! a service that is there already.

use std::ffi::OsString;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Config, Loaded, Places, Source};
use crate::relay::Untrusting;

impl Loaded {
    /// What holds for a program in the foreground.
    ///
    /// The exporter listens only where a flag says so: the addresses of the file are those of a
    /// service. A state folder or a ledger of the file that this user may not write is a service's,
    /// too, and the user's own is taken. A client that does not trust the CA is let through, unless
    /// something else was asked for.
    pub(crate) fn for_run(self, places: &Places, variables: &[(OsString, OsString)]) -> Config {
        let is_flag = |key: &str| matches!(self.source(key), Some(Source::Flag(_)));
        let is_file = |key: &str| matches!(self.source(key), Some(Source::File { .. }));
        let is_default = |key: &str| matches!(self.source(key), Some(Source::Default));
        let mut config = self.config.clone();
        if !is_flag("web.listen") {
            config.web.listen = None;
        }
        if !is_flag("web.socket") {
            config.web.socket = None;
        }
        if is_default("intercept.untrusting") {
            config.relay.untrusting = Untrusting::Tunnel;
        }
        if is_file("state.dir")
            && !may_write(&config.state_dir)
            && let Some(own) = places.state_dir(variables)
        {
            config.state_dir = own;
        }
        if is_file("ledger.path")
            && let Some(path) = &config.ledger.path
            && !may_write(path.parent().unwrap_or(path))
        {
            config.ledger.path = None;
        }
        config
    }

    fn source(&self, key: &str) -> Option<&Source> {
        let origin = self.origins.iter().find(|origin| origin.key == key)?;
        Some(&origin.source)
    }
}

/// Whether this user may make files in the folder, or make the folder.
fn may_write(folder: &Path) -> bool {
    let existing = folder.ancestors().find(|folder| folder.exists());
    existing.is_some_and(|folder| access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}
