//! No descriptor is left: Gravimeter neither dies nor spins, running streams go on, and it is back
//! as soon as there is room.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::kit::binary::{Binary, until};
use crate::kit::soon;
use crate::kit::upstream::{Upstream, finish, go_on};
use crate::process::with_open_files;

const LIMIT: u64 = 1024;

/// How long the lack lasts: with pauses of 5, 10, 20 ... ms up to a second, a dozen failures; a
/// loop that spins makes thousands.
const LACK: Duration = Duration::from_secs(3);

#[tokio::test]
async fn without_descriptors_it_waits_and_heals() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let binary = Binary::with(with_open_files(LIMIT as u32), folder, &upstream.flags(&[])).await;
    let (mut agent, mut provider) = upstream.stream(&binary).await;

    let set = |current| {
        prlimit(
            Some(binary.pid()),
            Resource::Nofile,
            Rlimit {
                current: Some(current),
                maximum: Some(LIMIT),
            },
        )
    };
    // Fewer than are open: not one can be opened any more.
    set(3).expect("our own process");
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(
            TcpStream::connect(binary.connect)
                .await
                .expect("the kernel's backlog takes it"),
        );
    }
    let mut scrape = TcpStream::connect(binary.web)
        .await
        .expect("the kernel's backlog takes it");
    scrape
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .expect("a request");
    until(async || (failures(&binary) > 0).then_some(())).await;
    sleep(LACK).await;
    go_on(&mut agent, &mut provider).await;

    set(LIMIT).expect("our own process");
    let mut page = String::new();
    soon(scrape.read_to_string(&mut page))
        .await
        .expect("the scrape that waited is answered");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    drop(crowd);
    upstream.call(&binary).await;
    let counted = binary.sum("gravimeter_accept_errors_total", &[]).await;
    assert!(
        (5..100).contains(&counted),
        "{counted}: counted, and no loop has spun"
    );
    finish(&mut agent, &mut provider).await;
    binary.stop().await;
}

fn failures(binary: &Binary) -> usize {
    binary.log().matches("cannot accept a connection").count()
}
