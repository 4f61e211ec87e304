//! The side of the service: listens for sessions and serves them.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use tokio::io::{BufReader, Interest};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::group::gid_of;
use super::message::{FromRun, FromService, receive, send};
use super::served::{Admitted, Listeners, Served};
use crate::app::Error;
use crate::app::parts::TrafficParts;
use crate::app::tasks::Tasks;
use crate::capture::receive_descriptors;
use crate::config::Sessions;
use crate::web::Listener;

/// Serves the sessions that are handed over.
pub(in crate::app) struct Server {
    parts: Arc<TrafficParts>,
    /// One permit for each session.
    room: Semaphore,
    /// Whether users other than our own may hand sessions over: the socket's permissions decide
    /// which.
    admits_others: bool,
}

impl Server {
    /// Listens at `socket`, by tasks of `tasks`.
    ///
    /// # Errors
    /// [`Error`] when it cannot be listened on.
    pub(in crate::app) async fn start(
        socket: &Path,
        config: &Sessions,
        parts: Arc<TrafficParts>,
        tasks: &Tasks,
    ) -> Result<(), Error> {
        let listener = Listener::bind_unix(socket, OWNER_ONLY)?;
        if let Some(group) = &config.group {
            let failed = |source| Error::SessionGroup {
                group: group.clone(),
                source,
            };
            let gid = gid_of(group).await.map_err(failed)?;
            chown(socket, None, Some(gid)).map_err(failed)?;
            let mode = std::fs::Permissions::from_mode(OWNER_AND_GROUP);
            std::fs::set_permissions(socket, mode).map_err(failed)?;
        }
        let server = Arc::new(Self {
            parts,
            room: Semaphore::new(MAX_SESSIONS),
            admits_others: config.group.is_some(),
        });
        tasks.spawn(server.run(listener, tasks.clone()));
        Ok(())
    }

    async fn run(self: Arc<Self>, listener: Listener, tasks: Tasks) {
        let Listener::Unix(listener, _file) = listener else {
            return;
        };
        loop {
            // Cancelled at the end only.
            let accepted = tasks.stopping().run_until_cancelled(listener.accept());
            match accepted.await {
                None => return,
                Some(Ok((stream, _))) => {
                    let (server, tasks_of_session) = (Arc::clone(&self), tasks.clone());
                    tasks.spawn(async move { server.attend(stream, &tasks_of_session).await });
                }
                Some(Err(error)) => {
                    warn!(%error, "cannot accept a session, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one session to its end.
    async fn attend(&self, mut stream: UnixStream, tasks: &Tasks) {
        let received = timeout(OFFER_LIMIT, self.admit(&mut stream));
        let admitted = match received.await {
            Ok(admitted) => admitted,
            Err(_) => Err("the offer did not come in time".to_owned()),
        };
        let Ok(_permit) = self.room.try_acquire() else {
            return refuse(&mut stream, "it serves as many sessions as it can").await;
        };
        let begun = match admitted {
            Ok(admitted) => Served::begin(&self.parts, admitted, tasks),
            Err(why) => Err(why),
        };
        match begun {
            Ok(served) => {
                let id = served.id().clone();
                info!(session = %id, program = %served.program(), "observes a session");
                served.attend(stream, self.parts.ca(), tasks).await;
                info!(session = %id, "the session has ended");
            }
            Err(why) => refuse(&mut stream, &why).await,
        }
    }

    /// Reads the offer, unless the user may make none.
    async fn admit(&self, stream: &mut UnixStream) -> Result<Admitted, String> {
        let peer = socket_peercred(&*stream).map_err(|errno| errno.to_string())?;
        let uid = peer.uid.as_raw();
        if !self.admits_others && ![rustix::process::geteuid().as_raw(), 0].contains(&uid) {
            return Err("it observes sessions of its own user only".to_owned());
        }
        let mut descriptors = receive_all(stream)
            .await
            .map_err(|error| error.to_string())?;
        let mut line = Vec::new();
        let received = receive(&mut BufReader::with_capacity(1, stream), &mut line).await;
        let Some(FromRun::Offer(offer)) = received else {
            return Err(OTHER_VERSION.to_owned());
        };
        if !offer.has_known_version() {
            return Err(OTHER_VERSION.to_owned());
        }
        let language_server = offer.language_server.as_ref();
        let namespaces = match language_server.is_some_and(|server| server.in_namespace) {
            true => Some(take_namespaces(&mut descriptors).ok_or("its namespaces are missing")?),
            false => None,
        };
        let listeners = Listeners::of(descriptors, offer.redirect)
            .map_err(|error| format!("a socket cannot be used: {error}"))?;
        Ok(Admitted {
            offer,
            listeners,
            namespaces,
            owner: uid,
        })
    }
}

/// The user and the network namespace, which come last.
fn take_namespaces(descriptors: &mut Vec<OwnedFd>) -> Option<[OwnedFd; 2]> {
    let network = descriptors.pop()?;
    Some([descriptors.pop()?, network])
}

async fn receive_all(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    loop {
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || receive_descriptors(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

async fn refuse(stream: &mut UnixStream, why: &str) {
    debug!(why, "refused a session");
    let refused = FromService::Refused {
        why: why.to_owned(),
    };
    // Who asks may be gone.
    let _ = send(stream, &refused).await;
}

const OTHER_VERSION: &str = "it is of another version: restart it";

/// Of the socket's file.
const OWNER_ONLY: u32 = 0o600;
const OWNER_AND_GROUP: u32 = 0o660;

/// Most sessions at a time: a person has a handful, a machine that runs tests some dozen.
const MAX_SESSIONS: usize = 256;

/// An offer is sent at once.
const OFFER_LIMIT: Duration = Duration::from_secs(5);

/// Without file descriptors, sessions wait.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
