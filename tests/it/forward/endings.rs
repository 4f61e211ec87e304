//! However a connection ends, the other side learns it, at once and for what it is.

use std::time::Duration;

use gravimeter::observe::End;
use gravimeter::record::{Fact, TimeoutStep};
use tokio::io::AsyncWriteExt as _;

use super::{options, read_head, start};
use crate::kit::{Gravimeter, read_all, read_some, reset_on_close, write_pieces};

const REQUEST: &str =
    "POST /v1/messages HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 2\r\n\r\n{}";
const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const EVENT: &str = "9\r\ndata: 1\n\n\r\n";

#[tokio::test]
async fn an_agent_that_leaves_in_the_middle_ends_the_providers_connection() {
    let gravimeter = start().await;
    for reset in [false, true] {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, REQUEST.as_bytes(), &[usize::MAX], false).await;
        read_some(&mut provider, REQUEST.len()).await;
        write_pieces(
            &mut provider,
            [HEAD, EVENT].concat().as_bytes(),
            &[usize::MAX],
            false,
        )
        .await;
        read_some(&mut agent, HEAD.len() + EVENT.len()).await;
        if reset {
            reset_on_close(agent.get_ref().0);
        }
        drop(agent);
        assert_eq!(read_all(&mut provider).await, (Vec::new(), false));
        let seen = gravimeter.seen().await;
        assert_eq!(seen.end, Some(End::AgentGone), "{reset}");
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn an_agent_that_leaves_in_its_own_body_ends_the_request() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let begun = "POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 100\r\n\r\n{";
    write_pieces(&mut agent, begun.as_bytes(), &[usize::MAX], false).await;
    read_some(&mut provider, begun.len()).await;
    drop(agent);
    assert_eq!(read_all(&mut provider).await, (Vec::new(), false));
    assert_eq!(gravimeter.seen().await.end, Some(End::AgentGone));
    gravimeter.close().await;
}

#[tokio::test]
async fn a_provider_that_breaks_off_is_passed_on_as_broken_off() {
    let gravimeter = start().await;
    let until_close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbegun";
    let of_length = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun";
    let chunked = [HEAD, EVENT].concat();
    for (answer, in_order) in [
        ("", false),
        ("HTTP/1.1 200 O", false),
        (until_close, false),
        (of_length, false),
        (&chunked, false),
        // A length that is not reached is cut off, however politely.
        (of_length, true),
        (&chunked, true),
        ("", true),
    ] {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, REQUEST.as_bytes(), &[usize::MAX], false).await;
        read_some(&mut provider, REQUEST.len()).await;
        write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], in_order).await;
        drop(provider);
        let (received, agent_in_order) = read_all(&mut agent).await;
        assert!(!agent_in_order, "{answer:?} {in_order}: {received:?}");
        assert!(!received.ends_with(b"0\r\n\r\n"), "{answer:?}");
        drop(agent);
        let seen = gravimeter.seen().await;
        assert_eq!(seen.end, Some(End::ProviderGone), "{answer:?} {in_order}");
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn an_answer_that_lasts_until_close_ends_in_order() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    write_pieces(&mut agent, REQUEST.as_bytes(), &[usize::MAX], false).await;
    read_some(&mut provider, REQUEST.len()).await;
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole";
    write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], true).await;
    let (received, in_order) = read_all(&mut agent).await;
    let received = String::from_utf8(received).expect("text");
    assert!(received.contains("whole") && in_order, "{received}");
    gravimeter.close().await;
}

#[tokio::test]
async fn a_provider_that_closes_an_idle_connection_closes_the_agents() {
    let gravimeter = start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    write_pieces(&mut agent, REQUEST.as_bytes(), &[usize::MAX], false).await;
    read_some(&mut provider, REQUEST.len()).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], true).await;
    // That it is the last one may be known already.
    assert!(
        read_head(&mut agent)
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    assert_eq!(read_all(&mut agent).await, (Vec::new(), true));
    assert_eq!(gravimeter.seen().await.end, Some(End::Closed));
    gravimeter.close().await;
}

#[tokio::test]
async fn a_request_is_never_sent_twice() {
    const TIMES: usize = 30;
    let gravimeter = start().await;
    for time in 0..TIMES {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, REQUEST.as_bytes(), &[usize::MAX], false).await;
        assert_eq!(
            read_some(&mut provider, REQUEST.len()).await,
            REQUEST.as_bytes()
        );
        match time % 3 {
            0 => provider.shutdown().await.expect("an end in order"),
            1 => reset_on_close(provider.get_ref().0),
            _ => {}
        }
        drop(provider);
        assert_eq!(read_all(&mut agent).await, (Vec::new(), false));
    }
    gravimeter.close().await;
    let facts = gravimeter.facts.all();
    let dialled = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::UpstreamConnected(_)));
    assert_eq!(dialled.count(), TIMES);
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let mut options = options();
    options.timeouts.idle = Duration::from_millis(300);
    let gravimeter = Gravimeter::with(options).await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    write_pieces(&mut agent, REQUEST.as_bytes(), &[usize::MAX], false).await;
    read_some(&mut provider, REQUEST.len()).await;
    assert_eq!(read_all(&mut agent).await, (Vec::new(), false));
    gravimeter
        .facts
        .wait_for(Fact::TimedOut(TimeoutStep::Idle))
        .await;
    drop((agent, provider));
    let end = gravimeter.seen().await.end;
    assert_eq!(end, Some(End::TimedOut(TimeoutStep::Idle)));
    gravimeter.close().await;
}
