//! The conversations of one session: what its calls say of them, and the language server that its
//! program may start, which is found and followed as `gravimeter run` does by itself.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::message::Offer;
use crate::app::parts::TrafficParts;
use crate::app::{ServerSearch, Tasks, cascades};
use crate::capture::namespace::LoopbackDialer;
use crate::cascade::correlate::Correlator;
use crate::cascade::follow;
use crate::launch::find::CaFolder;

/// How the language server of an offered session is found; `None` where none is to be followed.
/// `namespaces` are those of its program, and `owner` is its user: processes of others cannot be
/// looked into.
///
/// # Errors
/// Why the session should not be taken, for people.
pub(super) fn search_of(
    parts: &TrafficParts,
    offer: &Offer,
    namespaces: Option<[OwnedFd; 2]>,
    owner: u32,
) -> Result<Option<ServerSearch>, String> {
    let Some(server) = &offer.language_server else {
        return Ok(None);
    };
    if owner != rustix::process::geteuid().as_raw() {
        return match server.is_expected {
            true => Err("it follows no language server of another user".to_owned()),
            false => Ok(None),
        };
    }
    let found = || {
        let dialer = |namespaces| -> io::Result<_> {
            let own = std::env::current_exe()?;
            Ok(LoopbackDialer::of_handed(namespaces, own))
        };
        ServerSearch::in_run(
            server.ca_folder.clone(),
            parts.discovery_folders.clone(),
            namespaces.map(dialer).transpose()?,
        )
    };
    let search = found();
    search
        .map(Some)
        .map_err(|error| format!("the program's language server could not be followed: {error}"))
}

/// What keeps the conversations of a session up to date.
pub(super) struct Conversations {
    /// What follows the language server.
    following: Tasks,
    /// What tells the correlator the time, which ends after everything else.
    clock: Tasks,
    /// Keeps others from following the same language server.
    _ca_folder: Option<CaFolder>,
}

impl Conversations {
    /// Follows the language server that `search` finds, where there is one to be followed.
    pub(super) fn follow(
        parts: &TrafficParts,
        search: Option<ServerSearch>,
        correlator: &Arc<Correlator>,
    ) -> Self {
        let (following, clock) = (Tasks::default(), Tasks::default());
        let ca_folder = search.as_ref().and_then(ServerSearch::ca_folder);
        let ca_folder = ca_folder.map(|folder| parts.ca_folders.add(folder.to_owned()));
        if search.is_some() {
            cascades::start(&parts.cascade, None, search, &following, correlator);
        }
        clock.spawn(follow::keep_time(
            Arc::clone(correlator),
            clock.stopping().clone(),
        ));
        Self {
            following,
            clock,
            _ca_folder: ca_folder,
        }
    }

    /// Ends following: runs that are still under way are stated as lost. No call may come after
    /// this.
    pub(super) async fn end(&self) {
        self.following
            .drain(END_LIMIT, std::future::pending())
            .await;
        self.clock.drain(END_LIMIT, std::future::pending()).await;
    }
}

/// Everything that follows ends at once when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(1);
