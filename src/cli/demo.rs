//! `gravimeter demo`, and the hidden commands that are its other processes.

use std::fs;
use std::io::{IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{block_on, logging, terminal_width};
use crate::app::{self, DemoOptions};
use crate::budget::Budget;
use crate::config::{self, Log, LogFormat, Places, process_environment, rules_of};
use crate::demo::{
    AgentKind, AgentOptions, AppOptions, OfferedStreams, Provider, ProviderOptions, agent,
};
use crate::export::otlp::{Endpoint, Protocol};
use crate::relay;
use crate::rules::Rules;

/// Watch gravimeter at work: a stand-in provider, a stand-in agent, the real path between them
///
/// As root the agent is a process of a user of its own whose connections are redirected here;
/// otherwise it comes through the CONNECT proxy. Nothing leaves this machine, and rules, user and
/// files are taken away again at the end.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How long it runs, as 30s or 5m; until Ctrl-C when not given
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    run_for: Option<Duration>,
    /// Come through the CONNECT proxy even as root: touch no rules and no users
    #[arg(long)]
    no_redirect: bool,
    /// The agents that are at work
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "antigravity,claude-code,codex"
    )]
    agents: Vec<Agent>,
    /// How many times faster than in life: at 1, an answer begins after 0.4 to 8 seconds
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = speed)]
    speed: f64,
    /// The best method that the stand-in of Antigravity offers to follow its conversations
    #[arg(long, value_enum, default_value = "agent-state")]
    follow: FollowMethod,
    /// Stop new calls when this many US dollars are spent, as 0.50
    #[arg(long, value_name = "USD", value_parser = dollars)]
    budget: Option<Budget>,
    /// A file of rules that change the requests of the agents, such as examples/rules.toml
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// A collector that gets the spans, as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", value_parser = collector)]
    otlp: Option<Endpoint>,
    /// What the collector speaks; auto: gRPC on port 4317, protobuf over HTTP on any other
    #[arg(long, value_enum, default_value = "auto", requires = "otlp")]
    otlp_protocol: Speaks,
    /// Where the page, /metrics and /v1/usage are served; 127.0.0.1:8741 or, where that is taken,
    /// another port
    #[arg(long = "web.listen", value_name = "IP:PORT")]
    web: Option<SocketAddr>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // The table is the output; log lines in it would break it.
        let limit = logging::start(
            &Log {
                level: "warn".to_owned(),
                format: LogFormat::Auto,
            },
            None,
        )?;
        let out = std::io::stdout();
        let in_place = out.is_terminal();
        let redirect = rustix::process::geteuid().is_root() && !self.no_redirect;
        let options = DemoOptions {
            web: self.web,
            duration: self.run_for,
            folder: demo_folder(redirect)?,
            redirect,
            offered_streams: self.follow.offered_streams(),
            agents: self.agents.into_iter().map(AgentKind::from).collect(),
            speed: self.speed,
            budget: self.budget,
            rules: match &self.rules {
                Some(path) => rules_of(path, &relay::Config::default().intercept)?,
                None => Rules::default(),
            },
            otlp: self.otlp,
            otlp_protocol: self.otlp_protocol.into(),
            redraw: if in_place { REDRAW } else { REPEAT },
            width: terminal_width(),
            agent_arguments: |options| {
                vec!["demo-agent".to_owned(), "--options".to_owned(), options]
            },
        };
        block_on(limit.watch(async { Ok(app::demo(options, out, in_place).await?) }))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// An agent of the demo.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Agent {
    /// Google Antigravity's language server
    Antigravity,
    /// Anthropic's Claude Code
    ClaudeCode,
    /// OpenAI's Codex
    Codex,
}

impl From<Agent> for AgentKind {
    fn from(agent: Agent) -> Self {
        match agent {
            Agent::Antigravity => Self::Antigravity,
            Agent::ClaudeCode => Self::ClaudeCode,
            Agent::Codex => Self::Codex,
        }
    }
}

/// How conversations can be followed, if nothing better is offered.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FollowMethod {
    /// A stream of each conversation's state, as language servers 2.x have it
    AgentState,
    /// A stream of differences for each turn, as language servers before 1.20.5 have it
    Reactive,
    /// No stream: the conversations must be asked for
    Polling,
}

impl FollowMethod {
    fn offered_streams(self) -> OfferedStreams {
        OfferedStreams {
            agent_state: matches!(self, Self::AgentState),
            reactive: !matches!(self, Self::Polling),
        }
    }
}

/// The words of `otlp.protocol`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Speaks {
    Auto,
    Grpc,
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

impl From<Speaks> for Protocol {
    fn from(speaks: Speaks) -> Self {
        match speaks {
            Speaks::Auto => Self::Auto,
            Speaks::Grpc => Self::Grpc,
            Speaks::HttpProtobuf => Self::HttpProtobuf,
        }
    }
}

/// Below `/var/lib` for root, so that the agent's user can reach it; in the state folder otherwise.
fn demo_folder(redirect: bool) -> anyhow::Result<PathBuf> {
    if redirect {
        return Ok(PathBuf::from("/var/lib/gravimeter-demo"));
    }
    let state = Places::default().state_dir(&process_environment());
    Ok(state
        .context("there is no home folder for the demo's files: set XDG_STATE_HOME")?
        .join("demo"))
}

/// On a terminal the table is drawn over itself.
const REDRAW: Duration = Duration::from_millis(500);

/// In a file or a pipe every table stays.
const REPEAT: Duration = Duration::from_secs(10);

/// Be the stand-in agent of the demo
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct DemoAgent {
    /// `demo::AgentOptions` as JSON; the bundle is that of SSL_CERT_FILE unless it is named
    #[arg(long, value_name = "JSON", default_value = "{}")]
    options: String,
    /// What clients must present, by the flag of the real one, so that it is found in /proc
    #[arg(long = "csrf_token", value_name = "TOKEN")]
    csrf_token: Option<String>,
}

impl DemoAgent {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        end_with_parent()?;
        let mut options: AgentOptions = serde_json::from_str(&self.options).context("--options")?;
        options.csrf_token = self.csrf_token.unwrap_or(options.csrf_token);
        use_proxy_of_environment(&mut options);
        if options.bundle == PathBuf::new() {
            options.bundle = config::ssl_cert_file().context("SSL_CERT_FILE is not set")?;
        }
        let outcome = block_on(async { Ok(agent::run(options).await?) })?;
        Ok(if outcome.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A demo that is killed leaves no agent behind that goes on talking.
fn end_with_parent() -> anyhow::Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Who ended before the signal was asked for sends none.
    ensure!(getppid() == parent, "the demo has ended");
    Ok(())
}

/// As programs do that are led nowhere else.
fn use_proxy_of_environment(options: &mut AgentOptions) {
    if options.dial.is_none() && options.proxy.is_none() {
        options.proxy = config::https_proxy();
    }
}

/// Be a stand-in of the desktop application, which starts its language server by itself
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct DemoApp {
    /// `demo::AppOptions` as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    options: String,
}

impl DemoApp {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let mut options: AppOptions = serde_json::from_str(&self.options).context("--options")?;
        use_proxy_of_environment(&mut options.language_server);
        let own = std::env::current_exe().context("the path of the running program")?;
        let arguments = |options, token| {
            let words = ["demo-agent", "--csrf_token"].map(str::to_owned);
            words
                .into_iter()
                .chain([token, "--options".to_owned(), options])
                .collect()
        };
        let outcome = block_on(async { Ok(agent::run_app(options, &own, arguments).await?) })?;
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Be the stand-in provider of the demo
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct DemoProvider {
    /// `demo::ProviderOptions` as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    options: String,
    /// Where to listen for TLS
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write its root certificate, as PEM
    #[arg(long, value_name = "PATH")]
    root: PathBuf,
}

impl DemoProvider {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let options: ProviderOptions = serde_json::from_str(&self.options).context("--options")?;
        block_on(serve(options, self.listen, &self.root, out))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Serves until SIGTERM or SIGINT; says on `out` where, once the root is written.
async fn serve(
    options: ProviderOptions,
    listen: SocketAddr,
    root: &PathBuf,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let mut terminate = signal(SignalKind::terminate())?;
    let provider = Provider::start(options, listen, &tracker, &shutdown).await?;
    fs::write(root, provider.root_pem()).with_context(|| root.display().to_string())?;
    writeln!(
        out,
        "{}",
        json!({"listen": provider.addr, "control": provider.control})
    )?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => (),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
    Ok(())
}

fn collector(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).ok_or_else(|| "write a URL, such as http://127.0.0.1:4317".to_owned())
}

/// A budget of so many dollars, which stops calls when they are spent.
fn dollars(text: &str) -> Result<Budget, String> {
    config::budget_of_a_day("demo", text).map_err(|mistake| mistake.replace("cost: ", ""))
}

fn speed(text: &str) -> Result<f64, String> {
    let read = text.parse::<f64>().ok();
    read.filter(|speed| (SPEEDS.0..=SPEEDS.1).contains(speed))
        .ok_or_else(|| format!("write a factor from {} to {}", SPEEDS.0, SPEEDS.1))
}

/// At the slowest an answer begins within a minute and a half, at the fastest within milliseconds.
const SPEEDS: (f64, f64) = (0.1, 1_000.0);

fn time(text: &str) -> Result<Duration, String> {
    let read = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok());
    read.filter(|time| !time.is_zero())
        .ok_or_else(|| "write a time with its unit, such as 30s or 5m".to_owned())
}
