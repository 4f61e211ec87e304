//! A provider that comes and goes: the agent is told each time, and is served again as soon as
//! there is one.

use std::sync::Arc;

use gravimeter::demo::CLOUD_CODE_HOST;

use crate::kit::agent::Agent;
use crate::kit::binary::Binary;
use crate::kit::provider::Provider;
use crate::kit::upstream::{Upstream, enter};
use crate::kit::{read_all, reset_on_close};

#[tokio::test]
async fn one_that_flaps_is_used_whenever_it_is_there() {
    let mut upstream = Upstream::start().await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let address = upstream.provider.address();
    for round in 1..=5 {
        let (mut agent, provider) = upstream.stream(&binary).await;
        // Killed in the middle of an answer: the kernel resets what it had open, and refuses what
        // comes.
        reset_on_close(provider.get_ref().0);
        drop(provider);
        upstream.provider = Provider::start(Arc::clone(&upstream.config)).await;
        assert_eq!(
            read_all(&mut agent).await,
            (vec![], false),
            "never a whole answer, round {round}"
        );
        let agent = Agent::new(&binary.root_pem(), &["http/1.1"]);
        let refused = agent
            .handshake(enter(binary.connect).await, CLOUD_CODE_HOST)
            .await
            .map(|_| ())
            .expect_err("nobody");
        assert!(
            refused.to_string().contains("InternalError"),
            "an alert, not a silence: {refused}"
        );
        binary
            .wait_for(
                "gravimeter_connections_refused_total",
                &["upstream_connect"],
                round,
            )
            .await;
        upstream.provider = Provider::at(address, Arc::clone(&upstream.config)).await;
        upstream.call(&binary).await;
    }
    binary
        .wait_for("gravimeter_calls_total", &[r#"outcome="ok""#], 5)
        .await;
    assert_eq!(
        binary.sum("gravimeter_calls_total", &[]).await,
        10,
        "each call once, whatever its end"
    );
    binary.stop().await;
}
