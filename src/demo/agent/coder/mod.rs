//! Coding agents beside the language server: stand-ins of Claude Code and of Codex, which nobody
//! follows, because their own requests say to which conversation, subagent and turn they belong.
//!
//! Each user sends message after message. The model calls tools and subagents before it answers;
//! whether it does is the provider's choice. What happened is noted in the agent's [`Log`].

mod claude_code;
mod codex;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::call::{CallRequest, Caller};
use super::cascade::{CallEnd, CallEntry, RunEnd, RunEntry, Store};
use super::context::uuid;
use super::dial::Dialer;
use super::provider_client::ProviderClient;
use super::{AgentOptions, Log, Outcome};
use crate::demo::tally::Tokens;
use crate::demo::{ANTHROPIC_HOST, CHATGPT_HOST};
use codex::OpenSockets;

/// An agent of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// Google Antigravity's language server.
    Antigravity,
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex.
    Codex,
}

impl AgentKind {
    /// The host that it calls; `None` for the one that the options name.
    pub(super) fn host(self) -> Option<&'static str> {
        match self {
            Self::Antigravity => None,
            Self::ClaudeCode => Some(ANTHROPIC_HOST),
            Self::Codex => Some(CHATGPT_HOST),
        }
    }

    /// The protocols that it offers: its sockets need HTTP/1.1.
    pub(super) fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Codex => &["http/1.1"],
            Self::Antigravity | Self::ClaudeCode => &["h2", "http/1.1"],
        }
    }
}

/// One user of a coding agent.
pub(super) struct Coder {
    kind: AgentKind,
    options: Arc<AgentOptions>,
    client: ProviderClient,
    rng: StdRng,
    store: Arc<Store>,
    shutdown: CancellationToken,
    /// Of Codex alone.
    sockets: OpenSockets,
}

/// A conversation.
struct Session {
    id: String,
    history: Vec<Value>,
}

/// Who asks, and in which turn.
struct Speaker<'a> {
    session: &'a str,
    turn: &'a str,
    subagent: Option<&'a str>,
}

/// A reply of the model.
struct Reply {
    tokens: Tokens,
    response: Option<String>,
    /// The call of a tool: its id, and the tool's name.
    tool: Option<(String, String)>,
    /// What it adds to the history.
    content: Vec<Value>,
}

/// What has come of a request.
enum Asked {
    /// The answer.
    Reply(Reply),
    /// A limit is used up.
    Refused,
    /// Something that is no answer.
    Unreadable,
    /// Nothing; already counted as such.
    Nothing,
}

/// What a run has taken so far.
#[derive(Default)]
struct Spent {
    calls: u64,
    tokens: Tokens,
}

impl Coder {
    /// The user with this number; all chances follow from the options' seed.
    pub(super) fn new(
        kind: AgentKind,
        options: Arc<AgentOptions>,
        number: u32,
        dialer: Arc<Dialer>,
        store: Arc<Store>,
        shutdown: CancellationToken,
    ) -> Self {
        let place = (kind as u64) << 48 | u64::from(number) << 32;
        let backoff = Duration::from_millis(options.backoff_ms);
        Self {
            kind,
            rng: StdRng::seed_from_u64(options.seed ^ place),
            client: ProviderClient::new(Caller::new(dialer), backoff),
            options,
            store,
            shutdown,
            sockets: OpenSockets::default(),
        }
    }

    /// Sends messages until its rounds are done or the shutdown. A call that the shutdown cuts off
    /// is not counted.
    pub(super) async fn run(mut self) -> Outcome {
        let shutdown = self.shutdown.clone();
        shutdown.run_until_cancelled(self.talk()).await;
        self.client.close()
    }

    async fn talk(&mut self) {
        let options = Arc::clone(&self.options);
        let mut session = self.session();
        let mut round = 0;
        while options.rounds.is_none_or(|rounds| round < rounds) {
            if round > 0 && round % options.cascade_rounds.max(1) == 0 {
                self.sockets.close_all().await;
                session = self.session();
            }
            self.turn(&mut session).await;
            round += 1;
            sleep(Duration::from_millis(options.pause_ms)).await;
        }
        self.sockets.close_all().await;
    }

    fn session(&mut self) -> Session {
        Session {
            id: uuid(&mut self.rng),
            history: Vec::new(),
        }
    }

    /// One message of the user, and all that follows until the model asks for nothing more.
    async fn turn(&mut self, session: &mut Session) {
        let turn = uuid(&mut self.rng);
        let speaker = Speaker {
            session: &session.id,
            turn: &turn,
            subagent: None,
        };
        if session.history.is_empty() && self.kind == AgentKind::ClaudeCode {
            self.title(&speaker).await;
        }
        let orbit: u16 = self.rng.random();
        let text = format!("Explain orbit number {orbit}.");
        session.history.push(self.message(&text));
        let started = Timestamp::now();
        let mut spent = Spent::default();
        if !self.work(&speaker, &mut session.history, &mut spent).await {
            // Whatever broke is counted; the conversation cannot go on.
            self.sockets.close_all().await;
            session.id = uuid(&mut self.rng);
            session.history.clear();
            return;
        }
        let entry = RunEntry {
            cascade: session.id.clone(),
            outcome: RunEnd::Ok,
            started_us: started.as_microsecond(),
            ended_us: Timestamp::now().as_microsecond(),
            calls: spent.calls,
            tokens: spent.tokens,
        };
        self.store.note(|log| log.run(entry));
    }

    /// Asks until the model asks for nothing more. Returns whether it came to that.
    async fn work(
        &mut self,
        speaker: &Speaker<'_>,
        history: &mut Vec<Value>,
        spent: &mut Spent,
    ) -> bool {
        loop {
            let Some(reply) = self.ask(speaker, history, spent).await else {
                return false;
            };
            history.extend(reply.content);
            let Some((call, tool)) = reply.tool else {
                return true;
            };
            if speaker.subagent.is_none() && self.starts_subagent(&tool) {
                if !Box::pin(self.subagent(speaker, spent)).await {
                    return false;
                }
            } else {
                let most = self.options.tool_ms.max(1);
                sleep(Duration::from_millis(self.rng.random_range(0..most))).await;
            }
            history.push(match self.kind {
                AgentKind::Codex => codex::result(&call),
                _ => claude_code::result(&call),
            });
        }
    }

    /// A subagent does a part of the work, in a history of its own.
    async fn subagent(&mut self, main: &Speaker<'_>, spent: &mut Spent) -> bool {
        let (id, turn) = match self.kind {
            AgentKind::Codex => (uuid(&mut self.rng), uuid(&mut self.rng)),
            _ => (
                format!("{:08x}", self.rng.random::<u32>()),
                main.turn.to_owned(),
            ),
        };
        let speaker = Speaker {
            session: main.session,
            turn: &turn,
            subagent: Some(&id),
        };
        let mut history = vec![self.message("Look for what is known of it.")];
        let is_done = self.work(&speaker, &mut history, spent).await;
        self.sockets.close(&id).await;
        is_done
    }

    /// Whether the tool starts a subagent. Codex calls it like any other.
    fn starts_subagent(&mut self, tool: &str) -> bool {
        match self.kind {
            AgentKind::Codex => self.rng.random_range(0..100) < CODEX_SUBAGENT_PERCENT,
            _ => tool == claude_code::SUBAGENT_TOOL,
        }
    }

    /// Sends a request until it is answered, as often as it is refused. `None` when that is
    /// impossible.
    async fn ask(
        &mut self,
        speaker: &Speaker<'_>,
        history: &[Value],
        spent: &mut Spent,
    ) -> Option<Reply> {
        let model = match self.kind {
            AgentKind::Codex => codex::MODEL,
            _ => claude_code::MODEL,
        };
        loop {
            let asked = match self.kind {
                AgentKind::Codex => codex::ask(self, speaker, history).await,
                _ => self.post(speaker, history).await,
            };
            spent.calls += u64::from(!matches!(asked, Asked::Nothing));
            let reply = match asked {
                Asked::Reply(reply) => reply,
                Asked::Refused => {
                    self.client.refused(model);
                    self.note(speaker, model, CallEnd::Refused, Tokens::default(), None);
                    sleep(self.client.backoff).await;
                    continue;
                }
                Asked::Unreadable => {
                    self.client
                        .unreadable("an answer to a coding agent is not complete");
                    return None;
                }
                Asked::Nothing => return None,
            };
            self.client.answered(model, reply.tokens);
            spent.tokens += reply.tokens;
            let response = reply.response.clone();
            self.note(speaker, model, CallEnd::Ok, reply.tokens, response);
            return Some(reply);
        }
    }

    /// The next step of Claude Code, as a request of its own.
    async fn post(&mut self, speaker: &Speaker<'_>, history: &[Value]) -> Asked {
        let nonce = self.rng.random();
        let request = claude_code::request(speaker, history, self.options.upload_bytes, nonce);
        self.exchange(request).await
    }

    /// Asks for a title, beside the turn.
    async fn title(&mut self, speaker: &Speaker<'_>) {
        let (model, nonce) = (claude_code::TITLE_MODEL, self.rng.random());
        match self.exchange(claude_code::title(speaker, nonce)).await {
            Asked::Refused => {
                self.client.refused(model);
                self.note(speaker, model, CallEnd::Refused, Tokens::default(), None);
            }
            Asked::Reply(reply) => {
                self.client.answered(model, reply.tokens);
                self.note(speaker, model, CallEnd::Ok, reply.tokens, reply.response);
            }
            Asked::Nothing | Asked::Unreadable => {}
        }
    }

    async fn exchange(&mut self, request: CallRequest) -> Asked {
        match self.client.exchange(request).await {
            None => Asked::Nothing,
            Some(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => Asked::Refused,
            Some(answer) if answer.status != StatusCode::OK => Asked::Unreadable,
            Some(answer) => match claude_code::read(&answer.body) {
                Some(reply) => Asked::Reply(reply),
                None => Asked::Unreadable,
            },
        }
    }

    fn message(&self, text: &str) -> Value {
        match self.kind {
            AgentKind::Codex => codex::message(text),
            _ => claude_code::message(text),
        }
    }

    fn note(
        &self,
        speaker: &Speaker<'_>,
        model: &str,
        outcome: CallEnd,
        tokens: Tokens,
        response: Option<String>,
    ) {
        let entry = CallEntry {
            trace: None,
            response,
            cascade: speaker.session.to_owned(),
            trajectory: speaker.subagent.unwrap_or_default().to_owned(),
            // Neither of them gives its calls an id that the provider sees.
            request: String::new(),
            model: model.to_owned(),
            outcome,
            tokens,
            ended_us: Timestamp::now().as_microsecond(),
        };
        self.store.note(|log: &mut Log| log.call(entry));
    }
}

/// A request with these header fields and this body.
fn post(path: &'static str, headers: Vec<(&'static str, String)>, body: &Value) -> CallRequest {
    CallRequest {
        path,
        headers,
        body: Bytes::from(body.to_string()),
        chunked: false,
        leave_after: None,
    }
}

/// The data of the events of an answer.
fn data(body: &[u8]) -> impl Iterator<Item = Value> {
    let lines = body.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data: ")?).ok())
}

fn count(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_u64()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

/// Of 100 calls of a tool by Codex, how many start a subagent.
const CODEX_SUBAGENT_PERCENT: u32 = 20;
