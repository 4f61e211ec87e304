//! `gravimeter demo`, and the hidden commands that are its other processes.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::block_on;
use super::flags::ConfigFlags;
use crate::config;
use crate::demo::{AgentOptions, Provider, ProviderOptions, agent};

/// Watch gravimeter at work: a stand-in provider, a stand-in agent, the real path between them
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How long it runs, as 30s or 5m
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = time)]
    run_for: Duration,
    /// End after so many requests of the stand-in language server, if that is earlier
    #[arg(long, value_name = "N")]
    language_server_requests: Option<u32>,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.config.load()?;
        block_on(demo(loaded.config, self.run_for, self.language_server_requests))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn demo(_config: config::Config, _run_for: Duration, _requests: Option<u32>) -> anyhow::Result<()> {
    anyhow::bail!("this build has no demo: the rooms are not put together")
}

/// Be the stand-in agent of the demo
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct DemoAgent {
    /// `demo::AgentOptions` as JSON; the bundle is that of SSL_CERT_FILE unless it is named
    #[arg(long, value_name = "JSON", default_value = "{}")]
    options: String,
}

impl DemoAgent {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut options: AgentOptions = serde_json::from_str(&self.options).context("--options")?;
        if options.bundle == PathBuf::new() {
            options.bundle = config::ssl_cert_file().context("SSL_CERT_FILE is not set")?;
        }
        let outcome = block_on(async { Ok(agent::run(options).await?) })?;
        Ok(if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    writeln!(out, "{}", json!({"listen": provider.addr, "control": provider.control}))?;
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

fn time(text: &str) -> Result<Duration, String> {
    let read = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    read.filter(|time| !time.is_zero()).ok_or_else(|| "write a time with its unit, such as 30s or 5m".to_owned())
}
