//! The provider of the benchmarks: hyper behind TLS, with answers that the query asks for.
//!
//! `events=N` sends N events, `pace=MS` one each so many milliseconds, `hold=1` one and then
//! nothing until [`Provider::burst`], `bytes=N` a plain body, `stream=N` about so many bytes of
//! events without a pause. Every event carries the instant at which it was made.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

pub const HOST: &str = "generativelanguage.googleapis.com";

/// How much each held stream sends in a burst.
pub const BURST: usize = 64 * 1024;

const PIECE: usize = 64 * 1024;

type Pieces = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

pub struct Provider {
    pub address: SocketAddr,
    pub root_pem: String,
    bursts: Arc<watch::Sender<bool>>,
}

impl Provider {
    pub async fn start(tasks: &TaskTracker) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), tasks).await
    }

    /// On a given address.
    pub async fn listen(address: SocketAddr, tasks: &TaskTracker) -> Self {
        let (config, root_pem) = tls();
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let bursts = Arc::new(watch::Sender::new(false));
        tasks.spawn(accept(listener, config, Arc::clone(&bursts), tasks.clone()));
        Self {
            address,
            root_pem,
            bursts,
        }
    }

    /// Lets every stream that is held send [`BURST`] bytes, once.
    pub fn burst(&self) {
        self.bursts.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    bursts: Arc<watch::Sender<bool>>,
    tasks: TaskTracker,
) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        tcp.set_nodelay(true).expect("TCP_NODELAY");
        let (tls, bursts) = (tls.clone(), Arc::clone(&bursts));
        tasks.spawn(async move {
            let Ok(stream) = tls.accept(tcp).await else {
                return;
            };
            let service = service_fn(move |request| answer(request, bursts.subscribe()));
            // An agent that is done with a stream closes its connection: no fault.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    burst: watch::Receiver<bool>,
) -> Result<Response<StreamBody<Pieces>>, Infallible> {
    let asked = |name: &str| {
        let query = request.uri().query().unwrap_or_default();
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.parse::<u64>().expect("a number"))
    };
    let (bytes, hold, pace, count) = (
        asked("bytes"),
        asked("hold"),
        asked("pace"),
        asked("events"),
    );
    let stream = asked("stream");
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::builder().header("content-type", "text/event-stream");
    let pieces: Pieces = match (bytes, hold) {
        _ if stream.is_some() => {
            let piece: Bytes = event().repeat(PIECE / event().len()).into();
            let count = stream.unwrap_or_default() / PIECE as u64;
            Box::pin(stream::iter(0..count).map(move |_| Ok(Frame::data(piece.clone()))))
        }
        (Some(bytes), _) => {
            response = response
                .header("content-length", bytes)
                .header("content-type", "application/octet-stream");
            let piece = Bytes::from_static(&[7; PIECE]);
            Box::pin(
                stream::iter(0..bytes / PIECE as u64).map(move |_| Ok(Frame::data(piece.clone()))),
            )
        }
        (None, Some(_)) => Box::pin(held(burst)),
        (None, None) => Box::pin(events(count.unwrap_or(1), pace)),
    };
    Ok(response.body(StreamBody::new(pieces)).expect("a response"))
}

fn events(count: u64, pace: Option<u64>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    let ticks = pace.map(|pace| {
        let mut ticks = interval(Duration::from_millis(pace));
        // Two events at once because one was late would be one arrival on any path.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    stream::unfold((0, ticks), move |(sent, mut ticks)| async move {
        if sent == count {
            return None;
        }
        match &mut ticks {
            Some(ticks) => _ = ticks.tick().await,
            // A model sends its events one by one: each is a write and a TLS record of its own.
            None => tokio::task::yield_now().await,
        }
        Some((Ok(Frame::data(event())), (sent + 1, ticks)))
    })
}

fn held(burst: watch::Receiver<bool>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::unfold((0, burst), |(sent, mut burst)| async move {
        match sent {
            0 => Some((Ok(Frame::data(event())), (1, burst))),
            1 => {
                burst.wait_for(|now| *now).await.ok()?;
                let mut comment = vec![b':'; BURST];
                comment[BURST - 2..].fill(b'\n');
                Some((Ok(Frame::data(comment.into())), (2, burst)))
            }
            _ => std::future::pending().await,
        }
    })
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Monotonic microseconds of this process.
pub fn now() -> u64 {
    START.elapsed().as_micros() as u64
}

/// What comes before an event's instant.
pub const MARK: &[u8] = b"sent=";
pub const DIGITS: usize = 12;

/// An event as the Gemini API sends it, some 300 bytes.
pub fn event() -> Bytes {
    let mut event = Vec::with_capacity(400);
    write!(
        event,
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"sent={:012} and some words of an answer\"}}],\
         \"role\":\"model\"}},\"finishReason\":\"STOP\",\"index\":0}}],\"usageMetadata\":{{\"promptTokenCount\":1200,\"candidatesTokenCount\":34,\
         \"totalTokenCount\":1234}},\"modelVersion\":\"gemini-2.5-pro\",\"responseId\":\"bench\"}}\r\n\r\n",
        now()
    )
    .expect("memory");
    event.into()
}

fn tls() -> (TlsAcceptor, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Named as its leaf is, OpenSSL would take the leaf for self-signed.
    params
        .distinguished_name
        .push(DnType::CommonName, "The provider's root");
    let root_pem = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new([HOST.to_owned()])
        .expect("a host")
        .signed_by(&key, &issuer)
        .expect("a leaf");
    let mut config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(
        vec![CertificateDer::from(leaf)],
        PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    )
    .expect("a matching pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (Arc::new(config).into(), root_pem)
}
