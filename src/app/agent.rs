//! The agent and its redirect: the rules are in place first, the agent is started second.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Addresses, Error, Tasks, fail};
use crate::capture::redirect::Redirect;
use crate::config::Config;
use crate::launch::{self, AgentState, Supervisor};
use crate::record::Record;
use crate::tls::bundle::{self, Bundle};
use crate::web::{Condition, Readiness};

/// Gravimeter must not run as the user whose traffic is led to it.
pub(super) async fn refuse_own_user(config: &Config) -> Result<(), Error> {
    if !config.redirect.rules.are_needed() {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    match launch::uid_of(&config.redirect.user).await {
        Ok(uid) if uid == own => Err(Error::SameUser {
            user: config.redirect.user.clone(),
            uid,
        }),
        // A user who does not exist yet is made together with the rules.
        _ => Ok(()),
    }
}

/// The first folder on the way to `path` that other users may not pass; the agent's user is one of
/// them.
#[must_use]
pub(crate) fn closed_folder(path: &Path) -> Option<PathBuf> {
    let is_closed = |folder: &&Path| {
        std::fs::metadata(folder)
            .is_ok_and(|metadata| metadata.permissions().mode() & PASS_FOR_OTHERS == 0)
    };
    path.ancestors().skip(1).find(is_closed).map(Path::to_owned)
}

/// An agent that cannot read its bundle trusts nobody, and says so in words that do not help.
pub(super) fn refuse_closed_bundle(config: &Config, bundle: &Bundle) -> Result<(), Error> {
    let (Some(user), Some(_)) = (&config.launch.user, &config.agent) else {
        return Ok(());
    };
    refuse_closed(&bundle.all, user)
}

/// The same for a bundle that `user` is to read.
pub(super) fn refuse_closed(bundle: &Path, user: &str) -> Result<(), Error> {
    match closed_folder(bundle) {
        Some(folder) => Err(Error::ClosedBundle {
            bundle: bundle.to_owned(),
            folder,
            user: user.to_owned(),
        }),
        None => Ok(()),
    }
}

/// What the agent's environment says beside what the user configured: whom to trust and, without a
/// redirect, which proxy to use.
pub(super) fn environment(
    config: &Config,
    bundle: &Bundle,
    addresses: &Addresses,
) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<_, _> = bundle::environment(bundle).into_iter().collect();
    if let (false, Some(connect)) = (config.redirect.rules.are_needed(), addresses.connect) {
        for name in ["HTTPS_PROXY", "https_proxy"] {
            environment.insert(name.to_owned(), format!("http://{connect}"));
        }
    }
    environment.extend(config.launch.env.clone());
    environment
}

/// What the agent's start needs of the rest of the program.
pub(super) struct Context<'a> {
    /// Owns the tasks of the agent and of the watch over its redirect.
    pub(super) tasks: &'a Tasks,
    /// Learns whether the rules are in place and the agent is up.
    pub(super) readiness: &'a Arc<Readiness>,
    /// Where facts are stated.
    pub(super) record: &'a Arc<dyn Record>,
    /// Where a failure is stated that ends the program.
    pub(super) vital: mpsc::Sender<Error>,
}

/// Starts the watch over the redirect and, behind it, the agent, whose state is returned where
/// there is one.
pub(super) fn start(
    config: &Config,
    environment: BTreeMap<String, String>,
    context: Context<'_>,
) -> Option<watch::Receiver<AgentState>> {
    let redirect = config
        .redirect
        .rules
        .are_watched()
        .then(|| Redirect::new(config.redirect.clone()));
    let rules = redirect.map(|redirect| context.watch_rules(redirect));
    let choice = config.agent.clone()?;
    let launch = launch::Config {
        env: environment,
        ..config.launch.clone()
    };
    let supervisor = Supervisor::new(
        choice,
        launch,
        config.supervision.clone(),
        &config.state_dir,
        Arc::clone(context.record),
    );
    Some(context.supervise(supervisor, rules))
}

type Rules = watch::Receiver<Option<crate::capture::redirect::Status>>;

impl Context<'_> {
    fn watch_rules(&self, redirect: Redirect) -> Rules {
        let rules = redirect.subscribe();
        let (record, stopping) = (Arc::clone(self.record), self.tasks.stopping().clone());
        self.tasks
            .spawn(async move { redirect.watch(&*record, &stopping).await });
        let (mut seen, readiness) = (rules.clone(), Arc::clone(self.readiness));
        self.tasks.spawn(async move {
            while seen.changed().await.is_ok() {
                let complete = seen
                    .borrow_and_update()
                    .is_some_and(|status| status.is_complete());
                readiness.set(Condition::Redirect, complete);
            }
        });
        rules
    }

    fn supervise(
        self,
        supervisor: Supervisor,
        rules: Option<Rules>,
    ) -> watch::Receiver<AgentState> {
        let (mut state, readiness) = (supervisor.subscribe(), Arc::clone(self.readiness));
        let supervised = state.clone();
        self.tasks.spawn(async move {
            while state.changed().await.is_ok() {
                let up = matches!(*state.borrow_and_update(), AgentState::Up(_));
                readiness.set(Condition::Agent, up);
            }
        });
        let (stopping, vital) = (self.tasks.stopping().clone(), self.vital);
        self.tasks.spawn(async move {
            if let Some(mut rules) = rules {
                // A connection that is older than its rule is never metered.
                let in_place =
                    rules.wait_for(|status| status.is_some_and(|status| status.is_complete()));
                match stopping.run_until_cancelled(in_place).await {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
            if let Err(failure) = supervisor.run(stopping).await {
                fail(&vital, failure.into());
            }
        });
        supervised
    }
}

/// `x` for others.
const PASS_FOR_OTHERS: u32 = 0o001;
