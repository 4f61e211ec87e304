use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::call::{Answer, CallRequest, Caller};
use super::prompt::Naming;
use super::reply::{self, Corruption};
use super::*;
use crate::demo::digest::{HASH_HEADER, sha256};
use crate::demo::pieces::Pieces;
use crate::demo::{
    CHECKPOINT_MODEL, CLOUD_CODE_HOST, ModelTally, Provider, ProviderOptions, Tokens,
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A provider, and what an agent needs to reach it.
pub(super) struct Stage {
    pub(super) provider: Provider,
    bundle: NamedTempFile,
    pub(super) tracker: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl Stage {
    pub(super) async fn set(options: ProviderOptions) -> Self {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let provider = Provider::start(options, ANY, &tracker, &shutdown)
            .await
            .unwrap();
        let bundle = NamedTempFile::new().unwrap();
        std::fs::write(bundle.path(), provider.root_pem()).unwrap();
        Self {
            provider,
            bundle,
            tracker,
            shutdown,
        }
    }

    pub(super) fn options(&self, protocol: Protocol) -> AgentOptions {
        AgentOptions {
            bundle: self.bundle.path().to_owned(),
            dial: Some(self.provider.addr),
            protocol,
            backoff_ms: 0,
            ..AgentOptions::default()
        }
    }

    async fn converse(&self, options: AgentOptions) -> Outcome {
        converse(options, &self.tracker, &self.shutdown)
            .await
            .unwrap()
    }

    fn dialer(&self, alpn: &[&str]) -> Arc<Dialer> {
        let tasks = Tasks {
            tracker: self.tracker.clone(),
            shutdown: self.shutdown.clone(),
        };
        Arc::new(Dialer::new(&self.options(Protocol::Http1), alpn, &tasks).unwrap())
    }

    /// Ends all tasks, so that what was dropped is booked.
    pub(super) async fn close(self) -> Tally {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.provider.truth()
    }
}

async fn hear(caller: &mut Caller, ask: CallRequest) -> Answer {
    caller.send(ask, &mut |_, _| ()).await.unwrap()
}

/// Refusals, gzip and aborts in plenty, so that each occurs in a short run.
fn lively() -> ProviderOptions {
    ProviderOptions {
        refused_percent: 30,
        gzip_percent: 50,
        seed: 7,
        ..ProviderOptions::default()
    }
}

async fn agreement(provider: ProviderOptions, protocol: Protocol) -> Outcome {
    let stage = Stage::set(provider).await;
    let options = AgentOptions {
        rounds: Some(6),
        abort_percent: 30,
        ..stage.options(protocol)
    };
    let outcome = stage.converse(options).await;
    let truth = stage.close().await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.is_clean());
    assert_eq!(outcome.tally, truth);
    let sum = |count: fn(&ModelTally) -> u64| truth.models.values().map(count).sum::<u64>();
    assert!(truth.calls() > 0 && sum(|model| model.aborted) > 0 && sum(|model| model.counted) > 0);
    assert_eq!(outcome.retries > 0, sum(|model| model.refused) > 0);
    assert!(truth.models.contains_key(CHECKPOINT_MODEL));
    assert_logged(&outcome);
    outcome
}

/// The log's runs and its calls both sum up to what was heard.
fn assert_logged(outcome: &Outcome) {
    let (tally, log) = (&outcome.tally, &outcome.log);
    let calls: u64 = tally
        .models
        .values()
        .map(|model| model.calls + model.refused + model.aborted)
        .sum();
    let mut tokens = Tokens::default();
    tally
        .models
        .values()
        .for_each(|model| tokens += model.tokens);
    let (mut in_runs, mut in_calls) = (Tokens::default(), Tokens::default());
    log.runs.iter().for_each(|run| in_runs += run.tokens);
    log.calls.iter().for_each(|call| in_calls += call.tokens);
    assert_eq!((in_runs, in_calls), (tokens, tokens));
    assert_eq!(
        (
            log.runs.iter().map(|run| run.calls).sum::<u64>(),
            log.calls.len() as u64
        ),
        (calls, calls)
    );
    assert!(
        log.runs
            .iter()
            .all(|run| run.started_us > 0 && run.started_us <= run.ended_us)
    );
    assert!(log.calls.iter().all(|call| call.trace.is_some()));
    assert!(
        log.calls
            .iter()
            .all(|call| (call.outcome == CallEnd::Refused) == call.response.is_none())
    );
}

#[tokio::test]
async fn every_kind_of_run_occurs_and_is_logged() {
    let stage = Stage::set(lively()).await;
    let options = AgentOptions {
        rounds: Some(30),
        cascade_rounds: 10,
        abort_percent: 15,
        error_percent: 15,
        swallow_percent: 15,
        subagent_percent: 50,
        hidden_percent: 20,
        ..stage.options(Protocol::Mixed)
    };
    let outcome = stage.converse(options).await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!(outcome.tally, stage.close().await);
    assert_logged(&outcome);
    let log = outcome.log;
    let cascades: HashSet<&str> = log.runs.iter().map(|run| run.cascade.as_str()).collect();
    assert_eq!((log.runs.len(), cascades.len()), (120, 12));
    for end in [
        RunEnd::Ok,
        RunEnd::Canceled,
        RunEnd::Error,
        RunEnd::Swallowed,
    ] {
        assert!(log.runs.iter().any(|run| run.outcome == end), "{end:?}");
    }
    let swallowed = log
        .runs
        .iter()
        .filter(|run| run.outcome == RunEnd::Swallowed);
    assert_eq!(swallowed.map(|run| run.calls).sum::<u64>(), 0);
    let trajectories: HashSet<&str> = log
        .calls
        .iter()
        .map(|call| call.trajectory.as_str())
        .collect();
    assert!(
        trajectories.len() > cascades.len(),
        "subagents have their own"
    );
    let named = |call: &&CallEntry| call.request.contains(&call.cascade);
    assert!(
        log.calls.iter().filter(named).count() > 0,
        "the conversation's id in requestId"
    );
    let agents = log
        .calls
        .iter()
        .filter(|call| call.request.split('/').count() == 5 && !named(call));
    assert!(agents.count() > 0, "an agent's id in its place");
    assert!(
        log.calls
            .iter()
            .any(|call| call.request.starts_with("batch-")),
        "nothing at all"
    );
}

#[tokio::test]
async fn both_sides_agree_over_http1() {
    let outcome = agreement(lively(), Protocol::Http1).await;
    let aborted: u64 = outcome
        .tally
        .models
        .values()
        .map(|model| model.aborted)
        .sum();
    assert_eq!(
        outcome.connections,
        4 + aborted,
        "kept alive, and replaced after each abort"
    );
}

#[tokio::test]
async fn both_sides_agree_over_http2() {
    let outcome = agreement(lively(), Protocol::Http2).await;
    assert_eq!(
        outcome.connections, 4,
        "an abort costs a stream, not the connection"
    );
}

#[tokio::test]
async fn an_agent_that_offers_http2_speaks_http1_where_it_must() {
    agreement(
        ProviderOptions {
            http2: false,
            ..lively()
        },
        Protocol::Mixed,
    )
    .await;
}

#[tokio::test]
async fn the_same_seed_spends_the_same() {
    let first = agreement(lively(), Protocol::Mixed).await.tally;
    assert_eq!(agreement(lively(), Protocol::Mixed).await.tally, first);
    assert_ne!(
        agreement(
            ProviderOptions {
                seed: 8,
                ..lively()
            },
            Protocol::Mixed
        )
        .await
        .tally,
        first
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_breaks_nothing() {
    // Many slow streams, so that some are open whenever the end comes.
    let stage = Stage::set(ProviderOptions {
        pause_ms: 1,
        ..ProviderOptions::default()
    })
    .await;
    let options = AgentOptions {
        rounds: None,
        conversations: 64,
        ..stage.options(Protocol::Mixed)
    };
    let stop = CancellationToken::new();
    let talking = {
        let (tracker, stop) = (stage.tracker.clone(), stop.clone());
        stage
            .tracker
            .spawn(async move { converse(options, &tracker, &stop).await.unwrap() })
    };
    stage.provider.truth_when(|tally| tally.calls() > 64).await;
    stop.cancel();
    let outcome = talking.await.unwrap();
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert!(outcome.is_clean() && outcome.tally.calls() > 0);
    stage.close().await;
}

#[tokio::test]
async fn goes_through_a_proxy() {
    let stage = Stage::set(ProviderOptions::default()).await;
    let proxy = TcpListener::bind(ANY).await.unwrap();
    let options = AgentOptions {
        proxy: Some(proxy.local_addr().unwrap()),
        dial: None,
        conversations: 1,
        rounds: Some(1),
        ..stage.options(Protocol::Http2)
    };
    let target = stage.provider.addr;
    let asked = stage.tracker.spawn(async move {
        let (mut client, _) = proxy.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            client.read_buf(&mut head).await.unwrap();
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut upstream = TcpStream::connect(target).await.unwrap();
        drop(copy_bidirectional(&mut client, &mut upstream).await);
        String::from_utf8(head).unwrap()
    });
    let outcome = stage.converse(options).await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!(outcome.tally, stage.close().await);
    assert!(
        asked
            .await
            .unwrap()
            .starts_with("CONNECT daily-cloudcode-pa.googleapis.com:443 HTTP/1.1\r\n")
    );
}

#[tokio::test]
async fn a_strange_root_is_not_trusted() {
    let (stage, other) = (
        Stage::set(ProviderOptions::default()).await,
        Stage::set(ProviderOptions::default()).await,
    );
    let options = AgentOptions {
        bundle: other.bundle.path().to_owned(),
        conversations: 1,
        rounds: Some(1),
        ..stage.options(Protocol::Http1)
    };
    let outcome = stage.converse(options).await;
    assert!(!outcome.is_clean());
    assert!(
        outcome.failures[0].starts_with("TLS handshake: "),
        "{:?}",
        outcome.failures
    );
    assert_eq!(
        (outcome.tally.calls(), stage.close().await),
        (0, Tally::default())
    );
    other.close().await;
}

#[tokio::test]
async fn a_bundle_without_roots_is_named() {
    let empty = NamedTempFile::new().unwrap();
    let options = AgentOptions {
        bundle: empty.path().to_owned(),
        ..AgentOptions::default()
    };
    let failed = converse(options, &TaskTracker::new(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        failed
            .to_string()
            .contains(&empty.path().display().to_string())
    );
}

#[tokio::test]
async fn a_request_can_ask_for_exact_numbers() {
    for alpn in [&[][..], &["h2"]] {
        let stage = Stage::set(ProviderOptions::default()).await;
        let mut caller = Caller::new(stage.dialer(alpn));
        let text = "hi demo: prompt=16 cached=4 thoughts=42 output=3 tool=5 events=5 gzip=1";
        let body = json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}).to_string();
        let path = "/v1beta/models/gemini-3.8-flash-high:streamGenerateContent?alt=sse";
        let answer = hear(
            &mut caller,
            CallRequest {
                path,
                headers: Vec::new(),
                body: body.into(),
                chunked: true,
                leave_after: None,
            },
        )
        .await;
        assert_eq!(reply::verify(&answer), Ok(()));
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-encoding"], "gzip");
        let expected = ModelTally {
            calls: 1,
            tokens: Tokens {
                input: 12,
                cache_read: 4,
                tool_input: 5,
                output: 3,
                thinking: 42,
                ..Tokens::default()
            },
            ..ModelTally::default()
        };
        assert_eq!(
            stage.provider.truth().models["gemini-3.8-flash-high"],
            expected
        );
        drop(caller);
        stage.close().await;
    }
}

#[tokio::test]
async fn an_abort_is_noticed_at_once_and_counts_what_was_reported() {
    for alpn in [&[][..], &["h2"]] {
        let stage = Stage::set(ProviderOptions::default()).await;
        let mut caller = Caller::new(stage.dialer(alpn));
        let text = "demo: prompt=10 output=8 events=4 hold=2";
        let body = json!({"model": "m", "request": {"contents": [{"parts": [{"text": text}]}]}})
            .to_string();
        let path = "/v1internal:streamGenerateContent?alt=sse";
        let answer = hear(
            &mut caller,
            CallRequest {
                path,
                headers: Vec::new(),
                body: body.into(),
                chunked: true,
                leave_after: Some(2),
            },
        )
        .await;
        assert!(answer.left);
        let truth = stage
            .provider
            .truth_when(|tally| tally.models.contains_key("m"))
            .await;
        let tokens = Tokens {
            input: 10,
            output: 4,
            ..Tokens::default()
        };
        assert_eq!(
            truth.models["m"],
            ModelTally {
                aborted: 1,
                tokens,
                ..ModelTally::default()
            }
        );
        stage.close().await;
    }
}

#[tokio::test]
async fn a_refusal_looks_like_a_stream_and_is_none() {
    let stage = Stage::set(ProviderOptions::default()).await;
    let mut caller = Caller::new(stage.dialer(&[]));
    let body =
        json!({"model": "m", "request": {"contents": [{"parts": [{"text": "demo: refuse=quota"}]}]}}).to_string();
    let path = "/v1internal:streamGenerateContent?alt=sse";
    let answer = hear(
        &mut caller,
        CallRequest {
            path,
            headers: Vec::new(),
            body: body.into(),
            chunked: false,
            leave_after: None,
        },
    )
    .await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(
        answer.headers["content-length"],
        answer.body.len().to_string().as_str()
    );
    assert!(answer.body.starts_with(b"{"));
    assert_eq!(
        stage.close().await.models["m"],
        ModelTally {
            refused: 1,
            ..ModelTally::default()
        }
    );
}

#[tokio::test]
async fn the_models_come_coded_and_with_their_quotas() {
    let stage = Stage::set(ProviderOptions::default()).await;
    let mut caller = Caller::new(stage.dialer(&[]));
    let ask = CallRequest {
        path: "/v1internal:fetchAvailableModels",
        headers: Vec::new(),
        body: r#"{"project":"demo"}"#.into(),
        chunked: false,
        leave_after: None,
    };
    let answer = hear(&mut caller, ask).await;
    assert_eq!(
        (reply::verify(&answer), &answer.headers["content-encoding"]),
        (Ok(()), &HeaderValue::from_static("gzip"))
    );
    let models: serde_json::Value =
        serde_json::from_reader(GzDecoder::new(answer.body.as_slice())).unwrap();
    let claude = &models["models"]["claude-opus-4-6-thinking"];
    assert_eq!(
        (&claude["model"], &claude["quotaInfo"]["remainingFraction"]),
        (&json!("MODEL_PLACEHOLDER_M26"), &json!(0.125))
    );
    stage.close().await;
}

#[tokio::test]
async fn the_provider_notices_a_changed_upload() {
    let stage = Stage::set(ProviderOptions::default()).await;
    let mut connection = stage.dialer(&[]).connect().await.unwrap();
    let request = Request::post("/v1internal:loadCodeAssist").header("host", CLOUD_CODE_HOST);
    let request = request
        .header(HASH_HEADER, sha256(b"as it was sent"))
        .body(Pieces::complete("as it came"))
        .unwrap();
    assert_eq!(
        connection.send(request).await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        stage.close().await,
        Tally {
            corrupt: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn every_change_of_an_answer_is_noticed() {
    let event = r#"{"response":{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],
        "usageMetadata":{"promptTokenCount":2,"totalTokenCount":2},"responseId":"demo-t"},"traceId":"t"}"#
        .replace('\n', "");
    let answer = |body: String, left: bool| {
        let mut headers = HeaderMap::new();
        headers.insert(
            HASH_HEADER,
            HeaderValue::from_str(&sha256(body.as_bytes())).unwrap(),
        );
        headers.insert("x-cloudaicompanion-trace-id", HeaderValue::from_static("t"));
        Answer {
            status: StatusCode::OK,
            headers,
            body: body.into_bytes(),
            left,
        }
    };
    let whole = answer(format!("data: {event}\n\n"), false);
    assert_eq!(
        (
            reply::verify(&whole),
            reply::read(&whole).unwrap().text.as_str()
        ),
        (Ok(()), "a")
    );

    let mut flipped = answer(format!("data: {event}\n\n"), false);
    flipped.body[20] ^= 1;
    assert_eq!(reply::verify(&flipped), Err(Corruption::Hash));
    flipped.headers.remove(HASH_HEADER);
    assert_eq!(reply::verify(&flipped), Err(Corruption::Unhashed));

    let broken = |body: String| reply::read(&answer(body, false)).unwrap_err();
    assert_eq!(
        broken(format!(
            "data: {}\n\n",
            event.replace(r#","finishReason":"STOP""#, "")
        )),
        Corruption::Unfinished
    );
    assert_eq!(
        broken(format!("data: {}\n\n", &event[..30])),
        Corruption::Event
    );
    assert_eq!(
        broken(format!("data: {}\n\n", event.replace(r#""t""#, r#""u""#))),
        Corruption::Trace
    );
    assert_eq!(
        broken(format!(
            "data: {}\n\n",
            event.replace(r#"totalTokenCount":2"#, r#"totalTokenCount":3"#)
        )),
        Corruption::Sum
    );
    assert_eq!(broken(String::new()), Corruption::Trace);
}

#[tokio::test]
async fn announces_ports_that_answer() {
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let stand_in = start(&AgentOptions::default(), &tracker, &shutdown)
        .await
        .unwrap();
    let mut log = Vec::new();
    announce::announce(&mut log, &stand_in).unwrap();
    let log = String::from_utf8(log).unwrap();
    let port = |end: &str| -> u16 {
        let line = log.lines().find(|line| line.ends_with(end)).unwrap();
        line.strip_suffix(end)
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(
        log.lines()
            .all(|line| line.starts_with('I') && line.contains(" server.go:")),
        "{log}"
    );
    assert_eq!(
        (port(" for HTTP"), port(" for HTTPS (gRPC)")),
        (stand_in.http, stand_in.https)
    );
    for (path, expected) in [
        ("Heartbeat", "HTTP/1.1 200 OK"),
        ("StartCascade", "HTTP/1.1 404 Not Found"),
    ] {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port(" for HTTP")))
            .await
            .unwrap();
        let request = format!(
            "POST /exa.language_server_pb.LanguageServerService/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut status = String::new();
        BufReader::new(tcp).read_line(&mut status).await.unwrap();
        assert_eq!(status.trim_end(), expected);
    }
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
}

#[test]
fn a_request_has_the_shape_of_the_language_server() {
    let speaker = prompt::Speaker {
        cascade: "c".into(),
        agent: "a".into(),
        session: prompt::Session::Kept(-5),
    };
    let turn = |naming| prompt::Turn {
        speaker: &speaker,
        trajectory: "t",
        model: "claude-x",
        contents: &[],
        system: "s",
        last_execution: "e",
        step: 4,
        request: 9,
        seed: 7,
        session: -5,
        checkpoint: "u",
        naming,
    };
    let read = |prompt: prompt::Prompt| -> serde_json::Value {
        let document: serde_json::Value = serde_json::from_slice(&prompt.body).unwrap();
        assert_eq!(document["requestId"], prompt.id.as_str());
        document
    };
    let full = read(prompt::agent(&turn(Naming::Full)));
    let id: Vec<&str> = full["requestId"].as_str().unwrap().split('/').collect();
    assert_eq!((id[0], id[1], id[3], id[4]), ("agent", "a", "t", "4"));
    assert!(id[2].parse::<u64>().is_ok());
    assert_eq!(full["requestType"], "agent");
    assert_eq!(full["request"]["sessionId"], "-5");
    assert_eq!(full["request"]["labels"]["request_id"], "t-9");
    assert_eq!(full["request"]["labels"]["used_claude"], "true");
    let checkpoint = read(prompt::checkpoint(&turn(Naming::Full)));
    assert_eq!(
        (&checkpoint["requestId"], &checkpoint["requestType"]),
        (&json!("checkpoint/u"), &json!("checkpoint"))
    );
    assert!(prompt::count("m", &[]).starts_with(b"{\"request\""));

    let old = read(prompt::agent(&turn(Naming::Old)));
    let id: Vec<&str> = old["requestId"].as_str().unwrap().split('/').collect();
    assert_eq!(
        (id.len(), id[2], id[3], old["request"].get("labels")),
        (4, "t", "4", None)
    );
    let session = read(prompt::agent(&turn(Naming::Session)));
    assert_eq!(
        (&session["requestId"], &session["request"]["sessionId"]),
        (&json!("batch-00000007"), &json!("-5"))
    );
    let nothing = read(prompt::agent(&turn(Naming::Nothing))).to_string();
    assert!(
        !nothing.contains("-5") && !nothing.contains("labels") && !nothing.contains("trajectory"),
        "{nothing}"
    );
}
