//! A language server in small whose every trouble is the test's own, and a Gravimeter that follows it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::dispatcher::DefaultGuard;

use crate::cascade::client::{Endpoint, Token};
use crate::cascade::correlate::Correlator;
use crate::cascade::follow::{Config, keep_time, run};
use crate::cascade::proto::reactive_component_pb::field_diff::Diff;
use crate::cascade::proto::reactive_component_pb::singular_value::Value as Scalar;
use crate::cascade::proto::reactive_component_pb::{
    FieldDiff, MessageDiff, RepeatedDiff, SingularValue, StreamReactiveUpdatesResponse,
};
use crate::record::{CascadeRun, Fact, FollowFailure, Record, RunOutcome, UpdateSource};

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Works,
    /// It is not implemented, or switched off; open streams end so.
    Missing,
    /// No answer comes.
    Hangs,
    /// What comes cannot be read, or does not apply.
    Garbage,
    /// What comes stops in the middle.
    Cut,
}

/// All that the language server is and does.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) token: &'static str,
    pub(super) list: Way,
    pub(super) steps: Way,
    pub(super) agent_state: Way,
    pub(super) reactive: Way,
    pub(super) quotas: Way,
    /// Conversations whose streams are always cut.
    pub(super) cut: BTreeSet<&'static str>,
    pub(super) cascades: BTreeMap<&'static str, Cascade>,
    /// Bytes of text in each frame that nobody reads.
    pub(super) ballast: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cascade {
    runs: bool,
    /// A subagent works, which only the list shows.
    has_subagent: bool,
    messages: Vec<SystemTime>,
    /// When it last changed, where the list tells.
    modified: Option<SystemTime>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            token: "",
            list: Way::Works,
            steps: Way::Works,
            agent_state: Way::Works,
            reactive: Way::Works,
            quotas: Way::Works,
            cut: BTreeSet::new(),
            cascades: BTreeMap::new(),
            ballast: 0,
        }
    }
}

impl Script {
    /// The user writes, by a clock that may be ahead.
    pub(super) fn begin(&mut self, cascade: &'static str, ahead: Duration) {
        let cascade = self.cascades.entry(cascade).or_insert(Cascade::new());
        cascade.runs = true;
        cascade.messages.push(SystemTime::now() + ahead);
    }

    /// The agent lists a conversation that was over long ago.
    pub(super) fn list_old(&mut self, cascade: &'static str, is_dated: bool) {
        let at = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
        let modified = is_dated.then_some(at);
        self.cascades.insert(
            cascade,
            Cascade {
                messages: vec![at],
                modified,
                ..Cascade::new()
            },
        );
    }

    /// A subagent works on when the agent itself is idle, or does so no more.
    pub(super) fn set_subagent(&mut self, cascade: &'static str, works: bool) {
        self.cascades.get_mut(cascade).unwrap().has_subagent = works;
    }

    /// The agent answers and is idle.
    pub(super) fn end(&mut self, cascade: &'static str) {
        self.cascades.get_mut(cascade).unwrap().runs = false;
    }
}

impl Cascade {
    fn new() -> Self {
        Self {
            runs: false,
            has_subagent: false,
            messages: Vec::new(),
            modified: None,
        }
    }

    fn status(&self) -> &'static str {
        if self.runs {
            "CASCADE_RUN_STATUS_RUNNING"
        } else {
            "CASCADE_RUN_STATUS_IDLE"
        }
    }

    /// A message and its answer for each run; the last answer may be on its way.
    fn steps(&self) -> Vec<Value> {
        let last = self.messages.len() - 1;
        let run = |(number, at): (usize, &SystemTime)| {
            let at = jiff::Timestamp::try_from(*at).unwrap().to_string();
            let done = number < last || !self.runs;
            let status = if done {
                "CORTEX_STEP_STATUS_DONE"
            } else {
                "CORTEX_STEP_STATUS_GENERATING"
            };
            [
                json!({"type": "CORTEX_STEP_TYPE_USER_INPUT", "status": "CORTEX_STEP_STATUS_DONE",
                       "metadata": {"createdAt": at, "completedAt": at}}),
                json!({"type": "CORTEX_STEP_TYPE_PLANNER_RESPONSE", "status": status,
                       "plannerResponse": {"response": "text"}, "metadata": {"createdAt": at}}),
            ]
        };
        self.messages.iter().enumerate().flat_map(run).collect()
    }

    fn summary(&self, id: &str) -> Value {
        let modified = self
            .modified
            .map(|at| jiff::Timestamp::try_from(at).unwrap().to_string());
        json!({
            "status": self.status(), "stepCount": self.steps().len(), "trajectoryId": format!("t-{id}"),
            "notFullyIdle": self.has_subagent, "lastModifiedTime": modified,
        })
    }

    fn state(&self, id: &str, ballast: usize) -> Value {
        json!({"update": {
            "weather": "x".repeat(ballast),
            "conversationId": id, "trajectoryId": format!("t-{id}"), "status": self.status(), "fullyIdle": !self.runs,
            "mainTrajectoryUpdate": {"stepsUpdate": {
                "indices": (0..self.steps().len()).collect::<Vec<_>>(), "steps": self.steps(),
                "totalLength": self.steps().len(),
            }},
        }})
    }

    /// As a difference to nothing; numbers as in `reactive/interest.rs`.
    fn difference(&self, id: &str) -> StreamReactiveUpdatesResponse {
        let last = self.messages.len() - 1;
        let step = |(number, at): (usize, &SystemTime)| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let time = message(vec![
                (
                    1,
                    one(Scalar::Int64Value(since.as_secs().try_into().unwrap())),
                ),
                (
                    2,
                    one(Scalar::Int32Value(since.subsec_nanos().try_into().unwrap())),
                ),
            ]);
            let choice = |number| one(Scalar::EnumValue(number));
            let metadata = || one(message(vec![(1, one(time.clone()))]));
            let status = if number < last || !self.runs { 3 } else { 8 };
            let text = one(message(vec![(
                1,
                one(Scalar::StringValue("text".to_owned())),
            )]));
            [
                message(vec![(1, choice(14)), (4, choice(3)), (5, metadata())]),
                message(vec![
                    (1, choice(15)),
                    (4, choice(status)),
                    (5, metadata()),
                    (20, text),
                ]),
            ]
        };
        let steps: Vec<_> = self.messages.iter().enumerate().flat_map(step).collect();
        let length = u32::try_from(steps.len()).unwrap();
        let steps = Diff::UpdateRepeated(RepeatedDiff {
            new_length: length,
            update_values: steps
                .into_iter()
                .map(|step| SingularValue { value: Some(step) })
                .collect(),
            update_indices: (0..length).collect(),
        });
        let trajectory = message(vec![
            (1, one(Scalar::StringValue(format!("t-{id}")))),
            (2, steps),
        ]);
        let status = if self.runs { 2 } else { 1 };
        difference(vec![
            (1, one(Scalar::StringValue(id.to_owned()))),
            (2, one(trajectory)),
            (3, one(Scalar::EnumValue(status))),
        ])
    }
}

fn one(value: Scalar) -> Diff {
    Diff::UpdateSingular(SingularValue { value: Some(value) })
}

fn fields(fields: Vec<(u32, Diff)>) -> MessageDiff {
    let field = |(field_number, diff)| FieldDiff {
        field_number,
        diff: Some(diff),
    };
    MessageDiff {
        field_diffs: fields.into_iter().map(field).collect(),
    }
}

fn message(of: Vec<(u32, Diff)>) -> Scalar {
    Scalar::MessageValue(fields(of))
}

fn difference(of: Vec<(u32, Diff)>) -> StreamReactiveUpdatesResponse {
    StreamReactiveUpdatesResponse {
        version: 1,
        diff: Some(fields(of)),
    }
}

/// A language server that listens until it is dropped.
pub(super) struct Fake {
    pub(super) addr: SocketAddr,
    script: watch::Sender<Script>,
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
    _stop: DropGuard,
}

impl Fake {
    pub(super) async fn start(script: Script) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    pub(super) async fn at(addr: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (script, asked, end) = (
            watch::Sender::new(script),
            Arc::default(),
            CancellationToken::new(),
        );
        let world = World {
            script: script.clone(),
            asked: Arc::clone(&asked),
            end: end.clone(),
        };
        TaskTracker::new().spawn(
            end.clone()
                .run_until_cancelled_owned(accept(listener, world)),
        );
        Self {
            addr,
            script,
            asked,
            _stop: end.drop_guard(),
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Script)) {
        self.script.send_modify(change);
    }

    /// How often a method was called.
    pub(super) fn asked(&self, method: &str) -> u32 {
        self.asked
            .lock()
            .unwrap()
            .get(method)
            .copied()
            .unwrap_or_default()
    }

    /// An endpoint that shows `token`.
    pub(super) fn endpoint(&self, token: &str) -> Endpoint {
        Endpoint::new(Some(self.addr), None, Token::new(token)).unwrap()
    }
}

#[derive(Clone)]
struct World {
    script: watch::Sender<Script>,
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
    end: CancellationToken,
}

async fn accept(listener: TcpListener, world: World) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let of_connection = world.clone();
        let service = service_fn(move |request| {
            let world = of_connection.clone();
            async move { Ok::<_, Infallible>(answer(world, request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
        TaskTracker::new().spawn(world.end.clone().run_until_cancelled_owned(async {
            let _ = connection.await;
        }));
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(world: World, request: Request<Incoming>) -> Response<Body> {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    *world
        .asked
        .lock()
        .unwrap()
        .entry(method.clone())
        .or_default() += 1;
    let script = world.script.borrow().clone();
    let shown = request
        .headers()
        .get("x-codeium-csrf-token")
        .map_or("", |token| token.to_str().unwrap())
        .to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if shown != script.token {
        return refusal(401, "unauthenticated", "missing CSRF token");
    }
    match method.as_str() {
        "StreamAgentStateUpdates" => {
            let asked: Value = serde_json::from_slice(&body[5..]).unwrap();
            stream(
                world,
                Stream::AgentState,
                asked["conversationId"].as_str().unwrap(),
            )
        }
        "StreamCascadeReactiveUpdates" => {
            use crate::cascade::proto::reactive_component_pb::StreamReactiveUpdatesRequest as Asked;
            stream(
                world,
                Stream::Reactive,
                &Asked::decode(&body[5..]).unwrap().id,
            )
        }
        _ => unary(&script, &method, &serde_json::from_slice(&body).unwrap()).await,
    }
}

async fn unary(script: &Script, method: &str, asked: &Value) -> Response<Body> {
    let (way, content) = match method {
        "GetAllCascadeTrajectories" => {
            let all: serde_json::Map<_, _> = script
                .cascades
                .iter()
                .map(|(id, cascade)| ((*id).to_owned(), cascade.summary(id)))
                .collect();
            (script.list, json!({"trajectorySummaries": all}))
        }
        "GetCascadeTrajectorySteps" => {
            let id = asked["cascadeId"].as_str().unwrap();
            let Some(cascade) = script.cascades.get(id) else {
                return refusal(404, "not_found", "trajectory not found");
            };
            let offset = usize::try_from(asked["stepOffset"].as_u64().unwrap()).unwrap();
            (
                script.steps,
                json!({"steps": cascade.steps().get(offset..).unwrap_or_default()}),
            )
        }
        "GetAvailableModels" | "GetUserStatus" | "RetrieveUserQuotaSummary" => {
            (script.quotas, json!({}))
        }
        _ => (Way::Works, json!({})),
    };
    let content = content.to_string();
    let body = match way {
        Way::Works => content,
        Way::Missing => return refusal(404, "unimplemented", "no such method"),
        Way::Hangs => std::future::pending().await,
        Way::Garbage => format!("{content}{{"),
        Way::Cut => content[..content.len() - 1].to_owned(),
    };
    Response::builder()
        .header("content-type", "application/json")
        .body(whole(body))
        .unwrap()
}

fn refusal(status: u16, code: &str, message: &str) -> Response<Body> {
    let body = json!({"code": code, "message": message}).to_string();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(whole(body))
        .unwrap()
}

fn whole(body: String) -> Body {
    Full::new(Bytes::from(body)).boxed_unsync()
}

#[derive(Clone, Copy)]
enum Stream {
    AgentState,
    Reactive,
}

impl Stream {
    fn way(self, script: &Script) -> Way {
        match self {
            Self::AgentState => script.agent_state,
            Self::Reactive => script.reactive,
        }
    }

    fn refusal(self) -> (&'static str, &'static str) {
        match self {
            Self::AgentState => ("unimplemented", "no such method"),
            Self::Reactive => ("unknown", "reactive state is disabled"),
        }
    }

    fn frame(self, id: &str, cascade: &Cascade, script: &Script) -> Vec<u8> {
        let message = match (self, self.way(script)) {
            (Self::AgentState, Way::Garbage) => b"{\"update\": [}".to_vec(),
            (Self::AgentState, _) => cascade.state(id, script.ballast).to_string().into_bytes(),
            // The steps of a trajectory become a text.
            (Self::Reactive, Way::Garbage) => {
                let text = one(Scalar::StringValue("steps".to_owned()));
                difference(vec![(2, one(message(vec![(2, text)])))]).encode_to_vec()
            }
            (Self::Reactive, _) => cascade.difference(id).encode_to_vec(),
        };
        enveloped(0, &message)
    }
}

fn enveloped(flags: u8, message: &[u8]) -> Vec<u8> {
    [
        &[flags],
        u32::try_from(message.len())
            .unwrap()
            .to_be_bytes()
            .as_slice(),
        message,
    ]
    .concat()
}

/// A stream that tells of each state of a conversation, until its way changes or the conversation
/// is deleted.
fn stream(world: World, kind: Stream, id: &str) -> Response<Body> {
    let (code, message) = kind.refusal();
    if kind.way(&world.script.borrow()) == Way::Missing {
        return refusal(404, code, message);
    }
    let content_type = match kind {
        Stream::AgentState => "application/connect+json",
        Stream::Reactive => "application/connect+proto",
    };
    let last = |code: &str, message: &str| {
        let error = json!({"error": {"code": code, "message": message}}).to_string();
        Some((Ok(Frame::data(enveloped(2, error.as_bytes()).into())), None))
    };
    let from = (world.script.subscribe(), None::<Cascade>);
    let states = stream::unfold(Some((from, id.to_owned())), move |before| async move {
        let ((mut script, mut told), id) = before?;
        loop {
            let now = script.borrow_and_update().clone();
            match (kind.way(&now), now.cascades.get(id.as_str())) {
                (Way::Missing, _) => return last(code, message),
                (_, None) => return last("not_found", "trajectory not found"),
                (way, Some(cascade)) if way == Way::Cut || now.cut.contains(id.as_str()) => {
                    let frame = kind.frame(&id, cascade, &now);
                    let half = Bytes::from(frame).slice(..20);
                    return Some((Ok(Frame::data(half)), None));
                }
                (way, Some(cascade)) if way != Way::Hangs && told.as_ref() != Some(cascade) => {
                    let frame = kind.frame(&id, cascade, &now);
                    told = Some(cascade.clone());
                    return Some((Ok(Frame::data(frame.into())), Some(((script, told), id))));
                }
                _ => {}
            }
            if script.changed().await.is_err() {
                return None;
            }
        }
    });
    Response::builder()
        .header("content-type", content_type)
        .body(StreamBody::new(states).boxed_unsync())
        .unwrap()
}

/// A follower of the endpoints that the test announces.
pub(super) struct Follower {
    pub(super) endpoints: watch::Sender<Option<Endpoint>>,
    pub(super) tasks: TaskTracker,
    facts: Arc<Facts>,
    warnings: Arc<Mutex<Vec<u8>>>,
    stopping: CancellationToken,
    time: CancellationToken,
    followed: JoinHandle<()>,
    _log: DefaultGuard,
}

#[derive(Default)]
struct Facts(Mutex<Vec<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
}

/// Intervals that make tests short; only what a test asks for is tried again.
pub(super) fn brisk() -> Config {
    let never = Duration::from_secs(3600);
    Config {
        poll_interval: Duration::from_millis(10),
        idle_interval: Duration::from_millis(40),
        retry_upward: never,
        quota_interval: never,
        max_streams: 64,
    }
}

impl Follower {
    pub(super) fn start(endpoint: Option<Endpoint>) -> Self {
        Self::with(brisk(), endpoint)
    }

    /// Everything runs on the test's own thread, so that its subscriber hears all of it.
    pub(super) fn with(config: Config, endpoint: Option<Endpoint>) -> Self {
        let warnings = Arc::new(Mutex::default());
        let written = Arc::clone(&warnings);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || Lines(Arc::clone(&written)))
            .finish();
        let log = tracing::subscriber::set_default(subscriber);
        let (endpoints, named) = watch::channel(endpoint);
        let facts = Arc::new(Facts::default());
        let correlator = Arc::new(Correlator::new(facts.clone()));
        let (tasks, stopping, time) = (
            TaskTracker::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let gravimeter = TaskTracker::new();
        gravimeter.spawn(keep_time(Arc::clone(&correlator), time.clone()));
        let followed = gravimeter.spawn(run(
            config,
            named,
            correlator,
            tasks.clone(),
            stopping.clone(),
        ));
        Self {
            endpoints,
            tasks,
            facts,
            warnings,
            stopping,
            time,
            followed,
            _log: log,
        }
    }

    pub(super) fn failures(&self, reason: FollowFailure) -> usize {
        self.count(|fact| *fact == Fact::FollowFailed(reason))
    }

    pub(super) fn updates(&self, source: UpdateSource) -> usize {
        self.count(|fact| *fact == Fact::CascadeUpdated(source))
    }

    pub(super) fn started(&self) -> usize {
        self.count(|fact| matches!(fact, Fact::RunStarted(_)))
    }

    /// The runs that have ended, in that order.
    pub(super) fn ended(&self) -> Vec<CascadeRun> {
        let run = |fact: &Fact| match fact {
            Fact::RunEnded(run) => Some((**run).clone()),
            _ => None,
        };
        self.facts
            .0
            .lock()
            .unwrap()
            .iter()
            .filter_map(run)
            .collect()
    }

    pub(super) fn outcomes(&self) -> Vec<(String, RunOutcome)> {
        self.ended()
            .into_iter()
            .map(|run| (run.cascade.to_string(), run.outcome))
            .collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        String::from_utf8(self.warnings.lock().unwrap().clone())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn count(&self, is: impl Fn(&Fact) -> bool) -> usize {
        self.facts
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|fact| is(fact))
            .count()
    }

    /// Ends it, and with it every connection.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        soon(self.followed).await.unwrap();
        self.time.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fails a test that hangs.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("done long before")
}

/// Waits until something holds.
pub(super) async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
