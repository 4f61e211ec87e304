//! An orderly end: open exchanges are finished, quiet connections are closed with a close_notify,
//! and the deadline is kept.

use gravimeter::observe::End;
use gravimeter::record::{Fact, RefuseReason, TimeoutStep};
use tokio::net::TcpStream;

use crate::kit::{Gravimeter, HOST, read_all, read_some, write_pieces};

#[tokio::test]
async fn a_quiet_connection_is_closed_in_order() {
    let gravimeter = Gravimeter::start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    gravimeter.shutdown.drain.cancel();
    let (at_agent, at_provider) = tokio::join!(read_all(&mut agent), read_all(&mut provider));
    assert_eq!((at_agent, at_provider), ((vec![], true), (vec![], true)));
    assert_eq!(gravimeter.seen().await.end, Some(End::Shutdown));
    gravimeter.close().await;
}

#[tokio::test]
async fn an_open_exchange_is_finished_first() {
    let gravimeter = Gravimeter::start().await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    *gravimeter.busy.lock().unwrap() = true;
    gravimeter.shutdown.drain.cancel();
    for _ in 0..10 {
        write_pieces(&mut provider, b"data: {}\n\n", &[3], false).await;
        assert_eq!(read_some(&mut agent, 10).await, b"data: {}\n\n");
    }
    *gravimeter.busy.lock().unwrap() = false;
    write_pieces(&mut provider, b"last", &[usize::MAX], false).await;
    assert_eq!(read_all(&mut agent).await, (b"last".to_vec(), true));
    assert_eq!(gravimeter.seen().await.end, Some(End::Shutdown));
    gravimeter.close().await;
}

#[tokio::test]
async fn the_deadline_cuts_off_what_is_still_open() {
    let gravimeter = Gravimeter::start().await;
    let (mut agent, _provider) = gravimeter.pair().await;
    *gravimeter.busy.lock().unwrap() = true;
    gravimeter.shutdown.drain.cancel();
    gravimeter.shutdown.force.cancel();
    assert_eq!(
        read_all(&mut agent).await,
        (vec![], false),
        "cut off, not closed in order"
    );
    gravimeter
        .facts
        .wait_for(Fact::TimedOut(TimeoutStep::Drain))
        .await;
    gravimeter.close().await;
}

#[tokio::test]
async fn a_connection_that_is_not_open_yet_is_given_up() {
    let gravimeter = Gravimeter::start().await;
    let mut tcp: TcpStream = gravimeter.knock(HOST).await;
    gravimeter.shutdown.drain.cancel();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Shutdown))
        .await;
    gravimeter.close().await;
}
