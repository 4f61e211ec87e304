//! HTTP on loopback: `/metrics`, `/v1/usage`, `/v1/cascades`, `/v1/quotas`, health and a live page for people.
//!
//! Requests enter from a listener that the caller owns; answers come from the metrics, the ledger and the readiness latches.
//! Read only: nothing here changes the house, and no configuration, secret or traffic can be asked for.

mod cascades;
mod error;
mod feed;
mod gate;
mod guard;
mod health;
mod live;
mod metrics;
mod page;
mod parameters;
mod quotas;
mod serve;
mod usage;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use http::uri::Authority;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::export::Metrics;
use crate::ledger::Ledger;
use error::ApiError;
use feed::{MAX_PAGES, Stopping};

pub use cascades::path_of;
pub use health::{Condition, Readiness, Report};
pub use live::Live;

/// Where and how the house is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Names (`host` or `host:port`) under which the house may be asked beside the loopback names. A web page that lets its
    /// own name resolve to this machine is thus refused.
    pub allowed_hosts: Vec<String>,
    /// Whether an address that other machines can reach is accepted: what is served needs no password.
    pub danger_expose_to_network: bool,
    /// Scrapes served at the same time; more are answered with 503. Each holds its whole exposition, some 13 MB at the worst:
    /// 200 models with the longest names, and an exemplar in every bucket.
    pub max_concurrent_scrapes: usize,
    /// Open connections; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// From the first byte of a connection, or the end of the last answer, to a complete request head.
    pub header_read_timeout: Duration,
    /// From a request head to the head of its answer.
    pub request_timeout: Duration,
    /// How long a reader may take no byte of an answer.
    pub stall_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8741)),
            allowed_hosts: Vec::new(),
            danger_expose_to_network: false,
            max_concurrent_scrapes: 16,
            max_connections: 128,
            header_read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An allowed host is no `host` or `host:port`.
    #[error("{0:?} is no host: write a name or an address, with a port or without, and no scheme or path")]
    AllowedHost(String),
    /// Other machines could reach the address.
    #[error(
        "{0} can be reached by other machines and needs no password: listen on 127.0.0.1, or set danger_expose_to_network"
    )]
    Exposed(SocketAddr),
    /// A limit of zero would serve nobody.
    #[error("{0} must be at least 1")]
    ZeroLimit(&'static str),
}

impl Config {
    /// Checks what a configuration file cannot express.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && !self.danger_expose_to_network {
            return Err(ConfigError::Exposed(self.listen));
        }
        if let Some(bad) = self.allowed_hosts.iter().find(|host| !is_authority(host)) {
            return Err(ConfigError::AllowedHost(bad.clone()));
        }
        for (name, limit) in
            [("max_concurrent_scrapes", self.max_concurrent_scrapes), ("max_connections", self.max_connections)]
        {
            if limit == 0 {
                return Err(ConfigError::ZeroLimit(name));
            }
        }
        Ok(())
    }
}

fn is_authority(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| !text.contains('@') && !authority.host().is_empty())
}

/// The views that requests are answered from.
#[derive(Debug)]
pub struct Web {
    config: Config,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
    readiness: Arc<Readiness>,
    live: Arc<Live>,
    scrapes: Arc<Semaphore>,
    pages: Arc<Semaphore>,
}

impl Web {
    /// Puts the views together; nothing is served before [`Web::serve`].
    #[must_use]
    pub fn new(
        config: Config,
        metrics: Arc<Metrics>,
        ledger: Arc<Ledger>,
        readiness: Arc<Readiness>,
        live: Arc<Live>,
    ) -> Arc<Self> {
        let scrapes = Arc::new(Semaphore::new(config.max_concurrent_scrapes));
        let pages = Arc::new(Semaphore::new(MAX_PAGES));
        Arc::new(Self { config, metrics, ledger, readiness, live, scrapes, pages })
    }

    /// All routes behind the guard; `port` is the one listened on. What has no end of its own ends at `stopping`.
    fn router(self: &Arc<Self>, port: u16, stopping: CancellationToken) -> Router {
        let doors = guard::Doors::new(port, &self.config.allowed_hosts, self.config.request_timeout);
        Router::new()
            .route("/", get(page::page))
            .route("/healthz", get(health::healthz))
            .route("/icon.svg", get(page::icon))
            .route("/live", get(feed::feed))
            .route("/metrics", get(metrics::metrics))
            .route("/readyz", get(health::readyz))
            .route("/v1/cascades", get(cascades::cascades))
            .route("/v1/cascades/{id}", get(cascades::cascade))
            .route("/v1/openapi.json", get(openapi))
            .route("/v1/quotas", get(quotas::quotas))
            .route("/v1/usage", get(usage::usage))
            .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path") })
            .method_not_allowed_fallback(|| async {
                ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET and HEAD are answered")
            })
            .layer(Extension(Stopping(stopping)))
            .layer(middleware::from_fn_with_state(Arc::new(doors), guard::guard))
            .with_state(Arc::clone(self))
    }
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

/// The description of the interface, kept by hand and compared with the routes by a test.
const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests;
