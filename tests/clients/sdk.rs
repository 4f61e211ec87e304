//! The SDKs of Anthropic, OpenAI and Google for Python and Node.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Client, NODE, PYTHON, Route, documents, output, script};
use crate::provider::{Coding, Form, Setting};
use crate::run::Run;

/// In Python, by its own choice of HTTP and with every coding that it takes.
pub(crate) fn python(route: Route) {
    every_exchange(
        route,
        |client| client.command(PYTHON),
        "sdk.py",
        &[Coding::Brotli, Coding::Gzip, Coding::Zstd],
    );
}

/// In Node, whose `fetch` takes no zstd.
pub(crate) fn node(route: Route) {
    every_exchange(
        route,
        |client| client.command(NODE),
        "sdk.mjs",
        &[Coding::Brotli, Coding::Gzip],
    );
}

/// What providers refuse or break off, as the SDK for Python tells of it.
pub(crate) fn python_with_errors(route: Route) {
    every_error(route, |client| client.command(PYTHON), "sdk.py");
}

/// The same, in Node.
pub(crate) fn node_with_errors(route: Route) {
    every_error(route, |client| client.command(NODE), "sdk.mjs");
}

fn every_error(route: Route, program: impl Fn(&Client) -> Command, name: &str) {
    let run = Run::start(route);
    let job = |error: &Error| {
        let last = error.exchanges.last().expect("an exchange");
        let mut job = job((error.api, last), (Form::Http1, Coding::Identity));
        job["fields"] = json!({"x-fixture": error.exchanges.join(" ")});
        job["retries"] = json!(error.exchanges.len() - 1);
        job
    };
    let jobs: Vec<_> = ERRORS.iter().map(job).collect();
    let (said, calls) = run.calls(Setting::default(), |client| {
        ask(client, &program, name, jobs)
    });
    let attempts: usize = ERRORS.iter().map(|error| error.exchanges.len()).sum();
    assert_eq!(
        (said.len(), calls.len()),
        (ERRORS.len(), attempts),
        "{said:?}"
    );
    for (error, said) in ERRORS.iter().zip(&said) {
        let is_tried_again = error.exchanges.len() > 1;
        assert_eq!(said["failed"] == true, !is_tried_again, "{said}");
        if let Some(status) = error.status {
            assert_eq!(said["status"], status, "{said}");
        }
    }
    run.finish(&[(Form::Http1, Coding::Identity)]);
}

/// Runs a script of an SDK; what it says of each job.
fn ask(
    client: &Client,
    program: &impl Fn(&Client) -> Command,
    name: &str,
    jobs: Vec<Value>,
) -> Vec<Value> {
    let mut command = program(client);
    command.args([&script(name), &Value::from(jobs).to_string()]);
    command
        .env("ANTHROPIC_API_KEY", "key")
        .env("OPENAI_API_KEY", "key")
        .env("GEMINI_API_KEY", "key");
    documents(&output(&mut command))
}

fn every_exchange(
    route: Route,
    program: impl Fn(&Client) -> Command,
    name: &str,
    codings: &[Coding],
) {
    let run = Run::start(route);
    let forms: Vec<_> = [Form::Http1, Form::Http2]
        .into_iter()
        .flat_map(|form| codings.iter().map(move |&coding| (form, coding)))
        .collect();
    let jobs: Vec<_> = forms
        .iter()
        .flat_map(|&form| EXCHANGES.map(|exchange| (exchange, form)))
        .collect();
    let asked: Vec<_> = jobs
        .iter()
        .map(|&(exchange, form)| job(exchange, form))
        .collect();
    let (said, calls) = run.calls(Setting::default(), |client| {
        ask(client, &program, name, asked)
    });
    assert_eq!(
        (said.len(), calls.len()),
        (jobs.len(), jobs.len()),
        "{said:?}"
    );
    for ((((api, fixture), _), said), call) in jobs.iter().zip(&said).zip(&calls) {
        assert_eq!(said["text"], call.text, "{fixture}");
        let tokens = call.tokens;
        let (input, output) = match *api {
            "messages" => (tokens.input, tokens.all_output()),
            "gemini" => (tokens.all_input(), tokens.output),
            _ => (tokens.all_input(), tokens.all_output()),
        };
        assert_eq!(
            (&said["input"], &said["output"]),
            (&json!(input), &json!(output)),
            "{fixture}: {said}"
        );
    }
    run.finish(&forms);
}

/// What a script is to ask for: the exchange, by which API, for which model, whether as a stream,
/// and how it is to be carried.
fn job((api, fixture): (&str, &str), (form, coding): (Form, Coding)) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = std::fs::read(folder.join(fixture).join("call.json")).expect("call.json");
    let expected: Value = serde_json::from_slice(&expected).expect("call.json");
    let call = &expected["calls"][0];
    json!({
        "api": api, "model": call["model"], "stream": call["streamed"], "http2": form == Form::Http2,
        "fields": {"x-fixture": fixture, "x-coding": coding.name()}, "retries": 0,
    })
}

/// Exchanges of `tests/fixtures`, and the API by which an SDK asks for them.
const EXCHANGES: [(&str, &str); 11] = [
    ("messages", "anthropic/stream"),
    ("messages", "anthropic/three_deltas"),
    ("messages", "anthropic/json"),
    ("chat", "openai/chat_stream"),
    ("chat", "openai/chat_length"),
    ("chat", "openai/chat_json"),
    ("responses", "openai/responses_stream"),
    ("responses", "openai/responses_reasoning_and_tools"),
    ("responses", "openai/responses_json"),
    ("gemini", "gemini/stop_in_every_frame_whole"),
    ("gemini", "gemini/thinking_only_in_the_total"),
];

/// What an SDK is refused, or gets no further with.
struct Error {
    api: &'static str,
    /// One after another; the SDK tries again until the last one.
    exchanges: &'static [&'static str],
    /// The status that the SDK tells, where it is that of a refusal.
    status: Option<u16>,
}

const ERRORS: [Error; 9] = [
    Error {
        api: "messages",
        exchanges: &["anthropic/rate_limited_429"],
        status: Some(429),
    },
    Error {
        api: "messages",
        exchanges: &["anthropic/overloaded_529", "anthropic/stream"],
        status: None,
    },
    Error {
        api: "messages",
        exchanges: &["anthropic/error_in_the_stream_overloaded"],
        status: None,
    },
    Error {
        api: "chat",
        exchanges: &["openai/chat_429_rate_limit", "openai/chat_json"],
        status: None,
    },
    Error {
        api: "chat",
        exchanges: &["openai/chat_error_in_the_stream"],
        status: None,
    },
    Error {
        api: "responses",
        exchanges: &["openai/responses_429"],
        status: Some(429),
    },
    Error {
        api: "responses",
        exchanges: &["openai/responses_failed"],
        status: None,
    },
    Error {
        api: "responses",
        exchanges: &["openai/responses_error_event"],
        status: None,
    },
    Error {
        api: "gemini",
        exchanges: &["gemini/quota_of_a_minute"],
        status: Some(429),
    },
];
