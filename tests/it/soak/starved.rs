//! Four programs that want every core beside two hundred streams: late is allowed, lost or out of
//! order is not.

use std::process::Stdio;

use futures_util::future::join_all;
use tokio::process::Command;

use super::tell;
use crate::kit::agent::Agent;
use crate::kit::binary::Binary;
use crate::kit::read_some;
use crate::kit::upstream::{Upstream, begin, finish};
use crate::kit::write_pieces;

const STREAMS: usize = 200;
const EVENTS: usize = 500;

#[tokio::test]
#[ignore = "soak"]
async fn a_starved_gravimeter_loses_nothing_and_keeps_the_order() {
    let cores = std::thread::available_parallelism().expect("cores").get();
    let greedy: Vec<_> = (0..2 * cores)
        .map(|_| {
            let mut command = Command::new("sh");
            command
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .kill_on_drop(true);
            command.spawn().expect("a shell")
        })
        .collect();
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let agent = Agent::new(&binary.root_pem(), &["http/1.1"]);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let (mut agent, mut provider) = upstream.pair_of(binary.connect, &agent).await;
        begin(&mut agent, &mut provider).await;
        streams.push((agent, provider));
    }
    for number in 0..EVENTS {
        let event = format!("19\r\ndata: {{\"number\":{number:08}}}\n\n\r\n").into_bytes();
        join_all(streams.iter_mut().map(async |(agent, provider)| {
            write_pieces(provider, &event, &[usize::MAX], false).await;
            assert_eq!(read_some(agent, event.len()).await, event, "in order");
        }))
        .await;
    }
    join_all(
        streams
            .iter_mut()
            .map(|(agent, provider)| finish(agent, provider)),
    )
    .await;
    drop(greedy);
    binary
        .wait_for(
            "gravimeter_calls_total",
            &[r#"outcome="ok""#],
            STREAMS as u64,
        )
        .await;
    tell(&format!(
        "{STREAMS} streams of {EVENTS} events beside {} greedy programs: none lost, all in order",
        2 * cores
    ));
    binary.stop().await;
}
