//! What arrives is what was sent, to the byte, both ways, whatever it is; and the observer was lent
//! exactly that.

use gravimeter::observe::End;
use gravimeter::record::{Disposition, Fact};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncRead, AsyncWrite, split};

use crate::kit::{
    Gravimeter, GravimeterOptions, HOST, OTHER_HOST, Seen, read_all, read_some, soon, write_pieces,
};

/// Sends both recordings at once in pieces, and compares what arrives.
async fn carry<A, P>(agent: A, provider: P, sent: &[u8], received: &[u8], sizes: &[usize])
where
    A: AsyncRead + AsyncWrite,
    P: AsyncRead + AsyncWrite,
{
    let ((mut agent_in, mut agent_out), (mut provider_in, mut provider_out)) =
        (split(agent), split(provider));
    let ((), (), at_provider, at_agent) = soon(async {
        tokio::join!(
            write_pieces(&mut agent_out, sent, sizes, true),
            write_pieces(&mut provider_out, received, sizes, true),
            read_all(&mut provider_in),
            read_all(&mut agent_in),
        )
    })
    .await;
    assert!(
        at_provider == (sent.to_vec(), true),
        "the provider gets what the agent sent: {:.80?}",
        at_provider
    );
    assert!(
        at_agent == (received.to_vec(), true),
        "the agent gets what the provider sent: {:.80?}",
        at_agent
    );
}

async fn carry_observed(
    gravimeter: &Gravimeter,
    sent: &[u8],
    received: &[u8],
    sizes: &[usize],
) -> Seen {
    let (agent, provider) = gravimeter.pair().await;
    carry(agent, provider, sent, received, sizes).await;
    let seen = gravimeter.seen().await;
    assert!(
        seen.sent == sent && seen.received == received,
        "the observer is lent every byte once, in order"
    );
    assert_eq!((seen.half_closed.len(), seen.end), (2, Some(End::Closed)));
    seen
}

#[tokio::test]
async fn every_recording_passes_unchanged() {
    let gravimeter = Gravimeter::start().await;
    for (name, sent, received) in corpus() {
        for sizes in [&[1][..], &[3, 1, 7], &[usize::MAX]] {
            let seen = carry_observed(&gravimeter, &sent, &received, sizes).await;
            assert_eq!(seen.end, Some(End::Closed), "{name}");
        }
    }
    gravimeter.close().await;
}

#[test]
fn any_bytes_pass_unchanged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gravimeter = runtime.block_on(Gravimeter::start());
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let recordings = (
        vec(any::<u8>(), 0..200_000),
        vec(any::<u8>(), 0..200_000),
        vec(1..40_000_usize, 1..8),
    );
    let passed = runner.run(&recordings, |(sent, received, sizes)| {
        runtime.block_on(carry_observed(&gravimeter, &sent, &received, &sizes));
        Ok(())
    });
    passed.unwrap();
    runtime.block_on(gravimeter.close());
}

#[tokio::test]
async fn an_interactive_conversation_is_never_held_back() {
    let gravimeter = Gravimeter::start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    for round in 0..200_usize {
        // Each side waits for the other: one byte kept back would be the end.
        let message = vec![u8::try_from(round).unwrap(); round * 37 % 900 + 1];
        write_pieces(&mut agent, &message, &[usize::MAX], false).await;
        assert_eq!(read_some(&mut provider, message.len()).await, message);
        write_pieces(&mut provider, &message, &[usize::MAX], false).await;
        assert_eq!(read_some(&mut agent, message.len()).await, message);
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn two_peers_that_write_before_they_read_do_not_lock_up() {
    let gravimeter = Gravimeter::start().await;
    let (agent, provider) = gravimeter.pair().await;
    let flood = vec![7; 8 << 20];
    carry(agent, provider, &flood, &flood, &[1 << 20]).await;
    gravimeter.close().await;
}

#[tokio::test]
async fn the_agent_is_offered_what_the_provider_chose() {
    for (agent, provider, expected, observed) in [
        (
            vec!["h2", "http/1.1"],
            vec!["h2", "http/1.1"],
            Some("h2"),
            "H2",
        ),
        (
            vec!["h2", "http/1.1"],
            vec!["http/1.1"],
            Some("http/1.1"),
            "Http1",
        ),
        (
            vec!["http/1.1"],
            vec!["h2", "http/1.1"],
            Some("http/1.1"),
            "Http1",
        ),
        (vec!["h2", "http/1.1"], vec![], None, "Unknown"),
        (vec![], vec!["h2"], None, "Unknown"),
        (vec!["odd/1"], vec!["odd/1"], Some("odd/1"), "Unknown"),
    ] {
        let options = GravimeterOptions {
            agent_alpn: agent,
            provider_alpn: provider,
            ..GravimeterOptions::default()
        };
        let gravimeter = Gravimeter::with(options).await;
        let (agent, provider) = gravimeter.pair().await;
        let chosen = [
            agent.get_ref().1.alpn_protocol(),
            provider.get_ref().1.alpn_protocol(),
        ];
        assert_eq!(chosen, [expected.map(str::as_bytes); 2]);
        carry(agent, provider, b"ask", b"answer", &[1]).await;
        assert_eq!(gravimeter.seen().await.alpn.as_deref(), Some(observed));
        gravimeter.close().await;
    }
}

#[tokio::test]
async fn what_is_not_selected_is_tunnelled_as_it_is() {
    let gravimeter = Gravimeter::start().await;
    let mut tcp = gravimeter.knock(OTHER_HOST).await;
    let hello = gravimeter.agent.hello(OTHER_HOST);
    write_pieces(&mut tcp, &hello, &[5], false).await;
    let mut provider = gravimeter.provider.accept_tcp().await;
    assert_eq!(read_some(&mut provider, hello.len()).await, hello);
    let noise: Vec<u8> = (0..100_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 3) as u8)
        .collect();
    carry(tcp, provider, &noise, &noise, &[1000, 1]).await;
    gravimeter
        .facts
        .wait_for(Fact::ConnectionClosed(Disposition::Tunnelled))
        .await;
    assert_eq!(
        gravimeter
            .facts
            .count(&Fact::ConnectionOpened(Disposition::Intercepted)),
        0
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn what_is_not_tls_is_tunnelled_from_its_first_byte() {
    let gravimeter = Gravimeter::start().await;
    let mut tcp = gravimeter.knock(HOST).await;
    write_pieces(&mut tcp, b"SSH-2.0-client\r\n", &[usize::MAX], false).await;
    let mut provider = gravimeter.provider.accept_tcp().await;
    assert_eq!(read_some(&mut provider, 16).await, b"SSH-2.0-client\r\n");
    carry(tcp, provider, b"", b"SSH-2.0-server\r\n", &[4]).await;
    gravimeter
        .facts
        .wait_for(Fact::ConnectionClosed(Disposition::Tunnelled))
        .await;
    gravimeter.close().await;
}

/// Name, what the agent sends, what the provider sends.
pub fn corpus() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let post =
        "POST /v1internal:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: api.example.com\r\n";
    let text: Vec<(&str, String, &str)> = vec![
        (
            "chunked both ways with extensions and trailers",
            format!(
                "{post}transfer-Encoding:  chunked \r\nTE: trailers\r\n\r\n5;x=\"y\"\r\nhello\r\n00\r\nA: b\r\n\r\n"
            ),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n01\r\nb\r\n0\r\nX: y\r\n\r\n",
        ),
        (
            "interim responses",
            format!("{post}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}"),
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "HEAD and pipelining",
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "WebSocket",
            "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\u{1}\u{2}\u{3}"
                .into(),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\u{7f}\0\0",
        ),
        (
            "server-sent events, until close",
            format!("{post}Content-Length: 2\r\n\r\n{{}}"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\u{feff}data: {}\r\r: ping\n\ndata: [DONE]\n\n",
        ),
        (
            "CL and TE",
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x"),
            "",
        ),
        (
            "TE.TE",
            format!(
                "{post}Transfer-Encoding: xchunked\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"
            ),
            "",
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "",
        ),
        (
            "signed length",
            format!("{post}Content-Length: +2\r\n\r\nab"),
            "",
        ),
        (
            "obs-fold, bare CR, bare LF, NUL",
            format!("{post}A: b\r\n c\rD: e\nF: \0g\r\n\r\n"),
            "",
        ),
        (
            "absolute form, no host, lower case",
            "get http://x/ http/1.1\r\n\r\n".into(),
            "",
        ),
        (
            "chunk sizes out of bounds",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx"),
            "",
        ),
        (
            "response with CL and TE",
            String::new(),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "response with two lengths",
            String::new(),
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        ),
        (
            "bad chunk",
            String::new(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ),
        (
            "204 with body",
            String::new(),
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "200 to CONNECT, response folding",
            "CONNECT a:1 HTTP/1.1\r\n\r\n".into(),
            "HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\nx",
        ),
        ("HTTP/0.9 and nothing", "GET /\r\n".into(), "just text"),
    ];
    let mut corpus: Vec<_> = text
        .into_iter()
        .map(|(name, sent, received)| (name, sent.into_bytes(), received.as_bytes().to_vec()))
        .collect();
    corpus.push((
        "gRPC-like HTTP/2 with odd but legal frames",
        h2_agent(),
        h2_provider(),
    ));
    corpus.push((
        "interim flood",
        Vec::new(),
        b"HTTP/1.1 102 Processing\r\n\r\n".repeat(500),
    ));
    corpus.push((
        "a header of 64 KiB",
        [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 1 << 16]].concat(),
        Vec::new(),
    ));
    corpus
}

/// One HTTP/2 frame: RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn h2_agent() -> Vec<u8> {
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[0, 0xff, 0, 0, 0, 1]),
        frame(1, 0, 1, &[0x83, 0x86, 0x84]),
        frame(9, 0, 1, &[]),
        frame(9, 4, 1, &[0x41, 1, b'a']),
        frame(
            0,
            8,
            1,
            &[3, 0, 0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0],
        ),
        frame(0xbe, 0xff, 1, b"unknown"),
        frame(2, 0, 1, &[0, 0, 0, 0, 16]),
        frame(0, 1, 1, &[]),
    ]
    .concat()
}

fn h2_provider() -> Vec<u8> {
    [
        frame(4, 0, 0, &[]),
        frame(4, 1, 0, &[]),
        frame(6, 0, 0, b"12345678"),
        frame(1, 4, 1, &[0x88]),
        frame(0, 0, 1, &[]).repeat(200),
        frame(0, 0, 1, &vec![7; 16_384]),
        frame(1, 5, 1, &[0x40, 1, b'g', 1, b'0']),
        frame(7, 0, 0, &[0; 8]),
    ]
    .concat()
}
