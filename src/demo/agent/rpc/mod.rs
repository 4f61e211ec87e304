//! The RPC server of the stand-in language server, on both of its ports.
//!
//! Input: requests in Connect (JSON, protobuf) or gRPC. Output: answers and streams about the
//! store's conversations. It changes nothing but the demo's own switches, and logs nothing.

mod agent_state;
mod body;
mod control;
mod diff;
mod dispatch;
mod envelope;
mod fault;
mod reactive;
mod stream;
mod tree;
mod unary;
mod wire;

use std::sync::Arc;

use tokio::sync::watch;

use super::cascade::Store;
use super::{AgentOptions, OfferedStreams};
use crate::demo::server::Tasks;

pub(super) use dispatch::{Port, answer};

/// What all connections share.
pub(super) struct Server {
    pub(super) store: Arc<Store>,
    switches: watch::Sender<Switches>,
    token: String,
    tasks: Tasks,
}

/// What can be changed at run time.
#[derive(Debug, Clone, Copy)]
struct Switches {
    offered_streams: OfferedStreams,
    /// How often all streams were cut.
    cuts: u64,
}

impl Server {
    /// Serves the conversations in `store`, with the token and streams of the options.
    pub(super) fn new(store: Arc<Store>, options: &AgentOptions, tasks: Tasks) -> Self {
        let switches = watch::Sender::new(Switches {
            offered_streams: options.offered_streams,
            cuts: 0,
        });
        Self {
            store,
            switches,
            token: options.csrf_token.clone(),
            tasks,
        }
    }

    /// Open streams of a kind that is off end at once.
    pub(super) fn set_offered_streams(&self, offered_streams: OfferedStreams) {
        self.switches
            .send_modify(|switches| switches.offered_streams = offered_streams);
    }

    /// Breaks all open streams in the middle of a frame.
    pub(super) fn cut(&self) {
        self.switches.send_modify(|switches| switches.cuts += 1);
    }

    fn offered_streams(&self) -> OfferedStreams {
        self.switches.borrow().offered_streams
    }
}

#[cfg(test)]
mod tests;
