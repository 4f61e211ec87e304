use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use super::*;
use crate::cascade::update::{
    AgentUsage, Generation, MAX_ENTRIES, RunStatus, Step, Termination, TrajectoryUpdate, Update,
};
use crate::record::{Id, Model, StepKind, StepStatus};

fn read<M: Message>(
    message: M,
    chunks: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<M::Content, Malformed> {
    let mut reader = Reader::new(message);
    chunks
        .into_iter()
        .for_each(|chunk| reader.feed(chunk.as_ref()));
    reader.finish()
}

fn read_tree<M: Message>(message: M, tree: &Tree) -> Result<M::Content, Malformed> {
    read(message, [tree.to_string()])
}

/// Every way to cut the document in two, and byte by byte, must say the same.
fn golden<M: Message<Content: PartialEq + Debug>>(
    new: impl Fn() -> M,
    tree: &Tree,
    expected: M::Content,
) {
    let document = tree.to_string();
    let expected = Ok(expected);
    assert_eq!(read(new(), [&document]), expected);
    assert_eq!(read(new(), document.as_bytes().chunks(1)), expected);
    for at in 0..document.len() {
        let (head, tail) = document.as_bytes().split_at(at);
        assert_eq!(read(new(), [head, tail]), expected, "cut at {at}");
        assert_eq!(read(new(), [head]), Err(Malformed::CutOff), "ends at {at}");
    }
    assert_eq!(
        read(new(), [serde_json::to_string_pretty(tree).unwrap()]),
        expected
    );
    assert_eq!(
        read(new(), [backwards(tree)]),
        expected,
        "members in the opposite order"
    );
    assert_eq!(
        read(new(), [snake(tree).to_string()]),
        expected,
        "members in snake_case"
    );
}

/// The document with the members of every object in the opposite order.
fn backwards(tree: &Tree) -> String {
    let in_order =
        |key: &String, value: &Tree| format!("{}:{}", Tree::from(key.as_str()), backwards(value));
    match tree {
        Tree::Array(elements) => format!(
            "[{}]",
            elements.iter().map(backwards).collect::<Vec<_>>().join(",")
        ),
        Tree::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .rev()
                .map(|(key, value)| in_order(key, value))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        scalar => scalar.to_string(),
    }
}

/// The document with the names of its members, and not the keys of its maps, in snake_case.
fn snake(tree: &Tree) -> Tree {
    let name = |key: &str| match key {
        "sessionID" => key.to_owned(),
        key if key.contains(['-', '.']) => key.to_owned(),
        key => key.chars().fold(String::new(), |mut snake, c| {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            snake
        }),
    };
    match tree {
        Tree::Array(elements) => elements.iter().map(snake).collect(),
        Tree::Object(members) => members
            .iter()
            .map(|(key, value)| (name(key), snake(value)))
            .collect(),
        scalar => scalar.clone(),
    }
}

fn id(text: &str) -> Option<Id> {
    Some(Id::from_wire(text).unwrap())
}

fn at(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn step(kind: StepKind, status: StepStatus) -> Step {
    Step {
        kind,
        status,
        ..Step::default()
    }
}

/// A call as the agent uploads it: the final usage stands twice, and a failed attempt has one of
/// its own.
fn call() -> Tree {
    let usage = json!({
        "apiProvider": "API_PROVIDER_ANTHROPIC_VERTEX", "model": "MODEL_PLACEHOLDER_M26", "inputTokens": "1991",
        "cacheReadTokens": "15942", "outputTokens": "56", "responseOutputTokens": "56", "messageId": "bot-1",
        "responseHeader": {"sessionID": "-3750763034362895579", "set-cookie": "canary"}, "responseId": "req_vrtx_1",
        "providerAssignedMessageId": "msg_vrtx_1"
    });
    json!({
        "chatModel": {
            "model": "MODEL_PLACEHOLDER_M26", "responseModel": "claude-opus-4-6-thinking", "usage": usage,
            "messages": [{"prompt": "canary {\"chatModel\":1}"}], "timeToFirstToken": "2.647838400s",
            "retryInfos": [
                {"traceId": "0011223344556677", "usage": {"inputTokens": "9999", "responseId": "other"}},
                {"error": "canary"},
                {"traceId": "8899aabbccddeeff", "usage": usage}
            ]
        },
        "stepIndices": [3], "executionId": "execution-1"
    })
}

fn called() -> Generation {
    Generation {
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
        session: id("-3750763034362895579"),
        traces: vec![
            id("0011223344556677").unwrap(),
            id("8899aabbccddeeff").unwrap(),
        ],
        execution: id("execution-1"),
    }
}

fn steps() -> Tree {
    json!([
        {"type": "CORTEX_STEP_TYPE_USER_INPUT", "status": "CORTEX_STEP_STATUS_DONE", "userInput": {"text": "canary"},
         "metadata": {"createdAt": "1970-01-01T00:00:10Z", "completedAt": "1970-01-01T01:00:11+01:00"}},
        {"type": "CORTEX_STEP_TYPE_PLANNER_RESPONSE", "status": "CORTEX_STEP_STATUS_GENERATING",
         "plannerResponse": {"response": "", "thinking": "canary", "modifiedResponse": "canary"},
         "metadata": {"createdAt": "yesterday", "completedAt": null, "steps": [{"type": "no"}]}},
        {"type": "CORTEX_STEP_TYPE_SOMETHING_NEW", "status": 3, "new": [[{}]], "plannerResponse": {"response": ""}},
        {"type": 21, "status": "CORTEX_STEP_STATUS_HALTED"},
        null
    ])
}

fn read_steps() -> Vec<Step> {
    vec![
        Step {
            created_at: at(10),
            completed_at: at(11),
            ..step(StepKind::UserInput, StepStatus::Done)
        },
        Step {
            has_text: true,
            ..step(StepKind::PlannerResponse, StepStatus::Generating)
        },
        step(StepKind::Other, StepStatus::Done),
        step(StepKind::RunCommand, StepStatus::Other),
        Step::default(),
    ]
}

fn frame() -> Tree {
    json!({"update": {
        "conversationId": "c-1", "trajectoryId": "t-1", "status": "CASCADE_RUN_STATUS_RUNNING",
        "executableStatus": "CASCADE_RUN_STATUS_IDLE", "fullyIdle": false, "hasActiveChildren": true,
        "costSummary": {"status": "CASCADE_RUN_STATUS_IDLE"},
        "mainTrajectoryUpdate": {
            "status": "CASCADE_RUN_STATUS_BUSY",
            "metadata": {"rootConversationId": "c-0"},
            "stepsUpdate": {
                "indices": [2, 3, 4, 5, 9], "steps": steps(), "totalLength": 10,
                "pageBounds": {"startIndex": 2, "endIndexExclusive": 10}
            },
            "generatorMetadatasUpdate": {"indices": [7], "generatorMetadatas": [call()], "totalLength": 8},
            "executorMetadatasUpdate": {"indices": [0, 1, 2], "executorMetadatas": [
                {"terminationReason": "EXECUTOR_TERMINATION_REASON_NO_TOOL_CALL", "executionId": "execution-1"},
                {"executionError": "canary"},
                {"terminationReason": "EXECUTOR_TERMINATION_REASON_USER_CANCELED"}
            ]}
        },
        "subtrajectoryUpdates": {
            "s-1": {
                "status": "CASCADE_RUN_STATUS_IDLE", "metadata": {"rootConversationId": "c-1"},
                "stepsUpdate": {"steps": [{"type": "CORTEX_STEP_TYPE_VIEW_FILE"}, {"status": "CORTEX_STEP_STATUS_DONE"}]}
            },
            "s-2": {"generatorMetadatasUpdate": {"generatorMetadatas": [call()], "indices": [4]}},
            "s-3": null,
            "no identifier": {"stepsUpdate": {"steps": [{}]}}
        }
    }})
}

fn framed() -> Update {
    let view = step(StepKind::ViewFile, StepStatus::Other);
    Update {
        cascade: id("c-1"),
        root: id("c-0"),
        trajectory: id("t-1"),
        status: Some(RunStatus::Running),
        fully_idle: false,
        after_gap: false,
        has_active_children: true,
        main: TrajectoryUpdate {
            status: Some(RunStatus::Busy),
            steps: [2, 3, 4, 5, 9].into_iter().zip(read_steps()).collect(),
            total_steps: Some(10),
            generations: vec![(7, called())],
            terminations: vec![(0, Termination::Finished), (2, Termination::Canceled)],
        },
        subtrajectories: vec![
            (
                id("s-1").unwrap(),
                TrajectoryUpdate {
                    status: Some(RunStatus::Idle),
                    steps: vec![(0, view), (1, step(StepKind::Other, StepStatus::Done))],
                    ..TrajectoryUpdate::default()
                },
            ),
            (
                id("s-2").unwrap(),
                TrajectoryUpdate {
                    generations: vec![(4, called())],
                    ..TrajectoryUpdate::default()
                },
            ),
        ],
    }
}

fn sorted(mut update: Update) -> Update {
    update.subtrajectories.sort_by(|a, b| a.0.cmp(&b.0));
    update
}

/// The agent's state, with its subagents in one order.
#[derive(Default)]
struct Sorted(AgentState);

impl Message for Sorted {
    type Field = <AgentState as Message>::Field;
    type Content = Update;

    fn paths() -> &'static Paths<Self::Field> {
        AgentState::paths()
    }

    fn read_value(&mut self, field: Self::Field, value: Value<'_>) -> Result<(), Malformed> {
        self.0.read_value(field, value)
    }

    fn finish(self) -> Result<Update, Malformed> {
        self.0.finish().map(sorted)
    }
}

#[test]
fn a_frame_of_the_agents_state() {
    golden(Sorted::default, &frame(), framed());
    golden(
        AgentState::default,
        &json!({"update": {"fullyIdle": true}}),
        Update {
            fully_idle: true,
            ..Update::default()
        },
    );
    golden(AgentState::default, &json!({}), Update::default());
}

#[test]
fn a_conversation_that_is_its_own_root_works_for_nobody() {
    let tree = json!({"update": {"conversationId": "c", "mainTrajectoryUpdate": {"metadata": {"rootConversationId": "c"}}}});
    golden(
        AgentState::default,
        &tree,
        Update {
            cascade: id("c"),
            ..Update::default()
        },
    );
}

#[test]
fn indices_must_fit_their_entries() {
    let read = |update: Tree| {
        let update = json!({"update": {"mainTrajectoryUpdate": {"stepsUpdate": update}}});
        let read = read_tree(AgentState::default(), &update);
        assert_eq!(
            Reader::new(AgentState::default()).finish(),
            Err(Malformed::CutOff)
        );
        read.map(|update| {
            update
                .main
                .steps
                .into_iter()
                .map(|(index, _)| index)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(read(json!({"steps": [{}, {}]})), Ok(vec![0, 1]));
    assert_eq!(
        read(json!({"steps": [{}, {}], "indices": []})),
        Ok(vec![0, 1])
    );
    assert_eq!(
        read(json!({"steps": [{}, {}], "indices": ["12", 3]})),
        Ok(vec![12, 3])
    );
    for indices in [
        json!([1]),
        json!([1, 2, 3]),
        json!([0, -1]),
        json!([0, null]),
        json!([0, 1.5]),
        json!([0, u64::MAX]),
    ] {
        assert_eq!(
            read(json!({"steps": [{}, {}], "indices": indices})),
            Err(Malformed::Indices),
            "{indices}"
        );
    }
    assert_eq!(read(json!({"indices": [5]})), Err(Malformed::Indices));
    assert_eq!(
        read(json!({"steps": [{}], "indices": [MAX_ENTRIES]})),
        Err(Malformed::TooMany)
    );
    assert_eq!(
        read(json!({"totalLength": MAX_ENTRIES + 1})),
        Err(Malformed::TooMany)
    );
    assert_eq!(
        read(json!({"steps": [{}], "indices": [MAX_ENTRIES - 1], "totalLength": MAX_ENTRIES})),
        Ok(vec![32_767])
    );
}

#[test]
fn of_a_repeated_member_the_last_one_counts() {
    let document = r#"{"update":{"status":"CASCADE_RUN_STATUS_IDLE","mainTrajectoryUpdate":{"stepsUpdate":{
        "indices":[7,8],"steps":[{},{}],"steps":[{"type":"CORTEX_STEP_TYPE_CHECKPOINT"}],"indices":[1]}},
        "status":"CASCADE_RUN_STATUS_RUNNING"}}"#;
    let update = read(AgentState::default(), [document]).unwrap();
    assert_eq!(update.status, Some(RunStatus::Running));
    assert_eq!(
        update.main.steps,
        [(1, step(StepKind::Checkpoint, StepStatus::Other))]
    );
}

#[test]
fn replies_count_from_their_offset() {
    let steps = json!({"steps": steps()});
    let main = TrajectoryUpdate {
        steps: (40..).zip(read_steps()).collect(),
        ..TrajectoryUpdate::default()
    };
    golden(
        || Steps::from_offset(40),
        &steps,
        Update {
            main,
            ..Update::default()
        },
    );
    let calls = json!({"generatorMetadata": [{"chatModel": {}}, call()]});
    let generations = vec![(3, Generation::default()), (4, called())];
    golden(
        || Generations::from_offset(3),
        &calls,
        TrajectoryUpdate {
            generations,
            ..TrajectoryUpdate::default()
        },
    );
    golden(
        || Generations::from_offset(3),
        &json!({}),
        TrajectoryUpdate::default(),
    );
    let beyond = read_tree(Steps::from_offset(u32::MAX), &steps).unwrap();
    assert_eq!(beyond.main.steps.len(), 1, "an index that cannot be");
}

#[test]
fn a_step_may_hold_the_trajectory_of_a_subagent() {
    let innermost = json!({"trajectoryId": "t-3", "generatorMetadata": [call()]});
    let inner = json!({
        "trajectoryId": "t-2", "generatorMetadata": [{"chatModel": {}}, call()],
        "steps": [{"type": "CORTEX_STEP_TYPE_CHECKPOINT"}, {"type": "CORTEX_STEP_TYPE_INVOKE_SUBAGENT", "subtrajectory": innermost}],
        "executorMetadatas": [{"terminationReason": "EXECUTOR_TERMINATION_REASON_ERROR"}],
    });
    let invoked = json!({"type": "CORTEX_STEP_TYPE_INVOKE_SUBAGENT", "subtrajectory": inner, "status": "CORTEX_STEP_STATUS_RUNNING"});
    let steps = json!([invoked, {"type": "CORTEX_STEP_TYPE_CHECKPOINT", "subtrajectory": []}]);
    let kept = |kind| step(kind, StepStatus::Other);
    let inner = TrajectoryUpdate {
        steps: vec![
            (0, kept(StepKind::Checkpoint)),
            (1, kept(StepKind::InvokeSubagent)),
        ],
        generations: vec![(0, Generation::default()), (1, called())],
        terminations: vec![(0, Termination::Error)],
        ..TrajectoryUpdate::default()
    };
    let innermost = TrajectoryUpdate {
        generations: vec![(0, called())],
        ..TrajectoryUpdate::default()
    };
    let subtrajectories = vec![(id("t-3").unwrap(), innermost), (id("t-2").unwrap(), inner)];
    let main = |first: u32| TrajectoryUpdate {
        steps: vec![
            (first, step(StepKind::InvokeSubagent, StepStatus::Running)),
            (first + 1, kept(StepKind::Checkpoint)),
        ],
        ..TrajectoryUpdate::default()
    };
    let expected = Update {
        main: main(7),
        subtrajectories: subtrajectories.clone(),
        ..Update::default()
    };
    golden(|| Steps::from_offset(7), &json!({"steps": steps}), expected);
    let state = json!({"update": {"mainTrajectoryUpdate": {"stepsUpdate": {"steps": steps}}}});
    golden(
        AgentState::default,
        &state,
        Update {
            main: main(0),
            subtrajectories,
            ..Update::default()
        },
    );
}

#[test]
fn hostile_numbers_count_nothing() {
    let read = |number: &str| {
        let document = format!(
            r#"{{"generatorMetadata":[{{"chatModel":{{"usage":{{"inputTokens":{number}}}}}}}]}}"#
        );
        let update = read(Generations::from_offset(0), [document]).unwrap();
        update
            .generations
            .into_iter()
            .next()
            .unwrap()
            .1
            .usage
            .unwrap()
            .input
    };
    assert_eq!(read("12"), 12);
    assert_eq!(read("\"12\""), 12);
    for hostile in [
        "1e400",
        "-1",
        "18446744073709551616",
        "4294967297",
        "null",
        "1.5",
        "\"\"",
        "\"+1\"",
        "{}",
        "[1]",
        "true",
    ] {
        assert_eq!(read(hostile), 0, "{hostile}");
    }
}

#[test]
fn models_may_be_numbers() {
    let model = |model: Tree| {
        let reply = json!({"generatorMetadata": [{"chatModel": {"model": model}}]});
        read_tree(Generations::from_offset(0), &reply)
            .unwrap()
            .generations[0]
            .1
            .model
            .clone()
    };
    assert_eq!(model(json!(1132)), id("MODEL_PLACEHOLDER_M132"));
    assert_eq!(model(json!(342)), id("MODEL_342"));
    assert_eq!(model(json!("MODEL_UNSPECIFIED")), None);
    assert_eq!(model(json!(-5)), None);
}

#[test]
fn a_message_with_one_id_is_named_once() {
    let usage = json!({"messageId": "m", "providerAssignedMessageId": "m"});
    let reply = json!({"generatorMetadata": [{"chatModel": {"usage": usage}}]});
    let update = read_tree(Generations::from_offset(0), &reply).unwrap();
    assert_eq!(update.generations[0].1.messages, [id("m").unwrap()]);
}

#[test]
fn only_the_last_attempts_are_kept() {
    let attempts: Vec<_> = (0..100)
        .map(|n| json!({"traceId": n.to_string()}))
        .collect();
    let reply = json!({"generatorMetadata": [{"chatModel": {"retryInfos": attempts}}]});
    let update = read_tree(Generations::from_offset(0), &reply).unwrap();
    let traces = &update.generations[0].1.traces;
    assert_eq!((traces.len(), traces.last()), (32, id("99").as_ref()));
}

#[test]
fn summaries_of_all_conversations() {
    let tree = json!({"trajectorySummaries": {
        "c-1": {
            "summary": "canary", "stepCount": 12, "lastModifiedTime": "1970-01-01T00:00:20Z", "trajectoryId": "t-1",
            "status": "CASCADE_RUN_STATUS_RUNNING", "lastUserInputTime": "1970-01-01T00:00:19.5Z",
            "trajectoryMetadata": {"rootConversationId": "c-0", "createdAt": "1970-01-01T00:00:01Z"},
            "hasActiveChildren": true, "notFullyIdle": true, "waitingSteps": [], "latestNotifyUserStep": {"status": 1}
        },
        "c-2": {"stepCount": "x", "status": 1, "trajectoryMetadata": {"rootConversationId": "c-2"}},
        "c-3": null,
        "no identifier": {"stepCount": 1}
    }});
    let summaries = read_tree(Summaries::default(), &tree).unwrap();
    let first = Summary {
        cascade: id("c-1").unwrap(),
        trajectory: id("t-1"),
        status: Some(RunStatus::Running),
        step_count: Some(12),
        last_modified: at(20),
        last_user_input: at(19).map(|time| time + Duration::from_millis(500)),
        root: id("c-0"),
        has_active_children: true,
        not_fully_idle: true,
    };
    let second = Summary {
        cascade: id("c-2").unwrap(),
        trajectory: None,
        status: Some(RunStatus::Idle),
        step_count: None,
        last_modified: None,
        last_user_input: None,
        root: None,
        has_active_children: false,
        not_fully_idle: false,
    };
    assert_eq!(summaries, [first.clone(), second]);
    golden(
        Summaries::default,
        &json!({"trajectorySummaries": {"c-1": tree["trajectorySummaries"]["c-1"]}}),
        vec![first],
    );
    let many: serde_json::Map<_, _> = (0..=MAX_SUMMARIES)
        .map(|n| (n.to_string(), json!({})))
        .collect();
    assert_eq!(
        read_tree(Summaries::default(), &json!({"trajectorySummaries": many})),
        Err(Malformed::TooMany)
    );
}

#[test]
fn models_of_the_users_status() {
    let tree = json!({"userStatus": {"planStatus": {"availablePromptCredits": 500}, "cascadeModelConfigData": {
        "clientModelConfigs": [
            {"label": "Claude Opus 4.6 (Thinking)", "modelOrAlias": {"model": "MODEL_PLACEHOLDER_M26"},
             "quotaInfo": {"remainingFraction": 0.25, "resetTime": "1970-01-01T00:00:09Z"}},
            {"label": "Gone", "modelOrAlias": {"model": "MODEL_PLACEHOLDER_M18"},
             "quotaInfo": {"resetTime": "1970-01-01T00:00:09Z"}},
            {"modelOrAlias": {"model": 1035}},
            {"label": "By alias", "modelOrAlias": {"alias": "MODEL_ALIAS_AUTO"}}
        ]}}, "planInfo": {}});
    let config = |placeholder, display: Option<&str>, remaining, resets_at| ModelConfig {
        placeholder: id(placeholder).unwrap(),
        display: display.map(|name| crate::record::DisplayName::from_wire(name).unwrap()),
        remaining,
        resets_at,
    };
    let expected = vec![
        config(
            "MODEL_PLACEHOLDER_M26",
            Some("Claude Opus 4.6 (Thinking)"),
            Some(0.25),
            at(9),
        ),
        config("MODEL_PLACEHOLDER_M18", Some("Gone"), Some(0.0), at(9)),
        config("MODEL_PLACEHOLDER_M35", None, None, None),
    ];
    golden(UserStatus::default, &tree, expected);
    let many = vec![json!({"modelOrAlias": {"model": "m"}}); MAX_MODELS + 1];
    let many = json!({"userStatus": {"cascadeModelConfigData": {"clientModelConfigs": many}}});
    assert_eq!(
        read_tree(UserStatus::default(), &many),
        Err(Malformed::TooMany)
    );
}

#[test]
fn what_is_left_of_a_model() {
    let left = |quota: &str| {
        let config = format!(
            r#"{{"modelOrAlias":{{"model":"m"}},"quotaInfo":{{{quota}"resetTime":"1970-01-01T00:00:09Z"}}}}"#
        );
        let document = format!(
            r#"{{"userStatus":{{"cascadeModelConfigData":{{"clientModelConfigs":[{config}]}}}}}}"#
        );
        read(UserStatus::default(), [document]).unwrap()[0].remaining
    };
    let said = [
        ("", 0.0),
        ("0.5", 0.5),
        ("\"0.5\"", 0.5),
        ("1.5", 1.0),
        ("-0.25", 0.0),
        ("null", 0.0),
    ];
    for (said, expected) in said {
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(r#""remainingFraction":{said},"#)
        };
        assert_eq!(left(&said), Some(expected), "{said}");
    }
    for no_number in ["1e400", "\"NaN\"", "{}", "true"] {
        assert_eq!(
            left(&format!(r#""remainingFraction":{no_number},"#)),
            None,
            "{no_number}"
        );
    }
}

#[test]
fn other_types_than_expected_say_nothing() {
    for hostile in [
        json!(null),
        json!(1),
        json!("x"),
        json!([]),
        json!([{"update": {}}]),
        json!({"update": [1]}),
    ] {
        assert_eq!(
            read_tree(AgentState::default(), &hostile),
            Ok(Update::default()),
            "{hostile}"
        );
    }
    let hostile = json!({"update": {
        "conversationId": {"a": 1}, "status": [], "fullyIdle": "true", "subtrajectoryUpdates": [{"stepsUpdate": {}}],
        "mainTrajectoryUpdate": {"stepsUpdate": {"steps": "x", "indices": {}}, "generatorMetadatasUpdate": null}
    }});
    assert_eq!(
        read_tree(AgentState::default(), &hostile),
        Ok(Update::default())
    );
}

#[test]
fn what_is_no_document_is_an_error() {
    for broken in ["", " ", "{", r#"{"update""#] {
        assert_eq!(
            read(AgentState::default(), [broken]),
            Err(Malformed::CutOff),
            "{broken}"
        );
    }
    for broken in [
        "}",
        "{]",
        "{}{}",
        "\u{feff}{}",
        "reactive state is disabled",
    ] {
        assert_eq!(
            read(AgentState::default(), [broken]),
            Err(Malformed::NotJson),
            "{broken}"
        );
    }
    let deep = format!(
        r#"{{"update":{}"#,
        r#"{"mainTrajectoryUpdate":"#.repeat(100_000)
    );
    assert_eq!(read(AgentState::default(), [deep]), Err(Malformed::NotJson));
}

#[test]
fn a_message_may_have_many_entries_but_not_any_number() {
    let elements = |count| vec!["{}"; count].join(",");
    let steps = |count| format!(r#"{{"steps":[{}]}}"#, elements(count));
    let limit = MAX_ENTRIES as usize;
    assert_eq!(
        read(Steps::from_offset(0), [steps(limit)]).map(|update| update.main.steps.len()),
        Ok(limit)
    );
    assert_eq!(
        read(Steps::from_offset(0), [steps(limit + 1)]),
        Err(Malformed::TooMany)
    );
    let trajectory = format!(r#"{{"stepsUpdate":{}}}"#, steps(limit / 4));
    let sub = |n| format!(r#""s-{n}":{trajectory}"#);
    let frame = |subs: &[String]| {
        format!(
            r#"{{"update":{{"subtrajectoryUpdates":{{{}}}}}}}"#,
            subs.join(",")
        )
    };
    assert!(read(AgentState::default(), [frame(&[sub(1), sub(2), sub(3)])]).is_ok());
    let shared = read(
        AgentState::default(),
        [frame(&[sub(1), sub(2), sub(3), sub(4)])],
    );
    assert_eq!(shared, Err(Malformed::TooMany), "all lists share one limit");
    let indices = format!(
        r#"{{"update":{{"mainTrajectoryUpdate":{{"stepsUpdate":{{"indices":[{}]}}}}}}}}"#,
        vec!["1"; limit + 1].join(",")
    );
    assert_eq!(
        read(AgentState::default(), [indices]),
        Err(Malformed::TooMany)
    );
}

#[test]
fn a_huge_prompt_passes_without_being_kept() {
    let mut reader = Reader::new(AgentState::default());
    reader.feed(
        br#"{"update":{"conversationId":"c","mainTrajectoryUpdate":{"stepsUpdate":{"steps":[{"userInput":{"text":""#,
    );
    let megabyte = vec![b'x'; 1 << 20];
    (0..30).for_each(|_| reader.feed(&megabyte));
    reader.feed(br#""},"plannerResponse":{"response":""#);
    (0..30).for_each(|_| reader.feed(&megabyte));
    reader.feed(br#""},"type":""#);
    reader.feed(&megabyte);
    reader.feed(br#"","status":"CORTEX_STEP_STATUS_DONE"}]}}}}"#);
    assert!(size_of_val(&reader) < 2048, "{}", size_of_val(&reader));
    let update = reader.finish().unwrap();
    let said = Step {
        has_text: true,
        ..step(StepKind::Other, StepStatus::Done)
    };
    let main = TrajectoryUpdate {
        steps: vec![(0, said)],
        ..TrajectoryUpdate::default()
    };
    assert_eq!(
        update,
        Update {
            cascade: id("c"),
            main,
            ..Update::default()
        }
    );
}

#[test]
fn nothing_that_people_or_models_wrote_gets_out() {
    let said = format!("{:?}", read_tree(AgentState::default(), &frame()));
    assert!(said.contains("c-1") && !said.contains("canary"), "{said}");
}

/// The words that documents are made of.
const WORDS: [&str; 39] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "0",
    "1",
    "-1",
    "1e400",
    "\"\"",
    "\"a\"",
    "\"update\"",
    "\"mainTrajectoryUpdate\"",
    "\"subtrajectoryUpdates\"",
    "\"stepsUpdate\"",
    "\"steps\"",
    "\"indices\"",
    "\"totalLength\"",
    "\"generatorMetadata\"",
    "\"chatModel\"",
    "\"usage\"",
    "\"inputTokens\"",
    "\"retryInfos\"",
    "\"trajectorySummaries\"",
    "\"userStatus\"",
    "\"cascadeModelConfigData\"",
    "\"clientModelConfigs\"",
    "\"modelOrAlias\"",
    "\"quotaInfo\"",
    "\"remainingFraction\"",
];

/// Every reader reads the document alike however it is cut, and none panics.
fn all_agree(document: &[u8], size: usize) -> Result<(), TestCaseError> {
    fn agrees<M: Message<Content: PartialEq + Debug>>(
        new: impl Fn() -> M,
        document: &[u8],
        size: usize,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(read(new(), document.chunks(size)), read(new(), [document]));
        Ok(())
    }
    agrees(AgentState::default, document, size)?;
    agrees(|| Steps::from_offset(1), document, size)?;
    agrees(|| Generations::from_offset(1), document, size)?;
    agrees(Summaries::default, document, size)?;
    agrees(UserStatus::default, document, size)
}

/// A document whose members have names that are read somewhere, in any place and order.
fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_map(Tree::from),
        (0..5u64).prop_map(Tree::from),
        prop::sample::select(vec![
            "12",
            "CORTEX_STEP_TYPE_VIEW_FILE",
            "1970-01-01T00:00:09Z",
            "canary text"
        ])
        .prop_map(Tree::from),
    ];
    let names: Vec<_> = WORDS
        .iter()
        .filter(|word| word.len() > 3 && word.starts_with('"'))
        .collect();
    let name = prop::sample::select(names).prop_map(|name| name.trim_matches('"').to_owned());
    leaf.prop_recursive(8, 80, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            3 => prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        all_agree(&bytes, 1)?;
    }

    #[test]
    fn any_words_are_survived(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60), size in 1..7usize) {
        all_agree(words.concat().as_bytes(), size)?;
    }

    #[test]
    fn any_document_is_survived(tree in tree(), size in 1..7usize) {
        let document = tree.to_string();
        all_agree(document.as_bytes(), size)?;
        let said = format!("{:?}", read(AgentState::default(), [&document]));
        prop_assert!(!said.contains("canary"), "{}", said);
    }
}
