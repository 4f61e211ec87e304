//! Promise: where a rule may change requests, they are forwarded one by one, and nothing else of the
//! traffic changes for it: bodies go on as they come, both sides learn at once what the other does,
//! and what could be understood in two ways is refused.

mod base_url;
mod endings;
mod floods;
mod http1;
mod http2;
mod interim;
mod memory;
mod refused;
mod rules;

use std::path::PathBuf;

use gravimeter::rules::{Rules, Source, read};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::kit::{Gravimeter, GravimeterOptions, soon, write_pieces};

/// A rule that may be for any request to the host, and is for those that carry a certain field.
const RULE: &str = r#"
[[rule]]
name = "mark"
match = { host = "api.example.com", header = "x-mark-me" }
set_header = { "x-marked" = "yes" }
"#;

fn rules(text: &str) -> Rules {
    let source = Source {
        path: PathBuf::from("rules.toml"),
        text: text.to_owned(),
        is_configuration: false,
    };
    read(&[source]).expect("rules without a flaw")
}

fn options() -> GravimeterOptions {
    GravimeterOptions {
        rules: rules(RULE),
        ..GravimeterOptions::default()
    }
}

/// A Gravimeter that forwards what goes to its host.
async fn start() -> Gravimeter {
    Gravimeter::with(options()).await
}

/// Sends a text at once.
async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    write_pieces(stream, text.as_bytes(), &[usize::MAX], false).await;
}

/// A message up to the end of its head.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = soon(stream.read_u8()).await;
        let Ok(byte) = read else {
            panic!("the rest of a head: {}", String::from_utf8_lossy(&head));
        };
        head.push(byte);
    }
    String::from_utf8(head).expect("text")
}

/// Bytes up to these, with them.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.push(soon(stream.read_u8()).await.expect("the rest of it"));
    }
    bytes
}

/// A frame of HTTP/2 as bytes.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head[..], payload].concat()
}
