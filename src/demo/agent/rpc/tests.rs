use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::diff::tests::apply;
use super::envelope;
use super::tree::{self, Message};
use super::wire;
use crate::demo::ProviderOptions;
use crate::demo::agent::cascade::{Cascade, RunStatus};
use crate::demo::agent::dial::{Connection, Dialer};
use crate::demo::agent::tests::Stage;
use crate::demo::agent::{AgentOptions, OfferedStreams, Outcome, Protocol, RunEnd, StandIn, start};
use crate::demo::pieces::Pieces;
use crate::demo::server::Tasks;

/// A stand-in with its provider, and clients of its ports.
struct Scene {
    stage: Stage,
    stand_in: Arc<StandIn>,
}

impl Scene {
    async fn set(options: AgentOptions) -> Self {
        let stage = Stage::set(ProviderOptions {
            seed: 5,
            ..ProviderOptions::default()
        })
        .await;
        let stand_in = start(&options, &stage.tracker, &stage.shutdown)
            .await
            .unwrap();
        Self {
            stage,
            stand_in: Arc::new(stand_in),
        }
    }

    /// Conversations that wait for their followers.
    fn talk(&self, change: AgentOptions) -> tokio::task::JoinHandle<Outcome> {
        let like = self.stage.options(Protocol::Mixed);
        let options = AgentOptions {
            bundle: like.bundle,
            dial: like.dial,
            backoff_ms: 0,
            ..change
        };
        let stand_in = Arc::clone(&self.stand_in);
        self.stage
            .tracker
            .spawn(async move { stand_in.converse(options).await.unwrap() })
    }

    async fn plain(&self) -> http1::SendRequest<Pieces> {
        let tcp = TcpStream::connect(("127.0.0.1", self.stand_in.http))
            .await
            .unwrap();
        let (sender, driver) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        self.stage.tracker.spawn(driver);
        sender
    }

    async fn secure(&self, alpn: &[&str]) -> Connection {
        let roots = NamedTempFile::new().unwrap();
        std::fs::write(roots.path(), self.stand_in.root_pem()).unwrap();
        let options = AgentOptions {
            bundle: roots.path().to_owned(),
            host: "localhost".to_owned(),
            dial: Some(([127, 0, 0, 1], self.stand_in.https).into()),
            ..AgentOptions::default()
        };
        let tasks = Tasks {
            tracker: self.stage.tracker.clone(),
            shutdown: self.stage.shutdown.clone(),
        };
        Dialer::new(&options, alpn, &tasks)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    async fn send(&self, way: Way, request: Request<Pieces>) -> http::Response<Incoming> {
        match way {
            Way::Http => self.plain().await.send_request(request).await.unwrap(),
            Way::Https => self
                .secure(&["http/1.1"])
                .await
                .send(request)
                .await
                .unwrap(),
            Way::Http2 => self.secure(&["h2"]).await.send(request).await.unwrap(),
        }
    }

    async fn ask(&self, method: &str, body: Value) -> (StatusCode, Value) {
        self.ask_by(Way::Http, method, body, HeaderMap::new()).await
    }

    async fn ask_by(
        &self,
        way: Way,
        method: &str,
        body: Value,
        headers: HeaderMap,
    ) -> (StatusCode, Value) {
        let response = self
            .send(
                way,
                request(method, "application/json", body.to_string(), headers),
            )
            .await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = match head.headers.get("content-encoding") {
            Some(_) => {
                let mut plain = Vec::new();
                GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
                plain
            }
            None => body.to_vec(),
        };
        (head.status, serde_json::from_slice(&body).unwrap())
    }

    /// The ids of all conversations that are not a subagent's, once there are so many.
    async fn cascades(&self, count: usize) -> Vec<String> {
        loop {
            let (_, all) = self.ask("GetAllCascadeTrajectories", json!({})).await;
            let all = all["trajectorySummaries"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let main = all
                .into_iter()
                .filter(|(_, summary)| summary.get("trajectoryMetadata").is_none());
            let ids: Vec<String> = main.map(|(id, _)| id).collect();
            if ids.len() == count {
                return ids;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn agent_state(&self, way: Way, id: &str, gzip: bool) -> Frames {
        let mut headers = HeaderMap::new();
        if gzip {
            headers.insert("connect-accept-encoding", "gzip".parse().unwrap());
        }
        let asked = json!({"conversationId": id, "subscriberId": "test"}).to_string();
        let body = frame(asked.as_bytes());
        let response = self
            .send(
                way,
                request(
                    "StreamAgentStateUpdates",
                    "application/connect+json",
                    body,
                    headers,
                ),
            )
            .await;
        Frames::new(response)
    }

    async fn reactive(&self, way: Way, id: &str) -> Frames {
        let asked = wire::StreamRequest {
            protocol_version: 1,
            id: id.to_owned(),
            subscriber_id: "test".to_owned(),
        };
        let body = frame(&asked.encode_to_vec());
        let (kind, mut headers) = (way.proto(), HeaderMap::new());
        headers.insert("grpc-accept-encoding", "gzip,identity".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        Frames::new(
            self.send(
                way,
                request("StreamCascadeReactiveUpdates", kind, body, headers),
            )
            .await,
        )
    }

    async fn control(&self, path: &str, body: Value) {
        let request = Request::post(path)
            .header("host", "x")
            .body(Pieces::complete(body.to_string()))
            .unwrap();
        assert_eq!(
            self.send(Way::Http, request).await.status(),
            StatusCode::NO_CONTENT
        );
    }

    fn state(&self, id: &str) -> Cascade {
        self.stand_in
            .server()
            .store
            .find(id)
            .unwrap()
            .state()
            .unwrap()
    }

    async fn close(self) {
        self.stage.close().await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Http,
    Https,
    Http2,
}

impl Way {
    /// How the reactive stream is spoken there.
    fn proto(self) -> &'static str {
        if self == Self::Http2 {
            "application/grpc"
        } else {
            "application/connect+proto"
        }
    }
}

/// The frames of a stream, read as they come.
struct Frames {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    broken: bool,
}

impl Frames {
    fn new(response: http::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body,
            bytes: Vec::new(),
            trailers: None,
            broken: false,
        }
    }

    /// The next frame: its flags, and its payload as it was before the coding.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(length) = self.bytes.get(1..5) {
                let end = 5 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.bytes.len() >= end {
                    let frame: Vec<u8> = self.bytes.drain(..end).collect();
                    return Some((frame[0], envelope::open(&frame).unwrap()));
                }
            }
            match timeout(PATIENCE, self.body.frame())
                .await
                .expect("something comes")
            {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.bytes.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(_)) => {
                    self.broken = true;
                    return None;
                }
                None => return None,
            }
        }
    }

    /// Reads to the end; what the end frame says, or the trailers.
    async fn end(&mut self) -> Value {
        while let Some((flags, payload)) = self.next().await {
            if flags & 2 != 0 {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
        let trailers = self
            .trailers
            .clone()
            .unwrap_or_else(|| self.headers.clone());
        json!({"grpc": trailers["grpc-status"].to_str().unwrap()})
    }
}

fn request(
    method: &str,
    kind: &str,
    body: impl Into<Bytes>,
    headers: HeaderMap,
) -> Request<Pieces> {
    let path = format!("https://localhost/exa.language_server_pb.LanguageServerService/{method}");
    let mut request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", kind);
    request.headers_mut().unwrap().extend(headers);
    request.body(Pieces::complete(body)).unwrap()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&[0][..], &(payload.len() as u32).to_be_bytes(), payload].concat()
}

/// What a client of `StreamAgentStateUpdates` knows.
#[derive(Debug, Default, PartialEq)]
struct Known {
    status: String,
    fully_idle: bool,
    main: BTreeMap<String, Vec<Value>>,
    subagents: BTreeMap<String, (String, BTreeMap<String, Vec<Value>>)>,
    /// Entries that were not told again.
    spared: usize,
}

impl Known {
    fn take(&mut self, frame: &[u8]) {
        let frame: Value = serde_json::from_slice(frame).unwrap();
        let update = &frame["update"];
        self.status = update["status"].as_str().unwrap().to_owned();
        self.fully_idle = update.get("fullyIdle").is_some();
        self.spared += replace(&mut self.main, &update["mainTrajectoryUpdate"]);
        for (id, update) in update["subtrajectoryUpdates"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let known = self.subagents.entry(id.clone()).or_default();
            update["status"].as_str().unwrap().clone_into(&mut known.0);
            replace(&mut known.1, update);
        }
    }
}

fn replace(lists: &mut BTreeMap<String, Vec<Value>>, update: &Value) -> usize {
    let mut spared = 0;
    for (kind, name) in [
        ("stepsUpdate", "steps"),
        ("generatorMetadatasUpdate", "generatorMetadatas"),
        ("executorMetadatasUpdate", "executorMetadatas"),
    ] {
        let Some(update) = update.get(kind) else {
            continue;
        };
        let (indices, entries) = (
            update["indices"].as_array().unwrap(),
            update[name].as_array().unwrap(),
        );
        assert_eq!(indices.len(), entries.len());
        let list = lists.entry(name.to_owned()).or_default();
        list.resize(
            update["totalLength"].as_u64().unwrap() as usize,
            Value::Null,
        );
        for (index, entry) in indices.iter().zip(entries) {
            list[index.as_u64().unwrap() as usize] = entry.clone();
        }
        spared += list.len() - entries.len();
    }
    spared
}

/// Every outcome, tools, subagents; a conversation each, which waits for a follower.
fn eventful() -> AgentOptions {
    AgentOptions {
        conversations: 3,
        rounds: Some(12),
        patience_ms: 60_000,
        abort_percent: 15,
        error_percent: 10,
        swallow_percent: 15,
        tool_percent: 50,
        subagent_percent: 50,
        ..AgentOptions::default()
    }
}

#[tokio::test]
async fn the_agent_state_stream_tells_every_run_and_the_whole_state() {
    let scene = Scene::set(AgentOptions::default()).await;
    let talking = scene.talk(eventful());
    let mut followers = Vec::new();
    for (id, (way, gzip)) in scene.cascades(3).await.into_iter().zip([
        (Way::Http, true),
        (Way::Https, false),
        (Way::Http2, true),
    ]) {
        let frames = scene.agent_state(way, &id, gzip).await;
        assert_eq!(
            (
                frames.status,
                frames.headers.contains_key("connect-content-encoding")
            ),
            (StatusCode::OK, gzip)
        );
        followers.push((id, frames));
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut readers = Vec::new();
    for (id, mut frames) in followers {
        readers.push(scene.stage.tracker.spawn(async move {
            let (mut known, mut runs) = (Known::default(), 0);
            while runs < 12 {
                let was = known.fully_idle;
                let (flags, payload) = frames.next().await.unwrap();
                assert_eq!(flags & 2, 0);
                known.take(&payload);
                runs += usize::from(known.fully_idle && !was && known.main.contains_key("steps"));
            }
            (id, known, runs)
        }));
    }
    let mut knowns = Vec::new();
    for reader in readers {
        let (id, known, runs) = reader.await.unwrap();
        seen.insert(id.clone(), runs);
        knowns.push((id, known));
    }
    let log = talking.await.unwrap().log;
    // Those with a conversation of their own, and those inside of steps.
    let mut seen_subagents = (0, 0);
    for (id, known) in knowns {
        assert_eq!(
            log.runs.iter().filter(|run| run.cascade == id).count(),
            seen[&id]
        );
        assert_eq!(known.status, RunStatus::Idle.name());
        let mut told = lists(&scene, &id).await;
        let inside = take_inside(&mut told);
        assert_eq!(told, known.main);
        let (_, all) = scene.ask("GetAllCascadeTrajectories", json!({})).await;
        let all = all["trajectorySummaries"].as_object().unwrap().clone();
        let mine = all
            .iter()
            .filter(|(_, one)| one["trajectoryMetadata"]["rootConversationId"] == id.as_str());
        let mut subagents = BTreeMap::new();
        for (sub, summary) in mine {
            let trajectory = summary["trajectoryId"].as_str().unwrap().to_owned();
            subagents.insert(
                trajectory,
                (
                    summary["status"].as_str().unwrap().to_owned(),
                    lists(&scene, sub).await,
                ),
            );
        }
        assert!(known.spared > 0);
        seen_subagents = (
            seen_subagents.0 + subagents.len(),
            seen_subagents.1 + inside.len(),
        );
        subagents.extend(inside);
        assert_eq!(subagents, known.subagents);
    }
    assert!(
        seen_subagents.0 > 0 && seen_subagents.1 > 0,
        "{seen_subagents:?}"
    );
    assert!(
        [RunEnd::Ok, RunEnd::Canceled, RunEnd::Swallowed]
            .iter()
            .all(|end| log.runs.iter().any(|run| run.outcome == *end))
    );
    scene.close().await;
}

/// Takes the trajectories of subagents out of the steps that hold them: by their ids, with their
/// status.
fn take_inside(
    told: &mut BTreeMap<String, Vec<Value>>,
) -> BTreeMap<String, (String, BTreeMap<String, Vec<Value>>)> {
    let steps = told.get_mut("steps").unwrap().iter_mut();
    let inside = steps
        .filter_map(|step| step.as_object_mut().unwrap().remove("subtrajectory"))
        .map(|trajectory| {
            let list = |name: &str| trajectory[name].as_array().unwrap().clone();
            let lists = [
                ("steps", list("steps")),
                ("generatorMetadatas", list("generatorMetadata")),
                ("executorMetadatas", list("executorMetadatas")),
            ];
            let lists = lists.map(|(name, list)| (name.to_owned(), list)).into();
            (
                trajectory["trajectoryId"].as_str().unwrap().to_owned(),
                (RunStatus::Idle.name().to_owned(), lists),
            )
        });
    inside.collect()
}

/// The lists of a conversation, as one asks for them.
async fn lists(scene: &Scene, id: &str) -> BTreeMap<String, Vec<Value>> {
    let (_, steps) = scene
        .ask("GetCascadeTrajectorySteps", json!({"cascadeId": id}))
        .await;
    let (_, calls) = scene
        .ask(
            "GetCascadeTrajectoryGeneratorMetadata",
            json!({"cascadeId": id}),
        )
        .await;
    let (_, whole) = scene
        .ask("GetCascadeTrajectory", json!({"cascadeId": id}))
        .await;
    let list = |value: &Value| value.as_array().unwrap().clone();
    assert_eq!(whole["trajectory"]["steps"], steps["steps"]);
    assert_eq!(
        whole["numTotalSteps"].as_u64(),
        Some(list(&steps["steps"]).len() as u64)
    );
    [
        ("steps", list(&steps["steps"])),
        ("generatorMetadatas", list(&calls["generatorMetadata"])),
        (
            "executorMetadatas",
            list(&whole["trajectory"]["executorMetadatas"]),
        ),
    ]
    .map(|(name, list)| (name.to_owned(), list))
    .into()
}

#[tokio::test]
async fn each_reactive_stream_tells_one_run_and_ends() {
    let scene = Scene::set(AgentOptions::default()).await;
    let talking = scene.talk(AgentOptions {
        rounds: Some(4),
        ..eventful()
    });
    for (id, way) in scene
        .cascades(3)
        .await
        .into_iter()
        .zip([Way::Http, Way::Https, Way::Http2])
    {
        let mut state = Message::default();
        for run in 1..=4 {
            state = Message::default();
            let mut frames = scene.reactive(way, &id).await;
            let content_type = frames.headers["content-type"].to_str().unwrap();
            assert_eq!((frames.status, content_type), (StatusCode::OK, way.proto()));
            let end = differences(&mut frames, &mut state).await;
            assert_eq!(
                end,
                if way == Way::Http2 {
                    json!({"grpc": "0"})
                } else {
                    json!({})
                }
            );
            assert_eq!(
                scene
                    .stand_in
                    .log()
                    .runs
                    .iter()
                    .filter(|entry| entry.cascade == id)
                    .count(),
                run
            );
        }
        assert_eq!(state, tree::state(&scene.state(&id)));
    }
    assert_eq!(talking.await.unwrap().log.runs.len(), 12);
    scene.close().await;
}

/// Applies what comes; what the end says.
async fn differences(frames: &mut Frames, state: &mut Message) -> Value {
    let mut version = 0;
    while let Some((flags, payload)) = frames.next().await {
        if flags & 2 != 0 {
            return serde_json::from_slice(&payload).unwrap();
        }
        let response = wire::StreamResponse::decode(&payload[..]).unwrap();
        version += 1;
        assert_eq!(response.version, version);
        apply(state, &response.diff.unwrap());
    }
    assert!(version > 1 && !frames.broken);
    frames.end().await
}

#[tokio::test]
async fn polling_can_start_anywhere_and_ids_can_be_unknown() {
    let scene = Scene::set(AgentOptions::default()).await;
    scene
        .talk(AgentOptions {
            conversations: 1,
            rounds: Some(3),
            patience_ms: 0,
            ..eventful()
        })
        .await
        .unwrap();
    let id = scene.cascades(1).await.remove(0);
    let (_, all) = scene
        .ask("GetCascadeTrajectorySteps", json!({"cascadeId": id}))
        .await;
    let mut headers = HeaderMap::new();
    headers.insert("accept-encoding", "gzip".parse().unwrap());
    for (way, offset) in [
        (Way::Http, json!(2)),
        (Way::Https, json!("2")),
        (Way::Http2, json!(2)),
    ] {
        let asked = json!({"cascadeId": id, "stepOffset": offset});
        let (status, later) = scene
            .ask_by(way, "GetCascadeTrajectorySteps", asked, headers.clone())
            .await;
        assert_eq!(
            (status, &later["steps"].as_array().unwrap()[..]),
            (StatusCode::OK, &all["steps"].as_array().unwrap()[2..])
        );
    }
    assert_eq!(
        scene
            .ask(
                "GetCascadeTrajectorySteps",
                json!({"cascadeId": id, "stepOffset": 999})
            )
            .await
            .1,
        json!({})
    );
    assert_eq!(
        scene.ask("LoadTrajectory", json!({"cascadeId": id})).await,
        (StatusCode::OK, json!({}))
    );
    let missing = json!({"code": "not_found", "message": "trajectory not found"});
    assert_eq!(
        scene.ask("LoadTrajectory", json!({"cascadeId": "x"})).await,
        (StatusCode::NOT_FOUND, missing.clone())
    );
    assert_eq!(
        scene.agent_state(Way::Http, "x", false).await.end().await,
        json!({"error": missing})
    );
    assert_eq!(
        scene.reactive(Way::Http2, "x").await.end().await,
        json!({"grpc": "5"})
    );
    let (status, unknown) = scene.ask("StartCascade", json!({})).await;
    assert_eq!(
        (status, &unknown["code"]),
        (StatusCode::NOT_FOUND, &json!("unimplemented"))
    );
    for method in [
        "GetUserStatus",
        "RetrieveUserQuotaSummary",
        "GetAvailableModels",
    ] {
        let (status, answer) = scene.ask(method, json!({})).await;
        assert!(
            status.is_success() && answer.to_string().contains("remainingFraction"),
            "{answer}"
        );
    }
    let log = scene
        .send(
            Way::Http,
            Request::get("/demo/log")
                .header("host", "x")
                .body(Pieces::complete(""))
                .unwrap(),
        )
        .await;
    let log: crate::demo::agent::Log =
        serde_json::from_slice(&log.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((log.runs.len(), log == scene.stand_in.log()), (3, true));
    scene.close().await;
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let scene = Scene::set(AgentOptions {
        csrf_token: "secret".to_owned(),
        ..AgentOptions::default()
    })
    .await;
    let missing = json!({"code": "unauthenticated", "message": "missing CSRF token"});
    assert_eq!(
        scene.ask("Heartbeat", json!({})).await,
        (StatusCode::UNAUTHORIZED, missing.clone())
    );
    let mut refused = scene.agent_state(Way::Http, "x", false).await;
    assert_eq!(
        (refused.status, refused.end().await),
        (StatusCode::OK, json!({"error": missing}))
    );
    let refused = scene.reactive(Way::Http2, "x").await;
    assert_eq!(
        (
            &refused.headers["grpc-status"],
            &refused.headers["grpc-message"]
        ),
        (
            &"16".parse().unwrap(),
            &"missing CSRF token".parse().unwrap()
        )
    );
    let mut headers = HeaderMap::new();
    headers.insert("x-codeium-csrf-token", "secret".parse().unwrap());
    assert_eq!(
        scene
            .ask_by(Way::Https, "Heartbeat", json!({}), headers)
            .await,
        (StatusCode::OK, json!({}))
    );
    scene.close().await;
}

#[tokio::test]
async fn streams_can_be_switched_off_and_cut() {
    let scene = Scene::set(AgentOptions::default()).await;
    let talking = scene.talk(AgentOptions {
        conversations: 1,
        rounds: Some(0),
        ..eventful()
    });
    let id = scene.cascades(1).await.remove(0);
    talking.await.unwrap();

    for way in [Way::Http, Way::Http2] {
        let (mut states, mut differences) = (
            scene.agent_state(way, &id, false).await,
            scene.reactive(way, &id).await,
        );
        assert!(states.next().await.is_some() && differences.next().await.is_some());
        scene.control("/demo/cut", json!({})).await;
        for frames in [&mut states, &mut differences] {
            assert_eq!(frames.next().await, None);
            assert!(
                frames.broken && !frames.bytes.is_empty(),
                "the end is in the middle of a frame"
            );
        }

        let (mut states, mut differences) = (
            scene.agent_state(way, &id, false).await,
            scene.reactive(way, &id).await,
        );
        assert!(states.next().await.is_some() && differences.next().await.is_some());
        scene
            .control(
                "/demo/streams",
                json!({"agent_state": false, "reactive": false}),
            )
            .await;
        assert_eq!(states.end().await["error"]["code"], "unimplemented");
        let disabled = |end: Value| match way {
            Way::Http2 => assert_eq!(end, json!({"grpc": "2"})),
            _ => assert_eq!(
                end["error"],
                json!({"code": "unknown", "message": "reactive state is disabled"})
            ),
        };
        disabled(differences.end().await);
        disabled(scene.reactive(way, &id).await.end().await);
        assert_eq!(
            scene.agent_state(way, &id, false).await.status,
            StatusCode::NOT_FOUND
        );
        scene
            .stand_in
            .set_offered_streams(OfferedStreams::default());
        assert!(
            scene
                .agent_state(way, &id, false)
                .await
                .next()
                .await
                .is_some()
        );
    }
    scene.close().await;
}

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
