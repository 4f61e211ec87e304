//! The way by the user whose connections are redirected: the program runs as that user, as the agent
//! of `serve` does.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::app::{Error, closed_folder};
use crate::capture::{Obstacle, listener, probe};
use crate::config::Config;
use crate::launch::foreground::OtherUser;

/// Looks the user up, opens the listeners to which its rules lead, and shows by a connection of the
/// user's that they do.
pub(super) async fn open(
    own: &Path,
    config: &Config,
) -> Result<(OtherUser, Vec<TcpListener>), Error> {
    let user = OtherUser::lookup(own, &config.redirect.user).await?;
    let mut listeners = Vec::new();
    for address in &config.capture.redirect_listen {
        match listener::listen(*address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if address.is_ipv6() && listener::is_without_ipv6(&error) => {}
            Err(source) => {
                return Err(Error::Bind {
                    address: *address,
                    key: "capture.listen",
                    source,
                });
            }
        }
    }
    let child = user.try_out(own, &probe::COMMAND).await?;
    probe::arrives(child, &listeners).map_err(|said| {
        Error::User(Obstacle::new(
            format!(
                "the redirect rules of {} do not work ({said})",
                config.redirect.user
            ),
            "sudo gravimeter redirect install",
        ))
    })?;
    Ok((user, listeners))
}

/// Whether a program can be captured so on this machine.
///
/// # Errors
/// What stands in the way.
pub(crate) async fn try_other_user(own: &Path, config: &Config) -> Result<(), Error> {
    open(own, config).await.map(drop)
}

/// The working directory, where another user may be in it.
pub(super) fn open_folder() -> Option<PathBuf> {
    let folder = std::env::current_dir().ok()?;
    closed_folder(&folder.join("file"))
        .is_none()
        .then_some(folder)
}
