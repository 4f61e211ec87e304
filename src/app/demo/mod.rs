//! The demo: stand-ins of providers and of agents around the program as it always runs.
//!
//! As root the agent is a process of a user of its own, led here by redirect rules; otherwise it
//! comes through the CONNECT proxy. Everything that it makes (rules, user, folder) is taken away
//! again at the end.

mod configure;
mod folder;
mod judge;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::signals::Signals;
use super::{App, Error, Surroundings, Tasks, process};
use crate::budget::Budget;
use crate::capture::redirect::Redirect;
use crate::config::Config;
use crate::demo::Tally;
use crate::demo::agent::{self, AgentKind, Log, OfferedStreams};
use crate::demo::provider::Provider;
use crate::export::otlp;
use crate::ledger::UsageReport;
use crate::rules::Rules;
use crate::term::table::{self, Screen, Usage};
use configure::configure;
use folder::DemoFolder;
use judge::Judgement;

/// How the demo runs.
#[derive(Debug, Clone)]
pub(crate) struct DemoOptions {
    /// Where `/metrics`, `/v1/usage` and the page are served; the usual port where it is free, or
    /// else another one, if `None`.
    pub web: Option<SocketAddr>,
    /// How long; until a signal when not given.
    pub duration: Option<Duration>,
    /// A folder for the files of all demos of this user. The agent's user must be able to pass
    /// through its parents.
    pub folder: PathBuf,
    /// Whether the agent is led here by redirect rules, which needs root, or comes through the
    /// CONNECT proxy.
    pub redirect: bool,
    /// The streams that the stand-in language server offers to whoever follows its conversations.
    pub offered_streams: OfferedStreams,
    /// The collector that gets the spans, where there is one.
    pub otlp: Option<otlp::Endpoint>,
    /// What it speaks.
    pub otlp_protocol: otlp::Protocol,
    /// The rules that change the requests of the agents.
    pub rules: Rules,
    /// The agents that are at work.
    pub agents: Vec<AgentKind>,
    /// How many times faster than in life they are: answers, tools and the pauses of users.
    pub speed: f64,
    /// What stops calls, where anything does.
    pub budget: Option<Budget>,
    /// How often the table is drawn.
    pub redraw: Duration,
    /// Columns of the terminal.
    pub width: usize,
    /// The arguments that make this program the stand-in language server with the given options,
    /// which are JSON.
    pub agent_arguments: fn(String) -> Vec<String>,
}

/// Runs the demo until its time is over or a signal comes, and writes what people should see to
/// `out`.
///
/// # Errors
/// Whatever keeps Gravimeter from running, or an end at which Gravimeter and the provider disagree.
pub(crate) async fn demo<W: Write>(
    options: DemoOptions,
    out: W,
    in_place: bool,
) -> Result<(), Error> {
    process::harden()?;
    let mut signals = Signals::install()?;
    let stage = Stage::set(&options).await?;
    let mut screen = Screen::new(out, in_place);
    let outcome = stage.play(&options, &mut screen, &mut signals).await;
    let cleared = stage.clear(&options).await;
    let verdict = outcome?;
    cleared?;
    screen.say(&verdict).map_err(failed)
}

/// What stands around Gravimeter.
struct Stage {
    provider: Provider,
    tasks: Tasks,
    config: Config,
    folder: DemoFolder,
}

impl Stage {
    async fn set(options: &DemoOptions) -> Result<Self, Error> {
        let tasks = Tasks::default();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let provider = Provider::start(options.script(), listen, tasks.tracker(), tasks.stopping())
            .await
            .map_err(failed)?;
        // The redirect is by a user, whom two demos would have in common.
        let folder = DemoFolder::create(&options.folder, options.redirect)?;
        let config = configure(options, folder.path(), &provider)?;
        Ok(Self {
            provider,
            tasks,
            config,
            folder,
        })
    }

    async fn play<W: Write>(
        &self,
        options: &DemoOptions,
        screen: &mut Screen<W>,
        signals: &mut Signals,
    ) -> Result<String, Error> {
        let mut app = App::start(self.config.clone(), Surroundings::default()).await?;
        screen.say(&where_to_look(options, &app)).map_err(failed)?;
        let failure = {
            let over = async {
                match options.duration {
                    Some(duration) => sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            let usage = app.usage();
            let usage = move || shown(&usage);
            tokio::select! {
                () = signals.next() => None,
                () = over => None,
                failure = app.failed() => Some(failure),
                failure = draw(&usage, screen, options) => Some(failure),
            }
        };
        let (usage, ledger) = (app.usage(), Arc::clone(app.ledger()));
        // The agent's own log ends with the agent.
        let asked = Timestamp::now();
        let log = agents_log(&app).await;
        let judgement = log.as_ref().map(|log| Judgement::new(log, &ledger, asked));
        app.stop(signals.next()).await;
        match failure {
            Some(failure) => Err(failure),
            None => verdict(
                &shown(&usage)?,
                &self.provider.truth(),
                judgement,
                screen,
                options.width,
            ),
        }
    }

    /// Takes away what the demo made.
    async fn clear(&self, options: &DemoOptions) -> Result<(), Error> {
        self.tasks
            .drain(PROVIDER_STOP_LIMIT, std::future::pending())
            .await;
        // The files go even if the rules or the user cannot.
        let mut removed = Ok(String::new());
        if options.redirect {
            removed = Redirect::new(self.config.redirect.clone())
                .remove(true)
                .await;
        }
        self.folder.remove()?;
        removed?;
        Ok(())
    }
}

fn where_to_look(options: &DemoOptions, app: &App) -> String {
    let web = app.addresses().exporter().map(|web| web.to_string());
    let web = web.unwrap_or_default();
    let way = if options.redirect {
        "redirected by the uid of a user of their own"
    } else {
        "through the CONNECT proxy (run as root to see the redirect by uid)"
    };
    let agents: Vec<&str> = options.agents.iter().copied().map(name).collect();
    let agents = agents.join(", ");
    let spans = options
        .otlp
        .as_ref()
        .map(|endpoint| format!("  spans    go to {endpoint}\n"))
        .unwrap_or_default();
    format!(
        "Stand-ins of {agents} talk to a stand-in provider, {way}.\n\
         Nothing leaves this machine. Look at it from another terminal, or in a browser:\n\n  \
         page     http://{web}/\n  \
         metrics  curl -s http://{web}/metrics\n  \
         usage    curl -s http://{web}/v1/usage\n  \
         cascades curl -s http://{web}/v1/cascades\n{spans}\n\
         To see what a program of your own spends: gravimeter run -- PROGRAM\n\n"
    )
}

/// What people call an agent.
fn name(agent: AgentKind) -> &'static str {
    match agent {
        AgentKind::Antigravity => "Antigravity",
        AgentKind::ClaudeCode => "Claude Code",
        AgentKind::Codex => "Codex",
    }
}

/// The answer of `/v1/usage`, as the table reads it.
fn shown(usage: &impl Fn() -> UsageReport) -> Result<Usage, Error> {
    serde_json::to_value(usage())
        .and_then(serde_json::from_value)
        .map_err(failed)
}

async fn draw<W: Write>(
    usage: &impl Fn() -> Result<Usage, Error>,
    screen: &mut Screen<W>,
    options: &DemoOptions,
) -> Error {
    let mut ticks = interval(options.redraw);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to see yet.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let drawn = usage().and_then(|usage| {
            screen
                .show(&table::render(&usage, options.width))
                .map_err(failed)
        });
        if let Err(failure) = drawn {
            return failure;
        }
    }
}

/// The last table, whether Gravimeter counted what the provider says it sent, and whether it saw
/// what the agent says it did.
fn verdict<W: Write>(
    usage: &Usage,
    truth: &Tally,
    judgement: Option<Judgement>,
    screen: &mut Screen<W>,
    width: usize,
) -> Result<String, Error> {
    screen.show(&table::render(usage, width)).map_err(failed)?;
    let sent: u64 = truth
        .models
        .values()
        .map(|model| model.tokens.total())
        .sum();
    let counted = usage.totals.total_tokens;
    if counted != sent {
        return Err(Error::Demo(format!(
            "{counted} tokens were counted, but the provider's own books say {sent}"
        )));
    }
    let books = format!("\nThe provider's own books say the same: {sent} tokens.\n");
    match judgement {
        Some(judgement) if judgement.is_right() => {
            Ok(format!("{books}By the agent's own log, {judgement}.\n"))
        }
        Some(judgement) => Err(Error::Demo(format!(
            "by the agent's own log, only {judgement}"
        ))),
        None => Ok(books),
    }
}

/// What the stand-in language server says that it did; `None` when it does not run.
async fn agents_log(app: &App) -> Option<Log> {
    agent::fetch_log(app.followed()?.http()?).await.ok()
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Demo(error.to_string())
}

/// The stand-in provider has nothing to keep.
const PROVIDER_STOP_LIMIT: Duration = Duration::from_secs(2);
