//! Every step has a limit, and passing it ends the connection and is counted under the step's name.

use std::net::SocketAddr;
use std::time::Duration;

use gravimeter::record::{Fact, HandshakeFailure, RefuseReason, Side, TimeoutStep};
use gravimeter::relay::timeouts::Timeouts;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::kit::{Gravimeter, GravimeterOptions, HOST, read_all, read_some};

const SHORT: Duration = Duration::from_millis(100);

async fn gravimeter(timeouts: Timeouts) -> Gravimeter {
    Gravimeter::with(GravimeterOptions {
        timeouts,
        ..GravimeterOptions::default()
    })
    .await
}

async fn refused_for_time(gravimeter: &Gravimeter, step: TimeoutStep) {
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Timeout))
        .await;
    assert_eq!(
        gravimeter.facts.count(&Fact::TimedOut(step)),
        1,
        "{step}: {:?}",
        gravimeter.facts.all()
    );
    gravimeter.close().await;
}

/// The fatal alert `internal_error` (RFC 8446 section 6) as a record.
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

#[tokio::test]
async fn connect_request() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        connect_request: SHORT,
        ..GravimeterOptions::default()
    })
    .await;
    let mut tcp = TcpStream::connect(gravimeter.connect).await.unwrap();
    tcp.write_all(b"CONNECT api.example.com:443 HT")
        .await
        .unwrap();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    refused_for_time(&gravimeter, TimeoutStep::ConnectRequest).await;
}

#[tokio::test]
async fn client_hello() {
    let gravimeter = gravimeter(Timeouts {
        client_hello: SHORT,
        ..Timeouts::default()
    })
    .await;
    let mut tcp = gravimeter.knock(HOST).await;
    tcp.write_all(&gravimeter.agent.hello(HOST)[..40])
        .await
        .unwrap();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    refused_for_time(&gravimeter, TimeoutStep::ClientHello).await;
}

#[tokio::test]
async fn an_agent_that_waits_for_the_server_to_speak_is_tunnelled() {
    let gravimeter = gravimeter(Timeouts {
        client_hello: SHORT,
        ..Timeouts::default()
    })
    .await;
    let mut agent = gravimeter.knock(HOST).await;
    let mut provider = gravimeter.provider.accept_tcp().await;
    provider.write_all(b"220 ready\r\n").await.unwrap();
    assert_eq!(read_some(&mut agent, 11).await, b"220 ready\r\n");
    assert!(
        !gravimeter
            .facts
            .all()
            .iter()
            .any(|fact| matches!(fact, Fact::TimedOut(_)))
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn upstream_connect() {
    // A listener whose queue is full lets further attempts wait for ever.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queued = std::net::TcpStream::connect(address).unwrap();
    let timeouts = Timeouts {
        upstream_connect: SHORT,
        ..Timeouts::default()
    };
    let gravimeter = Gravimeter::with(GravimeterOptions {
        timeouts,
        dial: Some(address),
        ..GravimeterOptions::default()
    })
    .await;
    let mut tcp = gravimeter.knock(HOST).await;
    tcp.write_all(&gravimeter.agent.hello(HOST)).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.0, INTERNAL_ERROR);
    refused_for_time(&gravimeter, TimeoutStep::UpstreamConnect).await;
}

#[tokio::test]
async fn upstream_handshake() {
    let gravimeter = gravimeter(Timeouts {
        upstream_handshake: SHORT,
        ..Timeouts::default()
    })
    .await;
    let mut tcp = gravimeter.knock(HOST).await;
    tcp.write_all(&gravimeter.agent.hello(HOST)).await.unwrap();
    let _silent = gravimeter.provider.accept_tcp().await;
    assert_eq!(read_all(&mut tcp).await.0, INTERNAL_ERROR);
    gravimeter.facts.wait_for(failed(Side::Upstream)).await;
    refused_for_time(&gravimeter, TimeoutStep::UpstreamHandshake).await;
}

#[tokio::test]
async fn agent_handshake() {
    let gravimeter = gravimeter(Timeouts {
        agent_handshake: SHORT,
        ..Timeouts::default()
    })
    .await;
    let mut tcp = gravimeter.knock(HOST).await;
    tcp.write_all(&gravimeter.agent.hello(HOST)).await.unwrap();
    let mut provider = gravimeter.provider.accept().await.unwrap();
    assert_eq!(read_all(&mut provider).await.0, b"");
    gravimeter.facts.wait_for(failed(Side::Agent)).await;
    refused_for_time(&gravimeter, TimeoutStep::AgentHandshake).await;
}

#[tokio::test]
async fn idle() {
    let gravimeter = gravimeter(Timeouts {
        idle: SHORT,
        ..Timeouts::default()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let (at_agent, at_provider) = tokio::join!(read_all(&mut agent), read_all(&mut provider));
    assert_eq!(
        (at_agent, at_provider),
        ((vec![], false), (vec![], false)),
        "cut off, not closed in order"
    );
    assert_eq!(
        gravimeter.seen().await.end,
        Some(gravimeter::observe::End::TimedOut(TimeoutStep::Idle))
    );
    assert_eq!(
        gravimeter.facts.count(&Fact::TimedOut(TimeoutStep::Idle)),
        1
    );
    gravimeter.close().await;
}

fn failed(side: Side) -> Fact {
    Fact::HandshakeFailed {
        side,
        reason: HandshakeFailure::Timeout,
    }
}
