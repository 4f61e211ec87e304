//! What passes in HTTP/1.1: well-formed and broken exchanges, each with canaries wherever a secret
//! could stand.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use gravimeter::demo::CLOUD_CODE_HOST;

use super::notices::notices;
use super::{GEMINI_HOST, MODEL, Nest};

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    InOrder,
    ByAgent,
    ByProvider,
}

pub struct Recording {
    pub host: &'static str,
    pub request: Vec<u8>,
    pub response: Vec<u8>,
    pub cut: Cut,
    /// Whether it holds a call whose model is read.
    pub is_call: bool,
}

const SSE: &str = "/v1internal:streamGenerateContent?alt=sse";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

pub fn recordings(nest: &mut Nest) -> Vec<Recording> {
    [
        well_formed(nest),
        refused(nest),
        malformed(nest),
        cut_off(nest),
        notices(nest),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn well_formed(nest: &mut Nest) -> Vec<Recording> {
    let key = nest.plain("key in the query");
    let unknown = nest.url("unknown query parameter");
    let path = nest.plain("segment of an unknown path");
    let method = nest.plain("method").to_uppercase();
    let model_path =
        format!("/v1beta/models/{MODEL}:generateContent?key={key}&{unknown}={unknown}");
    let unary = format!("[{}]", frame(nest));
    let gzip = gzipped(frame(nest).as_bytes());
    let (asked, said) = (ask(nest), events(nest));
    let odd_fields = format!("{OK}{}", nest.odd_fields());
    vec![
        recording(
            CLOUD_CODE_HOST,
            post(nest, SSE, &asked),
            chunked(&format!("{OK}{}", nest.answer_fields()), &said),
        ),
        recording(
            CLOUD_CODE_HOST,
            post(nest, SSE, &asked),
            chunked(&odd_fields, &said),
        ),
        recording(
            GEMINI_HOST,
            post(nest, &model_path, &asked),
            sized(nest, "200 OK", "", unary.as_bytes()),
        ),
        recording(
            GEMINI_HOST,
            post(nest, &model_path, &asked),
            sized(nest, "200 OK", "Content-Encoding: gzip\r\n", &gzip),
        ),
        Recording {
            is_call: false,
            ..recording(
                CLOUD_CODE_HOST,
                post(nest, &format!("/{path}/{path}:{path}?{path}"), &asked),
                answer(nest),
            )
        },
        Recording {
            is_call: false,
            ..recording(
                GEMINI_HOST,
                format!("{method} /{path} HTTP/1.1\r\nHost: x\r\n\r\n").into(),
                answer(nest),
            )
        },
    ]
}

fn refused(nest: &mut Nest) -> Vec<Recording> {
    let asked = ask(nest);
    let mut refusals = Vec::new();
    for status in [
        "429 Too Many Requests",
        "400 Bad Request",
        "503 Service Unavailable",
    ] {
        let body = error(nest);
        let retry = format!("Retry-After: {}\r\n", nest.text("retry-after"));
        let response = sized(nest, status, &retry, body.as_bytes());
        refusals.push(recording(
            CLOUD_CODE_HOST,
            post(nest, SSE, &asked),
            response,
        ));
    }
    let in_band = format!("{}data: {}\r\n\r\n", events(nest), error(nest));
    refusals.push(recording(
        CLOUD_CODE_HOST,
        post(nest, SSE, &asked),
        chunked(OK, &in_band),
    ));
    refusals
}

fn malformed(nest: &mut Nest) -> Vec<Recording> {
    let (asked, secret) = (ask(nest), nest.text("malformed head"));
    let head = format!("POST {SSE} HTTP/1.1\r\n");
    let broken_json = format!(
        "{{\"model\":\"{MODEL}\",\"{}\":\"\\x{}",
        nest.text("broken key"),
        nest.text("broken JSON")
    );
    let broken_events = format!(
        "data: {{\"response\":{{{}\r\n\r\n{}\r\n",
        nest.text("broken event"),
        secret
    );
    let mut broken_gzip = gzipped(frame(nest).repeat(9).as_bytes());
    broken_gzip.truncate(40);
    // The head of the first block, of a type that does not exist.
    broken_gzip[10] = 7;
    broken_gzip.extend(nest.text("behind broken gzip").bytes());
    let bombs = [
        format!("{head}Authorization: {}\r\n\r\n", secret.repeat(4096)),
        format!(
            "{head}{}\r\n",
            format!("X-Api-Key: {secret}\r\n").repeat(4096)
        ),
        format!("{head}Authorization : {secret}\r\n\r\n"),
        format!("{head}Cookie: {secret}\r\n {secret}\r\n{secret}\r\n\r\n"),
        format!("{head}Content-Length: {secret}\r\n\r\n{secret}"),
        format!("{head}Transfer-Encoding: {secret}\r\n\r\n{secret}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{secret}\r\n{secret}"),
        format!("POST {SSE}&key={secret} {secret}\r\n\r\n"),
        format!("{secret}\r\n\r\n{secret}"),
    ];
    let mut all: Vec<_> = bombs
        .into_iter()
        .map(|request| Recording {
            is_call: false,
            ..recording(CLOUD_CODE_HOST, request.into(), answer(nest))
        })
        .collect();
    let not_a_head = format!("HTTP/1.1 {secret}\r\nSet-Cookie {secret}\r\n\r\n{secret}");
    let chunks = format!("{OK}Transfer-Encoding: chunked\r\n\r\n{secret}\r\n{secret}");
    all.extend([
        recording(
            CLOUD_CODE_HOST,
            post(nest, SSE, &broken_json),
            chunked(OK, &broken_events),
        ),
        recording(CLOUD_CODE_HOST, post(nest, SSE, &asked), not_a_head.into()),
        recording(CLOUD_CODE_HOST, post(nest, SSE, &asked), chunks.into()),
        recording(
            CLOUD_CODE_HOST,
            post(nest, SSE, &asked),
            sized(nest, "200 OK", "Content-Encoding: gzip\r\n", &broken_gzip),
        ),
    ]);
    all
}

fn cut_off(nest: &mut Nest) -> Vec<Recording> {
    let (asked, said) = (ask(nest), events(nest));
    let mut recordings = Vec::new();
    for cut in [Cut::ByAgent, Cut::ByProvider] {
        let mut response = chunked(OK, &said);
        response.truncate(response.len() - 20);
        recordings.push(Recording {
            cut,
            ..recording(CLOUD_CODE_HOST, post(nest, SSE, &asked), response)
        });
    }
    let mut request = post(nest, SSE, &asked);
    request.truncate(request.len() - 20);
    recordings.push(Recording {
        cut: Cut::ByAgent,
        ..recording(CLOUD_CODE_HOST, request, Vec::new())
    });
    recordings
}

pub fn recording(host: &'static str, request: Vec<u8>, response: Vec<u8>) -> Recording {
    Recording {
        host,
        request,
        response,
        cut: Cut::InOrder,
        is_call: true,
    }
}

pub fn post(nest: &mut Nest, target: &str, body: &str) -> Vec<u8> {
    let (fields, length) = (nest.request_fields(), body.len());
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("POST {target} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
        .into()
}

pub fn sized(nest: &mut Nest, status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let (answer, length) = (nest.answer_fields(), body.len());
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{answer}{fields}");
    [
        format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

fn answer(nest: &mut Nest) -> Vec<u8> {
    let body = frame(nest);
    sized(nest, "200 OK", "", body.as_bytes())
}

fn chunked(head: &str, body: &str) -> Vec<u8> {
    format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    )
    .into()
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A request with secrets in every text, and with ids that name a conversation.
pub fn ask(nest: &mut Nest) -> String {
    let (prompt, system, tool) = (
        nest.text("prompt"),
        nest.text("system instruction"),
        nest.text("tool arguments"),
    );
    let (request, session, trajectory) = (
        nest.uuid("conversation id"),
        nest.id("session id"),
        nest.uuid("trajectory id"),
    );
    let (execution, labelled) = (nest.id("execution id"), nest.uuid("labelled trajectory id"));
    format!(
        r#"{{"project":"{prompt}","model":"{MODEL}","requestId":"agent/{request}/1780000000000/{trajectory}/4","request":{{
        "contents":[{{"role":"user","parts":[{{"text":"{prompt}"}},{{"functionCall":{{"name":"{tool}","args":{{"{tool}":"{tool}"}}}}}}]}}],
        "systemInstruction":{{"parts":[{{"text":"{system}"}}]}},"sessionId":"{session}",
        "labels":{{"trajectory_id":"{labelled}","request_id":"{labelled}-3","last_execution_id":"{execution}"}}}}}}"#
    )
}

/// One frame of an answer, in Cloud Code's wrapper.
fn frame(nest: &mut Nest) -> String {
    let (text, thought, tool) = (
        nest.text("completion"),
        nest.text("thinking"),
        nest.text("tool call"),
    );
    let (response, trace) = (nest.id("response id"), nest.id("trace id"));
    format!(
        r#"{{"response":{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{text}"}},{{"thought":true,"text":"{thought}"}},{{"functionCall":{{"name":"{tool}","args":{{"{tool}":"{tool}"}}}}}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":5,"candidatesTokenCount":3}},"modelVersion":"{MODEL}","responseId":"{response}"}},"traceId":"{trace}"}}"#
    )
}

pub fn events(nest: &mut Nest) -> String {
    format!(
        ": {}\r\nevent: {}\r\ndata: {}\r\n\r\n",
        nest.text("comment"),
        nest.text("event name"),
        frame(nest)
    )
}

pub fn error(nest: &mut Nest) -> String {
    let (message, detail) = (nest.text("error message"), nest.text("error detail"));
    format!(
        r#"{{"error":{{"code":429,"status":"{detail}","message":"{message}","details":[{{"@type":"{detail}","reason":"{detail}","retryDelay":"{detail}","metadata":{{"quotaResetDelay":"{detail}","quotaResetTimeStamp":"{detail}","model":"{message}"}}}}]}}}}"#
    )
}
