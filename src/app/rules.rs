//! The redirect rules that `serve` puts in place when it runs as root, and takes away again at its
//! end: what was there before it stays.

use tracing::{info, warn};

use super::Error;
use crate::capture::redirect::Redirect;
use crate::config::Config;
use crate::launch::{self, LaunchError};

/// Rules that this process has installed.
#[derive(Debug)]
pub(super) struct InstalledRules {
    redirect: Redirect,
    /// Whether the user was made with them.
    with_user: bool,
}

impl InstalledRules {
    /// Installs what is missing, where this process is root and the configuration has rules that
    /// it watches; `None` where nothing had to be done. Says what it does.
    ///
    /// # Errors
    /// [`Error::Agent`] when the agent could not be started anyway: nothing is changed then.
    /// [`Error::Redirect`] when the rules cannot be put in place.
    pub(super) async fn install(config: &Config) -> Result<Option<Self>, Error> {
        if !config.redirect.rules.are_watched() || !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Some(choice) = &config.agent {
            let path = launch::executable(choice)?;
            path.metadata().map_err(|error| {
                LaunchError::Exec(format!(
                    "{}: {error}; correct agent.command",
                    path.display()
                ))
            })?;
        }
        let redirect = Redirect::new(config.redirect.clone());
        let is_complete = redirect
            .status()
            .await
            .is_ok_and(|status| status.is_complete());
        let has_user = launch::uid_of(&config.redirect.user).await.is_ok();
        if is_complete && has_user {
            return Ok(None);
        }
        let done = match redirect.install(None).await {
            Ok(done) => done,
            Err(error) => {
                if !has_user {
                    // The rules are not there, but the user may be. What keeps it from being removed
                    // is what kept the rules from being made.
                    let _ = redirect.remove(true).await;
                }
                return Err(error.into());
            }
        };
        info!(
            changes = done.trim().replace('\n', "; "),
            "running as root: what was missing is installed, and is removed at the end"
        );
        Ok(Some(Self {
            redirect,
            with_user: !has_user,
        }))
    }

    /// Removes exactly what [`InstalledRules::install`] has made.
    pub(super) async fn remove(self) {
        match self.redirect.remove(self.with_user).await {
            Ok(_) => info!("what was installed at the start is removed"),
            Err(error) => warn!(
                %error,
                "what was installed at the start is left: `gravimeter redirect remove --purge` removes it"
            ),
        }
    }
}
