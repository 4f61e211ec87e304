//! Probes what protocol a port speaks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Client, Endpoint, Method, RpcError, RpcStep, Timeouts, Token};
use crate::capture::namespace::LoopbackDialer;

/// Finds out whether a loopback port answers the language server's `Heartbeat`, and whether in the
/// clear or over TLS. The token is sent to whatever listens there: probe only ports of the process
/// that it belongs to. The loopback is that of `namespace`, or our own where there is none.
///
/// # Errors
/// Why no language server was found. [`RpcError::BadToken`]: a server is there but wants another
/// token.
pub async fn probe(
    port: u16,
    token: Option<Token>,
    namespace: Option<&LoopbackDialer>,
    tasks: &TaskTracker,
) -> Result<Endpoint, RpcError> {
    let mut outcome = Err(RpcError::Closed);
    for ip in LOOPBACK {
        outcome = probe_addr(SocketAddr::new(ip, port), token.as_ref(), namespace, tasks).await;
        // Something listens there, or the next address would not answer faster.
        if !matches!(outcome, Err(RpcError::Connect(_))) {
            break;
        }
    }
    outcome
}

async fn probe_addr(
    addr: SocketAddr,
    token: Option<&Token>,
    namespace: Option<&LoopbackDialer>,
    tasks: &TaskTracker,
) -> Result<Endpoint, RpcError> {
    match heartbeat((Some(addr), None), token, namespace, tasks).await {
        // A language server, or nothing listens.
        outcome @ (Ok(_) | Err(RpcError::BadToken | RpcError::Connect(_))) => outcome,
        Err(_) => heartbeat((None, Some(addr)), token, namespace, tasks).await,
    }
}

async fn heartbeat(
    (http, https): (Option<SocketAddr>, Option<SocketAddr>),
    token: Option<&Token>,
    namespace: Option<&LoopbackDialer>,
    tasks: &TaskTracker,
) -> Result<Endpoint, RpcError> {
    // Cannot fail: the address is loopback, and one of them is given.
    let endpoint = Endpoint::new(http, https, token.cloned())
        .map_err(|_| RpcError::Closed)?
        .within(namespace.cloned());
    let client = Client::new(endpoint, tasks.clone()).with_timeouts(TIMEOUTS);
    let mut ignore = |_: &[u8]| {};
    let request = json!({});
    let beat = client.unary(Method::Heartbeat, &request, &mut ignore);
    // Whatever listens there may send without end.
    timeout(ATTEMPT_LIMIT, beat)
        .await
        .unwrap_or(Err(RpcError::Timeout(RpcStep::Body)))?;
    Ok(client.endpoint)
}

/// The addresses where a listener is looked for by its port alone.
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// A living language server answers `Heartbeat` within milliseconds, and there may be several ports
/// to ask.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    head: Duration::from_secs(2),
    silence: Duration::from_secs(1),
};

/// Limit of one attempt as a whole.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(4);
