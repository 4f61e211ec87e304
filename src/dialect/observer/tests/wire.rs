//! Whole connections, byte by byte as they pass: whose ids a call has, in a crowd and at the end of
//! a long body.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use loona_hpack::Encoder;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::*;
use crate::record::CorrelationMethod;
use Direction::{ToAgent, ToProvider};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// The calls of a connection over which these bytes pass. Nothing else may be stated of it.
fn calls_of(alpn: Alpn, bytes: impl IntoIterator<Item = (Direction, Vec<u8>)>) -> Vec<Call> {
    let facts = Arc::new(Facts::default());
    let connection = connection("daily-cloudcode-pa.googleapis.com", alpn);
    let at = connection.opened;
    let mut observer = Observers {
        record: Arc::clone(&facts) as Arc<dyn Record>,
        memory: Memory::default(),
    }
    .open(connection);
    bytes
        .into_iter()
        .for_each(|(direction, bytes)| observer.bytes(direction, &bytes, at));
    observer.end(End::Closed, at);
    let call = |fact| match fact {
        Fact::Call(call) => Some(*call),
        Fact::CallStarted(_) | Fact::ContentChunks(_) | Fact::TotalCompared { .. } => None,
        other => panic!("{other:?}"),
    };
    facts.taken().into_iter().filter_map(call).collect()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of header fields in a frame of its own.
fn headers(encoder: &mut Encoder<'static>, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let block = encoder.encode(
        fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    );
    frame(HEADERS, END_HEADERS, stream, &block)
}

const ASK: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/v1internal:streamGenerateContent?alt=sse"),
    ("content-type", "application/json"),
];
const ANSWER: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/event-stream")];

/// What a call of the conversation with this number says, and what is to be read of it.
struct Talk {
    number: usize,
    conversation: Uuid,
    trajectory: Uuid,
}

impl Talk {
    fn new(number: usize) -> Self {
        let uuid = |kind: u128| {
            Uuid::from_u128(
                0x5b1f_6a52_0f0e_4a39_9d3c_0000_0000_0000 + (kind << 32) + number as u128,
            )
        };
        Self {
            number,
            conversation: uuid(1),
            trajectory: uuid(2),
        }
    }

    /// Some agents are new, some old, some name a conversation only in labels.
    fn request_id(&self) -> Option<String> {
        let Self {
            number,
            conversation,
            trajectory,
        } = self;
        match number % 4 {
            0 => Some(format!(
                "agent/{conversation}/{}/{trajectory}/{number}",
                1_780_000_000_000_usize + number
            )),
            1 => Some(format!("agent/1772754457436/{trajectory}/{number}")),
            2 => Some(format!("checkpoint/{trajectory}")),
            _ => None,
        }
    }

    fn request(&self) -> String {
        let Self {
            number, trajectory, ..
        } = self;
        let id = self
            .request_id()
            .map_or_else(String::new, |id| format!(r#","requestId":"{id}""#));
        format!(
            r#"{{"model":"m-{number}","request":{{"contents":[{{"parts":[{{"text":"my \"requestId\": {number}"}}]}}],
            "labels":{{"trajectory_id":"{trajectory}","last_execution_id":"e-{number}"}},"sessionId":"s-{number}"}}{id}}}"#
        )
    }

    fn response(&self) -> String {
        let number = self.number;
        let event = |said: &str| {
            format!(
                "data: {{\"response\":{{{said},\"responseId\":\"r-{number}\"}},\"traceId\":\"x-{number}\"}}\r\n\r\n"
            )
        };
        let usage = format!(
            r#""usageMetadata":{{"promptTokenCount":{},"candidatesTokenCount":1}}"#,
            number + 1
        );
        let finish = format!(r#""candidates":[{{"finishReason":"STOP"}}],{usage}"#);
        [
            event(r#""candidates":[{"content":{"parts":[{"text":"yes"}]}}]"#),
            event(&finish),
        ]
        .concat()
    }

    /// What is read of the call whose model names the conversation's number.
    fn expect_in(&self, call: &Call) {
        let Self {
            number,
            conversation,
            trajectory,
        } = self;
        let text = |id: &Option<crate::record::Id>| id.as_ref().map(ToString::to_string);
        let (conversation, trajectory) = (conversation.to_string(), trajectory.to_string());
        let named = number % 4 < 2;
        let ids = &call.ids;
        assert_eq!(text(&ids.request), self.request_id(), "{number}");
        assert_eq!(
            text(&ids.conversation),
            (number % 4 == 0).then_some(conversation),
            "{number}"
        );
        assert_eq!(
            text(&ids.trajectory),
            named.then(|| trajectory.clone()),
            "{number}"
        );
        assert_eq!(
            text(&ids.unexplained),
            (number % 4 == 2).then(|| trajectory.clone()),
            "{number}"
        );
        assert_eq!(text(&ids.labelled_trajectory), Some(trajectory), "{number}");
        assert_eq!(
            text(&ids.step),
            (number % 4 < 2).then(|| number.to_string()),
            "{number}"
        );
        let rest = [
            &ids.session,
            &ids.execution,
            &ids.provider_trace,
            &ids.response,
        ]
        .map(text);
        assert_eq!(
            rest,
            ["s", "e", "x", "r"].map(|kind| Some(format!("{kind}-{number}")))
        );
        let method = if named {
            CorrelationMethod::RequestId
        } else {
            CorrelationMethod::Labels
        };
        assert_eq!(
            call.correlation,
            Correlation {
                cascade: None,
                method
            },
            "{number}"
        );
        assert_eq!(
            (call.usage.total(), call.quality),
            (*number as u64 + 2, Quality::Exact),
            "{number}"
        );
    }
}

/// A stream of a connection, and what is still to be sent on it.
struct Stream {
    id: u32,
    asks: VecDeque<Vec<u8>>,
    /// Begins when all has been asked.
    answers: VecDeque<Vec<u8>>,
    is_answered: bool,
}

impl Stream {
    fn new(id: u32, talk: &Talk, random: &mut StdRng) -> Self {
        let mut pieces = |text: String| {
            let mut rest = text.as_bytes();
            let mut pieces = VecDeque::new();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(random.random_range(1..=rest.len().min(60)));
                pieces.push_back(piece.to_vec());
                rest = tail;
            }
            pieces
        };
        Self {
            id,
            asks: pieces(talk.request()),
            answers: pieces(talk.response()),
            is_answered: false,
        }
    }

    /// The next frame, until all are sent.
    fn next(&mut self, encoder: &mut Encoder<'static>) -> Option<(Direction, Vec<u8>)> {
        let data = |pieces: &mut VecDeque<Vec<u8>>| {
            let piece = pieces.pop_front()?;
            Some(frame(
                DATA,
                if pieces.is_empty() { END_STREAM } else { 0 },
                self.id,
                &piece,
            ))
        };
        if let Some(frame) = data(&mut self.asks) {
            return Some((ToProvider, frame));
        }
        if !std::mem::replace(&mut self.is_answered, true) {
            return Some((ToAgent, headers(encoder, self.id, &ANSWER)));
        }
        data(&mut self.answers).map(|frame| (ToAgent, frame))
    }
}

/// A connection on which the conversations take turns at random.
fn crowd(talks: &[Talk], seed: u64) -> Vec<(Direction, Vec<u8>)> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut agent, mut provider) = (Encoder::new(), Encoder::new());
    let mut sent = vec![
        (ToProvider, PREFACE.to_vec()),
        (ToProvider, frame(SETTINGS, 0, 0, &[])),
    ];
    sent.push((ToAgent, frame(SETTINGS, 0, 0, &[])));
    let mut streams = Vec::new();
    for (talk, id) in talks.iter().zip((1..).step_by(2)) {
        sent.push((ToProvider, headers(&mut agent, id, &ASK)));
        streams.push(Stream::new(id, talk, &mut random));
        let turn = random.random_range(0..streams.len());
        // None has asked all before the last one begins, so that all of them are open at once.
        if streams[turn].asks.len() > 1 {
            sent.extend(streams[turn].next(&mut provider));
        }
    }
    while !streams.is_empty() {
        let turn = random.random_range(0..streams.len());
        match streams[turn].next(&mut provider) {
            Some(frame) => sent.push(frame),
            None => _ = streams.swap_remove(turn),
        }
    }
    sent
}

#[test]
fn two_hundred_conversations_on_one_connection_keep_their_own_ids() {
    let talks: Vec<_> = (0..200).map(Talk::new).collect();
    for seed in 0..3 {
        let calls = calls_of(Alpn::H2, crowd(&talks, seed));
        assert_eq!(calls.len(), talks.len());
        let by_model: BTreeMap<_, _> = calls
            .iter()
            .map(|call| (call.model.to_string(), call))
            .collect();
        talks
            .iter()
            .for_each(|talk| talk.expect_in(by_model[&format!("m-{}", talk.number)]));
        let ended: Vec<_> = calls.iter().map(|call| call.number).collect();
        assert!(
            !ended.is_sorted(),
            "they end in another order than they began"
        );
    }
}

#[test]
fn two_trajectories_take_turns_on_one_connection() {
    let talks = [Talk::new(0), Talk::new(4)];
    for seed in 0..20 {
        let calls = calls_of(Alpn::H2, crowd(&talks, seed));
        assert_eq!(calls.len(), talks.len());
        for talk in &talks {
            talk.expect_in(
                calls
                    .iter()
                    .find(|call| call.model.as_str() == format!("m-{}", talk.number))
                    .unwrap(),
            );
        }
    }
}

/// A request of more than 8 MiB whose ids stand behind its prompt.
fn long_request(talk: &Talk) -> String {
    let mut prompt = String::new();
    for line in 0.. {
        if prompt.len() > 8 << 20 {
            break;
        }
        write!(
            prompt,
            r#"{line:x}: \"requestId\":\"agent/{line}\" of {}é\n"#,
            line * 7919
        )
        .unwrap();
    }
    talk.request().replacen("my ", &prompt, 1)
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// In chunks, as an agent sends what it does not know the length of.
fn chunked(body: &[u8]) -> Vec<Vec<u8>> {
    let chunk =
        |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    body.chunks(16_000)
        .map(chunk)
        .chain([b"0\r\n\r\n".to_vec()])
        .collect()
}

#[test]
fn ids_at_the_very_end_of_a_long_body_are_read_in_every_coding() {
    let talk = Talk::new(0);
    let body = long_request(&talk);
    assert!(
        body.len() > 8 << 20
            && body
                .find(r#""requestId":"agent/5b"#)
                .is_some_and(|at| body.len() - at < 130)
    );
    let head = "POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: x\r\n";
    let answer = talk.response();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    for (coding, body) in [
        ("identity", body.clone().into_bytes()),
        ("gzip", gzipped(&body)),
    ] {
        let chunks = chunked(&body);
        let chunked_head =
            format!("{head}Transfer-Encoding: chunked\r\nContent-Encoding: {coding}\r\n\r\n");
        let sized_head = format!(
            "{head}Content-Length: {}\r\nContent-Encoding: {coding}\r\n\r\n",
            body.len()
        );
        for (head, body) in [
            (chunked_head, chunks),
            (
                sized_head,
                body.chunks(16_384).map(<[u8]>::to_vec).collect(),
            ),
        ] {
            let sent = [head.into_bytes()]
                .into_iter()
                .chain(body)
                .map(|bytes| (ToProvider, bytes));
            let calls = calls_of(
                Alpn::Http1,
                sent.chain([(ToAgent, answer.clone().into_bytes())]),
            );
            assert_eq!(calls.len(), 1);
            talk.expect_in(&calls[0]);
        }
    }
}

#[test]
fn ids_at_the_very_end_of_a_long_body_are_read_over_http2() {
    let talk = Talk::new(0);
    let body = long_request(&talk).into_bytes();
    for (coding, body) in [
        ("identity", body.clone()),
        ("gzip", gzipped(std::str::from_utf8(&body).unwrap())),
    ] {
        let (mut agent, mut provider) = (Encoder::new(), Encoder::new());
        let ask = ASK
            .into_iter()
            .chain([("content-encoding", coding)])
            .collect::<Vec<_>>();
        let mut sent = vec![
            (ToProvider, PREFACE.to_vec()),
            (ToProvider, frame(SETTINGS, 0, 0, &[])),
        ];
        sent.extend([
            (ToAgent, frame(SETTINGS, 0, 0, &[])),
            (ToProvider, headers(&mut agent, 1, &ask)),
        ]);
        sent.extend(
            body.chunks(16_384)
                .map(|piece| (ToProvider, frame(DATA, 0, 1, piece))),
        );
        sent.extend([
            (ToProvider, frame(DATA, END_STREAM, 1, &[])),
            (ToAgent, headers(&mut provider, 1, &ANSWER)),
        ]);
        sent.push((
            ToAgent,
            frame(DATA, END_STREAM, 1, talk.response().as_bytes()),
        ));
        let calls = calls_of(Alpn::H2, sent);
        assert_eq!(calls.len(), 1, "{coding}");
        talk.expect_in(&calls[0]);
    }
}
