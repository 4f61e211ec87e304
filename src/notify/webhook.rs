//! Alerts as JSON, posted to a URL of the operator's. What is not taken is sent again, with longer and
//! longer pauses; what could not be sent for ten minutes is given up.

use std::fmt;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::alert::alerts;
use crate::budget::Notice;
use crate::record::{Fact, NotificationResult, NotificationTarget, Record};

/// The URL that alerts are posted to. It may hold a token, so it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

/// The text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a URL of http or https without a user")]
pub struct InvalidUrl;

impl FromStr for WebhookUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl)?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or(InvalidUrl)?.as_str();
        let fits = is_web && !authority.contains('@');
        fits.then_some(Self(uri)).ok_or(InvalidUrl)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(...)")
    }
}

/// Where alerts are posted, and how its server is verified.
pub(super) struct Webhook {
    url: Uri,
    connector: HttpsConnector<HttpConnector>,
}

/// Why an alert was not taken.
#[derive(Debug, thiserror::Error)]
enum PostError {
    /// The server cannot be reached, or not over TLS, or speaks no HTTP.
    #[error("nobody takes it")]
    Unreachable,
    /// No answer came.
    #[error("no answer came in time")]
    Late,
    /// The answer is an error.
    #[error("the answer was {0}")]
    Refused(StatusCode),
}

impl PostError {
    /// Whether the same alert may be taken later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Late | Self::Unreachable => true,
            Self::Refused(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
        }
    }
}

impl Webhook {
    pub(super) fn new(WebhookUrl(url): WebhookUrl, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { url, connector }
    }

    /// Posts until it is taken, or too old.
    async fn send(&self, body: Bytes) -> Result<(), PostError> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let posted = timeout(LIMIT, self.post(body.clone())).await;
            match posted.unwrap_or(Err(PostError::Late)) {
                Err(error) if error.is_passing() && begun.elapsed() + pause < GIVE_UP => {
                    debug!(%error, ?pause, "the webhook did not take an alert, trying again");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                ended => return ended,
            }
        }
    }

    /// One request, on a connection of its own: alerts are rare.
    async fn post(&self, body: Bytes) -> Result<(), PostError> {
        let unreachable = |_| PostError::Unreachable;
        let stream = self.connector.clone().oneshot(self.url.clone()).await;
        let stream = stream.map_err(|_| PostError::Unreachable)?;
        let (mut sender, connection) = http1::handshake(stream).await.map_err(unreachable)?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.authority().map_or("", |host| host.as_str());
        let request = Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, OWN_NAME)
            .body(Full::new(body))
            .map_err(|_| PostError::Unreachable)?;
        let mut response = pin!(sender.send_request(request));
        // When the connection ends first, there is all of the answer that there will ever be.
        let response = tokio::select! {
            biased;
            response = &mut response => response,
            _ = connection => response.await,
        };
        match response.map_err(unreachable)?.status() {
            status if status.is_success() => Ok(()),
            status => Err(PostError::Refused(status)),
        }
    }
}

/// Posts each notice as alerts, until the queue ends.
pub(super) async fn deliver(
    webhook: Option<Webhook>,
    mut queue: mpsc::Receiver<Notice>,
    record: &dyn Record,
) {
    let Some(webhook) = webhook else { return };
    while let Some(notice) = queue.recv().await {
        let body = serde_json::to_vec(&alerts(&notice)).unwrap_or_default();
        let result = match webhook.send(body.into()).await {
            Ok(()) => NotificationResult::Sent,
            Err(error) => {
                warn!(%error, budget = notice.budget.as_str(), "the webhook has not taken an alert");
                NotificationResult::Failed
            }
        };
        record.record(Fact::NotificationEnded {
            target: NotificationTarget::Webhook,
            result,
        });
    }
}

const OWN_NAME: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Of one request, from the connection to the answer's head.
const LIMIT: Duration = Duration::from_secs(10);

/// Doubles after each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is older helps nobody any more; those behind it wait meanwhile.
const GIVE_UP: Duration = Duration::from_secs(600);
