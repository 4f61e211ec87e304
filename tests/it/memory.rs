//! Memory does not grow with the traffic: a gigabyte each way passes in a few megabytes.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::kit::{Gravimeter, GravimeterOptions, soon};

const GIGABYTE: usize = 1 << 30;
const PIECE: usize = 1 << 18;

/// All tests of this binary share one process, and none of the others holds more than a few
/// megabytes.
const ALLOWED_GROWTH: usize = 48 << 20;

/// Resident memory of this process: the second figure of proc_pid_statm(5), in pages.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * rustix::param::page_size()
}

async fn pump(from: &mut (impl AsyncWrite + Unpin), to: &mut (impl AsyncRead + Unpin)) -> usize {
    let (piece, mut buffer, mut peak) = (vec![7; PIECE], vec![0; PIECE], 0);
    let write = async {
        for _ in 0..GIGABYTE / PIECE {
            from.write_all(&piece).await.unwrap();
        }
        from.flush().await.unwrap();
    };
    let read = async {
        for _ in 0..GIGABYTE / PIECE {
            to.read_exact(&mut buffer).await.unwrap();
            peak = peak.max(resident());
        }
    };
    soon(async { tokio::join!(write, read) }).await;
    peak
}

#[tokio::test]
async fn a_gigabyte_each_way_passes_in_flat_memory() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        keep: false,
        ..GravimeterOptions::default()
    })
    .await;
    let (mut agent, mut provider) = gravimeter.pair().await;
    let before = resident();
    let up = pump(&mut agent, &mut provider).await;
    let down = pump(&mut provider, &mut agent).await;
    let growth = up.max(down).saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "grew by {growth} bytes");
    drop((agent, provider));
    gravimeter.seen().await;
    assert_eq!(gravimeter.facts.bytes(), (GIGABYTE as u64, GIGABYTE as u64));
    gravimeter.close().await;
}
