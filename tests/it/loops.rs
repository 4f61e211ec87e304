//! Gravimeter is never led to itself, nor through the CONNECT door to anything inside.

use std::net::SocketAddr;

use gravimeter::record::{Fact, RefuseReason};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::kit::agent::knock;
use crate::kit::{HOST, House, HouseOptions, read_all};

async fn refused(house: &House, reason: RefuseReason) {
    house.facts.wait_for(Fact::ConnectionRefused(reason)).await;
    let dialled = house
        .facts
        .all()
        .iter()
        .any(|fact| matches!(fact, Fact::UpstreamConnected(_)));
    assert!(!dialled, "nothing is dialled: {:?}", house.facts.all());
}

#[tokio::test]
async fn a_direct_connection_to_the_redirect_door_is_refused() {
    let house = House::start().await;
    let own = [
        Some(house.redirect),
        Some(house.connect),
        Some(house.exporter),
        None,
    ];
    for original in own {
        *house.original.0.lock().unwrap() = original;
        let mut tcp = TcpStream::connect(house.redirect).await.unwrap();
        assert_eq!(read_all(&mut tcp).await.0, b"");
    }
    house
        .facts
        .wait_until(&Fact::ConnectionRefused(RefuseReason::Loop), 3)
        .await;
    refused(&house, RefuseReason::NotRedirected).await;
    assert_eq!(
        house.facts.all().len(),
        4,
        "one fact each: {:?}",
        house.facts.all()
    );
    house.close().await;
}

#[tokio::test]
async fn a_redirected_connection_goes_where_it_was_going() {
    let house = House::start().await;
    *house.original.0.lock().unwrap() = Some(house.provider.address());
    let tcp = TcpStream::connect(house.redirect).await.unwrap();
    let (agent, provider) = tokio::join!(house.agent.handshake(tcp, HOST), house.provider.accept());
    agent.unwrap().shutdown().await.unwrap();
    assert_eq!(read_all(&mut provider.unwrap()).await, (vec![], true));
    house.close().await;
}

#[tokio::test]
async fn the_connect_door_leads_neither_home_nor_inside() {
    for target in [
        "169.254.169.254:80",
        "127.0.0.1:22",
        "[::1]:22",
        "0.0.0.0:22",
        "10.0.0.1:443",
        "[::ffff:127.0.0.1]:22",
    ] {
        let house = House::start().await;
        let answer = knock(house.connect, target).await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{target}: {answer}");
        refused(&house, RefuseReason::ForbiddenDestination).await;
        house.close().await;
    }
    let house = House::start().await;
    for own in [house.connect, house.redirect, house.exporter] {
        let answer = knock(house.connect, &own.to_string()).await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{own}: {answer}");
    }
    house
        .facts
        .wait_until(&Fact::ConnectionRefused(RefuseReason::Loop), 3)
        .await;
    house.close().await;
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_refused() {
    let house = House::start().await;
    for (port, reason) in [
        (22, RefuseReason::ForbiddenDestination),
        (house.connect.port(), RefuseReason::Loop),
    ] {
        let mut tcp = knock(house.connect, &format!("localhost:{port}"))
            .await
            .unwrap();
        tcp.write_all(&house.agent.hello(HOST)).await.unwrap();
        // The fatal alert `access_denied`.
        assert_eq!(read_all(&mut tcp).await.0, [21, 3, 3, 0, 2, 2, 49]);
        refused(&house, reason).await;
    }
    house.close().await;
}

#[tokio::test]
async fn everything_but_connect_is_told_so() {
    let house = House::start().await;
    let exporter: SocketAddr = house.exporter;
    for request in [
        format!("GET http://{exporter}/metrics HTTP/1.1\r\n\r\n"),
        "GET /metrics HTTP/1.1\r\n\r\n".into(),
    ] {
        let mut tcp = TcpStream::connect(house.connect).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_all(&mut tcp).await.0).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("HTTPS_PROXY"),
            "{answer}"
        );
    }
    refused(&house, RefuseReason::BadRequest).await;
    house.close().await;
}

#[tokio::test]
async fn a_crowd_at_one_door_takes_no_place_from_the_other() {
    let house = House::with(HouseOptions {
        max_connections: 1,
        ..HouseOptions::default()
    })
    .await;
    let _crowd = house.pair().await;
    let mut tcp = TcpStream::connect(house.connect).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    house
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Overload))
        .await;
    *house.original.0.lock().unwrap() = Some(house.provider.address());
    let tcp = TcpStream::connect(house.redirect).await.unwrap();
    let (agent, provider) = tokio::join!(house.agent.handshake(tcp, HOST), house.provider.accept());
    agent.unwrap().shutdown().await.unwrap();
    assert_eq!(read_all(&mut provider.unwrap()).await, (vec![], true));
    house.close().await;
}

#[tokio::test]
async fn over_the_limit_the_next_connection_is_refused_and_the_others_live() {
    let house = House::with(HouseOptions {
        max_connections: 1,
        ..HouseOptions::default()
    })
    .await;
    let (mut agent, mut provider) = house.pair().await;
    let mut tcp = TcpStream::connect(house.connect).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    house
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Overload))
        .await;
    agent.write_all(b"ask").await.unwrap();
    assert_eq!(crate::kit::read_some(&mut provider, 3).await, b"ask");
    house.close().await;
}
