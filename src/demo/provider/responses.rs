//! OpenAI's Responses, as Codex asks for them by a login with ChatGPT: over a WebSocket, call after
//! call, with events of reasoning, text and calls of tools, and what is left of a plan.
//!
//! A request has the items that are new since the response that it names (`previous_response_id`).
//! One that generates nothing (`generate: false`) only opens a conversation.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::answer::Script;
use super::counted::{CountedBody, complete_response, invalid, set};
use super::plan::chance;
use crate::demo::Tokens;
use crate::demo::websocket::{AGREED, Role, Socket, accept, is_offered, seal};

/// Where a WebSocket is opened.
pub(super) const PATH: &str = "/backend-api/codex/responses";

/// Opens a WebSocket and answers what comes over it.
pub(super) fn upgrade(script: &Arc<Script>, request: Request<Incoming>) -> Response<CountedBody> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(accepted) = key.and_then(|key| key.to_str().ok()).map(accept) else {
        return invalid("this is no handshake of a WebSocket");
    };
    let is_deflated = is_offered(request.headers());
    let (own, tasks) = (Arc::clone(script), script.tasks.clone());
    tasks.spawn(async move {
        // A client that goes before the upgrade has asked for nothing.
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let socket = Socket::new(TokioIo::new(upgraded), Role::Server, is_deflated);
            Conversation {
                script: own,
                socket,
                history: Vec::new(),
            }
            .run()
            .await;
        }
    });
    let mut response = complete_response(StatusCode::SWITCHING_PROTOCOLS, Vec::new().into(), "");
    response.headers_mut().clear();
    for (name, value) in [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, accepted.as_str()),
    ] {
        set(&mut response, name, value);
    }
    if is_deflated {
        set(&mut response, header::SEC_WEBSOCKET_EXTENSIONS, AGREED);
    }
    limits(&mut response);
    response
}

/// An open socket, and what was said over it.
struct Conversation {
    script: Arc<Script>,
    socket: Socket<TokioIo<Upgraded>>,
    history: Vec<Value>,
}

impl Conversation {
    /// Answers until the client goes, or sends what is no request.
    async fn run(mut self) {
        while let Some(Ok(text)) = self.socket.next().await {
            if self.answer(&text).await.is_none() {
                return;
            }
        }
    }

    /// Answers a message. `None` where the socket is of no more use.
    async fn answer(&mut self, text: &str) -> Option<()> {
        let request = serde_json::from_str::<Value>(text).ok()?;
        let Some(model) = request.get("model").and_then(Value::as_str) else {
            return self
                .refuse(StatusCode::BAD_REQUEST, "invalid_request_error")
                .await;
        };
        let mut rng = self.script.options.rng(text.as_bytes());
        if request.get("generate") == Some(&Value::Bool(false)) {
            return self.open(model, &mut rng).await;
        }
        if chance(&mut rng, self.script.options.refused_percent) {
            self.script
                .tally
                .update(|tally| tally.model(model).refused += 1);
            return self
                .refuse(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded")
                .await;
        }
        let input = request.get("input").and_then(Value::as_array);
        let goes_on = request.get("previous_response_id").is_some();
        let before = if goes_on {
            self.history.as_slice()
        } else {
            &[]
        };
        let history = [before, input.map_or(&[][..], Vec::as_slice)].concat();
        let reply = Reply::draw(&history, &mut rng);
        let first_chunk = self.script.options.first_chunk(&mut rng);
        self.send(model, &reply, first_chunk).await?;
        self.history = [history, reply.output()].concat();
        Some(())
    }

    /// A response that generates nothing.
    async fn open(&mut self, model: &str, rng: &mut StdRng) -> Option<()> {
        let opened = Reply {
            id: format!("resp_{:016x}", rng.random::<u64>()),
            tokens: Tokens::default(),
            calls_tool: false,
        };
        let created = opened.created(model);
        let mut completed = opened.completed(model);
        self.tell(&created).await?;
        seal(&mut completed, &created.to_string());
        self.tell(&completed).await
    }

    async fn refuse(&mut self, status: StatusCode, code: &str) -> Option<()> {
        let error = json!({"type": code, "code": code, "message": "Rate limit reached. Please try again in 1.0s."});
        let refusal = json!({"type": "error", "status": status.as_u16(), "error": error});
        self.tell(&refusal).await
    }

    async fn tell(&mut self, message: &Value) -> Option<()> {
        self.socket.send(message.to_string()).await.ok()
    }

    /// Sends the events. A call counts before its last one leaves, so that nobody who has read it
    /// can find it missing, and as aborted if it does not come to that.
    async fn send(&mut self, model: &str, reply: &Reply, first_chunk: Duration) -> Option<()> {
        let pause = Duration::from_millis(self.script.options.pause_ms);
        let booking = Booking {
            script: Arc::clone(&self.script),
            model,
            spent: None,
        };
        let mut sent = String::new();
        for (place, event) in reply.events(model).into_iter().enumerate() {
            sleep(if place == 0 { first_chunk } else { pause }).await;
            let text = event.to_string();
            sent.push_str(&text);
            self.socket.send(text).await.ok()?;
        }
        sleep(pause).await;
        let mut completed = reply.completed(model);
        seal(&mut completed, &sent);
        booking.complete(reply.tokens);
        self.tell(&completed).await
    }
}

/// The entry of a call in the tally, made when it is dropped: as aborted, unless it was completed.
struct Booking<'a> {
    script: Arc<Script>,
    model: &'a str,
    spent: Option<Tokens>,
}

impl Booking<'_> {
    fn complete(mut self, tokens: Tokens) {
        self.spent = Some(tokens);
    }
}

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        self.script.tally.update(|tally| {
            let model = tally.model(self.model);
            match self.spent {
                Some(tokens) => {
                    model.calls += 1;
                    model.tokens += tokens;
                }
                None => model.aborted += 1,
            }
        });
    }
}

/// What one answer will be.
struct Reply {
    id: String,
    tokens: Tokens,
    calls_tool: bool,
}

impl Reply {
    fn draw(input: &[Value], rng: &mut StdRng) -> Self {
        let results = input
            .iter()
            .rev()
            .step_by(ITEMS_OF_A_TOOL)
            .take_while(|item| {
                item.get("type").and_then(Value::as_str) == Some("function_call_output")
            });
        let calls_tool = results.count() < MAX_TOOLS && chance(rng, 65);
        let (old, new) = input.split_at(input.len().saturating_sub(2));
        let cached = if old.is_empty() {
            0
        } else {
            PROMPT + size(old)
        };
        let prompt = PROMPT + size(old) + size(new) + rng.random_range(100..1_500);
        let tokens = Tokens {
            input: prompt - cached,
            cache_read: cached,
            output: rng.random_range(30..500),
            thinking: if chance(rng, 80) {
                rng.random_range(64..1_200)
            } else {
                0
            },
            ..Tokens::default()
        };
        Self {
            id: format!("resp_{:016x}", rng.random::<u64>()),
            tokens,
            calls_tool,
        }
    }

    /// The items of the answer.
    fn output(&self) -> Vec<Value> {
        let message = json!({"type": "message", "role": "assistant", "content": []});
        let call = json!({"type": "function_call", "name": "shell", "call_id": format!("call_{}", self.id), "arguments": "{}"});
        [Some(message), self.calls_tool.then_some(call)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The events before the last one.
    fn events(&self, model: &str) -> Vec<Value> {
        let delta = |kind: &str, text: &str| json!({"type": kind, "delta": text});
        let done = |item: Value| json!({"type": "response.output_item.done", "item": item});
        let mut events = vec![self.created(model), limits_of_plan()];
        events
            .extend((0..2).map(|_| delta("response.reasoning_summary_text.delta", "Überlegung. ")));
        events
            .extend((0..3).map(|_| delta("response.output_text.delta", "A few words → gravité. ")));
        events.extend(self.output().into_iter().map(done));
        events
    }

    fn created(&self, model: &str) -> Value {
        json!({"type": "response.created", "response": self.response(model, "in_progress", Value::Null)})
    }

    fn completed(&self, model: &str) -> Value {
        let Tokens {
            input,
            cache_read,
            output,
            thinking,
            ..
        } = self.tokens;
        let usage = json!({"input_tokens": input + cache_read, "input_tokens_details": {"cached_tokens": cache_read},
            "output_tokens": output + thinking, "output_tokens_details": {"reasoning_tokens": thinking},
            "total_tokens": self.tokens.total()});
        json!({"type": "response.completed", "response": self.response(model, "completed", usage)})
    }

    fn response(&self, model: &str, status: &str, usage: Value) -> Value {
        json!({"id": self.id, "object": "response", "model": model, "status": status, "usage": usage})
    }
}

/// About the number of tokens of items.
fn size(items: &[Value]) -> u64 {
    let bytes: usize = items.iter().map(|item| item.to_string().len()).sum();
    bytes as u64 / 4
}

/// A plan that is partly used: in percent, by minutes, and in hours until it is full again.
const PLAN: [(&str, &str, u32, i64); 2] = [
    ("primary", "37.0", 300, 5),
    ("secondary", "12.0", 10_080, 7 * 24),
];

fn reset(hours: i64) -> i64 {
    (Timestamp::now() + SignedDuration::from_hours(hours)).as_second()
}

fn limits(response: &mut Response<CountedBody>) {
    for (window, used, minutes, hours) in PLAN {
        for (part, value) in [
            ("used-percent", used.to_owned()),
            ("window-minutes", minutes.to_string()),
            ("reset-at", reset(hours).to_string()),
        ] {
            let name = HeaderName::try_from(format!("x-codex-{window}-{part}"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

/// The same as a message.
fn limits_of_plan() -> Value {
    let windows = PLAN.map(|(window, used, minutes, hours)| {
        let used: f64 = used.parse().unwrap_or_default();
        let window_says =
            json!({"used_percent": used, "window_minutes": minutes, "reset_at": reset(hours)});
        (window.to_owned(), window_says)
    });
    let windows: serde_json::Map<_, _> = windows.into_iter().collect();
    json!({"type": "codex.rate_limits", "plan_type": "pro", "rate_limits": windows})
}

/// Tokens of the instructions and of the descriptions of tools.
const PROMPT: u64 = 11_000;

/// Most tools in one turn.
const MAX_TOOLS: usize = 4;

/// A message, the call of a tool and its result.
const ITEMS_OF_A_TOOL: usize = 3;
