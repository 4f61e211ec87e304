//! One conversation: user messages, replies, and all that the language server does around them.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::call::{Answer, Ask, Caller};
use super::dial::Dialer;
use super::prompt::{self, Speaker, Turn};
use super::reply::{self, Reply};
use super::{AgentOptions, Outcome};
use crate::demo::CHECKPOINT_MODEL;
use crate::demo::tally::ModelTally;

/// Speaks, and counts what it hears.
pub(super) struct Conversation {
    options: Arc<AgentOptions>,
    shutdown: CancellationToken,
    caller: Caller,
    speaker: Speaker,
    model: String,
    system: String,
    contents: Vec<Value>,
    requests: u32,
    rng: StdRng,
    outcome: Outcome,
}

impl Conversation {
    /// The conversation with this number; its ids and chances follow from the options' seed.
    pub(super) fn new(
        options: Arc<AgentOptions>,
        number: u32,
        dialer: Arc<Dialer>,
        shutdown: CancellationToken,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(options.seed ^ (u64::from(number) << 32));
        let model = options.models.iter().cycle().nth(number as usize).cloned().unwrap_or_default();
        let system = INSTRUCTION.chars().cycle().take(options.upload_bytes).collect();
        let speaker = Speaker {
            conversation: uuid(&mut rng),
            trajectory: uuid(&mut rng),
            session: rng.random::<i64>().to_string(),
        };
        Self {
            options,
            shutdown,
            caller: Caller::new(dialer),
            speaker,
            model,
            system,
            contents: Vec::new(),
            requests: 0,
            rng,
            outcome: Outcome::default(),
        }
    }

    /// Talks until its rounds are done or the shutdown. A call that the shutdown cuts off is not counted.
    pub(super) async fn run(mut self) -> Outcome {
        let shutdown = self.shutdown.clone();
        shutdown.run_until_cancelled(self.talk()).await;
        self.outcome.connections = self.caller.opened;
        self.outcome
    }

    async fn talk(&mut self) {
        self.control(LOAD, prompt::hello()).await;
        self.control(MODELS, prompt::hello()).await;
        let mut round = 0;
        while self.options.rounds.is_none_or(|rounds| round < rounds) {
            self.round(round).await;
            round += 1;
            sleep(Duration::from_millis(self.options.pause_ms)).await;
        }
    }

    async fn round(&mut self, round: u32) {
        let leave = self.chance(self.options.abort_percent);
        let directive = if leave { "\ndemo: prompt=321 cached=21 thoughts=40 output=60 events=9 hold=3" } else { "" };
        let orbit: u16 = self.rng.random();
        self.say("user", format!("Message {round}: explain orbit number {orbit}.{directive}"));
        if self.chance(COUNT_PERCENT) {
            self.count().await;
        }
        let Some(reply) = self.generate(round, leave.then_some(3)).await else {
            return;
        };
        if leave {
            self.say("user", "Stop.".to_owned());
            return;
        }
        self.say("model", reply.text);
        if self.chance(METRICS_PERCENT) {
            let body = prompt::metrics(&self.speaker, &reply.trace_id);
            self.control(METRICS, body).await;
        }
        self.checkpoint(round).await;
    }

    /// The agent's reply, asked for again after each refusal.
    async fn generate(&mut self, step: u32, leave_after: Option<usize>) -> Option<Reply> {
        let model = self.model.clone();
        for attempt in 1..=MAX_ATTEMPTS {
            let body = prompt::agent(&self.turn(&model, step));
            let answer = self.call(Ask { path: STREAM, body, chunked: true, leave_after }).await?;
            if answer.status != StatusCode::TOO_MANY_REQUESTS {
                return self.take(&model, &answer);
            }
            self.entry(&model).refused += 1;
            self.outcome.retries += u64::from(attempt < MAX_ATTEMPTS);
            sleep(Duration::from_millis(self.options.backoff_ms) * attempt).await;
        }
        None
    }

    /// Asks once; a refused title is not missed.
    async fn checkpoint(&mut self, step: u32) {
        let body = prompt::checkpoint(&self.turn(CHECKPOINT_MODEL, step));
        let ask = Ask { path: STREAM, body, chunked: true, leave_after: None };
        match self.call(ask).await {
            Some(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => self.entry(CHECKPOINT_MODEL).refused += 1,
            Some(answer) => drop(self.take(CHECKPOINT_MODEL, &answer)),
            None => {}
        }
    }

    async fn count(&mut self) {
        let model = self.model.clone();
        let body = prompt::count(&self.turn(&model, 0));
        let answer = self.call(Ask { path: COUNT, body, chunked: false, leave_after: None }).await;
        if answer.is_some_and(|answer| self.is_ok(&answer)) {
            self.entry(&model).counted += 1;
        }
    }

    async fn control(&mut self, path: &'static str, body: bytes::Bytes) {
        let answer = self.call(Ask { path, body, chunked: false, leave_after: None }).await;
        if answer.is_some_and(|answer| self.is_ok(&answer)) {
            self.outcome.tally.control += 1;
        }
    }

    /// Sends and verifies. What goes wrong is counted, and `None`.
    async fn call(&mut self, ask: Ask) -> Option<Answer> {
        let answer = match self.caller.call(ask).await {
            Ok(answer) => answer,
            Err(error) => {
                self.outcome.fail(error.to_string());
                // Against a closed door: the next attempt is not made at once.
                sleep(Duration::from_millis(self.options.backoff_ms)).await;
                return None;
            }
        };
        match reply::verify(&answer) {
            Ok(()) => Some(answer),
            Err(corruption) => {
                self.outcome.corrupt(corruption.to_string());
                None
            }
        }
    }

    fn take(&mut self, model: &str, answer: &Answer) -> Option<Reply> {
        if !self.is_ok(answer) {
            return None;
        }
        match reply::read(answer) {
            Ok(reply) => {
                let entry = self.entry(model);
                entry.tokens += reply.usage.into();
                match answer.left {
                    true => entry.aborted += 1,
                    false => entry.calls += 1,
                }
                Some(reply)
            }
            Err(corruption) => {
                self.outcome.corrupt(corruption.to_string());
                None
            }
        }
    }

    fn is_ok(&mut self, answer: &Answer) -> bool {
        if answer.status != StatusCode::OK {
            self.outcome.fail(format!("an answer has status {}", answer.status));
        }
        answer.status == StatusCode::OK
    }

    fn turn<'a>(&'a mut self, model: &'a str, step: u32) -> Turn<'a> {
        self.requests += 1;
        let Self { speaker, contents, system, requests, .. } = self;
        Turn { speaker, model, contents, system, step, request: *requests }
    }

    fn entry(&mut self, model: &str) -> &mut ModelTally {
        self.outcome.tally.model(model)
    }

    /// Old messages go when the window is full, as in every agent.
    fn say(&mut self, role: &str, text: String) {
        let text: String = text.chars().take(MAX_MESSAGE).collect();
        self.contents.push(json!({"role": role, "parts": [{"text": text}]}));
        let surplus = self.contents.len().saturating_sub(MAX_MESSAGES);
        self.contents.drain(..surplus);
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.rng.random_range(0..100) < percent
    }
}

fn uuid(rng: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid().to_string()
}

const STREAM: &str = "/v1internal:streamGenerateContent?alt=sse";
const COUNT: &str = "/v1internal:countTokens";
const LOAD: &str = "/v1internal:loadCodeAssist";
const MODELS: &str = "/v1internal:fetchAvailableModels";
const METRICS: &str = "/v1internal:recordCodeAssistMetrics";

const INSTRUCTION: &str = "You are a stand-in. Every byte of this text must arrive, Überlänge included. ";
/// The language server was seen to try five times.
const MAX_ATTEMPTS: u32 = 5;
const COUNT_PERCENT: u8 = 20;
const METRICS_PERCENT: u8 = 50;
/// The context window: an agent that runs until SIGTERM must not grow.
const MAX_MESSAGES: usize = 40;
/// Characters kept of one message.
const MAX_MESSAGE: usize = 4_000;
