//! The faults of every run, as often as it takes to trust them.

use super::{mib, tell};
use crate::faults::{crowd, floods, kill, slow};
use crate::ledger;

#[tokio::test]
#[ignore = "soak"]
async fn killed_fifty_times_in_the_middle_of_streams() {
    kill::in_the_middle_of_streams(50).await;
    tell(
        "kill -9 in the middle of streams: 50 of 50 starts after it served at once, each with the same CA",
    );
}

#[tokio::test]
#[ignore = "soak"]
async fn killed_fifty_times_at_its_first_start() {
    kill::at_its_first_start(50).await;
    tell("kill -9 at the first start: 50 of 50 starts after it served at once");
}

#[tokio::test]
#[ignore = "soak"]
async fn what_was_counted_survives_fifty_kills() {
    let (calls, interrupted) = ledger::survive(50).await;
    tell(&format!(
        "kill -9 with the ledger: {calls} calls, {interrupted} of them interrupted, every sum exact after each of 50"
    ));
}

#[tokio::test]
#[ignore = "soak"]
async fn long_floods_pass_in_flat_memory() {
    let growth = floods::flood(64 << 20).await;
    tell(&format!(
        "HTTP/2 floods, 13 kinds, 64 MiB from the agent in each: memory grew by {:.1} MiB",
        mib(growth)
    ));
}

#[tokio::test]
#[ignore = "soak"]
async fn fifty_stalled_readers_on_either_side() {
    crowd::raise_open_files();
    let growth = slow::stall(50).await;
    tell(&format!(
        "50 stalled readers on either side: memory grew by {:.1} MiB",
        mib(growth)
    ));
}
