//! The methods of the language server that are called, by their names on the wire. None of them
//! changes a conversation.

use crate::record::{Label as _, label};

label! {
    /// A method with JSON messages.
    pub enum Method {
        /// All conversations, with the trajectory and the state of each.
        GetAllCascadeTrajectories => "GetAllCascadeTrajectories",
        /// One entry for each call to a model.
        GetCascadeTrajectoryGeneratorMetadata => "GetCascadeTrajectoryGeneratorMetadata",
        /// The steps of one conversation.
        GetCascadeTrajectorySteps => "GetCascadeTrajectorySteps",
        /// The models with their context windows.
        GetAvailableModels => "GetAvailableModels",
        /// The account's plan and quotas.
        GetUserStatus => "GetUserStatus",
        /// Whether the server is alive.
        Heartbeat => "Heartbeat",
        /// Loads a conversation from disk; may be called again.
        LoadTrajectory => "LoadTrajectory",
        /// Quotas by group and window.
        RetrieveUserQuotaSummary => "RetrieveUserQuotaSummary",
        /// Stream: changes of one conversation.
        StreamAgentStateUpdates => "StreamAgentStateUpdates",
    }
}

impl Method {
    /// The path of the request.
    pub(super) fn path(self) -> String {
        path(self.as_str())
    }
}

/// The path of a method by its name.
pub(super) fn path(name: &str) -> String {
    format!("/exa.language_server_pb.LanguageServerService/{name}")
}
