//! What a port speaks.

use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;

use super::kit::{self, Body, TOKEN, TOKEN_FIELD, self_signed, serve};
use crate::cascade::client::{RpcError, Token, probe};

async fn heartbeat(request: Request<Incoming>) -> Response<Body> {
    match request
        .headers()
        .get(TOKEN_FIELD)
        .is_some_and(|token| token == TOKEN)
    {
        true => kit::json(200, "{}"),
        false => kit::json(
            403,
            r#"{"code":"permission_denied","message":"invalid CSRF token"}"#,
        ),
    }
}

#[tokio::test]
async fn a_port_tells_what_it_speaks() {
    let (http, https) = (
        serve(None, heartbeat).await,
        serve(Some(self_signed(&["h2", "http/1.1"])), heartbeat).await,
    );
    let tasks = TaskTracker::new();
    let found = probe(http.addr.port(), Token::new(TOKEN), None, &tasks)
        .await
        .expect("a language server");
    assert_eq!((found.http(), found.https()), (Some(http.addr), None));
    let found = probe(https.addr.port(), Token::new(TOKEN), None, &tasks)
        .await
        .expect("a language server");
    assert_eq!((found.http(), found.https()), (None, Some(https.addr)));
    for port in [http.addr.port(), https.addr.port()] {
        assert_eq!(
            probe(port, Token::new("other"), None, &tasks).await,
            Err(RpcError::BadToken)
        );
        assert_eq!(
            probe(port, None, None, &tasks).await,
            Err(RpcError::BadToken)
        );
    }
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn strangers_are_no_language_servers() {
    let tasks = TaskTracker::new();
    let page = serve(None, |_| async {
        kit::answer(200, "text/html", "<p>hello</p>")
    })
    .await;
    assert_eq!(
        probe(page.addr.port(), None, None, &tasks).await,
        Err(RpcError::Tls)
    );
    let mail = kit::raw("220 mail.example ESMTP\r\n").await;
    assert!(probe(mail.addr.port(), None, None, &tasks).await.is_err());
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    assert!(matches!(
        probe(free, None, None, &tasks).await,
        Err(RpcError::Connect(_))
    ));
}
