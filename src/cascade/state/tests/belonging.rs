//! Which conversation a call belongs to, from every source and in every order.

use super::*;

#[test]
fn without_an_agent_the_wires_word_counts_at_once() {
    let mut told = Told::alone();
    let (correlation, is_open) = told.call(1.0, named(1, "c", "t"));
    assert_eq!(correlation.cascade, Some(id("c")));
    assert!(
        !is_open && !told.call(1.0, labelled(2, "t")).1 && !told.call(1.0, nameless(3, "s", "x")).1
    );
    assert_eq!(told.said(), ["settled request_id"]);
    told.update(2.0, "c", &running());
    told.tick(30.9);
    assert_eq!(told.said(), [""; 0]);
    told.tick(31.0);
    assert_eq!(
        told.said(),
        ["settled none"; 2],
        "nobody has named the conversation of the trajectory"
    );
    told.tick(1000.0);
    assert_eq!(told.said(), [""; 0]);
}

#[test]
fn with_an_agent_the_wires_word_waits_for_its_confirmation() {
    let mut told = Told::following();
    let (correlation, is_open) = told.call(1.0, named(1, "agent-7", "t"));
    assert_eq!((correlation.cascade, is_open), (None, true));
    told.call(1.0, named(2, "agent-8", "u"));
    assert_eq!(told.said(), [""; 0], "no conversation is known");
    told.summary(5.0, &[summary("c", "t", None)]);
    assert_eq!(
        told.said(),
        ["settled request_id", "1 is c by request_id"],
        "it was no conversation"
    );
    told.tick(30.9);
    assert_eq!(told.said(), [""; 0]);
    told.tick(31.0);
    assert_eq!(
        told.said(),
        ["settled request_id", "2 is agent-8 by request_id"],
        "the agent has had its time"
    );
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
    let of_session = |name: &str| Generation {
        session: Some(id("s")),
        ..generation(name)
    };
    told.update(
        2.0,
        "c",
        &idle()
            .steps(0, [input(-9.0)])
            .generations(0, [of_session("x")]),
    );
    assert_eq!(
        told.said(),
        ["settled trace_id", "1 is c by trace_id"],
        "the session may be that call's alone"
    );
    told.update(2.5, "c", &idle().generations(1, [of_session("w")]));
    assert_eq!(told.said(), ["settled session", "2 is c by session"]);
    assert_eq!(
        told.call(3.0, nameless(4, "s", "z")).0.method,
        CorrelationMethod::Session
    );
    assert_eq!(told.said(), ["settled session"]);
    told.join(
        4.0,
        &JoinedIds {
            cascade: Some(id("d")),
            trajectory: None,
            provider_trace: Some(id("z")),
        },
    );
    assert_eq!(
        told.said(),
        ["4 is d by trace_id"],
        "a trace tells more than a session"
    );
    told.tick(40.0);
    assert_eq!(told.said(), ["settled none"]);
}

#[test]
fn calls_on_the_wire_show_whose_a_session_is() {
    let with_session = |call: Call, trace: &str| {
        let ids = CallIds {
            session: Some(id("s")),
            provider_trace: Some(id(trace)),
            ..call.ids
        };
        Call { ids, ..call }
    };
    let mut told = Told::following();
    told.summary(0.0, &[summary("c", "t", None), summary("d", "u", None)]);
    told.call(1.0, with_session(labelled(1, "t"), "x1"));
    told.call(1.0, nameless(2, "s", "x2"));
    assert_eq!(
        told.said(),
        ["settled labels"],
        "it may be that call's alone"
    );
    told.call(1.0, with_session(labelled(3, "t"), "x3"));
    assert_eq!(
        told.said(),
        ["settled labels", "settled session", "2 is c by session"]
    );
    told.call(2.0, with_session(labelled(4, "u"), "x4"));
    assert_eq!(
        told.call(2.0, nameless(5, "s", "x5")).0.cascade,
        None,
        "two conversations share it"
    );
}

#[test]
fn a_checkpoint_goes_where_its_trace_leads_and_makes_up_no_trajectory() {
    let checkpoint = |number: u64, trace: &str| {
        let ids = CallIds {
            request: Some(id("checkpoint/u")),
            unexplained: Some(id("u")),
            session: Some(id(&format!("s{number}"))),
            provider_trace: Some(id(trace)),
            ..CallIds::default()
        };
        of(
            Operation::Checkpoint,
            call(number, ids, CorrelationMethod::None),
        )
    };
    let mut told = Told::following();
    told.call(1.0, checkpoint(1, "x"));
    told.call(1.0, checkpoint(2, "y"));
    told.update(
        2.0,
        "c",
        &idle()
            .steps(0, [input(-9.0)])
            .generations(0, [generation("x")]),
    );
    assert_eq!(told.said(), ["settled trace_id", "1 is c by trace_id"]);
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
            &JoinedIds {
                cascade: Some(id(&own)),
                trajectory: Some(id(&trajectory)),
                provider_trace: None,
            },
        ),
        _ => told.update(
            seconds,
            &own,
            &idle().of_trajectory(&trajectory).steps(0, [input(-9.0)]),
        ),
    }
    let mut update = Update::default();
    update.main.generations = (0..).zip(generations).collect();
    told.update(seconds, &own, &update);
}

proptest! {
    #![proptest_config(crate::seeds::cases(16))]

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
