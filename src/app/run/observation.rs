//! Who observes the program of a run: a service that runs already, or this process.
//!
//! While a service does, its end is waited for. The sockets at which the program's connections
//! arrive stay open here, too, so that connections wait for the next one to accept them: a service
//! that is started again gets the session, and where none comes soon, this process goes on by
//! itself. Connections that the lost service had are gone with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::scope::Way;
use crate::app::cascades::ServerSearch;
use crate::app::handover::{Ended, HandedSession, Handover, OfferError, Summary, offer};
use crate::app::parts::recorded;
use crate::app::{Activation, App, Error, Surroundings};
use crate::config::Config;
use crate::export::diagnostics::Diagnostics;
use crate::record::{Fact, Session, SessionEnded};
use crate::summary::{Collector, render};
use crate::tls::bundle::{self, Bundle};

/// Everything that observing needs, whoever does it.
pub(super) struct Plan {
    pub(super) session: Session,
    /// For this process, should it observe.
    pub(super) config: Config,
    /// Where a service would take the session; `None` where none is to be asked.
    pub(super) socket: Option<PathBuf>,
    /// The sockets at which the program's connections arrive.
    pub(super) listeners: Activation,
    /// How a language server that the program starts is found.
    pub(super) followed: Option<ServerSearch>,
    /// Whether the program is known to start one.
    pub(super) starts_language_server: bool,
}

/// The program is observed.
pub(super) struct Observation {
    plan: Plan,
    by: By,
    bundle: Bundle,
    /// The certificate of the CA that the program trusts, as PEM.
    ca: String,
    /// The process of the program, once it runs.
    program: Option<u32>,
    /// Why the figures are not those of the whole run.
    gap: Option<&'static str>,
}

enum By {
    Service(Handover),
    Own(Box<Own>),
    /// Nobody: every connection is refused.
    Nobody,
}

struct Own {
    app: App,
    collector: Arc<Collector>,
}

impl Own {
    async fn start(plan: &Plan, diagnostics: Option<Diagnostics>) -> Result<Self, Error> {
        let collector = Arc::<Collector>::default();
        let surroundings = Surroundings {
            handed: plan.listeners.of_traffic_again().map_err(Error::Handed)?,
            diagnostics,
            sinks: vec![Arc::clone(&collector) as _],
            session: Some(plan.session.clone()),
            followed: plan.followed.clone(),
            ..Surroundings::default()
        };
        let app = App::start(plan.config.clone(), surroundings).await?;
        Ok(Self { app, collector })
    }
}

impl Observation {
    /// Begins to observe: by a service where one takes the session, else by this process.
    ///
    /// # Errors
    /// Whatever keeps this process from observing.
    pub(super) async fn begin(plan: Plan, diagnostics: Option<Diagnostics>) -> Result<Self, Error> {
        let handed = match hand_over(&plan).await {
            Ok(handed) => Some(handed),
            Err(OfferError::Absent) => None,
            Err(why) => {
                warn!(%why, "this process observes the program by itself");
                None
            }
        };
        let (by, bundle, ca) = match handed {
            Some(handed) => {
                let (path, roots) = (&plan.config.bundle, &plan.config.upstream.extra_roots);
                let bundle = bundle::write_for(path, &handed.ca, roots)?;
                info!(session = %plan.session.id, "a service observes the program");
                let ca = handed.ca.clone();
                (By::Service(handed), bundle, ca)
            }
            None => {
                let own = Own::start(&plan, diagnostics).await?;
                let (bundle, ca) = (own.app.bundle().clone(), own.app.ca().to_owned());
                (By::Own(Box::new(own)), bundle, ca)
            }
        };
        Ok(Self {
            plan,
            by,
            bundle,
            ca,
            program: None,
            gap: None,
        })
    }

    /// The files with the roots that make the program trust the CA.
    pub(super) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Where the base-URL door is, if this process has opened one.
    pub(super) fn base_url(&self) -> Option<SocketAddr> {
        match &self.by {
            By::Own(own) => own.app.addresses().base_url,
            By::Service(_) | By::Nobody => None,
        }
    }

    /// The program runs as that process. `way` is how its connections are captured.
    pub(super) async fn started(&mut self, pid: u32, way: &Way) {
        if way.is_namespace() {
            self.program = Some(pid);
            self.tell_program().await;
        }
    }

    async fn tell_program(&mut self) {
        let Some(pid) = self.program else { return };
        match &mut self.by {
            By::Service(handed) => handed.started(pid).await,
            By::Own(own) => own.app.peers().look_into_namespace_of(pid),
            By::Nobody => {}
        }
    }

    /// Sees to it that somebody observes the program; never returns. What is lost when this is
    /// cancelled is an attempt to go on, at the end of the program.
    pub(super) async fn keep(&mut self) {
        loop {
            let By::Service(handed) = &mut self.by else {
                return std::future::pending().await;
            };
            handed.lost().await;
            warn!(
                "the service that observed the program has ended: its open connections are cut off"
            );
            self.gap = Some(GAP);
            self.by = self.go_on().await;
            if let By::Nobody = self.by {
                // Without a listener, the kernel refuses connections at once.
                self.plan.listeners = Activation::default();
            }
            self.tell_program().await;
        }
    }

    /// Somebody to observe the program from now on.
    async fn go_on(&self) -> By {
        let patience = Instant::now() + NEXT_SERVICE;
        while Instant::now() < patience {
            match hand_over(&self.plan).await {
                Ok(handed) if self.is_trusted(&handed.ca) => {
                    info!("the next service observes the program");
                    return By::Service(handed);
                }
                Ok(_) => {
                    warn!("the next service has another CA, which the program does not trust");
                    break;
                }
                Err(_) => {}
            }
            sleep(LOOK_AGAIN).await;
        }
        match Own::start(&self.plan, None).await {
            Ok(own) if self.is_trusted(own.app.ca()) => {
                info!("this process observes the program from now on");
                By::Own(Box::new(own))
            }
            Ok(own) => {
                own.app.stop(std::future::ready(())).await;
                error!("{REFUSED}: this process has another CA than the program trusts");
                By::Nobody
            }
            Err(why) => {
                error!(%why, "{REFUSED}");
                By::Nobody
            }
        }
    }

    /// Whether the program trusts that CA, whose certificate is given as PEM. The program's files
    /// cannot tell: whoever observes it writes them.
    fn is_trusted(&self, ca: &str) -> bool {
        self.ca == ca
    }

    /// The program has ended: ends the observing, at once when `hurried` is done, and sums up.
    /// `failure` says then how the way has failed by which connections were captured.
    pub(super) async fn end(
        self,
        mut ended: Ended,
        hurried: impl Future<Output = ()>,
        failure: impl FnOnce() -> Option<String>,
    ) -> Summary {
        let Plan {
            session,
            config,
            listeners,
            ..
        } = self.plan;
        // What the program's children still dial is refused at once.
        drop(listeners);
        let failure = || failure().or(self.gap.map(str::to_owned));
        match self.by {
            By::Service(handed) => {
                ended.scope_failure = failure();
                let summary = handed.ended(ended).await;
                summary.unwrap_or_else(nothing_known)
            }
            By::Nobody => nothing_known(),
            By::Own(own) => {
                let Own { app, collector } = *own;
                app.record().record(Fact::SessionEnded(SessionEnded {
                    id: session.id,
                    ended_at: SystemTime::now(),
                }));
                let (ledger, parts) = (Arc::clone(app.ledger()), Arc::clone(&app.parts));
                app.stop(hurried).await;
                ended.scope_failure = failure();
                let path = config.ledger.enabled.then(|| config.ledger_path());
                let circumstances = ended.circumstances(
                    session.program.to_string(),
                    session.started_at,
                    recorded(&ledger, path),
                    parts.budget_statuses(),
                );
                let report = collector.report(circumstances);
                Summary {
                    text: render(&report, SystemTime::now()),
                    json: serde_json::to_value(&report).unwrap_or_default(),
                }
            }
        }
    }
}

/// Hands the session over to a service.
async fn hand_over(plan: &Plan) -> Result<Handover, OfferError> {
    let Some(socket) = &plan.socket else {
        return Err(OfferError::Absent);
    };
    let (listeners, redirect) = plan.listeners.traffic()?;
    let relay = &plan.config.relay;
    let handed = HandedSession {
        session: &plan.session,
        listeners: &listeners,
        redirect,
        programs: &relay.programs,
        untrusting: relay.untrusting,
        search: plan.followed.as_ref(),
        starts_language_server: plan.starts_language_server,
    };
    offer(socket, &handed).await
}

/// What is said of a run whose figures nobody can tell.
fn nothing_known() -> Summary {
    Summary {
        text: format!("gravimeter: {UNKNOWN}\n"),
        json: serde_json::json!({"error": UNKNOWN}),
    }
}

const UNKNOWN: &str = "the service that observed the program has ended: what it has seen stands in \
                       `gravimeter sessions`";

const GAP: &str = "a service that observed it has ended: these figures begin after that";

const REFUSED: &str = "nobody observes the program any more, and its connections are refused";

/// How long a service that was ended is waited for to be started again; connections of the program
/// wait meanwhile. A service manager takes a tenth of a second by default.
const NEXT_SERVICE: Duration = Duration::from_secs(2);

const LOOK_AGAIN: Duration = Duration::from_millis(50);
