//! The WebSockets of the demo, from the upgrade of HTTP/1.1 on (RFC 6455): text messages alone, each
//! a JSON document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub(super) use tokio_tungstenite::tungstenite::Error;
pub(super) use tokio_tungstenite::tungstenite::protocol::Role;

use super::digest::sha1;

/// An open WebSocket.
pub(super) struct Socket(WebSocketStream<TokioIo<Upgraded>>);

impl Socket {
    /// The end of this role on a connection that has left HTTP.
    pub(super) async fn new(upgraded: Upgraded, role: Role) -> Self {
        Self(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), role, None).await)
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, text: String) -> Result<(), Error> {
        self.0.send(Message::text(text)).await
    }

    /// The next message; `None` once the other end has closed the socket or gone.
    pub(super) async fn next(&mut self) -> Option<Result<String, Error>> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(Ok(text.as_str().to_owned())),
                // Pings are answered by themselves.
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Says goodbye. The other end may have gone already.
    pub(super) async fn close(mut self) {
        let _ = self.0.close(None).await;
    }
}

/// What the server answers to the key of the client (RFC 6455 section 4.2.2).
pub(super) fn accept(key: &str) -> String {
    STANDARD.encode(sha1(format!("{key}{GUID}").as_bytes()))
}

/// A key of the client.
pub(super) fn key(nonce: u128) -> String {
    STANDARD.encode(nonce.to_be_bytes())
}

/// Puts the hash of all texts before it into the last one, by which the client proves that they
/// arrived as they were sent.
pub(super) fn seal(last: &mut Value, before: &str) {
    if let Some(members) = last.as_object_mut() {
        members.insert(
            HASH.to_owned(),
            super::digest::sha256(before.as_bytes()).into(),
        );
    }
}

/// Whether the last text has the hash of all before it.
pub(super) fn is_sealed(last: &Value, before: &str) -> bool {
    last.get(HASH).and_then(Value::as_str)
        == Some(super::digest::sha256(before.as_bytes()).as_str())
}

/// The fixed text of RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The member that carries the hash.
const HASH: &str = "demo_sha256";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_standard_says() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn what_was_changed_on_the_way_breaks_the_seal() {
        let mut last = serde_json::json!({"type": "response.completed"});
        seal(&mut last, "one two");
        assert!(is_sealed(&last, "one two"));
        assert!(!is_sealed(&last, "one too"));
        assert!(!is_sealed(&serde_json::json!({}), ""));
    }
}
