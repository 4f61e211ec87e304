//! An orderly end: open exchanges are finished, quiet connections are closed with a close_notify,
//! and the deadline is kept.

use gravimeter::observe::End;
use gravimeter::record::{Fact, RefuseReason, TimeoutStep};
use tokio::net::TcpStream;

use crate::kit::{HOST, House, read_all, read_some, write_pieces};

#[tokio::test]
async fn a_quiet_connection_is_closed_in_order() {
    let house = House::start().await;
    let (mut agent, mut provider) = house.pair().await;
    house.shutdown.drain.cancel();
    let (at_agent, at_provider) = tokio::join!(read_all(&mut agent), read_all(&mut provider));
    assert_eq!((at_agent, at_provider), ((vec![], true), (vec![], true)));
    assert_eq!(house.seen().await.end, Some(End::Shutdown));
    house.close().await;
}

#[tokio::test]
async fn an_open_exchange_is_finished_first() {
    let house = House::start().await;
    let (mut agent, mut provider) = house.pair().await;
    *house.busy.lock().unwrap() = true;
    house.shutdown.drain.cancel();
    for _ in 0..10 {
        write_pieces(&mut provider, b"data: {}\n\n", &[3], false).await;
        assert_eq!(read_some(&mut agent, 10).await, b"data: {}\n\n");
    }
    *house.busy.lock().unwrap() = false;
    write_pieces(&mut provider, b"last", &[usize::MAX], false).await;
    assert_eq!(read_all(&mut agent).await, (b"last".to_vec(), true));
    assert_eq!(house.seen().await.end, Some(End::Shutdown));
    house.close().await;
}

#[tokio::test]
async fn the_deadline_cuts_off_what_is_still_open() {
    let house = House::start().await;
    let (mut agent, _provider) = house.pair().await;
    *house.busy.lock().unwrap() = true;
    house.shutdown.drain.cancel();
    house.shutdown.force.cancel();
    assert_eq!(
        read_all(&mut agent).await,
        (vec![], false),
        "cut off, not closed in order"
    );
    house
        .facts
        .wait_for(Fact::TimedOut(TimeoutStep::Drain))
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_connection_that_is_not_open_yet_is_given_up() {
    let house = House::start().await;
    let mut tcp: TcpStream = house.knock(HOST).await;
    house.shutdown.drain.cancel();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    house
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Shutdown))
        .await;
    house.close().await;
}
