//! Inputs to begin with: the recordings and configurations of `tests/fixtures`, and small ones of
//! what no fixture holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gravimeter::cascade::proto::reactive_component_pb::field_diff::Diff;
use gravimeter::cascade::proto::reactive_component_pb::singular_value::Value;
use gravimeter::cascade::proto::reactive_component_pb::{
    FieldDiff, MapDiff, MapKeyDiff, MessageDiff, RepeatedDiff, SingularValue, map_key_diff,
};
use gravimeter::dialect::fuzz::HOSTS;
use prost::Message as _;

use crate::kit::agent::Agent;
use crate::transparency::corpus;

fn fixtures(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
}

/// Each recorded exchange: what the agent sent and what it got.
fn exchanges() -> Vec<(Vec<u8>, Vec<u8>)> {
    ["anthropic", "bedrock", "gemini", "ollama", "openai"]
        .into_iter()
        .flat_map(exchanges_of)
        .collect()
}

fn exchanges_of(dialect: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let read = |folder: &PathBuf, name: &str| fs::read(folder.join(name)).expect("a fixture");
    fixtures(dialect)
        .iter()
        .filter(|path| path.is_dir())
        .map(|folder| (read(folder, "request.http"), read(folder, "response.http")))
        .collect()
}

fn bodies() -> Vec<Vec<u8>> {
    bodies_of(exchanges())
}

fn bodies_of(exchanges: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Vec<u8>> {
    let body = |message: &[u8]| {
        let at = message
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a head");
        message[at + 4..].to_vec()
    };
    exchanges
        .iter()
        .flat_map(|(request, response)| [body(request), body(response)])
        .collect()
}

/// Each behind a byte that says how long its pieces are.
fn in_pieces(inputs: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    inputs
        .into_iter()
        .zip((1..=255).cycle())
        .map(|(input, size)| [&[size], &input[..]].concat())
        .collect()
}

pub fn client_hello() -> Vec<Vec<u8>> {
    let hosts = ["api.example.com", "a.b", "203.0.113.7"];
    let hellos = hosts.iter().flat_map(|host| {
        let alpns: [&[&str]; 3] = [&[], &["h2", "http/1.1"], &["http/1.1"]];
        alpns.map(|alpn| Agent::new("", alpn).hello(host))
    });
    in_pieces(
        hellos
            .chain([
                b"GET / HTTP/1.1\r\n".to_vec(),
                vec![22, 3, 1, 0, 4, 1, 0, 0, 0],
            ])
            .collect(),
    )
}

pub fn config() -> Vec<Vec<u8>> {
    let example = include_bytes!("../../../gravimeter.example.toml").to_vec();
    // Without its comment signs, every key is set.
    let set = String::from_utf8_lossy(&example)
        .replace("\n# ", "\n")
        .replace("\n#", "\n")
        .into_bytes();
    let files = fixtures("config")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "toml"));
    files
        .map(|path| fs::read(path).expect("a fixture"))
        .chain([example, set])
        .collect()
}

/// Rows of every table, as Gravimeter writes them.
pub fn ledger() -> Vec<Vec<u8>> {
    let rows = [
        "\x001,1790000000000,1790000001500,1500000,250000,gcp.gen_ai,h,chat,gemini-3-pro,,gemini-3-pro-001,ok,,200,1,STOP,exact,\
         100,200,0,3,40,5,123456,c-1,labels,t-1,e-1,4,r-1,s-1",
        "\x002,1790000000000,1790000001500,,,gcp.gemini,h,count_tokens,m,other,,aborted,,,0,,unknown,,,,,,,,,none,,,,,",
        "\x011790000100000,gcp.gen_ai,gemini-3-pro,chat,rate_limited,capacity,exact,2,100,200,0,3,40,5,1,1,123456",
        "\x021790000100000,c-1,,gcp.gen_ai,gemini-3-pro,ok,exact,1,100,200,0,3,40,5,1,0,123456",
        "\x03steps,planner_response/done,7",
        "\x04calls,1790000000000",
        "\x05gcp.gen_ai,gemini-3-pro,chat,input,image,258",
    ];
    let each = rows.iter().map(|row| row.as_bytes().to_vec());
    each.chain([rows.join("\n").into_bytes()]).collect()
}

/// Each recorded exchange at its own host or, where no choice stands for that, at one that could be
/// anybody's, in pieces of many sizes.
pub fn dialects() -> Vec<Vec<u8>> {
    let exchanges = exchanges().into_iter().zip(0..);
    let input = |((request, response), number): ((Vec<u8>, Vec<u8>), usize)| {
        let split = u16::try_from(request.len())
            .expect("a short request")
            .to_be_bytes();
        [
            &[host_of(&request, number)],
            &split[..],
            &request,
            &response,
        ]
        .concat()
    };
    exchanges.map(input).collect()
}

/// A byte that chooses the host of a request; the number chooses among those that do.
fn host_of(request: &[u8], number: usize) -> u8 {
    let request = String::from_utf8_lossy(request);
    let named = |host: &&str| request.contains(&format!("\nHost: {host}"));
    let own = HOSTS.iter().position(named).unwrap_or(HOSTS.len() - 1);
    let turns = (usize::from(u8::MAX) + 1) / HOSTS.len();
    u8::try_from(own + HOSTS.len() * (number % turns)).expect("a byte")
}

/// The turns of each recorded WebSocket.
pub fn sessions() -> Vec<Vec<u8>> {
    let session = |(folder, number): (PathBuf, usize)| {
        let read = |name: &str| fs::read(folder.join(name)).expect("a fixture");
        let (request, response) = (read("request.http"), read("response.http"));
        let choice = host_of(&request, number);
        let turns: Vec<BTreeMap<String, usize>> =
            serde_json::from_slice(&read("turns.json")).expect("turns");
        let (mut asked, mut answered) = (&request[..], &response[..]);
        let mut input = vec![choice];
        for (side, count) in turns.into_iter().flatten() {
            let (from, direction) = match side.as_str() {
                "request" => (&mut asked, 0),
                _ => (&mut answered, 1),
            };
            let bytes;
            (bytes, *from) = from.split_at(count);
            input.extend(pieces(bytes, direction));
        }
        input
    };
    let folders = fixtures("websocket").into_iter();
    let folders = folders.filter(|path| path.is_dir()).zip(0..);
    folders.map(session).collect()
}

pub fn sse() -> Vec<Vec<u8>> {
    let odd: [&[u8]; 3] = [
        b"\xef\xbb\xbfdata: a\r\rdata\n\n",
        b"event: x\ndata:\ndata: b\n\n: c\n",
        b"data: \xff\xfe\r\n\r\n",
    ];
    in_pieces(
        bodies()
            .into_iter()
            .chain(odd.map(<[u8]>::to_vec))
            .collect(),
    )
}

pub fn event_stream() -> Vec<Vec<u8>> {
    in_pieces(bodies_of(exchanges_of("bedrock")))
}

/// What both ends say after the upgrade.
pub fn web_socket() -> Vec<Vec<u8>> {
    in_pieces(bodies_of(exchanges_of("websocket")))
}

pub fn json() -> Vec<Vec<u8>> {
    let odd: [&[u8]; 6] = [
        br#"{"a":{"b":[1,-0.5e+10,1e400,true,null]},"models":{"x":{"displayName":"\ud83d\ude00\u0000"}}}"#,
        br#"[{"error":{"code":429}},{"a":[{"b":"c"}]}]"#,
        br#"{"usageMetadata":{"promptTokenCount":18446744073709551616}}"#,
        b" 17 ",
        b"\"\\u12",
        b"[[[[[[[[[[{\"a\":[",
    ];
    // The documents of a stream, one a line.
    let counts = ["1", "22", "-0.5", "\"3\"", "4e5", "01"];
    let lines = counts.map(|count| {
        format!(
            r#"{{"a":{{"b":{count}}},"x":["\n{count}",null],"a":"{}"}}"#,
            "y".repeat(300)
        )
    });
    let more = odd
        .map(<[u8]>::to_vec)
        .into_iter()
        .chain([lines.join("\n").into_bytes()]);
    in_pieces(bodies().into_iter().chain(more).collect())
}

pub fn http1() -> Vec<Vec<u8>> {
    let recorded = corpus()
        .into_iter()
        .map(|(_, sent, received)| (sent, received))
        .chain(exchanges());
    recorded
        .filter(|(sent, _)| !sent.starts_with(b"PRI "))
        .map(|(sent, received)| controlled(&sent, &received))
        .collect()
}

pub fn http2() -> Vec<Vec<u8>> {
    let (preface, settings) = (
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
    );
    let call = b"\x00\x00\x2c\x01\x04\x00\x00\x00\x01\x83\x87\x04\x26/v1internal:streamGenerateContent?a=se\x01\x01x";
    let answer = b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88\x00\x00\x02\x00\x01\x00\x00\x00\x01{}";
    let huffman = b"\x00\x00\x0a\x01\x05\x00\x00\x00\x03\x82\x86\x84\x41\x85\xf2\xb2\x4a\x84\xff";
    let recorded = corpus()
        .into_iter()
        .map(|(_, sent, received)| (sent, received));
    let mut seeds: Vec<_> = recorded
        .filter(|(sent, _)| sent.starts_with(b"PRI "))
        .map(|(sent, received)| controlled(&sent, &received))
        .collect();
    seeds.push(controlled(
        &[preface, settings, call].concat(),
        &[settings, answer].concat(),
    ));
    seeds.push(controlled(&[preface, settings, huffman].concat(), settings));
    seeds.push(controlled(
        &[preface, settings].concat(),
        &[settings, answer].concat(),
    ));
    seeds
}

/// Both directions in pieces, one after the other.
fn controlled(sent: &[u8], received: &[u8]) -> Vec<u8> {
    [pieces(sent, 0), pieces(received, 1)].concat()
}

/// Pieces of one direction, each behind a byte with its direction and its length.
fn pieces(bytes: &[u8], direction: u8) -> Vec<u8> {
    let piece = |piece: &[u8]| [&[(piece.len() as u8) << 1 | direction], piece].concat();
    bytes.chunks(127).flat_map(piece).collect()
}

pub fn documents() -> Vec<Vec<u8>> {
    in_pieces(
        DOCUMENTS
            .iter()
            .map(|document| document.as_bytes().to_vec())
            .collect(),
    )
}

pub fn frames() -> Vec<Vec<u8>> {
    let frame = |flags: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&[flags], &length[..], payload].concat()
    };
    // An empty gzip member (RFC 1952).
    let packed = [
        31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut streams: Vec<_> = DOCUMENTS
        .iter()
        .map(|document| [frame(0, document.as_bytes()), frame(2, b"{}")].concat())
        .collect();
    streams.push(
        [
            frame(1, &packed),
            frame(0, b""),
            frame(2, br#"{"error":{"code":"not_found"}}"#),
        ]
        .concat(),
    );
    in_pieces(streams)
}

/// A state with news, replies from an offset, summaries and models, as the language server words
/// them.
const DOCUMENTS: [&str; 5] = [
    r#"{"update":{"conversationId":"c","trajectoryId":"t","status":"CASCADE_RUN_STATUS_RUNNING","fullyIdle":true,
       "hasActiveChildren":false,"mainTrajectoryUpdate":{"metadata":{"rootConversationId":"r"},"status":"x","stepsUpdate":
       {"steps":[{"type":"CORTEX_STEP_TYPE_PLANNER_RESPONSE","status":"CORTEX_STEP_STATUS_DONE","metadata":{"createdAt":
       "2026-01-01T00:00:00.5Z","completedAt":"2026-01-01T00:00:01Z"},"plannerResponse":{"response":"text"}}],"indices":[0],
       "totalLength":1},"generatorMetadatasUpdate":{"indices":[3],"generatorMetadatas":[{"executionId":"e","chatModel":
       {"model":"MODEL_PLACEHOLDER_M1","responseModel":"gemini-x","usage":{"inputTokens":"12","outputTokens":3,
       "cacheReadTokens":"4","thinkingOutputTokens":"5","responseId":"i","responseHeader":{"sessionID":"s"}},
       "retryInfos":[{"traceId":"f"}]}}]},"executorMetadatasUpdate":{"executorMetadatas":[{"terminationReason":
       "EXECUTOR_TERMINATION_REASON_NO_TOOL_CALL"}],"indices":[0]}},"subtrajectoryUpdates":{"s":{"stepsUpdate":{"steps":[{}],
       "indices":[4294967295]}}}}}"#,
    r#"{"steps":[{"type":"X","status":1},{"metadata":{"createdAt":"1969-12-31T23:59:59Z"}}]}"#,
    r#"{"generatorMetadata":[{"chatModel":{"usage":{"inputTokens":"18446744073709551615","messageId":"m"}}},null]}"#,
    r#"{"trajectorySummaries":{"c":{"stepCount":7,"status":"CASCADE_RUN_STATUS_IDLE","lastModifiedTime":"2026-01-01T00:00:00Z",
       "trajectoryId":"t","notFullyIdle":true,"trajectoryMetadata":{"rootConversationId":"r"}},"d":{}}}"#,
    r#"{"userStatus":{"cascadeModelConfigData":{"clientModelConfigs":[{"label":"Gemini","modelOrAlias":{"model":"M"},
       "quotaInfo":{"remainingFraction":0.5,"resetTime":"2026-01-01T00:00:00Z"}}]}}}"#,
];

pub fn differences() -> Vec<Vec<u8>> {
    let one = |value: Value| Diff::UpdateSingular(SingularValue { value: Some(value) });
    let field = |field_number, diff| FieldDiff {
        field_number,
        diff: Some(diff),
    };
    let message = |fields: Vec<FieldDiff>| {
        Value::MessageValue(MessageDiff {
            field_diffs: fields,
        })
    };
    let list = |length, values: Vec<Value>| {
        let update_indices = (0..values.len() as u32).collect();
        let update_values = values
            .into_iter()
            .map(|value| SingularValue { value: Some(value) })
            .collect();
        Diff::UpdateRepeated(RepeatedDiff {
            new_length: length,
            update_values,
            update_indices,
        })
    };
    let text = |text: &str| SingularValue {
        value: Some(Value::StringValue(text.to_owned())),
    };
    let entry = MapKeyDiff {
        map_key: Some(text("key")),
        diff: Some(map_key_diff::Diff::UpdateSingular(text("value"))),
    };
    let map = Diff::UpdateMap(MapDiff {
        map_key_diffs: vec![entry],
    });
    let step = message(vec![
        field(1, one(Value::EnumValue(15))),
        field(4, one(Value::EnumValue(3))),
    ]);
    let generation = message(vec![field(
        1,
        one(message(vec![
            field(3, map.clone()),
            field(4, one(Value::Uint64Value(7))),
        ])),
    )]);
    let trajectory = message(vec![
        field(1, one(Value::StringValue("t".into()))),
        field(2, list(2, vec![step.clone(), step])),
        field(3, list(1, vec![generation])),
    ]);
    let whole = MessageDiff {
        field_diffs: vec![
            field(1, one(Value::StringValue("c".into()))),
            field(2, one(trajectory)),
            field(3, one(Value::EnumValue(2))),
            field(11, one(Value::BoolValue(true))),
        ],
    };
    let change = MessageDiff {
        field_diffs: vec![
            field(3, Diff::Clear(true)),
            field(2, map),
            field(2, list(9, vec![])),
        ],
    };
    let shrunk = MessageDiff {
        field_diffs: vec![field(2, one(message(vec![field(2, list(1, vec![]))])))],
    };
    let stream = |differences: &[&MessageDiff]| -> Vec<u8> {
        let each = |difference: &&MessageDiff| {
            let bytes = difference.encode_to_vec();
            [
                &u16::try_from(bytes.len()).expect("short").to_be_bytes()[..],
                &bytes,
            ]
            .concat()
        };
        differences.iter().flat_map(each).collect()
    };
    vec![
        stream(&[&whole]),
        stream(&[&whole, &shrunk, &whole]),
        stream(&[&whole, &change]),
        stream(&[&change, &shrunk]),
    ]
}

/// Each kind of rule before the body of a request: three bytes that choose host, path and coding, the
/// rules, a zero, and the body.
pub(super) fn rules() -> Vec<Vec<u8>> {
    const RULES: [&str; 4] = [
        "[[rule]]\nname = \"a\"\nappend_system = \"x\"\nmax_output_tokens = 5\nmax_thinking_tokens = 2000\ninclude_usage = true\n",
        "[[rule]]\nname = \"a\"\nmatch = { model = \"*\" }\nmodel = \"b\"\ncontinue = true\n[[rule]]\nname = \"c\"\nprepend_system = \"y\"\n",
        "[[rule]]\nname = \"a\"\nset = { \"/a\" = [1, { b = 2.5 }] }\nremove = [\"/model\", \"/messages/0\"]\n",
        "[[rule]]\nname = \"a\"\npatch = [{ op = \"move\", from = \"/model\", path = \"/x\" }, { op = \"copy\", from = \"/x\", path = \"/model\" }]\n",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    let forms = [
        ("anthropic", 3, 0),
        ("chat", 4, 1),
        ("responses", 4, 2),
        ("gemini", 1, 4),
        ("cloud_code", 0, 5),
        ("bedrock_converse", 6, 6),
        ("ollama_chat", 7, 7),
    ];
    let seed = |(form, host, path): (&str, u8, u8), rules: &str| {
        let body = fs::read(folder.join(form).join("request.json")).expect("a fixture");
        // No coding.
        let choices = [host, path, u8::MAX];
        [&choices[..], rules.as_bytes(), &[0][..], &body[..]].concat()
    };
    forms
        .into_iter()
        .flat_map(|form| RULES.map(|rules| seed(form, rules)))
        .collect()
}
