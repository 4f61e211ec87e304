use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::observe::transcript::{
    Recording, Transcript, assert_cuts_change_nothing, cut, replay, scatter,
};
use crate::record::TimeoutStep;
use Direction::{ToAgent, ToProvider};

fn observer(transcript: &Transcript) -> Http1 {
    Http1::new(transcript.opener(), transcript.record(), Memory::default())
}

/// Pieces as text: `>` to the provider, `<` to the agent.
fn recording(pieces: &[&str]) -> Recording {
    let parse = |piece: &&str| match piece.split_at(1) {
        (">", bytes) => (ToProvider, bytes.as_bytes().to_vec()),
        ("<", bytes) => (ToAgent, bytes.as_bytes().to_vec()),
        _ => panic!("{piece}"),
    };
    pieces.iter().map(parse).collect()
}

fn observe(pieces: &[&str], end: End) -> (Vec<String>, Vec<ObserverFailure>) {
    let transcript = Transcript::default();
    replay(&mut observer(&transcript), &recording(pieces), end);
    (transcript.lines(), transcript.pages().failures)
}

const GET: &str = ">GET /a HTTP/1.1\r\nhost: x\r\n\r\n";
const MALFORMED: [ObserverFailure; 1] = [ObserverFailure::Http1Malformed];

/// Connections that are understood to the last byte.
fn golden() -> Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)> {
    vec![
        (
            "lengths and keep-alive",
            vec![
                ">POST /a?alt=sse HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
                "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                ">\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            ],
            vec![
                "POST /a [hello] 200 [ok] [Complete]",
                "GET /b [] 404 [] [Complete]",
            ],
        ),
        (
            "chunks with extensions and trailers, both ways",
            vec![
                ">POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n",
                "<HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\nA\r\n0123456789\r\n0\r\nTrailer: v\r\n\r\n",
                ">GET /b HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 204 No Content\r\n\r\n",
            ],
            vec![
                "POST /a [abc] 200 [x0123456789] [Complete]",
                "GET /b [] 204 [] [Complete]",
            ],
        ),
        (
            "pipelined requests and responses",
            vec![
                ">GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiHEAD /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n",
                "<HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            ],
            vec![
                "GET /1 [] 200 [a] [Complete]",
                "POST /2 [hi] 200 [b] [Complete]",
                "HEAD /3 [] 200 [] [Complete]",
                "GET /4 [] 304 [] [Complete]",
            ],
        ),
        (
            "interim heads",
            vec![
                ">POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
                "<HTTP/1.1 100 Continue\r\n\r\n",
                ">x",
                "<HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ],
            vec!["POST /a [x] 200 [] [Complete]"],
        ),
        (
            "a response before the end of its request",
            vec![
                ">POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nab",
                "<HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
                ">cdGET /b HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ],
            vec![
                "POST /a [abcd] 413 [no] [Complete]",
                "GET /b [] 200 [] [Complete]",
            ],
        ),
        (
            "an upgrade",
            vec![
                ">GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{81}\u{5}hello",
                ">\u{0}\u{1}GET / HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 200 OK\r\n\r\n",
            ],
            vec!["GET /ws [] - [] [Upgraded]"],
        ),
        (
            "an upgrade that is refused",
            vec![
                ">GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb",
            ],
            vec![
                "GET /ws [] 400 [] [Complete]",
                "GET /b [] 200 [b] [Complete]",
            ],
        ),
        (
            "a tunnel, with the agent's first bytes sent early",
            vec![
                ">CONNECT host:443 HTTP/1.1\r\n\r\n\u{16}\u{3}\u{1}",
                "<HTTP/1.1 200 Connection established\r\nContent-Length: 3\r\n\r\n\u{16}\u{3}",
                ">\r\n\r\nGET",
            ],
            vec!["CONNECT  [] 200 [] [Upgraded]"],
        ),
        (
            "a tunnel that is refused",
            vec![
                ">CONNECT host:443 HTTP/1.1\r\n\r\n",
                "<HTTP/1.1 407 Nope\r\nContent-Length: 1\r\n\r\nx",
            ],
            vec!["CONNECT  [] 407 [x] [Complete]"],
        ),
        (
            "HTTP/1.0, up to the close",
            vec![
                ">GET /a HTTP/1.0\r\n\r\n",
                "<HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            ],
            vec!["GET /a [] 200 [HTTP/1.1 200 OK\r\n\r\n] [Complete]"],
        ),
        (
            "lengths that agree, lines that end with LF only",
            vec![
                ">GET /a HTTP/1.1\nContent-Length: 2, 2\nContent-Length: 2\n\nhi",
                "<HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
            ],
            vec!["GET /a [hi] 200 [x] [Complete]"],
        ),
    ]
}

#[test]
fn exchanges_are_read_to_the_exact_byte() {
    for (name, pieces, expected) in golden() {
        let (lines, failures) = observe(&pieces, End::Closed);
        assert_eq!(lines, expected, "{name}");
        assert_eq!(failures, [], "{name}");
    }
}

#[test]
fn no_cut_changes_what_is_read() {
    for (_, pieces, _) in golden() {
        assert_cuts_change_nothing(observer, &recording(&pieces), End::Closed);
    }
}

#[test]
fn ambiguous_requests_are_never_guessed_at() {
    let bad_heads = [
        "POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 5,\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "POST /a HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n",
        "POST /a HTTP/1.1\r\n A: 1\r\n\r\n",
        "POST /a HTTP/1.1\r\nA: \0\r\n\r\n",
        "POST /a HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /a HTTP/1.1\rA: 1\r\n\r\n",
        "POST /a HTTP/2.0\r\n\r\n",
        "POST /a b HTTP/1.1\r\n\r\n",
        "POST /a\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ];
    for bad in bad_heads {
        let pieces = [
            GET,
            &format!(">{bad}"),
            GET,
            "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ];
        let (lines, failures) = observe(&pieces, End::Closed);
        assert_eq!(lines, ["GET /a [] - [] [Lost]"], "{bad:?}");
        assert_eq!(failures, MALFORMED, "{bad:?}");
        assert_cuts_change_nothing(observer, &recording(&pieces), End::Closed);
    }
}

#[test]
fn ambiguous_responses_are_never_guessed_at() {
    for (bad, seen) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "- []",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "- []",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "- []"),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "- []",
        ),
        ("HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n", "- []"),
        ("HTTP/1.1 099 Low\r\n\r\n", "- []"),
        ("HTTP/1.1 600 High\r\n\r\n", "- []"),
        ("<html>\r\n\r\n", "- []"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nZ\r\n",
            "200 [x]",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            "200 []",
        ),
    ] {
        let pieces = [
            GET,
            &format!("<{bad}"),
            "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ];
        let (lines, failures) = observe(&pieces, End::Closed);
        assert_eq!(lines, [format!("GET /a [] {seen} [Lost]")], "{bad:?}");
        assert_eq!(failures, MALFORMED, "{bad:?}");
    }
}

#[test]
fn a_body_where_none_may_be_is_a_response_that_nobody_asked_for() {
    for (request, head) in [
        (
            "HEAD /a HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n",
        ),
        ("GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET /a HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let unasked = "HTTP/1.1 200 OK\r\n\r\n";
        let (lines, failures) = observe(
            &[&format!(">{request}"), &format!("<{head}{unasked}")],
            End::Closed,
        );
        assert!(lines[0].ends_with("[] [Complete]"), "{lines:?}");
        assert_eq!(
            (lines.len(), failures.as_slice()),
            (1, MALFORMED.as_slice())
        );
    }
    assert_eq!(
        observe(&["<HTTP/1.1 408 Request Timeout\r\n\r\n"], End::Closed),
        (vec![], MALFORMED.to_vec())
    );
}

#[test]
fn requests_behind_an_upgrade_are_lost_with_it() {
    let (lines, failures) = observe(
        &[GET, GET, "<HTTP/1.1 101 Switching Protocols\r\n\r\n"],
        End::Closed,
    );
    assert_eq!(
        lines,
        ["GET /a [] - [] [Upgraded]", "GET /a [] - [] [Lost]"]
    );
    assert_eq!(failures, MALFORMED);
}

#[test]
fn a_connection_that_ends_early_says_how() {
    let post = ">POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe";
    let partial = "<HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let whole = "<HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull";
    let closing = "<HTTP/1.1 200 OK\r\n\r\nhalf";
    let chunked = "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n";
    let idle = End::TimedOut(TimeoutStep::Idle);
    for (pieces, end, expected) in [
        (vec![">GET /a HTTP/1.1\r\n"], End::AgentGone, None),
        (
            vec![post],
            End::AgentGone,
            Some("POST /a [he] - [] [AgentGone]"),
        ),
        (
            vec![post],
            End::Closed,
            Some("POST /a [he] - [] [Truncated]"),
        ),
        (
            vec![post, whole],
            End::ProviderGone,
            Some("POST /a [he] 200 [full] [Complete]"),
        ),
        (
            vec![GET],
            End::ProviderGone,
            Some("GET /a [] - [] [Truncated]"),
        ),
        (
            vec![GET, partial],
            End::ProviderGone,
            Some("GET /a [] 200 [half] [Truncated]"),
        ),
        (
            vec![GET, partial],
            End::AgentGone,
            Some("GET /a [] 200 [half] [AgentGone]"),
        ),
        (
            vec![GET, partial],
            End::Shutdown,
            Some("GET /a [] 200 [half] [Shutdown]"),
        ),
        (
            vec![GET, partial],
            idle,
            Some("GET /a [] 200 [half] [Shutdown]"),
        ),
        (
            vec![GET, partial],
            End::Closed,
            Some("GET /a [] 200 [half] [Truncated]"),
        ),
        (
            vec![GET, chunked],
            End::Closed,
            Some("GET /a [] 200 [half] [Truncated]"),
        ),
        (
            vec![GET, closing],
            End::Closed,
            Some("GET /a [] 200 [half] [Complete]"),
        ),
        (
            vec![GET, closing],
            End::ProviderGone,
            Some("GET /a [] 200 [half] [Truncated]"),
        ),
        (
            vec![GET, closing],
            End::AgentGone,
            Some("GET /a [] 200 [half] [AgentGone]"),
        ),
    ] {
        let (lines, failures) = observe(&pieces, end);
        assert_eq!(
            lines,
            expected.map(str::to_owned).into_iter().collect::<Vec<_>>(),
            "{pieces:?} {end:?}"
        );
        assert_eq!(failures, []);
    }
}

#[test]
fn the_end_of_the_providers_side_ends_what_it_owes() {
    for (agent_left, cut_off) in [(false, "Truncated"), (true, "AgentGone")] {
        let transcript = Transcript::default();
        let mut http1 = observer(&transcript);
        let at = Instant::now();
        for (direction, bytes) in recording(&[GET, GET, "<HTTP/1.1 200 OK\r\n\r\nall"]) {
            http1.bytes(direction, &bytes, at);
        }
        if agent_left {
            http1.half_closed(ToProvider, at);
        }
        assert!(!http1.is_between_exchanges());
        http1.half_closed(ToAgent, at);
        // Whether an agent that has left took the answer is told with the end of the connection.
        let told = if agent_left { "" } else { "Complete" };
        let lines = [
            format!("GET /a [] 200 [all] [{told}]"),
            format!("GET /a [] - [] [{cut_off}]"),
        ];
        assert_eq!(transcript.lines(), lines);
        assert!(http1.is_between_exchanges());
        http1.end(End::AgentGone, at);
        let told = if agent_left { "AgentGone" } else { "Complete" };
        let lines = [
            format!("GET /a [] 200 [all] [{told}]"),
            format!("GET /a [] - [] [{cut_off}]"),
        ];
        assert_eq!(transcript.lines(), lines);
    }
}

#[test]
fn an_answer_that_is_complete_after_the_agent_has_left_waits_for_the_end_of_the_connection() {
    let chunked = "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let rest = "<0\r\n\r\n";
    for (end, told) in [
        (End::AgentGone, "AgentGone"),
        (End::Closed, "AgentLeft"),
        (End::ProviderGone, "AgentLeft"),
        (End::TimedOut(TimeoutStep::Idle), "AgentLeft"),
        (End::Shutdown, "AgentLeft"),
    ] {
        let transcript = Transcript::default();
        let mut http1 = observer(&transcript);
        let at = Instant::now();
        let pass = |http1: &mut Http1, pieces: &[&str]| {
            recording(pieces)
                .iter()
                .for_each(|(direction, bytes)| http1.bytes(*direction, bytes, at));
        };
        // Two requests at once: the answer to the first is complete before the agent leaves.
        pass(
            &mut http1,
            &[
                GET,
                GET,
                "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                chunked,
            ],
        );
        http1.half_closed(ToProvider, at);
        pass(&mut http1, &[rest]);
        assert_eq!(
            transcript.lines(),
            ["GET /a [] 200 [x] [Complete]", "GET /a [] 200 [half] []"],
            "{end:?}"
        );
        assert!(
            http1.is_between_exchanges(),
            "nothing that closing the connection could cut off"
        );
        http1.end(end, at);
        assert_eq!(
            transcript.lines()[1],
            format!("GET /a [] 200 [half] [{told}]"),
            "{end:?}"
        );
    }
}

#[test]
fn a_connection_is_between_exchanges_only_when_nothing_is_under_way() {
    let transcript = Transcript::default();
    let mut http1 = observer(&transcript);
    let mut step = |direction, bytes: &str| {
        http1.bytes(direction, bytes.as_bytes(), Instant::now());
        http1.is_between_exchanges()
    };
    assert!(step(ToProvider, "\r\n"));
    assert!(!step(ToProvider, "G"));
    assert!(!step(ToProvider, "ET / HTTP/1.1\r\n\r\n"));
    assert!(!step(
        ToAgent,
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    ));
    assert!(step(ToAgent, "x"));
    assert!(!step(
        ToProvider,
        "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"
    ));
    assert!(!step(
        ToAgent,
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(step(ToProvider, "x"));
    assert!(!step(ToProvider, "\0\r\n\r\n"));
}

#[test]
fn a_dropped_observer_ends_its_exchanges() {
    let transcript = Transcript::default();
    let mut http1 = observer(&transcript);
    http1.bytes(ToProvider, GET.split_at(1).1.as_bytes(), Instant::now());
    drop(http1);
    assert_eq!(transcript.lines(), ["GET /a [] - [] [Lost]"]);
}

#[test]
fn a_request_begins_with_its_first_byte() {
    let transcript = Transcript::default();
    let mut http1 = observer(&transcript);
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    http1.bytes(ToProvider, b"\r\n", start - Duration::from_millis(1));
    http1.bytes(ToProvider, b"G", start);
    http1.bytes(
        ToProvider,
        b"ET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
        later,
    );
    assert_eq!(transcript.pages().begun, [start, later]);
}

#[test]
fn limits_end_the_observation_and_are_counted() {
    let long_head = format!(">GET /a HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many_fields = format!(">GET /a HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(1200));
    for piece in [long_head, many_fields] {
        assert_eq!(
            observe(&[&piece], End::Closed),
            (vec![], vec![ObserverFailure::Limit])
        );
    }
    let many = format!(">{}", GET.split_at(1).1.repeat(MAX_PENDING + 1));
    let (lines, failures) = observe(&[&many, GET], End::Closed);
    assert_eq!(lines.len(), MAX_PENDING);
    assert!(lines.iter().all(|line| line == "GET /a [] - [] [Lost]"));
    assert_eq!(failures, [ObserverFailure::Limit]);

    let fields = format!(">GET /a HTTP/1.1\r\n{}\r\n", "a: bcd\r\n".repeat(1000));
    assert_eq!(
        observe(&[&fields], End::AgentGone),
        (vec!["GET /a [] - [] [AgentGone]".to_owned()], vec![])
    );
}

#[test]
fn no_field_off_the_list_is_taken() {
    let transcript = Transcript::default();
    let pieces = [
        ">POST /a?key=CANARY&alt=sse HTTP/1.1\r\nAuthorization: CANARY\r\ncookie: CANARY\r\nContent-Encoding: gzip\r\n\r\n",
        "<HTTP/1.1 429 CANARY\r\nSet-Cookie: CANARY\r\nRetry-After: 3\r\nContent-Type: a/b;x=CANARY\r\nContent-Length: 0\r\n\r\n",
    ];
    replay(&mut observer(&transcript), &recording(&pieces), End::Closed);
    let pages = transcript.pages();
    assert!(!format!("{pages:?}").contains("CANARY"));
    let response = pages.exchanges[0].response.clone().unwrap();
    assert_eq!(pages.exchanges[0].request.query, ["alt=sse"]);
    assert_eq!(pages.exchanges[0].request.fields.content_encoding, ["gzip"]);
    assert_eq!(
        (response.status, response.fields.retry_after_seconds),
        (429, Some(3))
    );
    assert_eq!(response.fields.content_type.as_deref(), Some("a/b"));
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn any_cut_of_any_golden_connection_reads_the_same(
        case in 0..golden().len(),
        distances in prop::collection::vec(1usize..40, 1..20),
    ) {
        let (_, pieces, expected) = golden().swap_remove(case);
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &cut(&recording(&pieces), &distances), End::Closed);
        prop_assert_eq!(transcript.lines(), expected);
    }

    #[test]
    fn any_bytes_are_survived_and_every_exchange_ends_once(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &scatter(&bytes), End::Closed);
        prop_assert!(transcript.pages().failures.len() <= 1);
    }

    #[test]
    fn any_damage_to_a_golden_connection_is_survived(
        case in 0..golden().len(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut pieces = recording(&golden().swap_remove(case).1);
        for (place, byte) in hits {
            let at = place.index(pieces.len());
            let hit = place.index(pieces[at].1.len());
            pieces[at].1[hit] ^= byte;
        }
        let transcript = Transcript::default();
        replay(&mut observer(&transcript), &pieces, End::Closed);
        let pages = transcript.pages();
        prop_assert!(pages.failures.len() <= 1);
        prop_assert!(pages.exchanges.iter().all(|seen| seen.ends.len() == 1));
    }
}
