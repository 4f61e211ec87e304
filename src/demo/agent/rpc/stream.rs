//! A stream of one conversation's states of any kind: opened, fed, and ended by its own rule, by
//! the switch of its kind, by a cut, or by its client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use hyper::body::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::body::{Cut, ResponseBody};
use super::envelope::Framing;
use super::fault::Fault;
use super::{Server, Switches};
use crate::demo::agent::OfferedStreams;
use crate::demo::agent::cascade::{Cascade, Snapshots};

/// One kind of stream: turns each state into a message.
pub(super) trait StreamKind: Send + 'static {
    /// Whether it stays open across runs.
    const STAYS: bool;

    /// Why there is no such stream, when there is none.
    fn off(offered_streams: OfferedStreams) -> Option<Fault>;

    /// The message for a state; none where it says nothing new.
    fn message(&mut self, cascade: &Cascade) -> Option<Vec<u8>>;

    /// Whether the stream ends here by itself.
    fn is_over(&self) -> bool;
}

/// Opens a stream of what was `asked` for.
pub(super) fn open<R: StreamKind>(
    server: &Arc<Server>,
    framing: Framing,
    content_type: &'static str,
    asked: Option<(String, R)>,
) -> Result<Response<ResponseBody>, Fault> {
    let switches = server.switches.subscribe();
    if let Some(fault) = R::off(switches.borrow().offered_streams) {
        return Err(fault);
    }
    let (id, kind) = asked.ok_or(Fault::MALFORMED)?;
    let snapshots = server
        .store
        .find(&id)
        .ok_or(Fault::NO_TRAJECTORY)?
        .follow(R::STAYS);
    let (sender, frames) = mpsc::channel(1);
    server
        .tasks
        .spawn(feed(snapshots, switches, framing, kind, sender));
    let mut response = Response::new(ResponseBody::Frames(frames));
    *response.headers_mut() = head(framing, content_type);
    Ok(response)
}

/// Why a stream ends.
enum End {
    Over(Option<Fault>),
    Cut,
    /// The client has gone.
    Gone,
}

type Sender = mpsc::Sender<Result<Frame<Bytes>, Cut>>;

async fn feed<R: StreamKind>(
    mut snapshots: Snapshots,
    mut switches: watch::Receiver<Switches>,
    framing: Framing,
    mut kind: R,
    sender: Sender,
) {
    // A message that one of the other arms drops was not begun on the wire.
    let end = tokio::select! {
        end = talk(&mut snapshots, framing, &mut kind, &sender) => end,
        end = switched::<R>(&mut switches) => end,
        () = sender.closed() => End::Gone,
    };
    match end {
        // A client that has left misses nothing.
        End::Over(fault) => drop(sender.send(Ok(framing.end(fault))).await),
        End::Cut => cut(framing, &sender).await,
        End::Gone => {}
    }
}

async fn talk<R: StreamKind>(
    snapshots: &mut Snapshots,
    framing: Framing,
    kind: &mut R,
    sender: &Sender,
) -> End {
    while let Some(cascade) = snapshots.next().await {
        if let Some(message) = kind.message(&cascade)
            && sender
                .send(Ok(Frame::data(framing.message(&message))))
                .await
                .is_err()
        {
            return End::Gone;
        }
        if kind.is_over() {
            break;
        }
    }
    End::Over(None)
}

async fn switched<R: StreamKind>(switches: &mut watch::Receiver<Switches>) -> End {
    let cuts = switches.borrow().cuts;
    let changed = switches
        .wait_for(|now| now.cuts > cuts || R::off(now.offered_streams).is_some())
        .await;
    changed.map_or(End::Gone, |now| {
        R::off(now.offered_streams).map_or(End::Cut, |fault| End::Over(Some(fault)))
    })
}

/// The first half of a message, and the end of the connection or stream once it has left.
async fn cut(framing: Framing, sender: &Sender) {
    let message = framing.message(&[b' '; CUT_MESSAGE]);
    let half = message.slice(..message.len() / 2);
    if sender.send(Ok(Frame::data(half))).await.is_ok() && sender.reserve().await.is_ok() {
        sleep(CUT_DELAY).await;
        let _ = sender.send(Err(Cut)).await;
    }
}

fn head(framing: Framing, content_type: &'static str) -> HeaderMap {
    let (name, gzip) = match framing {
        Framing::Connect { gzip } => ("connect-content-encoding", gzip),
        Framing::Grpc { gzip } => ("grpc-encoding", gzip),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if gzip {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static("gzip"),
        );
    }
    headers
}

/// Bytes in the message that is cut; too few to be coded.
const CUT_MESSAGE: usize = 64;
/// The HTTP library throws away what it has not written yet when a body fails.
const CUT_DELAY: Duration = Duration::from_millis(20);
