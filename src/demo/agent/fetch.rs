//! Fetches the log of a stand-in that runs as a process of its own, over its RPC port in the clear.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Log;

/// The log could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in's log cannot be read from {from}: {why}")]
pub struct FetchError {
    from: SocketAddr,
    why: String,
}

/// Sends `GET /demo/log`.
///
/// # Errors
/// When nothing answers at the address, or no stand-in.
pub async fn fetch_log(from: SocketAddr) -> Result<Log, FetchError> {
    let failed = |why: String| FetchError { from, why };
    let asked = timeout(LIMIT, ask(from))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?;
    let body = asked.map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
}

async fn ask(from: SocketAddr) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let tcp = TcpStream::connect(from).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    let request = Request::get("/demo/log")
        .header(HOST, from.to_string())
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        Ok(Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await?
            .to_bytes())
    };
    let mut exchange = std::pin::pin!(exchange);
    // The connection is driven concurrently with the exchange. When it ends first, the exchange has
    // all that it will ever get.
    tokio::select! {
        biased;
        body = &mut exchange => body,
        _ = connection => exchange.await,
    }
}

/// It answers from memory.
const LIMIT: Duration = Duration::from_secs(5);

/// A full log has about 10 MB.
const MAX_BYTES: usize = 32 << 20;
