//! Questions to a running exporter on this machine: over its Unix socket, or plain HTTP.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::Fuse;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::flags::ConfigFlags;
use crate::web;

/// Where the exporter is that is asked.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// Where the exporter is (http://... or unix:/path), when it is not at web.socket or web.listen
    /// of the configuration
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
            None => base_url(&self.config.load()?.config.web),
        }
    }

    /// The base URL, and where the exporter there keeps its ledger; `None` where it keeps none, and
    /// where a URL was given: that one was meant.
    pub(super) fn base_url_and_ledger(self) -> anyhow::Result<(String, Option<PathBuf>)> {
        if let Some(url) = self.url {
            return Ok((url, None));
        }
        let config = self.config.load()?.config;
        Ok((
            base_url(&config.web)?,
            config.ledger.enabled.then(|| config.ledger_path()),
        ))
    }
}

/// The base URL of the exporter of that configuration, asked from this machine: its socket, where
/// it has one, asks for neither TLS nor password.
pub(super) fn base_url(web: &web::Config) -> anyhow::Result<String> {
    if let Some(path) = &web.socket {
        return Ok(format!("{SOCKET}{}", path.display()));
    }
    let address = web
        .listen
        .context("there is neither web.listen nor web.socket to ask at: set one of them")?;
    Ok(format!("http://{}", reachable(address)))
}

/// The address under which a listener of this machine is reached from it: that of a listener on all
/// addresses is no address to connect to.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(loopback);
    }
    address
}

/// The body of the answer to `GET base + path`.
pub(super) async fn get(base: &str, path: &str) -> anyhow::Result<Bytes> {
    get_as(base, path, JSON).await
}

/// The same in a form of one's own wish: what `Accept` shall say.
pub(super) async fn get_as(base: &str, path: &str, accept: &str) -> anyhow::Result<Bytes> {
    Connection::open(base).await?.get_as(path, accept).await
}

/// A connection to an exporter, over which any number of questions are asked, one after another.
pub(super) struct Connection {
    base: String,
    /// The exporter's address or socket, for messages.
    name: String,
    host: String,
    /// What the path of every question begins with.
    prefix: String,
    sender: http1::SendRequest<Empty<Bytes>>,
    /// Reads and writes while an answer is awaited.
    driver: Fuse<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

impl Connection {
    /// Connects to an exporter.
    ///
    /// # Errors
    /// When nothing listens there ([`is_silence`]), or the URL is none.
    pub(super) async fn open(base: &str) -> anyhow::Result<Self> {
        let opened = async {
            match base.strip_prefix(SOCKET) {
                Some(socket) => Self::open_socket(base, Path::new(socket)).await,
                None => Self::open_address(base).await,
            }
        };
        within_limit(base, opened).await
    }

    async fn open_socket(base: &str, socket: &Path) -> anyhow::Result<Self> {
        let name = socket.display().to_string();
        let stream = UnixStream::connect(socket).await.with_context(|| {
            format!(
                "nothing answers at {name}: is `gravimeter serve` running, and may you write to its socket?"
            )
        })?;
        let (sender, driver) = start(stream).await?;
        Ok(Self {
            base: base.to_owned(),
            name,
            host: "localhost".to_owned(),
            prefix: String::new(),
            sender,
            driver,
        })
    }

    async fn open_address(base: &str) -> anyhow::Result<Self> {
        let uri: Uri = base
            .parse()
            .with_context(|| format!("{base:?} is not a URL: write it as http://127.0.0.1:8741"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "{base:?}: write it as http://127.0.0.1:8741; an exporter with TLS is asked at its web.socket: unix:/path"
        );
        let authority = uri
            .authority()
            .with_context(|| format!("{base:?} names no host"))?;
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.with_context(|| {
            format!("nothing answers at {authority}: is `gravimeter serve` running?")
        })?;
        let (sender, driver) = start(stream).await?;
        Ok(Self {
            base: base.to_owned(),
            name: authority.to_string(),
            host: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            sender,
            driver,
        })
    }

    /// The body of the answer to a question, as JSON.
    ///
    /// # Errors
    /// When no answer comes in time, or one that is an error. The connection is of no use then.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<Bytes> {
        self.get_as(path, JSON).await
    }

    /// The same; `None` where there is nothing at that path.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn find(&mut self, path: &str) -> anyhow::Result<Option<Bytes>> {
        let (status, body) = self.exchange(path, JSON).await?;
        if status == StatusCode::NOT_FOUND && reason(&body).is_some() {
            return Ok(None);
        }
        self.accepted(status, body).map(Some)
    }

    async fn get_as(&mut self, path: &str, accept: &str) -> anyhow::Result<Bytes> {
        let (status, body) = self.exchange(path, accept).await?;
        self.accepted(status, body)
    }

    async fn exchange(&mut self, path: &str, accept: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::get(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, accept)
            .body(Empty::<Bytes>::new())?;
        let sender = &mut self.sender;
        let exchange = async {
            sender.ready().await.context(NO_HTTP)?;
            let response = sender.send_request(request).await.context(NO_HTTP)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BYTES)
                .collect()
                .await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
            Ok::<_, anyhow::Error>((status, body.to_bytes()))
        };
        let driver = &mut self.driver;
        let driven = async {
            let mut exchange = std::pin::pin!(exchange);
            // The connection is driven beside the exchange. When it ends first, the exchange has
            // all that it will ever get.
            tokio::select! {
                biased;
                answer = &mut exchange => answer,
                _ = driver => exchange.await,
            }
        };
        within_limit(&self.base, driven).await
    }

    /// The body of an answer that is no error.
    fn accepted(&self, status: StatusCode, body: Bytes) -> anyhow::Result<Bytes> {
        if status == StatusCode::OK {
            return Ok(body);
        }
        let why = match status {
            StatusCode::UNAUTHORIZED => {
                Some("a password is asked for: set web.socket, and ask there".to_owned())
            }
            _ => reason(&body),
        };
        let why = why.unwrap_or_else(|| "is it the exporter of gravimeter?".to_owned());
        bail!("{} answered {status}: {why}", self.name);
    }
}

/// Speaks HTTP over a stream.
async fn start<S>(
    stream: S,
) -> anyhow::Result<(
    http1::SendRequest<Empty<Bytes>>,
    Fuse<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(connection);
    Ok((sender, driver.fuse()))
}

async fn within_limit<T>(
    base: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    timeout(LIMIT, work)
        .await
        .with_context(|| format!("{base} did not answer within {} s", LIMIT.as_secs()))?
}

/// Whether the error is that nobody listens there.
pub(super) fn is_silence(error: &anyhow::Error) -> bool {
    let kinds = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    kinds
        .into_iter()
        .any(|kind| matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::NotFound))
}

/// What the exporter says of its refusal; `None` from a stranger.
fn reason(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let message = answer.get("error")?.get("message")?.as_str()?;
    (!message.chars().any(char::is_control)).then(|| message.to_owned())
}

const JSON: &str = "application/json";

/// What the base URL of a Unix socket begins with.
const SOCKET: &str = "unix:";

const NO_HTTP: &str = "no answer came, or one that is not HTTP; an exporter with TLS (web.config_file) is asked at its web.socket";

/// As long as the exporter itself takes for an answer at most.
const LIMIT: Duration = Duration::from_secs(10);

/// The largest answer, ten thousand hours with every field, has some 7 MB.
const MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request with `answer`; returns what it was asked.
    async fn exporter(answer: &'static str) -> (String, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
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
        assert!(
            asked.starts_with("GET /v1/usage?by=model HTTP/1.1\r\n"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_socket_is_asked_before_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let config = web::Config {
            socket: Some(socket),
            ..web::Config::default()
        };
        let base = base_url(&config).unwrap();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                .await
                .unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        let (answer, asked) = tokio::join!(get(&base, "/v1/usage"), served);
        assert_eq!(answer.unwrap(), "{}");
        assert!(
            asked.starts_with("GET /v1/usage HTTP/1.1\r\nhost: localhost\r\n"),
            "{asked}"
        );
        drop(listener);
        let error = get(&base, "/").await.unwrap_err();
        let told = format!("{error:#}");
        assert!(
            told.contains("may you write to its socket?") && is_silence(&error),
            "{told}"
        );
    }

    #[test]
    fn an_exporter_on_all_addresses_is_asked_on_loopback() {
        let at = |listen: &str| {
            base_url(&web::Config {
                listen: Some(listen.parse().unwrap()),
                ..web::Config::default()
            })
        };
        assert_eq!(at("0.0.0.0:1").unwrap(), "http://127.0.0.1:1");
        assert_eq!(at("[::]:1").unwrap(), "http://[::1]:1");
        assert_eq!(at("192.0.2.1:1").unwrap(), "http://192.0.2.1:1");
        assert!(
            base_url(&web::Config {
                listen: None,
                ..web::Config::default()
            })
            .is_err()
        );
    }

    #[tokio::test]
    async fn a_stranger_behind_the_port_is_told() {
        let (base, served) = exporter("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        let (answer, _) = tokio::join!(get(&base, "/"), served);
        assert!(answer.unwrap_err().to_string().contains("404"));
        let refusal = "HTTP/1.1 404 Not Found\r\nContent-Length: 36\r\n\r\n{\"error\":{\"message\":\"nothing here\"}}";
        let (base, served) = exporter(refusal).await;
        let (answer, _) = tokio::join!(get(&base, "/"), served);
        assert!(
            answer
                .unwrap_err()
                .to_string()
                .ends_with("404 Not Found: nothing here")
        );
        let (base, served) = exporter("").await;
        let (answer, _) = tokio::join!(get(&base, "/"), served);
        assert!(!is_silence(&answer.unwrap_err()), "somebody is there");
    }

    #[tokio::test]
    async fn nobody_behind_the_port_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = get(&base, "/").await.unwrap_err();
        let told = format!("{error:#}");
        assert!(
            told.contains("is `gravimeter serve` running?") && is_silence(&error),
            "{told}"
        );
        assert!(get("https://127.0.0.1:1", "/").await.is_err());
    }
}
