//! `gravimeter serve`: the program itself.

use std::process::ExitCode;

use clap::Args;

use super::flags::ConfigFlags;
use super::{block_on, logging};
use crate::config;

/// Observe an agent: capture its traffic, pass it on unchanged, serve metrics and usage
#[derive(Debug, Args)]
#[command(after_help = "Everything else is configuration: see --help for all flags, or docs/configuration.md.")]
pub(super) struct Serve {
    /// Start no agent and expect no redirect rules: serve the exporter and the CONNECT proxy only
    #[arg(long)]
    standalone: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = if self.standalone { self.config.or_set("capture.redirect", "off") } else { self.config };
        let mut config = flags.load()?.config;
        if self.standalone {
            (config.agent.preset, config.agent.command) = (None, None);
        }
        logging::start(&config.log)?;
        block_on(serve(config))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(_config: config::Config) -> anyhow::Result<()> {
    anyhow::bail!("this build cannot serve: the rooms are not put together")
}
