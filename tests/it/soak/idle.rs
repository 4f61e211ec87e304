//! Five thousand streams that say little: they fit into half of a gigabyte, and a newcomer is
//! served among them.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{mib, tell};
use crate::faults::crowd::raise_open_files;
use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, Memory};
use crate::kit::upstream::{Upstream, begin, finish, go_on};

const STREAMS: usize = 5000;
/// Half of what they may take: the promise is one gigabyte.
const ALLOWED: u64 = 512 << 20;
const ROUNDS: usize = 5;
/// As far apart as a provider's pings.
const BETWEEN: Duration = Duration::from_secs(15);

#[tokio::test]
#[ignore = "soak"]
async fn five_thousand_idle_streams_fit_into_half_a_gigabyte() {
    raise_open_files();
    let upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&["--capture.max_connections", "6000"])).await;
    upstream.call(&binary).await;
    let before = binary.memory().now;
    let agent = Agent::new(&binary.root_pem(), &["http/1.1"]);
    let mut streams = Vec::with_capacity(STREAMS);
    while streams.len() < STREAMS {
        let (mut agent, mut provider) = upstream.pair_of(binary.connect, &agent).await;
        begin(&mut agent, &mut provider).await;
        streams.push((agent, provider));
    }
    let opened = binary.memory().now;
    for _ in 0..ROUNDS {
        sleep(BETWEEN).await;
        join_all(
            streams
                .iter_mut()
                .map(|(agent, provider)| go_on(agent, provider)),
        )
        .await;
        upstream.call(&binary).await;
    }
    let Memory { now, peak } = binary.memory();
    let files = binary.sum("process_open_fds", &[]).await;
    assert_eq!(
        binary
            .sum("gravimeter_connections_active", &["intercepted"])
            .await,
        STREAMS as u64,
        "none was dropped"
    );
    assert!(peak < ALLOWED, "{:.0} MiB at the peak", mib(peak));
    join_all(
        streams
            .iter_mut()
            .map(|(agent, provider)| finish(agent, provider)),
    )
    .await;
    drop(streams);
    binary
        .wait_for(
            "gravimeter_calls_total",
            &[r#"outcome="ok""#],
            (STREAMS + ROUNDS + 1) as u64,
        )
        .await;
    tell(&format!(
        "5,000 idle streams: {:.1} MiB before, {:.1} when open, {:.1} after {ROUNDS} rounds of events, {:.1} at the peak \
         ({:.1} KiB a stream), {files} descriptors; {:.1} MiB after their end",
        mib(before),
        mib(opened),
        mib(now),
        mib(peak),
        peak.saturating_sub(before) as f64 / 1024.0 / STREAMS as f64,
        mib(binary.memory().now),
    ));
    binary.stop().await;
}
