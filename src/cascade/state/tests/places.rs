//! Where the spans of calls and runs stand: the run that counts a call is the one whose trace has
//! it.

use super::*;

const ALL: Sampling = Sampling {
    ratio: 1.0,
    follows_parent: true,
};

/// An agent whose conversation `c` is known by its trajectory `t`; everything is traced.
fn traced() -> Told {
    let mut told = Told::following();
    told.state.trace(ALL);
    told.summary(0.0, &[summary("c", "t", None)]);
    told
}

/// A call that began and ended then, in seconds.
fn lasting(number: u64, began: f64, ended: f64) -> Call {
    let mut call = named(number, "c", "t");
    call.timing.started_at = wall(began);
    call.timing.duration = Duration::from_secs_f64(ended - began);
    call
}

/// What is known of the places of spans.
#[derive(Debug, Default)]
struct Traces {
    /// Each run with the numbers of the calls in its trace and the number that it counts.
    runs: Vec<(Vec<u64>, u64)>,
    /// Calls that stand at the top of a trace of their own.
    alone: Vec<u64>,
}

impl Told {
    /// The calls that lasted from then to then, each stated at its end.
    fn calls(&mut self, calls: &[(u64, f64, f64)]) {
        for (number, began, ended) in calls {
            self.place_of(*ended, lasting(*number, *began, *ended));
        }
    }

    /// Records a call; a place that is known at once is as good as one that is reported later.
    fn place_of(&mut self, seconds: f64, call: Call) {
        let number = call.number;
        let place = self.placed(seconds, call);
        self.facts.extend(place.map(|trace| Fact::CallTraced {
            call: number,
            trace,
        }));
    }

    /// All facts since the last time.
    fn traces(&mut self) -> Traces {
        let facts = std::mem::take(&mut self.facts);
        let mut within: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        let mut traces = Traces::default();
        for fact in &facts {
            if let Fact::CallTraced { call, trace } = fact {
                match trace.parent {
                    Some(run) => within
                        .entry((trace.trace.to_string(), run.to_string()))
                        .or_default()
                        .push(*call),
                    None => traces.alone.push(*call),
                }
            }
        }
        for run in facts.iter().filter_map(|fact| {
            if let Fact::RunEnded(run) = fact {
                Some(run)
            } else {
                None
            }
        }) {
            let place = run.trace.unwrap();
            let calls = within
                .remove(&(place.trace.to_string(), place.span.to_string()))
                .unwrap_or_default();
            traces.runs.push((calls, run.calls));
        }
        assert_eq!(within, BTreeMap::new(), "calls of a run that never ended");
        traces
    }
}

#[test]
fn nothing_has_a_place_where_nothing_is_traced() {
    let mut told = Told::following();
    assert_eq!(told.placed(1.0, named(1, "c", "t")), None);
    told.summary(2.0, &[summary("c", "t", None)]);
    told.update(3.0, "c", &running().steps(0, [input(3.0)]));
    told.update(4.0, "c", &idle().fully());
    told.tick(10.0);
    assert!(
        told.facts
            .iter()
            .all(|fact| !matches!(fact, Fact::CallTraced { .. }))
    );
    assert_eq!(told.ended().first().map(|run| run.trace), Some(None));
}

#[test]
fn calls_stand_within_their_run() {
    let mut told = traced();
    told.update(0.5, "c", &running().steps(0, [input(0.5)]));
    told.calls(&[(1, 1.0, 2.0), (2, 2.0, 3.0)]);
    told.update(5.0, "c", &idle().fully());
    told.tick(10.0);
    let run = told
        .facts
        .iter()
        .find_map(|fact| {
            if let Fact::RunEnded(run) = fact {
                run.trace
            } else {
                None
            }
        })
        .unwrap();
    assert_eq!((run.parent, run.sampled), (None, true));
    let calls = told.placed_later();
    assert_eq!(
        calls.iter().map(|(call, _)| *call).collect::<Vec<_>>(),
        [1, 2]
    );
    for (_, call) in &calls {
        assert_eq!(
            (
                call.trace,
                call.parent,
                call.has_remote_parent,
                call.sampled
            ),
            (run.trace, Some(run.span), false, true)
        );
    }
    assert_ne!(calls[0].1.span, calls[1].1.span);
    told.update(11.0, "c", &running().steps(1, [input(11.0)]));
    told.calls(&[(3, 11.0, 12.0)]);
    told.update(13.0, "c", &idle().fully());
    told.tick(20.0);
    assert_ne!(told.placed_later()[0].1.trace, run.trace, "of the next run");
}

#[test]
fn a_place_is_known_before_the_end_of_the_run_where_nothing_can_change_it() {
    let mut told = traced();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.calls(&[(1, 2.0, 3.0)]);
    told.update(3.9, "c", &running());
    assert_eq!(told.traces().runs, [], "it may have ended a moment before");
    told.calls(&[(2, 4.1, 5.0)]);
    told.update(6.0, "c", &running());
    let placed = told.placed_later();
    assert_eq!(
        placed.iter().map(|(call, _)| *call).collect::<Vec<_>>(),
        [1],
        "the agent works on"
    );
    let long = lasting(3, 3.5, 6.5);
    let known = told.placed(6.5, long).unwrap();
    assert_eq!(
        (known.trace, known.parent),
        (placed[0].1.trace, placed[0].1.parent),
        "known at once"
    );
    told.update(7.0, "c", &idle().fully());
    told.tick(8.0);
    let run = told.ended().remove(0);
    assert_eq!((run.calls, run.trace.unwrap().trace), (3, known.trace));
}

#[test]
fn a_call_of_the_next_message_is_none_of_a_run_that_may_still_go_on() {
    let mut told = traced();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.calls(&[(1, 1.1, 1.5)]);
    told.update(2.0, "c", &idle().steps(1, [answer()]));
    // The answer to the next message has come before the agent tells of the message.
    told.calls(&[(2, 2.3, 2.4)]);
    told.update(2.5, "c", &running().steps(2, [input(2.2)]));
    told.calls(&[(3, 2.5, 2.6)]);
    told.update(3.0, "c", &idle().steps(3, [answer()]));
    told.tick(10.0);
    let traces = told.traces();
    assert_eq!(traces.runs, [(vec![1], 1), (vec![2, 3], 2)]);
    assert!(traces.alone.is_empty());
}

#[test]
fn a_call_of_a_message_that_the_agent_works_on_before_it_tells_of_it_is_none_of_the_run_before() {
    let mut told = traced();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.update(2.0, "c", &idle().steps(1, [answer()]));
    told.update(2.5, "c", &running());
    told.calls(&[(1, 2.6, 2.7)]);
    told.update(6.0, "c", &running());
    assert_eq!(
        told.placed_later(),
        [],
        "whose it is shows with the next step only"
    );
    told.update(7.0, "c", &running().steps(2, [input(2.4)]));
    told.update(8.0, "c", &idle().steps(3, [answer()]));
    told.tick(20.0);
    assert_eq!(told.traces().runs, [(vec![], 0), (vec![1], 1)]);
}

#[test]
fn a_run_that_was_only_seen_to_pause_has_the_calls_after_it() {
    let mut told = traced();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.update(2.0, "c", &idle());
    told.calls(&[(1, 2.1, 2.2)]);
    told.update(2.5, "c", &running().steps(1, [answer()]));
    told.update(4.5, "c", &running());
    assert_eq!(told.placed_later().len(), 1);
    told.update(5.0, "c", &idle());
    told.tick(20.0);
    assert_eq!(told.ended()[0].calls, 1);
}

#[test]
fn a_run_that_ended_between_two_looks_has_none_of_the_next_ones_calls() {
    let mut told = traced();
    let look = |update: Update| Update {
        after_gap: true,
        ..update
    };
    let done = |at: f64| Step {
        completed_at: Some(wall(at)),
        ..answer()
    };
    let see = |told: &mut Told, at: f64, update: Update| {
        told.update_from(UpdateSource::Polling, at, "c", &look(update));
    };
    see(&mut told, 0.5, idle());
    see(
        &mut told,
        1.0,
        running().steps(
            0,
            [Step {
                completed_at: Some(wall(0.9)),
                ..input(0.9)
            }],
        ),
    );
    told.calls(&[(1, 1.1, 1.2), (2, 2.1, 2.2)]);
    see(
        &mut told,
        2.5,
        running().steps(
            1,
            [
                done(1.3),
                Step {
                    completed_at: Some(wall(2.0)),
                    ..input(2.0)
                },
            ],
        ),
    );
    told.calls(&[(3, 2.5, 2.6)]);
    see(&mut told, 4.0, idle().steps(3, [done(2.7)]));
    told.tick(20.0);
    assert_eq!(told.traces().runs, [(vec![1], 1), (vec![2, 3], 2)]);
}

#[test]
fn calls_of_no_run_stand_alone() {
    let mut told = traced();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.update(2.0, "c", &idle().steps(1, [answer()]));
    told.tick(6.0);
    told.place_of(8.0, of(Operation::Checkpoint, lasting(1, 7.0, 8.0)));
    told.tick(37.9);
    assert_eq!(
        told.placed_later(),
        [],
        "a message may have been its cause that is not known yet"
    );
    told.tick(38.0);
    assert_eq!(told.traces().alone, [1]);
    told.place_of(40.0, of(Operation::Checkpoint, lasting(2, 39.0, 40.0)));
    told.update(41.0, "c", &running().steps(2, [input(41.0)]));
    told.calls(&[(3, 41.0, 42.0)]);
    told.tick(100.0);
    told.update(100.0, "c", &idle().steps(3, [answer()]));
    told.tick(110.0);
    let traces = told.traces();
    assert_eq!(
        (traces.runs, traces.alone),
        (vec![(vec![3], 1)], vec![2]),
        "before the run"
    );
}

#[test]
fn what_is_lost_or_followed_no_more_settles_its_calls() {
    let mut told = traced();
    told.update(1.0, "c", &running().steps(0, [input(1.0)]));
    told.calls(&[(1, 1.0, 1.5)]);
    told.update(2.0, "c", &idle().steps(1, [answer()]));
    told.calls(&[(2, 2.3, 2.4)]);
    told.placed(2.5, nameless(3, "s", "x"));
    told.unfollow(2.6);
    let mut traces = told.traces();
    traces.alone.sort_unstable();
    assert_eq!(
        (traces.runs, traces.alone),
        (vec![(vec![1], 1)], vec![2, 3])
    );
    told.tick(100.0);
    assert_eq!(told.placed_later(), [], "once");
}

#[test]
fn a_place_is_told_with_the_conversation() {
    let mut told = traced();
    told.update(0.0, "c", &running().steps(0, [input(0.0)]));
    assert_eq!(
        told.placed(1.5, named(2, "agent-7", "u")),
        None,
        "nobody knows yet"
    );
    told.update(4.0, "c", &running());
    told.summary(
        5.0,
        &[summary("c", "t", None), summary("sub", "u", Some("c"))],
    );
    let correlated = told
        .facts
        .iter()
        .position(|fact| matches!(fact, Fact::Correlated(_)));
    let placed = told
        .facts
        .iter()
        .position(|fact| matches!(fact, Fact::CallTraced { .. }));
    assert!(
        correlated.is_some() && correlated < placed,
        "with its place known a span must be complete"
    );
    assert_eq!(
        told.placed_later()
            .iter()
            .map(|(call, place)| (*call, place.parent.is_some()))
            .collect::<Vec<_>>(),
        [(2, true)]
    );
    told.placed(6.0, nameless(3, "s", "x"));
    told.tick(60.0);
    let alone = told.placed_later();
    assert_eq!(
        alone
            .iter()
            .map(|(call, place)| (*call, place.parent))
            .collect::<Vec<_>>(),
        [(3, None)]
    );
    told.tick(1000.0);
    assert_eq!(told.placed_later(), [], "once");
}

#[test]
fn what_a_run_has_for_sure_it_keeps() {
    let mut told = traced();
    let session = Generation {
        session: Some(id("s")),
        ..generation("y")
    };
    told.update(
        1.0,
        "c",
        &running().steps(0, [input(1.0)]).generations(0, [session]),
    );
    told.call(3.0, nameless(1, "s", "x"));
    told.update(9.0, "c", &running());
    told.facts
        .retain(|fact| !matches!(fact, Fact::Correlated(_)));
    told.update(9.0, "d", &running().steps(0, [input(1.0)]));
    told.join(
        9.5,
        &JoinedIds {
            cascade: Some(id("d")),
            trajectory: None,
            provider_trace: Some(id("x")),
        },
    );
    assert!(
        told.facts
            .iter()
            .any(|fact| matches!(fact, Fact::Correlated(_))),
        "a trace tells more than a session"
    );
    for cascade in ["c", "d"] {
        told.update(10.0, cascade, &idle());
    }
    told.tick(20.0);
    let mut runs = told.traces().runs;
    runs.sort();
    assert_eq!(
        runs,
        [(vec![], 0), (vec![1], 1)],
        "counted once, where its span is"
    );
}

#[test]
fn the_agents_own_trace_comes_first() {
    let parent =
        TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap();
    let traced = |number| Call {
        parent: Some(parent),
        ..named(number, "c", "t")
    };
    let mut told = Told::following();
    told.state.trace(ALL);
    let unknown = told.placed(1.0, traced(1)).unwrap();
    told.summary(2.0, &[summary("c", "t", None)]);
    assert_eq!(told.placed_later(), [], "it stays where the agent put it");
    let known = told.placed(3.0, traced(2)).unwrap();
    for place in [unknown, known] {
        assert_eq!(
            (place.trace, place.parent, place.has_remote_parent),
            (parent.trace, Some(parent.span), true)
        );
        assert!(!place.sampled, "the agent does not record it");
    }
    told.tick(100.0);
    assert_eq!(told.placed_later(), []);
}

#[test]
fn without_an_agent_every_call_stands_alone() {
    let mut told = Told::alone();
    told.state.trace(Sampling {
        ratio: 0.0,
        follows_parent: true,
    });
    let calls = [
        named(1, "c", "t"),
        named(2, "c", "t"),
        nameless(3, "s", "x"),
        of(Operation::CountTokens, named(4, "c", "t")),
    ];
    let places = calls.map(|call| told.placed(1.0, call).unwrap());
    assert!(
        places
            .iter()
            .all(|place| place.parent.is_none() && !place.sampled)
    );
    told.tick(100.0);
    assert_eq!(told.placed_later(), []);
}

/// What a conversation comes to, in any order and at any pace.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// A call that has lasted so long.
    Call(f64),
    Works,
    Idle,
    Answers,
    /// The user has written so long ago.
    Writes(f64),
    Deleted,
    Nothing,
}

fn any_turns() -> impl Strategy<Value = Vec<(f64, UpdateSource, Turn)>> {
    let turn = prop_oneof![
        6 => (0.0..4.0).prop_map(Turn::Call),
        3 => Just(Turn::Works),
        3 => Just(Turn::Idle),
        3 => Just(Turn::Answers),
        3 => (0.0..2.0).prop_map(Turn::Writes),
        1 => Just(Turn::Deleted),
        2 => Just(Turn::Nothing),
    ];
    let source = prop_oneof![
        Just(UpdateSource::AgentState),
        Just(UpdateSource::Reactive),
        Just(UpdateSource::Polling)
    ];
    prop::collection::vec(
        (prop_oneof![0.0..1.0, 0.0..12.0, 25.0..40.0], source, turn),
        1..60,
    )
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn the_run_that_counts_a_call_is_the_one_whose_trace_has_it(turns in any_turns()) {
        let mut told = traced();
        let (mut seconds, mut steps, mut calls) = (1.0, 0, 0);
        for (pause, source, turn) in turns {
            seconds += pause;
            told.tick(seconds);
            let look = |update: Update| Update { after_gap: source == UpdateSource::Polling, ..update };
            let completed_at = Some(wall(seconds));
            match turn {
                Turn::Call(lasted) => {
                    calls += 1;
                    told.place_of(seconds, lasting(calls, seconds - lasted, seconds));
                }
                Turn::Works => told.update_from(source, seconds, "c", &look(running())),
                Turn::Idle => told.update_from(source, seconds, "c", &look(idle())),
                Turn::Answers | Turn::Writes(_) => {
                    let step = match turn {
                        Turn::Writes(ago) => input(seconds - ago),
                        _ => Step { completed_at, ..answer() },
                    };
                    told.update_from(source, seconds, "c", &look(running().steps(steps, [step])));
                    steps += 1;
                }
                Turn::Deleted => {
                    told.delete(seconds, "c");
                    steps = 0;
                }
                Turn::Nothing => {}
            }
        }
        told.unfollow(seconds + 1.0);
        let Traces { runs, alone } = told.traces();
        for (within, counted) in &runs {
            prop_assert_eq!(within.len() as u64, *counted);
        }
        let mut placed: Vec<_> = runs.into_iter().flat_map(|(within, _)| within).chain(alone).collect();
        placed.sort_unstable();
        prop_assert_eq!(placed, (1..=calls).collect::<Vec<_>>(), "each call has one place");
    }
}
