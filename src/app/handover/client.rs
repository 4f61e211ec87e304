//! The side of `run`: finds a service and hands the session over.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use tokio::io::{BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::HandedSession;
use super::message::{Ended, FromRun, FromService, Offer, Summary, receive, send};
use crate::app::ServerSearch;
use crate::capture::namespace::LoopbackDialer;
use crate::capture::send_descriptors;

/// A session that a service observes.
#[derive(Debug)]
pub(in crate::app) struct Handover {
    /// The certificate of the service's CA, as PEM.
    pub(in crate::app) ca: String,
    said: BufReader<OwnedReadHalf>,
    line: Vec<u8>,
    to: OwnedWriteHalf,
}

/// Why no service observes the session.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum OfferError {
    /// There is none.
    #[error("no service runs")]
    Absent,
    /// It does not want to.
    #[error("the service does not take the session: {0}")]
    Refused(String),
    /// It cannot be spoken to.
    #[error("the service cannot be asked: {0}")]
    Silent(#[source] io::Error),
}

impl From<io::Error> for OfferError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Absent,
            _ => Self::Silent(error),
        }
    }
}

/// Offers a session to the service at `socket`.
///
/// # Errors
/// [`OfferError`].
pub(in crate::app) async fn offer(
    socket: &Path,
    handed: &HandedSession<'_>,
) -> Result<Handover, OfferError> {
    let offer = Offer::new(handed);
    let namespace = handed.search.and_then(ServerSearch::namespace);
    let asked = async {
        let stream = UnixStream::connect(socket).await?;
        let listeners = handed.listeners.iter().map(|listener| listener.as_fd());
        let namespaces = namespace.into_iter().flat_map(LoopbackDialer::namespaces);
        let descriptors: Vec<_> = listeners.chain(namespaces).collect();
        stream.writable().await?;
        stream.try_io(Interest::WRITABLE, || {
            send_descriptors(&stream, &descriptors)
        })?;
        let (said, mut to) = stream.into_split();
        send(&mut to, &FromRun::Offer(offer)).await?;
        let (mut said, mut line) = (BufReader::new(said), Vec::new());
        match receive(&mut said, &mut line).await {
            Some(FromService::Accepted { ca }) => Ok(Handover { ca, said, line, to }),
            Some(FromService::Refused { why }) => Err(OfferError::Refused(why)),
            _ => Err(OfferError::Silent(io::ErrorKind::UnexpectedEof.into())),
        }
    };
    timeout(ANSWER_LIMIT, asked)
        .await
        .unwrap_or_else(|_| Err(OfferError::Silent(io::ErrorKind::TimedOut.into())))
}

impl Handover {
    /// Tells as which process the program runs. A service that is gone by now is noticed by
    /// [`Handover::lost`].
    pub(in crate::app) async fn started(&mut self, pid: u32) {
        let _ = send(&mut self.to, &FromRun::Started { pid }).await;
    }

    /// Returns when the service is gone. Cancel-safe.
    pub(in crate::app) async fn lost(&mut self) {
        // It says nothing before the end: whatever comes is as good as its end.
        let _: Option<FromService> = receive(&mut self.said, &mut self.line).await;
    }

    /// Tells that the program has ended; returns what it spent. `None` where the service is gone.
    pub(in crate::app) async fn ended(mut self, ended: Ended) -> Option<Summary> {
        let asked = async {
            send(&mut self.to, &FromRun::Ended(ended)).await.ok()?;
            match receive(&mut self.said, &mut self.line).await? {
                FromService::Spent(summary) => Some(summary),
                _ => None,
            }
        };
        timeout(SUMMARY_LIMIT, asked).await.ok().flatten()
    }
}

/// A service answers within a millisecond; one that does not in this time is none for a program that
/// waits to be started.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Longer than connections of the program that go on are waited for.
const SUMMARY_LIMIT: Duration = Duration::from_secs(5);
