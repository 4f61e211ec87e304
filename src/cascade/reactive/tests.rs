use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use prost::Message as _;

use super::interest::{Interest, PRESENCE, VALUE};
use super::tree::{Node, Scalar};
use super::*;
use crate::cascade::proto::reactive_component_pb::field_diff::Diff;
use crate::cascade::proto::reactive_component_pb::singular_value::Value;
use crate::cascade::proto::reactive_component_pb::{
    FieldDiff, MapDiff, MapKeyDiff, RepeatedDiff, SingularValue, map_key_diff,
};
use crate::cascade::update::{
    AgentUsage, Generation, RunStatus, Step, Termination, TrajectoryUpdate,
};
use crate::record::{Id, Model, StepKind, StepStatus};

fn diff(fields: impl IntoIterator<Item = (u32, Diff)>) -> MessageDiff {
    let field = |(field_number, diff)| FieldDiff {
        field_number,
        diff: Some(diff),
    };
    MessageDiff {
        field_diffs: fields.into_iter().map(field).collect(),
    }
}

fn singular(value: Value) -> SingularValue {
    SingularValue { value: Some(value) }
}

fn one(value: Value) -> Diff {
    Diff::UpdateSingular(singular(value))
}

fn text(text: &str) -> Diff {
    one(Value::StringValue(text.to_owned()))
}

fn number(number: u64) -> Diff {
    one(Value::Uint64Value(number))
}

fn choice(number: u32) -> Diff {
    one(Value::EnumValue(number))
}

fn inside(fields: impl IntoIterator<Item = (u32, Diff)>) -> Diff {
    one(Value::MessageValue(diff(fields)))
}

fn list(new_length: u32, values: impl IntoIterator<Item = (u32, MessageDiff)>) -> Diff {
    let (update_indices, update_values) = values
        .into_iter()
        .map(|(index, diff)| (index, singular(Value::MessageValue(diff))))
        .unzip();
    Diff::UpdateRepeated(RepeatedDiff {
        new_length,
        update_values,
        update_indices,
    })
}

fn entry(key: &str, diff: map_key_diff::Diff) -> MapKeyDiff {
    MapKeyDiff {
        map_key: Some(singular(Value::StringValue(key.to_owned()))),
        diff: Some(diff),
    }
}

fn set(value: &str) -> map_key_diff::Diff {
    map_key_diff::Diff::UpdateSingular(singular(Value::StringValue(value.to_owned())))
}

fn header(entries: impl IntoIterator<Item = MapKeyDiff>) -> Diff {
    Diff::UpdateMap(MapDiff {
        map_key_diffs: entries.into_iter().collect(),
    })
}

fn id(text: &str) -> Option<Id> {
    Some(Id::from_wire(text).unwrap())
}

fn at(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// As it comes from the wire.
fn applied(state: &mut ReactiveState, diff: &MessageDiff) -> Result<Update, DiffError> {
    let decoded = MessageDiff::decode(diff.encode_to_vec().as_slice()).unwrap();
    state.apply(&decoded).map(|()| state.update())
}

fn first_frame() -> MessageDiff {
    let time = |seconds, nanos| {
        inside([
            (1, one(Value::Int64Value(seconds))),
            (2, one(Value::Int32Value(nanos))),
        ])
    };
    let prompt = diff([
        (1, choice(14)),
        (4, choice(3)),
        (
            5,
            inside([
                (1, time(10, 0)),
                (8, time(11, 500_000_000)),
                (12, text("canary")),
            ]),
        ),
        (19, inside([(1, text("canary"))])),
    ]);
    let answer = diff([
        (1, choice(15)),
        (4, choice(8)),
        (20, inside([(1, text("")), (3, text("canary"))])),
    ]);
    let stats = inside([
        (1, choice(1026)),
        (2, number(1991)),
        (3, number(56)),
        (5, number(15942)),
        (6, choice(26)),
        (7, text("bot-1")),
        (
            8,
            header([
                entry("sessionID", set("-375")),
                entry("cookie", set("canary")),
            ]),
        ),
        (9, number(u64::MAX)),
        (11, text("req_vrtx_1")),
        (12, text("msg_vrtx_1")),
    ]);
    let attempt = |trace| {
        diff([
            (4, text(trace)),
            (2, inside([(2, number(9999))])),
            (3, text("canary")),
        ])
    };
    let attempts = list(3, [(0, attempt("trace-1")), (2, attempt("trace-2"))]);
    let chat = inside([
        (3, choice(1026)),
        (4, stats),
        (17, attempts),
        (19, text("claude-opus-4-6-thinking")),
    ]);
    let call = diff([(1, chat), (4, text("execution-1"))]);
    diff([
        (1, text("c-1")),
        (
            2,
            inside([
                (1, text("t-1")),
                (2, list(3, [(0, prompt), (1, answer)])),
                (3, list(1, [(0, call)])),
            ]),
        ),
        (3, choice(2)),
        (6, list(1, [(0, diff([(1, text("canary"))]))])),
        (11, one(Value::BoolValue(true))),
    ])
}

fn first_picture() -> Update {
    let prompt = Step {
        kind: StepKind::UserInput,
        status: StepStatus::Done,
        created_at: at(10),
        completed_at: at(11).map(|time| time + Duration::from_millis(500)),
        has_text: false,
    };
    let answer = Step {
        kind: StepKind::PlannerResponse,
        status: StepStatus::Generating,
        ..Step::default()
    };
    let call = Generation {
        model: id("MODEL_PLACEHOLDER_M26"),
        served_model: Some(Model::from_wire("claude-opus-4-6-thinking")),
        usage: Some(AgentUsage {
            input: 1991,
            cache_read: 15942,
            cache_write: 0,
            output: 56,
            thinking: 0,
        }),
        response: id("req_vrtx_1"),
        messages: vec![id("bot-1").unwrap(), id("msg_vrtx_1").unwrap()],
        session: id("-375"),
        traces: vec![id("trace-1").unwrap(), id("trace-2").unwrap()],
        execution: id("execution-1"),
    };
    Update {
        cascade: id("c-1"),
        trajectory: id("t-1"),
        status: Some(RunStatus::Running),
        has_active_children: true,
        main: TrajectoryUpdate {
            steps: vec![(0, prompt), (1, answer), (2, Step::default())],
            total_steps: Some(3),
            generations: vec![(0, call)],
            ..TrajectoryUpdate::default()
        },
        ..Update::default()
    }
}

#[test]
fn a_step_may_hold_the_trajectory_of_a_subagent() {
    let call = |trace| {
        diff([(
            1,
            inside([
                (4, inside([(2, number(5))])),
                (17, list(1, [(0, diff([(4, text(trace))]))])),
            ]),
        )])
    };
    let trajectory = |name, steps, trace| {
        inside([
            (1, text(name)),
            (2, steps),
            (3, list(1, [(0, call(trace))])),
        ])
    };
    let invoked = |subtrajectory| diff([(1, choice(127)), (4, choice(2)), (6, subtrajectory)]);
    let innermost = trajectory("t-3", list(0, []), "x-3");
    let inner = trajectory("t-2", list(1, [(0, invoked(innermost))]), "x-2");
    let main = inside([(1, text("t-1")), (2, list(2, [(1, invoked(inner))]))]);
    let update = applied(
        &mut ReactiveState::new(),
        &diff([(1, text("c-1")), (2, main)]),
    )
    .unwrap();
    assert_eq!((update.trajectory, update.main.steps.len()), (id("t-1"), 2));
    let told: Vec<_> = update
        .subtrajectories
        .iter()
        .map(|(id, news)| (id.as_str(), news.generations[0].1.traces[0].as_str()))
        .collect();
    assert_eq!(told, [("t-2", "x-2"), ("t-3", "x-3")]);
    assert_eq!(
        update.subtrajectories[0].1.steps[0].1.kind,
        StepKind::InvokeSubagent
    );
}

#[test]
fn a_turn_from_its_first_frame_to_its_end() {
    let mut state = ReactiveState::new();
    assert_eq!(state.update(), Update::default());
    let mut expected = first_picture();
    assert_eq!(applied(&mut state, &first_frame()), Ok(expected.clone()));
    assert_eq!(
        applied(&mut state, &MessageDiff::default()),
        Ok(expected.clone())
    );

    let answer = |said| diff([(20, inside([(1, text(said))]))]);
    let grown = diff([(
        2,
        inside([(2, list(3, [(1, answer("canary, as far as it is written"))]))]),
    )]);
    expected.main.steps[1].1.has_text = true;
    assert_eq!(applied(&mut state, &grown), Ok(expected.clone()));
    let said = format!("{state:?}");
    assert!(
        said.contains("req_vrtx_1") && !said.contains("canary"),
        "{said}"
    );

    let ended = diff([
        (
            2,
            inside([
                (
                    2,
                    list(
                        2,
                        [(
                            1,
                            diff([
                                (4, choice(3)),
                                (20, inside([(1, text("")), (8, text("again"))])),
                            ]),
                        )],
                    ),
                ),
                (
                    3,
                    list(2, [(0, diff([(1, inside([(4, Diff::Clear(true))]))]))]),
                ),
                (9, list(2, [(1, diff([(1, choice(2))]))])),
            ]),
        ),
        (3, choice(1)),
        (11, Diff::Clear(true)),
    ]);
    expected.status = Some(RunStatus::Idle);
    expected.has_active_children = false;
    expected.main.steps.truncate(2);
    expected.main.total_steps = Some(2);
    expected.main.steps[1].1.status = StepStatus::Done;
    let bare = Generation {
        usage: None,
        response: None,
        messages: vec![],
        session: None,
        ..expected.main.generations[0].1.clone()
    };
    expected.main.generations = vec![(0, bare), (1, Generation::default())];
    expected.main.terminations = vec![(1, Termination::Canceled)];
    assert_eq!(applied(&mut state, &ended), Ok(expected));
}

#[test]
fn the_latest_executor_counts_where_none_is_listed() {
    let mut state = ReactiveState::new();
    let latest = diff([(4, inside([(1, choice(1))]))]);
    assert_eq!(
        applied(&mut state, &latest).unwrap().main.terminations,
        [(0, Termination::Error)]
    );
    let listed = diff([(2, inside([(9, list(1, []))]))]);
    assert_eq!(applied(&mut state, &listed).unwrap().main.terminations, []);
}

#[test]
fn all_forms_of_numbers_are_read() {
    let status = |value| {
        let mut state = ReactiveState::new();
        applied(&mut state, &diff([(3, one(value))]))
            .unwrap()
            .status
    };
    for value in [
        Value::EnumValue(1),
        Value::Int32Value(1),
        Value::Int64Value(1),
        Value::Uint32Value(1),
        Value::Uint64Value(1),
        Value::Sint32Value(1),
        Value::Sint64Value(1),
        Value::Fixed32Value(1),
        Value::Fixed64Value(1),
        Value::Sfixed32Value(1),
        Value::Sfixed64Value(1),
    ] {
        assert_eq!(status(value), Some(RunStatus::Idle));
    }
    for value in [
        Value::Int32Value(-1),
        Value::DoubleValue(1.0),
        Value::StringValue("1".into()),
        Value::BoolValue(true),
    ] {
        assert_eq!(status(value), None);
    }
}

#[test]
fn a_difference_that_does_not_fit_ends_the_state() {
    let steps = |steps| diff([(2, inside([(2, steps)]))]);
    let lengths = RepeatedDiff {
        new_length: 2,
        update_values: vec![],
        update_indices: vec![0],
    };
    let scalar = |index| RepeatedDiff {
        new_length: 3,
        update_values: vec![singular(Value::BoolValue(true))],
        update_indices: vec![index],
    };
    let table = [
        (
            DiffError::Empty,
            MessageDiff {
                field_diffs: vec![FieldDiff {
                    field_number: 1,
                    diff: None,
                }],
            },
        ),
        (
            DiffError::Empty,
            diff([(1, Diff::UpdateSingular(SingularValue::default()))]),
        ),
        (DiffError::Index, steps(list(3, [(3, diff([]))]))),
        (DiffError::Index, steps(list(0, [(u32::MAX, diff([]))]))),
        (DiffError::Kind, diff([(1, inside([]))])),
        (DiffError::Kind, diff([(1, list(1, []))])),
        (DiffError::Kind, diff([(1, header([]))])),
        (DiffError::Kind, diff([(2, text("t"))])),
        (DiffError::Kind, diff([(2, list(1, []))])),
        (DiffError::Kind, steps(inside([]))),
        (DiffError::Kind, steps(header([]))),
        (DiffError::Kind, steps(Diff::UpdateRepeated(scalar(0)))),
        (DiffError::Lengths, steps(Diff::UpdateRepeated(lengths))),
        (DiffError::TooLarge, steps(list(MAX_LENGTH as u32 + 1, []))),
        (DiffError::TooLarge, steps(list(u32::MAX, []))),
    ];
    for (error, hostile) in table {
        let mut state = ReactiveState::new();
        state.apply(&first_frame()).unwrap();
        assert_eq!(applied(&mut state, &hostile), Err(error), "{hostile:?}");
        assert_eq!(state.update(), Update::default());
        assert_eq!(applied(&mut state, &first_frame()), Err(error), "it stays");
    }
    let mut state = ReactiveState::new();
    state.apply(&first_frame()).unwrap();
    let default = steps(Diff::UpdateRepeated(scalar(2)));
    assert!(
        state.apply(&default).is_ok(),
        "what nothing was said of may be anything"
    );
    let elsewhere = MessageDiff {
        field_diffs: vec![FieldDiff {
            field_number: 99,
            diff: None,
        }],
    };
    assert!(
        state.apply(&elsewhere).is_ok(),
        "what is not read may say anything"
    );
}

#[test]
fn lists_of_lists_do_not_multiply() {
    let limit = MAX_LENGTH as u32;
    let attempts = diff([(1, inside([(17, list(limit, []))]))]);
    let calls = list(limit, (0..limit).map(|index| (index, attempts.clone())));
    let mut state = ReactiveState::new();
    assert_eq!(
        state.apply(&diff([(2, inside([(3, calls)]))])),
        Err(DiffError::TooLarge)
    );
}

#[test]
fn what_is_cleared_gives_its_room_back() {
    let mut state = ReactiveState::new();
    for _ in 0..100 {
        let steps = |length| diff([(2, inside([(2, list(length, []))]))]);
        state.apply(&steps(MAX_LENGTH as u32)).unwrap();
        state.apply(&steps(1)).unwrap();
        state.apply(&steps(MAX_LENGTH as u32)).unwrap();
        state.apply(&diff([(2, Diff::Clear(true))])).unwrap();
    }
    assert_eq!((state.room, state.root.size()), (MAX_NODES, 1));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| {
        (1..depth).fold(diff([]), |inner, _| {
            diff([(3, one(Value::MessageValue(inner)))])
        })
    };
    let apply = |diff| apply::message(&mut Node::default(), &diff, &EVERYTHING, &mut { MAX_NODES });
    assert_eq!(apply(nested(MAX_DEPTH)), Ok(()));
    assert_eq!(apply(nested(MAX_DEPTH + 1)), Err(DiffError::TooDeep));
    let deepest = nested(MAX_DEPTH).encode_to_vec();
    assert!(
        MessageDiff::decode(deepest.as_slice()).is_ok(),
        "no less than the decoder reads"
    );
}

/// Keeps whatever the generator below makes.
static EVERYTHING: Interest = Interest {
    fields: &[
        (1, &VALUE),
        (2, &VALUE),
        (3, &EVERYTHING),
        (4, &EVERYTHING),
        (5, &VALUE),
        (6, &VALUES),
        (7, &MESSAGES),
    ],
    keys: &[],
    identifiers: true,
};
static VALUES: Interest = Interest::map(&[("a", &VALUE), ("b", &VALUE), ("c", &VALUE)]);
static MESSAGES: Interest =
    Interest::map(&[("a", &EVERYTHING), ("b", &EVERYTHING), ("c", &EVERYTHING)]);

/// Keeps some of it.
static SOME: Interest = Interest::message(&[
    (1, &PRESENCE),
    (3, &SOME),
    (4, &FEW),
    (5, &VALUE),
    (6, &ONE),
    (7, &ONE_MESSAGE),
]);
static FEW: Interest = Interest::message(&[(2, &VALUE), (4, &SOME)]);
static ONE: Interest = Interest::map(&[("b", &PRESENCE)]);
static ONE_MESSAGE: Interest = Interest::map(&[("a", &SOME)]);

/// What an interest leaves of a value.
fn restricted(node: &Node, interest: &Interest) -> Node {
    match node {
        Node::Scalar(Scalar::Id(_)) if !interest.identifiers => Node::Scalar(Scalar::Discarded),
        Node::Empty | Node::Scalar(_) => node.clone(),
        Node::List(elements) => Node::List(
            elements
                .iter()
                .map(|element| restricted(element, interest))
                .collect(),
        ),
        Node::Map(entries) => Node::Map(
            entries
                .iter()
                .filter_map(|(key, node)| Some((*key, restricted(node, interest.key(key)?.1))))
                .collect(),
        ),
        Node::Message(fields) => Node::Message(
            fields
                .iter()
                .filter_map(|(key, node)| Some((*key, restricted(node, interest.field(*key)?))))
                .collect(),
        ),
    }
}

/// The difference from one message to another, as a sender makes it.
fn difference(before: &Node, after: &Node) -> MessageDiff {
    let none = BTreeMap::new();
    let fields = |node: &'_ Node| {
        if let Node::Message(fields) = node {
            fields.clone()
        } else {
            none.clone()
        }
    };
    let (before, after) = (fields(before), fields(after));
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(key))
        .map(|key| (*key, Diff::Clear(true)));
    let changed = after
        .iter()
        .filter(|(key, node)| before.get(key) != Some(node));
    let changed = changed.flat_map(|(key, node)| {
        let old = before.get(key).unwrap_or(&Node::Empty);
        let start_over = cannot_change(old, node).then_some((*key, Diff::Clear(true)));
        let old = if start_over.is_some() {
            &Node::Empty
        } else {
            old
        };
        start_over
            .into_iter()
            .chain([(*key, field_difference(old, node))])
    });
    diff(gone.chain(changed).collect::<Vec<_>>())
}

/// An element that was said cannot become one that was not.
fn cannot_change(before: &Node, after: &Node) -> bool {
    let forgotten = |(before, after): (&Node, &Node)| after.is_empty() && !before.is_empty();
    before
        .elements()
        .iter()
        .zip(after.elements())
        .any(forgotten)
}

fn field_difference(before: &Node, after: &Node) -> Diff {
    match after {
        Node::List(after) => {
            let old = |index: usize| before.elements().get(index).unwrap_or(&Node::Empty);
            let changed = || (0..after.len()).filter(|index| old(*index) != &after[*index]);
            Diff::UpdateRepeated(RepeatedDiff {
                new_length: after.len() as u32,
                update_values: changed()
                    .map(|index| value(old(index), &after[index]))
                    .collect(),
                update_indices: changed().map(|index| index as u32).collect(),
            })
        }
        Node::Map(after) => {
            let none = BTreeMap::new();
            let before = if let Node::Map(entries) = before {
                entries
            } else {
                &none
            };
            let gone = before.keys().filter(|key| !after.contains_key(*key));
            let gone = gone.map(|key| entry(key, map_key_diff::Diff::Clear(true)));
            let changed = after
                .iter()
                .filter(|(key, node)| before.get(*key) != Some(node))
                .map(|(key, node)| {
                    let old = before.get(key).unwrap_or(&Node::Empty);
                    entry(key, map_key_diff::Diff::UpdateSingular(value(old, node)))
                });
            header(gone.chain(changed).collect::<Vec<_>>())
        }
        after => Diff::UpdateSingular(value(before, after)),
    }
}

fn value(before: &Node, after: &Node) -> SingularValue {
    singular(match after {
        Node::Scalar(Scalar::Bool(bool)) => Value::BoolValue(*bool),
        Node::Scalar(Scalar::Id(id)) => Value::StringValue(id.to_string()),
        Node::Scalar(Scalar::EmptyText) => Value::StringValue(String::new()),
        Node::Scalar(Scalar::Number(number)) => Value::Uint64Value(*number),
        Node::Scalar(Scalar::Discarded) => Value::StringValue("words that people write".to_owned()),
        after => Value::MessageValue(difference(before, after)),
    })
}

fn scalar() -> impl Strategy<Value = Node> + Clone {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        "[a-z0-9/-]{1,4}".prop_map(|text| Scalar::Id(Id::from_wire(&text).unwrap())),
        Just(Scalar::EmptyText),
        Just(Scalar::Discarded),
        any::<u64>().prop_map(Scalar::Number),
    ];
    scalar.prop_map(Node::Scalar)
}

/// A message; its fields have the kinds that [`EVERYTHING`] gives them.
fn message() -> impl Strategy<Value = Node> {
    let map = |value: BoxedStrategy<Node>| {
        prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), value, 0..4)
            .prop_map(Node::Map)
    };
    let element = |inner: BoxedStrategy<Node>| prop_oneof![1 => Just(Node::Empty), 4 => inner];
    let list = move |value: BoxedStrategy<Node>| {
        prop::collection::vec(element(value), 0..4).prop_map(Node::List)
    };
    let numbered = |fields: Vec<Option<Node>>| {
        Node::Message(
            (1..)
                .zip(fields)
                .filter_map(|(number, node)| Some((number, node?)))
                .collect(),
        )
    };
    Just(Node::Message(BTreeMap::new())).prop_recursive(4, 60, 6, move |inner| {
        let inner = inner.boxed();
        let scalars = (prop::option::of(scalar()), prop::option::of(scalar()));
        let messages = (
            prop::option::of(inner.clone()),
            prop::option::of(list(inner.clone())),
        );
        let others = (
            prop::option::of(list(scalar().boxed())),
            prop::option::of(map(scalar().boxed())),
        );
        (scalars, messages, others, prop::option::of(map(inner)))
            .prop_map(move |((a, b), (c, d), (e, f), g)| numbered(vec![a, b, c, d, e, f, g]))
    })
}

/// Any difference at all, made of numbers that are read somewhere.
fn garbage() -> impl Strategy<Value = MessageDiff> {
    Just(MessageDiff::default()).prop_recursive(6, 80, 5, |inner| {
        let value = prop_oneof![
            1 => Just(None),
            2 => any::<u32>().prop_map(|number| Some(Value::EnumValue(number))),
            2 => any::<i64>().prop_map(|number| Some(Value::Int64Value(number))),
            2 => "\\PC{0,9}".prop_map(|text| Some(Value::StringValue(text))),
            8 => inner.prop_map(|diff| Some(Value::MessageValue(diff))),
        ];
        let value = value.prop_map(|value| SingularValue { value }).boxed();
        let index = prop_oneof![9 => 0..4u32, 1 => any::<u32>()].boxed();
        let repeated = (
            index.clone(),
            prop::collection::vec((value.clone(), index), 0..4),
            prop::bool::weighted(0.1),
        );
        let repeated = repeated.prop_map(|(new_length, values, odd)| {
            let (update_values, mut update_indices): (_, Vec<_>) = values.into_iter().unzip();
            update_indices.extend(odd.then_some(0));
            Diff::UpdateRepeated(RepeatedDiff {
                new_length,
                update_values,
                update_indices,
            })
        });
        let key = prop::sample::select(vec!["sessionID", "a", "other"]);
        let entry = (key, prop::option::of(value.clone())).prop_map(|(key, value)| {
            entry(
                key,
                value.map_or(
                    map_key_diff::Diff::Clear(true),
                    map_key_diff::Diff::UpdateSingular,
                ),
            )
        });
        let field = prop_oneof![
            1 => Just(None),
            1 => any::<bool>().prop_map(|clear| Some(Diff::Clear(clear))),
            2 => prop::collection::vec(entry, 0..3).prop_map(|entries| Some(header(entries))),
            6 => value.prop_map(|value| Some(Diff::UpdateSingular(value))),
            6 => repeated.prop_map(Some),
        ];
        let field =
            (1..21u32, field).prop_map(|(field_number, diff)| FieldDiff { field_number, diff });
        prop::collection::vec(field, 0..6).prop_map(|field_diffs| MessageDiff { field_diffs })
    })
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn differences_lead_from_state_to_state(states in prop::collection::vec(message(), 1..4)) {
        for (interest, name) in [(&EVERYTHING, "everything"), (&SOME, "some")] {
            let (mut node, mut room) = (Node::default(), MAX_NODES);
            let mut before = Node::default();
            for after in &states {
                let diff = difference(&before, after);
                prop_assert_eq!(apply::message(&mut node, &diff, interest, &mut room), Ok(()));
                prop_assert_eq!(&node, &restricted(after, interest), "{}: {:?}", name, diff);
                prop_assert_eq!(room + node.size(), MAX_NODES + 1);
                before = after.clone();
            }
        }
    }

    #[test]
    fn any_difference_is_survived(diffs in prop::collection::vec(garbage(), 1..5)) {
        let mut state = ReactiveState::new();
        let (mut node, mut room) = (Node::default(), MAX_NODES);
        for diff in &diffs {
            let applied = state.apply(diff);
            prop_assert_eq!(applied.is_err(), state.broken.is_some());
            prop_assert!(applied.is_ok() || state.update() == Update::default());
            if apply::message(&mut node, diff, &EVERYTHING, &mut room).is_err() {
                break;
            }
            prop_assert_eq!(room + node.size(), MAX_NODES + 1);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut state = ReactiveState::new();
        if let Ok(diff) = MessageDiff::decode(bytes.as_slice()) {
            _ = state.apply(&diff);
        }
        _ = state.update();
    }
}
