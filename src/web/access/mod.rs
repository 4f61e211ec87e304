//! Access control over TCP: TLS, client certificates and passwords, as the web configuration file
//! of the Prometheus exporters defines them.
//!
//! Input: the file's path; output: the current policy. Files are checked before each connection and
//! request and read again when one of them has changed. While they are unusable every request is
//! refused: an old rule never outlives its file.

mod basic;
mod clients;
mod files;
mod mistakes;
mod policy;
mod rate;
mod reader;
mod settings;
mod tls;
mod tls_settings;
mod users;
mod verdicts;
mod waiting;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::HeaderMap;
use tokio::task::spawn_blocking;

use files::Files;
use verdicts::{Verdict, Verdicts};

use super::peer::Peer;

pub(crate) use mistakes::AccessError;
pub(super) use policy::Policy;

/// The rules of the file, reloaded when it changes.
#[derive(Debug)]
pub struct Access {
    path: PathBuf,
    must_protect: bool,
    verdicts: Arc<Verdicts>,
    /// Locked while files are checked and read, by blocking threads only.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: Files,
    policy: Result<Arc<Policy>, AccessError>,
    /// The number of policies so far.
    count: u64,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The password could not be checked because the program ends.
    Busy,
    /// Name and password are missing or wrong.
    Password,
    /// There were too many requests.
    Rate,
}

impl Access {
    /// Reads the file. Where other machines can reach the listener (`must_protect`), it must
    /// require a password or a verified client certificate, over TLS.
    ///
    /// # Errors
    /// All mistakes of the file.
    pub fn open(path: &Path, must_protect: bool) -> Result<Arc<Self>, AccessError> {
        let mut files = Files::default();
        let policy = Policy::load(path, must_protect, &mut files, 0, None)?;
        let state = Mutex::new(State {
            files,
            policy: Ok(Arc::new(policy)),
            count: 1,
        });
        Ok(Arc::new(Self {
            path: path.to_owned(),
            must_protect,
            verdicts: Arc::new(Verdicts::new()),
            state,
        }))
    }

    /// The current policy; `None` when the file is unusable, which has been logged.
    pub(super) async fn policy(self: &Arc<Self>) -> Option<Arc<Policy>> {
        let access = Arc::clone(self);
        spawn_blocking(move || access.look()).await.ok().flatten()
    }

    /// Whether a request of the peer may be answered under the policy. An unknown password waits
    /// for its turn.
    pub(super) async fn admit(
        &self,
        policy: &Policy,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<(), Refused> {
        let identified = self.identify(policy, headers, peer).await;
        let Some(rates) = &policy.rates else {
            return identified;
        };
        let bucket = if identified.is_ok() {
            &rates.known
        } else {
            &rates.strangers
        };
        if bucket.take_token(Instant::now()) {
            identified
        } else {
            Err(Refused::Rate)
        }
    }

    /// Whether the request has a name and a password that belong together, where they are asked
    /// for.
    async fn identify(
        &self,
        policy: &Policy,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<(), Refused> {
        if policy.users.is_empty() {
            return Ok(());
        }
        let (name, password) = basic::credentials(headers).ok_or(Refused::Password)?;
        match self.verdicts.on(&policy.users, name, password, peer).await {
            Verdict::Right => Ok(()),
            Verdict::Unknown => Err(Refused::Busy),
            Verdict::Wrong => Err(Refused::Password),
        }
    }

    fn look(&self) -> Option<Arc<Policy>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.files.are_unchanged() {
            self.read_again(&mut state);
        }
        state.policy.as_ref().ok().map(Arc::clone)
    }

    fn read_again(&self, state: &mut State) {
        let mut files = Files::default();
        let before = state.policy.as_ref().ok();
        let read = Policy::load(
            &self.path,
            self.must_protect,
            &mut files,
            state.count,
            before.map(Arc::as_ref),
        );
        let is_same = files.digest() == state.files.digest();
        state.files = files;
        match (read, &state.policy) {
            // Only a time stamp has changed.
            (Ok(_), Ok(_)) if is_same => {}
            (Ok(policy), _) => {
                tracing::info!(file = %self.path.display(), "the web configuration file was read again");
                state.policy = Ok(Arc::new(policy));
                state.count += 1;
            }
            (Err(error), Err(told)) if error == *told => {}
            (Err(error), _) => {
                tracing::error!(%error, "the web configuration file cannot be used: nobody is let in until it can");
                state.policy = Err(error);
            }
        }
    }
}
