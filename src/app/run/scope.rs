//! The way by which the connections of a program are captured.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tracing::{info, warn};

use super::{RunRequest, user, variable};
use crate::app::{Activation, Error, ServerSearch};
use crate::capture::Obstacle;
use crate::capture::cgroup::Cgroup;
use crate::capture::namespace::{Carrier, Forwarded, Namespace, enter};
use crate::capture::redirect::Rules;
use crate::config::Config;
use crate::launch::foreground::{self, Environment, ExecPlan, OtherUser, Started, proxy_in_use};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The first that works on this machine and takes nothing from the program.
    Auto,
    /// A control group, for which root has installed redirect rules.
    Cgroup,
    /// A network namespace of the program's own.
    Namespace,
    /// The CONNECT proxy, by variables in the program's environment.
    Proxy,
    /// The user whose connections are redirected, as whom the program runs.
    User,
}

/// The way that is taken.
pub(super) struct Way {
    means: Means,
    /// What stood in the way of those before it, each with the word for what there is none of.
    passed_over: Vec<(&'static str, Obstacle)>,
    /// Where the CONNECT proxy listens, once it does.
    proxy: Option<SocketAddr>,
}

enum Means {
    Cgroup(Cgroup),
    Namespace(Namespace),
    Proxy,
    User(OtherUser, Vec<TcpListener>),
}

/// The running program.
pub(super) enum RunningProgram<'a> {
    /// As our own user.
    Own(Child),
    /// As another one.
    Other(&'a OtherUser, Started),
}

impl Way {
    /// Opens the way that was asked for.
    pub(super) async fn open(
        request: &RunRequest,
        own: &Path,
        config: &Config,
    ) -> Result<Self, Error> {
        let path = variable(&request.environment, "PATH").unwrap_or(OsStr::new(""));
        let listen = &config.capture.redirect_listen;
        let namespace = |carrier| Namespace::open(carrier, own, listen, path);
        let cgroup = || Cgroup::open(own, path).map(Means::Cgroup);
        let proxy = || match proxy_in_use(&request.environment) {
            Some(variable) => Err(Error::ProxyInUse { variable }),
            None => Ok(Means::Proxy),
        };
        let mut passed_over = Vec::new();
        let means = match request.scope {
            Scope::Proxy => proxy()?,
            Scope::Cgroup => cgroup().map_err(Error::Cgroup)?,
            Scope::User => user::open(own, config)
                .await
                .map(|(user, listeners)| Means::User(user, listeners))?,
            Scope::Namespace => namespace(Carrier::Pasta)
                .or_else(|obstacle| {
                    info!(%obstacle, "pasta cannot be used: gravimeter carries what is not intercepted");
                    passed_over.push(("pasta", obstacle));
                    namespace(Carrier::Own)
                })
                .map(Means::Namespace)
                .map_err(Error::Namespace)?,
            Scope::Auto => {
                let tried = namespace(Carrier::Pasta).map(Means::Namespace);
                let tried = tried.or_else(|obstacle| {
                    passed_over.push(("namespace", obstacle));
                    cgroup()
                });
                match tried {
                    Ok(means) => means,
                    Err(obstacle) => {
                        passed_over.push(("cgroup", obstacle));
                        proxy()?
                    }
                }
            }
        };
        let way = Self {
            means,
            passed_over,
            proxy: None,
        };
        if let Some(reason) = way.reason() {
            info!(scope = way.name(), reason, "not the first way is taken");
        }
        Ok(way)
    }

    /// The user as whom the program runs, where that is not our own.
    pub(super) fn user<'a>(&self, config: &'a Config) -> Option<&'a str> {
        matches!(self.means, Means::User(..)).then_some(&config.redirect.user)
    }

    pub(super) fn name(&self) -> &'static str {
        match self.means {
            Means::Cgroup(_) => "cgroup",
            Means::Namespace(_) => "namespace",
            Means::Proxy => "proxy",
            Means::User(..) => "user",
        }
    }

    /// Why a better way was not taken, and what this one lacks for it.
    pub(super) fn reason(&self) -> Option<String> {
        let lacks = match &self.means {
            Means::Namespace(namespace) if namespace.carrier() == Carrier::Own => Some(CLOSED),
            _ => None,
        };
        let obstacles = self.passed_over.iter();
        let obstacles = obstacles.map(|(what, obstacle)| format!("no {what}: {obstacle}"));
        let reason: Vec<_> = lacks
            .map(str::to_owned)
            .into_iter()
            .chain(obstacles)
            .collect();
        (!reason.is_empty()).then(|| reason.join(". "))
    }

    /// How this way has failed meanwhile.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.means {
            Means::Namespace(namespace) if namespace.has_lost_network() => Some(LOST.to_owned()),
            _ => None,
        }
    }

    /// The sockets at which the program's connections arrive.
    pub(super) fn take_listeners(&mut self) -> Result<Activation, Error> {
        let proxy = &mut self.proxy;
        let listeners: Vec<TcpListener> = match &mut self.means {
            Means::Cgroup(cgroup) => cgroup.take_listeners(),
            Means::Namespace(namespace) => namespace.take_listeners(),
            Means::Proxy => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let failed = |source| Error::Bind {
                    address,
                    key: "--scope proxy",
                    source,
                };
                let listener = TcpListener::bind(address).map_err(failed)?;
                *proxy = Some(listener.local_addr().map_err(failed)?);
                return Activation::of_connect(listener);
            }
            Means::User(_, listeners) => std::mem::take(listeners),
        };
        Activation::of_redirect(listeners)
    }

    /// The address of the CONNECT proxy, where the program comes to one.
    pub(super) fn proxy(&self) -> Option<SocketAddr> {
        self.proxy
    }

    /// Whether the program has a network namespace of its own.
    pub(super) fn is_namespace(&self) -> bool {
        matches!(self.means, Means::Namespace(_))
    }

    /// What leaves the program's namespace otherwise and is ours to carry.
    pub(super) fn take_forwarded(&mut self) -> Option<Forwarded> {
        match &mut self.means {
            Means::Namespace(namespace) => namespace.take_forwarded(),
            Means::Cgroup(_) | Means::Proxy | Means::User(..) => None,
        }
    }

    /// How a language server that the program starts is found and reached. `own` is our executable.
    pub(super) fn followed(
        &self,
        request: &RunRequest,
        own: &Path,
        config: &Config,
    ) -> Option<ServerSearch> {
        let path = variable(&request.environment, "PATH").unwrap_or(OsStr::new(""));
        let namespace = match &self.means {
            Means::Namespace(namespace) => Some(namespace.loopback(own, path)),
            Means::Cgroup(_) | Means::Proxy | Means::User(..) => None,
        };
        let search = namespace.transpose().and_then(|namespace| {
            let ca_folder = config.bundle.parent().unwrap_or(Path::new("/"));
            ServerSearch::in_run(
                ca_folder.to_owned(),
                config.discovery_folders.clone(),
                namespace,
            )
        });
        search
            .inspect_err(|error| warn!(%error, "no language server is followed"))
            .ok()
    }

    /// The configuration for this way. Agents, redirect rules and language servers that it names are
    /// those of `serve`.
    pub(super) fn adapt(&self, mut config: Config) -> Config {
        config.agent = None;
        config.launch.user = None;
        config.redirect.rules = Rules::NotNeeded;
        config.capture.connect_users.clear();
        config.capture.connect_listen = match self.means {
            Means::Proxy => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            Means::Cgroup(_) | Means::Namespace(_) | Means::User(..) => None,
        };
        if matches!(self.means, Means::Proxy) {
            config.capture.redirect_listen.clear();
        }
        config.cascade.endpoint = None;
        config.cascade.token = None;
        config.ledger.wait_for_lock = WAIT_FOR_LEDGER;
        config.drain = config.drain.min(DRAIN);
        config
    }

    /// Starts the program as the way demands: in its namespace, in its cgroup, as another user, or as
    /// a child like any other. `own` is our executable.
    ///
    /// The program gets a signal when the thread that starts it ends: this must be the main thread.
    pub(super) async fn start(
        &self,
        own: &Path,
        request: &RunRequest,
        environment: &Environment,
        open_files: Option<u64>,
    ) -> Result<RunningProgram<'_>, Error> {
        let command = |mut command: Command| {
            let plan = ExecPlan::new(&request.executable, &request.arguments, open_files);
            command
                .args(foreground::COMMAND)
                .args(plan.to_arguments())
                .env_clear()
                .envs(environment.variables());
            command
        };
        let child = match &self.means {
            Means::User(user, _) => {
                let (program, arguments) = (&request.executable, &request.arguments);
                let folder = user::open_folder();
                let started = user.start(program, arguments, environment, folder).await?;
                return Ok(RunningProgram::Other(user, started));
            }
            Means::Cgroup(cgroup) => {
                let mut entering = cgroup.command(own);
                entering.arg(own);
                command(entering).spawn()
            }
            Means::Namespace(namespace) => {
                let mut entering = Command::new(own);
                entering.args(enter::COMMAND).arg(own);
                namespace.spawn(&mut command(entering), std::io::stdin())
            }
            Means::Proxy => command(Command::new(own)).spawn(),
        };
        child.map(RunningProgram::Own).map_err(Error::Start)
    }
}

impl RunningProgram<'_> {
    /// The process that ends with the program.
    pub(super) fn child(&self) -> &Child {
        match self {
            Self::Own(child) => child,
            Self::Other(_, started) => &started.child,
        }
    }

    /// Passes a signal on to the program.
    pub(super) async fn signal(&self, signal: Signal) {
        match self {
            Self::Own(child) => {
                // Fails only when it has ended.
                let _ = kill_process(Pid::from_child(child), signal);
            }
            Self::Other(user, started) => user.signal(started, signal).await,
        }
    }
}

const LOST: &str = "pasta ended before the program, which had no network from then on";

const CLOSED: &str =
    "nothing else passes but TCP and questions for names; this machine's loopback is another one";

/// Most often it is a running `serve` that has the ledger, and will keep it: the program waits
/// meanwhile.
const WAIT_FOR_LEDGER: Duration = Duration::from_millis(50);

/// The program has ended, and its connections with it; what its children still have open does not
/// keep the shell waiting.
const DRAIN: Duration = Duration::from_secs(1);
