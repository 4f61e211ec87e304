//! Connections to a collector, over TCP or TLS.

use bytes::Bytes;
use http_body_util::Full;
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Keeps one connection to the collector.
pub(super) type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that speaks HTTP/1.1, or HTTP/2 from the first byte on.
pub(super) fn client(tls: ClientConfig, is_http2: bool, tasks: ConnectionTasks) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    let connector = if is_http2 {
        connector.enable_http2().wrap_connector(tcp)
    } else {
        connector.enable_http1().wrap_connector(tcp)
    };
    let mut builder = legacy::Client::builder(tasks);
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .http2_only(is_http2);
    builder.build(connector)
}

/// The tasks of connections, which all end at the same time.
#[derive(Debug, Clone)]
pub(super) struct ConnectionTasks {
    pub(super) tracker: TaskTracker,
    pub(super) end: CancellationToken,
}

impl<F> Executor<F> for ConnectionTasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.tracker
            .spawn(self.end.clone().run_until_cancelled_owned(future));
    }
}
