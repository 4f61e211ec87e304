use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::calls::MAX_RECENT;
use super::*;
use crate::cascade::telling::{generation, id, idle, running};
use crate::cascade::update::{AgentUsage, Generation, Step};
use crate::record::{
    Call, CallIds, CascadeRun, Correlated, Correlation, CorrelationMethod, Host, Label as _, Model, Operation, Outcome,
    Provider, Quality, RunOutcome, StepEnded, StepKind, StepStatus, Timing, TokenUsage, TraceContext, TraceParent,
};

/// The state, told at times in seconds since the agent began to be followed.
struct Told {
    state: State,
    zero: Moment,
    facts: Vec<Fact>,
}

impl Told {
    /// Nobody is followed.
    fn alone() -> Self {
        let zero = Moment { at: Instant::now() + Duration::from_secs(200_000), wall: wall(0.0) };
        Self { state: State::default(), zero, facts: Vec::new() }
    }

    fn following() -> Self {
        let mut told = Self::alone();
        told.state.follow(told.zero.wall);
        told
    }

    fn at(&self, seconds: f64) -> Moment {
        let since = Duration::from_secs_f64(seconds);
        Moment { at: self.zero.at + since, wall: self.zero.wall + since }
    }

    /// As the correlator takes a call. Returns the call as it was handed on, and whether the agent should be asked.
    fn call(&mut self, seconds: f64, mut call: Call) -> (Correlation, bool) {
        call.timing.started_at = self.at(seconds).wall - call.timing.duration;
        self.late_call(seconds, call)
    }

    /// A call that is stated a while after its end.
    fn late_call(&mut self, seconds: f64, mut call: Call) -> (Correlation, bool) {
        let (is_open, stated) = self.state.correlate(&mut call, self.at(seconds));
        self.facts.extend(stated);
        let facts = self.state.take(&call, self.at(seconds));
        self.facts.extend(facts);
        (call.correlation, is_open)
    }

    /// Where the span of a call stands when the call is handed on.
    fn placed(&mut self, seconds: f64, mut call: Call) -> Option<TraceContext> {
        let (_, stated) = self.state.correlate(&mut call, self.at(seconds));
        self.facts.extend(stated);
        let facts = self.state.take(&call, self.at(seconds));
        self.facts.extend(facts);
        call.trace
    }

    /// The places that were told later, since the last time.
    fn placed_later(&mut self) -> Vec<(u64, TraceContext)> {
        let later = std::mem::take(&mut self.facts).into_iter().filter_map(|fact| match fact {
            Fact::CallTraced { call, trace } => Some((call, trace)),
            _ => None,
        });
        later.collect()
    }

    fn summary(&mut self, seconds: f64, summaries: &[Summary]) {
        let facts = self.state.summaries(summaries, self.at(seconds));
        self.facts.extend(facts);
    }

    fn join(&mut self, seconds: f64, ids: &JoinedIds) {
        let facts = self.state.join(ids, self.at(seconds));
        self.facts.extend(facts);
    }

    fn update_from(&mut self, source: UpdateSource, seconds: f64, cascade: &str, update: &Update) {
        let facts = self.state.update(&id(cascade), update, source, self.at(seconds));
        self.facts.extend(facts);
    }

    fn update(&mut self, seconds: f64, cascade: &str, update: &Update) {
        self.update_from(UpdateSource::AgentState, seconds, cascade, update);
    }

    fn tick(&mut self, seconds: f64) {
        let facts = self.state.tick(self.at(seconds));
        self.facts.extend(facts);
    }

    fn delete(&mut self, seconds: f64, cascade: &str) {
        let facts = self.state.delete(&id(cascade), self.at(seconds));
        self.facts.extend(facts);
    }

    fn unfollow(&mut self, seconds: f64) {
        let facts = self.state.unfollow(self.at(seconds));
        self.facts.extend(facts);
    }

    /// Everything that was stated since the last time, in words; what came from the traffic is left out.
    fn said(&mut self) -> Vec<String> {
        let zero = self.zero.wall;
        let seconds = |at: SystemTime| at.duration_since(zero).map_or(-1.0, |since| since.as_secs_f64());
        let said = std::mem::take(&mut self.facts).into_iter().filter_map(|fact| match fact {
            Fact::Correlated(Correlated { call, correlation: Correlation { cascade, method } }) => {
                Some(format!("{call} is {} by {method}", cascade.unwrap()))
            }
            Fact::CorrelationSettled(method) => Some(format!("settled {method}")),
            Fact::RunStarted(run) => Some(format!("{} starts at {}", run.cascade, seconds(run.started_at))),
            Fact::RunEnded(run) => Some(format!(
                "{} {} after {}s: {} calls, {} tokens of {}",
                run.cascade,
                run.outcome,
                run.duration.as_secs_f64(),
                run.calls,
                run.tokens,
                run.model
            )),
            Fact::StepEnded(StepEnded { cascade, step, .. }) => Some(format!("{cascade} {step}")),
            Fact::UsageCompared(comparison) => Some(comparison.as_str().to_owned()),
            _ => None,
        });
        said.collect()
    }

    /// The runs that ended since the last time.
    fn ended(&mut self) -> Vec<CascadeRun> {
        let ended = std::mem::take(&mut self.facts).into_iter().filter_map(|fact| match fact {
            Fact::RunEnded(run) => Some(*run),
            _ => None,
        });
        ended.collect()
    }
}

fn wall(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_000_000.0 + seconds)
}

/// A call that lasted a second, with its first chunk after half of it, of 7 tokens.
fn call(number: u64, ids: CallIds, method: CorrelationMethod) -> Call {
    Call {
        number,
        provider: Provider::CloudCode,
        host: Host::parse("cloudcode-pa.googleapis.com").unwrap(),
        operation: Operation::Chat,
        model: Model::from_wire(&format!("m{number}")),
        served_model: None,
        outcome: Outcome::Ok,
        status: Some(200),
        streamed: true,
        finish_reason: None,
        rate_limit: None,
        usage: TokenUsage { input: Some(5), output: Some(2), ..TokenUsage::default() },
        quality: Quality::Unknown,
        cost: None,
        timing: Timing {
            started_at: wall(0.0),
            duration: Duration::from_secs(1),
            time_to_first_chunk: Some(Duration::from_millis(500)),
            content_duration: None,
        },
        ids,
        correlation: Correlation { cascade: None, method },
        port: 443,
        parent: None,
        trace: None,
        setup: None,
    }
}

/// A call that names conversation and trajectory.
fn named(number: u64, conversation: &str, trajectory: &str) -> Call {
    let ids = CallIds { conversation: Some(id(conversation)), trajectory: Some(id(trajectory)), ..CallIds::default() };
    call(number, ids, CorrelationMethod::RequestId)
}

/// A call that names its trajectory only.
fn labelled(number: u64, trajectory: &str) -> Call {
    let ids = CallIds { labelled_trajectory: Some(id(trajectory)), ..CallIds::default() };
    call(number, ids, CorrelationMethod::Labels)
}

/// A call that names no conversation, but a session and a trace.
fn nameless(number: u64, session: &str, trace: &str) -> Call {
    let ids = CallIds { session: Some(id(session)), provider_trace: Some(id(trace)), ..CallIds::default() };
    call(number, ids, CorrelationMethod::None)
}

fn of(operation: Operation, call: Call) -> Call {
    Call { operation, ..call }
}

fn summary(cascade: &str, trajectory: &str, root: Option<&str>) -> Summary {
    Summary {
        cascade: id(cascade),
        trajectory: Some(id(trajectory)),
        status: None,
        step_count: None,
        last_modified: None,
        last_user_input: None,
        root: root.map(id),
        has_active_children: false,
        not_fully_idle: false,
    }
}

fn input(seconds: f64) -> Step {
    let created_at = Some(wall(seconds));
    Step { kind: StepKind::UserInput, status: StepStatus::Done, created_at, ..Step::default() }
}

fn answer() -> Step {
    Step { kind: StepKind::PlannerResponse, status: StepStatus::Done, has_text: true, ..Step::default() }
}

/// A call to a model, with the model that answered.
fn served(name: &str) -> Generation {
    Generation { served_model: Some(Model::from_wire("served")), ..generation(name) }
}

#[test]
fn without_an_agent_the_wires_word_counts_at_once() {
    let mut told = Told::alone();
    let (correlation, is_open) = told.call(1.0, named(1, "c", "t"));
    assert_eq!(correlation.cascade, Some(id("c")));
    assert!(!is_open && !told.call(1.0, labelled(2, "t")).1 && !told.call(1.0, nameless(3, "s", "x")).1);
    assert_eq!(told.said(), ["settled request_id", "settled labels"]);
    told.update(2.0, "c", &running());
    told.tick(30.9);
    assert_eq!(told.said(), [""; 0]);
    told.tick(31.0);
    assert_eq!(told.said(), ["settled none"]);
    told.tick(1000.0);
    assert_eq!(told.said(), [""; 0]);
}

#[test]
fn with_an_agent_the_wires_word_waits_for_its_confirmation() {
    let mut told = Told::following();
    let (correlation, is_open) = told.call(1.0, named(1, "agent-7", "t"));
    assert_eq!((correlation.cascade, is_open), (None, true));
    told.call(1.0, named(2, "agent-8", "u"));
    assert_eq!(told.said(), ["settled request_id", "settled request_id"]);
    told.summary(5.0, &[summary("c", "t", None)]);
    assert_eq!(told.said(), ["1 is c by request_id"], "it was no conversation");
    told.tick(30.9);
    assert_eq!(told.said(), [""; 0]);
    told.tick(31.0);
    assert_eq!(told.said(), ["2 is agent-8 by request_id"], "the agent has had its time");
    told.summary(40.0, &[summary("d", "u", None)]);
    assert_eq!(told.said(), ["2 is d by request_id"], "late, but its word");
    let (correlation, is_open) = told.call(41.0, named(3, "agent-7", "t"));
    assert_eq!((correlation.cascade, is_open), (Some(id("c")), false));
}

#[test]
fn what_belongs_to_no_conversation_is_left_alone() {
    let mut told = Told::following();
    for operation in [Operation::Autocomplete, Operation::CountTokens] {
        let (correlation, is_open) = told.call(1.0, of(operation, named(1, "c", "t")));
        assert_eq!((correlation.cascade, is_open), (None, false));
    }
    told.summary(2.0, &[summary("c", "t", None)]);
    told.tick(100.0);
    assert_eq!(told.said(), [""; 0]);
}

#[test]
fn traces_and_sessions_lead_to_the_conversation() {
    let mut told = Told::following();
    assert!(told.call(1.0, nameless(1, "s", "x")).1);
    told.call(1.0, nameless(2, "s", "y"));
    told.call(1.0, nameless(3, "none", "none"));
    let generation = Generation { session: Some(id("s")), ..generation("x") };
    told.update(2.0, "c", &idle().steps(0, [input(-9.0)]).generations(0, [generation]));
    let said = told.said();
    assert_eq!(said, ["settled trace_id", "1 is c by trace_id", "settled session", "2 is c by session"]);
    assert_eq!(told.call(3.0, nameless(4, "s", "z")).0.method, CorrelationMethod::Session);
    assert_eq!(told.said(), ["settled session"]);
    told.join(4.0, &JoinedIds { cascade: Some(id("d")), trajectory: None, provider_trace: Some(id("z")) });
    assert_eq!(told.said(), ["4 is d by trace_id"], "a trace tells more than a session");
    told.tick(100.0);
    assert_eq!(told.said(), ["settled none"]);
}

#[test]
fn calls_that_are_pushed_out_are_settled() {
    let mut told = Told::following();
    for number in 0..MAX_RECENT as u64 + 3 {
        told.call(1.0, nameless(number, "s", "x"));
    }
    assert_eq!(told.said(), ["settled none"; 3]);
    told.tick(31.0);
    assert_eq!(told.said().len(), MAX_RECENT);
}

#[test]
fn a_run_has_the_calls_that_began_in_it() {
    let mut told = Told::following();
    told.call(9.0, named(1, "c", "t"));
    told.update(10.1, "c", &running().of_trajectory("t").steps(0, [input(10.0)]));
    told.call(12.0, of(Operation::Checkpoint, named(2, "c", "t")));
    told.call(13.0, named(3, "c", "t"));
    told.update(14.0, "c", &idle().steps(1, [answer()]).fully());
    told.call(14.3, named(4, "c", "t"));
    told.tick(14.4);
    told.call(14.45, named(5, "elsewhere", "u"));
    told.tick(14.5);
    let [run] = &told.ended()[..] else { panic!() };
    assert_eq!((run.calls, run.tokens, run.outcome), (3, 21, RunOutcome::Ok));
    assert_eq!(
        (run.model.as_str(), run.trajectory.clone()),
        ("m3", Some(id("t"))),
        "the first turn, not what is hidden"
    );
    assert_eq!((run.started_at, run.duration), (wall(10.0), Duration::from_secs(4)));
    assert_eq!(run.time_to_first_chunk, Some(Duration::from_millis(1500)), "of any call");
    told.call(20.0, named(6, "c", "t"));
    told.update(30.0, "c", &running().steps(2, [input(30.0)]));
    told.update(31.0, "c", &idle().steps(3, [answer()]).fully());
    told.tick(40.0);
    let [run] = &told.ended()[..] else { panic!() };
    assert_eq!((run.calls, run.model.as_str()), (0, "unknown"));
}

#[test]
fn a_call_that_is_stated_late_began_when_it_began() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().of_trajectory("t").steps(0, [input(1.0)]));
    told.update(4.0, "c", &idle().steps(1, [answer()]).fully());
    let begun = |number, seconds: f64| {
        let mut call = named(number, "c", "t");
        call.timing.started_at = wall(seconds);
        call
    };
    told.late_call(4.4, begun(1, 2.0));
    told.late_call(5.2, begun(2, 3.9));
    told.late_call(5.2, begun(3, -100.0));
    told.late_call(5.2, begun(4, 4.5));
    told.tick(5.2);
    assert_eq!(told.ended()[0].calls, 2, "what began after it, or by a clock that was set, does not count");
}

#[test]
fn a_run_without_calls_has_the_model_that_the_agent_names() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0), answer()]).generations(0, [served("x")]));
    told.update(2.0, "c", &idle());
    told.tick(5.0);
    assert_eq!(told.ended()[0].model.as_str(), "served");
}

#[test]
fn a_run_whose_beginning_was_seen_late_begins_with_its_first_call() {
    let mut told = Told::following();
    told.update(1.0, "c", &idle().of_trajectory("t").steps(0, [input(-9.0)]));
    told.call(11.0, named(1, "c", "t"));
    told.update(12.0, "c", &running());
    told.update(14.0, "c", &idle().steps(1, [answer()]));
    told.tick(20.0);
    let [run] = &told.ended()[..] else { panic!() };
    assert_eq!((run.started_at, run.duration, run.calls), (wall(10.0), Duration::from_secs(4), 1));
}

#[test]
fn an_agent_that_called_has_not_swallowed_its_prompt() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().of_trajectory("t").steps(0, [input(1.0)]));
    told.call(2.5, named(1, "c", "t"));
    told.update(3.0, "c", &idle());
    told.update(3.0, "d", &running().steps(0, [input(1.0)]));
    told.update(3.0, "d", &idle());
    told.tick(6.0);
    let outcomes: BTreeMap<_, _> = told.ended().into_iter().map(|run| (run.cascade, run.outcome)).collect();
    assert_eq!(outcomes, BTreeMap::from([(id("c"), RunOutcome::Ok), (id("d"), RunOutcome::Swallowed)]));
}

#[test]
fn a_call_that_moves_counts_where_it_belongs() {
    let mut told = Told::following();
    for (cascade, trajectory) in [("a", "t"), ("b", "u")] {
        told.update(1.0, cascade, &running().of_trajectory(trajectory).steps(0, [input(1.0)]));
    }
    let by_session = |session| CallIds { session: Some(id(session)), ..CallIds::default() };
    let ids = CallIds { provider_trace: Some(id("x")), ..by_session("s") };
    told.update(
        1.1,
        "a",
        &Update::default().generations(0, [Generation { session: Some(id("s")), ..generation("w") }]),
    );
    told.call(3.0, call(1, ids, CorrelationMethod::None));
    told.call(3.0, named(2, "agent", "u"));
    told.join(4.0, &JoinedIds { cascade: None, trajectory: Some(id("u")), provider_trace: Some(id("x")) });
    for cascade in ["a", "b"] {
        told.update(5.0, cascade, &idle().steps(1, [answer()]));
    }
    told.tick(8.0);
    let calls: BTreeMap<_, _> = told.ended().into_iter().map(|run| (run.cascade, (run.calls, run.tokens))).collect();
    assert_eq!(calls, BTreeMap::from([(id("a"), (0, 0)), (id("b"), (2, 14))]));
}

#[test]
fn a_call_that_is_learned_late_counts_in_the_run_that_is_under_way() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.call(3.0, labelled(1, "t"));
    told.summary(4.0, &[summary("c", "t", None)]);
    told.update(5.0, "c", &idle().steps(1, [answer()]));
    told.tick(8.0);
    assert_eq!(told.ended()[0].calls, 1);
}

/// What a subagent did: a step, a call to a model.
fn work_of_subagent() -> TrajectoryUpdate {
    let step = Step { created_at: Some(wall(2.0)), ..answer() };
    Update::default().steps(0, [step]).generations(0, [served("x")]).main
}

#[test]
fn a_subagent_counts_in_its_root_whichever_way_it_is_told() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]).sub("t", work_of_subagent()));
    assert_eq!(told.said(), ["c starts at 1", "c user_input", "c planner_response"]);
    told.call(3.0, nameless(1, "s", "x"));
    assert_eq!(told.said(), ["settled trace_id"]);
    told.summary(3.0, &[summary("child", "t", Some("c"))]);
    assert_eq!(told.state.known(&id("child"), None), (1, 1), "known by its trajectory");
    assert_eq!(told.state.known(&id("child"), Some(&id("t"))), (1, 1));
    assert!(!told.state.is_running(&id("child")), "it is not said to be");
    // The rung changes: the subagent's conversation is asked for on its own.
    let own = Update { main: work_of_subagent(), ..running() };
    told.update_from(UpdateSource::Polling, 4.0, "child", &own);
    assert_eq!(told.said(), [""; 0], "nothing is told twice");
    assert!(told.state.is_running(&id("child")) && told.state.is_running(&id("c")));
    told.update_from(UpdateSource::Polling, 5.0, "c", &idle().steps(1, [answer()]));
    told.tick(50.0);
    assert_eq!(told.said(), ["c planner_response"], "the subagent works");
    told.update_from(UpdateSource::Polling, 51.0, "child", &idle());
    assert!(!told.state.is_running(&id("child")) && told.state.is_running(&id("c")));
    told.tick(60.0);
    assert_eq!(told.said(), ["c ok after 50s: 1 calls, 7 tokens of m1"]);
}

#[test]
fn a_conversation_that_turns_out_to_be_a_subagents_is_told_once() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    let own = Update { main: work_of_subagent(), ..running() }.of_trajectory("t");
    told.update(2.0, "child", &own);
    told.call(3.0, named(1, "child", "t"));
    assert_eq!(
        told.said(),
        ["c starts at 1", "c user_input", "child starts at 2", "child planner_response", "settled request_id"]
    );
    told.update(4.0, "child", &own.clone().of_root("c"));
    let lost = "child lost after 2s: 0 calls, 0 tokens of unknown";
    assert_eq!(told.said(), ["1 is c by request_id", lost]);
    told.summary(5.0, &[summary("child", "t", Some("c"))]);
    told.update(6.0, "child", &Update { status: Some(RunStatus::Idle), ..own });
    told.update(7.0, "c", &idle().steps(1, [answer()]));
    told.tick(20.0);
    assert_eq!(told.said(), ["c planner_response", "c ok after 6s: 1 calls, 7 tokens of m1"]);
}

#[test]
fn subagents_of_subagents_count_in_the_root() {
    let mut told = Told::following();
    told.summary(0.0, &[summary("child", "t", Some("c")), summary("grandchild", "u", Some("child"))]);
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.update(2.0, "child", &running().sub("u", work_of_subagent()));
    assert_eq!(told.said(), ["c starts at 1", "c user_input", "c planner_response"]);
    told.update(3.0, "grandchild", &Update { main: work_of_subagent(), ..idle() });
    assert_eq!(told.said(), [""; 0]);
}

#[test]
fn a_message_that_awaits_its_run_is_news_to_come() {
    let mut told = Told::following();
    told.update(0.0, "c", &idle());
    assert!(!told.state.is_running(&id("c")) && !told.state.is_running(&id("nobody")));
    told.update(1.0, "c", &idle().steps(0, [input(1.0)]));
    assert!(told.state.is_running(&id("c")));
    told.tick(20.0);
    assert!(!told.state.is_running(&id("c")));
}

#[test]
fn a_subagent_that_is_deleted_works_no_more() {
    let mut told = Told::following();
    told.update(1.0, "c", &running().steps(0, [input(1.0), answer()]));
    told.update(2.0, "child", &running().of_root("c"));
    told.update(3.0, "c", &idle());
    told.tick(50.0);
    assert_eq!(told.ended().len(), 0);
    told.delete(51.0, "child");
    told.delete(51.0, "nobody");
    told.tick(60.0);
    assert_eq!(told.ended().len(), 1);
}

#[test]
fn an_agent_that_says_fully_idle_on_one_way_is_not_expected_to_on_another() {
    let mut told = Told::following();
    told.update(1.0, "c", &idle().fully());
    told.update(2.0, "c", &running().steps(0, [input(2.0), answer()]));
    told.update(3.0, "c", &idle());
    told.tick(50.0);
    assert_eq!(told.ended().len(), 0, "something is at work");
    told.update_from(UpdateSource::Reactive, 51.0, "c", &idle());
    told.tick(60.0);
    assert_eq!(told.ended().len(), 1);
}

#[test]
fn what_is_deleted_or_followed_no_more_is_lost() {
    let mut told = Told::following();
    for cascade in ["a", "b", "closing"] {
        told.update(1.0, cascade, &running().steps(0, [input(1.0), answer()]));
    }
    told.update(2.0, "closing", &idle());
    told.said();
    told.delete(3.0, "a");
    assert_eq!(told.said(), ["a lost after 2s: 0 calls, 0 tokens of unknown"]);
    assert!(!told.state.is_running(&id("a")));
    told.unfollow(4.0);
    let mut said = told.said();
    said.sort();
    let expected =
        ["b lost after 3s: 0 calls, 0 tokens of unknown", "closing ok after 1s: 0 calls, 0 tokens of unknown"];
    assert_eq!(said, expected);
    told.update(5.0, "b", &running());
    told.tick(100.0);
    assert_eq!(told.said(), [""; 0], "nobody is followed");
    told.state.follow(wall(200.0));
    told.update(201.0, "b", &idle().steps(0, [input(1.0), answer()]));
    assert_eq!(told.said(), [""; 0], "history");
}

#[test]
fn the_conversation_that_was_quiet_for_longest_makes_room() {
    let mut told = Told::following();
    let picture = running().of_trajectory("t").steps(0, [input(1.0), answer()]);
    told.update(1.0, "first", &picture);
    for n in 1..MAX_CONVERSATIONS.get() {
        told.update(2.0, &format!("c{n}"), &running().steps(0, [input(2.0)]));
    }
    told.said();
    told.call(3.0, named(1, "new", "n"));
    told.summary(3.0, &[summary("new", "n", None)]);
    let said = told.said();
    let lost = "first lost after 2s: 0 calls, 0 tokens of unknown";
    assert_eq!(said, ["settled request_id", lost, "1 is new by request_id"], "calls take room too");
    told.update(5.0, "first", &Update { status: Some(RunStatus::Idle), ..picture });
    assert_eq!(told.said(), ["c1 lost after 3s: 0 calls, 0 tokens of unknown"], "its run is not told again");
    assert_eq!(told.state.conversations.len(), MAX_CONVERSATIONS.get());
}

#[test]
fn both_sides_of_a_call_are_compared() {
    let exact = |number, trace: &str| Call { quality: Quality::Exact, ..nameless(number, "s", trace) };
    let mut told = Told::following();
    told.update(0.0, "c", &running().steps(0, [input(0.0)]));
    told.said();
    told.call(1.0, exact(1, "x"));
    told.call(1.0, Call { quality: Quality::Partial, ..exact(2, "y") });
    told.call(1.0, Call { usage: TokenUsage::default(), ..exact(3, "z") });
    told.call(1.0, exact(4, "w"));
    let wrong = Generation { usage: Some(AgentUsage::default()), ..generation("w") };
    let more = Update::default().generations(0, [generation("x"), wrong, generation("v")]);
    told.update(2.0, "c", &more);
    told.call(3.0, exact(5, "v"));
    told.call(3.0, exact(6, "u"));
    told.update(3.0, "c", &Update::default().generations(3, [generation("t")]));
    told.tick(63.0);
    let said: Vec<_> = told.said().into_iter().filter(|said| !said.contains(' ')).collect();
    assert_eq!(said, ["agree", "disagree", "agree", "wire_only", "agent_only"]);
    told.call(64.0, exact(7, "r"));
    told.unfollow(65.0);
    told.tick(1000.0);
    assert!(!told.said().contains(&"wire_only".to_owned()), "the agent was gone before it could tell");
}

/// What happens to one of 200 conversations, in the order of its acts among all others.
#[derive(Debug, Clone, Copy)]
enum Act {
    Call(usize),
    Learn(usize),
}

fn any_acts() -> impl Strategy<Value = Vec<Act>> {
    let calls = (0..600_usize).map(|n| Act::Call(n % CONVERSATIONS));
    let learn = (0..CONVERSATIONS).map(Act::Learn);
    Just(calls.chain(learn).collect::<Vec<_>>()).prop_shuffle()
}

const CONVERSATIONS: usize = 200;

/// What tells the conversation of a call of that number.
fn any_call(number: u64, cascade: usize) -> Call {
    let (own, trajectory) = (format!("c{cascade}"), format!("t{cascade}"));
    match number % 4 {
        0 => named(number, &own, &trajectory),
        1 => named(number, &format!("agent-{number}"), &trajectory),
        2 => labelled(number, &trajectory),
        _ => nameless(number, "one-for-all", &format!("x{number}")),
    }
}

/// How the agent, or its telemetry, tells of a conversation. `calls`: the numbers of its calls.
fn learn(told: &mut Told, seconds: f64, cascade: usize, calls: &[u64]) {
    let (own, trajectory) = (format!("c{cascade}"), format!("t{cascade}"));
    let generations = calls.iter().map(|call| generation(&format!("x{call}")));
    match cascade % 3 {
        0 => told.summary(seconds, &[summary(&own, &trajectory, None)]),
        1 => told.join(
            seconds,
            &JoinedIds { cascade: Some(id(&own)), trajectory: Some(id(&trajectory)), provider_trace: None },
        ),
        _ => told.update(seconds, &own, &idle().of_trajectory(&trajectory).steps(0, [input(-9.0)])),
    }
    let mut update = Update::default();
    update.main.generations = (0..).zip(generations).collect();
    told.update(seconds, &own, &update);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn in_the_end_every_call_is_where_it_belongs(acts in any_acts()) {
        let mut told = Told::following();
        let mut belongs = BTreeMap::new();
        let mut calls = vec![Vec::new(); CONVERSATIONS];
        let mut found = BTreeMap::new();
        let numbered = acts.iter().scan(0, |number, act| {
            *number += 1;
            Some((*number, *act))
        });
        for (number, act) in numbered.clone() {
            if let Act::Call(cascade) = act {
                calls[cascade].push(number);
                belongs.insert(number, id(&format!("c{cascade}")));
            }
        }
        let mut seconds = 0.0;
        for (number, act) in numbered {
            // The last is learned after the wire's own word has counted for long.
            seconds += 0.1;
            match act {
                Act::Call(cascade) => {
                    let correlation = told.call(seconds, any_call(number, cascade)).0;
                    correlation.cascade.map(|cascade| found.insert(number, cascade));
                }
                Act::Learn(cascade) => learn(&mut told, seconds, cascade, &calls[cascade]),
            }
            told.tick(seconds);
        }
        told.tick(seconds + 30.0);
        let mut settled = 0;
        for fact in &told.facts {
            match fact {
                Fact::Correlated(Correlated { call, correlation }) => {
                    found.insert(*call, correlation.cascade.clone().unwrap());
                }
                Fact::CorrelationSettled(_) => settled += 1,
                _ => {}
            }
        }
        prop_assert_eq!(&found, &belongs);
        prop_assert_eq!(settled, belongs.len());
    }
}

const ALL: Sampling = Sampling { ratio: 1.0, follows_parent: true };

#[test]
fn nothing_has_a_place_where_nothing_is_traced() {
    let mut told = Told::following();
    assert_eq!(told.placed(1.0, named(1, "c", "t")), None);
    told.summary(2.0, &[summary("c", "t", None)]);
    told.update(3.0, "c", &running().steps(0, [input(3.0)]));
    told.update(4.0, "c", &idle().fully());
    told.tick(10.0);
    assert!(told.facts.iter().all(|fact| !matches!(fact, Fact::CallTraced { .. })));
    assert_eq!(told.ended().first().map(|run| run.trace), Some(None));
}

#[test]
fn calls_stand_within_their_run() {
    let mut told = Told::following();
    told.state.trace(ALL);
    told.summary(0.0, &[summary("c", "t", None)]);
    told.update(0.5, "c", &running().steps(0, [input(0.5)]));
    let [first, second] = [1, 2].map(|n| told.placed(1.0 + n as f64, named(n, "c", "t")).unwrap());
    told.update(5.0, "c", &idle().fully());
    told.tick(10.0);
    let run = told.ended().first().and_then(|run| run.trace).unwrap();
    assert_eq!((run.parent, run.sampled), (None, true));
    for call in [first, second] {
        assert_eq!(
            (call.trace, call.parent, call.has_remote_parent, call.sampled),
            (run.trace, Some(run.span), false, true)
        );
    }
    assert_ne!(first.span, second.span);
    let next = told.placed(11.0, named(3, "c", "t")).unwrap();
    assert_ne!(next.trace, run.trace, "of the next run");
}

#[test]
fn a_place_is_told_with_the_conversation() {
    let mut told = Told::following();
    told.state.trace(ALL);
    told.summary(0.0, &[summary("c", "t", None)]);
    let known = told.placed(1.0, named(1, "c", "t")).unwrap();
    assert_eq!(told.placed(1.5, named(2, "agent-7", "u")), None, "nobody knows yet");
    told.summary(2.0, &[summary("c", "t", None), summary("sub", "u", Some("c"))]);
    let correlated = told.facts.iter().position(|fact| matches!(fact, Fact::Correlated(_)));
    let placed = told.facts.iter().position(|fact| matches!(fact, Fact::CallTraced { .. }));
    assert!(correlated.is_some() && correlated < placed, "with its place known a span must be complete");
    let later = told.placed_later();
    assert_eq!(later.iter().map(|(call, place)| (*call, place.parent)).collect::<Vec<_>>(), [(2, known.parent)]);
    told.placed(3.0, nameless(3, "s", "x"));
    told.tick(60.0);
    let alone = told.placed_later();
    assert_eq!(alone.iter().map(|(call, place)| (*call, place.parent)).collect::<Vec<_>>(), [(3, None)]);
    told.tick(1000.0);
    assert_eq!(told.placed_later(), [], "once");
}

#[test]
fn the_agents_own_trace_comes_first() {
    let parent = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap();
    let traced = |number| Call { parent: Some(parent), ..named(number, "c", "t") };
    let mut told = Told::following();
    told.state.trace(ALL);
    let unknown = told.placed(1.0, traced(1)).unwrap();
    told.summary(2.0, &[summary("c", "t", None)]);
    assert_eq!(told.placed_later(), [], "it stays where the agent put it");
    let known = told.placed(3.0, traced(2)).unwrap();
    for place in [unknown, known] {
        assert_eq!((place.trace, place.parent, place.has_remote_parent), (parent.trace, Some(parent.span), true));
        assert!(!place.sampled, "the agent does not record it");
    }
}

#[test]
fn without_an_agent_every_call_stands_alone() {
    let mut told = Told::alone();
    told.state.trace(Sampling { ratio: 0.0, follows_parent: true });
    let calls =
        [named(1, "c", "t"), named(2, "c", "t"), nameless(3, "s", "x"), of(Operation::CountTokens, named(4, "c", "t"))];
    let places = calls.map(|call| told.placed(1.0, call).unwrap());
    assert!(places.iter().all(|place| place.parent.is_none() && !place.sampled));
    told.tick(100.0);
    assert_eq!(told.placed_later(), []);
}
