//! SIGTERM and SIGINT as futures: the first one drains, the second one hurries.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Error;

/// Waits for SIGTERM or SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals.
    ///
    /// # Errors
    /// [`Error::Signals`] when the operating system refuses.
    pub(super) fn install() -> Result<Self, Error> {
        let terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    /// Returns at the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
