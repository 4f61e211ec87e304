//! `gravimeter serve`: the program itself.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::flags::{ConfigFlags, Standalone};
use super::{block_on, logging};
use crate::app::{self, Activation, App};
use crate::config::{Loaded, socket_names};
use crate::export::diagnostics::Diagnostics;
use crate::launch::ConnectionGuide;

/// Observe an agent: capture its traffic, pass it on unchanged, serve metrics and usage
#[derive(Debug, Args)]
#[command(
    after_help = "Everything else is configuration: gravimeter help config, or docs/configuration.md."
)]
pub(super) struct Serve {
    #[command(flatten)]
    standalone: Standalone,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Loaded {
            mut config,
            warnings,
            ..
        } = self.standalone.load(self.config)?;
        config.supervision.shows_last_lines = io::stderr().is_terminal();
        let diagnostics = Diagnostics::new(&config.otlp);
        let limit = logging::start(&config.log, diagnostics.as_ref())?;
        for warning in warnings {
            tracing::warn!(%warning, "a variable of OpenTelemetry is passed over");
        }
        let handed = Activation::take(&socket_names())?;
        let serving = app::serve(config, handed, diagnostics, greet);
        block_on(limit.watch(async { Ok(serving.await?) }))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says to a person at the terminal what to do next. Nobody reads it elsewhere: the log has the
/// addresses.
fn greet(app: &App) {
    let mut out = io::stdout();
    if out.is_terminal() {
        // Where it cannot be written there is nobody to read it.
        let _ = out.write_all(greeting(app.addresses().exporter(), app.guide()).as_bytes());
    }
}

fn greeting(exporter: Option<SocketAddr>, guide: Option<&ConnectionGuide>) -> String {
    let mut text = String::from("\nObserve a program:\n\n  gravimeter run -- PROGRAM\n");
    if let Some(guide) = guide {
        text.push_str("\nor lead it here by its environment:\n\n");
        for (name, command) in guide.commands() {
            text.push_str(&format!("  {name:<16}{command}\n"));
        }
    }
    if let Some(exporter) = exporter {
        text.push_str(&format!("\nThe page: http://{exporter}/\n\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_person_is_told_what_to_copy() {
        let address = |text: &str| text.parse().unwrap();
        let file = Path::new("/state/trust/bundle.pem");
        let guide = ConnectionGuide::new(address("127.0.0.1:8743"), file, file);
        let text = greeting(Some(address("127.0.0.1:8741")), Some(&guide));
        for line in [
            "  gravimeter run -- PROGRAM",
            "  Go              HTTPS_PROXY=http://127.0.0.1:8743 SSL_CERT_FILE=/state/trust/bundle.pem ./app",
            "The page: http://127.0.0.1:8741/",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        let text = greeting(None, None);
        assert!(
            !text.contains("HTTPS_PROXY") && !text.contains("http://"),
            "{text}"
        );
    }
}
