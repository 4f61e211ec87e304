//! However a stream ends, the other side learns it: an end in order stays one, and what was cut off
//! never looks complete.

use gravimeter::observe::{Direction, End};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::kit::{Gravimeter, read_all, read_some, reset_on_close, soon, write_pieces};

const EVENTS: usize = 6;

fn event(index: usize) -> Vec<u8> {
    format!("data: {{\"event\":{index}}}\n\n").into_bytes()
}

/// The stream up to event `count`, as it stands on the wire.
fn events(count: usize) -> Vec<u8> {
    (0..count).flat_map(event).collect()
}

#[tokio::test]
async fn a_provider_that_breaks_off_after_any_event_is_passed_on_as_broken_off() {
    let gravimeter = Gravimeter::start().await;
    for (count, reset) in (0..=EVENTS).flat_map(|count| [(count, false), (count, true)]) {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, b"ask", &[usize::MAX], false).await;
        read_some(&mut provider, 3).await;
        for index in 0..count {
            write_pieces(&mut provider, &event(index), &[usize::MAX], false).await;
            assert_eq!(
                read_some(&mut agent, event(index).len()).await,
                event(index)
            );
        }
        if reset {
            reset_on_close(provider.get_ref().0);
        }
        drop(provider);
        assert_eq!(
            read_all(&mut agent).await,
            (Vec::new(), false),
            "no close_notify after {count}"
        );
        drop(agent);
        let seen = gravimeter.seen().await;
        assert_eq!(
            (seen.received, seen.end),
            (events(count), Some(End::ProviderGone))
        );
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn what_was_sent_before_a_truncation_arrives_though_the_agent_is_slow_and_still_writes() {
    let gravimeter = Gravimeter::start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    // Most of the answer waits in Gravimeter's socket when the provider is gone. The agent
    // acknowledges what it reads, as HTTP/2 does: closing over such bytes would reset the
    // connection and discard the rest.
    socket2::SockRef::from(agent.get_ref().0)
        .set_recv_buffer_size(4096)
        .unwrap();
    let answer = vec![7; 1 << 17];
    let give = async {
        write_pieces(&mut provider, &answer, &[usize::MAX], false).await;
        provider.get_mut().0.shutdown().await.unwrap();
    };
    let take = async {
        let (mut read, mut piece) = (0, vec![0; 1000]);
        loop {
            match agent.read(&mut piece).await {
                Ok(0) => return (read, true),
                Ok(count) => read += count,
                Err(_) => return (read, false),
            }
            agent.write_all(b"ack").await.unwrap();
            agent.flush().await.unwrap();
        }
    };
    let ((), taken) = soon(async { tokio::join!(give, take) }).await;
    assert_eq!(
        taken,
        (answer.len(), false),
        "bytes, and whether they end in order"
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn an_agent_that_breaks_off_after_any_event_is_passed_on_as_broken_off() {
    let gravimeter = Gravimeter::start().await;
    for (count, reset) in (0..=EVENTS).flat_map(|count| [(count, false), (count, true)]) {
        let (mut agent, mut provider) = gravimeter.pair().await;
        for index in 0..count {
            write_pieces(&mut agent, &event(index), &[usize::MAX], false).await;
            assert_eq!(
                read_some(&mut provider, event(index).len()).await,
                event(index)
            );
        }
        if reset {
            reset_on_close(agent.get_ref().0);
        }
        drop(agent);
        assert_eq!(
            read_all(&mut provider).await,
            (Vec::new(), false),
            "no close_notify after {count}"
        );
        drop(provider);
        let seen = gravimeter.seen().await;
        assert_eq!((seen.sent, seen.end), (events(count), Some(End::AgentGone)));
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn an_agent_that_leaves_a_running_answer_stops_the_provider() {
    let gravimeter = Gravimeter::start().await;
    let (agent, mut provider) = gravimeter.pair().await;
    drop(agent);
    let stopped = soon(async {
        loop {
            if provider.write_all(&[7; 4096]).await.is_err() {
                return;
            }
        }
    });
    stopped.await;
    assert_eq!(gravimeter.seen().await.end, Some(End::AgentGone));
    gravimeter.close().await;
}

#[tokio::test]
async fn a_half_close_of_either_side_leaves_the_other_direction_open() {
    let gravimeter = Gravimeter::start().await;
    for first in [Direction::ToProvider, Direction::ToAgent] {
        let (mut agent, mut provider) = gravimeter.pair().await;
        if first == Direction::ToProvider {
            write_pieces(&mut agent, b"ask", &[1], true).await;
            assert_eq!(read_all(&mut provider).await, (b"ask".to_vec(), true));
            write_pieces(&mut provider, &events(EVENTS), &[5], true).await;
            assert_eq!(read_all(&mut agent).await, (events(EVENTS), true));
        } else {
            write_pieces(&mut provider, b"answer", &[1], true).await;
            assert_eq!(read_all(&mut agent).await, (b"answer".to_vec(), true));
            write_pieces(&mut agent, &events(EVENTS), &[5], true).await;
            assert_eq!(read_all(&mut provider).await, (events(EVENTS), true));
        }
        let seen = gravimeter.seen().await;
        assert_eq!(
            (seen.half_closed.first(), seen.end),
            (Some(&first), Some(End::Closed))
        );
    }
    gravimeter.close().await;
}
