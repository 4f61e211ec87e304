//! Questions to a running exporter, over plain HTTP on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::flags::ConfigFlags;

/// Where the exporter is that is asked.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// Where the exporter is, when it is not at web.listen of the configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Target {
    /// The base URL.
    pub(super) fn base_url(self) -> anyhow::Result<String> {
        match self.url {
            Some(url) => Ok(url),
            None => Ok(base_url(self.config.load()?.config.web.listen)),
        }
    }
}

/// The base URL of the exporter that listens on `listen`, asked from this machine.
pub(super) fn base_url(listen: SocketAddr) -> String {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        let loopback = if listen.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    format!("http://{address}")
}

/// The body of the answer to `GET base + path`.
pub(super) async fn get(base: &str, path: &str) -> anyhow::Result<Bytes> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    timeout(LIMIT, ask(&url)).await.with_context(|| format!("{base} did not answer within {} s", LIMIT.as_secs()))?
}

async fn ask(url: &str) -> anyhow::Result<Bytes> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL: write it as http://127.0.0.1:8741"))?;
    ensure!(uri.scheme_str() == Some("http"), "{url:?}: the exporter speaks plain HTTP: write http://127.0.0.1:8741");
    let authority = uri.authority().with_context(|| format!("{url:?} names no host"))?;
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(80);
    let tcp = TcpStream::connect((host, port)).await;
    let tcp = tcp.with_context(|| format!("nothing answers at {authority}: is `gravimeter serve` running?"))?;

    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(header::HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await.context("no answer came, or one that is not HTTP")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
        Ok::<_, anyhow::Error>((status, body.to_bytes()))
    };
    let mut exchange = std::pin::pin!(exchange);
    // The connection is driven beside the exchange. When it ends first, the exchange has all that it will ever get.
    let (status, body) = tokio::select! {
        biased;
        answer = &mut exchange => answer?,
        _ = connection => exchange.await?,
    };
    if status != StatusCode::OK {
        let why = reason(&body).unwrap_or_else(|| "is it the exporter of gravimeter?".to_owned());
        bail!("{authority} answered {status}: {why}");
    }
    Ok(body)
}

/// What the exporter says of its refusal; `None` from a stranger.
fn reason(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let message = answer.get("error")?.get("message")?.as_str()?;
    (!message.chars().any(char::is_control)).then(|| message.to_owned())
}

/// The exporter answers from memory.
const LIMIT: Duration = Duration::from_secs(5);

/// The largest answer, a thousand conversations with every field, has some 800 kB.
const MAX_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request with `answer`; returns what it was asked.
    async fn exporter(answer: &'static str) -> (String, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = base_url(listener.local_addr().unwrap());
        let served = async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = tcp.read(&mut asked).await.unwrap();
            tcp.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        (base, served)
    }

    #[tokio::test]
    async fn asks_and_answers() {
        let (base, served) = exporter("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        let (answer, asked) = tokio::join!(get(&base, "/v1/usage?by=model"), served);
        assert_eq!(answer.unwrap(), "{}");
        assert!(asked.starts_with("GET /v1/usage?by=model HTTP/1.1\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_stranger_behind_the_port_is_told() {
        let (base, served) = exporter("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        let (answer, _) = tokio::join!(get(&base, "/"), served);
        assert!(answer.unwrap_err().to_string().contains("404"));
        let refusal = "HTTP/1.1 404 Not Found\r\nContent-Length: 36\r\n\r\n{\"error\":{\"message\":\"nothing here\"}}";
        let (base, served) = exporter(refusal).await;
        let (answer, _) = tokio::join!(get(&base, "/"), served);
        assert!(answer.unwrap_err().to_string().ends_with("404 Not Found: nothing here"));
        let (base, served) = exporter("").await;
        let (answer, _) = tokio::join!(get(&base, "/"), served);
        assert!(answer.is_err());
    }

    #[tokio::test]
    async fn nobody_behind_the_port_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = base_url(listener.local_addr().unwrap());
        drop(listener);
        let told = format!("{:#}", get(&base, "/").await.unwrap_err());
        assert!(told.contains("is `gravimeter serve` running?"), "{told}");
        assert!(get("https://127.0.0.1:1", "/").await.is_err());
    }
}
