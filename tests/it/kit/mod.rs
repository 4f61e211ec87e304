//! Puts Gravimeter together on port 0 between an agent and a provider whose every byte is the test's
//! own.
//!
//! [`Gravimeter::pair`] hands out both outer ends of one intercepted connection, so that a test reads
//! from top to bottom.

pub mod agent;
pub mod binary;
pub mod canary;
pub mod collector;
pub mod pki;
pub mod prometheus;
pub mod provider;
pub mod pty;
pub mod running;
pub mod upstream;
pub mod views;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub use running::{Gravimeter, GravimeterOptions};
pub use views::Seen;

/// The host that Gravimeter intercepts.
pub const HOST: &str = "api.example.com";

/// A host that it tunnels.
pub const OTHER_HOST: &str = "other.example.org";

/// Fails a test that hangs, long after anything healthy would be done.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("done long before")
}

/// The library that fakes a program's clock. Debian's package `faketime` keeps it in the folder of
/// the architecture.
pub fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a Debian");
    let libraries = folders.filter_map(|folder| {
        let library = folder.ok()?.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    let library = libraries.into_iter().next();
    library.expect("Debian's package faketime is installed")
}

/// Everything up to the end, and whether the end was in order.
pub async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let end = soon(stream.read_to_end(&mut bytes)).await;
    (bytes, end.is_ok())
}

/// Exactly `count` bytes.
pub async fn read_some(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    soon(stream.read_exact(&mut bytes))
        .await
        .expect("as many bytes as were sent");
    bytes
}

/// Writes in pieces of the given sizes, over and over, each flushed; then the end in order, if
/// asked for.
pub async fn write_pieces(
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    sizes: &[usize],
    end: bool,
) {
    for size in sizes.iter().cycle() {
        let (piece, rest) = bytes.split_at((*size).clamp(1, bytes.len().max(1)).min(bytes.len()));
        stream.write_all(piece).await.expect("a writable stream");
        stream.flush().await.expect("a writable stream");
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    if end {
        stream.shutdown().await.expect("a writable stream");
    }
}

/// Lets the next close be a reset.
pub fn reset_on_close(tcp: &TcpStream) {
    socket2::SockRef::from(tcp)
        .set_linger(Some(Duration::ZERO))
        .expect("SO_LINGER");
}
