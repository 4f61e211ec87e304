//! The methods of the language server that are asked, by their names on the wire. None of them
//! changes a conversation.

use crate::record::{Label as _, label};

label! {
    /// A method that is spoken in JSON.
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
        /// Whether anybody is there.
        Heartbeat => "Heartbeat",
        /// Makes a conversation of the disk readable; may be called again.
        LoadTrajectory => "LoadTrajectory",
        /// Quotas by group and window.
        RetrieveUserQuotaSummary => "RetrieveUserQuotaSummary",
        /// Stream: what changes in one conversation.
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
