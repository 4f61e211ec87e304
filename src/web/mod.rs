//! HTTP on loopback: `/metrics`, `/v1/usage`, `/v1/budgets`, `/v1/cascades`, `/v1/sessions`, `/v1/quotas`,
//! `/v1/live`, health and a live page for people.
//!
//! Requests come from a listener that the caller owns; answers are made from the metrics, the
//! ledger and the readiness flags. Read only: no request changes anything, and none returns
//! secrets, traffic, or more of the configuration than what a program needs to be observed.

pub(crate) mod access;
mod answer_slot;
mod body;
mod budgets;
mod calls;
mod cascades;
mod connection;
mod error;
mod feed;
mod guard;
mod health;
mod limiter;
mod listener;
mod live;
mod metrics;
mod negotiate;
mod openapi;
mod origin;
mod page;
mod parameters;
mod peer;
mod quotas;
mod serve;
mod sessions;
mod stall_guard;
mod usage;
mod usage_query;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use crate::budget::Budgets;
use crate::export::Metrics;
use crate::launch::ConnectionGuide;
use crate::ledger::Ledger;
use access::Access;
use error::ApiError;
use feed::{MAX_PAGES, Stopping};
use limiter::{SlotKind, SlotLimiter};

pub(crate) use cascades::path_of;
pub use health::{Condition, Readiness, Report};
pub use listener::{Listener, SocketError, SocketFile};
pub use live::Live;
pub(crate) use sessions::sessions_query;
pub(crate) use usage_query::{WrongUsageQuery, usage_query};

/// Where Gravimeter listens for requests, and their limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on; there may be none where there is a socket.
    pub listen: Option<SocketAddr>,
    /// The Unix socket to listen on beside it.
    pub socket: Option<PathBuf>,
    /// The permissions of the socket's file: every process that may write to it may ask.
    pub socket_mode: u32,
    /// The web configuration file, as the Prometheus exporters have it: TLS and passwords for the
    /// address.
    pub config_file: Option<PathBuf>,
    /// Names (`host` or `host:port`) that requests may use besides the loopback names. A web page
    /// that lets its own name resolve to this machine is thus refused.
    pub allowed_hosts: Vec<String>,
    /// Whether an address that other machines can reach is accepted even without a password or
    /// certificate.
    pub danger_expose_to_network: bool,
    /// Most scrapes at the same time; more get the slot of a slow one, or 503. Each holds its whole
    /// exposition, some 13 MB at the worst: 200 models with the longest names, and an exemplar in
    /// every bucket.
    pub max_concurrent_scrapes: usize,
    /// Most other long answers at the same time; more get the slot of a slow one, or 503. Short
    /// ones, such as health, are not limited.
    pub max_concurrent_answers: usize,
    /// Most open connections, of all listeners together; one more gets the slot of one without an
    /// answer in progress. Must exceed the limits of all answers together, so that there always is
    /// such a one.
    pub max_connections: usize,
    /// Timeout from the first byte of a connection, or the end of the last answer, to a complete
    /// request head; also of a TLS handshake.
    pub header_read_timeout: Duration,
    /// Timeout from a request head to the head of its answer.
    pub request_timeout: Duration,
    /// Timeout of a reader that takes no byte of an answer.
    pub stall_timeout: Duration,
    /// Timeout from the head of an answer to its last byte. Prometheus itself gives up after 10
    /// seconds.
    pub answer_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8741))),
            socket: None,
            socket_mode: 0o660,
            config_file: None,
            allowed_hosts: Vec::new(),
            danger_expose_to_network: false,
            max_concurrent_scrapes: 16,
            max_concurrent_answers: 32,
            max_connections: 128,
            header_read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

/// Why the exporter may not be served at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached by other machines and there is no password: listen on {}, set web.config_file to a file \
     with TLS and users, or set web.danger_expose_to_network to true",
    loopback(.port)
)]
pub struct Exposed {
    address: SocketAddr,
    /// The port to keep, where the address is one to choose.
    port: Option<u16>,
}

impl Exposed {
    /// The same, for an address that the user can change: says the port in the advice.
    #[must_use]
    pub fn with_port(self) -> Self {
        let port = Some(self.address.port());
        Self { port, ..self }
    }
}

/// With the port, where there is one to keep.
fn loopback(port: &Option<u16>) -> String {
    match port {
        Some(port) => format!("127.0.0.1:{port}"),
        None => "127.0.0.1".to_owned(),
    }
}

impl Config {
    /// Whether the exporter may be served at the address. What the web configuration file says is
    /// looked into when it is read.
    ///
    /// # Errors
    /// [`Exposed`] when other machines can reach it and nothing protects it.
    pub fn admit(&self, address: SocketAddr) -> Result<(), Exposed> {
        if self.must_protect(address) && self.config_file.is_none() {
            return Err(Exposed {
                address,
                port: None,
            });
        }
        Ok(())
    }

    /// Whether clients of the address must be authenticated: other machines can reach it, and the
    /// configuration does not waive it.
    #[must_use]
    pub fn must_protect(&self, address: SocketAddr) -> bool {
        !address.ip().is_loopback() && !self.danger_expose_to_network
    }
}

/// The views that requests are answered from.
#[derive(Debug)]
pub struct Web {
    config: Config,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
    readiness: Arc<Readiness>,
    access: Option<Arc<Access>>,
    live: Arc<Live>,
    /// How programs are led to the CONNECT proxy; not set where there is none.
    guide: OnceLock<ConnectionGuide>,
    /// How much of each budget is spent; not set where there are none.
    budgets: OnceLock<Arc<Budgets>>,
    connections: Arc<SlotLimiter>,
    scrapes: Arc<SlotLimiter>,
    pages: Arc<SlotLimiter>,
    answers: Arc<SlotLimiter>,
}

impl Web {
    /// Combines the views; nothing is served before [`Web::serve`].
    #[must_use]
    pub fn new(
        config: Config,
        access: Option<Arc<Access>>,
        metrics: Arc<Metrics>,
        ledger: Arc<Ledger>,
        readiness: Arc<Readiness>,
        live: Arc<Live>,
    ) -> Arc<Self> {
        let limiter = |of, limit| SlotLimiter::new(of, limit, Arc::clone(&metrics));
        let connections = limiter(SlotKind::Connections, config.max_connections);
        let scrapes = limiter(SlotKind::Answers, config.max_concurrent_scrapes);
        let pages = limiter(SlotKind::Answers, MAX_PAGES);
        let answers = limiter(SlotKind::Answers, config.max_concurrent_answers);
        Arc::new(Self {
            config,
            metrics,
            ledger,
            readiness,
            access,
            live,
            guide: OnceLock::new(),
            budgets: OnceLock::new(),
            connections,
            scrapes,
            pages,
            answers,
        })
    }

    /// Shows on the empty page how programs are led to the CONNECT proxy. To be called once, before
    /// [`Web::serve`].
    pub(crate) fn set_guide(&self, guide: ConnectionGuide) {
        // A second one would be the same.
        let _ = self.guide.set(guide);
    }

    /// Shows how much of these budgets is spent. To be called once, before [`Web::serve`].
    pub(crate) fn show_budgets(&self, budgets: Arc<Budgets>) {
        // Others would be the same.
        let _ = self.budgets.set(budgets);
    }

    /// All routes behind the guard; `port` is the one listened on. Endless answers end at
    /// `stopping`.
    fn router(self: &Arc<Self>, port: Option<u16>, stopping: CancellationToken) -> Router {
        let request_guard = guard::RequestGuard::new(port, Arc::clone(self));
        let with_slot =
            middleware::from_fn_with_state(Arc::clone(self), answer_slot::limit_answers);
        Router::new()
            .route("/", get(page::page))
            .route("/calls/{id}", get(page::call))
            .route("/conversations/{id}", get(page::conversation))
            .route("/icon.svg", get(page::icon))
            .route("/v1/budgets", get(budgets::budgets))
            .route("/v1/calls/{id}", get(calls::call))
            .route("/v1/cascades", get(cascades::cascades))
            .route("/v1/cascades/{id}", get(cascades::cascade))
            .route("/v1/live", get(live::live))
            .route("/v1/openapi.json", get(openapi::openapi))
            .route("/v1/quotas", get(quotas::quotas))
            .route("/v1/sessions", get(sessions::sessions))
            .route("/v1/sessions/{id}", get(sessions::session))
            .route("/v1/usage", get(usage::usage))
            .route_layer(with_slot)
            // These two have slots of their own.
            .route("/live", get(feed::feed))
            .route("/metrics", get(metrics::metrics))
            // Short answers: they need no slot, and are given however many others are in progress.
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .fallback(|| async {
                ApiError::new(
                    StatusCode::NOT_FOUND,
                    "not_found",
                    "there is nothing at this path",
                )
            })
            .method_not_allowed_fallback(|| async {
                ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "only GET and HEAD are answered",
                )
            })
            .layer(Extension(Stopping(stopping)))
            .layer(middleware::from_fn_with_state(
                Arc::new(request_guard),
                guard::guard,
            ))
            .with_state(Arc::clone(self))
    }
}

#[cfg(test)]
mod tests;
