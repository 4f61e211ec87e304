//! The assembly: a [`Config`] enters, the running house leaves. The only place that knows every
//! room.
//!
//! It builds the pipeline, starts its tasks in order (doors, redirect, agent) and ends them in
//! order (traffic, agent, exporter, OTLP, ledger). It parses nothing and prints nothing.

mod activation;
mod agent;
mod cascades;
mod demo;
mod doors;
mod error;
mod notify;
mod process;
mod signals;
mod tasks;
mod trust;
mod unread;
mod views;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::capture::listener::{self, Doors as SharedDoors, Slots};
use crate::capture::{Gate, KernelOriginalDst, LoopGuard, Owners};
use crate::cascade::client::Endpoint;
use crate::config::Config;
use crate::dialect::Observers;
use crate::export::diagnostics::Diagnostics;
use crate::export::otlp::{Exporter, Pusher};
use crate::ledger::{Ledger, UsageReport};
use crate::observe::memory::Memory;
use crate::record::Record;
use crate::relay::{Relay, Shutdown};
use crate::web::access::Access;
use crate::web::{Condition, Listener, Readiness, Web};

pub use activation::Activation;
pub use agent::closed_folder;
pub use demo::{DemoOptions, demo};
pub use doors::Addresses;
pub use error::Error;
pub use tasks::Tasks;

use cascades::Endpoints;
use doors::Doors;
use signals::Signals;
use trust::{Collectors, Trust};
use views::Views;

/// Runs the house until SIGTERM or SIGINT, then lets running exchanges end; a second signal cuts
/// them off. `diagnostics` are those that the log was started with.
///
/// # Errors
/// Whatever keeps the house from starting, or ends it.
pub async fn serve(
    config: Config,
    handed: Activation,
    diagnostics: Option<Diagnostics>,
) -> Result<(), Error> {
    process::harden()?;
    let mut signals = Signals::install()?;
    let mut app = App::start_with(config, handed, diagnostics).await?;
    notify::ready();
    let failure = tokio::select! {
        () = signals.next() => None,
        failure = app.failed() => Some(failure),
    };
    notify::stopping();
    app.stop(signals.next()).await;
    failure.map_or(Ok(()), Err)
}

/// The running house.
pub struct App {
    addresses: Addresses,
    /// Doors and connections.
    traffic: Tasks,
    /// The agent and the watch over its redirect.
    agent: Tasks,
    /// The exporter.
    exporter: Tasks,
    /// What takes spans and metrics to the collector.
    telemetry: Tasks,
    failures: mpsc::Receiver<Error>,
    ledger: Arc<Ledger>,
    readiness: Arc<Readiness>,
    /// Whose conversations are followed, where anybody's are.
    followed: Option<Endpoints>,
    drain: Duration,
}

impl App {
    /// Builds and starts everything that the configuration asks for; `diagnostics` go to the
    /// collector from then on.
    ///
    /// # Errors
    /// Whatever keeps the house from starting; nothing is left running then.
    pub async fn start(config: Config, diagnostics: Option<Diagnostics>) -> Result<Self, Error> {
        Self::start_with(config, Activation::default(), diagnostics).await
    }

    /// The same, with sockets that the service manager has opened.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_with(
        config: Config,
        handed: Activation,
        diagnostics: Option<Diagnostics>,
    ) -> Result<Self, Error> {
        agent::refuse_own_user(&config).await?;
        create_state_dir(&config)?;
        let (doors, addresses) = Doors::open(&config, handed)?;
        let owners = doors::owners(&config, &addresses).await?;
        let access = open_access(&config, &addresses)?;
        let views = Views::new(&config, access, diagnostics, conditions(&config));
        let trust = Trust::open(&config, &*views.record)?;
        agent::refuse_closed_bundle(&config, &trust.bundle)?;
        let (vital, failures) = mpsc::channel(1);
        let mut app = Self {
            addresses,
            traffic: Tasks::default(),
            agent: Tasks::default(),
            exporter: Tasks::default(),
            telemetry: Tasks::default(),
            failures,
            ledger: Arc::clone(&views.ledger),
            readiness: Arc::clone(&views.readiness),
            followed: None,
            drain: config.drain,
        };
        let environment = agent::environment(&config, &trust.bundle, &app.addresses);
        app.exporter.spawn(trust::watch_expiry(
            trust.not_after,
            app.exporter.stopping().clone(),
        ));
        app.export(views.spans, views.pusher, &trust.collectors);
        app.exporter
            .spawn(notify::watchdog(app.exporter.stopping().clone()));
        app.serve_exporter(doors.web, &views.web);
        app.serve_traffic(
            &config,
            doors.traffic,
            trust,
            owners,
            Arc::clone(&views.record),
        );
        let supervised =
            match agent::start(config.clone(), environment, &app, views.record, vital).await {
                Ok(supervised) => supervised,
                Err(failure) => {
                    app.stop(std::future::ready(())).await;
                    return Err(failure);
                }
            };
        app.followed = cascades::start(&config, supervised, &app, &views.correlator);
        app.addresses.tell();
        Ok(app)
    }

    /// Where the house can be reached.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What holds of the conditions for `/readyz`.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Answers what `/v1/usage` answers, also after the house has ended.
    pub fn usage(&self) -> impl Fn() -> UsageReport + use<> {
        let ledger = Arc::clone(&self.ledger);
        move || ledger.report()
    }

    /// Where the agent listens whose conversations are followed, while there is one.
    #[must_use]
    pub fn followed(&self) -> Option<Endpoint> {
        self.followed
            .as_ref()
            .and_then(|followed| followed.borrow().clone())
    }

    /// What is kept of calls and conversations, also after the house has ended.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Returns when something that the house cannot do without has failed. Cancel-safe.
    pub async fn failed(&mut self) -> Error {
        match self.failures.recv().await {
            Some(failure) => failure,
            // Every task that could fail has ended well.
            None => std::future::pending().await,
        }
    }

    /// Ends the house: traffic first and in peace, until its deadline or `hurry`; then the agent,
    /// then the exporter, then what takes spans and metrics to the collector, and the ledger.
    pub async fn stop(self, hurry: impl Future<Output = ()>) {
        self.readiness.set(Condition::Listening, false);
        info!(deadline = ?self.drain, "stopping: running exchanges may end");
        if !self.traffic.drain(self.drain, hurry).await {
            warn!("running exchanges were cut off");
        }
        self.agent
            .drain(AGENT_STOP_LIMIT, std::future::pending())
            .await;
        self.exporter
            .drain(EXPORTER_STOP_LIMIT, std::future::pending())
            .await;
        // Whoever states the last runs has ended now: what is left of spans is all there will be,
        // and the counts are final.
        self.telemetry
            .drain(TELEMETRY_STOP_LIMIT, std::future::pending())
            .await;
        let ledger = self.ledger;
        let closed = tokio::task::spawn_blocking(move || ledger.close(LEDGER_STOP_LIMIT)).await;
        if !closed.unwrap_or_default() {
            warn!("the ledger was not closed in time");
        }
        info!("stopped");
    }

    fn serve_exporter(&self, listeners: Vec<Listener>, web: &Arc<Web>) {
        for listener in listeners {
            let (tracker, stopping) = (
                self.exporter.tracker().clone(),
                self.exporter.stopping().clone(),
            );
            self.exporter
                .spawn(Arc::clone(web).serve(listener, tracker, stopping));
        }
    }

    fn export(&self, spans: Option<Exporter>, metrics: Option<Pusher>, tls: &Collectors) {
        let tasks = || {
            (
                self.telemetry.tracker().clone(),
                self.telemetry.stopping().clone(),
            )
        };
        if let Some((pusher, tls)) = metrics.zip(tls.metrics.clone()) {
            let (tracker, stopping) = tasks();
            self.telemetry.spawn(pusher.run(tls, tracker, stopping));
        }
        if let Some((exporter, tls)) = spans.zip(tls.spans.clone()) {
            let (tracker, stopping) = tasks();
            self.telemetry.spawn(exporter.run(tls, tracker, stopping));
        }
    }

    fn serve_traffic(
        &self,
        config: &Config,
        listeners: Vec<(crate::capture::Door, tokio::net::TcpListener)>,
        trust: Trust,
        owners: Owners,
        record: Arc<dyn Record>,
    ) {
        let guard = Arc::new(LoopGuard::new(
            self.addresses.all(),
            config.capture.allow_private_networks,
        ));
        let memory = Memory::new(config.observe.max_memory);
        let relay = Arc::new(Relay {
            config: config.relay.clone(),
            guard: Arc::clone(&guard),
            upstream: trust.upstream,
            leaves: trust.leaves,
            observers: Arc::new(Observers {
                record: Arc::clone(&record),
                memory,
            }),
            record: Arc::clone(&record),
        });
        let gate = Gate {
            guard,
            owners,
            original_dst: Arc::new(KernelOriginalDst),
            connect_request: config.capture.connect_request,
            record,
        };
        let doors = usize::from(self.addresses.connect.is_some())
            + usize::from(!self.addresses.redirect.is_empty());
        let slots = Slots::new(process::room_for(config.capture.max_connections, doors));
        let shared = Arc::new(SharedDoors {
            gate,
            slots,
            tasks: self.traffic.tracker().clone(),
        });
        let shutdown = Shutdown {
            drain: self.traffic.stopping().clone(),
            force: self.traffic.forced().clone(),
        };
        for (door, listener) in listeners {
            let (relay, shutdown) = (Arc::clone(&relay), shutdown.clone());
            let serve = move |accepted| {
                let (relay, shutdown) = (Arc::clone(&relay), shutdown.clone());
                async move { relay.serve(accepted, &shutdown).await }
            };
            let stopping = self.traffic.stopping().clone();
            self.traffic.spawn(listener::run(
                listener,
                door,
                Arc::clone(&shared),
                stopping,
                serve,
            ));
        }
        self.readiness.set(Condition::Listening, true);
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

/// States a failure that ends the house. Only the first one counts.
fn fail(vital: &mpsc::Sender<Error>, failure: Error) {
    error!(error = %failure, "the house must end");
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
fn create_state_dir(config: &Config) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o755)
        .create(&config.state_dir)
        .map_err(|source| Error::StateDir {
            path: config.state_dir.clone(),
            source,
        })
}

/// Longer than `agent.stop_timeout` usually is: the supervisor itself sends SIGKILL in time.
const AGENT_STOP_LIMIT: Duration = Duration::from_secs(60);

/// A scrape that is being answered takes milliseconds.
const EXPORTER_STOP_LIMIT: Duration = Duration::from_secs(2);

/// Longer than its writer tries: it gives up after some seconds by itself.
const LEDGER_STOP_LIMIT: Duration = Duration::from_secs(10);

/// Longer than either exporter takes: they give up after five seconds by themselves.
const TELEMETRY_STOP_LIMIT: Duration = Duration::from_secs(10);
