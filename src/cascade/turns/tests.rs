//! Runs from calls alone, with calls at times that the tests choose.

mod any_order;

use std::time::{Duration, Instant};

use super::work::{ATTEMPTS_WITHIN, TOOLS_WITHIN};
use super::*;
use crate::cascade::test_updates::id;
use crate::record::{
    AgentName, CallIds, Caller, CascadeRun, Fact, Host, Operation, Outcome, Provider, RunOutcome,
    Sampling, SubagentRun, Timing, TokenKind, TokenUsage, TraceParent, Turn, TurnEnd, TurnStep,
    sample_call,
};

/// The conversations, with calls at times in seconds, all of them traced.
struct Stage {
    turns: Turns,
    zero: Moment,
    facts: Vec<Fact>,
    /// The places of calls, by their number.
    places: Vec<(u64, TraceContext)>,
}

const ALL: Sampling = Sampling {
    ratio: 1.0,
    follows_parent: true,
};

impl Stage {
    fn new() -> Self {
        let zero = Moment {
            at: Instant::now() + Duration::from_secs(200_000),
            wall: std::time::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        };
        Self {
            turns: Turns::default(),
            zero,
            facts: Vec::new(),
            places: Vec::new(),
        }
    }

    fn at(&self, seconds: u64) -> Moment {
        let since = Duration::from_secs(seconds);
        Moment {
            at: self.zero.at + since,
            wall: self.zero.wall + since,
        }
    }

    fn begin(&mut self, number: u64, began: u64) {
        self.begin_at(Provider::Anthropic, number, began);
    }

    fn begin_at(&mut self, provider: Provider, number: u64, began: u64) {
        let now = self.at(began);
        let started = CallStarted {
            number,
            provider,
            host: Host::parse("api.anthropic.com").unwrap(),
            operation: Operation::Chat,
            model: None,
            started_at: now.wall,
            caller: Caller::default(),
        };
        self.turns.begun(&started, now);
    }

    fn end(&mut self, mut call: Call, began: u64, ended: u64) {
        let now = self.at(ended);
        call.provider = Provider::Anthropic;
        call.timing = Timing {
            started_at: self.at(began).wall,
            duration: Duration::from_secs(ended - began),
            time_to_first_chunk: Some(Duration::from_secs(1)),
            content_duration: None,
        };
        self.turns.ended(&call);
        let mut out = Emitter::new(&mut self.facts, Some(ALL), now);
        let place = self.turns.take(&call, &id("c"), &mut out);
        self.turns.settle(&id("c"), &mut out);
        self.places.extend(place.map(|trace| (call.number, trace)));
    }

    /// A call that nothing else overlaps.
    fn call(&mut self, call: Call, began: u64, ended: u64) {
        self.begin(call.number, began);
        self.end(call, began, ended);
    }

    fn tick(&mut self, seconds: u64) {
        let now = self.at(seconds);
        let mut out = Emitter::new(&mut self.facts, Some(ALL), now);
        self.turns.tick(&mut out);
    }

    fn runs(&self) -> Vec<&CascadeRun> {
        let runs = self.facts.iter().filter_map(|fact| match fact {
            Fact::RunEnded(run) => Some(&**run),
            _ => None,
        });
        runs.collect()
    }

    fn subagents(&self) -> Vec<&SubagentRun> {
        let ended = self.facts.iter().filter_map(|fact| match fact {
            Fact::SubagentEnded(ended) => Some(&**ended),
            _ => None,
        });
        ended.collect()
    }

    fn started(&self) -> usize {
        let is_start = |fact: &&Fact| matches!(fact, Fact::RunStarted(_));
        self.facts.iter().filter(is_start).count()
    }

    fn place(&self, number: u64) -> TraceContext {
        let later = self.facts.iter().filter_map(|fact| match fact {
            Fact::CallTraced { call, trace } => Some((*call, *trace)),
            _ => None,
        });
        let mut places = self.places.iter().copied().chain(later);
        let places: Vec<_> = places
            .by_ref()
            .filter(|(call, _)| *call == number)
            .collect();
        let [(_, place)] = places[..] else {
            panic!("call {number} has the places {places:?}")
        };
        place
    }
}

fn step(number: u64, turn: &str, step: TurnStep, end: TurnEnd) -> Call {
    Call {
        number,
        usage: TokenUsage::default().with(TokenKind::Input, 10),
        turn: Turn {
            agent: Some(AgentName::ClaudeCode),
            id: Some(id(turn)),
            step,
            end,
            ..Turn::default()
        },
        ..sample_call()
    }
}

fn begins(number: u64, turn: &str, end: TurnEnd) -> Call {
    step(number, turn, TurnStep::Begins, end)
}

fn continues(number: u64, turn: &str, end: TurnEnd) -> Call {
    step(number, turn, TurnStep::Continues, end)
}

fn aside(number: u64) -> Call {
    step(number, "t", TurnStep::Unknown, TurnEnd::Over)
}

fn of(subagent: &str, parent: Option<&str>, call: Call) -> Call {
    Call {
        ids: CallIds {
            subagent: Some(id(subagent)),
            parent_subagent: parent.map(id),
            ..CallIds::default()
        },
        ..call
    }
}

fn with(outcome: Outcome, call: Call) -> Call {
    Call { outcome, ..call }
}

#[test]
fn a_turn_is_a_run_from_its_first_call_to_the_answer_that_asks_for_nothing() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    assert_eq!((stage.started(), stage.runs().len()), (1, 0));
    stage.call(continues(2, "t", TurnEnd::GoesOn), 20, 22);
    stage.call(continues(3, "t", TurnEnd::Over), 30, 35);
    let [run] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!(
        (run.agent, run.outcome, run.calls, run.tokens),
        (AgentName::ClaudeCode, RunOutcome::Ok, 3, 30)
    );
    assert_eq!(run.tool_calls, Some(0));
    assert_eq!(
        (run.started_at, run.duration, run.time_to_first_chunk),
        (
            stage.at(10).wall,
            Duration::from_secs(25),
            Some(Duration::from_secs(1))
        )
    );
    let span = run.trace.expect("a place").span;
    for number in 1..=3 {
        assert_eq!(stage.place(number).parent, Some(span), "{number}");
    }
}

#[test]
fn a_turn_whose_beginning_was_not_seen_is_no_run() {
    let mut stage = Stage::new();
    stage.call(continues(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(continues(2, "t", TurnEnd::Over), 20, 24);
    assert_eq!((stage.started(), stage.runs().len()), (0, 0));
    assert_eq!(stage.place(1).parent, None);
    // The next one begins wherever its first request stands, for it has another name.
    stage.call(continues(3, "u", TurnEnd::Over), 30, 34);
    assert_eq!((stage.started(), stage.runs().len()), (1, 1));
}

#[test]
fn an_agent_that_does_not_name_its_turns_has_no_run() {
    let mut stage = Stage::new();
    let unnamed = |call: Call| Call {
        turn: Turn {
            id: None,
            ..call.turn
        },
        ..call
    };
    stage.call(unnamed(begins(1, "t", TurnEnd::Over)), 10, 14);
    assert_eq!(stage.started(), 0);
    assert_eq!(stage.place(1).parent, None);
}

#[test]
fn attempts_at_the_same_turn_are_one_run() {
    let mut stage = Stage::new();
    let refused = with(Outcome::RateLimited, begins(1, "t", TurnEnd::Unknown));
    stage.call(refused, 10, 11);
    stage.call(begins(2, "t", TurnEnd::Over), 20, 25);
    let [run] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!(
        (stage.started(), run.outcome, run.calls),
        (1, RunOutcome::Ok, 2)
    );
    assert_eq!(run.duration, Duration::from_secs(15));
}

#[test]
fn a_run_that_is_given_up_ends_with_its_last_call() {
    for (outcome, end, patience, ends) in [
        (
            Outcome::Aborted,
            TurnEnd::Unknown,
            ATTEMPTS_WITHIN,
            RunOutcome::Canceled,
        ),
        (
            Outcome::ServerError,
            TurnEnd::Unknown,
            ATTEMPTS_WITHIN,
            RunOutcome::Error,
        ),
        (Outcome::Ok, TurnEnd::GoesOn, TOOLS_WITHIN, RunOutcome::Lost),
    ] {
        let mut stage = Stage::new();
        stage.call(with(outcome, begins(1, "t", end)), 10, 14);
        stage.tick(13 + patience.as_secs());
        assert_eq!(stage.runs().len(), 0, "{outcome}");
        // A call that is under way may be the next attempt.
        stage.begin(2, 13 + patience.as_secs());
        stage.tick(14 + patience.as_secs());
        assert_eq!(stage.runs().len(), 0, "{outcome}");
        let other = Call {
            number: 2,
            ..sample_call()
        };
        stage.turns.ended(&other);
        stage.tick(15 + patience.as_secs());
        let [run] = stage.runs()[..] else {
            panic!("{outcome} {:?}", stage.facts)
        };
        assert_eq!((run.outcome, run.duration), (ends, Duration::from_secs(4)));
    }
}

#[test]
fn the_next_turn_ends_the_one_before() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(begins(2, "u", TurnEnd::Over), 20, 24);
    let outcomes: Vec<_> = stage.runs().iter().map(|run| run.outcome).collect();
    assert_eq!(outcomes, [RunOutcome::Lost, RunOutcome::Ok]);
    let place = |number: u64| stage.place(number).trace;
    assert_ne!(place(1), place(2));
}

#[test]
fn a_call_beside_the_turn_counts_where_it_began() {
    let mut stage = Stage::new();
    // Ends before the first call of the turn, and began after it.
    stage.begin(1, 10);
    stage.begin(2, 11);
    stage.end(aside(2), 11, 12);
    // Begins within the turn, and ends after its last answer.
    stage.begin(3, 13);
    stage.end(begins(1, "t", TurnEnd::Over), 10, 20);
    assert_eq!(stage.runs().len(), 0, "one of its calls is under way");
    stage.end(aside(3), 13, 25);
    let [run] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!((run.calls, run.duration), (3, Duration::from_secs(10)));
    let span = run.trace.expect("a place").span;
    for number in 1..=3 {
        assert_eq!(stage.place(number).parent, Some(span), "{number}");
    }
    // Between two turns it belongs to none.
    stage.call(aside(4), 30, 31);
    assert_eq!(stage.place(4).parent, None);
}

#[test]
fn a_subagent_has_a_span_of_its_own_below_that_of_the_one_that_started_it() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(of("a", None, begins(2, "t", TurnEnd::GoesOn)), 15, 17);
    stage.call(of("b", Some("a"), begins(3, "t", TurnEnd::Over)), 18, 19);
    stage.call(of("a", None, continues(4, "t", TurnEnd::Over)), 20, 24);
    stage.call(continues(5, "t", TurnEnd::Over), 25, 30);
    let [inner, outer] = stage.subagents()[..] else {
        panic!("{:?}", stage.facts)
    };
    let [run] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!((run.calls, run.tokens), (5, 50), "those of subagents, too");
    let place = |run: &CascadeRun| run.trace.expect("a place");
    assert_eq!(
        (
            inner.subagent.as_str(),
            inner.run.calls,
            place(&inner.run).parent
        ),
        ("b", 1, Some(place(&outer.run).span))
    );
    assert_eq!(
        (
            outer.subagent.as_str(),
            outer.run.calls,
            place(&outer.run).parent
        ),
        ("a", 2, Some(place(run).span))
    );
    assert_eq!(outer.run.duration, Duration::from_secs(9));
    for (number, span) in [
        (1, run),
        (2, &outer.run),
        (3, &inner.run),
        (4, &outer.run),
        (5, run),
    ] {
        assert_eq!(
            stage.place(number).parent,
            Some(place(span).span),
            "{number}"
        );
    }
}

#[test]
fn a_subagent_that_begins_after_its_run_is_over_stands_below_it_all_the_same() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(continues(2, "t", TurnEnd::Over), 15, 17);
    // The user has gone on meanwhile.
    stage.call(begins(3, "u", TurnEnd::GoesOn), 20, 22);
    stage.call(of("a", None, begins(4, "t", TurnEnd::Over)), 23, 25);
    stage.call(of("b", Some("a"), begins(5, "t", TurnEnd::Over)), 26, 27);
    // Of a turn that is not known, it is a part of what goes on.
    stage.call(of("c", None, begins(6, "v", TurnEnd::Over)), 28, 29);
    stage.call(continues(7, "u", TurnEnd::Over), 30, 31);
    let [first, second] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    let [a, b, c] = stage.subagents()[..] else {
        panic!("{:?}", stage.facts)
    };
    let place = |run: &CascadeRun| run.trace.expect("a place");
    for (subagent, above) in [(a, first), (b, &a.run), (c, second)] {
        let (own, above) = (place(&subagent.run), place(above));
        assert_eq!(
            (own.trace, own.parent),
            (above.trace, Some(above.span)),
            "{}",
            subagent.subagent
        );
    }
    assert_eq!(first.calls, 2, "a run that is over gets no more calls");
}

#[test]
fn a_run_lasts_as_long_as_its_subagents() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(of("a", None, begins(2, "t", TurnEnd::GoesOn)), 15, 17);
    stage.call(continues(3, "t", TurnEnd::Over), 18, 20);
    assert_eq!(
        stage.runs().len(),
        0,
        "the subagent works in the background"
    );
    stage.call(of("a", None, continues(4, "t", TurnEnd::Over)), 21, 40);
    let [run] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!(
        (run.outcome, run.duration),
        (RunOutcome::Ok, Duration::from_secs(30))
    );
}

#[test]
fn a_call_with_a_parent_of_the_agents_own_stands_there_and_counts_in_the_run() {
    let mut stage = Stage::new();
    let parent = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let call = Call {
        parent,
        ..begins(1, "t", TurnEnd::Over)
    };
    stage.call(call, 10, 14);
    assert_eq!(stage.place(1).parent, parent.map(|parent| parent.span));
    assert_eq!(stage.runs()[0].calls, 1);
}

#[test]
fn a_call_with_a_parent_of_the_agents_own_has_one_place_wherever_it_counts() {
    let parent = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let below = |call: Call| Call { parent, ..call };
    let mut stage = Stage::new();
    // Waits for the run whose first call is under way.
    stage.begin(1, 10);
    stage.begin(2, 11);
    stage.end(below(aside(2)), 11, 12);
    stage.end(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(of("a", None, below(begins(3, "t", TurnEnd::Over))), 15, 17);
    stage.call(continues(4, "t", TurnEnd::Over), 18, 20);
    // Belongs to no run.
    stage.call(below(aside(5)), 30, 31);
    for number in [2, 3, 5] {
        let place = stage.place(number);
        let own = parent.map(|parent| (parent.trace, Some(parent.span)));
        assert_eq!(Some((place.trace, place.parent)), own, "{number}");
        assert!(place.has_remote_parent, "{number}");
    }
    assert_eq!(stage.runs()[0].calls, 4);
    assert_eq!(stage.subagents()[0].run.calls, 1);
}

#[test]
fn what_a_subagent_asks_for_beside_its_turn_is_its_own() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(of("a", None, begins(2, "t", TurnEnd::GoesOn)), 15, 17);
    // A summary of what it has read, which says nothing of its turn's end.
    stage.call(of("a", None, aside(3)), 18, 19);
    assert_eq!(stage.subagents().len(), 0, "it still works");
    stage.call(of("a", None, continues(4, "t", TurnEnd::Over)), 20, 24);
    stage.call(continues(5, "t", TurnEnd::Over), 25, 30);
    let [subagent] = stage.subagents()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!((subagent.run.calls, subagent.run.tokens), (3, 30));
    let span = subagent.run.trace.expect("a place").span;
    assert_eq!(stage.place(3).parent, Some(span));
    assert_eq!(stage.runs()[0].calls, 5);
}

#[test]
fn a_run_waits_for_no_call_to_another_provider() {
    let mut stage = Stage::new();
    stage.begin_at(Provider::OpenAi, 1, 5);
    stage.begin(2, 10);
    stage.begin(3, 11);
    stage.end(begins(2, "t", TurnEnd::Over), 10, 20);
    assert_eq!(stage.runs().len(), 0, "one of its own may be under way");
    stage.end(aside(3), 11, 25);
    let [run] = stage.runs()[..] else {
        panic!("{:?}", stage.facts)
    };
    assert_eq!(run.calls, 2);
    // Nor does a call that belongs to no run.
    stage.call(aside(4), 30, 31);
    assert_eq!(stage.place(4).parent, None);
    // Nor one whose next attempt is not awaited any more.
    stage.call(
        with(Outcome::Aborted, begins(5, "u", TurnEnd::Unknown)),
        40,
        41,
    );
    stage.tick(41 + ATTEMPTS_WITHIN.as_secs());
    assert_eq!(stage.runs().len(), 2);
}

#[test]
fn tools_are_called_that_complete_answers_ask_for() {
    let asking = |tool_calls: u32, mut call: Call| {
        call.turn.tool_calls = tool_calls;
        call
    };
    let mut stage = Stage::new();
    stage.call(asking(2, begins(1, "t", TurnEnd::GoesOn)), 10, 14);
    let of_subagent = of("a", None, begins(2, "t", TurnEnd::Over));
    stage.call(asking(3, of_subagent), 15, 17);
    // Broken off, and asked again.
    let broken_off = asking(4, continues(3, "t", TurnEnd::GoesOn));
    stage.call(with(Outcome::Truncated, broken_off), 20, 22);
    stage.call(asking(5, continues(4, "t", TurnEnd::Over)), 30, 35);
    assert_eq!(stage.subagents()[0].run.tool_calls, Some(3));
    assert_eq!(stage.runs()[0].tool_calls, Some(10));
}

#[test]
fn what_is_under_way_at_the_end_is_lost() {
    let mut stage = Stage::new();
    stage.call(begins(1, "t", TurnEnd::GoesOn), 10, 14);
    stage.call(of("a", None, begins(2, "t", TurnEnd::GoesOn)), 15, 17);
    let now = stage.at(20);
    stage
        .turns
        .lose(&mut Emitter::new(&mut stage.facts, Some(ALL), now));
    assert_eq!(stage.runs()[0].outcome, RunOutcome::Lost);
    assert_eq!(stage.subagents()[0].run.outcome, RunOutcome::Lost);
}
