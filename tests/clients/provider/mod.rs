//! The providers: one server on port 443 for the names of all of them, which answers as they do and
//! keeps what it has answered.
//!
//! The SDKs ask for an exchange of `tests/fixtures` by name ([`fixture`]). The agents are led
//! through their work by what they ask ([`anthropic`], [`gemini`], [`responses`]): each answer has
//! figures of its own, so that no two sums agree by chance.

mod anthropic;
mod bedrock;
mod call;
mod coding;
mod fixture;
mod gemini;
mod http;
mod names;
pub(crate) mod recorded;
mod responses;
mod websocket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use ::http::Version;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

use crate::pki::Pki;
use crate::stage::PROVIDER_V4;
pub(crate) use call::{Call, Tokens};
pub(crate) use coding::Coding;
pub(crate) use names::{HOSTS, OF_A_CUSTOMER};
use recorded::{Recorded, Recordings};
pub(crate) use responses::ACCOUNT;

/// Where the root certificate of the providers stands.
pub(crate) const ROOT: &str = "/var/lib/provider-root.pem";

/// What an agent's prompt says when it is to call a tool once.
pub(crate) const USE_TOOL: &str = "please use the tool";
/// What it says when the tool's result is to be too much for the model.
pub(crate) const USE_TOO_MUCH: &str = "please use the tool for far too long";
/// What it says when it is to have a subagent do something.
pub(crate) const USE_SUBAGENT: &str = "please use a subagent";

/// The running server.
pub(crate) struct Providers {
    shared: Arc<Shared>,
    _runtime: Runtime,
}

impl Providers {
    /// Starts the server and gives its address to every name that a client asks for.
    pub(crate) fn start() -> Self {
        let pki = Pki::new();
        let root_file = pki.write_root("/var/lib".as_ref());
        std::fs::rename(root_file, ROOT).expect("a place for the root");
        names::assign();
        let shared = Arc::new(Shared {
            pki,
            setting: Mutex::default(),
            served: Mutex::default(),
            recordings: Recordings::default(),
            tasks: TaskTracker::new(),
        });
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind((PROVIDER_V4, 443)))
            .expect("port 443 of the stage");
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            shared,
            _runtime: runtime,
        }
    }

    /// How the next connections and answers are to be.
    pub(crate) fn set(&self, setting: Setting) {
        *lock(&self.shared.setting) = setting;
    }

    /// What has been answered so far.
    pub(crate) fn served(&self) -> MutexGuard<'_, Served> {
        lock(&self.shared.served)
    }

    /// What has passed on every connection that has ended.
    pub(crate) fn recordings(&self) -> &Recordings {
        &self.shared.recordings
    }
}

/// How the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Whether it speaks HTTP/2 with those who can.
    pub(crate) http2: bool,
    /// The coding of the answers, for those who take it.
    pub(crate) coding: Coding,
    /// Whether messages of a WebSocket are compressed, with those who offer it.
    pub(crate) deflate: bool,
    /// Whether WebSockets are opened; otherwise clients are told to ask by events.
    pub(crate) sockets: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            http2: true,
            coding: Coding::Identity,
            deflate: true,
            sockets: true,
        }
    }
}

/// What all connections have in common.
struct Shared {
    pki: Pki,
    setting: Mutex<Setting>,
    served: Mutex<Served>,
    recordings: Recordings,
    tasks: TaskTracker,
}

/// What a rule of the tests adds to every system prompt.
pub(crate) const RULE_MARK: &str = "Answer as the rule of the tests says.";

/// What was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) calls: Vec<Call>,
    /// Every other request, as its method, host and path, and how often it came.
    pub(crate) others: BTreeMap<String, u64>,
    /// How many of the calls had [`RULE_MARK`] in their body.
    pub(crate) marked: usize,
    /// HTTP versions and codings in which calls were answered.
    pub(crate) forms: BTreeSet<(Form, Coding)>,
}

/// How a call was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Http1,
    Http2,
    WebSocket,
    WebSocketDeflated,
}

impl From<Version> for Form {
    fn from(version: Version) -> Self {
        match version {
            Version::HTTP_2 => Self::Http2,
            _ => Self::Http1,
        }
    }
}

/// A request, decoded.
struct Asked {
    host: String,
    method: String,
    path: String,
    /// The exchange of `tests/fixtures` that is to be the answer, where the client names one.
    fixture: Option<String>,
    /// How often the client has asked for the same before.
    attempt: usize,
    /// The subagent that asks, by the client's own word.
    subagent: Option<String>,
    body: Value,
}

impl Asked {
    /// The model that the body names, or the path: `.../models/{model}:{method}` of Google,
    /// `/model/{model}/{method}` of Bedrock.
    fn model(&self) -> String {
        let in_path = || {
            let path = self.path.replace("%3A", ":");
            let google = path.split_once("/models/");
            let google = google.and_then(|(_, rest)| Some(rest.rsplit_once(':')?.0.to_owned()));
            let bedrock = path.strip_prefix("/model/");
            let bedrock = bedrock.and_then(|rest| Some(rest.rsplit_once('/')?.0.to_owned()));
            google.or(bedrock)
        };
        let in_body = self.body["model"].as_str().map(str::to_owned);
        in_body.or_else(in_path).expect("a request with a model")
    }
}

/// An answer. Its pieces are sent one after another.
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    pieces: Vec<Vec<u8>>,
    /// What it is a call of; all else is no call.
    call: Option<Call>,
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            fields: vec![("content-type".to_owned(), "application/json".to_owned())],
            pieces: vec![body.to_string().into_bytes()],
            call: None,
        }
    }

    /// A stream of events; those with a `type` are named by it.
    fn events(events: &[Value]) -> Self {
        let piece = |event: &Value| {
            let name = event["type"].as_str();
            let name = name.map_or(String::new(), |name| format!("event: {name}\n"));
            format!("{name}data: {event}\n\n").into_bytes()
        };
        Self {
            status: 200,
            fields: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
            pieces: events.iter().map(piece).collect(),
            call: None,
        }
    }

    fn of_call(self, call: Call) -> Self {
        Self {
            call: Some(call),
            ..self
        }
    }
}

/// Answers a request; `number` is that of the answer, should it be a call.
fn answer(asked: &Asked, number: u64) -> Answer {
    if let Some(name) = &asked.fixture {
        return fixture::answer(name, asked);
    }
    let path = asked.path.split('?').next().unwrap_or_default();
    match (asked.method.as_str(), path) {
        ("POST", path) if path.ends_with("/v1/messages") => {
            anthropic::answer(asked, number, asked.body["stream"] == true)
        }
        ("POST", path) if path.ends_with(":rawPredict") => anthropic::answer(asked, number, false),
        ("POST", path) if path.ends_with(":streamRawPredict") => {
            anthropic::answer(asked, number, true)
        }
        ("POST", path) if path.ends_with("/invoke") => anthropic::answer(asked, number, false),
        ("POST", path) if path.ends_with("/invoke-with-response-stream") => {
            bedrock::wrapped(anthropic::answer(asked, number, true))
        }
        ("POST", "/v1/responses" | "/backend-api/codex/responses") => {
            responses::answer(asked, number)
        }
        ("GET", "/backend-api/wham/accounts/check") => Answer::json(200, &responses::account()),
        ("POST", path) if path.contains(":streamGenerateContent") => {
            gemini::answer(asked, number, true)
        }
        ("POST", path) if path.contains(":generateContent") => gemini::answer(asked, number, false),
        _ => Answer::json(
            404,
            &serde_json::json!({"error": {"type": "not_found_error", "message": "not here"}}),
        ),
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let _ = tcp.set_nodelay(true);
        let tasks = shared.tasks.clone();
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let setting = *lock(&shared.setting);
            let acceptor = tokio_rustls::TlsAcceptor::from(shared.tls(setting.http2));
            // A client that trusts no one here has its own say in what it prints.
            let Ok(tls) = acceptor.accept(tcp).await else {
                return;
            };
            let host = tls.get_ref().1.server_name().unwrap_or_default().to_owned();
            let stream = Recorded::new(tls, host.clone(), shared.recordings.clone());
            http::serve(stream, &host, &shared).await;
        });
    }
}

impl Shared {
    fn tls(&self, http2: bool) -> Arc<ServerConfig> {
        let alpn: &[&str] = match http2 {
            true => &["h2", "http/1.1"],
            false => &["http/1.1"],
        };
        self.pki.server_of(&HOSTS, alpn)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody failed with it")
}
