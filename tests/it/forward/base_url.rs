//! The base-URL door: requests in plain HTTP go to the provider that their path names, verified as
//! any other; no web page and no other user gets in.

use gravimeter::record::{Fact, RefuseReason};
use gravimeter::relay::base_url::BaseUrlTarget;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::read_head;
use crate::kit::{Gravimeter, GravimeterOptions, HOST, read_all, read_some, soon, write_pieces};

async fn knock(gravimeter: &Gravimeter) -> TcpStream {
    TcpStream::connect(gravimeter.base_url)
        .await
        .expect("an open door")
}

async fn ask(gravimeter: &Gravimeter, request: &str) -> TcpStream {
    let mut agent = knock(gravimeter).await;
    write_pieces(&mut agent, request.as_bytes(), &[usize::MAX], false).await;
    agent
}

#[tokio::test]
async fn the_path_names_the_provider_which_never_sees_that_part_of_it() {
    for (segment, host) in [
        ("anthropic", "api.anthropic.com"),
        ("openai", "api.openai.com"),
        ("gemini", "generativelanguage.googleapis.com"),
        ("cloudcode", "daily-cloudcode-pa.googleapis.com"),
    ] {
        let gravimeter = Gravimeter::with(GravimeterOptions {
            certified: host,
            ..GravimeterOptions::default()
        })
        .await;
        let request = format!(
            "POST /{segment}/v1/x?a=b HTTP/1.1\r\nHost: localhost:1\r\nX-Api-Key: k\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let (mut agent, provider) =
            tokio::join!(ask(&gravimeter, &request), gravimeter.provider.accept());
        let mut provider = provider.expect("verified");
        assert_eq!(provider.get_ref().1.server_name(), Some(host));
        let sent = format!(
            "POST /v1/x?a=b HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: k\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let read = read_some(&mut provider, sent.len()).await;
        assert_eq!(String::from_utf8(read).expect("text"), sent);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], false).await;
        assert_eq!(read_some(&mut agent, answer.len()).await, answer.as_bytes());
        drop(agent);
        assert_eq!(read_all(&mut provider).await, (Vec::new(), true));
        assert_eq!(gravimeter.seen().await.sent, sent.as_bytes());
        gravimeter.close().await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_verified_gets_nothing() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        certified: "api.anthropic.com",
        trusted: false,
        ..GravimeterOptions::default()
    })
    .await;
    let request = "GET /anthropic/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (mut agent, provider) =
        tokio::join!(ask(&gravimeter, request), gravimeter.provider.accept());
    assert!(provider.is_err(), "refused in the handshake");
    let answer = read_head(&mut agent).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let refused = Fact::ConnectionRefused(RefuseReason::UpstreamHandshake);
    gravimeter.facts.wait_for(refused).await;
    gravimeter.close().await;
}

#[tokio::test]
async fn one_connection_leads_to_several_servers() {
    let local = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/base", local.local_addr().expect("bound"));
    let gravimeter = Gravimeter::with(GravimeterOptions {
        certified: "api.openai.com",
        base_url_upstream: Some(BaseUrlTarget::parse(&url).expect("a URL")),
        ..GravimeterOptions::default()
    })
    .await;
    let mut agent = knock(&gravimeter).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let own = "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    write_pieces(&mut agent, own.as_bytes(), &[usize::MAX], false).await;
    let (mut server, _) = soon(local.accept()).await.expect("a connection");
    let asked = read_head(&mut server).await;
    assert!(
        asked.starts_with("GET /base/v1/models HTTP/1.1\r\n"),
        "{asked}"
    );
    write_pieces(&mut server, answer.as_bytes(), &[usize::MAX], false).await;
    assert_eq!(read_head(&mut agent).await, answer);

    let openai = "GET /openai/v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    write_pieces(&mut agent, openai.as_bytes(), &[usize::MAX], false).await;
    let mut provider = gravimeter.provider.accept().await.expect("verified");
    assert!(
        read_head(&mut provider)
            .await
            .starts_with("GET /v1/models HTTP/1.1\r\n")
    );
    write_pieces(&mut provider, answer.as_bytes(), &[usize::MAX], false).await;
    assert_eq!(read_head(&mut agent).await, answer);

    // The first one's connection is still there.
    write_pieces(&mut agent, own.as_bytes(), &[usize::MAX], false).await;
    assert!(read_head(&mut server).await.starts_with("GET /base/"));
    gravimeter.close().await;
}

#[tokio::test]
async fn no_web_page_gets_in() {
    let gravimeter = Gravimeter::start().await;
    for (number, fields) in (1..).zip([
        "Host: evil.example\r\n",
        "Host: localhost.evil.example:8744\r\n",
        "Host: localhost\r\nOrigin: https://evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: localhost\r\nSec-Fetch-Site: same-site\r\nOrigin: http://localhost\r\n",
    ]) {
        let request =
            format!("POST /anthropic/v1/messages HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n");
        let mut agent = ask(&gravimeter, &request).await;
        let answer = read_head(&mut agent).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{fields}: {answer}");
        assert!(
            !answer.to_lowercase().contains("access-control"),
            "{answer}"
        );
        let refused = Fact::ConnectionRefused(RefuseReason::ForeignSite);
        gravimeter.facts.wait_until(&refused, number).await;
    }
    let dialled = gravimeter.facts.all();
    assert!(
        !dialled
            .iter()
            .any(|fact| matches!(fact, Fact::UpstreamConnected(_)))
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn a_path_of_no_provider_is_not_found_and_says_what_is() {
    let gravimeter = Gravimeter::start().await;
    let request = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut agent = ask(&gravimeter, request).await;
    let mut answer = String::new();
    soon(agent.read_to_string(&mut answer)).await.expect("text");
    assert!(
        answer.starts_with("HTTP/1.1 404 ") && answer.contains("/anthropic"),
        "{answer}"
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn the_door_never_leads_to_itself() {
    // The door's port is known only once it listens: the exporter's is one of ours, too.
    let target = BaseUrlTarget::parse("http://127.0.0.1:8741").expect("a URL");
    let gravimeter = Gravimeter::with(GravimeterOptions {
        base_url_upstream: Some(target),
        ..GravimeterOptions::default()
    })
    .await;
    let mut agent = ask(&gravimeter, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(read_head(&mut agent).await.starts_with("HTTP/1.1 502 "));
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::Loop))
        .await;
    gravimeter.close().await;
}

#[tokio::test]
async fn a_websocket_passes_through_the_door() {
    let target = BaseUrlTarget::parse(&format!("https://{HOST}")).expect("a URL");
    let gravimeter = Gravimeter::with(GravimeterOptions {
        base_url_upstream: Some(target),
        ..GravimeterOptions::default()
    })
    .await;
    let request = "GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (mut agent, provider) =
        tokio::join!(ask(&gravimeter, request), gravimeter.provider.accept());
    let mut provider = provider.expect("verified");
    let asked = read_head(&mut provider).await;
    assert!(asked.contains(&format!("Host: {HOST}\r\n")), "{asked}");
    let agreed =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    write_pieces(&mut provider, agreed.as_bytes(), &[usize::MAX], false).await;
    assert!(read_head(&mut agent).await.starts_with("HTTP/1.1 101 "));
    write_pieces(&mut provider, b"\x81\x01x", &[usize::MAX], false).await;
    assert_eq!(read_some(&mut agent, 3).await, b"\x81\x01x");
    write_pieces(&mut agent, b"\x81\x01y", &[usize::MAX], false).await;
    assert_eq!(read_some(&mut provider, 3).await, b"\x81\x01y");
    agent.shutdown().await.expect("an end in order");
    assert_eq!(read_all(&mut provider).await, (Vec::new(), true));
    gravimeter.close().await;
}
