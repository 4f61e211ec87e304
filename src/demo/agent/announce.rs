//! The agent's own ports: announced as the language server does, and alive enough to answer `Heartbeat`.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::AgentError;
use crate::demo::pieces::Pieces;
use crate::demo::pki::Identity;
use crate::demo::server::{Tasks, serve};

/// Opens an HTTPS and an HTTP port on loopback and names them on `log`, in the language server's words.
pub(super) async fn announce(log: &mut impl Write, tasks: &Tasks) -> Result<(), AgentError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (https, http) = (TcpListener::bind(any).await?, TcpListener::bind(any).await?);
    let identity = Identity::issue(&["localhost".to_owned()], &["h2", "http/1.1"])?;
    let pid = std::process::id();
    line(log, 1295, &format!("Starting language server process with pid {pid}"))?;
    for (place, listener, purpose) in [(485, &https, "HTTPS (gRPC)"), (492, &http, "HTTP")] {
        let port = listener.local_addr()?.port();
        line(log, place, &format!("Language server listening on random port at {port} for {purpose}"))?;
    }
    serve(https, Some(identity.config), answer, tasks);
    serve(http, None, answer, tasks);
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Response<Pieces> {
    let known = request.method() == Method::POST && request.uri().path() == HEARTBEAT;
    let (status, body): (_, &'static [u8]) = match known {
        true => (StatusCode::OK, b"{}"),
        false => {
            (StatusCode::NOT_FOUND, br#"{"code":"unimplemented","message":"the demo agent knows only Heartbeat"}"#)
        }
    };
    let mut response = Response::new(Pieces::whole(Bytes::from_static(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// One line in klog's format: severity and date, time, pid, source.
fn line(log: &mut impl Write, place: u32, message: &str) -> std::io::Result<()> {
    let time = Timestamp::now().strftime("%m%d %H:%M:%S%.6f");
    writeln!(log, "I{time} {} server.go:{place}] {message}", std::process::id())
}

const HEARTBEAT: &str = "/exa.language_server_pb.LanguageServerService/Heartbeat";
