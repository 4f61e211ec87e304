//! Gravimeter is never led to itself, nor through the CONNECT door to anything inside.

use std::net::SocketAddr;

use gravimeter::record::{Fact, RefuseReason};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::kit::agent::knock;
use crate::kit::{Gravimeter, GravimeterOptions, HOST, read_all};

async fn refused(gravimeter: &Gravimeter, reason: RefuseReason) {
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(reason))
        .await;
    let dialled = gravimeter
        .facts
        .all()
        .iter()
        .any(|fact| matches!(fact, Fact::UpstreamConnected(_)));
    assert!(!dialled, "nothing is dialled: {:?}", gravimeter.facts.all());
}

#[tokio::test]
async fn a_direct_connection_to_the_redirect_door_is_refused() {
    let gravimeter = Gravimeter::start().await;
    let own = [
        Some(gravimeter.redirect),
        Some(gravimeter.connect),
        Some(gravimeter.exporter),
        None,
    ];
    for original in own {
        *gravimeter.original.0.lock().unwrap() = original;
        let mut tcp = TcpStream::connect(gravimeter.redirect).await.unwrap();
        assert_eq!(read_all(&mut tcp).await.0, b"");
    }
    gravimeter
        .facts
        .wait_until(&Fact::ConnectionRefused(RefuseReason::Loop), 3)
        .await;
    refused(&gravimeter, RefuseReason::NotRedirected).await;
    assert_eq!(
        gravimeter.facts.all().len(),
        4,
        "one fact each: {:?}",
        gravimeter.facts.all()
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn a_redirected_connection_goes_where_it_was_going() {
    let gravimeter = Gravimeter::start().await;
    *gravimeter.original.0.lock().unwrap() = Some(gravimeter.provider.address());
    let tcp = TcpStream::connect(gravimeter.redirect).await.unwrap();
    let (agent, provider) = tokio::join!(
        gravimeter.agent.handshake(tcp, HOST),
        gravimeter.provider.accept()
    );
    agent.unwrap().shutdown().await.unwrap();
    assert_eq!(read_all(&mut provider.unwrap()).await, (vec![], true));
    gravimeter.close().await;
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
        let gravimeter = Gravimeter::start().await;
        let answer = knock(gravimeter.connect, target).await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{target}: {answer}");
        refused(&gravimeter, RefuseReason::ForbiddenDestination).await;
        gravimeter.close().await;
    }
    let gravimeter = Gravimeter::start().await;
    for own in [gravimeter.connect, gravimeter.redirect, gravimeter.exporter] {
        let answer = knock(gravimeter.connect, &own.to_string())
            .await
            .unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{own}: {answer}");
    }
    gravimeter
        .facts
        .wait_until(&Fact::ConnectionRefused(RefuseReason::Loop), 3)
        .await;
    gravimeter.close().await;
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_refused() {
    let gravimeter = Gravimeter::start().await;
    for (port, reason) in [
        (22, RefuseReason::ForbiddenDestination),
        (gravimeter.connect.port(), RefuseReason::Loop),
    ] {
        let mut tcp = knock(gravimeter.connect, &format!("localhost:{port}"))
            .await
            .unwrap();
        tcp.write_all(&gravimeter.agent.hello(HOST)).await.unwrap();
        // The fatal alert `access_denied`.
        assert_eq!(read_all(&mut tcp).await.0, [21, 3, 3, 0, 2, 2, 49]);
        refused(&gravimeter, reason).await;
    }
    gravimeter.close().await;
}

#[tokio::test]
async fn everything_but_connect_is_told_so() {
    let gravimeter = Gravimeter::start().await;
    let exporter: SocketAddr = gravimeter.exporter;
    for request in [
        format!("GET http://{exporter}/metrics HTTP/1.1\r\n\r\n"),
        "GET /metrics HTTP/1.1\r\n\r\n".into(),
    ] {
        let mut tcp = TcpStream::connect(gravimeter.connect).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_all(&mut tcp).await.0).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("HTTPS_PROXY"),
            "{answer}"
        );
    }
    refused(&gravimeter, RefuseReason::BadRequest).await;
    gravimeter.close().await;
}

#[tokio::test]
async fn a_crowd_at_one_door_takes_no_place_from_the_other() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        max_connections: 1,
        ..GravimeterOptions::default()
    })
    .await;
    let _crowd = gravimeter.pair().await;
    let mut tcp = TcpStream::connect(gravimeter.connect).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Overload))
        .await;
    *gravimeter.original.0.lock().unwrap() = Some(gravimeter.provider.address());
    let tcp = TcpStream::connect(gravimeter.redirect).await.unwrap();
    let (agent, provider) = tokio::join!(
        gravimeter.agent.handshake(tcp, HOST),
        gravimeter.provider.accept()
    );
    agent.unwrap().shutdown().await.unwrap();
    assert_eq!(read_all(&mut provider.unwrap()).await, (vec![], true));
    gravimeter.close().await;
}

#[tokio::test]
async fn over_the_limit_the_next_connection_is_refused_and_the_others_live() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        max_connections: 1,
        ..GravimeterOptions::default()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let mut tcp = TcpStream::connect(gravimeter.connect).await.unwrap();
    assert_eq!(read_all(&mut tcp).await.0, b"");
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Overload))
        .await;
    agent.write_all(b"ask").await.unwrap();
    assert_eq!(crate::kit::read_some(&mut provider, 3).await, b"ask");
    gravimeter.close().await;
}
