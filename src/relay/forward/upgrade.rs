//! Carries a connection that has left HTTP: bytes are copied both ways.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tracing::debug;

/// Copies bytes until both sides have ended, or one of them breaks off.
pub(super) async fn carry(agent: OnUpgrade, provider: OnUpgrade) {
    let (agent, provider) = match tokio::try_join!(agent, provider) {
        Ok(both) => both,
        Err(error) => {
            debug!(%error, "a connection could not leave HTTP");
            return;
        }
    };
    let (mut agent, mut provider) = (TokioIo::new(agent), TokioIo::new(provider));
    if let Err(error) = copy_bidirectional(&mut agent, &mut provider).await {
        debug!(%error, "a connection that has left HTTP was cut off");
    }
}
