//! The assembly: a [`Config`] enters, the running program leaves. The only place that knows every
//! module.
//!
//! It builds the pipeline, starts its tasks in order (doors, redirect, agent) and ends them in
//! order (traffic, agent, exporter, OTLP, ledger). It parses nothing and prints nothing.

mod activation;
mod agent;
mod budgets;
mod cascades;
mod control;
mod demo;
mod doors;
mod error;
mod handover;
mod notify;
mod parts;
mod process;
mod request_rules;
mod rules;
mod run;
mod running;
mod signals;
mod sinks;
mod surroundings;
mod tasks;
mod traffic;
mod trust;
mod unread;
mod views;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::error;

use crate::capture::{Door, Peers};
use crate::cascade::client::Endpoint;
use crate::cascade::follow;
use crate::config::Config;
use crate::export::diagnostics::Diagnostics;
use crate::export::otlp::{Exporter, Pusher};
use crate::launch::ConnectionGuide;
use crate::ledger::{Ledger, UsageReport};
use crate::record::{Caller, Fact, Record};
use crate::tls::bundle::Bundle;
use crate::web::access::Access;
use crate::web::{Condition, Listener, Readiness, Web};

pub use activation::Activation;
pub(crate) use agent::closed_folder;
pub use cascades::ServerSearch;
pub(crate) use control::lift;
pub(crate) use demo::{DemoOptions, demo};
pub use doors::Addresses;
pub use error::Error;
pub(crate) use run::{RunFolder, RunRequest, Scope, run, try_other_user};
pub use surroundings::Surroundings;
pub use tasks::Tasks;
pub use traffic::Traffic;

use cascades::Endpoints;
use doors::Doors;
use parts::TrafficParts;
use request_rules::Reload;
use rules::InstalledRules;
use running::Running;
use signals::Signals;
use trust::{Collectors, Trust};
use views::Views;

/// Runs Gravimeter until SIGTERM or SIGINT, then lets running exchanges end; a second signal cuts
/// them off. `diagnostics` are those that the log was started with; `started` is called as soon as
/// everything is up.
///
/// # Errors
/// Whatever keeps Gravimeter from starting, or ends it.
pub(crate) async fn serve(
    config: Config,
    handed: Activation,
    diagnostics: Option<Diagnostics>,
    started: impl FnOnce(&App),
) -> Result<(), Error> {
    process::harden()?;
    let mut signals = Signals::install()?;
    let surroundings = Surroundings {
        handed,
        diagnostics,
        takes_sessions: true,
        ..Surroundings::default()
    };
    let mut app = App::start(config, surroundings).await?;
    notify::ready();
    started(&app);
    let failure = tokio::select! {
        () = signals.next() => None,
        failure = app.failed() => Some(failure),
    };
    notify::stopping();
    app.stop(signals.next()).await;
    failure.map_or(Ok(()), Err)
}

/// The running program.
pub struct App {
    addresses: Addresses,
    bundle: Bundle,
    running: Running,
    failures: mpsc::Receiver<Error>,
    /// Whose conversations are followed, where anybody's are.
    followed: Option<Endpoints>,
    /// What was installed for this run alone.
    rules: Option<InstalledRules>,
    guide: Option<ConnectionGuide>,
    /// Finds the programs that open connections.
    peers: Arc<Peers>,
    parts: Arc<TrafficParts>,
}

impl App {
    /// Builds and starts everything that the configuration asks for.
    ///
    /// # Errors
    /// Whatever keeps the program from starting; nothing is left running then.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<Self, Error> {
        agent::refuse_own_user(&config).await?;
        create_state_dir(&config.state_dir)?;
        let (doors, addresses) = Doors::open(&config, surroundings.handed)?;
        let owners = doors::owners(&config, &doors).await?;
        let access = open_access(&config, &addresses)?;
        let views = Views::new(
            &config,
            access,
            surroundings.diagnostics,
            surroundings.sinks,
            conditions(&config),
        );
        let trust = Trust::open(&config, &*views.record)?;
        agent::refuse_closed_bundle(&config, &trust.bundle)?;

        let doors_for_traffic = match surroundings.takes_sessions {
            // Sessions come by both.
            true => doors.kinds(&[Door::Connect, Door::Redirect]),
            false => doors.kinds(&[]),
        };
        let parts = Arc::new(TrafficParts::new(
            &config,
            addresses.all(),
            doors_for_traffic,
            &trust,
            surroundings.original_dst,
            &views,
        ));
        let bundle = trust.bundle.clone();
        let guide = addresses
            .connect
            .map(|proxy| ConnectionGuide::new(proxy, &bundle.all, &bundle.ca_only));
        if let Some(guide) = &guide {
            views.web.set_guide(guide.clone());
        }
        let environment = agent::environment(&config, &bundle, &addresses);
        let running = Running::new(
            Arc::clone(&views.ledger),
            Arc::clone(&views.readiness),
            config.drain,
        );
        let exporter = &running.exporter;
        exporter.spawn(trust::watch_expiry(
            trust.not_after,
            exporter.stopping().clone(),
        ));
        export(
            &running.telemetry,
            views.spans,
            views.pusher,
            &trust.collectors,
        );
        exporter.spawn(notify::watchdog(exporter.stopping().clone()));
        let reload = Reload::new(
            config.rule_files.clone(),
            views.rules,
            Arc::clone(&views.record),
        );
        exporter.spawn(reload.run(exporter.stopping().clone()));
        serve_exporter(exporter, doors.web, &views.web);
        if let Some(budgets) = &parts.budgets {
            budgets::serve(&config, budgets, &trust.collectors, &running, &views.record);
        }
        let takes_sessions = surroundings.takes_sessions;
        let caller = surroundings.session.as_ref().map(Caller::of_session);
        let peers = Peers::new(caller.unwrap_or_default());
        if let Some(session) = surroundings.session {
            views.record.record(Fact::SessionStarted(Box::new(session)));
        }
        let traffic = parts.traffic(owners, Arc::clone(&peers));
        traffic.serve(
            doors.traffic,
            running.traffic.tracker(),
            &running.traffic_shutdown(),
        );
        if takes_sessions
            && let Err(failure) = handover::take_sessions(&config, &parts, &running.traffic).await
        {
            running.stop(std::future::ready(())).await;
            return Err(failure);
        }
        running.readiness.set(Condition::Listening, true);

        let (vital, failures) = mpsc::channel(1);
        let context = agent::Context {
            tasks: &running.agent,
            readiness: &running.readiness,
            record: &views.record,
            vital,
        };
        let rules = match InstalledRules::install(&config).await {
            Ok(rules) => rules,
            Err(failure) => {
                running.stop(std::future::ready(())).await;
                return Err(failure);
            }
        };
        let agent = agent::start(&config, environment, context);
        // It ends after the agent: the runs that the agent's end cuts off are still stated.
        running.exporter.spawn(follow::keep_time(
            Arc::clone(&views.correlator),
            running.exporter.stopping().clone(),
        ));
        let on_machine = || {
            let (folders, except) = (config.discovery_folders.clone(), parts.ca_folders.clone());
            ServerSearch::on_machine(folders, except)
        };
        let followed = cascades::start(
            &config.cascade,
            agent,
            surroundings
                .followed
                .or_else(|| config.cascade.attach.then(on_machine)),
            &running.agent,
            &views.correlator,
        );
        addresses.tell();
        Ok(Self {
            addresses,
            bundle,
            running,
            failures,
            followed,
            rules,
            guide,
            peers,
            parts,
        })
    }

    /// Where Gravimeter can be reached.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The files with the roots that make a client trust the CA.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// How programs are led to the CONNECT proxy, where there is one.
    #[must_use]
    pub fn guide(&self) -> Option<&ConnectionGuide> {
        self.guide.as_ref()
    }

    /// What holds of the conditions for `/readyz`.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.running.readiness
    }

    /// Answers what `/v1/usage` answers, also after Gravimeter has ended.
    pub fn usage(&self) -> impl Fn() -> UsageReport + use<> {
        let ledger = Arc::clone(&self.running.ledger);
        move || ledger.report()
    }

    /// Where the agent listens whose conversations are followed, while there is one.
    #[must_use]
    pub fn followed(&self) -> Option<Endpoint> {
        self.followed
            .as_ref()
            .and_then(|followed| followed.borrow().clone())
    }

    /// What is kept of calls and conversations, also after Gravimeter has ended.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.running.ledger
    }

    /// Finds the programs that open connections.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The certificate of the CA, as PEM.
    pub(crate) fn ca(&self) -> &str {
        self.parts.ca()
    }

    /// Where facts are stated that come from outside the traffic.
    pub(crate) fn record(&self) -> &dyn Record {
        self.parts.record()
    }

    /// Returns when something that Gravimeter cannot do without has failed. Cancel-safe.
    pub async fn failed(&mut self) -> Error {
        match self.failures.recv().await {
            Some(failure) => failure,
            // Every task that could fail has ended well.
            None => std::future::pending().await,
        }
    }

    /// Ends the program: traffic first and in peace, until its deadline or `hurry`; then the agent,
    /// then the exporter, then what takes spans and metrics to the collector, and the ledger. Rules
    /// that were installed at the start go last: the agent has ended then.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.running.stop(hurry).await;
        if let Some(rules) = self.rules {
            rules.remove().await;
        }
    }
}

fn serve_exporter(tasks: &Tasks, listeners: Vec<Listener>, web: &Arc<Web>) {
    for listener in listeners {
        let (tracker, stopping) = (tasks.tracker().clone(), tasks.stopping().clone());
        tasks.spawn(Arc::clone(web).serve(listener, tracker, stopping));
    }
}

fn export(tasks: &Tasks, spans: Option<Exporter>, metrics: Option<Pusher>, tls: &Collectors) {
    let of_tasks = || (tasks.tracker().clone(), tasks.stopping().clone());
    if let Some((pusher, tls)) = metrics.zip(tls.metrics.clone()) {
        let (tracker, stopping) = of_tasks();
        tasks.spawn(pusher.run(tls, tracker, stopping));
    }
    if let Some((exporter, tls)) = spans.zip(tls.spans.clone()) {
        let (tracker, stopping) = of_tasks();
        tasks.spawn(exporter.run(tls, tracker, stopping));
    }
}

/// Reads the web configuration file, where there is one: it must protect what other machines can
/// reach.
fn open_access(config: &Config, addresses: &Addresses) -> Result<Option<Arc<Access>>, Error> {
    let Some(path) = &config.web.config_file else {
        return Ok(None);
    };
    let must_protect = addresses
        .web
        .iter()
        .any(|address| config.web.must_protect(*address));
    Ok(Some(Access::open(path, must_protect)?))
}

/// States a failure that ends Gravimeter. Only the first one counts.
fn fail(vital: &mpsc::Sender<Error>, failure: Error) {
    error!(error = %failure, "Gravimeter must end");
    let _ = vital.try_send(failure);
}

fn conditions(config: &Config) -> impl Iterator<Item = Condition> {
    let redirect = config
        .redirect
        .rules
        .are_watched()
        .then_some(Condition::Redirect);
    let agent = config.agent.as_ref().map(|_| Condition::Agent);
    [Condition::Listening]
        .into_iter()
        .chain(redirect)
        .chain(agent)
}

/// The folder itself may be passed through, because the agent's user reads the bundle in it; the
/// CA's folder may not.
fn create_state_dir(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|source| Error::StateDir {
            path: path.to_owned(),
            source,
        })
}
