//! Sends requests to one provider over one connection, each once.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};

use super::body::BoxBody;
use crate::observe::Changes;
use crate::record::{AppliedRules, Host};

/// A connection to a provider, as its requests see it.
pub(in crate::relay) struct Provider {
    /// Its name, as rules know it.
    pub(super) host: Host,
    sender: Sender,
    /// What the observer learns of changed requests.
    changes: Changes,
}

/// Sends the requests of one protocol.
pub(super) enum Sender {
    /// One after the other.
    Http1(Mutex<http1::SendRequest<BoxBody>>),
    /// Many at once.
    Http2(http2::SendRequest<BoxBody>),
}

impl Provider {
    pub(super) fn new(host: Host, sender: Sender, changes: Changes) -> Self {
        Self {
            host,
            sender,
            changes,
        }
    }

    /// Sends a request that `rules` have changed, if any have, and returns the head of its response.
    ///
    /// # Errors
    /// The connection's, or the reason for which the provider has reset the stream. The request is
    /// never sent again.
    pub(super) async fn send(
        &self,
        request: Request<BoxBody>,
        rules: Option<AppliedRules>,
    ) -> hyper::Result<Response<Incoming>> {
        let sent = match &self.sender {
            Sender::Http1(sender) => {
                poll_fn(|cx| lock(sender).poll_ready(cx)).await?;
                self.note(&request, rules);
                let sent = lock(sender).send_request(request);
                return sent.await;
            }
            Sender::Http2(sender) => {
                self.note(&request, rules);
                sender.clone().send_request(request)
            }
        };
        sent.await
    }

    /// Between this and the sending nothing may wait: the order must be that of the wire.
    fn note(&self, request: &Request<BoxBody>, rules: Option<AppliedRules>) {
        let (method, path) = (request.method().as_str(), request.uri().path());
        self.changes.add(method, path, rules);
    }
}

/// Requests of HTTP/1 come one after the other: nobody waits here.
fn lock<T>(sender: &Mutex<T>) -> MutexGuard<'_, T> {
    sender.lock().unwrap_or_else(PoisonError::into_inner)
}
