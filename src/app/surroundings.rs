//! What the program gets from around it.

use std::sync::Arc;

use super::{Activation, ServerSearch};
use crate::capture::{KernelOriginalDst, OriginalDst};
use crate::export::diagnostics::Diagnostics;
use crate::record::{Session, Sink};

/// What the program gets from around it.
pub struct Surroundings {
    /// Sockets that the service manager has opened.
    pub handed: Activation,
    /// What the log was started with, where connections are traced.
    pub diagnostics: Option<Diagnostics>,
    /// Knows where a redirected connection was going.
    pub original_dst: Arc<dyn OriginalDst>,
    /// Take the facts beside the ledger, the metrics and the page.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// The language server that is followed if no agent is started; what `cascade.attach` says where
    /// there is `None`.
    pub followed: Option<ServerSearch>,
    /// The session that all connections belong to, where they belong to one.
    pub session: Option<Session>,
    /// Whether sessions of `gravimeter run` may be handed over.
    pub takes_sessions: bool,
}

impl Default for Surroundings {
    /// No sockets, no diagnostics, the kernel, no further sink, nobody in particular to follow, and
    /// no sessions.
    fn default() -> Self {
        Self {
            handed: Activation::default(),
            diagnostics: None,
            original_dst: Arc::new(KernelOriginalDst),
            sinks: Vec::new(),
            followed: None,
            session: None,
            takes_sessions: false,
        }
    }
}
