//! One request of the agent and its response.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use tokio::sync::watch;
use tracing::debug;

use super::body::{BoxBody, BoxError, after_continue, full, streamed};
use super::decide::Decided;
use super::fields::{self, ConnectionOptions, Misuse};
use super::memory::BodyMemory;
use super::providers::{Providers, Unrouted};
use super::sender::Provider;
use super::side::SharedAgentState;
use super::tasks::Spawner;
use super::upgrade;
use crate::budget::Budgets;
use crate::record::{Caller, ConnectionCaller, Fact, Record, RefuseReason};
use crate::rules::Rules;

/// Serves the requests of one agent connection.
pub(super) struct Exchanges {
    pub(super) providers: Providers,
    pub(super) agent: SharedAgentState,
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    pub(super) budgets: Option<Arc<Budgets>>,
    pub(super) bodies: BodyMemory,
    pub(super) caller: ConnectionCaller,
    pub(super) record: Arc<dyn Record>,
    /// What goes on after HTTP.
    pub(super) upgrades: Spawner,
}

/// The provider has switched protocols without being asked to.
#[derive(Debug, thiserror::Error)]
#[error("the provider has left HTTP unasked")]
struct Unasked;

impl Exchanges {
    /// Forwards a request, and returns the response to it. Where that is dropped, so is the request.
    ///
    /// # Errors
    /// Whatever keeps the response from coming: the connection of HTTP/1 ends then, the stream of
    /// HTTP/2 is reset for the provider's reason.
    pub(super) async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<BoxBody>, BoxError> {
        let (asks, provider) = match self.admit(&mut request).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                debug!(%refusal, "a request is refused");
                if let Some(reason) = refusal.reason() {
                    self.record.record(Fact::ConnectionRefused(reason));
                }
                return Ok(answer(refusal.response()));
            }
        };
        let upgrading = asks.is_upgrade.then(|| hyper::upgrade::on(&mut request));
        self.agent.lock().is_upgrading = asks.is_upgrade;
        let decided = self.decide(&provider.host, request).await?;
        let (request, rules) = match self.brake(&provider.host, decided).await? {
            Decided::Send { request, rules } => (request, rules),
            Decided::Answer(refusal) => return Ok(answer(refusal)),
        };
        let request = with_interim(request, &self.agent);
        let response = provider.send(request, rules).await?;
        self.agent.interim_written().await;
        self.respond(response, upgrading)
    }

    /// Finds out where a request goes, and readies its head to be sent there.
    async fn admit(
        &self,
        request: &mut Request<Incoming>,
    ) -> Result<(ConnectionOptions, Arc<Provider>), NotForwarded> {
        if request.method() == Method::CONNECT {
            return Err(NotForwarded::Connect);
        }
        let mut asks = ConnectionOptions::default();
        if is_http1(request.version()) {
            if request.uri().scheme().is_some() {
                return Err(NotForwarded::AbsoluteForm);
            }
            // What of it is of the connection only the first hop may read.
            self.providers.admit(request.headers())?;
            asks = fields::of_request(request.headers_mut())?;
        }
        let provider = self.providers.route(request).await?;
        Ok((asks, provider))
    }

    fn respond(
        &self,
        mut response: Response<Incoming>,
        upgrading: Option<OnUpgrade>,
    ) -> Result<Response<BoxBody>, BoxError> {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        self.agent.lock().is_upgrading &= switches;
        if switches {
            let agent = upgrading.ok_or(Unasked)?;
            let provider = hyper::upgrade::on(&mut response);
            self.agent.leave_http();
            self.upgrades.spawn(upgrade::carry(agent, provider));
        }
        if is_http1(response.version()) {
            fields::of_response(response.headers_mut(), switches)?;
        }
        Ok(response.map(streamed))
    }

    /// The rules that hold now.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    /// Who asks, as far as it is known by now.
    pub(super) fn caller(&self) -> Caller {
        self.caller.now()
    }

    pub(super) fn record(&self) -> &dyn Record {
        &*self.record
    }
}

/// Why a request goes nowhere.
#[derive(Debug, thiserror::Error)]
enum NotForwarded {
    #[error("a request must name a path of this server, not a URL")]
    AbsoluteForm,
    #[error("CONNECT is not served here")]
    Connect,
    #[error(transparent)]
    Misuse(#[from] Misuse),
    #[error(transparent)]
    Unrouted(#[from] Unrouted),
}

impl NotForwarded {
    /// As what it is counted; `None` where that was done.
    fn reason(&self) -> Option<RefuseReason> {
        match self {
            Self::AbsoluteForm | Self::Connect | Self::Misuse(_) => Some(RefuseReason::BadRequest),
            Self::Unrouted(unrouted) => unrouted.reason(),
        }
    }

    fn response(&self) -> Response<Bytes> {
        let status = match self {
            Self::AbsoluteForm | Self::Misuse(_) => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unrouted(unrouted) => unrouted.status(),
        };
        let mut response = Response::new(Bytes::from(format!("gravimeter: {self}\n")));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}

/// An answer of ours.
fn answer(response: Response<Bytes>) -> Response<BoxBody> {
    let length = response.body().len();
    let mut response = response.map(full);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// Where the agent waits for word before it sends its body, that word is the provider's. All other
/// interim responses go to an agent that speaks HTTP/1.1; those of HTTP/2 hyper keeps to itself.
fn with_interim(request: Request<BoxBody>, agent: &SharedAgentState) -> Request<BoxBody> {
    if request.version() != Version::HTTP_11 {
        return request;
    }
    let (wanted, is_wanted) = watch::channel(false);
    let waits = fields::expects_continue(request.headers());
    let mut request = if waits {
        request.map(|body| after_continue(body, is_wanted))
    } else {
        request
    };
    let agent = agent.clone();
    hyper::ext::on_informational(&mut request, move |interim| {
        if waits && interim.status() == StatusCode::CONTINUE {
            // hyper tells the agent when the body is asked for.
            wanted.send_replace(true);
        } else {
            let mut agent = agent.lock();
            agent.interim.add(interim.status(), interim.headers());
        }
    });
    request
}

fn is_http1(version: Version) -> bool {
    version <= Version::HTTP_11
}
