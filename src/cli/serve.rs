//! `gravimeter serve`: the program itself.

use std::process::ExitCode;

use clap::Args;

use super::flags::ConfigFlags;
use super::{block_on, logging};
use crate::app::{self, Activation};
use crate::config::{Loaded, socket_names};
use crate::export::diagnostics::Diagnostics;

/// Observe an agent: capture its traffic, pass it on unchanged, serve metrics and usage
#[derive(Debug, Args)]
#[command(
    after_help = "Everything else is configuration: gravimeter help config, or docs/configuration.md."
)]
pub(super) struct Serve {
    /// Start the Antigravity language server as well (agent.preset = "antigravity") and keep it
    /// running
    ///
    /// A configured agent (agent.preset or agent.command) is started in any case.
    #[arg(long)]
    standalone: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut flags = self.config;
        if self.standalone && flags.clone().load()?.config.agent.is_none() {
            flags = flags.or_set("agent.preset", "antigravity");
        }
        let Loaded {
            config, warnings, ..
        } = flags.load()?;
        let diagnostics = Diagnostics::new(&config.otlp);
        let limit = logging::start(&config.log, diagnostics.as_ref())?;
        for warning in warnings {
            tracing::warn!(%warning, "a variable of OpenTelemetry is passed over");
        }
        let handed = Activation::take(&socket_names())?;
        block_on(limit.watch(async { Ok(app::serve(config, handed, diagnostics).await?) }))?;
        Ok(ExitCode::SUCCESS)
    }
}
