use std::time::{Duration, Instant};

use loona_hpack::Encoder;
use proptest::prelude::*;

use super::streams::MAX_STREAMS;
use super::*;
use crate::observe::transcript::{
    OBSERVED_PROTOCOL, Recording, Transcript, assert_cuts_change_nothing, cut, replay, scatter,
};
use Direction::{ToAgent, ToProvider};

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const MALFORMED: [ObserverFailure; 1] = [ObserverFailure::Http2Malformed];

/// Writes both sides of a connection.
struct Script {
    agent: Encoder<'static>,
    provider: Encoder<'static>,
    recording: Recording,
}

impl Script {
    /// A connection whose sides have greeted each other.
    fn greeted() -> Self {
        let mut script = Self {
            agent: Encoder::new(),
            provider: Encoder::new(),
            recording: Vec::new(),
        };
        script.recording.push((ToProvider, PREFACE.to_vec()));
        script
            .frame(ToProvider, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])
            .frame(ToAgent, SETTINGS, 0, 0, &[]);
        script
            .frame(ToProvider, SETTINGS, 1, 0, &[])
            .frame(ToAgent, SETTINGS, 1, 0, &[]);
        script
    }

    fn frame(
        &mut self,
        from: Direction,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> &mut Self {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.recording.push((from, bytes));
        self
    }

    fn block(&mut self, from: Direction, fields: &[(&str, &str)]) -> Vec<u8> {
        let encoder = if from == ToProvider {
            &mut self.agent
        } else {
            &mut self.provider
        };
        encoder.encode(
            fields
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        )
    }

    fn headers(
        &mut self,
        from: Direction,
        flags: u8,
        stream: u32,
        fields: &[(&str, &str)],
    ) -> &mut Self {
        let block = self.block(from, fields);
        self.frame(from, HEADERS, flags | END_HEADERS, stream, &block)
    }

    fn post(&mut self, stream: u32, path: &str) -> &mut Self {
        self.headers(
            ToProvider,
            0,
            stream,
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":path", path),
                ("a", path),
            ],
        )
    }

    fn get(&mut self, stream: u32, path: &str) -> &mut Self {
        self.headers(
            ToProvider,
            END_STREAM,
            stream,
            &[(":method", "GET"), (":path", path)],
        )
    }

    fn status(&mut self, flags: u8, stream: u32, status: &str) -> &mut Self {
        self.headers(
            ToAgent,
            flags,
            stream,
            &[(":status", status), ("content-type", "text/event-stream")],
        )
    }

    fn data(&mut self, from: Direction, flags: u8, stream: u32, text: &str) -> &mut Self {
        self.frame(from, DATA, flags, stream, text.as_bytes())
    }

    fn reset(&mut self, from: Direction, stream: u32, code: u32) -> &mut Self {
        self.frame(from, RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    fn table_size(&mut self, from: Direction, size: u32) -> &mut Self {
        let mut payload = vec![0, 4, 0, 0, 255, 255, 0, 1];
        payload.extend(size.to_be_bytes());
        self.frame(from, SETTINGS, 0, 0, &payload)
    }

    fn observe(&self, end: End) -> (Vec<String>, Vec<ObserverFailure>) {
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &self.recording, end);
        (transcript.lines(), transcript.pages().failures)
    }

    /// Observes and requires these exchanges, at every cut.
    fn expect(&self, end: End, lines: &[&str], failures: &[ObserverFailure]) {
        let (seen, counted) = self.observe(end);
        assert_eq!(seen, lines);
        assert_eq!(counted, failures);
        assert_cuts_change_nothing(observer, &self.recording, end);
    }
}

fn observer(transcript: &Transcript) -> Http2 {
    Http2::new(transcript.opener(), transcript.record(), Memory::default())
}

fn golden() -> Script {
    let mut script = Script::greeted();
    script
        .post(1, "/one?alt=sse")
        .post(3, "/two")
        .get(5, "/three")
        .data(ToProvider, 0, 1, "1a");
    script
        .data(ToProvider, END_STREAM, 3, "2")
        .data(ToProvider, END_STREAM, 1, "1b");
    script
        .status(0, 3, "100")
        .status(0, 3, "200")
        .status(0, 1, "200")
        .data(ToAgent, 0, 1, "x")
        .data(ToAgent, 0, 3, "y");
    script
        .frame(ToAgent, PING, 0, 0, &[0; 8])
        .frame(ToAgent, 0xfa, 0xff, 77, b"unknown")
        .status(END_STREAM, 5, "204");
    script.data(ToAgent, END_STREAM, 1, "x2").headers(
        ToAgent,
        END_STREAM,
        3,
        &[("grpc-status", "0")],
    );
    script
}

#[test]
fn interleaved_streams_are_told_apart() {
    let expected = [
        "POST /one [1a1b] 200 [xx2] [Complete]",
        "POST /two [2] 200 [y] [Complete]",
        "GET /three [] 204 [] [Complete]",
    ];
    golden().expect(End::Closed, &expected, &[]);
}

#[test]
fn padding_priority_and_continuation_are_stripped() {
    let mut script = Script::greeted();
    let block = script.block(
        ToProvider,
        &[
            (":method", "POST"),
            (":path", "/a"),
            ("x-long", &"v".repeat(300)),
        ],
    );
    let mut first = vec![3, 0, 0, 0, 0, 16];
    first.extend(&block[..10]);
    first.extend([0, 0, 0]);
    script.frame(ToProvider, HEADERS, PADDED | PRIORITY, 1, &first);
    script.frame(ToProvider, CONTINUATION, 0, 1, &[]).frame(
        ToProvider,
        CONTINUATION,
        0,
        1,
        &block[10..50],
    );
    script.frame(ToProvider, CONTINUATION, END_HEADERS, 1, &block[50..]);
    script
        .frame(ToProvider, DATA, PADDED, 1, b"\x04body\0\0\0\0")
        .frame(ToProvider, DATA, PADDED, 1, b"\x02\0\0");
    script.frame(ToProvider, DATA, PADDED | END_STREAM, 1, b"\x00!");
    script.status(END_STREAM, 1, "200");
    script.expect(End::Closed, &["POST /a [body!] 200 [] [Complete]"], &[]);
}

#[test]
fn the_first_byte_of_headers_begins_the_request() {
    let transcript = Transcript::default();
    let mut http2 = observer(&transcript);
    let script = golden();
    let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    for (direction, bytes) in &script.recording[..5] {
        http2.bytes(*direction, bytes, start);
    }
    let (_, headers) = &script.recording[5];
    http2.bytes(ToProvider, &headers[..1], start);
    http2.bytes(ToProvider, &headers[1..], later);
    assert_eq!(transcript.pages().begun, [start]);
}

#[test]
fn pushed_streams_keep_the_table_in_step_and_are_dropped() {
    let mut script = Script::greeted();
    script.get(1, "/a");
    let promise = script.block(
        ToAgent,
        &[(":method", "GET"), (":path", "/pushed"), ("x-pushed", "1")],
    );
    let payload = [&[1, 0, 0, 0, 2][..], &promise, &[0]].concat();
    script.frame(ToAgent, PUSH_PROMISE, PADDED | END_HEADERS, 1, &payload);
    script
        .headers(ToAgent, 0, 2, &[(":status", "200"), ("x-pushed", "1")])
        .data(ToAgent, END_STREAM, 2, "pushed");
    script
        .headers(
            ToAgent,
            END_STREAM,
            1,
            &[(":status", "200"), ("x-pushed", "1")],
        )
        .reset(ToProvider, 2, 8);
    script.expect(End::Closed, &["GET /a [] 200 [] [Complete]"], &[]);
}

#[test]
fn resets_say_who_broke_off() {
    let mut script = Script::greeted();
    script
        .post(1, "/agent")
        .status(0, 1, "200")
        .data(ToAgent, 0, 1, "a")
        .reset(ToProvider, 1, 8);
    script
        .data(ToAgent, END_STREAM, 1, "late")
        .post(3, "/provider")
        .reset(ToAgent, 3, 2);
    script
        .data(ToProvider, END_STREAM, 3, "late")
        .post(5, "/early")
        .status(END_STREAM, 5, "413")
        .reset(ToAgent, 5, 0);
    script
        .post(7, "/cut")
        .status(END_STREAM, 7, "413")
        .reset(ToProvider, 7, 8)
        .get(9, "/no-error")
        .reset(ToAgent, 9, 0);
    script.reset(ToAgent, 1, 5);
    let expected = [
        "POST /agent [] 200 [a] [AgentGone]",
        "POST /provider [] - [] [ProviderReset]",
        "POST /early [] 413 [] [Complete]",
        "POST /cut [] 413 [] [Complete]",
        "GET /no-error [] - [] [ProviderReset]",
    ];
    script.expect(End::Closed, &expected, &[]);
}

#[test]
fn goaway_ends_the_streams_that_are_not_served() {
    let goaway = |last: u32| [last.to_be_bytes(), 0u32.to_be_bytes()].concat();
    let mut script = Script::greeted();
    script
        .frame(ToAgent, GOAWAY, 0, 0, &goaway(0x7fff_ffff))
        .get(1, "/served")
        .get(3, "/refused");
    script.frame(ToProvider, GOAWAY, 0, 0, &goaway(0)).frame(
        ToAgent,
        GOAWAY,
        0,
        0,
        &[&goaway(1)[..], b"why"].concat(),
    );
    script.get(5, "/late").status(END_STREAM, 1, "200");
    let expected = [
        "GET /served [] 200 [] [Complete]",
        "GET /refused [] - [] [ProviderReset]",
        "GET /late [] - [] [ProviderReset]",
    ];
    script.expect(End::Closed, &expected, &[]);
}

#[test]
fn a_connect_stream_leaves_http_and_the_others_go_on() {
    let mut script = Script::greeted();
    script
        .headers(
            ToProvider,
            0,
            1,
            &[(":method", "CONNECT"), (":authority", "host:443")],
        )
        .get(3, "/a");
    script
        .status(0, 1, "200")
        .data(ToProvider, 0, 1, "opaque")
        .data(ToAgent, END_STREAM, 1, "opaque");
    script.status(END_STREAM, 3, "200");
    let expected = [
        "CONNECT  [] 200 [] [Upgraded]",
        "GET /a [] 200 [] [Complete]",
    ];
    script.expect(End::Closed, &expected, &[]);
}

/// A stream that extended CONNECT has opened (RFC 8441), and that a request follows.
fn session() -> Script {
    let mut script = Script::greeted();
    let fields = [
        (":method", "CONNECT"),
        (":protocol", OBSERVED_PROTOCOL),
        (":scheme", "https"),
        (":path", "/socket"),
    ];
    script
        .headers(ToProvider, 0, 1, &fields)
        .get(3, "/a")
        .status(0, 1, "200")
        .data(ToProvider, 0, 1, "ask")
        .data(ToAgent, 0, 1, "say")
        .status(END_STREAM, 3, "204");
    script
}

#[test]
fn a_stream_of_extended_connect_goes_on_as_a_session() {
    type Ending = fn(&mut Script) -> &mut Script;
    let endings: [(Ending, End, &str); 8] = [
        (
            |script| {
                script
                    .data(ToProvider, END_STREAM, 1, "")
                    .data(ToAgent, END_STREAM, 1, "")
            },
            End::Closed,
            "AgentGone",
        ),
        (
            |script| {
                script
                    .data(ToAgent, END_STREAM, 1, "")
                    .data(ToProvider, END_STREAM, 1, "")
            },
            End::Closed,
            "Truncated",
        ),
        (
            |script| script.reset(ToProvider, 1, 8),
            End::Closed,
            "AgentGone",
        ),
        (
            |script| script.reset(ToAgent, 1, 8),
            End::Closed,
            "ProviderReset",
        ),
        (
            |script| script.frame(ToAgent, GOAWAY, 0, 0, &[0; 8]),
            End::Closed,
            "ProviderReset",
        ),
        (|script| script, End::AgentGone, "AgentGone"),
        (|script| script, End::ProviderGone, "Truncated"),
        (|script| script, End::Shutdown, "Shutdown"),
    ];
    for (ending, end, told) in endings {
        let mut script = session();
        ending(&mut script);
        let session = format!("CONNECT /socket [] 200 [] [Upgraded], then [ask] [say] [{told}]");
        script.expect(end, &[&session, "GET /a [] 204 [] [Complete]"], &[]);
    }
    let mut lost = session();
    lost.frame(ToAgent, HEADERS, END_HEADERS, 1, &[0xff; 9]);
    let (lines, failures) = lost.observe(End::Closed);
    assert!(lines[0].ends_with("then [ask] [say] [Lost]"), "{lines:?}");
    assert_eq!(failures, MALFORMED);
}

#[test]
fn a_session_that_is_refused_stays_http() {
    let mut script = Script::greeted();
    let fields = [
        (":method", "CONNECT"),
        (":protocol", OBSERVED_PROTOCOL),
        (":path", "/socket"),
    ];
    script
        .headers(ToProvider, END_STREAM, 1, &fields)
        .status(0, 1, "403")
        .data(ToAgent, END_STREAM, 1, "no");
    let refused = ["CONNECT /socket [] 403 [no] [Complete]"];
    script.expect(End::Closed, &refused, &[]);
}

#[test]
fn a_connection_whose_sessions_are_idle_is_between_exchanges() {
    let mut script = Script::greeted();
    let fields = [
        (":method", "CONNECT"),
        (":protocol", OBSERVED_PROTOCOL),
        (":path", "/socket"),
    ];
    script
        .headers(ToProvider, 0, 1, &fields)
        .status(0, 1, "200")
        .data(ToProvider, 0, 1, "ask")
        .data(ToAgent, 0, 1, "say")
        .get(3, "/a")
        .status(END_STREAM, 3, "204");
    let transcript = Transcript::default();
    let mut http2 = observer(&transcript);
    let mut is_between = Vec::new();
    for (direction, bytes) in &script.recording {
        http2.bytes(*direction, bytes, Instant::now());
        is_between.push(http2.is_between_exchanges());
    }
    assert!(
        is_between.ends_with(&[false, true, false, true, false, true]),
        "{is_between:?}"
    );
}

#[test]
fn the_table_follows_what_the_other_side_announces() {
    let grow = |to: u32, stream: u32, script: &mut Script| {
        let block = [
            &hpack_size_update(to)[..],
            &script.block(ToProvider, &[(":method", "GET"), (":path", "/a")]),
        ]
        .concat();
        script
            .frame(
                ToProvider,
                HEADERS,
                END_STREAM | END_HEADERS,
                stream,
                &block,
            )
            .status(END_STREAM, stream, "200");
    };
    let ok = "GET /a [] 200 [] [Complete]";

    let mut unannounced = Script::greeted();
    grow(8192, 1, &mut unannounced);
    assert_eq!(
        unannounced.observe(End::Closed),
        (vec![], MALFORMED.to_vec())
    );

    let mut announced = Script::greeted();
    announced.table_size(ToAgent, 8192);
    grow(8192, 1, &mut announced);
    announced.table_size(ToAgent, 1024);
    grow(8192, 3, &mut announced);
    grow(0, 5, &mut announced);
    announced.expect(End::Closed, &[ok, ok, ok], &[]);

    let mut wrong_side = Script::greeted();
    wrong_side.table_size(ToProvider, 8192);
    grow(8192, 1, &mut wrong_side);
    assert_eq!(
        wrong_side.observe(End::Closed),
        (vec![], MALFORMED.to_vec())
    );

    let mut greedy = Script::greeted();
    greedy.table_size(ToAgent, u32::MAX);
    grow(1 << 20, 1, &mut greedy);
    assert_eq!(greedy.observe(End::Closed), (vec![], MALFORMED.to_vec()));
}

/// A dynamic table size update (RFC 7541 section 6.3).
fn hpack_size_update(size: u32) -> Vec<u8> {
    let Some(mut rest) = size.checked_sub(31) else {
        return vec![0x20 | u8::try_from(size).unwrap()];
    };
    let mut bytes = vec![0x3f];
    while rest >= 128 {
        bytes.push(0x80 | u8::try_from(rest % 128).unwrap());
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

#[test]
fn what_breaks_the_framing_loses_the_connection_once() {
    type Break = fn(&mut Script) -> &mut Script;
    let breaks: [(&str, Break); 19] = [
        ("DATA on a stream never opened", |s| {
            s.data(ToProvider, 0, 9, "x")
        }),
        ("HEADERS on a stream never opened", |s| {
            s.status(0, 9, "200")
        }),
        ("RST_STREAM on a stream never opened", |s| {
            s.reset(ToAgent, 9, 0)
        }),
        ("an even stream of the agent", |s| s.get(2, "/even")),
        ("DATA before the head", |s| s.data(ToAgent, 0, 1, "x")),
        ("DATA behind the end", |s| {
            s.data(ToProvider, END_STREAM, 1, "")
                .data(ToProvider, 0, 1, "x")
        }),
        ("DATA on the connection", |s| s.data(ToProvider, 0, 0, "x")),
        ("more padding than frame", |s| {
            s.frame(ToProvider, DATA, PADDED, 1, b"\x05xxxx")
        }),
        ("no room for the priority", |s| {
            s.frame(ToProvider, HEADERS, PRIORITY | END_HEADERS, 3, b"1234")
        }),
        ("CONTINUATION of nothing", |s| {
            s.frame(ToProvider, CONTINUATION, END_HEADERS, 1, b"")
        }),
        ("a frame inside a block", |s| {
            s.frame(ToProvider, HEADERS, 0, 3, b"\x82")
                .frame(ToProvider, PING, 0, 0, &[0; 8])
        }),
        ("CONTINUATION of another stream", |s| {
            s.frame(ToProvider, HEADERS, 0, 3, b"\x82").frame(
                ToProvider,
                CONTINUATION,
                END_HEADERS,
                5,
                b"\x84",
            )
        }),
        ("an HPACK index out of bounds", |s| {
            s.frame(ToProvider, HEADERS, END_HEADERS, 3, b"\x82\xfe")
        }),
        ("a request without a path", |s| {
            s.headers(ToProvider, 0, 3, &[(":method", "GET")])
        }),
        ("a response without a status", |s| {
            s.headers(ToAgent, 0, 1, &[("a", "b")])
        }),
        ("a status of four digits", |s| s.status(0, 1, "2000")),
        ("RST_STREAM of three bytes", |s| {
            s.frame(ToAgent, RST_STREAM, 0, 1, &[0; 3])
        }),
        ("RST_STREAM on the connection", |s| {
            s.frame(ToAgent, RST_STREAM, 0, 0, &[0; 4])
        }),
        ("SETTINGS of five bytes", |s| {
            s.frame(ToAgent, SETTINGS, 0, 0, &[0; 5])
        }),
    ];
    for (name, break_it) in breaks {
        let mut script = Script::greeted();
        script.post(1, "/open");
        break_it(&mut script);
        script.get(11, "/after").status(END_STREAM, 11, "200");
        let (lines, failures) = script.observe(End::Closed);
        assert_eq!(lines, ["POST /open [] - [] [Lost]"], "{name}");
        assert_eq!(failures, MALFORMED, "{name}");
    }
    for (agent, provider) in [
        (&b"GET / HTTP/1.1\r\n\r\n12345678"[..], &b""[..]),
        (PREFACE, b"HTTP/1.1 400 Bad\r\n\r\n"),
    ] {
        let transcript = Transcript::default();
        let recording = [(ToProvider, agent.to_vec()), (ToAgent, provider.to_vec())];
        replay(&mut observer(&transcript), &recording, End::Closed);
        assert_eq!(transcript.pages().failures, MALFORMED);
    }
}

#[test]
fn the_end_of_the_connection_ends_every_stream() {
    let mut script = Script::greeted();
    script
        .post(1, "/a")
        .post(3, "/b")
        .status(0, 3, "200")
        .data(ToAgent, 0, 3, "half");
    script.post(5, "/c").status(END_STREAM, 5, "400");
    for (end, cut_off) in [
        (End::AgentGone, "AgentGone"),
        (End::ProviderGone, "Truncated"),
        (End::Closed, "Truncated"),
        (End::Shutdown, "Shutdown"),
    ] {
        let expected = [
            format!("POST /a [] - [] [{cut_off}]"),
            format!("POST /b [] 200 [half] [{cut_off}]"),
            "POST /c [] 400 [] [Complete]".to_owned(),
        ];
        assert_eq!(script.observe(end), (expected.to_vec(), vec![]));
    }
}

#[test]
fn the_end_of_the_providers_side_ends_what_it_owes() {
    for (agent_left, cut_off) in [(false, "Truncated"), (true, "AgentGone")] {
        let transcript = Transcript::default();
        let mut http2 = observer(&transcript);
        let mut script = Script::greeted();
        script.get(1, "/a");
        for (direction, bytes) in &script.recording {
            http2.bytes(*direction, bytes, Instant::now());
        }
        if agent_left {
            http2.half_closed(ToProvider, Instant::now());
        }
        assert!(!http2.is_between_exchanges());
        http2.half_closed(ToAgent, Instant::now());
        assert!(http2.is_between_exchanges());
        drop(http2);
        assert_eq!(transcript.lines(), [format!("GET /a [] - [] [{cut_off}]")]);
    }
}

#[test]
fn an_answer_that_is_complete_after_the_agent_has_left_says_so() {
    let transcript = Transcript::default();
    let mut http2 = observer(&transcript);
    let mut script = Script::greeted();
    script
        .get(1, "/a")
        .get(3, "/b")
        .status(END_STREAM, 1, "200");
    let before = script.recording.len();
    script
        .status(0, 3, "200")
        .data(ToAgent, END_STREAM, 3, "all");
    let (early, late) = script.recording.split_at(before);
    let pass = |http2: &mut Http2, pieces: &[(Direction, Vec<u8>)]| {
        pieces
            .iter()
            .for_each(|(direction, bytes)| http2.bytes(*direction, bytes, Instant::now()));
    };
    pass(&mut http2, early);
    http2.half_closed(ToProvider, Instant::now());
    pass(&mut http2, late);
    assert_eq!(
        transcript.lines(),
        [
            "GET /a [] 200 [] [Complete]",
            "GET /b [] 200 [all] [AgentLeft]"
        ]
    );
}

#[test]
fn a_dropped_observer_ends_its_exchanges() {
    let transcript = Transcript::default();
    let mut http2 = observer(&transcript);
    let mut script = Script::greeted();
    script.get(1, "/a").get(3, "/b");
    for (direction, bytes) in &script.recording {
        http2.bytes(*direction, bytes, Instant::now());
    }
    drop(http2);
    assert_eq!(
        transcript.lines(),
        ["GET /a [] - [] [Lost]", "GET /b [] - [] [Lost]"]
    );
}

#[test]
fn limits_are_counted() {
    let mut flood = Script::greeted();
    flood.get(1, "/a").frame(ToProvider, HEADERS, 0, 3, b"\x82");
    for _ in 0..17 {
        flood.frame(ToProvider, CONTINUATION, 0, 3, &[0x82; 16_384]);
    }
    let lost = vec!["GET /a [] - [] [Lost]".to_owned()];
    assert_eq!(
        flood.observe(End::Closed),
        (lost, vec![ObserverFailure::Limit])
    );

    let mut crowd = Script::greeted();
    for stream in 0..=u32::try_from(MAX_STREAMS).unwrap() {
        crowd.get(2 * stream + 1, "/");
    }
    let skipped = 2 * u32::try_from(MAX_STREAMS).unwrap() + 1;
    crowd
        .status(0, skipped, "200")
        .data(ToAgent, END_STREAM, skipped, "x")
        .status(END_STREAM, 1, "200");
    let (lines, failures) = crowd.observe(End::AgentGone);
    assert_eq!(lines.len(), MAX_STREAMS);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.ends_with("200 [] [Complete]"))
            .count(),
        1
    );
    assert_eq!(failures, [ObserverFailure::Limit]);
}

#[test]
fn no_field_off_the_list_is_taken() {
    let mut script = Script::greeted();
    let secret = [
        (":method", "POST"),
        (":path", "/a?key=CANARY&alt=sse"),
        ("authorization", "CANARY"),
        ("cookie", "CANARY"),
    ];
    script.headers(ToProvider, END_STREAM, 1, &secret);
    script.headers(
        ToAgent,
        END_STREAM,
        1,
        &[
            (":status", "429"),
            ("set-cookie", "CANARY"),
            ("retry-after", "7"),
        ],
    );
    let transcript = Transcript::default();
    replay(&mut observer(&transcript), &script.recording, End::Closed);
    let pages = transcript.pages();
    assert!(!format!("{pages:?}").contains("CANARY"));
    assert_eq!(pages.exchanges[0].request.query, ["alt=sse"]);
    assert_eq!(
        pages.exchanges[0]
            .response
            .clone()
            .unwrap()
            .fields
            .retry_after_seconds,
        Some(7)
    );
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn any_cut_reads_the_same(distances in prop::collection::vec(1usize..40, 1..20)) {
        let script = golden();
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &cut(&script.recording, &distances), End::Closed);
        prop_assert_eq!(transcript.lines(), script.observe(End::Closed).0);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut recording = Script::greeted().recording;
        recording.extend(scatter(&bytes));
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &recording, End::Closed);
        let pages = transcript.pages();
        prop_assert!(pages.failures.len() <= 1);
        prop_assert!(pages.exchanges.iter().all(|seen| seen.ends.len() == 1));
    }

    #[test]
    fn any_damage_is_survived(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut recording = golden().recording;
        for (place, byte) in hits {
            let at = place.index(recording.len());
            let length = recording[at].1.len();
            recording[at].1[place.index(length)] ^= byte;
        }
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &recording, End::Closed);
        let pages = transcript.pages();
        prop_assert!(pages.failures.len() <= 1);
        prop_assert!(pages.exchanges.iter().all(|seen| seen.ends.len() == 1));
    }
}
